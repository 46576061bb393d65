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
    assert printed.startswith(shown.group(1).removesuffix("  ...\n"))


def test_the_savings_are_what_solve_finds() -> None:
    found = {
        (sum(len(task.nodes) for task in instance.family.tasks), instance.expect["positions"])
        for instance in (
            ms.catalog.shared_prefix_group(P=1000, R=200, G=8),
            ms.catalog.multiturn_reasoning(turns=((300, 500, 200), (200, 500, 200), (200, 500, 200), (200, 500, 200))),
            ms.catalog.butterfly(n=8),
        )
        if ms.solve(instance).objective["positions"].value == instance.expect["positions"]
    }
    rows = re.findall(r"^\|[^|]+\| ([\d,]+) \| ([\d,]+) \|$", README, re.MULTILINE)
    assert {(int(a.replace(",", "")), int(b.replace(",", ""))) for a, b in rows} == found
    assert len(found) == 3


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code.group(1), "README.md", "exec"), names)
    assert getattr(names["mask"], "shape", None) == (1, 1, 22, 22)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "solution.json",
        "mask.safetensors",
        "mask.npz",
        "flex_mask.py",
    }


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target.partition("#")[0]).exists(), target
