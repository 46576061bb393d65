"""Packed batches of real samples: silent; moved, repeated and leaking labels are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from masksynth.audit import audit, read_subject, subject_of_batch
from masksynth.mask import Mask
from masksynth.pack import pack_batches

DATA = sorted((Path(__file__).parent.parent / "pack/data").glob("*.jsonl.gz"))
SEGMENTED = {
    "id": "s",
    "input_ids": [1, 2, 3, 90, 90, 3, 4],
    "labels": [-100, -100, -100, 3, 4, -100, 7],
    "segments": [
        {"length": 3},
        {"length": 2, "sees": [0], "within": "full", "predict": "self", "position": 3},
        {"length": 2, "sees": [0], "after": 0, "position": 3},
    ],
}


@pytest.fixture(scope="module", params=range(3), ids=[path.name.split(".")[0] for path in DATA])
def folder(request, tmp_path_factory):
    from click.testing import CliRunner

    from masksynth.cli.commands import main

    target = tmp_path_factory.mktemp("packed") / "out"
    done = CliRunner().invoke(main, ["pack", str(DATA[request.param]), "-o", str(target), "--max-length", "4096"])
    assert done.exit_code == 0, done.output
    return target


def test_real_batches_are_silent(folder):
    report = audit(read_subject(folder))
    assert not [found for found in report.findings if found.severity != "note"]
    assert report.minimal is not None
    assert report.minimal.dead == 0


def test_a_label_moved_repeated_or_seen(folder):
    subject = read_subject(folder)
    packed, rng = subject.batch, np.random.default_rng(1)
    for edge in rng.integers(0, len(packed.loss_label), 5).tolist():
        position = packed.loss_position.copy()
        position[edge] = (position[edge] + 1) % packed.positions
        moved = audit(subject_of_batch(replace(packed, loss_position=position), "b", subject.segments))
        assert [found.position for found in moved.findings if found.code == "MS003"] == [position[edge]]
    names = ("loss_position", "loss_label", "loss_sample", "loss_weight", "loss_index")
    twice = replace(packed, **{name: np.append(getattr(packed, name), getattr(packed, name)[3]) for name in names})
    assert [
        found.code
        for found in audit(subject_of_batch(twice, "b", subject.segments)).findings
        if found.severity == "error"
    ] == ["MS004"]


def test_a_prompt_that_sees_its_answer(folder):
    subject = read_subject(folder)
    edge = int(np.flatnonzero(subject.labels.target >= 0)[0])
    query, key = int(subject.labels.position[edge]), int(subject.labels.target[edge])
    rows = [list(subject.mask.intervals(q)) for q in range(subject.size)]
    rows[query] = _with(rows[query], key)
    report = audit(replace(subject, mask=Mask.from_intervals([rows])))
    leaks = [found for found in report.findings if found.code == "MS001"]
    assert any(found.position == query and found.witness["path"] == [key, query] for found in leaks)


def _with(row, key):
    keys = sorted({k for start, end in row for k in range(start, end)} | {key})
    cuts = [place for place in range(len(keys)) if place == 0 or keys[place] != keys[place - 1] + 1]
    return [(keys[a], keys[b - 1] + 1) for a, b in zip(cuts, [*cuts[1:], len(keys)], strict=True)]


def test_segments_say_who_predicts():
    packed = next(iter(pack_batches([SEGMENTED], max_length=100)))
    subject = subject_of_batch(packed, "b", (SEGMENTED["segments"],))
    assert not [found for found in audit(subject).findings if found.code in ("MS001", "MS003", "MS004")]
    moved = replace(packed, loss_position=(packed.loss_position + 1) % packed.positions)
    assert [
        found.code
        for found in audit(subject_of_batch(moved, "b", (SEGMENTED["segments"],))).findings
        if found.code == "MS003"
    ] == ["MS003"] * 3


@pytest.mark.parametrize("seed", range(20))
def test_one_pair_flipped_in_a_packed_batch(seed):
    """A key more is MS013, a key less MS002, at its row; segments and copies included."""
    rng = np.random.default_rng(seed)
    document = {"length": 3, "position": 0}
    segments = [document, document, {"length": 3, "position": 3, "sees": [0, 1]}]
    row = {"group": "g", "input_ids": [1, 2, 3, 1, 2, 3, 7, 8, 9], "labels": [-100] * 7 + [8, 9]}
    plain = {"group": "h", "input_ids": [1, 2, 3, 4], "labels": [-100, 2, 3, 4]}
    samples = (
        [{**row, "id": 0, "segments": segments}] if seed % 2 else [{**plain, "id": 1}, {**plain, "id": 2, "group": "i"}]
    )
    [batch] = pack_batches(samples)
    parts = (samples[0]["segments"],) if seed % 2 else None
    assert not [found for found in audit(subject_of_batch(batch, "batch", parts)).findings if found.severity == "error"]
    used = batch.sample_position
    query, key = int(rng.choice(used)), int(rng.integers(batch.positions))
    if query == key:
        return
    dense = batch.mask.dense()
    dense[query, key] ^= True
    wrong = audit(subject_of_batch(replace(batch, mask=Mask.from_dense(dense)), "batch", parts)).findings
    told = [(found.code, found.position) for found in wrong if found.severity == "error"]
    if seed % 2:  # copies of a class are interchangeable, so another copy may be reported
        assert {code for code, _ in told} & {"MS002", "MS009", "MS013"}
    else:
        assert ("MS013" if dense[query, key] else "MS002", query) in told


def test_labels_that_are_not_their_own_tokens():
    """Such a label hides nothing, so that no leak of it is looked for: that is a finding, and samples say the rest."""
    sample = {"id": 1, "input_ids": [5, 6, 7, 8], "labels": [-100, 6, 9, 8]}
    [batch] = pack_batches([sample])
    report = audit(subject_of_batch(batch, "b"))
    assert [(one.code, one.position, one.witness["label"]) for one in report.findings] == [("MS022", 1, 1)]
    assert not report.complete
    assert audit(subject_of_batch(batch, "b"), samples=[sample]).complete
    assert [
        one.code
        for one in audit(subject_of_batch(batch, "b"), samples=[{**sample, "labels": [-100, 6, 7, 8]}]).findings
    ] == ["MS003"]


def test_real_batches_with_their_samples(folder, request):
    """Silent as they are; a changed row, label, token or sample is named."""
    source = next(path for path in DATA if path.name.split(".")[0] in request.node.name)
    subject = read_subject(folder, samples=source)
    report = audit(subject)
    assert not [found for found in report.findings if found.severity != "note"]
    assert report.complete
    assert report.samples.read == report.samples.compared + subject.others
    rng = np.random.default_rng(2)
    numbered = dict(enumerate(subject.batch.samples))
    for edge in rng.integers(0, len(subject.labels), 3).tolist():
        position, sample = int(subject.labels.position[edge]), numbered[int(subject.labels.task[edge])]
        value = list(subject.labels.value)
        value[edge] = 7
        wrong = audit(replace(subject, labels=replace(subject.labels, value=tuple(value)))).findings
        told = [found for found in wrong if found.code in ("MS003", "MS004") and found.position == position]
        owners = {found.witness["sample"] for found in told}
        shared = (subject.batch.sample_position == position).sum() > 1
        assert owners == {sample} or (owners and shared)
        rows = [list(subject.mask.intervals(query)) for query in range(subject.size)]
        start, end = rows[position][0]
        rows[position][0] = (start + 1, end)
        if start + 1 == end:
            continue
        lost = audit(replace(subject, mask=Mask.from_intervals([rows]), batch=None)).findings
        assert position in {
            found.position for found in lost if found.severity == "error" and found.code in ("MS002", "MS009")
        }


def test_another_file_of_samples_is_told(folder):
    table = read_subject(folder, samples=DATA[0]).samples
    first = read_subject(folder)
    changed = [{"id": name, "input_ids": [1, 2, 3], "labels": [-100, 2, 3]} for name in first.batch.samples[:5]]
    found = [one for one in audit(read_subject(folder, samples=changed)).findings if one.code == "MS018"]
    assert {one.witness["sample"] for one in found} >= set(first.batch.samples[:5])
    assert len({repr(one.witness["sample"]) for one in found}) >= min(len(first.batch.samples), 1000)
    assert len(table)
