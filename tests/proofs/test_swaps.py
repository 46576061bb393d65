"""Swaps of a part in a proof folder: every premise is broken in turn, and refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.sparse import SparseProblem
from masksynth.verify.proof import check_proof
from masksynth.verify.proof.swaps import greatest
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.symmetry_breaking import add_swaps
from tests.proofs.folders import written
from tests.proofs.naive import cycle, path

CLASS = SparseProblem(cycle(6), 3)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return written(CLASS, tmp_path_factory.mktemp("swaps") / "class", "maxsat")


@pytest.fixture
def altered(base, tmp_path):
    """A change of problem.json and of formula.cnf -> the text of the refusal."""

    def check(change, kind=WrongAnswer, cnf=lambda text: text):
        folder = tmp_path / "altered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        document = json.loads((folder / "problem.json").read_text())
        change(document)
        (folder / "problem.json").write_text(json.dumps(document))
        formula = folder / "part-000" / "formula.cnf"
        formula.write_text(cnf(formula.read_text()))
        with pytest.raises(kind) as caught:
            check_proof(folder)
        return str(caught.value)

    return check


def test_a_proof_with_swaps_is_accepted(base):
    document = json.loads((base / "problem.json").read_text())
    assert len(document["parts"][0]["swaps"]) == 15
    report = check_proof(base)
    assert (report.value, report.optimal) == (9, True)
    assert check_proof(base, "rup").optimal


def test_swaps_that_are_no_pairs(altered):
    for swaps in ([[0, 0]], [[0, 6]], [[0, 1], [0, 1]], [[0]], [[0, -1]]):
        text = altered(lambda document, swaps=swaps: document["parts"][0].update(swaps=swaps), InvalidInstance)
        assert "swaps" in text, swaps


def test_a_missing_swap_leaves_clauses_that_do_not_follow(altered):
    text = altered(lambda document: document["parts"][0]["swaps"].pop())
    assert "does not follow from the statement" in text


def test_a_clause_that_is_stronger_than_a_swap(altered):
    text = altered(lambda document: None, cnf=lambda text: re.sub(r"\n(\d+) -(\d+) 0\n", r"\n\1 0\n", text, count=1))
    assert "is missing" in text or "does not follow" in text


def test_a_swap_that_is_no_symmetry_is_refused(tmp_path):
    """The ends of a path cannot be swapped, nor members of a class that weights or sure edges distinguish."""
    for name, problem, text in (
        ("path", SparseProblem(path(6), 2), r"the swap of 0 and 1 maps the (demand|edge|given edge)"),
        ("weights", SparseProblem(cycle(5), 2, weights={(1, 0): 3}), "the swap of 0 and 1 changes the weight"),
        ("sure", SparseProblem(cycle(5), 2, forced={(2, 0)}), "the swap of 0 and 1 maps the"),
    ):
        folder = written(problem, tmp_path / name, "maxsat")
        check_proof(folder)
        document = json.loads((folder / "problem.json").read_text())
        document["parts"][0]["swaps"] = [[0, 1]]
        (folder / "problem.json").write_text(json.dumps(document))
        with pytest.raises(WrongAnswer, match=text):
            check_proof(folder)


def test_layers_of_their_own(tmp_path):
    folder = written(SparseProblem(np.ones((3, 3), bool), 2, layered=True), tmp_path / "layered", "maxsat")
    assert json.loads((folder / "problem.json").read_text())["parts"][0]["swaps"] == [[0, 1], [0, 2], [1, 2]]
    assert check_proof(folder).optimal


@pytest.mark.parametrize("count", range(4))
def test_both_encoders_give_the_same_clauses(count):
    """Over edges at a third position, which a swap of 1 and 2 exchanges in pairs."""
    formula = Formula()
    edges = [edge for k in range(3, 3 + count) for edge in ((1, k), (2, k))]
    for edge in edges:
        formula.choose(edge, 1)
    add_swaps(formula, [(1, 2)])
    names = [" ".join(map(str, name)) for name in formula.names]
    given = [
        tuple(("-" if literal < 0 else "") + names[abs(literal) - 1] for literal in clause)
        for clause in formula.clauses
    ]
    exchanged = [(f"edge 1 {k}", f"edge 2 {k}") for k in range(3, 3 + count)]
    assert sorted(map(sorted, given)) == sorted(map(sorted, greatest(exchanged, "equal 1 2")))
