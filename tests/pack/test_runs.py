"""The paths of samples are stored as runs of positions; folders from before that are read as they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.pack import open_packed, pack_batches, pack_samples, unpack_samples
from masksynth.pack.batch import arrays_hash, batch_arrays, batch_hash, batch_of_arrays, stored_arrays
from masksynth.pack.check_batch import expand_runs
from masksynth.pack.check_samples import tables_of
from masksynth.pack.packed_folder import MANIFEST, Entry, manifest_head
from masksynth.pack.write_folder import batch_content, write_manifest
from masksynth.verify.samples import verify_packed
from tests.pack.strategies import causal_samples, segmented_samples

OLDER = Path(__file__).parent / "data" / "older"
ROWS = [json.loads(line) for line in (OLDER / "samples.jsonl").read_text().splitlines()]


def verified(folder, rows=ROWS):
    return verify_packed(folder, lambda fields, keys: tables_of(rows, fields, keys))


def naive_runs(positions):
    """Maximal runs (first position, length), one position after another."""
    runs = []
    for position in positions:
        if runs and sum(runs[-1]) == position:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((position, 1))
    return runs


@settings(max_examples=60, deadline=None)
@given(st.one_of(causal_samples(most=6), segmented_samples()))
def test_runs_are_maximal_and_give_the_positions_back(samples):
    for batch in pack_batches(samples, key_fields=["route"]):
        stored = stored_arrays(batch)
        runs = list(zip(stored["run_start"].tolist(), stored["run_length"].tolist(), strict=True))
        assert runs == naive_runs(batch.sample_position.tolist())
        again = batch_of_arrays(stored, batch.samples)
        for name, values in batch_arrays(batch).items():
            np.testing.assert_array_equal(batch_arrays(again)[name], values)
        assert arrays_hash(stored) == batch_hash(again)


def test_a_file_has_runs_and_no_positions(tmp_path):
    text = list(range(1, 2000))
    pack_samples(
        [{"input_ids": [*text, tail], "labels": [-100] * 1999 + [tail]} for tail in range(9)], tmp_path / "out"
    )
    path = tmp_path / "out" / "batch-00000.safetensors"
    arrays = load_file(path)
    assert "sample_position" not in arrays
    assert arrays["run_length"].tolist() == [1999] * 9
    assert path.stat().st_size < 100_000  # 8 bytes for each of 17,991 live tokens would be more


def test_an_older_folder_is_read_checked_unpacked_and_rewritten(tmp_path):
    packed = open_packed(OLDER / "packed")
    for batch, entry in zip(packed, packed.manifest.batches, strict=True):
        stored = load_file(OLDER / "packed" / entry.file)
        assert stored.keys() == batch_arrays(batch).keys()
        for name, values in batch_arrays(batch).items():
            np.testing.assert_array_equal(stored[name], values)
        (tmp_path / entry.file).write_bytes(b"".join(batch_content(batch)))
        assert "sample_position" not in load_file(tmp_path / entry.file)
    assert verified(OLDER / "packed").samples == len(ROWS)
    again = {sample["id"]: sample for sample in unpack_samples(OLDER / "packed")}
    assert all(again[row["id"]]["input_ids"] == row["input_ids"] for row in ROWS)
    assert all(again[row["id"]]["labels"] == row["labels"] for row in ROWS)


@pytest.mark.parametrize(
    ("start", "length"),
    [([0], [9]), ([-1], [2]), ([3], [0]), ([3], [-1]), ([0, 1], [2]), ([2**31 - 1], [2**31 - 1])],
)
def test_runs_outside_the_positions_are_refused(start, length, tmp_path):
    start, length = np.array(start, np.int32), np.array(length, np.int32)
    with pytest.raises(InvalidInstance, match="run_length"):
        expand_runs(start, length, 8)
    [batch] = pack_batches(ROWS[:2])
    arrays = {**stored_arrays(batch), "run_start": start, "run_length": length}
    with pytest.raises(InvalidInstance, match=r"run_length|sample_offset"):
        batch_of_arrays(arrays, batch.samples)
    folder = written(tmp_path / "out", batch, arrays)
    with pytest.raises((InvalidInstance, WrongAnswer), match=r"run_length|sample_offset"):
        verified(folder, ROWS[:2])


@pytest.mark.parametrize("name", ["run_start", "run_length"])
def test_a_run_altered_with_its_hash_is_found(name, tmp_path):
    [batch] = pack_batches(ROWS[:2])
    stored = stored_arrays(batch)
    for run in range(len(stored[name])):
        for step in (1, -1):
            wrong = stored[name].copy()
            wrong[run] += step
            folder = written(tmp_path / f"{run}{step}", batch, {**stored, name: wrong})
            with pytest.raises((InvalidInstance, WrongAnswer)):
                verified(folder, ROWS[:2])


def written(folder, batch, arrays):
    """A folder of one batch with the given arrays, all hashes made to fit."""
    folder.mkdir()
    digest = arrays_hash(arrays)
    save_file(arrays, folder / "batch-00000.safetensors", {"schema": "1", "batch_hash": digest})
    entries = [Entry("batch-00000.safetensors", batch.positions, batch.samples, ("g", "g"), hash=digest)]
    write_manifest(folder / MANIFEST, manifest_head(64, None, ()), lambda: entries)
    return folder
