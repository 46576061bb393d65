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
    from masksynth.report import downloads, hasse_data, page_rows, page_text, summary_facts

    page = " ".join((DOCS / "report.md").read_text(encoding="utf-8").split())
    for words in (
        f"Up to {page_rows.MOST_POSITIONS} positions",
        f"after {page_rows.NAME} columns",
        f"{page_rows.MOST_BLOCKS} × {page_rows.MOST_BLOCKS} blocks",
        f"{hasse_data.MOST_LINES:,} lines",
        f"after {page_text.SHORT} characters and values after {page_text.LONG}",
        f"{page_rows.MOST_LISTED:,} nodes",
        f"{summary_facts.MOST_FINDINGS:,} findings",
        f"{downloads.MOST_BYTES:,} bytes",
    ):
        assert words in page, words
