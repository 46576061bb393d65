"""Pages of the documentation as blocks of code to run, and their outputs."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
CHECKER = doctest.OutputChecker()


class Block(NamedTuple):
    language: str
    title: str
    text: str
    line: int


def blocks(path):
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)
    return [Block(m[1], m[2] or "", m[3], text[: m.start()].count("\n") + 1) for m in found]


def commands(block):
    """(command, expected output) of a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"line {block.line}: output before a command"
    return [tuple(part.partition("\n")[::2]) for part in parts[1:]]


def shell(command, folder):
    """Return the output of a command on both streams, with the tested masksynth first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def agrees(want, got):
    """Whether an output is the expected one; ``...`` matches anything, trailing space is ignored."""
    tidy = ["\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n" for text in (want, got)]
    return CHECKER.check_output(*tidy, doctest.ELLIPSIS | doctest.DONT_ACCEPT_BLANKLINE)
