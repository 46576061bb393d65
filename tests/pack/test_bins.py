"""Bins: nothing lost, nothing too large."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.bins import bins_of


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10), max_size=30))
def test_bins(sizes):
    bins = bins_of(sizes, 10)
    assert sorted(item for chosen in bins for item in chosen) == list(range(len(sizes)))
    assert all(sum(sizes[item] for item in chosen) <= 10 for chosen in bins)
    assert len(bins) <= 11 / 9 * max(-(-sum(sizes) // 5), 1) + 1


@pytest.mark.parametrize(("sizes", "bins"), [([], []), ([0, 0], [[0, 1]]), ([7, 7], [[0], [1]])])
def test_small_cases(sizes, bins):
    assert bins_of(sizes, 7) == bins
