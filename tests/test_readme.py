"""README's picture, output and Python are what the package does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import masksynth as ms

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_picture_is_the_merged_mask_and_its_hasse_diagram() -> None:
    answer = ms.solve(ms.catalog.butterfly(n=4))
    assert answer.merged is not None
    drawn = [line[4:23] for line in README.splitlines() if re.match(r"[fbp]\d  [■·]", line)]
    assert drawn == str(answer.merged.mask).splitlines()


def test_the_shown_output_is_printed() -> None:
    command = [sys.executable, "-m", "masksynth", "solve", str(ROOT / "instances/butterfly-8.json")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = re.search(r"```text\n(butterfly-8:.*?)```", README, re.DOTALL)
    assert shown is not None
    assert printed.startswith(shown.group(1))


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code.group(1), "README.md", "exec"), names)
    assert getattr(names["mask"], "shape", None) == (1, 1, 22, 22)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"solution.json", "mask.safetensors", "mask.npz", "flex_mask.py"}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
