"""Packing end to end: nothing lost, nothing repeated, whatever window, order and limit."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange.arranged_folder import ArrangeOptions, arrange_packed
from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.pack import open_packed, pack_batches, pack_samples, unpack_samples
from masksynth.pack.read_files import read_samples
from masksynth.pack.sample_columns import join
from masksynth.verify.packs import check_packed
from tests.pack.strategies import causal_samples, segmented_samples

DATA = Path(__file__).parent / "data"
FILES = {"gsm8k_rollouts": 3216, "preference_pairs": 767, "reasoning_calls": 8425}


def trie_positions(samples):
    """Distinct live prefixes: the positions of a prefix tree, counted the plain way."""
    prefixes = set()
    for sample in samples:
        last = max((i for i, label in enumerate(sample["labels"]) if label != -100), default=0)
        prefixes |= {tuple(sample["input_ids"][: i + 1]) for i in range(last)}
    return len(prefixes)


def rows_of(path):
    table = join(list(read_samples(path)))
    cut = table.offset.tolist()
    return [
        {"id": table.ids[s], "group": table.groups[s], "weight": float(table.weight[s])}
        | {
            "input_ids": table.tokens[cut[s] : cut[s + 1]].tolist(),
            "labels": table.labels[cut[s] : cut[s + 1]].tolist(),
        }
        for s in range(len(table))
    ]


def by_id(samples):
    return sorted(samples, key=lambda sample: str(sample["id"]))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("max_length", [32768, 1400])
def test_real_samples_come_back_and_every_label_is_there_once(tmp_path, name, max_length):
    path = DATA / f"{name}.jsonl.gz"
    summary = pack_samples(path, tmp_path / "out", max_length=max_length)
    samples = rows_of(path)
    assert by_id(unpack_samples(tmp_path / "out")) == by_id(samples)
    edges = Counter()
    packed = open_packed(tmp_path / "out")
    for batch in packed:
        assert 0 < batch.positions <= max_length
        names = [batch.samples[s] for s in batch.loss_sample]
        edges.update(zip(names, batch.loss_label.tolist(), batch.loss_weight.tolist(), strict=True))
    asked = Counter((s["id"], label, s["weight"]) for s in samples for label in s["labels"] if label != -100)
    assert edges == asked
    record = summary.record()
    assert (record["tokens"], record["samples"], record["batches"]) == (FILES[name], len(samples), len(packed))
    assert record["loss_edges"] == asked.total()
    assert record["positions"] >= record["lower_bound"] >= record["lower_bound_split"] >= trie_positions(samples)
    assert record["gap"] <= record["lower_bound"] // 100
    if max_length == 32768:
        assert record["positions"] == trie_positions(samples)
        assert (record["gap"], record["proved_minimal"], record["windows"]) == (0, True, 1)
    assert record["pairs"]["merged"] == sum(batch.mask.pairs for batch in packed)
    assert set(record["seconds"]) == {"read", "merge", "search", "check", "write"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(causal_samples(3), segmented_samples(2)), min_size=1, max_size=4),
    st.integers(1, 7),
    st.integers(12, 30),
    st.randoms(),
)
def test_order_window_and_limit_change_the_layout_only(families, window, max_length, random):
    samples = [{**s, "id": f"{g}/{s['id']}", "group": g} for g, family in enumerate(families) for s in family]
    random.shuffle(samples)

    def edges(**options):
        found = Counter()
        for batch in pack_batches(samples, **options):
            assert batch.positions <= options["max_length"]
            for p, label, s, w in zip(
                batch.loss_position, batch.loss_label, batch.loss_sample, batch.loss_weight, strict=True
            ):
                keys = batch.mask.row(int(p))
                context = tuple(
                    sorted(zip(batch.input_ids[keys].tolist(), batch.position_ids[keys].tolist(), strict=True))
                )
                found[
                    batch.samples[s], int(batch.input_ids[p]), int(batch.position_ids[p]), int(label), float(w), context
                ] += 1
        return found

    assert edges(window=window, max_length=max_length) == edges(window=1000, max_length=10**6)


def test_equal_runs_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        pack_samples(DATA / "gsm8k_rollouts.jsonl.gz", tmp_path / name, max_length=500)
    assert [p.name for p in sorted((tmp_path / "a").iterdir())] == [p.name for p in sorted((tmp_path / "b").iterdir())]
    assert all((tmp_path / "b" / p.name).read_bytes() == p.read_bytes() for p in (tmp_path / "a").iterdir())


def test_separate_groups_are_isolated_and_samples_without_one_merge():
    row = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    named = [{**row, "id": 1, "group": "a"}, {**row, "id": 2, "group": "b"}, {**row, "id": 3}, {**row, "id": 4}]
    [batch] = pack_batches(named, separate_groups=True)
    assert batch.positions == 6
    [batch] = pack_batches([{**row, "id": 1, "group": 1}, {**row, "id": 2, "group": "1"}], separate_groups=True)
    assert batch.positions == 4
    [batch] = pack_batches(named)
    assert batch.positions == 2


def test_keys_tell_tokens_apart_and_are_stored():
    row = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    [batch] = pack_batches(
        [{**row, "id": 1, "route": [0, 5, 0]}, {**row, "id": 2, "route": [0, 6, 0]}], key_fields=["route"]
    )
    assert batch.positions == 3
    assert sorted(batch.keys["route"].tolist()) == [0, 5, 6]
    [batch] = pack_batches([{**row, "id": 1, "position_ids": [0, 5, 6]}, {**row, "id": 2}])
    assert sorted(batch.position_ids.tolist()) == [0, 1, 5]


def test_token_fields_travel_with_their_labels(tmp_path):
    row = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    samples = [
        {**row, "id": 1, "weight": 2.0, "weights": [0.0, 0.5, 1.0], "entropy": [9.0, 8.0, 7.0]},
        {**row, "id": 2, "weight": 1.0, "advantages": [None, -1.0, 1.0]},
    ]
    pack_samples(samples, tmp_path / "out", token_fields=["entropy"])
    [batch] = open_packed(tmp_path / "out")
    assert batch.loss_weight.tolist() == [1.0, 2.0, 1.0, 1.0]
    np.testing.assert_array_equal(batch.fields["entropy"], [8.0, 7.0, np.nan, np.nan])
    np.testing.assert_array_equal(batch.fields["advantages"], [np.nan, np.nan, -1.0, 1.0])
    back = list(unpack_samples(tmp_path / "out"))
    assert back[0]["weights"] == [None, 0.5, 1.0]
    assert back[1]["advantages"] == [None, -1.0, 1.0]
    assert "entropy" not in back[1]


@settings(max_examples=60, deadline=None)
@given(segmented_samples())
def test_segmented_samples_come_back(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("packed") / "out"
    pack_samples(samples, folder)
    [first] = pack_batches(samples)
    [again] = pack_batches(unpack_samples(folder))
    for name in (
        "input_ids",
        "position_ids",
        "loss_position",
        "loss_label",
        "sample_position",
        "dead_index",
        "dead_token",
    ):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.mask == again.mask


def test_position_ids_that_differ_from_the_segments_come_back(tmp_path):
    """They count from 0, as a plain sample's do, and not from where its segments say."""
    parts = [{"length": 2, "position": 5}, {"length": 2, "position": 7, "sees": [0]}]
    row = {"id": 1, "input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, 4], "segments": parts}
    for number, position_ids in enumerate(([0, 1, 2, 3], [5, 6, 7, 8])):
        pack_samples([{**row, "position_ids": position_ids}], tmp_path / str(number))
        [back] = unpack_samples(tmp_path / str(number))
        assert back.get("position_ids", [5, 6, 7, 0])[:3] == position_ids[:3]  # the last token is dead


def test_a_group_apart_is_gathered_within_the_window_and_reported_beyond_it(tmp_path):
    row = {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
    samples = [{**row, "id": i, "group": group} for i, group in enumerate("aabbab")]
    summary = pack_samples(samples, tmp_path / "one")
    assert (summary.record()["positions"], summary.record()["scattered_groups"]) == (2, [])
    summary = pack_samples(samples, tmp_path / "two", window=3)
    assert summary.record()["scattered_groups"] == ["a", "b"]
    assert by_id(s | {"group": "x"} for s in unpack_samples(tmp_path / "two")) == by_id(
        s | {"group": "x", "weight": 1.0} for s in samples
    )


def test_a_sample_longer_than_a_batch(tmp_path):
    rows = [{"id": i, "input_ids": list(range(n)), "labels": [-100, *range(1, n)]} for i, n in enumerate((4, 9, 5))]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        InvalidInstance, match=rf"{path}:2: sample 1 has 8 tokens that labels depend on, a batch holds 7"
    ):
        pack_samples(path, tmp_path / "out", max_length=7)
    assert list(tmp_path.iterdir()) == [path]
    summary = pack_samples(path, tmp_path / "out", max_length=7, skip_long=True)
    assert summary.record()["skipped_samples"] == [1]
    assert [s["id"] for s in unpack_samples(tmp_path / "out")] == [0, 2]


@pytest.mark.parametrize(
    ("layout", "segments"),
    [("loss-edges", None), ("next-token", None), ("loss-edges", [{"length": 9, "within": "full"}])],
)
def test_a_window_of_which_all_samples_are_left_out(tmp_path, layout, segments):
    rows = [{"id": i, "input_ids": list(range(n)), "labels": [-100, *range(1, n)]} for i, n in enumerate((9, 4, 9))]
    rows = [{**row, "segments": segments} if segments and len(row["labels"]) == 9 else row for row in rows]
    summary = pack_samples(rows, tmp_path / "out", max_length=7, window=1, skip_long=True, layout=layout)
    assert summary.record()["skipped_samples"] == [0, 2]
    assert [s["id"] for s in unpack_samples(tmp_path / "out")] == [1]
    assert list(pack_batches(rows[:1], max_length=7, skip_long=True, layout=layout)) == []
    assert (
        pack_samples(rows[:1], tmp_path / "none", max_length=7, skip_long=True, layout=layout).record()["batches"] == 0
    )


def test_a_batch_may_be_filled_to_the_last_position():
    rows = [{"id": i, "group": i, "input_ids": [i] * 5, "labels": [-100, -100, -100, -100, i]} for i in range(4)]
    assert [batch.positions for batch in pack_batches(rows, max_length=8)] == [8, 8]
    assert [batch.positions for batch in pack_batches(rows, max_length=4)] == [4] * 4


@pytest.mark.parametrize("options", [{"max_length": 0}, {"window": 0}])
def test_numbers_must_be_positive(options):
    with pytest.raises(InvalidInstance, match="expected a positive integer, got 0"):
        list(pack_batches([], **options))


def test_no_sample(tmp_path):
    with pytest.raises(MasksynthError, match="there is no sample"):
        pack_samples([], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_arranged_batches_hold_the_same_samples(tmp_path):
    """Another order of the positions is another layout of the same training."""
    pack_samples(DATA / "reasoning_calls.jsonl.gz", tmp_path / "packed")
    arrange_packed(tmp_path / "packed", tmp_path / "arranged", ArrangeOptions(128), lambda *_: None)
    assert list(unpack_samples(tmp_path / "arranged")) == list(unpack_samples(tmp_path / "packed"))
    table = join(list(read_samples(DATA / "reasoning_calls.jsonl.gz")))
    [batch] = open_packed(tmp_path / "arranged")
    assert batch.input_ids.tolist() != open_packed(tmp_path / "packed")[0].input_ids.tolist()
    check_packed(batch, table, np.arange(len(table)))


@pytest.mark.parametrize("group", [{}, {"group": "g"}])
def test_segmented_samples_are_cut_where_they_share_little(group):
    """Twenty documents with ten questions each, shuffled: hardly a document is repeated."""
    rng = np.random.default_rng(0)
    documents = rng.integers(0, 1000, (20, 60)).tolist()
    parts = [{"length": 60, "position": 0}, {"length": 2, "position": 60, "sees": [0]}]
    samples = [
        {"id": int(i), "input_ids": documents[i % 20] + [int(i), 7], "labels": [-100] * 61 + [7], "segments": parts}
        | group
        for i in rng.permutation(200)
    ]
    batches = list(pack_batches(samples, max_length=200))
    assert sum(batch.positions for batch in batches) < 1.35 * (20 * 60 + 200)


def test_cut_groups_and_missing_fields_are_told(tmp_path):
    rows = [
        {"id": i, "group": i // 2, "input_ids": [i // 2] * 30 + [i] * 30, "labels": [-100] * 30 + [i] * 30}
        for i in range(6)
    ]
    record = pack_samples(rows, None, max_length=70, token_fields=["entropy"]).record()
    assert record["cut_groups"] == [0, 1, 2]
    assert record["missing_fields"] == ["entropy"]
    with pytest.raises(InvalidInstance, match="lists of names"):
        pack_samples(rows, None, token_fields="entropy")


def test_segments_are_stored_as_ranges(tmp_path):
    """What a segment sees is not written out segment by segment."""
    parts = [{"length": 2, "sees": [[0, j]]} for j in range(200)]
    pack_samples(
        [{"id": 1, "input_ids": list(range(400)), "labels": [-100, *range(1, 400)], "segments": parts}],
        tmp_path / "out",
    )
    assert (tmp_path / "out" / "manifest.json").stat().st_size < 40_000
    [back] = unpack_samples(tmp_path / "out")
    assert back["segments"][50]["sees"] == [[0, 50]]


def test_the_summary_counts_named_groups():
    """An integer and a text name different groups; samples without a group are none."""
    rows = [
        {"id": number, "input_ids": [1, 2], "labels": [-100, 2], **({} if group is None else {"group": group})}
        for number, group in enumerate([1, "1", None, 1, None])
    ]
    assert pack_samples(rows, None).record()["groups"] == 2
    assert pack_samples(rows[2:3], None).record()["groups"] == 0


def test_a_packed_folder_is_kept_by_default(tmp_path):
    rows = [{"id": 0, "input_ids": [1, 2], "labels": [-100, 2]}]
    pack_samples(rows, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(InvalidInstance, match="not empty"):
        pack_samples([{**rows[0], "id": 1}], tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
