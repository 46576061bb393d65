"""The page on batch search, run from top to bottom; its table of limits against the command."""

from __future__ import annotations

import inspect
import re

from masksynth import search
from masksynth.cli import main
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run

TEXT = (DOCS / "search.md").read_text(encoding="utf-8")


def test_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blocks(DOCS / "search.md"), tmp_path)


def test_limits_are_those_of_the_command_and_of_the_function():
    rows = re.findall(r"^\| `(--[a-z-]+) \w+` \| `(\w+)=", TEXT, flags=re.MULTILINE)
    options = {option for parameter in main.commands["search"].params for option in parameter.opts}
    assert len(rows) == 6
    assert {flag for flag, _ in rows} <= options
    assert {name for _, name in rows} <= set(inspect.signature(search).parameters)
