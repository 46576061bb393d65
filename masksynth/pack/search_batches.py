"""Search for batches of fewer positions: a few related batches are dissolved at a time, and grown anew with changes.

Large neighbourhood search (Shaw 1998) with simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983). A batch grows from a
random large unit: the unit is added of which the least part is new, until the room that is left is below a random
threshold; then units of the greatest sum of new positions that fits are added at once. Half of the time, the first
batch that grows may not hold a random class of shared positions, so that classes leave batches completely.

Random numbers have a fixed seed, and the effort is counted in comparisons, not in seconds, so that equal samples give
equal batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from random import Random
from typing import NamedTuple

import numpy as np

from masksynth.mask.csr import prefix_sums
from masksynth.pack.bins import fill_room
from masksynth.pack.holdings import Holdings

CLOSE = 2_000
"""Batches are close to the least number of positions if they take at most one part of it more: 0.05 %."""
PATIENCE = 2
"""Without annealing, the search ends after this many rounds for each batch without an improvement."""
DISSOLVED = 5
"""Most batches that are dissolved at a time."""
ROUND = 30
"""Effort of a round beside that of growing batches."""
WARMTH = 1 / 60
"""Highest temperature, as a part of the size of a batch."""
COOLING = 8_000
"""Effort for each batch with which annealing begins at the highest temperature; with less, it begins lower."""
FULLNESS = 0.1
"""Positions that a batch filled with all positions of another one is worth, as a part of its size."""


def _bound_nothing(_: int) -> int:
    return 0


@dataclass
class Search:
    """Effort of a search, and the number of positions at which it ends.

    Parameters
    ----------
    effort : int
        Most effort, beyond some for each unit; a million is about a second.
    close : int
        Effort after which batches are returned that are close to the bound (`CLOSE`).
    bound : callable
        Takes a number of positions that is sufficient, and returns a lower bound. It is not called where no search is
        needed.
    seconds : float
        Time that searches have taken so far, without that of ``bound``.
    """

    effort: int = 0
    close: int = 0
    bound: Callable[[int], int] = _bound_nothing
    seconds: float = 0.0


class Classes(NamedTuple):
    """Positions that the same units hold.

    Parameters
    ----------
    own, total : list of u int
        Number of positions that each unit alone holds, and of those that it holds in all.
    held : list of u frozensets of int
        Classes of shared positions that each unit holds.
    weight : list of K int
        Number of positions of each class.
    holders : list of K lists of int
        Units that hold each class, two or more.
    """

    own: list[int]
    total: list[int]
    held: list[frozenset[int]]
    weight: list[int]
    holders: list[list[int]]

    def size(self, units: Sequence[int]) -> int:
        """Return the number of positions of some units together."""
        together = frozenset[int]().union(*(self.held[unit] for unit in units))
        return sum(self.own[unit] for unit in units) + sum(self.weight[k] for k in together)


def classes_of(holdings: Holdings) -> Classes:
    """Return the classes of the nodes of a forest.

    Examples
    --------
    >>> from masksynth.pack.holdings import holdings_of
    >>> from masksynth.pack.prefix import Forest
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> classes = classes_of(holdings_of(forest, np.arange(3)))
    >>> classes.own, sorted(zip(classes.weight, classes.holders)), classes.size([0, 2])
    ([1, 2, 4], [(1, [0, 1, 2]), (2, [0, 1])], 8)
    """
    count = np.diff(holdings.unit_offset)
    alone = prefix_sums(np.where(count == 1, holdings.weight, 0)[holdings.node])
    own = alone[holdings.node_offset[1:]] - alone[holdings.node_offset[:-1]]
    # nodes of the same units have equal sums of random words of their units
    word = np.random.default_rng(0).integers(0, 2**64, len(own), np.uint64)
    sums = prefix_sums(word[holdings.unit])
    shared = np.flatnonzero(count > 1)
    key = (sums[holdings.unit_offset[1:]] - sums[holdings.unit_offset[:-1]])[shared]
    _, first, kind = np.unique(key, return_index=True, return_inverse=True)
    weight = np.bincount(kind, holdings.weight[shared]).astype(np.int64).tolist()
    holders = [
        holdings.unit[holdings.unit_offset[node] : holdings.unit_offset[node + 1]].tolist() for node in shared[first]
    ]
    held: list[list[int]] = [[] for _ in own]
    for k, units in enumerate(holders):
        for unit in units:
            held[unit].append(k)
    return Classes(own.tolist(), holdings.size.tolist(), [frozenset(each) for each in held], weight, holders)


def search_batches(
    classes: Classes, batches: Sequence[Sequence[int]], limit: int, least: int, effort: int, close: int = 0
) -> list[list[int]]:
    """Return batches that take as many positions as the given ones or fewer; of equal ones the fewest batches.

    Parameters
    ----------
    classes : Classes
    batches : sequence of sequences of int
        Units of each batch.
    limit : int
        Most positions of a batch.
    least : int
        A lower bound on the number of positions, at which the search ends.
    effort : int
        About the number of units that are compared to grow batches, and `ROUND` for each round.
    close : int
        Effort after which the search ends if the bound is missed by at most one `CLOSE`-th of it.
    """
    rng = Random(0)
    now = [list(batch) for batch in batches]
    sizes = [classes.size(batch) for batch in now]
    batch_of = _batch_of_unit(now, len(classes.own))
    best, best_cost = list(now), (sum(sizes), len(sizes))
    hottest = WARMTH * limit * min(1.0, effort / (COOLING * len(now)))
    patience = PATIENCE * len(now) if effort < COOLING * len(now) / 10 else effort
    unchanged, left = 0, effort
    while left > 0 and len(now) > 1 and unchanged < patience:
        if best_cost[0] <= (least if effort - left < close else least + least // CLOSE):
            break
        chosen, shunned = _choose_related(classes, now, batch_of, rng)
        pool = [unit for number in chosen for unit in now[number]]
        left -= len(pool) ** 2 // len(chosen) + ROUND
        grown = _grow(classes, pool, limit, shunned, rng)
        before = [sizes[number] for number in chosen]
        change = _price([size for _, size in grown], limit) - _price(before, limit)
        unchanged += 1
        if change > 0 and rng.random() >= exp(-change / max(hottest * left / effort, 1e-9)):
            continue
        for number, batch in zip(chosen, grown, strict=False):
            now[number], sizes[number] = batch
        if len(grown) != len(chosen):
            _resize(now, sizes, chosen[len(grown) :], grown[len(chosen) :])
            batch_of = _batch_of_unit(now, len(batch_of))
        else:
            for number in chosen:
                for unit in now[number]:
                    batch_of[unit] = number
        if (cost := (sum(sizes), len(sizes))) < best_cost:
            best, best_cost, unchanged = list(now), cost, 0
    return best


def _batch_of_unit(batches: Sequence[Sequence[int]], units: int) -> list[int]:
    """Return the batch of each unit."""
    result = [0] * units
    for number, batch in enumerate(batches):
        for unit in batch:
            result[unit] = number
    return result


def _resize(
    batches: list[list[int]], sizes: list[int], emptied: Sequence[int], more: Sequence[tuple[list[int], int]]
) -> None:
    """Remove the emptied batches, and append the (units, size) of more."""
    for number in sorted(emptied, reverse=True):
        del batches[number], sizes[number]
    for batch, size in more:
        batches.append(batch)
        sizes.append(size)


def _price(sizes: Sequence[int], limit: int) -> float:
    """Return what batches cost: their positions, and less if they are filled unequally, as one can then be emptied."""
    return sum(sizes) - FULLNESS * sum(size * size for size in sizes) / limit


def _choose_related(
    classes: Classes, batches: Sequence[Sequence[int]], batch_of: Sequence[int], rng: Random
) -> tuple[list[int], int]:
    """Return up to `DISSOLVED` batches that hold a class of one random unit, and the class to be shunned, or -1."""
    unit = rng.randrange(len(batch_of))
    chosen = {batch_of[unit]: None}  # in the order of choice
    count = min(rng.randint(2, DISSOLVED), len(batches))
    kinds = sorted(classes.held[unit])
    rng.shuffle(kinds)
    for kind in kinds:
        for _ in range(3 * count):  # holders in the same batch are drawn in vain
            if len(chosen) == count:
                break
            chosen[batch_of[rng.choice(classes.holders[kind])]] = None
    while len(chosen) < 2:
        chosen[rng.randrange(len(batches))] = None
    return list(chosen), rng.choice(kinds) if kinds and rng.random() < 0.5 else -1


def _grow(classes: Classes, pool: list[int], limit: int, shunned: int, rng: Random) -> list[tuple[list[int], int]]:
    """Return batches of the units of the pool, and their numbers of positions; the first one holds no shunned class."""
    rng.shuffle(pool)
    grown: list[tuple[list[int], int]] = []
    candidates = [unit for unit in pool if shunned not in classes.held[unit]] or pool
    while pool:
        batch, size = _grow_batch(classes, candidates, limit, rng)
        grown.append((batch, size))
        chosen = set(batch)
        candidates = pool = [unit for unit in pool if unit not in chosen]
    return grown


def _grow_batch(classes: Classes, candidates: list[int], limit: int, rng: Random) -> tuple[list[int], int]:
    """Return one batch of some of the candidates, and its number of positions."""
    own, held, weight = classes.own, classes.held, classes.weight
    first = max(candidates, key=lambda unit: own[unit] * (rng.random() + 0.5))
    batch, left = [first], [unit for unit in candidates if unit != first]
    together = set(held[first])
    size = classes.size(batch)
    factor = {unit: rng.uniform(0.7, 1.3) / max(classes.total[unit], 1) for unit in left}
    threshold = limit * rng.random() if rng.random() < 0.8 else 0
    while left:
        room = limit - size
        new = {unit: own[unit] + sum([weight[k] for k in held[unit] - together]) for unit in left}
        left = [unit for unit in left if new[unit] <= room]
        if not left:
            break
        if room < threshold:
            rng.shuffle(left)
            # together, these units add at most the sum of what each of them adds
            added = fill_room(new, left, room) if any(new[unit] for unit in left) else left
        else:
            added = [min(left, key=lambda unit: new[unit] * factor[unit])]
        batch += added
        together.update(*(held[unit] for unit in added))
        size = sum([own[unit] for unit in batch]) + sum([weight[k] for k in together])
        left = [unit for unit in left if unit not in added]
    return batch, size
