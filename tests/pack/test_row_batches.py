"""Batches of a number of rows: each row once, and groups are cut only where they must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from masksynth.pack.row_batches import batches_of_rows, forest_of_rows, order_of_batches


def forest_of(rows):
    lengths = np.array([len(row) for row in rows], np.int64)
    return forest_of_rows(lengths, np.array(list(itertools.chain.from_iterable(rows)), np.int64))


def positions(rows, batches):
    """Nodes of the tries of all batches, counted one prefix at a time."""
    return sum(len({tuple(rows[i][: n + 1]) for i in batch for n in range(len(rows[i]))}) for batch in batches)


def random_rows(chance):
    """Rows of a random tree: some are equal, some prefixes of others, some empty."""
    rows = [[]]
    for _ in range(int(chance.integers(1, 30))):
        stem = rows[int(chance.integers(len(rows)))]
        cut = int(chance.integers(len(stem) + 1))
        rows.append(stem[:cut] + chance.integers(0, 4, chance.integers(0, 5)).tolist())
    return [rows[i] for i in chance.permutation(len(rows))]


@pytest.mark.parametrize("seed", range(60))
def test_each_row_is_in_one_batch_of_the_right_size(seed):
    chance = np.random.default_rng(seed)
    rows, size = random_rows(chance), int(chance.integers(1, 6))
    for random in (None, chance):
        batches, rest = batches_of_rows(forest_of(rows), size, random)
        assert all(len(batch) == size for batch in batches)
        assert len(rest) < size
        assert sorted(order_of_batches(batches, rest).tolist()) == list(range(len(rows)))


@pytest.mark.parametrize("seed", range(20))
def test_groups_that_fit_are_never_cut(seed):
    """Groups of a batch's size, or of its divisors, beside rows that share nothing: the least number of positions."""
    chance = np.random.default_rng(seed)
    size, rows = 4, []
    for group, members in enumerate(chance.choice([1, 2, 4, 8], 20).tolist()):
        head = chance.integers(10 * group, 10 * group + 10, 6).tolist()
        rows += [[group + 1000, *head, 2000 + member] for member in range(members)]
    rows = [rows[i] for i in chance.permutation(len(rows))]
    batches, rest = batches_of_rows(forest_of(rows), size, chance)
    groups = [{rows[i][0] for i in batch} for batch in (*batches, rest)]
    for group in {row[0] for row in rows}:
        members = sum(row[0] == group for row in rows)
        assert sum(group in those for those in groups) == -(-members // size)


@pytest.mark.parametrize("seed", range(30))
def test_never_far_from_the_best_of_all_distributions(seed):
    """Six rows in batches of two or three: against all distributions (greedy filling is not always the best)."""
    chance = np.random.default_rng(seed)
    rows, size = (random_rows(chance) * 6)[:6], int(chance.integers(2, 4))
    batches, _ = batches_of_rows(forest_of(rows), size)
    best = min(
        positions(rows, [order[i : i + size] for i in range(0, 6, size)]) for order in itertools.permutations(range(6))
    )
    assert best <= positions(rows, batches) <= 1.5 * best


def test_one_row_too_many_does_not_shift_the_groups_after_it():
    rows = [[1, 2, 3]] + [[9, group, answer] for group in range(5) for answer in range(4)]
    batches, rest = batches_of_rows(forest_of(rows), 4)
    assert rest == [0]
    assert sorted(sorted(rows[i][1] for i in batch) for batch in batches) == [[group] * 4 for group in range(5)]


def test_ties_are_broken_by_lot():
    rows = [[7]] * 5
    left = {tuple(batches_of_rows(forest_of(rows), 4, np.random.default_rng(seed))[1]) for seed in range(40)}
    assert left == {(i,) for i in range(5)}
