"""Lower bounds for positions, edges and cost of every structure that keeps given contracts, each by a named theorem.

The theorems are in ``docs/discovery.md``; the sections named by anchors have the proofs. None of them depends on how a
structure was found, and none is claimed where its conditions are not checked here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.eliminate import count_gates
from masksynth.discover.layer_costs import leave_one_out_by_layers
from masksynth.mask.csr import distinct
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array

PAGE = "docs/discovery.md"


@dataclass(frozen=True)
class Bound:
    """A lower bound.

    Parameters
    ----------
    value : float
    by : str
        The theorem, with its section of ``docs/discovery.md``.
    """

    value: float
    by: str


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of every structure that keeps the contracts.

    Parameters
    ----------
    positions, edges, cost : Bound
        Positions and reads of the merged answer as `masksynth.discover.measure` counts them; cost by the weights.
    """

    positions: Bound
    edges: Bound
    cost: Bound


def bounds_of(contracts: Contracts) -> Bounds:
    """Return lower bounds for positions, edges and cost.

    Parameters
    ----------
    contracts : Contracts
        Of any placement, with or without free elements; demands only raise what is needed, and are not used.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> bounds = bounds_of(leave_one_out(n=64, layers=10))
    >>> bounds.positions.value, bounds.edges.value, bounds.edges.by
    (128, 250, 'theorem 2, leave-one-out (docs/discovery.md#theorem-2)')
    """
    is_query = np.array([target.place == "query" for target in contracts.targets], bool)
    needed = np.unpackbits(contracts.need.view(np.uint8), axis=1, count=contracts.elements.count, bitorder="little")
    needs = needed.any(axis=1)
    positions = int(needed.any(axis=0).sum()) + count_blanks(contracts, is_query)
    copies = count_blanks(contracts, is_query & needs)
    size = leave_one_out_size(contracts)
    if size >= 3:
        gates, theorem = 3 * size - 6, f"theorem 2, leave-one-out ({PAGE}#theorem-2)"
    else:
        gates, theorem = count_gates(contracts), f"theorem 3, gate elimination ({PAGE}#theorem-3)"
    edges = Bound(gates + copies, theorem)
    read = needed[is_query].any(axis=0)
    cost = _cost(contracts, positions, edges, copies, int(read.sum()))
    return Bounds(Bound(positions, f"theorem 1, positions ({PAGE}#theorem-1)"), edges, cost)


def _cost(contracts: Contracts, positions: int, edges: Bound, blanks: int, read: int) -> Bound:
    """Return a lower bound for the cost from those for positions, edges, blanks that read, and elements read."""
    weights = contracts.weights
    if weights.count == "structure":
        value = weights.position * positions + weights.pair * edges.value
        return Bound(value, f"theorem 1, positions ({PAGE}#theorem-1), and {edges.by}")
    all_queries = all(target.place == "query" for target in contracts.targets)
    size = leave_one_out_size(contracts) if all_queries and contracts.masks == "layered" else 0
    if size >= 3 and size == len(contracts.targets):
        return Bound(leave_one_out_by_layers(size, weights), f"theorem 5, layers ({PAGE}#theorem-5)")
    # the last layer in which a token is read leaves it as it is, unless it is a target or the mask is the same again
    token = weights.kv if all_queries and contracts.masks == "layered" else min(weights.kv, weights.position)
    value = weights.position * blanks + token * read + weights.pair * edges.value
    repeats = (contracts.layers or 1) if contracts.masks == "one" else 1
    return Bound(repeats * value, f"theorem 4, charges ({PAGE}#theorem-4), and {edges.by}")


def leave_one_out_size(contracts: Contracts) -> int:
    """Return n if the contracts contain leave-one-out of all n elements that are needed, otherwise 0.

    For each of these elements there must be a target that hides it and needs all others; further targets may be there.
    """
    used = np.bitwise_or.reduce(contracts.need, axis=0, initial=0)
    size = int(np.bitwise_count(used).sum())
    hidden = contracts.hide & used
    is_all_but_one = (np.bitwise_count(hidden).sum(axis=1) == 1) & ((contracts.need | hidden) == used).all(axis=1)
    return size if size and len(np.unique(hidden[is_all_but_one], axis=0)) == size else 0


def count_blanks(contracts: Contracts, chosen: BoolArray) -> int:
    """Return a lower bound for the number of different blanks at which the chosen targets are predicted.

    Blanks of different position ids differ, and so do those of two targets of which one needs what the other hides: a
    greedy choice of targets that exclude one another is counted for each position id.
    """
    place = np.array([target.position for target in contracts.targets], np.int64)
    total = 0
    for position in distinct(place[chosen]):
        total += len(_exclusive(np.flatnonzero(chosen & (place == position)), contracts))
    return total


def _exclusive(targets: Int64Array, contracts: Contracts) -> list[int]:
    """Return targets of which each two exclude one another, chosen greedily."""
    kept: list[int] = []
    for target in targets.tolist():
        if _excludes(contracts.need[kept], contracts.hide[kept], contracts.need[target], contracts.hide[target]):
            kept.append(target)
    return kept


def _excludes(need: UInt64Array, hide: UInt64Array, other_need: UInt64Array, other_hide: UInt64Array) -> bool:
    """Return whether a target excludes each of some others."""
    return bool(((need & other_hide) | (hide & other_need)).any(axis=1).all())
