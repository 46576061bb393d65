"""The template of solvers/README.md, registered by an entry point in a folder of its own, and solved with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from masksynth.backends import BACKENDS
from tests.docs.pages import ROOT, blocks

PATH = ROOT / "solvers/README.md"
PAGE = {block.title: block for block in blocks(PATH) if block.title}

SOLVE = """
import json, sys
import masksynth as ms
from tests.random_families import random_family
found = []
for seed in range(25):
    instance = ms.Instance(random_family(seed), f"random-{seed}")
    answer = ms.solve(instance, backend="lsu")
    found.append([answer.status.name, answer.certificate["roads"][0]["backend"], answer.objective["positions"].value,
                  len(ms.solve(instance, backend="criterion").merged.positions)])
stopped = ms.solve(ms.catalog.butterfly(n=6), backend="lsu", limits=ms.Limits(seconds=0))
positions = stopped.objective["positions"]
print(json.dumps({"found": found, "bound": positions.bound, "value": positions.value}))
"""


@pytest.fixture
def site(tmp_path):
    """A folder that looks like an installed distribution with the template in it."""
    (tmp_path / "my_backends.py").write_text(PAGE["my_backends.py"].text, encoding="utf-8")
    info = tmp_path / "my_backends-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-backends\nVersion: 1\n")
    points = tomllib.loads(PAGE["pyproject.toml"].text)["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def python(site, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_template_is_listed_and_solves(site):
    listed = python(site, "-m", "masksynth", "backends", "--json")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["lsu"]["available"] is True
    assert "python-sat" in rows["lsu"]["versions"]
    done = python(site, "-c", SOLVE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for status, road, value, due in told["found"]:
        assert (status, road, value) == ("OPTIMAL", "lsu", due)
    assert told["bound"] <= 16 <= told["value"]


def test_a_template_that_lies_is_refused(site):
    path = site / "my_backends.py"
    text = path.read_text()
    assert text.count("encoding.classes(model)") == 1
    path.write_text(text.replace("encoding.classes(model)", "encoding.classes(encoding.apart())"))
    done = python(site, "-c", SOLVE)
    assert done.returncode != 0
    assert "please report this instance" in done.stderr


def test_without_the_entry_point_there_is_no_such_backend(site):
    (site / "my_backends-1.dist-info/entry_points.txt").unlink()
    done = python(site, "-m", "masksynth", "solve", str(ROOT / "instances/butterfly-4.json"), "--backend", "lsu")
    assert done.returncode == 2
    assert "unknown backend 'lsu'" in done.stderr


def test_page_lists_every_backend():
    assert set(re.findall(r"^\| `(\w+)` \|", PATH.read_text(encoding="utf-8"), flags=re.MULTILINE)) == set(BACKENDS)
