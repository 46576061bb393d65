"""The demands of contracts, from their definitions: direct reads, mixed states, disjoint ways, few hops.

For target t at position p = phi(t) with need N:

- ``direct`` r: at least min(r, |N|) elements e of N for which p reads, in some layer l, a k != p with C_{l-1}(k) = {e};
- ``mixed`` r: every e of N is in some C_{l-1}(k), k != p read by p in layer l, that has r other elements or more;
- ``bandwidth`` w: w ways from w different elements of N to p in the graph of the states (q, l), which share no state
  but those of p; a way begins at a position that embeds its element;
- ``hops`` h: every e of N arrives over at most h reads.

Layers are those of the schedule. One mask has L of them if L is given, otherwise as many as change a context and one
more, in which everything that there will be is read. A target that needs nothing meets every demand.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.tasks.canonical import shown
from masksynth.verify.discovery.broken_contract import BrokenContract
from masksynth.verify.discovery.count_ways import Ways
from masksynth.verify.discovery.layer_rows import Rows, embed, follow


def check_demands(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> tuple[str, ...]:
    """Raise unless every demand is met; return the names of those that were checked.

    Parameters
    ----------
    contracts : Contracts
    tables : list of Rows
        The rows of each layer, or of the only mask.
    element : (N,) int64
        The element that each position embeds, -1 for a blank.
    target : (T,) int64
        Position of each target.
    """
    demand, checked = contracts.demand, []
    if demand.direct:
        _check_direct(contracts, tables, element, target)
        checked.append("direct")
    if demand.mixed:
        _check_mixed(contracts, tables, element, target)
        checked.append("mixed")
    if demand.bandwidth:
        _check_bandwidth(contracts, tables, element, target)
        checked.append("bandwidth")
    if demand.hops is not None:
        _check_hops(contracts, tables, element, target)
        checked.append("hops")
    return tuple(checked)


def count_bits(state: UInt64Array) -> Int64Array:
    """Return the number of elements of each context."""
    counts: Int64Array = np.bitwise_count(state).sum(axis=1, dtype=np.int64)
    return counts


def _members(row: UInt64Array) -> list[int]:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def _joined(
    contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array, sizes: tuple[int, int]
) -> UInt64Array:
    """Return for each target the union of the contexts of that many elements that it reads, in any layer."""
    state = embed(element, contracts.need.shape[1])
    joined = np.zeros((len(target), state.shape[1]), np.uint64)
    layers = follow(tables, state, contracts.masks == "one")
    for rows, before, _ in islice(layers, contracts.layers):
        count = count_bits(before)
        fits = (count >= sizes[0]) & (count <= sizes[1])
        for index, position in enumerate(target.tolist()):
            keys = rows.others(position)
            joined[index] |= np.bitwise_or.reduce(before[keys[fits[keys]]], axis=0, initial=np.uint64(0))
    return joined


def _check_direct(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> None:
    joined = _joined(contracts, tables, element, target, (1, 1)) & contracts.need
    wanted = np.minimum(count_bits(contracts.need), contracts.demand.direct)
    found = count_bits(joined)
    if (found < wanted).any():
        index = int((found < wanted).argmax())
        label = contracts.targets[index].label
        fact = f"target {shown(label)} reads {found[index]} needed elements directly, expected {wanted[index]}"
        raise BrokenContract("direct", fact, label)


def _check_mixed(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> None:
    others = contracts.demand.mixed
    joined = _joined(contracts, tables, element, target, (others + 1, contracts.elements.count))
    _refuse(contracts, contracts.need & ~joined, "mixed", f"does not reach it in a state that holds {others} others")


def _refuse(contracts: Contracts, missing: UInt64Array, demand: str, fact: str) -> None:
    """Raise if something is missing, with the first target and element."""
    if missing.any():
        index = int(missing.any(axis=1).argmax())
        label, element = contracts.targets[index].label, contracts.elements.values[_members(missing[index])[0]]
        raise BrokenContract(demand, f"target {shown(label)} needs {shown(element)}, which {fact}", label, element)


def _check_hops(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> None:
    """Raise unless needed elements arrive over few reads: one mask has then as many layers, otherwise they count."""
    hops, is_one = contracts.demand.hops or 0, contracts.masks == "one"
    state = embed(element, contracts.need.shape[1])
    # within[j] holds what has arrived over at most j reads; there are no more reads than layers.
    within = [state.copy() for _ in range(1 if is_one else min(hops, len(tables)) + 1)]
    if is_one:
        for _, _, following in islice(follow(tables, state, True), min(hops, contracts.layers or hops)):
            within[-1] = following
    else:
        for rows in tables:
            for used in range(len(within) - 1, 0, -1):  # from the most reads, so that each is of the state before
                within[used] |= rows.unite(within[used - 1])
    _refuse(contracts, contracts.need & ~within[-1][target], "hops", f"arrives over more than {hops} reads")


def _check_bandwidth(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> None:
    wanted, is_one = contracts.demand.bandwidth, contracts.masks == "one"
    depth = len(tables)
    if is_one:
        changing = follow(tables, embed(element, contracts.need.shape[1]), True)
        depth = sum(1 for _ in islice(changing, contracts.layers))
        # Elements wait for one another: along a tree of ways to p one more arrives with each further layer.
        depth = depth if contracts.layers is None else min(contracts.layers, depth + wanted)
    ways = Ways([tables[layer % len(tables)] for layer in range(depth)], element)
    for index, position in enumerate(target.tolist()):
        needed = _members(contracts.need[index])
        found = ways.count_raw(position, set(needed))
        if found < wanted:
            found = ways.count(position, needed, wanted)
        if found < wanted:
            label = contracts.targets[index].label
            fact = f"{found} ways lead to target {shown(label)} that share no state, expected {wanted}"
            raise BrokenContract("bandwidth", fact, label)
