"""Which rank trains which batch: nothing lost, nothing twice.

Whenever and on however many ranks an epoch is resumed.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from masksynth.errors import InvalidInstance
from masksynth.torch import PackedSampler
from masksynth.torch.packed_dataset import Silent

SIZES = st.integers(0, 40)
RANKS = st.integers(1, 5)


def ranks(size, count, **options):
    return [PackedSampler(range(size), rank=rank, ranks=count, **options) for rank in range(count)]


def trained(rounds):
    """The batches that count, from what each rank yields."""
    return [number for one in rounds for number in one if not isinstance(number, Silent)]


@given(SIZES, RANKS, st.booleans(), st.booleans(), st.integers(0, 9))
def test_every_batch_once(size, count, shuffle, balanced, seed):
    costs = np.random.default_rng(seed).integers(1, 100, size) if balanced else None
    samplers = ranks(size, count, shuffle=shuffle, costs=costs, seed=seed)
    for epoch in (0, 3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        rounds = [list(sampler) for sampler in samplers]
        assert {len(one) for one in rounds} == {-(-size // count)} == {len(sampler) for sampler in samplers}
        assert sorted(trained(rounds)) == list(range(size))
        assert all(not isinstance(number, Silent) for one in rounds for number in one[:-1])


@given(SIZES, RANKS, RANKS, RANKS, st.booleans(), st.data())
def test_resume_on_other_ranks(size, first, second, third, balanced, data):
    costs = np.random.default_rng(size).integers(1, 100, size) if balanced else None
    seen, state = [], None
    for count in (first, second, third):
        samplers = ranks(size, count, costs=costs, seed=9)
        if state is None:
            for sampler in samplers:
                sampler.set_epoch(4)
        else:
            for sampler in samplers:
                sampler.load_state_dict(json.loads(json.dumps(state)))
                sampler.set_epoch(4)
        left = len(samplers[0])
        steps = (
            left
            if count == third and samplers[0].ranks == third and data.draw(st.booleans())
            else data.draw(st.integers(0, left))
        )
        for sampler in samplers:
            part = list(sampler)
            assert len(part) == left
            seen += trained([part[:steps]])
            for _ in range(steps):
                sampler.advance()
            assert list(sampler) == part[steps:]
        states = [sampler.state_dict() for sampler in samplers]
        assert all(one == states[0] for one in states)
        state = states[0]
        assert len(seen) == len(set(seen)) == state["trained"]
    final = ranks(size, 1, costs=costs)[0]
    final.load_state_dict(state)
    assert sorted([*seen, *final]) == list(range(size))


def test_orders():
    sampler = PackedSampler(range(30), seed=1, rank=0, ranks=1)
    first = list(sampler)
    assert first != sorted(first)
    assert list(PackedSampler(range(30), seed=1)) == first
    assert list(PackedSampler(range(30), seed=2)) != first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(PackedSampler(range(4), shuffle=False)) == [0, 1, 2, 3]


def test_balanced_rounds():
    """Ranks that meet in a round have neighbouring costs; rounds are still shuffled."""
    costs = np.random.default_rng(0).permutation(64)
    apart = {}
    for name, given_costs in (("balanced", costs), ("plain", None)):
        rounds = np.array([list(sampler) for sampler in ranks(64, 4, costs=given_costs)])
        apart[name] = (costs[rounds].max(0) - costs[rounds].min(0)).max()
        assert list(costs[rounds[0]]) != sorted(costs[rounds[0]])
    assert apart["balanced"] == 3 < apart["plain"]


def test_state_counts_what_was_trained_not_what_was_fetched():
    sampler = PackedSampler(range(12), seed=3)
    loader = DataLoader(
        range(12), batch_size=1, sampler=sampler, collate_fn=lambda one: one[0], num_workers=2, prefetch_factor=3
    )
    seen = []
    for number in loader:
        seen.append(number)
        sampler.advance()
        if len(seen) == 4:
            break
    again = PackedSampler(range(12))
    again.load_state_dict(sampler.state_dict())
    rest = list(DataLoader(range(12), batch_size=1, sampler=again, collate_fn=lambda one: one[0]))
    assert seen + rest == list(PackedSampler(range(12), seed=3))


def test_refusals():
    with pytest.raises(InvalidInstance, match="expected 0 <= rank < 2, got 2"):
        PackedSampler(range(3), rank=2, ranks=2)
    with pytest.raises(InvalidInstance, match=r"costs: expected shape \[3\], got \[2\]"):
        PackedSampler(range(3), costs=[1, 2])
    sampler = PackedSampler(range(3))
    sampler.advance(3)
    with pytest.raises(InvalidInstance, match="expected at most 0, which are left in epoch 0, got 1"):
        sampler.advance()
    with pytest.raises(InvalidInstance, match="has trained 3 of 3 batches, the folder has 4"):
        PackedSampler(range(4)).load_state_dict(sampler.state_dict())


@pytest.mark.parametrize(
    ("state", "got"),
    [({}, "one without seed"), ({"seed": 0, "epoch": 1}, "one without trained"), (3, "int"), (None, "NoneType")],
)
def test_what_is_no_state_is_named(state, got):
    sampler = PackedSampler([1, 2])
    before = sampler.state_dict()
    with pytest.raises(InvalidInstance, match=f"^expected the state of a sampler, got {got}; pass what state_dict"):
        sampler.load_state_dict(state)
    assert sampler.state_dict() == before
