"""Layouts with one label for each position: against a trie of dictionaries, all partitions, and what they refuse."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange.arranged_folder import ArrangeOptions, arrange_packed
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.pack import open_packed, pack_batches, pack_samples, unpack_samples
from masksynth.pack.check_samples import tables_of
from masksynth.pack.merge_batches import count_live_tokens
from masksynth.pack.sample_columns import key_of
from masksynth.verify.pack_bounds import bound_positions
from masksynth.verify.position_labels import check_labels
from masksynth.verify.samples import verify_packed
from tests.cli.command import here
from tests.pack.strategies import ROUTE, causal_samples
from tests.pack.test_groups import options_of
from tests.partitions import partitions

ONE_LABEL = ("next-token", "next-token-unweighted")
KEYS = ("position_ids", "kinds", ROUTE)
ROWS = [
    {"id": "a", "input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]},
    {"id": "b", "input_ids": [5, 6, 9, 8], "labels": [-100, -100, 9, 8]},
    {"id": "c", "input_ids": [5, 6, 7, 8, 2], "labels": [-100, -100, 7, 8, 2]},
]


def table_of(samples):
    [table] = tables_of(samples, (), KEYS)
    return table


def paths_of(samples, layout, mode="together"):
    """The nodes of each sample, as paths of (token, keys, what it predicts, rank): one dictionary for the window."""
    table, trained, paths = table_of(samples), {}, []
    live = count_live_tokens(table)
    keys = [key_of(table, name).tolist() for name in KEYS]
    for number, sample in enumerate(samples):
        path, nodes = (sample.get("group").__repr__(),) if mode == "separate" else (), []
        ranked = path
        for index in range(int(live[number])):
            flat = int(table.offset[number]) + index
            label = int(table.labels[flat + 1])
            predicted = int(table.tokens[flat + 1]) if label == -100 else label
            entry = (int(table.tokens[flat]), *(key[flat] for key in keys), predicted)
            path = (*path, entry)
            rank = 0
            if layout == "next-token-unweighted" and label != -100:
                rank = trained.get(path, 0)
                trained[path] = rank + 1
            ranked = (*ranked, (entry, rank))
            nodes.append(ranked)
        paths.append(set(nodes))
    return paths


def least_positions(paths, samples, limit, mode):
    """The least number of positions of the window's nodes, by trying all partitions of the units."""
    groups, units = {}, []
    for number, sample in enumerate(samples):
        groups.setdefault((type(sample.get("group")), sample.get("group")), []).append(number)
    for (_, name), members in groups.items():
        whole = mode != "split" and name is not None and len(set().union(*(paths[m] for m in members))) <= limit
        units += [members] if whole else [[member] for member in members]
    best = 10**9
    for parts in partitions(units):
        sizes = [len(set().union(*(paths[m] for unit in part for m in unit))) for part in parts]
        best = min(best, sum(sizes)) if max(sizes) <= limit else best
    return best


@settings(max_examples=60, deadline=None)
@given(
    causal_samples(5), st.integers(0, 4), st.sampled_from(["together", "split", "separate"]), st.sampled_from(ONE_LABEL)
)
def test_positions_and_bounds_against_all_partitions(samples, more, mode, layout):
    table = table_of(samples)
    limit = max(1, *count_live_tokens(table).tolist(), 1) + more
    paths = paths_of(samples, layout, mode)
    index = {sample["id"]: number for number, sample in enumerate(samples)}
    batches = list(pack_batches(samples, max_length=limit, key_fields=[ROUTE], layout=layout, **options_of(mode)))
    for batch in batches:
        assert batch.positions == len(set().union(*(paths[index[name]] for name in batch.samples))) <= limit
    bounds = bound_positions(table, limit, mode == "split", mode == "separate", layout=layout)
    least = least_positions(paths, samples, limit, mode)
    assert bounds.free <= bounds.kept <= least <= sum(batch.positions for batch in batches)
    record = pack_samples(
        samples, None, max_length=limit, key_fields=[ROUTE], layout=layout, **options_of(mode)
    ).record()
    assert record["lower_bound"] == bounds.kept
    assert record["layout"] == layout
    assert record["positions_loss_edges"] <= record["positions"]


@settings(max_examples=60, deadline=None)
@given(causal_samples(6))
def test_no_position_has_two_labels(samples):
    for layout in ONE_LABEL:
        for batch in pack_batches(samples, key_fields=[ROUTE], layout=layout):
            labels = {}
            for position, label in zip(batch.loss_position.tolist(), batch.loss_label.tolist(), strict=True):
                labels.setdefault(position, []).append(label)
            assert all(len(set(values)) == 1 for values in labels.values())
            assert layout == "next-token" or all(len(values) == 1 for values in labels.values())


def test_the_three_layouts_of_three_answers():
    sizes = {}
    for layout in ("loss-edges", *ONE_LABEL):
        [batch] = pack_batches(ROWS, layout=layout)
        sizes[layout] = batch.positions
    # 5 6 7 9 8; then 6 twice, for 7 and 9; then 6 and 7 once more, since a and c both train 7 and 8
    assert sizes == {"loss-edges": 5, "next-token": 6, "next-token-unweighted": 8}


def test_a_token_that_one_sample_trains_is_shared_with_samples_that_do_not_train_it():
    calls = [
        {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]},
        {"input_ids": [1, 2, 3, 4, 5, 6], "labels": [-100, -100, -100, -100, -100, 6]},
    ]
    for layout in ONE_LABEL:
        [batch] = pack_batches(calls, layout=layout)
        assert batch.positions == 5


def test_a_folder_states_its_layout_and_unpacks_to_its_samples(tmp_path):
    for layout in ONE_LABEL:
        summary = pack_samples(ROWS, tmp_path / layout, layout=layout)
        assert summary.record()["proved_minimal"]
        assert open_packed(tmp_path / layout).layout == layout
        assert json.loads((tmp_path / layout / "manifest.json").read_text())["options"]["layout"] == layout
        read = list(unpack_samples(tmp_path / layout))
        assert [(row["id"], row["input_ids"], row["labels"]) for row in read] == [tuple(row.values()) for row in ROWS]
        assert verify_packed(tmp_path / layout, lambda *_: tables_of(ROWS)).samples == 3
    pack_samples(ROWS, tmp_path / "edges")
    assert "layout" not in json.loads((tmp_path / "edges" / "manifest.json").read_text())["options"]
    assert open_packed(tmp_path / "edges").layout == "loss-edges"


@pytest.mark.parametrize("layout", ONE_LABEL)
def test_a_folder_of_another_layout_than_it_states_is_refused(tmp_path, layout):
    pack_samples(ROWS, tmp_path / "edges")
    path = tmp_path / "edges" / "manifest.json"
    path.write_text(path.read_text().replace('"skip_long"', f'"layout":"{layout}","skip_long"'))
    with pytest.raises(
        WrongAnswer, match=r"batch-00000.safetensors: position 1 has the labels 7 and 9 in layout next-"
    ):
        verify_packed(tmp_path / "edges", lambda *_: tables_of(ROWS))
    path.write_text(path.read_text().replace(f'"{layout}"', '"two-labels"'))
    with pytest.raises(InvalidInstance, match="unknown layout 'two-labels'"):
        verify_packed(tmp_path / "edges", lambda *_: tables_of(ROWS))
    with pytest.raises(InvalidInstance, match="two-labels"):
        open_packed(tmp_path / "edges")


def test_labels_are_checked_apart_from_the_packing():
    [batch] = pack_batches([ROWS[0], {**ROWS[0], "id": "again", "weight": 2}], layout="next-token")
    check_labels(batch, "next-token")
    with pytest.raises(WrongAnswer, match=r"loss edge 2 has weight 2 in layout next-token-unweighted"):
        check_labels(batch, "next-token-unweighted")
    batch.loss_weight[:] = 1
    with pytest.raises(WrongAnswer, match="position 1 has the labels 7 and 7 in layout next-token-unweighted"):
        check_labels(batch, "next-token-unweighted")


@pytest.mark.parametrize("layout", ONE_LABEL)
def test_segments_are_refused(layout):
    rows = [*ROWS, {**ROWS[0], "id": "parts", "segments": [{"length": 4}]}]
    with pytest.raises(
        InvalidInstance, match=rf"samples:4: sample 'parts' has segments, which layout {layout} does not"
    ):
        list(pack_batches(rows, layout=layout))


def test_weights_that_cannot_travel_are_refused():
    assert sum(next(pack_batches([{**ROWS[0], "weight": 0.5}], layout="next-token")).loss_weight) == 1.0
    for more in ({"weight": 0.5}, {"weights": [1, 1, 0.5, 1]}):
        with pytest.raises(
            InvalidInstance, match=r"samples:2: sample 'b' has a label of weight 0.5, layout next-token-u"
        ):
            list(pack_batches([ROWS[0], {**ROWS[1], **more}], layout="next-token-unweighted"))
    ones = {"weights": [0.5, None, 1, 1]}  # 0.5 of a token that is not trained
    [batch] = pack_batches([{**ROWS[0], **ones}], layout="next-token-unweighted")
    assert np.array_equal(batch.loss_weight, [1, 1])


def test_unknown_layouts_are_refused():
    with pytest.raises(InvalidInstance, match="unknown layout 'shifted'; use one of loss-edges, next-token"):
        list(pack_batches(ROWS, layout="shifted"))
    with pytest.raises(InvalidInstance, match="unknown layout 'shifted'"):
        pack_samples(ROWS, None, layout="shifted")


def test_the_command_prints_the_price(tmp_path):
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    result = here("pack", str(tmp_path / "samples.jsonl"), "--layout", "next-token", "-o", str(tmp_path / "packed"))
    assert "-> 6 positions in 1 batch" in result.stdout
    assert "6 positions, proved minimal" in result.stdout
    assert "one label for each position takes 1 more position (20.00%) than loss edges would" in result.stdout
    assert here("verify", str(tmp_path / "samples.jsonl"), str(tmp_path / "packed")).returncode == 0
    audit = here("audit", str(tmp_path / "packed"))
    assert "MS008" in audit.stdout
    assert "layout next-token has one label for each position" in audit.stdout
    assert audit.returncode == 0


def test_an_arranged_folder_keeps_its_layout(tmp_path):
    pack_samples(ROWS, tmp_path / "packed", layout="next-token-unweighted")
    arrange_packed(tmp_path / "packed", tmp_path / "arranged", ArrangeOptions(2), lambda *_: None)
    assert open_packed(tmp_path / "arranged").layout == "next-token-unweighted"
    assert verify_packed(tmp_path / "arranged", lambda *_: tables_of(ROWS)).samples == 3


def test_the_same_bytes_from_several_jobs_and_after_a_resumed_run(tmp_path):
    rows = [{**row, "id": f"{row['id']}{i}", "input_ids": [i, *row["input_ids"][1:]]} for i in range(9) for row in ROWS]
    for name, jobs in (("one", 1), ("two", 2)):
        pack_samples(rows, tmp_path / name, layout="next-token", max_length=8, window=6, jobs=jobs)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
