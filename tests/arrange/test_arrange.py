"""Arranged masks: counted right, never worse than given, never below the bound, optimal where that is claimed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import Counts, arrange, bound, counts, permuted
from masksynth.arrange import best_order as arranging
from masksynth.arrange.best_order import keep_group_order
from masksynth.backends import Limits, Status
from masksynth.errors import Contradiction, InvalidInstance, Unsupported
from masksynth.mask import Mask
from tests.arrange.naive import fewest, naive_counts
from tests.arrange.samples import FAMILIES, random_order, random_relation, random_tree, rcm_order


def any_mask(seed, size):
    """A relation, an order, a tree, or a pattern of two tables, by the seed."""
    rng = np.random.default_rng(seed)
    if seed % 4 == 0:
        return random_relation(rng, size, 0.25)
    if seed % 4 == 1:
        return random_order(rng, size, 0.2)
    if seed % 4 == 2:
        return random_tree(rng, size)
    return Mask.from_dense(rng.random((2, size, size)) < 0.15)


SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, size=st.integers(1, 40), block=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_counts_by_definition(seed, size, block):
    mask = any_mask(seed, size)
    assert counts(mask, block) == (*naive_counts(mask.dense(), block), len(mask.key_start))


@given(seed=SEEDS, size=st.integers(1, 40), block=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_between_the_bound_and_the_given_order(seed, size, block):
    mask = any_mask(seed, size)
    found = arrange(mask, block, effort=0.02)
    assert sorted(found.order.tolist()) == list(range(size))
    assert found.value == counts(permuted(mask, found.order), block)
    assert found.given == counts(mask, block)
    assert found.bound <= found.value.nonempty
    assert found.value <= found.given
    assert (found.status is Status.OPTIMAL) == (found.gap == 0)
    assert found.bound >= -(-mask.pairs // (block * block * mask.tables))


@given(seed=SEEDS, size=st.integers(1, 8), block=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_bound_below_the_fewest_of_all(seed, size, block):
    mask = any_mask(seed, size)
    assert bound(mask, block) <= fewest(mask.dense(), block) <= arrange(mask, block, effort=0.02).value.nonempty


@pytest.mark.parametrize("seed", range(16))
def test_exact_is_the_fewest_of_all(seed):
    rng = np.random.default_rng(seed)
    size, block = int(rng.integers(5, 9)), int(rng.integers(2, 4))
    mask = any_mask(seed, size)
    least = fewest(mask.dense(), block)
    found = arrange(mask, block, exact=True, effort=0.0)
    assert (found.value.nonempty, found.bound, found.status) == (least, least, Status.OPTIMAL)


def test_exact_within_no_time_proves_nothing_false():
    mask = random_order(np.random.default_rng(5), 40, 0.1)
    found = arrange(mask, 8, exact=True, effort=0.02, limits=Limits(seconds=0.0))
    assert bound(mask, 8) <= found.bound <= found.value.nonempty <= found.given.nonempty


def test_exact_refuses_large_masks():
    with pytest.raises(Unsupported, match="clauses; at most 1,000,000 are supported"):
        arrange(random_relation(np.random.default_rng(0), 300, 0.3), 8, exact=True, effort=0.0)


def test_a_false_bound_is_refused(monkeypatch):
    from masksynth_solvers import block_order as solver

    monkeypatch.setattr(solver, "fewest_blocks", lambda mask, block, order, least, limits: (order, 10**6, "a liar"))
    mask = Mask.from_dense(np.roll(np.eye(9, dtype=bool), 1, axis=1))
    with pytest.raises(Contradiction, match="a liar proved that at least 1000000 are needed") as raised:
        arrange(mask, 4, exact=True, effort=0.0)
    assert "blocks of 4 of a mask of 9 positions and 9 pairs" in str(raised.value)
    monkeypatch.setattr(arranging, "bound", lambda mask, block: 7)
    with pytest.raises(Contradiction, match="counting rows, columns and components proved that at least 7 are needed"):
        arrange(mask, 4, effort=0.0)


def test_same_answer_twice():
    mask = random_order(np.random.default_rng(1), 60, 0.08)
    one, two = arrange(mask, 8, effort=0.1), arrange(mask, 8, effort=0.1)
    assert one.order.tolist() == two.order.tolist()


@given(seed=SEEDS, size=st.integers(1, 30), groups=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_alike_positions_keep_their_order(seed, size, groups):
    rng = np.random.default_rng(seed)
    alike, order = rng.integers(0, groups, size), rng.permutation(size)
    result = keep_group_order(order, alike)
    assert (alike[result] == alike[order]).all()
    for group in range(groups):
        assert (np.diff(result[alike[result] == group]) > 0).all()
    found = arrange(any_mask(seed, size), 4, alike=alike, effort=0.02)
    assert all((np.diff(found.order[alike[found.order] == group]) > 0).all() for group in range(groups))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_beat_the_given_order_and_reverse_cuthill_mckee(name):
    mask, block = FAMILIES[name]()
    found = arrange(mask, block, effort=0.3)
    given, rcm = counts(mask, block), counts(permuted(mask, rcm_order(mask)), block)
    assert bound(mask, block) == found.bound <= found.value.nonempty
    assert found.value <= given
    assert found.value <= rcm
    if found.gap:
        assert name in OPEN or found.value.nonempty < min(given, rcm).nonempty


OPEN = {"local_global", "sliding_window", "var_scales", "multiturn_reasoning"}
"""Families in which the given order, or reverse Cuthill-McKee, is as good and no proof is at hand."""


def test_optimal_without_search():
    """Two streams, interleaved as given: along chains they need as few blocks as the longest rows alone."""
    for name in ("block_two_stream", "bd3lm", "xlnet_two_stream", "tabpfn", "transfusion"):
        mask, block = FAMILIES[name]()
        assert arrange(mask, block, effort=0.0).status is Status.OPTIMAL


def test_nothing_to_arrange():
    assert arrange(Mask.from_intervals([[]])).value == Counts(0, 0, 0)
    assert arrange(Mask.from_dense(np.zeros((5, 5), bool)), 2).value == Counts(0, 0, 0)


@pytest.mark.parametrize("block", [0, -1, 1.5, True, "8"])
def test_refuses_block_sizes(block):
    with pytest.raises(InvalidInstance, match="block_size"):
        arrange(Mask.from_dense(np.eye(2, dtype=bool)), block)


def test_counts_millions_of_blocks():
    """10,000 x 10,000 blocks: the lower triangle is needed, and of it all but the diagonal is full."""
    chain = Mask(np.arange(20_001)[None], np.zeros(20_000, np.int32), np.arange(1, 20_001).astype(np.int32))
    found = arrange(chain, 2)
    assert found.value == Counts(10_000 * 10_001 // 2, 10_000, 20_000)
    assert found.status is Status.OPTIMAL


def test_refuses_groups_of_another_length():
    with pytest.raises(InvalidInstance, match=r"alike: expected shape \(2,\), got \(3,\)"):
        arrange(Mask.from_dense(np.eye(2, dtype=bool)), 2, alike=[0, 0, 0])
