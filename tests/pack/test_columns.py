"""Columns as people have them: pads, masks instead of labels, first labels, no ids; the same on every road."""

import errno
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance
from masksynth.pack import batch_arrays, open_packed, pack_batches, pack_samples, unpack_samples
from masksynth.pack.check_samples import tables_of
from masksynth.pack.read_run import read_run
from masksynth.pack.sample_columns import join, key_of
from masksynth.pack.table_parts import join_parts, store_file
from tests.pack.roads import ROADS, named

road = pytest.mark.parametrize("road", ROADS)
PLAIN = [
    {
        "id": "a",
        "input_ids": [5, 6, 7, 8],
        "labels": [-100, 6, -100, 8],
        "advantages": [0.0, 1.5, 0.0, 2.5],
        "kinds": [0, 1, 0, 0],
    },
    {"id": "b", "input_ids": [5, 6, 9], "labels": [-100, -100, 9], "position_ids": [4, 5, 6]},
    {"id": "c", "input_ids": [5, 6, 7, 3], "labels": [-100, 6, 7, 3], "weight": 0.5},
]


def pad(row, left, right):
    """A row with pads: values that are refused on real tokens."""
    size = len(row["input_ids"])
    bad = {"input_ids": 0, "labels": -100, "advantages": 9.0, "kinds": 7, "position_ids": 1, "completion_mask": 0}
    lists = {name: [value] * left + row[name] + [value] * right for name, value in bad.items() if name in row}
    return {**row, **lists, "attention_mask": [0] * left + [1] * size + [0] * right}


def read(rows, road, folder):
    return join_parts(read_run(ROADS[road](rows, folder), (), ()))


def same(left, right):
    assert (left.ids, left.groups) == (right.ids, right.groups)
    for name in ("weight", "offset", "tokens", "labels", "first_label"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    assert set(left.fields) == set(right.fields)
    for name in left.fields:
        np.testing.assert_array_equal(left.fields[name], right.fields[name])
    for name in {*left.keys, *right.keys, "position_ids"}:
        np.testing.assert_array_equal(key_of(left, name), key_of(right, name))


def refused(rows, road, folder):
    with pytest.raises(InvalidInstance) as caught:
        pack_samples(ROADS[road](rows, folder), folder / "out")
    text = str(caught.value)
    assert "\n" not in text
    assert not (folder / "out").exists()
    return text


@road
@pytest.mark.parametrize("sides", [(3, 0), (0, 2), (1, 4)])
def test_pads_are_dropped_from_every_list(tmp_path, road, sides):
    same(read([pad(row, *sides) for row in PLAIN], road, tmp_path), join(list(tables_of(PLAIN))))


@road
def test_positions_begin_at_the_first_real_token_unless_they_are_given(tmp_path, road):
    rows = [{**pad({"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, 2, 1), "id": 1}]
    assert key_of(read(rows, road, tmp_path), "position_ids").tolist() == [0, 1, 2]
    rows[0]["position_ids"] = [1, 1, 3, 4, 5, 1]
    assert key_of(read(rows, road, tmp_path), "position_ids").tolist() == [3, 4, 5]


@road
def test_samples_with_and_without_a_mask_and_samples_of_pads_only(tmp_path, road):
    rows = [pad(PLAIN[0], 2, 2), PLAIN[1], {**PLAIN[2], "attention_mask": [1] * 4}]
    empty = {"id": "d", "input_ids": [0, 0], "labels": [-100, -100], "attention_mask": [0, 0]}
    same(
        read([*rows, empty], road, tmp_path),
        join(list(tables_of([*PLAIN, {"id": "d", "input_ids": [], "labels": []}]))),
    )


@road
@pytest.mark.parametrize("mask", [[False, True, True, False], [0, 1, 1, 0]])
def test_a_mask_may_consist_of_booleans(tmp_path, road, mask):
    rows = [{"id": 1, "input_ids": [0, 5, 6, 0], "completion_mask": mask, "attention_mask": mask}]
    table = read(rows, road, tmp_path)
    assert (table.tokens.tolist(), table.labels.tolist()) == ([5, 6], [-100, 6])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=3))
def test_padded_samples_pack_to_the_same_batch(sides):
    padded = [pad(row, *each) for row, each in zip(PLAIN, sides, strict=True)]
    [batch], [expected] = pack_batches(padded), pack_batches(PLAIN)
    for name, values in batch_arrays(expected).items():
        np.testing.assert_array_equal(batch_arrays(batch)[name], values)


def test_unpacking_and_loss_indices_count_real_tokens(tmp_path):
    pack_samples([pad(row, 2, 3) for row in PLAIN], tmp_path / "padded")
    pack_samples(PLAIN, tmp_path / "plain")
    assert list(unpack_samples(tmp_path / "padded")) == list(unpack_samples(tmp_path / "plain"))
    [batch] = open_packed(tmp_path / "padded")
    assert batch.loss_index.max() == 3


SAMPLE = {"id": "x", "input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, -100]}
FAULTS = {
    "a hole": ({"attention_mask": [1, 0, 1, 1]}, "$.attention_mask[1]: is 0 between two real tokens"),
    "a hole behind pads": (
        {"attention_mask": [0, 1, 0, 1], "labels": [-100] * 4},
        "$.attention_mask[2]: is 0 between two real tokens",
    ),
    "another value": ({"attention_mask": [1, 1, 2, 1]}, "$.attention_mask[2]: 2 is neither 0 nor 1"),
    "a negative value": ({"completion_mask": [0, 1, 1, -1]}, "$.completion_mask[3]: -1 is neither 0 nor 1"),
    "another length": ({"attention_mask": [1, 1, 1]}, "$.attention_mask: 3 entries, but input_ids has 4"),
    "fractions": ({"attention_mask": [0.5, 1.0, 1.0, 1.0]}, "$.attention_mask: is not a flat list of integers"),
    "a trained left pad": (
        {"attention_mask": [0, 0, 1, 1]},
        "$.labels[1]: 2 trains a pad, since attention_mask is 0 there",
    ),
    "a trained right pad": (
        {"attention_mask": [1, 1, 0, 0]},
        "$.labels[2]: 3 trains a pad, since attention_mask is 0 there",
    ),
    "a first label on a pad": ({"attention_mask": [0, 1, 1, 1], "labels": [1, 2, 3, 4]}, "$.labels[0]: 1 trains a pad"),
    "a mask on a pad": (
        {"attention_mask": [1, 1, 1, 0], "labels": None, "completion_mask": [0, 0, 1, 1]},
        "$.completion_mask[3]: 1 trains a pad, since attention_mask is 0 there",
    ),
    "pads and segments": (
        {"attention_mask": [0, 1, 1, 1], "labels": [-100, -100, 3, -100], "segments": [{"length": 4}]},
        "$.attention_mask: marks pads in a sample with segments",
    ),
    "a fault behind pads": (
        {"attention_mask": [0, 1, 1, 1], "labels": [-100, -100, 3, -7]},
        "$.labels[3]: -7 is neither -100",
    ),
    "two masks": (
        {"labels": None, "completion_mask": [0, 1, 1, 0], "assistant_masks": [0, 0, 1, 0]},
        "$.assistant_masks[1]: makes the label -100, but completion_mask makes it 2",
    ),
    "a mask and labels": (
        {"completion_mask": [0, 1, 1, 1]},
        "$.completion_mask[3]: makes the label 4, but labels makes it -100",
    ),
    "a mask and other labels": (
        {"completion_mask": [0, 1, 1, 0], "labels": [-100, 9, 3, -100]},
        "$.completion_mask[1]: makes the label 2, but labels makes it 9",
    ),
}


@road
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_line_and_field(tmp_path, road, fault):
    change, words = FAULTS[fault]
    text = refused([{"id": "w", "input_ids": [8], "labels": [-100]}, {**SAMPLE, **change}], road, tmp_path)
    assert f"{named(road)}:2: {words}" in text


@road
def test_neither_labels_nor_a_mask(tmp_path, road):
    rows = [SAMPLE, {"id": "y", "input_ids": [1], "labels": None}]
    text = refused(rows, road, tmp_path)
    assert (
        f'{named(road)}:2: $: labels is missing; give every sample "labels", '
        'or a "completion_mask" or "assistant_masks"' in text
    )


def test_a_parquet_file_without_any_of_the_three_columns(tmp_path):
    text = refused([{"id": "x", "input_ids": [1]}], "parquet", tmp_path)
    assert (
        'column labels is missing; give the columns "input_ids" and "labels", "completion_mask" or "assistant_masks"'
        in text
    )


@road
@pytest.mark.parametrize("name", ["completion_mask", "assistant_masks"])
def test_masks_instead_of_labels(tmp_path, road, name):
    rows = [
        {"id": "a", "input_ids": [5, 6, 7], name: [0, 1, 1]},
        {"id": "b", "input_ids": [5, 6, 8], "labels": [-100, -100, 8]},
        {"id": "c", "input_ids": [5, 6, 4], "labels": [-100, -100, 4], name: [0, 0, 1]},
    ]
    expected = [{k: v for k, v in row.items() if k != name} for row in rows]
    expected[0]["labels"] = [-100, 6, 7]
    same(read(rows, road, tmp_path), join(list(tables_of(expected))))


@road
def test_masks_that_agree(tmp_path, road):
    both = {"completion_mask": [1, 0, 1], "assistant_masks": [1, 0, 1]}
    rows = [
        {"id": 1, "input_ids": [5, 6, 7], **both},
        {"id": 2, "input_ids": [5, 6, 7], **both, "labels": [-100, -100, 7]},
    ]
    table = read(rows, road, tmp_path)
    assert table.labels.tolist() == [-100, -100, 7] * 2
    assert table.first_label.tolist() == [5, -100]


@road
def test_masks_and_segments(tmp_path, road):
    """A segment that predicts itself may train its first token, by labels or by a mask."""
    parts = [{"length": 2, "predict": "self"}, {"length": 2, "sees": [0]}]
    rows = [{"id": 1, "input_ids": [5, 6, 7, 8], "completion_mask": [1, 0, 1, 1], "segments": parts}]
    table = read(rows, road, tmp_path)
    assert (table.labels.tolist(), table.first_label.tolist()) == ([5, -100, 7, 8], [-100])


@road
def test_the_label_of_the_first_token_is_ignored_and_counted(tmp_path, road):
    rows = [{**row, "labels": row["input_ids"]} for row in PLAIN[1:]] + [
        {**PLAIN[0], "advantages": [None, 1.5, 0.0, 2.5]}
    ]
    expected = [{**row, "labels": [-100, *row["labels"][1:]]} for row in rows]
    summary = pack_samples(ROADS[road](rows, tmp_path), tmp_path / "out")
    pack_samples(expected, tmp_path / "expected")
    assert summary.record()["ignored_first_labels"] == 2
    assert list(unpack_samples(tmp_path / "out")) == list(unpack_samples(tmp_path / "expected"))


def test_first_labels_behind_pads_are_ignored_and_malformed_ones_refused(tmp_path):
    rows = [{"id": 1, **pad({"input_ids": [5, 6], "labels": [5, 6]}, 2, 0)}]
    assert pack_samples(rows, None).record()["ignored_first_labels"] == 1
    with pytest.raises(InvalidInstance, match=r"samples:1: \$.labels\[0\]: -7 is neither -100"):
        pack_samples([{"input_ids": [5, 6], "labels": [-7, 6]}], None)


def test_a_field_may_be_null_at_the_first_label():
    """Log-probabilities of a first token do not exist."""
    [batch] = pack_batches([{"input_ids": [5, 6], "labels": [5, 6], "old_logprobs": [None, -0.5]}])
    assert batch.fields["old_logprobs"].tolist() == [-0.5]


@road
def test_a_sample_without_an_id_is_named_after_its_line(tmp_path, road):
    rows = [{k: v for k, v in row.items() if k != "id" or row is PLAIN[1]} for row in PLAIN]
    table = read(rows, road, tmp_path)
    assert table.ids == ("#1", "b", "#3")
    without = [{k: v for k, v in row.items() if k != "id"} for row in PLAIN]
    assert read(without, road, tmp_path).ids == ("#1", "#2", "#3")


def test_the_name_does_not_depend_on_where_the_file_is(tmp_path):
    """Equal input gives equal bytes, and another run goes on after the last window."""
    rows = [{"input_ids": [i % 3, i, i], "labels": [-100, i, i]} for i in range(60)]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        pack_samples(tmp_path / name / f"{name}.jsonl", tmp_path / name / "out", window=7)
    contents = [{p.name: p.read_bytes() for p in (tmp_path / name / "out").iterdir()} for name in ("one", "two")]
    assert contents[0] == contents[1]
    path = tmp_path / "one" / "one.jsonl"
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(InvalidInstance, match=r"one\.jsonl:61: \$: input_ids is missing"):
        pack_samples(path, tmp_path / "late", window=7)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pack_samples(path, tmp_path / "late", window=7, resume=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "late").iterdir()} == contents[0]


@road
def test_a_given_id_may_not_be_that_of_a_sample_without_one(tmp_path, road):
    text = refused(
        [{"input_ids": [1], "labels": [-100]}, {"id": "#1", "input_ids": [1], "labels": [-100]}], road, tmp_path
    )
    assert f"{named(road)}:2: $.id: '#1' is the id of an earlier sample" in text


def test_scalars_of_numpy_are_those_of_python(tmp_path):
    row = {
        "id": np.int64(7),
        "group": np.str_("g"),
        "weight": np.float32(0.5),
        "input_ids": [1, 2],
        "labels": [-100, 2],
    }
    pack_samples([row], tmp_path / "out")
    [back] = unpack_samples(tmp_path / "out")
    assert back == {"id": 7, "group": "g", "weight": 0.5, "input_ids": [1, 2], "labels": [-100, 2]}


def test_a_table_that_cannot_be_stored_is_an_error_that_names_its_file(tmp_path, monkeypatch):
    """The files are in TMPDIR: without the name, its full disk looked like that of the target."""

    def dump(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    [table] = tables_of([{"id": 0, "input_ids": [5, 6], "labels": [5, 6]}])
    monkeypatch.setattr(pickle, "dump", dump)
    with pytest.raises(OSError, match="No space left") as error:
        store_file(str(tmp_path), table)
    assert os.path.dirname(error.value.filename) == str(tmp_path)
