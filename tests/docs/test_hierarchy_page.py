"""The page on hierarchies, run from top to bottom in an empty folder."""

from __future__ import annotations

import json
import re
import textwrap

import pytest
import torch
from click.testing import CliRunner

from masksynth.cli import main
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

PAGE = DOCS / "hierarchy.md"


@pytest.fixture
def one_thread():
    """More threads only wait for one another where other tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def page(folder, text=None):
    """The blocks of the page, that of the list too."""
    copy = folder / "page.md"
    lines = (text or PAGE.read_text(encoding="utf-8")).split("\n")
    copy.write_text(
        "\n".join(textwrap.dedent(line) if line.startswith("    ```") else line for line in lines), encoding="utf-8"
    )
    found = [block._replace(text=textwrap.dedent(block.text)) for block in blocks(copy)]
    return [
        block
        for number, block in enumerate(found)
        if block.language != "text" or (number and found[number - 1].language == "python")
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = page(tmp_path)
    assert [block.language for block in found].count("console") == 3
    assert [block.language for block in found].count("python") == 5
    run(found, tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8").replace("657 families", "658 families")
    with pytest.raises(AssertionError, match="line"):
        run(page(tmp_path, text)[:1], tmp_path)


def test_its_figures_are_there_and_small():
    for name in ("hierarchy-modules", "hierarchy-histories", "hierarchy-training"):
        assert f"diagnostics/{name}.svg" in PAGE.read_text(encoding="utf-8")
        assert (DOCS / "diagnostics" / f"{name}.svg").stat().st_size < 100_000


def test_each_command_of_the_results_runs():
    """The training example and the benchmark run on small parts in their own tests."""
    results = PAGE.read_text(encoding="utf-8").split("## Results of the paper")[1].split("## Checks")[0]
    commands = re.findall(r"`((?:masksynth|python -m) [^`]*)`", results)
    elsewhere = [command for command in commands if command.startswith("python -m")]
    assert elsewhere == [
        "python -m benchmarks hierarchy",
        "python -m examples.hierarchy_training FOLDER --tasks topics digits",
        "python -m examples.hierarchy_training FOLDER --tasks injection",
    ]
    assert len(commands) > len(elsewhere) + 1
    for command in commands:
        if command not in elsewhere:
            words = command.split()[1:]
            words += ["--length", "64"] if "--length" not in words else []
            found = CliRunner().invoke(main, words)
            assert found.exit_code == 0, found.output
            assert "theorem: no matrix" in found.output


def test_each_result_is_reproduced_or_says_why_not():
    results = PAGE.read_text(encoding="utf-8").split("## Results of the paper")[1].split("## Checks")[0]
    rows = [line.split(" | ", 1)[1] for line in results.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 18
    for row in rows:
        assert re.match(r"reproduced: |not reproduced: |wrong|not so|`masksynth", row), row
        assert not re.match(r"(not reproduced|wrong[^:]*): *\|", row)


def test_whole_model_times_are_the_stored_ones():
    stored = json.loads((DOCS.parent / "benchmarks" / "results" / "hierarchy.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    for tokens, *values in stored["tables"][1]["rows"]:
        assert f"| {tokens:,} | " + " | ".join(f"{value:.2f}" for value in values) + " |" in page
    assert tokens == 4096
