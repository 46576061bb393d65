"""The page on kernels: its commands and its example, run as shown; its limits against the code."""

from __future__ import annotations

import re
import subprocess
import sys

from masksynth.export.bit_form import MAX_BITS
from masksynth.export.chain_ranks import MAX_CHAINS, MAX_RUNS
from masksynth.export.forms import MAX_COLUMNS, MAX_INTERVALS
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.packed_bits import MAX_PACKED
from masksynth.export.targets import TARGETS
from tests.docs.pages import DOCS, agrees, blocks, commands, shell

PAGE = DOCS / "kernels.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(PAGE) if block.language == "console")
    for command, expected in commands(block):
        said = shell(command, tmp_path)
        assert agrees(expected, said), (command, said)


def test_example(tmp_path):
    found = blocks(PAGE)
    place = next(number for number, block in enumerate(found) if block.title == "use_forms.py")
    said = subprocess.run(
        [sys.executable, "-c", found[place].text], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said == found[place + 1].text


def test_every_format_has_its_line():
    assert re.findall(r"^\| `([\w-]+)` \|", TEXT, flags=re.MULTILINE) == ["--to", *TARGETS]


def test_limits():
    assert f"at most {MAX_INTERVALS} intervals in each row" in TEXT
    assert f"at most {MAX_COLUMNS} intervals in each column" in TEXT
    assert f"at most {MAX_CHAINS} chains: the fewest" in TEXT
    assert TEXT.count(f"{MAX_RUNS}") == 2
    assert MAX_BITS == 2**30
    assert f"{MAX_PACKED:,} positions" in TEXT
    assert TEXT.count(f"{MAX_DENSE:,} positions |") == 2
