"""Labels: every way to get them wrong, by name."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import Subject, audit
from masksynth.mask import Mask
from masksynth.subject.token_file import with_tokens
from tests.audit.samples.layouts import documents, random_samples, tree

LABELS = {"MS003", "MS004", "MS016", "MS017"}


def told(layout):
    return [one for one in audit(layout.subject()).findings if one.code in LABELS]


def text_of(layout, sample, token):
    return layout.samples[sample]["input_ids"][token]


@pytest.fixture(params=range(12), ids=str)
def documents_and_tree(request):
    rng = np.random.default_rng([1, request.param])
    samples = random_samples(rng, count=4, longest=9, tokens=60)
    for sample in samples:
        sample["labels"] = [-100, *sample["input_ids"][1:]]
    return [documents(samples), tree(samples)], rng


def test_a_changed_label_is_named(documents_and_tree):
    layouts, rng = documents_and_tree
    for layout in layouts:
        assert told(layout) == []
        edge = int(rng.integers(len(layout.labels)))
        position, label = layout.labels[edge]
        layout.labels[edge] = (position, 99)
        found = told(layout)
        wrong = [one for one in found if one.code == "MS003"]
        assert [(one.position, one.witness["label"], one.witness["due_label"]) for one in wrong] == [
            (position, 99, label)
        ]
        owners = {(sample, token - 1) for sample, token in [(wrong[0].witness["sample"], wrong[0].witness["token"])]}
        assert owners <= layout.owners(position)
        assert len(found) == 1


def test_lost_and_repeated_labels_are_named(documents_and_tree):
    layouts, rng = documents_and_tree
    for layout in layouts:
        edge = int(rng.integers(len(layout.labels)))
        position, label = layout.labels[edge]
        times = layout.labels.count((position, label))
        layout.labels.append((position, label))
        [found] = told(layout)
        assert (found.code, found.severity, found.position) == ("MS004", "error", position)
        layout.labels = [one for number, one in enumerate(layout.labels[:-1]) if number != edge]
        [found] = told(layout)
        same = {
            p
            for p, place in zip(range(len(layout.inputs)), layout.inputs, strict=True)
            if layout.positions[p] == layout.positions[position]
        }
        assert found.code == "MS004"
        assert found.position in same
        assert found.witness["label"] == label
        assert found.severity == ("error" if found.witness["given"] == 0 else "warning")
        assert times >= 1


def test_labels_of_one_sample_off_by_some_tokens(documents_and_tree):
    layouts, rng = documents_and_tree
    for layout in layouts[:1]:  # side by side, so that each label has one owner
        sizes = [len(sample["input_ids"]) for sample in layout.samples]
        sample = int(np.argmax(sizes))
        shift = int(rng.choice([-1, 1]))
        places, text = layout.place[sample], layout.samples[sample]["input_ids"]
        own, right = set(places), set(layout.labels)
        kept = [one for one in layout.labels if one[0] not in own]
        moved = [
            (places[token], text[token + 1 + shift]) for token in range(len(text)) if 0 < token + 1 + shift < len(text)
        ]
        if len(moved) < 3:
            continue
        layout.labels = kept + moved
        found = told(layout)
        assert {one.code for one in found} == {"MS016"}
        assert [(one.witness["sample"], one.witness["shift"]) for one in found] == [
            (layout.samples[sample]["id"], shift)
        ]
        wrong = [one for one in moved if one not in right]  # a repeated token is right by chance
        assert found[0].witness["labels"] == len(wrong)


@pytest.mark.parametrize("shift", [-1, 1])
def test_all_labels_off_by_one(documents_and_tree, shift):
    for layout in documents_and_tree[0]:
        labels = []
        for sample, places in zip(layout.samples, layout.place, strict=True):
            text = sample["input_ids"]
            labels += [(places[t], text[t + 1 + shift]) for t in range(len(text)) if 0 < t + 1 + shift < len(text)]
        layout.labels = labels
        if len(labels) < 6:
            continue
        found = told(layout)
        named = {one.witness["sample"] for one in found if one.code == "MS016"}
        longer = {sample["id"] for sample in layout.samples if len(sample["input_ids"]) > 3}
        assert named or not longer
        assert not {one.code for one in found} & {"MS017"}
        assert all(one.witness["shift"] == shift for one in found if one.code == "MS016")


def test_labels_along_the_mask(documents_and_tree):
    """Each position predicts the next one of the mask: over every boundary that is another sample's token."""
    for layout in documents_and_tree[0]:
        size = len(layout.inputs)
        right = set(layout.labels)
        layout.labels = sorted({*((place, layout.inputs[place + 1]) for place in range(size - 1))})
        over = [place for place in range(size - 1) if (place, layout.inputs[place + 1]) not in right]
        found = told(layout)
        assert {one.position for one in found if one.code in ("MS017", "MS016", "MS003")} >= set(over) or any(
            one.code == "MS016" for one in found
        )
        for one in found:
            if one.code == "MS017":
                assert one.position in over
                assert (one.witness["sample"], one.witness["token"]) in layout.owners(one.position)
                assert (one.witness["other"]["sample"], one.witness["other"]["token"]) in layout.owners(
                    one.position + 1
                )


def test_labels_that_the_samples_leave_untrained():
    samples = random_samples(np.random.default_rng(5), count=3, longest=8, tokens=60)
    for sample in samples:
        sample["labels"] = [-100] * (len(sample["input_ids"]) - 1) + sample["input_ids"][-1:]
    layout = documents(samples)
    layout.labels += [
        (places[0], text["input_ids"][1]) for places, text in zip(layout.place, samples, strict=True) if len(places) > 2
    ]
    found = told(layout)
    assert {one.code for one in found} == {"MS003"}
    assert all("does not train" in one.message and one.witness["token"] == 1 for one in found)
    assert len(found) == sum(len(places) > 2 for places in layout.place)


def test_labels_that_are_no_token_ids():
    layout = documents(random_samples(np.random.default_rng(6), tokens=60))
    position, label = layout.labels[0]
    layout.labels[0] = (position, str(label))
    [found] = told(layout)
    assert (found.code, found.position, found.witness["due_label"]) == ("MS003", position, label)


def test_labels_on_positions_of_no_sample():
    samples = random_samples(np.random.default_rng(7), tokens=60)
    layout = documents(samples, pads=2)
    pad = len(layout.inputs) - 1
    layout.labels.append((pad, 5))
    report = audit(layout.subject())
    assert [(one.code, one.position) for one in report.findings if one.severity == "error"] == [("MS020", pad)]
    report = audit(layout.subject(padding=None))
    assert [(one.code, one.position) for one in report.findings if one.severity == "error"] == [("MS003", pad)]
    assert [one.witness["positions"] for one in report.findings if one.code == "MS019"] == [[pad - 1, pad]]


def test_a_token_that_equals_the_label_beside_it_is_no_leak():
    """A block of block diffusion attends to all of itself; only samples say that a mask token predicts itself."""
    text = {"id": "t", "input_ids": [3, 4, 5, 6], "labels": [-100, 4, 5, 6]}
    noisy = {
        "id": "n",
        "input_ids": [5, 5, 2, 99, 5, 2],  # the second 5 is masked, and is next to another one
        "labels": [-100, -100, -100, 5, -100, -100],
        "segments": [
            {"length": 3, "within": "full", "position": 0},
            {"length": 3, "within": "full", "predict": "self", "position": 0},
        ],
    }
    layout = documents([text, noisy])
    assert (4 + 3, 5) in layout.labels
    tokens = {"inputs": layout.inputs, "positions": layout.positions, "labels": layout.labels}
    report = audit(with_tokens(Subject(Mask.from_dense(layout.tables[0]), "mask"), tokens), samples=layout.samples)
    assert [one.message for one in report.findings if one.severity == "error"] == []
    assert report.complete


def test_samples_that_show_what_they_train_leak():
    whole = [
        {"id": "w", "input_ids": [3, 4, 5, 6], "labels": [-100, 4, 5, 6], "segments": [{"length": 4, "within": "full"}]}
    ]
    codes = [one.code for one in audit(documents(whole).subject()).findings if one.severity == "error"]
    assert codes == ["MS001"] * 3
