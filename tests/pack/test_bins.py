"""Cuts and bins: nothing lost, nothing too large, cuts as cheap as the best of all ways to cut."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.bins import bins_of, sizes_of, slices_of
from masksynth.pack.prefix import Forest


@st.composite
def forests(draw):
    length = draw(st.lists(st.integers(1, 6), min_size=1, max_size=7))
    shared = [0] + [draw(st.integers(0, min(a, b))) for a, b in pairwise(length)]
    return Forest(np.arange(len(length)), np.array(length), np.array(shared))


@settings(max_examples=300, deadline=None)
@given(forests(), st.integers(6, 15))
def test_cuts_are_the_cheapest(forest, limit):
    count = len(forest.samples)
    slices = slices_of(forest, np.array([0]), limit)
    assert [s for a, b in slices for s in range(a, b)] == list(range(count))
    assert max(sizes_of(forest, slices)) <= limit

    def price(cuts):
        parts = list(zip((0, *cuts), (*cuts, count), strict=True))
        sizes = sizes_of(forest, parts)
        return (int(sizes.sum()), len(parts)) if max(sizes) <= limit else (10**9, 0)

    best = min(price(cuts) for many in range(count) for cuts in combinations(range(1, count), many))
    whole = int(sizes_of(forest, [(0, count)])[0])
    assert (int(sizes_of(forest, slices).sum()), len(slices)) == ((whole, 1) if whole <= limit else best)


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
