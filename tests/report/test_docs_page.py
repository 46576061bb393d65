"""The page about reports, run in an empty folder."""

from __future__ import annotations

from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = blocks(DOCS / "report.md")


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"sh", "python", "text"}
    run(PAGE, tmp_path)
    assert "MS001" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "OPTIMAL" in (tmp_path / "answer.html").read_text(encoding="utf-8")


def test_the_limits_are_those_of_the_code():
    from masksynth.report import diagram, downloads, facts, text, units

    page = (DOCS / "report.md").read_text(encoding="utf-8")
    for words in (
        f"Up to {units.MOST_POSITIONS} positions",
        f"{units.MOST_BLOCKS} × {units.MOST_BLOCKS} blocks",
        f"{diagram.MOST_LINES:,} lines",
        f"after {text.SHORT} characters and values after {text.LONG}",
        f"{units.MOST_LISTED:,} nodes",
        f"{facts.MOST_FINDINGS:,} findings",
        f"{downloads.MOST_BYTES:,} bytes",
    ):
        assert words in page, words
