"""Samples from files, pipes, mappings and tables."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pytest

from masksynth.errors import InvalidInstance
from masksynth.subject import read_sample_table

ROWS = [
    {"id": number, "input_ids": [1, 2, number], "labels": [-100, 2, number], "experts": [0, 1, 0]}
    for number in range(3, 2003)
]


def test_every_form_gives_the_same_table(tmp_path, monkeypatch):
    text = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    tables = [read_sample_table(source) for source in (ROWS, tmp_path / "a.jsonl", str(tmp_path / "a.jsonl.gz"), "-")]
    for table in tables:
        assert table.ids == tuple(range(3, 2003))
        assert table.tokens.tolist() == tables[0].tokens.tolist()
        assert table.labels.tolist() == tables[0].labels.tolist()
    assert read_sample_table(tables[0]) is tables[0]
    assert "experts" in read_sample_table(ROWS, ("experts",)).keys


@pytest.mark.parametrize("rows", [[], [{"id": 1, "input_ids": [1]}], [{"id": 1, "input_ids": ["x"], "labels": [-100]}]])
def test_what_are_no_samples(rows, tmp_path):
    with pytest.raises(InvalidInstance):
        read_sample_table(rows)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InvalidInstance) as raised:
        read_sample_table(tmp_path / "a.jsonl")
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.jsonl"):
        with pytest.raises(InvalidInstance, match="cannot be read"):
            read_sample_table(path)


def test_samples_are_screened_as_pack_screens_them(tmp_path):
    """Labels that were shifted beforehand would make a mask that trains two tokens ahead look right."""
    shifted = [{"id": n, "input_ids": [1, n, n + 1, 2], "labels": [n, n + 1, 2, -100]} for n in range(5, 9)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shifted))
    for source in (shifted, tmp_path / "a.jsonl"):
        with pytest.raises(InvalidInstance, match="labels are already shifted"):
            read_sample_table(source)
    with pytest.raises(InvalidInstance, match="'a' is the id of an earlier sample"):
        read_sample_table([{"id": "a", "input_ids": [5, 6], "labels": [-100, 6]}] * 2)


@pytest.mark.parametrize("ends", ["\n", ""])
def test_an_instance_is_no_file_of_samples(tmp_path, ends, monkeypatch):
    text = '{"masksynth": 1,' + ends + ' "name": "none", "tasks": []}' + ends
    (tmp_path / "a.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    for source in (tmp_path / "a.json", "-"):
        with pytest.raises(InvalidInstance, match="is an instance, not samples; give"):
            read_sample_table(source)


def test_closed_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidInstance, match="<stdin>: stdin is closed; name a file"):
        read_sample_table("-")
