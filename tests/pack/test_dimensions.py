"""Position ids as D lists in mappings, JSON lines and Parquet: identity, text with images, refusals, unpacking."""

from __future__ import annotations

import json

import numpy as np
import pytest

from masksynth.errors import InvalidInstance
from masksynth.pack.packing import pack_batches, pack_samples
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import key_of
from masksynth.pack.unpacking import unpack_samples

IMAGE = [[0, 1, 1, 1, 2], [0, 1, 1, 2, 3], [0, 1, 2, 1, 3]]


def sample(name, ids, **more):
    return {"id": name, "group": "g", "input_ids": ids, "labels": [-100, *ids[1:]], **more}


def test_each_dimension_is_part_of_the_identity():
    """Two samples that differ only in the height of one token share the tokens before it."""
    other = [IMAGE[0], [0, 1, 2, 2, 3], IMAGE[2]]
    ids = [5, 6, 7, 8, 9]
    [batch] = pack_batches([sample("a", ids, position_ids=IMAGE), sample("b", ids, position_ids=other)])
    assert batch.positions == 2 + 2 * 2
    assert batch.keys["position_ids_1"].tolist() == [0, 1, 1, 2, 2, 2]
    assert batch.keys["position_ids_2"].tolist() == [0, 1, 2, 1, 2, 1]
    assert batch.position_ids.tolist() == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_lists_tuples_and_arrays(form):
    [batch] = pack_batches([sample("a", [5, 6, 7, 8, 9], position_ids=form(IMAGE))])
    dimensions = [batch.position_ids, *batch.keys.values()]
    assert [values.tolist() for values in dimensions] == [part[:4] for part in IMAGE]


def test_text_beside_images_has_equal_dimensions():
    rows = [sample("image", [5, 6, 7, 8, 9], position_ids=IMAGE), sample("text", [3, 4, 5])]
    rows.append(sample("flat", [3, 4], position_ids=[7, 8]))
    [batch] = pack_batches([{**row, "group": row["id"]} for row in rows])
    for number, name in enumerate(("text", "flat"), 1):
        positions = batch.sample_position[batch.sample_offset[number] : batch.sample_offset[number + 1]]
        expected = [0, 1] if name == "text" else [7]
        for values in (batch.position_ids, batch.keys["position_ids_1"], batch.keys["position_ids_2"]):
            assert values[positions].tolist() == expected


def test_text_in_another_block_of_lines(tmp_path):
    """Blocks of a file are read apart and merged together."""
    rows = [sample(number, [3, 4, 5]) for number in range(1100)]
    [batch] = pack_batches([*rows, sample("image", [5, 6, 7, 8, 9], position_ids=IMAGE)])
    position = batch.sample_position[batch.sample_offset[5] : batch.sample_offset[6]]
    assert batch.keys["position_ids_2"][position].tolist() == [0, 1]


def test_files_and_the_way_back(tmp_path):
    rows = [sample("a", [5, 6, 7, 8, 9], position_ids=IMAGE), sample("b", [5, 6, 7, 8, 4], position_ids=IMAGE)]
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [table] = list(read_samples(path))
    assert key_of(table, "position_ids_1").tolist() == 2 * IMAGE[1]
    pack_samples(path, tmp_path / "packed")
    back = list(unpack_samples(tmp_path / "packed"))
    expected = [[*part[:4], 0] for part in IMAGE]  # those of dead tokens are 0
    assert [row["position_ids"] for row in back] == [expected] * 2
    assert all("position_ids_1" not in row for row in back)


def test_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [sample("a", [5, 6, 7, 8, 9], position_ids=IMAGE), sample("b", [5, 6], position_ids=[[0, 1]] * 3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "samples.parquet")
    [table] = list(read_samples(tmp_path / "samples.parquet"))
    assert key_of(table, "position_ids_2").tolist() == [*IMAGE[2], 0, 1]


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([[0, 1, 2], [0, 1]], "2 lists, but another sample has 3"),
        ([[0, 1, 2], [0, 1], [0, 1, 2]], "entries, but input_ids has 3"),
        ([[0, 1, 2], [0, 1, "2"], [0, 1, 2]], "is not a flat list"),
        ([[0, 1, 2], [0, 1, -2], [0, 1, 2]], "is not from 0 to"),
        ([[0, 1, 2], 5, [0, 1, 2]], "is not a flat list"),
    ],
)
def test_refusals(positions, words):
    rows = [sample("a", [5, 6, 7, 8, 9], position_ids=IMAGE), sample("b", [5, 6, 7], position_ids=positions)]
    with pytest.raises(InvalidInstance, match=words) as caught:
        list(pack_batches(rows))
    assert "samples:2" in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "path"),
    [
        ([[0, 1, 2], [0, 1, -2], [0, 1, 2]], "$.position_ids[1][2]: "),
        ([[0, -1, 2], [0, 1, 2], [0, 1, 2]], "$.position_ids[0][1]: "),
        ([[0, 1, 2], [0, 1, 2], [0, 1, "2"]], "$.position_ids[2]: "),
        ([[0, 1, 2], [0, 1], [0, 1, 2]], "$.position_ids[1]: "),
        ([0, -1, 2], "$.position_ids[1]: -1"),
    ],
)
def test_refusals_name_the_list_as_it_was_given(positions, path):
    rows = [sample("a", [5, 6, 7, 8, 9], position_ids=IMAGE), sample("b", [5, 6, 7], position_ids=positions)]
    with pytest.raises(InvalidInstance) as caught:
        list(pack_batches(rows))
    assert f"samples:2: {path}" in str(caught.value)


def test_a_key_field_by_its_own_name_is_refused_by_it():
    with pytest.raises(InvalidInstance, match=r"samples:1: \$.position_ids_1\[1\]: -4"):
        list(pack_batches([sample("a", [5, 6, 7], position_ids_1=[0, -4, 4])], key_fields=["position_ids_1"]))


def read_dimensions(batch, sample):
    """Return the dimensions of a sample's live tokens."""
    positions = batch.sample_position[batch.sample_offset[sample] : batch.sample_offset[sample + 1]]
    return [values[positions].tolist() for values in (batch.position_ids, *batch.keys.values())]


@pytest.mark.parametrize("between", [0, 1100], ids=["one block", "two blocks"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"segments": [{"length": 3, "position": 4}]}, [4, 5]),
        ({"position_ids": [[4, 5, 6]]}, [4, 5]),
        ({"attention_mask": [0, 1, 1]}, [0]),
        ({"position_ids_1": [7, 7, 7]}, [0, 1]),  # of no meaning here
    ],
    ids=["segments", "one list", "pads", "other field"],
)
def test_text_is_read_the_same_beside_images_and_far_from_them(between, text, expected):
    """The meaning of a sample without D lists does not depend on which others share its block of 1,024 lines."""
    rows = [sample("image", [5, 6, 7, 8, 9], position_ids=IMAGE)]
    rows += [sample(number, [3]) for number in range(between)]
    batches = list(pack_batches([*rows, sample("text", [5, 6, 7], **text)]))
    [(batch, number)] = [(batch, batch.samples.index("text")) for batch in batches if "text" in batch.samples]
    assert all(values == expected for values in read_dimensions(batch, number))


def test_samples_of_two_blocks_have_as_many_dimensions(tmp_path):
    rows = [sample(number, [5, 6, 7], position_ids=[[0, 1, 2]] * (3 if number < 1024 else 2)) for number in range(1030)]
    with pytest.raises(InvalidInstance, match=r"samples:1025: .*samples have 2 lists, others 3"):
        list(pack_batches(rows))


def test_a_key_field_for_a_further_dimension_may_be_missing():
    """By name as in D lists: a sample without it has equal dimensions."""
    rows = [sample("image", [5, 6, 7], position_ids_1=[0, 4, 4]), sample("text", [3, 4, 5])]
    [batch] = pack_batches(rows, key_fields=["position_ids_1"])
    assert read_dimensions(batch, 0) == [[0, 1], [0, 4]]
    assert read_dimensions(batch, 1) == [[0, 1], [0, 1]]


def test_a_key_field_beside_d_lists():
    """A requested name that is also an additional dimension: one of the two is refused."""
    rows = [sample("image", [5, 6, 7], position_ids=[[0, 1, 2], [0, 4, 4]])]
    [batch] = pack_batches(rows, key_fields=["position_ids_1"])
    assert read_dimensions(batch, 0) == [[0, 1], [0, 4]]
    with pytest.raises(InvalidInstance, match=r"samples:1: \$.position_ids_1: position_ids has 2 lists, too"):
        list(pack_batches([{**rows[0], "position_ids_1": [0, 4, 4]}], key_fields=["position_ids_1"]))
