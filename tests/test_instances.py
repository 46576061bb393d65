"""The instance suite: every file against its line in ``instances/manifest.json``."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from masksynth import Limits, Mask, catalog, solve
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.merge import find_leak, merge
from masksynth.tasks.instance_files import content_hash, dumps, load, loads
from masksynth.verify import verify
from tests.sparse.make_instances import instance_for
from tests.sparse.relations import fingerprint, random_poset

ROOT = Path(__file__).parent.parent / "instances"
MANIFEST = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
SPARSE = [entry for entry in MANIFEST if entry["file"].startswith("sparse/")]
PROVED = [entry for entry in SPARSE if entry["size"] in ("tiny", "small", "medium")]
HARD = [entry for entry in SPARSE if entry["size"] in ("large", "open")]
GOOD = [entry for entry in MANIFEST if entry["status"] != "INVALID" and entry not in SPARSE]
BAD = [entry for entry in MANIFEST if entry["status"] == "INVALID"]
HASHES = {
    "random-20-20-1": "daf6ed344c14",
    "random-30-20-1": "2195583a959f",
    "random-40-20-1": "d9fadac7a103",
    "random-20-50-1": "2ddc55774e56",
    "random-30-50-1": "0de2c57dce34",
    "random-40-50-1": "f76b65ba5543",
    "random-60-20-1": "ce98c4800102",
    "random-100-20-1": "8efa4550c06a",
    "random-20-80-1": "07a5de6211c7",
}


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


def sparse_outcome(answer):
    """(status, positions, edges, bound) of an answer that `solve` has checked."""
    edges = answer.objective["edges"]
    return answer.status.name, len(answer.merged.positions), edges.value, edges.bound


def check_sparse(entry, answer):
    """The promise of one sparse line of the manifest: of the answer, of the mask itself, and of the checker."""
    assert sparse_outcome(answer) == tuple(entry[key] for key in ("status", "positions", "edges", "bound")), entry[
        "file"
    ]
    assert answer.merged.mask.pairs - answer.merged.mask.size == entry["edges"]


def test_manifest_has_one_shape():
    for entry in MANIFEST:
        assert list(entry) == ["file", "status", "positions", "edges", "bound", "message", "size", "source"]
        assert entry["status"] in ("OPTIMAL", "FEASIBLE", "INFEASIBLE", "INVALID")
        assert (type(entry["positions"]) is int) == (entry["status"] in ("OPTIMAL", "FEASIBLE"))
        assert (type(entry["message"]) is str) == (entry["status"] == "INVALID") == entry["file"].startswith("bad/")
        assert entry["size"] in (
            ("tiny", "small", "medium", "large", "open") if entry in SPARSE else ("tiny", "small", "medium")
        )
        assert entry["source"]


def test_sparse_lines_have_edges_and_a_bound():
    for entry in MANIFEST:
        assert (type(entry["edges"]) is int) == (type(entry["bound"]) is int) == (entry in SPARSE)
    for entry in SPARSE:
        assert entry["status"] == ("FEASIBLE" if entry["size"] == "open" else "OPTIMAL")
        assert (entry["bound"] < entry["edges"]) if entry["size"] == "open" else (entry["bound"] == entry["edges"])
    assert len(PROVED) >= 80
    assert len(HARD) >= 10


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


@pytest.mark.slow
@pytest.mark.parametrize("entry", PROVED, ids=name_of)
def test_fewest_edges(entry):
    instance = load(ROOT / entry["file"])
    answer = solve(instance, limits=Limits(effort=100))
    check_sparse(entry, answer)
    assert instance.expect == {key: entry[key] for key in ("status", "positions", "edges")}
    for key, step in (("edges", 1), ("edges", -1), ("bound", -1), ("positions", 1)):
        with pytest.raises(AssertionError):
            check_sparse({**entry, key: entry[key] + step}, answer)
    assert "flow" in verify(instance, answer.merged, minimal=True).checks
    with pytest.raises(WrongAnswer):
        verify(instance, without_an_edge(answer.merged), minimal=True)


def without_an_edge(merged):
    """A merged task whose mask lacks the last of its edges; every edge of a least mask is needed."""
    dense = merged.mask.dense().copy()
    dense[tuple(np.argwhere(dense & ~np.eye(len(dense), dtype=bool))[-1])] = False
    return replace(merged, mask=Mask.from_dense(dense))


@pytest.mark.slow
@pytest.mark.parametrize("entry", HARD, ids=name_of)
def test_a_short_search_contradicts_no_known_value_or_bound(entry):
    instance = load(ROOT / entry["file"])
    expect = {key: entry[key] for key in ("status", "positions", "edges")}
    assert instance.expect == (expect | {"bound": entry["bound"]} if entry["size"] == "open" else expect)
    _, positions, value, bound = sparse_outcome(solve(instance, limits=Limits(effort=1)))
    assert positions == entry["positions"]
    assert bound <= entry["edges"]
    assert entry["bound"] <= value


@pytest.mark.parametrize("entry", SPARSE, ids=name_of)
def test_sparse_file_is_what_its_name_says(entry):
    text = (ROOT / entry["file"]).read_text(encoding="utf-8")
    assert dumps(instance_for(entry)) == text
    instance = loads(text)
    assert (instance.name, instance.sparse) == (Path(entry["file"]).stem, True)
    assert content_hash(loads(dumps(instance)).family) == content_hash(instance.family)


@pytest.mark.parametrize(("name", "digits"), HASHES.items())
def test_random_posets_are_those_that_were_measured(name, digits):
    n, percent, seed = map(int, name.split("-")[1:])
    assert fingerprint(random_poset(n, percent / 100, seed)) == digits
    assert any(entry["file"].startswith(f"sparse/{name}-") for entry in SPARSE)
