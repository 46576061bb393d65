"""Folders in which all agrees but one premise is false.

Each would prove a bound above the optimum, or a weight that no mask has.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.sparse import Component, Cut, Reduction, SparseProblem, reduce
from masksynth.verify.proof import check_proof
from masksynth_solvers.sparse.write_sparse_proof import write_proof
from tests.proofs.folders import solved
from tests.proofs.naive import path

CHAIN = SparseProblem(path(7), 2)
LOOSE = path(7)
"""A mask of the chain that is far from the optimum, 10."""


def false(folder, text, kind=WrongAnswer):
    with pytest.raises(kind, match=text):
        check_proof(folder)


def loose(tmp_path):
    """A right proof that the chain needs 10, next to a mask of weight 21."""
    reduction, bounds, _ = solved(CHAIN)
    folder = write_proof(tmp_path / "loose", CHAIN, reduction, bounds, LOOSE)
    report = check_proof(folder)
    assert (report.value, report.bound, report.optimal, report.parts[0].kind) == (21, 10, False, "duals")
    return folder


def rewrite(folder, name, change):
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))


def test_an_edge_that_is_not_sure(tmp_path):
    reduction, (bound,), _ = solved(CHAIN)
    part = reduction.components[0]
    doctored = replace(
        reduction,
        forced=reduction.forced | {(6, 0)},
        components=(
            Component(
                tuple(pair for pair in part.pairs if pair != (6, 0)),
                tuple(edge for edge in part.edges if edge != (6, 0)),
            ),
        ),
    )
    folder = write_proof(tmp_path / "proof", CHAIN, doctored, [bound], LOOSE)
    assert json.loads((folder / "problem.json").read_text())["bound"] == 11
    false(folder, r"the edge \(6, 0\) is not sure")


def test_a_part_without_an_edge_that_may_help(tmp_path):
    reduction, (bound,), _ = solved(CHAIN)
    part = reduction.components[0]
    hubs = [edge for edge in part.edges if 3 in edge]
    doctored = replace(
        reduction, components=(Component(part.pairs, tuple(edge for edge in part.edges if edge not in hubs)),)
    )
    folder = write_proof(tmp_path / "proof", CHAIN, doctored, [bound + 1], LOOSE)
    false(folder, "may help one of its demands and is not in it")


def test_an_edge_that_pays_and_is_left_out(tmp_path):
    problem = replace(CHAIN, weights={(6, 0): -5})
    reduction, _, mask = solved(CHAIN)
    folder = write_proof(tmp_path / "proof", problem, replace(reduction, components=()), [], mask & ~_at((6, 0)))
    false(folder, r"\(6, 0\) of weight -5 is not among the sure edges")


def _at(edge):
    found = np.zeros((7, 7), bool)
    found[edge] = True
    return found


def test_a_forced_edge_that_the_mask_lacks(tmp_path):
    reduction, bounds, mask = solved(CHAIN)
    edge = next(edge for edge in reduction.components[0].edges if not mask[edge])
    false(
        write_proof(tmp_path / "proof", replace(CHAIN, forced={edge}), reduction, bounds, mask),
        "the forced edge .* is missing",
    )


def test_an_edge_that_is_sure_and_in_a_packing(tmp_path):
    reduction, bounds, _ = solved(CHAIN)
    doctored = replace(reduction, cuts=(Cut(((1, 0),), (1, 0)),))
    false(
        write_proof(tmp_path / "proof", CHAIN, doctored, bounds, LOOSE),
        r"packing\[0\]: the edge \(1, 0\) is sure or not allowed",
    )


def test_a_demand_that_is_not_in_the_relation(tmp_path):
    """With the formula that no edges can meet, which the writer of proofs would not let pass."""
    doctored = Reduction(frozenset((q, q - 1) for q in range(1, 7)), components=(Component(((6, 0),), ((6, 0),)),))
    folder = write_proof(tmp_path / "proof", CHAIN, doctored, [0], LOOSE)
    rewrite(folder, "problem.json", lambda document: document["parts"][0].update(demands=[[0, 6]]))
    (folder / "part-000" / "formula.cnf").write_text("p cnf 0 1\n0\n")
    false(folder, r"the demand \(0, 6\) is not a pair of the relation")


def test_an_edge_that_is_counted_twice(tmp_path):
    folder = loose(tmp_path)
    rewrite(
        folder,
        "problem.json",
        lambda document: document.update(bound=11, sure=[*document["sure"], document["sure"][0]]),
    )
    false(folder, r"the edge \[\d+, \d+\] is repeated", InvalidInstance)


def test_an_integer_of_thousands_of_digits(tmp_path):
    folder = loose(tmp_path)
    text = (folder / "problem.json").read_text()
    (folder / "problem.json").write_text(text.replace('"bound": 10', f'"bound": {"9" * 5000}'))
    with pytest.raises(InvalidInstance) as raised:
        check_proof(folder)
    assert str(raised.value) == (
        f"{folder}/problem.json: not JSON of a proof: expected integers of at most 100 digits, got one of 5000"
    )


def test_duals_that_are_too_large_or_negative(tmp_path):
    folder = loose(tmp_path)
    part = folder / "part-000"

    def doubled(document):
        document["tree"]["duals"] = [[place, 2 * numerator] for place, numerator in document["tree"]["duals"]]

    rewrite(part, "tree.json", doubled)
    false(folder, "leaf 1 has the bound")

    def negative(document):
        document["tree"]["duals"].append([0, -1])

    rewrite(part, "tree.json", negative)
    false(folder, r"expected an integer from 0 to \d+, got -1", InvalidInstance)


def test_a_higher_bound_with_the_formula_that_goes_with_it(tmp_path):
    """The formula of a higher bound has a model, so its proof cannot be right."""
    problem = SparseProblem(path(9), 2)
    reduction, (bound,), _ = solved(problem)
    folder = write_proof(tmp_path / "right", problem, reduction, [bound], path(9))
    from masksynth_solvers.sparse.path_encoding import encode
    from masksynth_solvers.sparse.prove_claim import dimacs_lines, limit_weight

    formula = limit_weight(encode(problem, reduction.forced, reduction.components[0]), bound)
    (folder / "part-000" / "formula.cnf").write_text("".join(dimacs_lines(formula)))
    rewrite(folder, "problem.json", lambda document: document.update(bound=17))
    rewrite(folder, "problem.json", lambda document: document["parts"][0].update(bound=bound + 1))
    false(folder, "part-000/proof.drat: ")


def test_a_relation_that_is_no_preorder(tmp_path):
    reduction = reduce(CHAIN)
    folder = write_proof(tmp_path / "proof", CHAIN, replace(reduction, components=()), [], LOOSE)
    np.save(folder / "relation.npy", path(7) & ~_at((6, 0)))
    false(folder, r"not transitive: \(6, 0\) is missing")
    np.save(folder / "relation.npy", path(7) & ~_at((3, 3)))
    false(folder, "position 3 does not see itself")
