"""Positions that are only read: findings, counts, pictures, reports, and what other commands make of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from masksynth.arrange.apply import arranged_merged
from masksynth.audit import audit, read_subject
from masksynth.audit.update_findings import rows_alone
from masksynth.draw import draw
from masksynth.errors import InvalidInstance
from masksynth.export import write_answer
from masksynth.mask import Mask
from masksynth.report import report_html
from masksynth.report.summary_facts import subject_facts
from masksynth.statistics import count_updates
from masksynth.subject.folders import subject_of_merged
from masksynth.subject.subject import Subject
from masksynth.verify import verify
from tests.cli.command import here
from tests.verify.test_folder import document_of
from tests.verify.test_updated import hole


def skipped(subject):
    return [finding for finding in audit(subject).findings if finding.code == "MS023"]


@pytest.mark.parametrize("layers", [1, 3])
def test_every_wrong_entry_is_found(layers):
    _, merged, updated = hole(layers)
    assert skipped(subject_of_merged(merged)) == []
    dense = merged.mask.dense().reshape(-1, 5, 5)
    for layer, position in np.ndindex(*updated.shape):
        changed = updated.copy()
        changed[layer, position] = False
        found = skipped(subject_of_merged(replace(merged, updated=changed)))
        if np.array_equal(dense[layer, position], np.eye(5)[position]):
            assert found == []
        else:
            (finding,) = found
            assert (finding.severity, finding.position) == ("error", position)
            assert finding.witness == {"table": layer, "layer": None if layers == 1 else layer + 1}


def test_layers_of_a_shorter_pattern_are_counted():
    own, both = ((0, 1),), ((0, 2),)
    mask = Mask.from_intervals([[own, both], [own, ((1, 2),)]])  # position 1 attends to 0 in layers 1, 3 and 5
    updated = np.ones((5, 2), bool)
    updated[1::2, 1] = False
    assert skipped(Subject(mask, "pattern", layers=5, updated=updated)) == []
    updated[4, 1] = False
    (finding,) = skipped(Subject(mask, "pattern", layers=5, updated=updated))
    assert (finding.position, finding.witness) == (1, {"table": 0, "layer": 5})


def test_rows_alone_against_the_dense_mask():
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 9):
        dense = (random.random((size, size)) < 0.3) | np.eye(size, dtype=bool)
        dense[random.random(size) < 0.4] = False
        for row in np.flatnonzero(random.random(size) < 0.5):
            dense[row] = np.eye(size)[row] > 0
        expected = [np.array_equal(line, np.eye(size)[row]) for row, line in enumerate(dense)]
        assert rows_alone(Mask.from_dense(dense)).tolist() == expected


def test_a_file_of_arrays_knows_what_is_updated(tmp_path):
    dense = np.tril(np.ones((3, 3), bool))
    np.savez(tmp_path / "mask.npz", mask=dense, updated=np.array([[False, True, True]]))
    subject = read_subject(tmp_path / "mask.npz")
    assert count_updates(subject.updated) == (2, 2, 1)
    assert skipped(subject) == []
    for wrong in (np.ones(3, bool), np.ones((1, 4), bool), np.ones((1, 3), np.int64)):
        np.savez(tmp_path / "mask.npz", mask=dense, updated=wrong)
        with pytest.raises(InvalidInstance, match="updated"):
            read_subject(tmp_path / "mask.npz")


def test_arranged_answers_keep_their_updates():
    instance, merged, updated = hole(3)
    order = [4, 2, 0, 3, 1]
    moved = arranged_merged(merged, order)
    np.testing.assert_array_equal(moved.updated, updated[:, order])
    assert "updated" in verify(instance, moved).checks


def test_inspect_counts_updates(tmp_path):
    _, merged, _ = hole(3)
    folder = write_answer(tmp_path / "out", document_of(merged), merged)
    printed = here("inspect", folder)
    assert "updates: 4 updates in 3 layers, of 2 positions; 3 positions only read" in printed.stdout
    record = json.loads(here("inspect", folder, "--json").stdout)
    assert record["updates"] == {"updated": 2, "updates": 4, "read_only": 3}
    plain = write_answer(tmp_path / "plain", document_of(merged), replace(merged, updated=None))
    assert json.loads(here("inspect", plain, "--json").stdout)["updates"] is None
    assert "updates:" not in here("inspect", plain).stdout


def test_pictures_show_what_is_only_read():
    _, merged, updated = hole(3)
    subject = subject_of_merged(merged)
    text = draw(subject)
    assert text.count("○") == (~updated).sum() + 1  # and once in the legend
    assert "○ not updated, at most read" in text
    plain = replace(subject, updated=None)
    assert "○" not in draw(plain) + draw(plain, "hasse") + draw(replace(subject, updated=np.ones((3, 5), bool)))
    assert {f"{name}@0 ○" for name in "abc"} <= {line.strip("╟╙─ ") for line in draw(subject, "hasse").splitlines()}
    assert "hub@0 ○" not in draw(subject, "hasse")
    svg = draw(subject, form="svg")
    assert svg.count('id="read-only-') == (~updated).sum()
    assert "not updated, at most read" in svg
    dashed = draw(subject, "hasse", "svg")
    assert "only read, never updated" in dashed
    assert dashed.count("stroke-dasharray") == 4
    assert "stroke-dasharray" not in draw(plain, "hasse", "svg")


def test_a_picture_of_blocks_counts_what_is_only_read():
    size = 100
    updated = np.ones((1, size), bool)
    updated[0, 40:] = False
    subject = Subject(Mask.from_dense(np.eye(size, dtype=bool)), "large", updated=updated)
    assert "60 of 100 positions only read" in draw(subject).splitlines()[0]


def test_reports_show_updates():
    _, merged, _ = hole(3)
    subject = subject_of_merged(merged)
    assert ["Updates", "4 updates of 2 positions; 3 positions only read"] in subject_facts(subject)
    page = report_html(subject)
    assert page.count("never: only read") == 3
    assert "in layers 1, 2" in page
    assert "in layers 2, 3" in page
    assert "only read" not in report_html(replace(subject, updated=None))
