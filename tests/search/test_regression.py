"""The promises of ``instances/manifest.json``, kept by a batch.

Sparse instances of size large and open, whose searches take minutes, are searched for a moment: their values and bounds
must not contradict what is known.
"""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth import Limits
from masksynth.cli import main
from tests.search.harness import results, search

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MANIFEST = {
    entry["file"]: entry for entry in json.loads((ROOT / "instances/manifest.json").read_text(encoding="utf-8"))
}
QUICK = {file: entry for file, entry in MANIFEST.items() if entry["size"] in ("tiny", "small", "medium")}


HARD = {str(ROOT / "instances" / file): entry for file, entry in MANIFEST.items() if file not in QUICK}


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """A folder with the quick instances, the command that solves them all, and its results by file."""
    path = tmp_path_factory.mktemp("regression")
    for file in (*QUICK, "manifest.json"):
        place = path / "instances" / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / "instances" / file)
    done = search(
        path,
        "instances",
        "--jobs",
        "2",
        "--time-limit",
        "60",
        "-o",
        "r.jsonl",
        "--compare",
        "instances/manifest.json",
        timeout=300,
    )
    return path, done, {line.instance.removeprefix("instances/"): line for line in results(path / "r.jsonl")}


def test_every_quick_instance_has_a_line(regression):
    _, done, lines = regression
    assert set(lines) == set(QUICK)
    assert done.returncode == 0, done  # a failure that the manifest promises is none
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


WRONG = {
    "butterfly-8.json": {"positions": 21},
    "bad/empty-file.json": {"message": "something else"},
    "sparse/butterfly-8-layers-2.json": {"edges": 9, "bound": 9},
}


@pytest.mark.parametrize("file", WRONG)
def test_the_command_sees_a_broken_promise(file, regression, tmp_path):
    path, _, _ = regression
    changed = [entry | WRONG[file] if entry["file"] == file else entry for entry in MANIFEST.values()]
    (tmp_path / "manifest.json").write_text(json.dumps(changed))
    with chdir(path):
        done = CliRunner().invoke(main, ["search", "r.jsonl", "--compare", str(tmp_path / "manifest.json")])
    assert done.exit_code == 1, done.output
    assert file.rpartition("/")[2] in done.stdout


def contradicts(entry, result):
    """Whether a result of a short search contradicts a line of the manifest."""
    edges = result.objective["edges"]
    return (
        edges["bound"] > entry["edges"]
        or entry["bound"] > edges["value"]
        or result.objective["positions"]["value"] != entry["positions"]
    )


def test_hard_instances_contradict_nothing_that_is_known():
    found = {result.instance: result for result in ms.search(list(HARD), jobs=2, limits=Limits(effort=0.25))}
    assert {file for file, entry in HARD.items() if contradicts(entry, found[file])} == set()
    assert len(found) == len(HARD) >= 34  # four instances that were open have optima now
    for file, entry in HARD.items():
        value = found[file].objective["edges"]["value"]
        assert contradicts(entry | {"bound": value + 1}, found[file])
        assert contradicts(entry | {"edges": found[file].objective["edges"]["bound"] - 1}, found[file])
