"""The instance suite: every file against its line in ``instances/manifest.json``."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path

import pytest

from masksynth import catalog
from masksynth.errors import InvalidInstance
from masksynth.merge import find_leak, merge
from masksynth.tasks.files import content_hash, dumps, load, loads

ROOT = Path(__file__).parent.parent / "instances"
MANIFEST = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
GOOD = [entry for entry in MANIFEST if entry["status"] != "INVALID"]
BAD = [entry for entry in MANIFEST if entry["status"] == "INVALID"]


def name_of(entry):
    return entry["file"]


def outcome(instance):
    """(status, positions) by the criterion: infeasible iff some task shows what it hides."""
    if find_leak(instance.family, instance.layers) is not None:
        return "INFEASIBLE", None
    return "OPTIMAL", len(merge(instance).positions)


def check(entry, instance):
    """The promise of one line of the manifest."""
    assert outcome(instance) == (entry["status"], entry["positions"]), entry["file"]


def check_message(entry):
    path = ROOT / entry["file"]
    with pytest.raises(InvalidInstance) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {entry['message']}"


def test_manifest_has_one_shape():
    for entry in MANIFEST:
        assert list(entry) == ["file", "status", "positions", "message", "size", "source"]
        assert entry["status"] in ("OPTIMAL", "INFEASIBLE", "INVALID")
        assert (type(entry["positions"]) is int) == (entry["status"] == "OPTIMAL")
        assert (type(entry["message"]) is str) == (entry["status"] == "INVALID") == entry["file"].startswith("bad/")
        assert entry["size"] in ("tiny", "small", "medium")
        assert entry["source"]


def test_manifest_lists_every_file_once():
    listed = [entry["file"] for entry in MANIFEST]
    assert max(Counter(listed).values()) == 1
    present = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.json")} - {"manifest.json"}
    assert set(listed) == present
    assert len(GOOD) >= 60
    assert len(BAD) >= 20


def test_every_family_stands_at_two_sizes():
    sizes = {family: set() for family in catalog.FAMILIES}
    for entry in GOOD:
        if entry["source"].startswith("catalog."):
            sizes[entry["source"].removeprefix("catalog.").partition("(")[0]].add(entry["positions"])
    assert min(len(found) for found in sizes.values()) >= 2
    assert next(entry for entry in GOOD if entry["file"] == "butterfly-8.json")["positions"] == 22


@pytest.mark.parametrize("entry", GOOD, ids=name_of)
def test_optimum(entry):
    instance = load(ROOT / entry["file"])
    check(entry, instance)
    assert instance.expect.get("status") == entry["status"]
    assert instance.expect.get("positions") == entry["positions"]
    assert instance.name == Path(entry["file"]).stem


@pytest.mark.parametrize("entry", GOOD, ids=name_of)
def test_a_wrong_optimum_fails_the_same_check(entry):
    instance = load(ROOT / entry["file"])
    wrong = [{**entry, "status": "INFEASIBLE" if entry["status"] == "OPTIMAL" else "OPTIMAL"}]
    wrong += [{**entry, "positions": (entry["positions"] or 0) + step} for step in (-1, 1)]
    for other in wrong:
        with pytest.raises(AssertionError):
            check(other, instance)


@pytest.mark.parametrize("entry", GOOD, ids=name_of)
def test_written_and_read_back(entry):
    instance = load(ROOT / entry["file"])
    again = loads(dumps(instance))
    assert content_hash(again.family) == content_hash(instance.family)
    assert again.layers == instance.layers


@pytest.mark.parametrize("entry", [entry for entry in GOOD if entry["source"].startswith("catalog.")], ids=name_of)
def test_catalogue_file_is_what_the_catalogue_makes(entry):
    call = ast.parse(entry["source"].partition(";")[0], mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Attribute)
    parameters = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert dumps(catalog.FAMILIES[call.func.attr](**parameters)) == (ROOT / entry["file"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", BAD, ids=name_of)
def test_message(entry):
    check_message(entry)
    assert "\n" not in entry["message"]


def test_a_wrong_message_fails_the_same_check():
    with pytest.raises(AssertionError):
        check_message({**BAD[0], "message": BAD[1]["message"]})
    with pytest.raises(pytest.fail.Exception):
        check_message({**GOOD[0], "message": BAD[0]["message"]})
