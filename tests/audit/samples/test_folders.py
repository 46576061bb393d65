"""Packed folders compared with their samples: position ids of several dimensions, and weights."""

from __future__ import annotations

import pytest

from masksynth.audit import audit, read_subject
from masksynth.pack import pack_samples
from tests.audit.samples.layouts import documents

IMAGE = {
    "id": "image",
    "input_ids": [1, 2, 7, 7, 3],
    "labels": [-100, -100, -100, -100, 3],
    "position_ids": [[0, 1, 2, 2, 3], [0, 1, 2, 2, 3], [0, 1, 2, 3, 4]],
}
TEXT = {"id": "text", "input_ids": [1, 2, 4, 5, 6, 7], "labels": [-100, -100, 4, 5, 6, 7]}


def errors_of(folder, samples, batch=0):
    report = audit(read_subject(str(folder), samples=samples, batch=batch))
    assert report.complete
    return [one for one in report.findings if one.severity == "error"]


def test_position_ids_of_several_dimensions(tmp_path):
    pack_samples([IMAGE, TEXT], tmp_path / "packed")
    assert errors_of(tmp_path / "packed", [IMAGE, TEXT]) == []
    other = {**IMAGE, "position_ids": [*IMAGE["position_ids"][:2], [0, 1, 2, 3, 9]]}
    assert errors_of(tmp_path / "packed", [other, TEXT]) == []  # the last token predicts nothing
    other = {**IMAGE, "position_ids": [*IMAGE["position_ids"][:2], [0, 1, 2, 4, 5]]}
    assert {one.code for one in errors_of(tmp_path / "packed", [other, TEXT])} >= {"MS018"}


def test_a_batch_of_text_beside_samples_with_images(tmp_path):
    """Of text, every dimension of position ids is the first."""
    pack_samples([TEXT], tmp_path / "packed")
    said = [one.message for one in errors_of(tmp_path / "packed", [TEXT, IMAGE])]
    assert said
    assert all("'image'" in message for message in said)


@pytest.mark.parametrize("change", [{"weight": 3.0}, {"weights": [0.0, 0.0, 1.0, 1.0, 2.0, 1.0]}])
def test_weights_of_a_folder_are_compared(tmp_path, change):
    for name, sample in (("plain", TEXT), ("changed", {**TEXT, **change})):
        pack_samples([sample], tmp_path / name)
        assert errors_of(tmp_path / name, [sample]) == []
    wrong = errors_of(tmp_path / "plain", [{**TEXT, **change}])
    assert {one.code for one in wrong} == {"MS004"}
    assert "expected weight " in wrong[0].message
    assert wrong[0].message.endswith(", got 1")
    assert wrong[0].witness["sample"] == "text"
    assert {one.code for one in errors_of(tmp_path / "changed", [TEXT])} == {"MS004"}


def test_weights_that_a_mask_does_not_have_are_not_compared():
    sample = {**TEXT, "weight": 2.0}
    report = audit(documents([sample]).subject())
    assert [one.message for one in report.findings if one.code == "MS022"] == [
        "weights of 4 labels of the samples were not compared: the labels of the mask have no weights"
    ]
    assert not report.complete
    assert report.errors == 0
