"""``arrange``: the best of several orders, improved where the mask is small, beside a bound that no order undercuts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike

from masksynth.arrange.improve import improved
from masksynth.arrange.measure import Counts, bound, check_block_size, counts
from masksynth.arrange.permute import inverse, permuted, pieces
from masksynth.arrange.seriate import MAX_ALLOWED, starting_orders
from masksynth.arrange.tree_orders import parents, tree_orders
from masksynth.backends import Limits, Status
from masksynth.errors import Contradiction, InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.typing import Int64Array

EXACT = "masksynth_solvers.block_order:fewest_blocks"
"""The exact search, "module:function"."""
FEW_PIECES, MANY_PIECES = 1 << 18, 1 << 23
"""An order is tried if it cuts the intervals into few pieces, and all orders together into no more than many (large masks: 4T and 2T)."""
MAX_IMPROVED = 4096
"""Most positions for which blocks are improved by exchanges."""
NAMES = ("depth first", "depth first, heaviest first", "depth first, laid out")
DESCENTS, STARTS = 24, 6
"""Most local searches, and how many of them begin at different heuristics."""


@dataclass(frozen=True, eq=False)
class Arrangement:
    """An order of the positions and what it costs.

    Parameters
    ----------
    order : (N,) int64
        Position i of the arranged mask is the old position ``order[i]``.
    value, given : Counts
        Of this order, and of the order that the mask came in.
    bound : int
        No order has fewer non-empty blocks.
    block_size : int
    method : str
        Which heuristic, or solver, the order comes from.
    proof : str
        Where the bound comes from.
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
        """OPTIMAL iff the number of non-empty blocks is proved least; of partial blocks and intervals nothing is proved."""
        return Status.OPTIMAL if self.value.nonempty == self.bound else Status.FEASIBLE

    @property
    def gap(self) -> int:
        """Non-empty blocks above the bound."""
        return self.value.nonempty - self.bound


@dataclass(frozen=True, eq=False)
class _Found:
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
    """An order of the positions with few non-empty blocks, then few partial blocks, then few row intervals.

    With mask'[i, j] = mask[order[i], order[j]] the cost is the pairs that a block-sparse kernel computes, B^2 times the B x B blocks of
    mask' that hold an allowed pair, summed over the tables; ties are broken by the partial blocks, then by the intervals. Position ids
    are explicit, so any permutation computes the same. The result is never worse than the given order; it is the same for the same
    arguments, without a time limit.

    Parameters
    ----------
    mask : Mask
    block_size : int
        B.
    exact : bool
        Also search with CP-SAT for the fewest non-empty blocks (small masks).
    alike : (N,) ints, optional
        Positions with one number keep their order among themselves, so that the lowest stays the lowest.
    effort : float
        Deterministic limit of the local search, in units of about a second; forests need none.
    limits : Limits, optional
        Of the exact search.

    Raises
    ------
    InvalidInstance
        If the block size is not positive or far too small, or ``alike`` has another length.
    Unsupported
        If an exact search is asked for and cannot be served.
    Contradiction
        If a bound is above the number of blocks that were counted: a defect, never a result.

    Examples
    --------
    Two streams of four tokens, interleaved: the second sees the first.

    >>> first = np.tril(np.ones((4, 4), bool))
    >>> mask = Mask.from_dense(np.block([[first, np.zeros((4, 4), bool)], [first, np.eye(4, dtype=bool)]]))
    >>> interleaved = permuted(mask, [0, 4, 1, 5, 2, 6, 3, 7])
    >>> found = arrange(interleaved, 4)
    >>> found.given, found.value, found.bound, found.status.name
    (Counts(nonempty=3, partial=3, intervals=20), Counts(nonempty=3, partial=3, intervals=11), 3, 'OPTIMAL')
    """
    check_block_size(block_size)
    groups = None if alike is None else np.asarray(alike)
    if groups is not None and groups.shape != (mask.size,):
        raise InvalidInstance(
            f"alike has shape {groups.shape}, not ({mask.size},)", "", "give one number for each position"
        )
    least = bound(mask, block_size)
    given = _Found(counts(mask, block_size), np.arange(mask.size), "given")
    judge = _judge(mask, block_size, groups)
    best = given if _settled(given, least, mask) else _search(mask, block_size, judge, given, least, effort)
    proof = "counting rows and columns"
    if exact and best.value.nonempty > least:
        best, least, proof = _exactly(mask, block_size, judge, best, least, limits or Limits())
    if least > best.value.nonempty:
        raise Contradiction(proof, least, best.method, best.value.nonempty, _name(mask, block_size))
    return Arrangement(best.order, best.value, given.value, least, block_size, best.method, proof)


def _name(mask: Mask, block: int) -> str:
    """What a contradiction says of the problem."""
    return f"blocks of {block} of a mask of {mask.size} positions and {mask.pairs} pairs"


def kept(order: Int64Array, alike: Int64Array) -> Int64Array:
    """The order in which the members of each group stand in the group's places, lowest first.

    Examples
    --------
    >>> kept(np.array([3, 1, 2, 0]), np.array([0, 1, 2, 0])).tolist()
    [0, 1, 2, 3]
    """
    place = inverse(order)
    every = np.arange(len(order))
    result = np.empty_like(order)
    result[place[np.lexsort((place, alike))]] = every[np.lexsort((every, alike))]
    return result


Judge = Callable[[Int64Array, str], "_Found | None"]


def _judge(mask: Mask, block: int, alike: Int64Array | None) -> Judge:
    """What counts an order exactly, or passes it over if that would take too long."""

    def judge(order: Int64Array, method: str) -> _Found | None:
        order = order if alike is None else kept(order, alike)
        if pieces(mask, order) > max(FEW_PIECES, 4 * len(mask.key_start)):
            return None
        return _Found(counts(permuted(mask, order), block), order, method)

    return judge


def _settled(found: _Found, least: int, mask: Mask) -> bool:
    """Nothing is left to gain: no blocks above the bound, one interval a row, and so few pairs that no block need be partial less."""
    return mask.size == 0 or (
        found.value.nonempty <= least and found.value.partial == 0 and found.value.intervals <= mask.size
    )


def _better(one: _Found, two: _Found | None) -> _Found:
    return two if two is not None and two.value < one.value else one


def _search(mask: Mask, block: int, judge: Judge, given: _Found, least: int, effort: float) -> _Found:
    """The best order that the heuristics find."""
    parent = parents(mask)
    orders = _both_ways(mask) if parent is None else zip(NAMES, tree_orders(mask, parent, block), strict=True)
    found, left = [given], max(MANY_PIECES, 2 * len(mask.key_start))
    for name, order in orders:
        left -= (cut := pieces(mask, order))
        if left < 0:
            left += cut
        elif one := judge(order, name):
            found.append(one)
        if mask.size > MAX_IMPROVED and min(one.value.nonempty for one in found) <= least:
            break
    ranked = sorted(found, key=lambda one: one.value)
    if mask.size > MAX_IMPROVED or mask.pairs > MAX_ALLOWED or mask.size <= block:
        return ranked[0]
    return _descents(mask, block, judge, ranked, least, effort)


def _both_ways(mask: Mask) -> Iterator[tuple[str, Int64Array]]:
    """The starting orders that differ, each followed by its reverse where the mask is small."""
    seen = set()
    for name, order in starting_orders(mask):
        for title, one in ((name, order), (f"{name}, reversed", order[::-1].copy()))[: 1 + (mask.size <= MAX_IMPROVED)]:
            if (text := one.tobytes()) not in seen:
                seen.add(text)
                yield title, one


def _descents(mask: Mask, block: int, judge: Judge, ranked: list[_Found], least: int, effort: float) -> _Found:
    """Local searches: from the best orders of different cost, then from the best order with two segments exchanged."""
    rng = np.random.default_rng(0)
    starts = list({one.value: one for one in reversed(ranked)}.values())[::-1][:STARTS]
    best, left = ranked[0], effort
    for turn in range(DESCENTS):
        if left <= 0 or (turn >= len(starts) and best.value.nonempty <= least):
            break
        start = starts[turn].order if turn < len(starts) else _exchanged(best.order, block, rng)
        order, spent = improved(mask, start, block, left)
        left -= spent
        name = f"{starts[turn].method if turn < len(starts) else best.method.removesuffix(', improved')}, improved"
        for variant in _tidy(order, start, block):
            best = _better(best, judge(variant, name))
    return best


def _exchanged(order: Int64Array, block: int, rng: np.random.Generator) -> Int64Array:
    """The order with two disjoint segments in each other's place."""
    a, b, c, d = np.sort(rng.integers(0, len(order) + 1, 4)).tolist()
    b, d = min(b, a + 2 * block), min(d, c + 2 * block)
    return np.concatenate([order[:a], order[c:d], order[b:c], order[a:b], order[d:]])


def _tidy(order: Int64Array, start: Int64Array, block: int) -> Iterator[Int64Array]:
    """Orders of equal blocks: positions inside, and the whole blocks, as they were given or as they stood at the start."""
    place = inverse(start)
    home = np.arange(len(order)) // block
    whole = len(order) // block
    for inside in (order, place[order]):
        for across in (order, place[order], home * block):
            level = np.bincount(home, across) / np.bincount(home)
            level[whole:] = np.inf
            yield order[np.lexsort((inside, level[home], home >= whole))]


def _exactly(mask: Mask, block: int, judge: Judge, best: _Found, least: int, limits: Limits) -> tuple[_Found, int, str]:
    """Search exactly, from the best order known; what comes back is counted again."""
    module, _, name = EXACT.partition(":")
    try:
        search = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Unsupported(f"the exact search cannot be loaded from {EXACT}: {error}") from error
    order, proved, proof = search(mask, block, best.order, least, limits)
    for variant in _tidy(order, best.order, block):
        best = _better(best, judge(variant, "cp-sat"))
    return best, max(least, proved), proof if proved > least else "counting rows and columns"
