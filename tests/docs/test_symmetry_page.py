"""The page on symmetry, run from top to bottom in an empty folder, its figures, and its table of published values."""

from __future__ import annotations

import importlib.util
import re

import pytest

from masksynth.diagnostics.symmetry import PUBLISHED
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

TEXT = (DOCS / "symmetry.md").read_text(encoding="utf-8")
PAGE = blocks(DOCS / "symmetry.md")
SPEC = importlib.util.spec_from_file_location("diagnostics", DOCS / "diagnostics.py")
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)


def structure(picture):
    """Texts and ids of a picture, which do not depend on a version of matplotlib."""
    return re.findall(r">([^<>\s][^<>]*)</text>", picture.read_text(encoding="utf-8"))


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"console", "python", "sh", "text"}
    run(PAGE, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = [block._replace(text=block.text.replace("0.491 ", "0.492 ")) for block in PAGE[:1]]
    with pytest.raises(AssertionError, match="line"):
        run(page, tmp_path)


def test_the_only_block_that_is_not_run_is_the_training():
    (block,) = [block for block in PAGE if block.language == "sh"]
    assert block.text == "masksynth diagnose symmetry --train -o curves.svg\n"


def test_figures_are_small_and_show_what_is_diagnosed_today(tmp_path):
    shown = re.findall(r"\]\(diagnostics/([^)]*\.svg)\)", TEXT)
    assert shown == ["symmetry-weights.svg", "symmetry-mask.svg", "symmetry-training.svg"]
    assert all(5_000 < (DOCS / "diagnostics" / name).stat().st_size < 100_000 for name in shown)
    for made in figures.symmetry_quick(tmp_path):
        assert structure(made) == structure(DOCS / "diagnostics" / made.name), "run python docs/diagnostics.py symmetry"
        assert len(structure(made)) > 10


def test_the_table_of_published_values_is_that_of_the_code():
    rows = re.findall(r"^\| ([\w.-]+) \| ([\d.]+) \| ([-\d.]+) \| (encoder|decoder) \|$", TEXT, flags=re.MULTILINE)
    assert [
        (one.model, f"{one.symmetry:.2f}", f"{one.directionality:.2f}", "decoder" if one.decoder else "encoder")
        for one in PUBLISHED
    ] == rows
