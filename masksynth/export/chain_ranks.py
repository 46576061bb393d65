"""Rank form of a table: keys in a few chains such that every row attends to a prefix of each chain, and maybe itself.

In a partial order of width w, the keys of a row are a down-set, and a down-set meets each of w chains in a prefix. So
``rank[k] < limit[q]``, one comparison per chain, expresses rows that have many intervals in a shuffled order. Keys that
only their own row attends to (most predictions) need no chain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums
from masksynth.mask.equal_values import distinct
from masksynth.mask.intervals import RowIntervals, coalesce_sorted, count_covering, row_intervals
from masksynth.mask.typing import BoolArray, Int32Array, Int64Array

MAX_CHAINS = 8
"""Maximum number of chains of the form."""
MAX_RUNS = 256
"""Maximum number of runs of consecutive keys out of which chains are composed."""
NEVER = 2**31 - 1
"""Rank of a key outside a chain."""
ROWS_AT_ONCE = 4096


class Chains(NamedTuple):
    """Row q attends to key k iff ``rank[c, k] < limit[c, q]`` for one of the chains c, or ``own[k] == q``.

    Parameters
    ----------
    rank : (chains, N) int32
        0, 1, ... along the keys of a chain, ``NEVER`` for keys outside it.
    limit : (chains, N) int32
        How many keys of each chain row q attends to.
    own : (N,) int32
        k where row k attends to itself outside the prefixes, else -1.
    """

    rank: Int32Array
    limit: Int32Array
    own: Int32Array


def find_chains(mask: Mask, table: int = 0) -> Chains | str:
    """Return chains of keys of which every row attends to prefixes, or the reason why none were found.

    Up to ``MAX_RUNS`` keys are taken one by one, which gives the fewest chains that exist. More are taken in runs:
    consecutive keys each of which is attended to only by rows that attend to the one before (except its own row). Run j
    may follow run i if all rows that attend to the first key of j attend to the last key of i; a maximum matching of
    such pairs gives the fewest chains of runs. The result is exact, since the keys of each row in a chain are counted
    and their ranks summed: m distinct ranks are 0 .. m - 1 iff their sum is m (m - 1) / 2.

    Takes O(T + N R^2) time for R runs, and O(R^3) in the worst case for the matching.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 1), (2, 3)), ((0, 4),)]])
    >>> chains = find_chains(mask)
    >>> chains.rank.tolist(), chains.limit.tolist(), chains.own.tolist()
    ([[0, 1, 2, 2147483647]], [[1, 0, 1, 3]], [-1, 1, 2, 3])
    """
    rows = row_intervals(mask, table)
    query, start, end = rows
    own = np.bincount(query[(start <= query) & (query < end)], minlength=mask.size)
    others = count_covering(rows, mask.size) - own  # rows that attend to each key, except its own
    shared = np.flatnonzero(others > 0)
    rows, index = _select_keys(rows, shared, mask.size)
    first = _run_starts(rows, index, len(shared)) if len(shared) > MAX_RUNS else np.arange(len(shared))
    if len(first) > MAX_RUNS:
        return f"its keys fall into {len(first):,} runs (more than {MAX_RUNS})"
    last = np.append(first[1:], len(shared))[: len(first)] - 1
    chains = _cover_by_chains(_successors(rows, index, first, last), others[shared][first])
    if len(chains) > MAX_CHAINS:
        return f"its keys need {len(chains)} chains (more than {MAX_CHAINS})"
    rank = np.full((len(chains), mask.size), NEVER, np.int32)
    for number, chain in enumerate(chains):
        keys = np.concatenate([np.arange(first[run], last[run] + 1) for run in chain])
        rank[number, shared[keys]] = np.arange(len(keys))
    return _find_limits(row_intervals(mask, table), rank, own)


def _select_keys(rows: RowIntervals, keys: Int64Array, size: int) -> tuple[RowIntervals, Int64Array]:
    """Return the rows over the given keys alone, renumbered and coalesced; and each row's own new key, -1 if none."""
    index = np.full(size, -1)
    index[keys] = np.arange(len(keys))
    below = prefix_sums((index >= 0).astype(np.int64))  # number of selected keys below each key
    query, start, end = rows[0], below[rows[1]], below[rows[2]]
    kept = start < end
    query, start, end = coalesce_sorted(query[kept], start[kept], end[kept])
    return (query, start, end), index


def _run_starts(rows: RowIntervals, index: Int64Array, size: int) -> Int64Array:
    """Return the first keys of the runs: 0, and each key at which an interval begins that is not the row's own key."""
    query, start, end = rows
    is_own = (start == index[query]) & (end == start + 1)
    return distinct(np.append(start[~is_own], 0)) if size else np.zeros(0, np.int64)


def _successors(rows: RowIntervals, index: Int64Array, first: Int64Array, last: Int64Array) -> BoolArray:
    """Return ``[i, j]``: each row with the first key of run j, except that key's own row, has the last key of run i."""
    runs, query = len(first), rows[0]
    violations = np.zeros((runs, runs), np.float32)
    for low in range(0, len(index) if runs else 0, ROWS_AT_ONCE):
        part = slice(int(np.searchsorted(query, low)), int(np.searchsorted(query, low + ROWS_AT_ONCE)))
        chunk = (query[part] - low, rows[1][part], rows[2][part])
        own = index[low : low + ROWS_AT_ONCE]
        heads, tails = (_attends(chunk, len(own), keys) for keys in (first, last))
        run = np.minimum(np.searchsorted(first, own), runs - 1)
        is_first = np.flatnonzero(first[run] == own)
        heads[is_first, run[is_first]] = False  # a row's own key does not count
        # A product of 0/1 matrices: number of rows that attend to the first key of j and not to the last of i.
        violations += (~tails).astype(np.float32).T @ heads.astype(np.float32)
    return np.asarray(violations == 0)


def _attends(rows: RowIntervals, count: int, keys: Int64Array) -> BoolArray:
    """Return (count, keys): whether each of rows 0, ..., count - 1 contains each of the sorted keys."""
    query, start, end = rows
    width = len(keys) + 1
    codes = (query * width + np.searchsorted(keys, bound) for bound in (start, end))
    opened, closed = (np.bincount(code, minlength=count * width) for code in codes)
    return np.asarray((opened - closed).reshape(count, width)[:, :-1].cumsum(axis=1) > 0)


def _cover_by_chains(successors: BoolArray, viewers: Int64Array) -> list[list[int]]:
    """Return the fewest chains of runs in which each run may follow the one before, by a maximum matching (Kuhn).

    Parameters
    ----------
    successors : (R, R) bool
        Whether run j may follow run i.
    viewers : (R,) int64
        How many rows attend to each run's first key; decreases along a chain.
    """
    order = np.argsort(-viewers, kind="stable")
    later = [[int(run) for run in order[rank + 1 :] if successors[earlier, run]] for rank, earlier in enumerate(order)]
    candidates = dict(zip(order.tolist(), later, strict=True))
    predecessor: dict[int, int] = {}

    def augment(run: int, tried: set[int]) -> bool:
        """Match ``run`` with a successor, moving earlier matches along an augmenting path."""
        for successor in candidates[run]:
            if successor not in tried:
                tried.add(successor)
                if successor not in predecessor or augment(predecessor[successor], tried):
                    predecessor[successor] = run
                    return True
        return False

    for run in candidates:
        augment(run, set())
    following = {run: successor for successor, run in predecessor.items()}
    chains = [[run] for run in candidates if run not in predecessor]
    for chain in chains:
        while chain[-1] in following:
            chain.append(following[chain[-1]])
    return chains


def _find_limits(rows: RowIntervals, rank: Int32Array, own: Int64Array) -> Chains | str:
    """Return the chains with the prefix of each row, or the first row whose keys (except its own) are not prefixes."""
    limit = np.zeros(rank.shape, np.int32)
    is_apart = own.astype(bool) & (rank == NEVER).all(axis=0)  # rows whose own key is outside their prefixes
    for number, ranks in enumerate(rank.astype(np.int64)):
        member = ranks != NEVER
        count = _sum_over_rows(rows, member.astype(np.int64))
        total = _sum_over_rows(rows, np.where(member, ranks, 0))
        # Where the keys are not 0 .. m - 1, the own key is taken out and must have been the only one beyond the prefix.
        without_own = (total != count * (count - 1) // 2) & member & (own > 0)
        count, total = count - without_own, total - np.where(without_own, ranks, 0)
        is_apart |= without_own
        wrong = total != count * (count - 1) // 2
        if wrong.any():
            return f"row {int(wrong.argmax())} sees no prefix of a chain"
        limit[number] = count
    return Chains(rank, limit, np.where(is_apart, np.arange(len(own)), -1).astype(np.int32))


def _sum_over_rows(rows: RowIntervals, value: Int64Array) -> Int64Array:
    """Return the sum of a value per key over the keys of each row."""
    query, start, end = rows
    before = prefix_sums(value)
    up_to = prefix_sums(before[end] - before[start])  # sums over the intervals before each interval
    return np.diff(up_to[np.searchsorted(query, np.arange(len(value) + 1))])
