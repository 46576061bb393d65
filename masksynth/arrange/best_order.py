"""The best of several orders, improved by local search if the mask is small, with a lower bound for all orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike

from masksynth.arrange.forest import find_forest
from masksynth.arrange.improve import improve_order
from masksynth.arrange.order_bounds import bound
from masksynth.arrange.order_cost import Counts, check_block_size, counts
from masksynth.arrange.permute import count_pieces, invert_order, permuted
from masksynth.arrange.seriate import MAX_ALLOWED, starting_orders
from masksynth.arrange.tree_orders import tree_orders
from masksynth.backends import Limits, Status
from masksynth.errors import Contradiction, InvalidInstance, Unsupported, check_type
from masksynth.mask import Mask
from masksynth.mask.typing import Int64Array
from masksynth.verify import check_arrangement

EXACT = "masksynth_solvers.block_order:fewest_blocks"
"""The exact search, as "module:function"."""
PIECES_PER_ORDER, PIECES_IN_ALL = 1 << 18, 1 << 23
"""Limits on the pieces into which one order, and all orders together, cut the intervals (large masks: 4T and 2T)."""
MAX_IMPROVED = 4096
"""Number of positions up to which blocks are improved by exchanges."""
COUNTING = "counting rows, columns and components"
"""Origin of the bound that needs no search."""
NAMES = (
    "depth first",
    "depth first, heaviest first",
    "depth first, laid out",
    "depth first, laid out, paths cut",
    "laid out for cut paths, paths cut",
)
DESCENTS, STARTS = 24, 6
"""Maximal number of local searches, and how many of them start at different heuristic orders."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """An order of the positions and its cost.

    Parameters
    ----------
    order : (N,) int64
        Position i of the arranged mask is the old position ``order[i]``.
    value, given : Counts
        Costs of this order and of the given order.
    bound : int
        Lower bound on the non-empty blocks of any order.
    block_size : int
        B.
    method : str
        Heuristic or solver that found the order.
    proof : str
        Origin of the bound.
    """

    order: Int64Array
    value: Counts
    given: Counts
    bound: int
    block_size: int
    method: str
    proof: str

    @property
    def status(self) -> Status:
        """OPTIMAL iff the number of non-empty blocks is proved minimal; partial blocks and intervals may not be."""
        return Status.OPTIMAL if self.value.nonempty == self.bound else Status.FEASIBLE

    @property
    def gap(self) -> int:
        """Number of non-empty blocks above the bound."""
        return self.value.nonempty - self.bound


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An order with its cost and the heuristic that found it."""

    value: Counts
    order: Int64Array
    method: str


def arrange(
    mask: Mask,
    block_size: int = 128,
    *,
    exact: bool = False,
    alike: ArrayLike | None = None,
    effort: float = 1.0,
    limits: Limits | None = None,
) -> Arrangement:
    """Find an order of the positions with few non-empty blocks, then few partial blocks, then few row intervals.

    With mask'[i, j] = mask[order[i], order[j]] the cost is the number of pairs that a block-sparse kernel computes: B^2
    times the number of B x B blocks of mask' with an allowed pair, summed over the tables; ties are broken by partial
    blocks, then by intervals. Position ids are explicit, so every permutation computes the same. The result is never
    worse than the given order, and deterministic without a time limit.

    Parameters
    ----------
    mask : Mask
    block_size : int
        B.
    exact : bool
        Whether to search for the fewest non-empty blocks with CP-SAT as well (small masks).
    alike : (N,) ints, optional
        Group of each position; positions of one group keep their relative order, so that the lowest stays the lowest.
    effort : float
        Deterministic limit of the local search, in units of about a second; forests need none.
    limits : Limits, optional
        Limits of the exact search.

    Raises
    ------
    InvalidInstance
        If the block size is not positive or far too small, or ``alike`` has another length.
    Unsupported
        If the exact search is not available or the mask is too large for it.
    WrongAnswer
        If the independent checker counts other blocks, or proves less than the bound by counting.
    Contradiction
        If a lower bound exceeds the number of blocks of a known order: a defect of the software, never a result.

    Examples
    --------
    Two interleaved streams of four tokens; the second attends to the first.

    >>> first = np.tril(np.ones((4, 4), bool))
    >>> mask = Mask.from_dense(np.block([[first, np.zeros((4, 4), bool)], [first, np.eye(4, dtype=bool)]]))
    >>> interleaved = permuted(mask, [0, 4, 1, 5, 2, 6, 3, 7])
    >>> found = arrange(interleaved, 4)
    >>> found.given, found.value, found.bound, found.status.name
    (Counts(nonempty=3, partial=3, intervals=20), Counts(nonempty=3, partial=3, intervals=11), 3, 'OPTIMAL')
    """
    check_type(mask, Mask)
    check_block_size(block_size)
    groups = None if alike is None else np.asarray(alike)
    if groups is not None and groups.shape != (mask.size,):
        raise InvalidInstance(
            f"alike: expected shape ({mask.size},), got {groups.shape}", "", "give one number for each position"
        )
    least = bound(mask, block_size)
    given = _Candidate(counts(mask, block_size), np.arange(mask.size), "given")
    evaluate = _make_evaluator(mask, block_size, groups)
    best = given if _is_perfect(given, least, mask) else _search(mask, block_size, evaluate, given, least, effort)
    proof, counted = COUNTING, least
    if exact and best.value.nonempty > least:
        best, least, proof = _search_exactly(mask, block_size, evaluate, best, least, limits or Limits())
    if least > best.value.nonempty:
        raise Contradiction(proof, least, best.method, best.value.nonempty, _describe_problem(mask, block_size))
    check_arrangement(mask, best.order, best.value.nonempty, counted, block_size)
    return Arrangement(best.order, best.value, given.value, least, block_size, best.method, proof)


def _describe_problem(mask: Mask, block: int) -> str:
    """Return the problem in words, for a contradiction."""
    return f"blocks of {block} of a mask of {mask.size} positions and {mask.pairs} pairs"


def keep_group_order(order: Int64Array, alike: Int64Array) -> Int64Array:
    """Return the order in which the members of each group take the positions of the group, lowest first.

    Examples
    --------
    >>> keep_group_order(np.array([3, 1, 2, 0]), np.array([0, 1, 2, 0])).tolist()
    [0, 1, 2, 3]
    """
    new_position = invert_order(order)
    positions = np.arange(len(order))
    result = np.empty_like(order)
    # group by group: the ascending new positions of its members, and the members ascending
    result[new_position[np.lexsort((new_position, alike))]] = positions[np.lexsort((positions, alike))]
    return result


Evaluator = Callable[[Int64Array, str], "_Candidate | None"]


def _make_evaluator(mask: Mask, block: int, alike: Int64Array | None) -> Evaluator:
    """Return a function that counts the cost of an order exactly; None for an order that cuts too many pieces."""

    def evaluate(order: Int64Array, method: str) -> _Candidate | None:
        order = order if alike is None else keep_group_order(order, alike)
        if count_pieces(mask, order) > max(PIECES_PER_ORDER, 4 * len(mask.key_start)):
            return None
        return _Candidate(counts(permuted(mask, order), block), order, method)

    return evaluate


def _is_perfect(candidate: _Candidate, least: int, mask: Mask) -> bool:
    """Return whether no order can be better: no blocks above the bound, none partial, one interval per row."""
    cost = candidate.value
    return mask.size == 0 or (cost.nonempty <= least and cost.partial == 0 and cost.intervals <= mask.size)


def _better(first: _Candidate, second: _Candidate | None) -> _Candidate:
    return second if second is not None and second.value < first.value else first


def _search(mask: Mask, block: int, evaluate: Evaluator, given: _Candidate, least: int, effort: float) -> _Candidate:
    """Return the best order that the heuristics find."""
    parent = find_forest(mask)
    orders = _both_directions(mask) if parent is None else zip(NAMES, tree_orders(mask, parent, block), strict=True)
    candidates, budget = [given], max(PIECES_IN_ALL, 2 * len(mask.key_start))
    for name, order in orders:
        budget -= (pieces := count_pieces(mask, order))
        if budget < 0:
            budget += pieces  # skip this order; a later one may cut fewer pieces
        elif candidate := evaluate(order, name):
            candidates.append(candidate)
        if mask.size > MAX_IMPROVED and min(candidate.value.nonempty for candidate in candidates) <= least:
            break
    ranked = sorted(candidates, key=lambda candidate: candidate.value)
    if mask.size > MAX_IMPROVED or mask.pairs > MAX_ALLOWED or mask.size <= block:
        return ranked[0]
    return _improve(mask, block, evaluate, ranked, least, effort)


def _both_directions(mask: Mask) -> Iterator[tuple[str, Int64Array]]:
    """Yield the distinct starting orders, each followed by its reverse if the mask is small."""
    seen = set()
    for name, order in starting_orders(mask):
        directions = [(name, order), (f"{name}, reversed", order[::-1].copy())]
        for title, directed in directions[: 2 if mask.size <= MAX_IMPROVED else 1]:
            if (content := directed.tobytes()) not in seen:
                seen.add(content)
                yield title, directed


def _improve(
    mask: Mask, block: int, evaluate: Evaluator, ranked: list[_Candidate], least: int, effort: float
) -> _Candidate:
    """Run local searches from the best orders of different cost, then from the best with two segments exchanged."""
    rng = np.random.default_rng(0)
    starts = list({candidate.value: candidate for candidate in reversed(ranked)}.values())[::-1][:STARTS]
    best, remaining = ranked[0], effort
    for turn in range(DESCENTS):
        if remaining <= 0 or (turn >= len(starts) and best.value.nonempty <= least):
            break
        start = starts[turn].order if turn < len(starts) else _exchange_segments(best.order, block, rng)
        order, spent = improve_order(mask, start, block, remaining)
        remaining -= spent
        name = f"{starts[turn].method if turn < len(starts) else best.method.removesuffix(', improved')}, improved"
        for variant in _sort_blocks(order, start, block):
            best = _better(best, evaluate(variant, name))
    return best


def _exchange_segments(order: Int64Array, block: int, rng: np.random.Generator) -> Int64Array:
    """Return the order with two random disjoint segments exchanged."""
    a, b, c, d = np.sort(rng.integers(0, len(order) + 1, 4)).tolist()
    b, d = min(b, a + 2 * block), min(d, c + 2 * block)
    return np.concatenate([order[:a], order[c:d], order[b:c], order[a:b], order[d:]])


def _sort_blocks(order: Int64Array, start: Int64Array, block: int) -> Iterator[Int64Array]:
    """Yield orders with the same blocks, sorted inside and among each other.

    Positions of a block are sorted by number or as in ``start``; blocks by the mean of either, or kept in place.
    """
    start_position = invert_order(start)
    home = np.arange(len(order)) // block
    complete = len(order) // block  # number of blocks of full size; a ragged one stays last
    for inside in (order, start_position[order]):
        for across in (order, start_position[order], home * block):
            mean = np.bincount(home, across) / np.bincount(home)
            mean[complete:] = np.inf
            yield order[np.lexsort((inside, mean[home], home >= complete))]


def _search_exactly(
    mask: Mask, block: int, evaluate: Evaluator, best: _Candidate, least: int, limits: Limits
) -> tuple[_Candidate, int, str]:
    """Search exactly, starting from the best known order; the cost of the result is counted again."""
    module, _, name = EXACT.partition(":")
    try:
        search = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Unsupported(f"the exact search cannot be loaded from {EXACT}: {error}") from error
    order, proved, proof = search(mask, block, best.order, least, limits)
    for variant in _sort_blocks(order, best.order, block):
        best = _better(best, evaluate(variant, "cp-sat"))
    return best, max(least, proved), proof if proved > least else COUNTING
