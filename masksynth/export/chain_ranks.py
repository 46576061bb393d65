"""Ranks in chains: keys in a few chains such that every row sees a prefix of each, and itself or not.

In an order of width w, the keys that a position sees are a down-set, and a down-set meets each of w chains in a prefix. So two numbers
per key and chain tell what intervals of a shuffled order cannot: ``rank[k] < limit[q]``. Keys that nobody but themselves sees (most
predictions) need no chain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.export.row_intervals import Ints, rows_of
from masksynth.mask import Mask

MAX_CHAINS = 8
"""Most chains of the form."""
MAX_RUNS = 256
"""Most runs of consecutive keys out of which chains are put together."""
NEVER = 2**31 - 1


class Chains(NamedTuple):
    """Row q sees key k iff ``rank[c, k] < limit[c, q]`` for one of the chains c, or ``own[k] == q``."""

    rank: NDArray[np.int32]
    limit: NDArray[np.int32]
    own: NDArray[np.int32]


def chains_of(mask: Mask, table: int = 0) -> Chains | str:
    """Chains of keys of which every row sees prefixes, or why none were found.

    Up to ``MAX_RUNS`` keys are taken one by one, which gives the fewest chains that there are. More are taken in runs: consecutive keys
    each of which is seen only by rows that see the one before, themselves aside. A run may follow another if all that see its first key
    see the other's last; a largest matching of such pairs gives the fewest chains of runs, of which at most ``MAX_RUNS`` are tried. What
    is found is exact, as each row's keys in a chain are counted and their ranks summed: m distinct ranks are 0 .. m - 1 iff their sum is
    m (m - 1) / 2.

    Takes O(T + N R^2) time for R runs, and O(R^3) at worst for the matching.

    Examples
    --------
    >>> mask = Mask.from_intervals([[((0, 1),), ((1, 2),), ((0, 1), (2, 3)), ((0, 4),)]])
    >>> found = chains_of(mask)
    >>> found.rank.tolist(), found.limit.tolist(), found.own.tolist()
    ([[0, 1, 2, 2147483647]], [[1, 0, 1, 3]], [-1, 1, 2, 3])
    """
    seen, own = _viewers(mask, table)
    social = np.flatnonzero(seen - own > 0)
    spans, place = _compressed(mask, table, social)
    first = _runs(spans, place, len(social)) if len(social) > MAX_RUNS else np.arange(len(social))
    if len(first) > MAX_RUNS:
        return f"its keys fall into {len(first):,} runs (more than {MAX_RUNS})"
    last = np.concatenate([first[1:], [len(social)]])[: len(first)] - 1
    chains = _fewest(_links(spans, place, first, last), (seen - own)[social][first])
    if len(chains) > MAX_CHAINS:
        return f"its keys need {len(chains)} chains (more than {MAX_CHAINS})"
    rank = np.full((len(chains), mask.size), NEVER, np.int32)
    for number, chain in enumerate(chains):
        keys = np.concatenate([np.arange(first[run], last[run] + 1) for run in chain])
        rank[number, social[keys]] = np.arange(len(keys))
    return _limits(mask, table, rank, own)


def _viewers(mask: Mask, table: int) -> tuple[Ints, Ints]:
    """How many rows see each key, and whether the key's own row does."""
    query, start, end = rows_of(mask, table)
    steps = np.bincount(start, minlength=mask.size + 1) - np.bincount(end, minlength=mask.size + 1)
    return steps.cumsum()[: mask.size], np.bincount(query[(start <= query) & (query < end)], minlength=mask.size)


def _compressed(mask: Mask, table: int, social: Ints) -> tuple[tuple[Ints, Ints, Ints], Ints]:
    """The rows over the keys ``social`` alone, renumbered, touching intervals joined; and each row's own number, -1 if it has none."""
    number = np.zeros(mask.size + 1, np.int64)
    number[social + 1] = 1
    place = np.full(mask.size, -1)
    place[social] = np.arange(len(social))
    query, start, end = rows_of(mask, table)
    number = number.cumsum()
    start, end = number[start], number[end]
    kept = start < end
    query, start, end = query[kept], start[kept], end[kept]
    opens = np.concatenate([[True], (query[1:] != query[:-1]) | (start[1:] != end[:-1])])[: len(query)]
    closes = np.concatenate([opens[1:], [True]])[: len(query)]
    return (query[opens], start[opens], end[closes]), place


def _runs(spans: tuple[Ints, Ints, Ints], place: Ints, size: int) -> Ints:
    """The first keys of the runs: 0, and every key where an interval of a row begins that is not the row's own key alone."""
    query, start, end = spans
    alone = (start == place[query]) & (end == start + 1)
    return np.unique(np.concatenate([[0], start[~alone]])) if size else np.zeros(0, np.int64)


def _links(spans: tuple[Ints, Ints, Ints], place: Ints, first: Ints, last: Ints) -> NDArray[np.bool_]:
    """``[i, j]``: every row that sees the first key of run j, its own row aside, sees the last key of run i."""
    runs, query, chunk = len(first), spans[0], 4096
    broken = np.zeros((runs, runs), np.float32)
    for low in range(0, len(place) if runs else 0, chunk):
        part = slice(int(np.searchsorted(query, low)), int(np.searchsorted(query, low + chunk)))
        heads, tails = (
            _holds([span[part] for span in spans], low, min(chunk, len(place) - low), keys) for keys in (first, last)
        )
        own = place[low : low + chunk]
        at = np.searchsorted(first, own)
        mine = (at < runs) & (first[np.minimum(at, runs - 1)] == own)
        heads[np.flatnonzero(mine), at[mine]] = False
        broken += (~tails).astype(np.float32).T @ heads.astype(np.float32)
    return np.asarray(broken == 0)


def _holds(spans: list[Ints], low: int, rows: int, keys: Ints) -> NDArray[np.bool_]:
    """(rows, keys): whether rows low, low + 1, ... hold each of the sorted keys."""
    query, start, end = spans
    steps = np.zeros((rows, len(keys) + 1), np.int32)
    np.add.at(steps, (query - low, np.searchsorted(keys, start)), 1)
    np.add.at(steps, (query - low, np.searchsorted(keys, end)), -1)
    return np.asarray(steps[:, :-1].cumsum(axis=1) > 0)


def _fewest(links: NDArray[np.bool_], seen: Ints) -> list[list[int]]:
    """The fewest chains of runs, each linked to the next; ``seen`` is how many rows see each run's first key, which falls along a chain.

    A largest matching of runs with their successors (Kuhn); runs without a predecessor begin chains.
    """
    order = np.argsort(-seen, kind="stable")
    following = [[int(run) for run in order[place + 1 :] if links[one, run]] for place, one in enumerate(order)]
    after = dict(zip(order.tolist(), following, strict=True))
    before: dict[int, int] = {}

    def augment(run: int, tried: set[int]) -> bool:
        for one in after[run]:
            if one not in tried:
                tried.add(one)
                if one not in before or augment(before[one], tried):
                    before[one] = run
                    return True
        return False

    for run in after:
        augment(run, set())
    successor = {run: one for one, run in before.items()}
    chains = [[run] for run in after if run not in before]
    for chain in chains:
        while chain[-1] in successor:
            chain.append(successor[chain[-1]])
    return chains


def _limits(mask: Mask, table: int, rank: NDArray[np.int32], own: Ints) -> Chains | str:
    """The prefixes that the rows see, each checked to be one; a row's own key may be left to ``own``."""
    spans = rows_of(mask, table)
    limit = np.zeros(rank.shape, np.int32)
    aside = own.astype(bool) & (rank == NEVER).all(axis=0)
    for number, ranks in enumerate(rank.astype(np.int64)):
        member = ranks != NEVER
        count, total = (_summed(spans, np.where(member, value, 0)) for value in (np.ones_like(ranks), ranks))
        odd = total != count * (count - 1) // 2
        odd_own = odd & member & (own > 0)
        count, total = count - odd_own, total - np.where(odd_own, ranks, 0)
        aside |= odd_own
        if (total != count * (count - 1) // 2).any():
            return f"row {int((total != count * (count - 1) // 2).argmax())} sees no prefix of a chain"
        limit[number] = count
    return Chains(rank, limit, np.where(aside, np.arange(mask.size), -1).astype(np.int32))


def _summed(spans: tuple[Ints, Ints, Ints], value: Ints) -> Ints:
    """The sum of a value per key over the keys of each row."""
    query, start, end = spans
    before = np.concatenate([[0], value.cumsum()])
    upto = np.concatenate([[0], (before[end] - before[start]).cumsum()])
    offset = np.searchsorted(query, np.arange(len(value) + 1))
    return np.diff(upto[offset])
