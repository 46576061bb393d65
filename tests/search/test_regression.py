"""The promises of ``instances/manifest.json``, kept by a batch.

Left out here: sparse instances of size large and open, whose searches take minutes; ``tests/test_instances.py`` looks at each of them for a
moment.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.search.harness import results, search

ROOT = Path(__file__).parents[2]
MANIFEST = {entry["file"]: entry for entry in json.loads((ROOT / "instances/manifest.json").read_text(encoding="utf-8"))}
QUICK = {file: entry for file, entry in MANIFEST.items() if entry["size"] in ("tiny", "small", "medium")}


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """A folder with the quick instances, the command that solves them all, and its results by file."""
    path = tmp_path_factory.mktemp("regression")
    for file in (*QUICK, "manifest.json"):
        place = path / "instances" / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / "instances" / file)
    done = search(
        path, "instances", "--jobs", "2", "--time-limit", "60", "-o", "r.jsonl", "--compare", "instances/manifest.json", timeout=300
    )
    return path, done, {line.instance.removeprefix("instances/"): line for line in results(path / "r.jsonl")}


def test_every_quick_instance_has_a_line(regression):
    _, done, lines = regression
    assert set(lines) == set(QUICK)
    assert done.returncode == 1, done  # the malformed ones are failures
    assert "Traceback" not in done.stderr
    assert len(QUICK) > 400


def promised(entry):
    """What a line of the manifest promises of a result: status, value and bound of the objective that counts."""
    if entry["edges"] is not None:
        return entry["status"], entry["positions"], entry["edges"], entry["bound"]
    return entry["status"], entry["positions"], None, None


def kept(line):
    """The same of a result."""
    positions, edges = line.objective.get("positions"), line.objective.get("edges")
    return line.status, positions and positions["value"], edges and edges["value"], edges and edges["bound"]


def broken(lines):
    """Files that do not keep their promise."""
    good = [file for file, entry in QUICK.items() if entry["status"] != "INVALID"]
    bad = [file for file, entry in QUICK.items() if entry["status"] == "INVALID"]
    return [file for file in good if kept(lines[file]) != promised(QUICK[file])] + [
        file for file in bad if lines[file].error is None or not lines[file].error.endswith(QUICK[file]["message"])
    ]


def test_every_promise_is_kept(regression):
    _, _, lines = regression
    assert broken(lines) == []


def test_a_broken_promise_is_seen(regression):
    _, _, lines = regression
    swapped = {**lines, "butterfly-8.json": lines["butterfly-4.json"]}
    assert broken(swapped) == ["butterfly-8.json"]


def test_the_command_finds_no_regression_and_sees_one(regression, tmp_path):
    path, _, lines = regression
    manifest = [entry for file, entry in QUICK.items() if entry["status"] != "INVALID"]
    (path / "good.json").write_text(json.dumps(manifest))
    with (path / "good.jsonl").open("wb") as file:
        file.writelines(line + b"\n" for line in (path / "r.jsonl").read_bytes().splitlines() if json.loads(line)["error"] is None)
    done = search(path, "good.jsonl", "--compare", "instances/manifest.json")
    assert done.returncode == 0, done
    wrong = [
        entry | {"positions": 21} if entry["file"] == "butterfly-8.json" else entry
        for entry in json.loads((path / "instances/manifest.json").read_text())
    ]
    (path / "other").mkdir()
    (path / "other/manifest.json").write_text(json.dumps(wrong))
    done = search(path, "good.jsonl", "--compare", "other/manifest.json")
    assert done.returncode == 1, done
    assert "butterfly-8" in done.stdout + done.stderr
    assert len(lines) == len(QUICK)
