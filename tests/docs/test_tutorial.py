"""The tutorial, run from top to bottom in an empty folder."""

from __future__ import annotations

import io
import tomllib
from contextlib import redirect_stdout
from itertools import pairwise

import pytest

from tests.docs.pages import DOCS, ROOT, agrees, blocks, commands, shell

PAGE = blocks(DOCS / "tutorial.md")


def run(page, folder):
    """Run every block; each output is compared with what the page shows."""
    names = {}
    for block, after in pairwise([*page, None]):
        if block.language == "console":
            for command, want in commands(block):
                got = shell(command, folder)
                assert agrees(want, got), f"line {block.line}: {command}\n{got}"
        elif block.language == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(block.text, f"tutorial.md:{block.line}", "exec"), names)
            want = after.text if after is not None and after.language == "text" else ""
            assert agrees(want, out.getvalue()), f"line {block.line}:\n{out.getvalue()}"
        elif block.language == "json":
            (folder / block.title).write_text(block.text, encoding="utf-8")


def test_tutorial_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {block.language for block in PAGE} == {"sh", "console", "python", "text", "json"}
    run(PAGE, tmp_path)


def test_front_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "index.md"), tmp_path)


def test_a_wrong_output_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for old, new in (("OPTIMAL, 10 positions", "OPTIMAL, 9 positions"), ("b2", "b1")):
        page = [block._replace(text=block.text.replace(old, new)) for block in PAGE[:3]]
        with pytest.raises(AssertionError, match="line"):
            run(page, tmp_path)
    for word in ("True True", "Objective(value=4"):
        assert not agrees(word, word.replace("True", "False", 1).replace("4", "5"))


def test_the_only_block_that_is_not_run_is_the_installation():
    (install,) = [block for block in PAGE if block.language == "sh"]
    assert install.text == "pip install '.[torch]'\n"
    assert "torch" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
