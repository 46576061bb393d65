"""The page on audits, run from top to bottom in an empty folder; it has an entry for each code."""

from __future__ import annotations

import re

from masksynth.audit import CODES
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = DOCS / "audit.md"


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(PAGE), tmp_path)


def test_every_code_has_an_entry_with_a_bad_and_a_good_example():
    entries = dict(re.findall(r"^### (MS\d{3}) (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert entries == CODES
    for code, text in zip(
        entries, re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:], strict=True
    ):
        printed_text = re.search(r"```text\n(.*?)```", text, flags=re.DOTALL)[1]
        assert "silent" in printed_text or "[]" in printed_text, code
        assert re.search(r"error|warning|note|block", printed_text), code
