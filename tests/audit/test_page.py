"""The page on audits, run from top to bottom in an empty folder; it has an entry for each code."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from itertools import pairwise

from click.testing import CliRunner

from masksynth.audit import CODES
from masksynth.cli import main
from tests.docs.pages import DOCS, agrees, blocks, commands, shell

PAGE = DOCS / "audit.md"


def printed(command, folder):
    if command.startswith("masksynth audit "):
        return CliRunner().invoke(main, command.split()[1:]).output
    return shell(command, folder)


def test_the_page_runs_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block, after in pairwise([*blocks(PAGE), None]):
        if block.language == "console":
            for command, want in commands(block):
                got = printed(command, tmp_path)
                assert agrees(want, got), f"line {block.line}: {command}\n{got}"
        elif block.language == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(block.text, f"audit.md:{block.line}", "exec"), names)
            want = after.text if after is not None and after.language == "text" else ""
            assert agrees(want, out.getvalue()), f"line {block.line}:\n{out.getvalue()}"


def test_every_code_has_an_entry_with_a_bad_and_a_good_example():
    entries = dict(re.findall(r"^### (MS\d{3}) (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert entries == CODES
    for code, text in zip(entries, re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:], strict=True):
        printed_text = re.search(r"```text\n(.*?)```", text, flags=re.DOTALL)[1]
        assert "silent" in printed_text or "[]" in printed_text, code
        assert re.search(r"error|warning|note|block", printed_text), code
