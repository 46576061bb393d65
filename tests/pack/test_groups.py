"""Groups over batches: kept, split or separate; each batch the oracle's merged task; totals against all partitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.errors import InvalidInstance
from masksynth.merge import merge
from masksynth.pack import pack_batches, pack_samples
from masksynth.pack.check_samples import tables_of
from masksynth.pack.cut_runs import cut_runs
from masksynth.pack.fill_batches import fill_batches, units_of
from masksynth.pack.merge_batches import count_live_tokens
from masksynth.pack.prefix import Forest
from masksynth.pack.subforests import count_positions
from masksynth.verify.pack_bounds import bound_positions, count_bounds, price_bounds
from tests.pack.families import family_of, merged_of
from tests.pack.strategies import ROUTE, causal_samples, segmented_samples
from tests.partitions import partitions

MODES = st.sampled_from(["together", "together", "split", "separate"])


def options_of(mode):
    return {"split_groups": mode == "split", "separate_groups": mode == "separate"}


def positions_of(samples, separate):
    """The positions of one batch of some samples, by the oracle."""
    return len(merge(family_of(samples, separate)).positions)


def units(samples, limit, mode):
    """The samples that stay together."""
    groups = {}
    for sample in samples:
        name = sample.get("group")
        groups.setdefault((type(name), name), []).append(sample)
    result = []
    for (_, name), members in groups.items():
        whole = mode != "split" and name is not None and positions_of(members, mode == "separate") <= limit
        result += [members] if whole else [[sample] for sample in members]
    return result


def least_positions(samples, limit, mode):
    """The least number of positions, by trying all partitions of the units of samples of one kind."""
    best = 10**9
    for parts in partitions(units(samples, limit, mode)):
        sizes = [positions_of([s for unit in part for s in unit], mode == "separate") for part in parts]
        if max(sizes) <= limit:
            best = min(best, sum(sizes))
    return best


def check_batches(samples, batches, limit, mode):
    """Each batch is the minimal merged task of its samples; every sample is in one; units are together."""
    named = {sample["id"]: sample for sample in samples}
    home = {name: number for number, batch in enumerate(batches) for name in batch.samples}
    assert sorted(home) == sorted(named)
    assert sum(len(batch.samples) for batch in batches) == len(samples)
    separate = mode == "separate"
    for batch in batches:
        assert batch.positions <= limit
        own = [named[name] for name in batch.samples]
        instance = family_of(own, separate)
        assert batch.positions == len(merge(instance).positions)
        ms.verify(instance, merged_of(batch, instance, [s.get("group") for s in own] if separate else None))
    for unit in units(samples, limit, mode):
        assert len({home[sample["id"]] for sample in unit}) == 1


def needed(samples):
    """The most live tokens, or positions, that a sample takes alone."""
    [table] = tables_of(samples, (), ("position_ids", "kinds", ROUTE))
    return max([1, *count_live_tokens(table).tolist(), *(positions_of([sample], False) for sample in samples)])


@settings(max_examples=60, deadline=None)
@given(st.one_of(causal_samples(5), segmented_samples(3)), st.integers(0, 4), MODES)
def test_packing_and_bounds_against_all_partitions(samples, more, mode):
    limit = needed(samples) + more
    batches = list(pack_batches(samples, max_length=limit, key_fields=[ROUTE], **options_of(mode)))
    check_batches(samples, batches, limit, mode)
    [table] = tables_of(samples, (), ("position_ids", "kinds", ROUTE))
    bounds = bound_positions(table, limit, mode == "split", mode == "separate")
    least = least_positions(samples, limit, mode)
    assert bounds.free <= bounds.kept <= least <= sum(batch.positions for batch in batches)
    assert bounds.free <= least_positions(samples, limit, "split") or mode == "separate"
    # counted for batches that a search improves, and raised for those that it returns
    counted = count_bounds(table, limit, mode == "split", mode == "separate", least + 1)
    raised = price_bounds(counted, least)
    assert counted.bounds.kept <= raised.kept <= least
    assert raised.kept >= bounds.kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(causal_samples(4), segmented_samples(3)), min_size=1, max_size=4), st.integers(0, 12), MODES)
def test_groups_that_cross_and_are_cut(families, more, mode):
    samples = [{**sample, "id": f"{n}/{sample['id']}"} for n, family in enumerate(families) for sample in family]
    limit = needed(samples) + more
    batches = list(pack_batches(samples, max_length=limit, key_fields=[ROUTE], **options_of(mode)))
    check_batches(samples, batches, limit, mode)
    [table] = tables_of(samples, (), ("position_ids", "kinds", ROUTE))
    bounds = bound_positions(table, limit, mode == "split", mode == "separate")
    assert bounds.kept <= sum(batch.positions for batch in batches)


@settings(max_examples=30, deadline=None)
@given(causal_samples(3), segmented_samples(2), st.integers(0, 4), MODES)
def test_batches_and_bounds_of_both_kinds(causal, segmented, more, mode):
    samples = [{**sample, "id": f"{n}/{sample['id']}"} for n, own in enumerate((causal, segmented)) for sample in own]
    limit = needed(samples) + more
    [table] = tables_of(samples, (), ("position_ids", "kinds", ROUTE))
    bounds = bound_positions(table, limit, mode == "split", mode == "separate", known=10**9)
    least = least_positions(samples, limit, mode)
    batches = list(pack_batches(samples, max_length=limit, key_fields=[ROUTE], **options_of(mode)))
    check_batches(samples, batches, limit, mode)
    assert bounds.kept <= least <= sum(batch.positions for batch in batches)


def test_samples_with_and_without_segments_share_batches():
    sample = {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}
    full = {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9], "segments": [{"length": 4}, {"length": 1}]}
    kinds = [{"id": 0, "group": 0, **sample}, {"id": 1, "group": 1, **sample, "segments": [{"length": 4}]}]
    for rows, least in ((kinds, 3), ([*kinds, {"id": 2, "group": 2, **full}], 4)):
        record = pack_samples(rows, None).record()
        assert (record["positions"], record["lower_bound"], record["proved_minimal"]) == (least, least, True)
        [batch] = pack_batches(rows)
        check_batches(rows, [batch], 100, "together")
    kinds[1]["input_ids"] = [4, 6, 7, 8]
    record = pack_samples(kinds, None).record()
    assert (record["positions"], record["lower_bound"], record["proved_minimal"]) == (6, 6, True)


@st.composite
def forests(draw):
    length = draw(st.lists(st.integers(1, 6), min_size=1, max_size=7))
    shared = [0] + [draw(st.integers(0, min(a, b))) for a, b in pairwise(length)]
    return Forest(np.arange(len(length)), np.array(length), np.array(shared))


@settings(max_examples=200, deadline=None)
@given(forests(), st.lists(st.integers(-1, 2), min_size=7, max_size=7), st.integers(6, 15))
def test_runs_are_the_cheapest_cuts(forest, groups, limit):
    group = np.array(groups[: len(forest.length)])
    unit = units_of(group, count_positions(forest, group + 1)[1:], limit)
    assert unit.tolist() == np.unique(unit, return_inverse=True)[1].tolist()
    assert count_positions(forest, unit).max() <= limit
    run = cut_runs(forest, unit, limit)
    count = int(unit.max()) + 1

    def price(runs):
        sizes = count_positions(forest, runs[unit])
        return (int(sizes.sum()), len(sizes)) if sizes.max() <= limit else (10**9, 0)

    def all_runs(number):
        return np.cumsum([0, *(number >> i & 1 for i in range(count - 1))])

    assert run[0] == 0
    assert price(run) == min(price(all_runs(number)) for number in range(1 << (count - 1)))
    batch = fill_batches(forest, unit, limit)
    assert count_positions(forest, batch).max() <= limit
    assert all(len(set(batch[unit == each].tolist())) == 1 for each in range(count))
    assert count_positions(forest, batch).sum() <= price(run)[0]


def test_a_group_stays_in_one_batch_though_its_samples_are_far_apart():
    """The samples of a group share less with each other than with other groups."""
    rows = [(f"{g}{t}", g, [t] * 10 + [10 * t + g] * 2) for t in range(3) for g in range(3)]
    samples = [
        {"id": name, "group": group, "input_ids": [*ids, 0], "labels": [-100] * 12 + [0]} for name, group, ids in rows
    ]
    kept = list(pack_batches(samples, max_length=36))
    split = list(pack_batches(samples, max_length=36, split_groups=True))
    separate = list(pack_batches(samples, max_length=72, separate_groups=True))
    assert [batch.positions for batch in kept] == [36, 36, 36]
    assert [batch.positions for batch in split] == [32, 16]
    assert [batch.positions for batch in separate] == [72, 36]
    for batch in kept:
        assert len({name[0] for name in batch.samples}) == 1


def test_a_group_too_large_for_a_batch_is_cut_and_named():
    samples = [
        {"id": i, "group": "large" if i else "small", "input_ids": [*range(5), i, 0], "labels": [-100] * 6 + [0]}
        for i in range(5)
    ]
    summary = pack_samples(samples, None, max_length=8)
    assert summary.record()["cut_groups"] == ["large"]
    assert summary.record()["positions"] == 15
    assert summary.record()["proved_minimal"]


def test_options_that_contradict_each_other():
    with pytest.raises(InvalidInstance, match="split_groups and separate_groups contradict each other"):
        list(pack_batches([], split_groups=True, separate_groups=True))
