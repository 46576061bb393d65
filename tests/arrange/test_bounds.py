"""The bound by components: never above the fewest blocks, its lemma on any assignment, and where it is attained."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import arrange, best_order, bound, counts, permuted
from masksynth.arrange.order_bounds import bound_by_components, connected_components, is_forest, most_groups
from masksynth.backends import Status
from masksynth.errors import WrongAnswer
from masksynth.mask import Mask
from masksynth.verify import block_bounds, check_arrangement
from masksynth.verify.block_bounds import count_nonempty, least_nonempty
from tests.arrange.naive import fewest
from tests.arrange.samples import random_order, random_relation, random_tree

SEEDS = st.integers(0, 2**32 - 1)


def small_mask(seed, size):
    """A forest, an order, a relation with or without self-attention, by the seed."""
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind < 2:
        return random_tree(rng, size, float(rng.choice([0.3, 0.7, 0.95])))
    return random_order(rng, size, 0.15) if kind == 2 else random_relation(rng, size, 0.15)


@given(seed=SEEDS, size=st.integers(1, 8), block=st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_never_above_the_fewest_blocks(seed, size, block):
    mask = small_mask(seed, size)
    assert bound_by_components(mask, block) <= fewest(mask.dense(), block)


def naive_groups(sizes, block):
    """The most groups with sums divisible by ``block``, one of them with the remainder of all, over all partitions."""
    best = 0
    for groups in product(range(len(sizes)), repeat=len(sizes)):
        sums = [sum(size for size, group in zip(sizes, groups, strict=True) if group == g) for g in set(groups)]
        ragged = [total % block for total in sums if total % block]
        if len(ragged) <= 1:
            best = max(best, len(sums))
    return best


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5), block=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_no_partition_has_more_groups(sizes, block):
    assert naive_groups(sizes, block) <= most_groups(np.array(sizes), block)


@given(seed=SEEDS, size=st.integers(1, 40), chain=st.floats(0, 1), blocks=st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_the_lemma_holds_for_any_assignment(seed, size, chain, blocks):
    """Arcs between blocks of a forest: R minus components, and k(G) - 2 for each block with a chain through k(G)."""
    rng = np.random.default_rng(seed)
    dense = random_tree(rng, size, chain).dense()
    home = np.unique(rng.integers(0, blocks, size), return_inverse=True)[1]
    met = [set(home[row].tolist()) for row in dense]
    count = int(home.max()) + 1
    arcs = {(int(home[node]), other) for node in range(size) for other in met[node]} - {(b, b) for b in range(count)}
    most = [max(len(met[node]) for node in np.flatnonzero(home == b)) for b in range(count)]
    grid = np.zeros((count, count), bool)
    grid[tuple(zip(*arcs, strict=True)) if arcs else ([], [])] = True
    components = len(np.unique(connected_components(Mask.from_dense(grid))))
    assert len(arcs) >= count - components + sum(max(k - 2, 0) for k in most)


@given(seed=SEEDS, size=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_components_by_definition(seed, size):
    dense = small_mask(seed, size).dense()
    reach = dense | dense.T | np.eye(size, dtype=bool)
    for middle in range(size):
        reach |= reach[:, middle, None] & reach[None, middle]
    assert connected_components(Mask.from_dense(dense)).tolist() == reach.argmax(axis=1).tolist()


@given(seed=SEEDS, size=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_forests_by_definition(seed, size):
    dense = small_mask(seed, size).dense()
    below = dense & ~np.eye(size, dtype=bool)
    rows = {row.tobytes() for row in dense}
    is_one = bool(dense.diagonal().all()) and all(row.tobytes() in rows or not row.any() for row in below)
    assert is_forest(Mask.from_dense(dense)) == is_one


def test_a_window_is_proved_best():
    """Each block but the first meets the one before it: 2R - 1, and no order has fewer."""
    rows = [((max(0, query - 11), query + 1),) for query in range(159)]
    found = arrange(Mask.from_intervals([rows]), 16)
    assert (found.value.nonempty, found.bound, found.status) == (19, 19, Status.OPTIMAL)


@pytest.mark.parametrize(("lengths", "expected"), [((4, 4, 4), 3), ((6, 6), 5), ((2, 2, 3, 1), 2), ((12,), 6)])
def test_chains_attain_it(lengths, expected):
    """Chains that fill blocks alone or in pairs have 2R - groups blocks, and a chain of three blocks one more."""
    ends = np.cumsum(lengths)
    rows = [
        ((int(end - length), position + 1),)
        for length, end in zip(lengths, ends, strict=True)
        for position in range(end - length, end)
    ]
    mask = Mask.from_intervals([rows])
    assert bound(mask, 4) == expected == fewest(mask.dense(), 4)


@given(seed=SEEDS, size=st.integers(1, 40), block=st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_the_checker_proves_the_same_bound_and_counts_the_same_blocks(seed, size, block):
    mask = small_mask(seed, size)
    order = np.random.default_rng(seed).permutation(size)
    least, nonempty = bound(mask, block), counts(permuted(mask, order), block).nonempty
    assert least_nonempty(mask, block) == least
    check_arrangement(mask, order, nonempty, least, block)
    for wrong in ((order, nonempty, least + 1), (order, nonempty + 1, least), (order[:-1], nonempty, least)):
        with pytest.raises(WrongAnswer):
            check_arrangement(mask, *wrong, block)
    check_arrangement(Mask.from_intervals([[]]), np.zeros(0, np.int64), 0, 0, block)


def test_runs_of_keys_are_counted_in_parts(monkeypatch):
    mask, order = random_relation(np.random.default_rng(3), 60, 0.2), np.random.default_rng(4).permutation(60)
    monkeypatch.setattr(block_bounds, "CHUNK", 7)
    assert count_nonempty(mask, order, 4) == counts(permuted(mask, order), 4).nonempty


@pytest.mark.parametrize("name", ["bound", "counts"])
def test_a_forged_bound_or_count_is_refused(monkeypatch, name):
    """Either would be printed as a fact."""
    true = getattr(best_order, name)
    forged = {
        "bound": lambda mask, block: true(mask, block) + 1,
        "counts": lambda mask, block: true(mask, block)._replace(nonempty=true(mask, block).nonempty + 1),
    }
    monkeypatch.setattr(best_order, name, forged[name])
    with pytest.raises(WrongAnswer, match="arrangement: claims"):
        arrange(random_tree(np.random.default_rng(0), 40, 0.7), 4)
