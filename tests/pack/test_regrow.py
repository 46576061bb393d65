"""The bound that ends the search for batches of whole units is below every distribution."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from masksynth.pack.fill_batches import _fill_runs, _join_runs
from masksynth.pack.holdings import holdings_of, least_bins, least_positions
from masksynth.pack.search_batches import Search
from masksynth.pack.subforests import count_positions
from tests.pack.test_layout import chained, forest_of_texts
from tests.partitions import partitions


@settings(max_examples=60, deadline=None)
@given(chained(), st.data())
def test_no_distribution_takes_fewer_positions(drawn, data):
    texts = [text for text in drawn[0] if text]
    assume(texts)
    forest = forest_of_texts(texts, [0] * len(texts))
    unit, names = np.zeros(len(texts), np.int64), {}
    for rank in range(len(texts)):
        name = data.draw(st.integers(0, 4))
        unit[rank] = names.setdefault(name, len(names))
    nodes = [set() for _ in names]
    for rank, sample in enumerate(forest.samples.tolist()):
        nodes[unit[rank]] |= {tuple(texts[sample][:end]) for end in range(1, len(texts[sample]) + 1)}
    limit = max(map(len, nodes)) + data.draw(st.integers(0, 5))
    sizes = [
        [len(set().union(*(nodes[i] for i in part))) for part in ways] for ways in partitions([*range(len(nodes))])
    ]
    best = min(sum(each) for each in sizes if max(each) <= limit)
    bound = least_positions(holdings_of(forest, unit), limit)
    assert len(set().union(*nodes)) <= bound <= best


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_no_packing_takes_fewer_bins(sizes):
    fits = (ways for ways in partitions(sizes) if all(sum(part) <= 12 for part in ways))
    assert 1 <= least_bins(np.array(sizes), 12) <= min(map(len, fits))


def test_two_of_each_size_fit_into_a_bin():
    assert least_bins(np.full(40, 12), 30) == 20


@settings(max_examples=60, deadline=None)
@given(chained(), st.data())
def test_samples_that_no_batch_cuts_are_distributed_as_one(drawn, data):
    """Joined or not, the samples go into the same batches, and any distribution of units takes as many positions."""
    texts = [text for text in drawn[0] if text]
    assume(texts)
    forest = forest_of_texts(texts, [0] * len(texts))
    unit, names = np.zeros(len(texts), np.int64), {}
    for rank in range(len(texts)):  # units of consecutive samples, most of the time
        stays = rank and data.draw(st.integers(0, 3))
        unit[rank] = unit[rank - 1] if stays else names.setdefault(data.draw(st.integers(0, 4)), len(names))
    joined, joined_unit, run = _join_runs(forest, unit)
    assert joined_unit[run].tolist() == unit.tolist()
    batch = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(names), max_size=len(names))), np.int64)
    expected = count_positions(forest, batch[unit]).tolist()
    assert count_positions(joined, batch[joined_unit]).tolist() == expected
    limit = max(count_positions(forest, unit).tolist()) + data.draw(st.integers(0, 5))
    if sum(forest.length - forest.shared) > limit:
        together = _fill_runs(forest, unit, limit, Search()).tolist()
        assert _fill_runs(joined, joined_unit, limit, Search())[run].tolist() == together
