"""The checker of packed batches refuses what is wrong: every array altered, one entry at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.pack.batch import ARRAYS, batch_arrays, batch_of_arrays
from masksynth.pack.check_samples import tables_of
from masksynth.pack.merge_batches import batches_of
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import join
from masksynth.verify.packs import check_packed

DATA = Path(__file__).parent / "data"
SEGMENTED = [
    {
        "id": name,
        "group": "g",
        "input_ids": [9, 1, 2, 9, 1, 3, 7, 8],
        "labels": [-100] * 7 + [last],
        "weight": 0.5,
        "kinds": [0, 0, 0, 0, 0, 0, 1, 1],
        "advantages": [0.0] * 7 + [2.0],
        "segments": [
            {"length": 3, "position": 0},
            {"length": 3, "position": 0, "within": "full"},
            {"length": 2, "position": 3, "sees": [0, 1], "predict": "self"},
        ],
    }
    for name, last in (("a", 4), ("b", 5))
]


def batches():
    for name in ("gsm8k_rollouts", "reasoning_calls"):
        yield next(batches_of(join(list(read_samples(DATA / f"{name}.jsonl.gz"))), 10**6))
    yield next(batches_of(next(tables_of(SEGMENTED)), 100))


CASES = list(batches())


@pytest.mark.parametrize(("table", "samples", "batch"), CASES, ids=["gsm8k", "reasoning", "segments"])
def test_the_right_batch_passes(table, samples, batch):
    check_packed(batch, table, samples)
    again = batch_of_arrays(batch_arrays(batch), batch.samples)
    check_packed(again, table, samples)


def refused(batch, table, samples):
    try:
        check_packed(batch, table, samples)
    except WrongAnswer:
        return True
    return False


NAMES = (*ARRAYS, "field_advantages", "extra_kinds")
ALTERED = [
    (name, number) for number, case in enumerate(CASES) for name in NAMES if len(batch_arrays(case[2]).get(name, ()))
]


@pytest.mark.parametrize(("name", "case"), ALTERED)
def test_one_entry_altered(name, case):
    table, samples, batch = CASES[case]
    arrays = batch_arrays(batch)
    rng = np.random.default_rng(len(name))
    for place in rng.choice(len(arrays[name]), min(25, len(arrays[name])), replace=False):
        for step in (1, -1):
            altered = arrays | {name: arrays[name].copy()}
            altered[name][place] += step
            try:
                wrong = batch_of_arrays(altered, batch.samples)
            except InvalidInstance:
                continue
            assert refused(wrong, table, samples), (name, place, step)


@pytest.mark.parametrize(("table", "samples", "batch"), CASES, ids=["gsm8k", "reasoning", "segments"])
def test_one_pair_flipped(table, samples, batch):
    """A key more or less in one row is seen, wherever it is."""
    rng = np.random.default_rng(3)
    size = batch.positions
    for _ in range(60):
        query, key = int(rng.integers(size)), int(rng.integers(size))
        if rng.random() < 0.5:
            key = int(rng.choice(batch.mask.row(query)))
        assert refused(replace(batch, mask=flipped(batch.mask, query, key)), table, samples), (query, key)


def flipped(mask, query, key):
    keys = np.setxor1d(mask.row(query), [key])
    starts = keys[np.append(True, np.diff(keys) > 1)] if len(keys) else keys
    ends = keys[np.append(np.diff(keys) > 1, True)] + 1 if len(keys) else keys
    a, b = mask.row_offset[0, query], mask.row_offset[0, query + 1]
    offset = mask.row_offset.copy()
    offset[0, query + 1 :] += len(starts) - (b - a)
    return Mask(
        offset,
        np.concatenate([mask.key_start[:a], starts, mask.key_start[b:]]).astype(np.int32),
        np.concatenate([mask.key_end[:a], ends, mask.key_end[b:]]).astype(np.int32),
    )


def test_two_samples_exchanged():
    table, samples, batch = CASES[0]
    assert refused(batch, table, samples[::-1])
    assert refused(batch, table, samples[:-1])


def test_a_position_without_a_sample():
    table, samples, batch = CASES[0]
    arrays = batch_arrays(batch)
    size = batch.positions
    arrays["input_ids"] = np.append(arrays["input_ids"], 3)
    arrays["position_ids"] = np.append(arrays["position_ids"], 0)
    arrays["row_offset"] = np.append(arrays["row_offset"], arrays["row_offset"][-1] + 1)
    arrays["key_start"] = np.append(arrays["key_start"], size).astype(np.int32)
    arrays["key_end"] = np.append(arrays["key_end"], size + 1).astype(np.int32)
    assert refused(batch_of_arrays(arrays, batch.samples), table, samples)


def test_a_leak_between_separate_groups():
    table = join(list(read_samples(DATA / "gsm8k_rollouts.jsonl.gz")))
    table, samples, batch = next(batches_of(table, 10**6, "separate"))
    roots = np.flatnonzero(batch.position_ids == 0)
    assert refused(replace(batch, mask=flipped(batch.mask, int(roots[1]), int(roots[0]))), table, samples)
