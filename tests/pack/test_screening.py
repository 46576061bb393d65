"""Checks across samples: repeated ids and shifted labels."""

import numpy as np
import pytest

from masksynth.errors import InvalidInstance
from masksynth.pack import pack_batches, pack_samples
from masksynth.pack.check_samples import tables_of
from masksynth.pack.name_hashes import SeenNames
from masksynth.pack.screening import LabelCounts, count_labels, refuse_repeated_ids, refuse_shifted_labels
from masksynth.pack.table_parts import part_of
from tests.pack.roads import ROADS, named

road = pytest.mark.parametrize("road", ROADS)
RNG = np.random.default_rng(0)


def texts(count, length=20, vocabulary=1000):
    return RNG.integers(0, vocabulary, (count, length)).tolist()


def shifted(ids):
    return [*ids[1:], -100]


def rows_of(ids, labels):
    return [{"id": i, "input_ids": each, "labels": labels(each)} for i, each in enumerate(ids)]


def refused(rows, road, folder, **options):
    with pytest.raises(InvalidInstance) as caught:
        pack_samples(ROADS[road](rows, folder), folder / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()
    return str(caught.value)


@road
def test_shifted_labels_are_refused_with_the_remedy(tmp_path, road):
    text = refused(rows_of(texts(30), shifted), road, tmp_path)
    assert (
        f"{named(road)}:1: $.labels: labels are already shifted: in the first 30 samples from here, 570 of 570" in text
    )
    assert "do not shift them: labels[i] is input_ids[i] where it is trained" in text


@pytest.mark.parametrize(
    "labels",
    [
        lambda ids: [*ids[1:], ids[0]],  # rolled
        lambda ids: [*ids[1:], 7],  # an end-of-text token behind
        lambda ids: [-100] * 10 + [*ids[11:], -100],  # of an answer only
        lambda ids: [-100] * 18 + [ids[19], -100],  # one label
    ],
)
def test_forms_of_shifted_labels(labels):
    with pytest.raises(InvalidInstance, match="already shifted"):
        pack_samples(rows_of(texts(5), labels), None)


def test_two_tokens_are_enough():
    """The only evidence is the label of a first token, which is ignored otherwise."""
    with pytest.raises(InvalidInstance, match="already shifted"):
        pack_samples([{"input_ids": [5, 6], "labels": [6, -100]}], None)


@road
def test_right_labels_pass(tmp_path, road):
    for labels in (
        lambda ids: ids,
        lambda ids: [-100] * 19 + ids[19:],
        lambda ids: [-100] * len(ids),
        lambda ids: [3] * len(ids),
    ):
        pack_samples(ROADS[road](rows_of(texts(5), labels), tmp_path), None)
    pack_samples(ROADS[road](rows_of([[7] * 20], lambda ids: ids), tmp_path), None)
    pack_samples(ROADS[road](rows_of([[7] * 20], shifted), tmp_path), None)


def repeating(own, others):
    """A text of 201 tokens with shifted labels.

    Of which ``own`` equal their own token too and ``others`` equal neither.
    """
    ids = list(range(1, 202))
    for i in range(own):
        ids[i + 1] = ids[i]
    labels = shifted(ids)
    labels[200 - others : 200] = [999] * others
    return [{"id": 1, "input_ids": ids, "labels": labels}]


@pytest.mark.parametrize(("own", "others", "wrong"), [(0, 1, True), (0, 2, False), (99, 0, True), (100, 0, False)])
def test_the_bounds_are_exact(own, others, wrong):
    [table] = tables_of(repeating(own, others))
    assert count_labels(table) == (200, 200 - others, own)
    assert LabelCounts(200, 200 - others, own).shifted == wrong


def test_the_first_thousand_samples_decide():
    """One batch of tables has 1,024 samples.

    Those after the thousandth count for nothing, nor is anything held back for them.
    """
    right, wrong = rows_of(texts(2000), lambda ids: ids), rows_of(texts(2000), shifted)
    pack_samples(right[:1000] + wrong[1000:], None)
    with pytest.raises(InvalidInstance, match="first 1,000 samples from here, 19000 of 19000"):
        pack_samples(wrong[:1000] + right[1000:], None)
    given = []

    def stream():
        for row in wrong:
            given.append(row)
            yield row

    with pytest.raises(InvalidInstance, match="shifted"):
        next(iter(pack_batches(stream())))
    assert len(given) == 1024


def test_nothing_appears_where_windows_were_written_before_the_end(tmp_path):
    rows = rows_of(texts(60), shifted)
    for road in ("json_lines", "mappings"):
        refused(rows, road, tmp_path, window=4, force=True)


def test_segments_that_predict_themselves_are_left_out():
    rows = [
        {
            "id": 1,
            "input_ids": [5, 6, 7, 8],
            "labels": [6, 7, 8, -100],
            "segments": [{"length": 4, "within": "full", "predict": "self"}],
        }
    ]
    [table] = tables_of(rows)
    assert count_labels(table) == (0, 0, 0)
    pack_samples(rows, None)


def test_a_next_token_is_one_of_the_same_segment():
    parts = [{"length": 2}, {"length": 2, "sees": [0]}]
    [table] = tables_of([{"id": 1, "input_ids": [5, 6, 7, 8], "labels": [-100, 7, 8, -100], "segments": parts}])
    assert count_labels(table) == (1, 1, 0)


@road
def test_a_repeated_id_is_refused(tmp_path, road):
    rows = [{"id": name, "input_ids": [1], "labels": [-100]} for name in "abcb"]
    text = refused(rows, road, tmp_path)
    assert f"{named(road)}:4: $.id: 'b' is the id of an earlier sample; give each its own, or none" in text


@pytest.mark.parametrize("window", [10, 4096])
def test_ids_are_compared_over_the_whole_run(window):
    rows = [{"id": i, "input_ids": [1], "labels": [-100]} for i in range(3000)]
    pack_samples(rows, None, window=window)
    rows[2900]["id"] = 7
    with pytest.raises(InvalidInstance, match=r"samples:2901: \$.id: 7 is the id of an earlier sample"):
        pack_samples(rows, None, window=window)


def test_a_number_and_its_text_are_two_ids():
    [batch] = pack_batches(
        [{"id": 1, "input_ids": [1], "labels": [-100]}, {"id": "1", "input_ids": [1, 2], "labels": [-100, 2]}]
    )
    assert batch.samples == (1, "1") or set(batch.samples) <= {1, "1"}


def test_ids_take_8_bytes_each():
    seen = SeenNames()
    for start in range(0, 100_000, 1000):
        assert not any(seen.add(range(start, start + 1000)))
    assert all(seen.add(range(100_000)))
    assert seen.old.nbytes + 8 * len(seen.new) == 8 * 100_000
    assert len(seen.new) < 20_000


def test_tables_are_passed_on_unchanged():
    tables = list(tables_of(rows_of(texts(10), lambda ids: ids)))
    parts = list(map(part_of, tables))
    assert list(refuse_shifted_labels(refuse_repeated_ids(parts))) == parts
