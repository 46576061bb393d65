"""A proof that is written is a proof: of the known optimum, by both kinds, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from masksynth.backends import Limits
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.sparse import SparseProblem, reduce
from masksynth.verify.proof import check_proof
from masksynth_solvers.sparse import prove_claim
from masksynth_solvers.sparse.branch import branch_tree, lp_bound
from masksynth_solvers.sparse.path_encoding import encode
from masksynth_solvers.sparse.write_sparse_proof import write_proof
from tests.proofs.folders import KNOWN, solved, true_claims, weighted, written
from tests.proofs.naive import cycle, grid, least_layered, pairs, path, preorders


@pytest.mark.parametrize("name", KNOWN)
def test_known_optimum(name, tmp_path):
    problem, optimum = KNOWN[name]
    report = check_proof(written(problem, tmp_path / "proof"))
    assert (report.value, report.bound, report.optimal) == (optimum, optimum, True)
    assert (report.size, report.layers, report.layered) == (problem.size, problem.layers, problem.layered)
    assert [entry.name for entry in tmp_path.iterdir()] == ["proof"]


@pytest.mark.parametrize("seed", range(24))
def test_forbidden_forced_weighted(seed, tmp_path):
    folder = written(weighted(seed, 7, 2 + seed % 3, classes=bool(seed % 2)), tmp_path / "proof")
    if folder is not None:
        assert check_proof(folder).optimal
        assert true_claims(folder)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers(layers, tmp_path):
    for place, table in enumerate([*preorders(3), *preorders(4, True)[::3]]):
        problem = SparseProblem(table, layers, layered=True)
        folder = written(problem, tmp_path / str(place))
        if folder is not None:
            assert check_proof(folder).value == least_layered(table, layers, pairs(table), {})


def test_more_layers_than_positions_can_be_cheaper(tmp_path):
    ring = {(1, 0), (2, 1), (0, 2)}
    mask = np.zeros((4, 3, 3), bool)
    for layer, edge in enumerate([(1, 0), (2, 1), (0, 2), (1, 0)]):
        mask[(layer, *edge)] = True
    problem = SparseProblem(cycle(3), 4, forbidden=frozenset(pairs(cycle(3))) - ring, layered=True)
    assert check_proof(
        write_proof(tmp_path / "proof", problem, reduce(replace(problem, layered=False)), [4], mask)
    ).optimal


def test_closed_form_at_any_depth(tmp_path):
    table = np.kron(path(3), np.ones((3, 3), bool))[:8, :8]
    report = check_proof(written(SparseProblem(table), tmp_path / "proof"))
    assert (report.value, report.optimal, report.parts) == (3 + 3 + 2 + 2, True, ())


def test_a_bound_below_the_optimum_is_a_right_proof_of_less(tmp_path):
    problem = KNOWN["path-9"][0]
    reduction, (bound,), mask = solved(problem)
    report = check_proof(write_proof(tmp_path / "proof", problem, reduction, [bound - 1], mask))
    assert (report.value, report.bound, report.optimal) == (16, 15, False)


def test_a_bound_above_the_optimum_is_not_written(tmp_path):
    problem = KNOWN["path-9"][0]
    reduction, (bound,), mask = solved(problem)
    with pytest.raises(MasksynthError, match="above the optimum"):
        write_proof(tmp_path / "proof", problem, reduction, [bound + 1], mask)
    assert not list(tmp_path.iterdir())


def test_a_wide_part_by_a_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(prove_claim, "_proved", lambda claim, child, seconds: False)
    problem, optimum = KNOWN["grid-3-5"]
    report = check_proof(written(problem, tmp_path / "proof"))
    assert (report.value, report.bound, report.parts[0].kind) == (optimum, optimum, "duals")
    assert report.parts[0].lines > 1
    assert not list(tmp_path.rglob("proof.drat"))


def test_duals_with_large_weights(tmp_path):
    weights = {(q, k): 10**5 + 7 * q + k for q, k in pairs(path(7))}
    problem = SparseProblem(path(7), 2, weights=weights)
    folder = written(problem, tmp_path / "proof", "cpsat")
    assert check_proof(folder).optimal


def test_nothing_is_left_where_a_part_is_not_proved_in_time(tmp_path):
    problem = SparseProblem(grid(2, 2, 2, 2, 2), 2)
    with pytest.raises(
        Unsupported,
        match=r"^part-000 \(51 pairs, 131 edges\): the bound 17 is not proved within the limits; give more time",
    ):
        write_proof(tmp_path / "proof", problem, reduce(problem), [17], problem.relation, Limits(1.5))
    assert not list(tmp_path.iterdir())


def test_targets(tmp_path):
    problem = KNOWN["path-7"][0]
    found = solved(problem)
    target = tmp_path / "proof"
    write_proof(target, problem, *found)
    with pytest.raises(InvalidInstance, match="not empty"):
        write_proof(target, problem, *found)
    other = KNOWN["class-5"][0]
    write_proof(target, other, *solved(other), force=True)
    assert check_proof(target).value == 8
    (target / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInstance, match=r"'notes.txt', which is not part of a proof"):
        write_proof(target, problem, *found, force=True)
    assert (target / "notes.txt").read_text() == "mine"


def test_what_an_inspection_refuses_is_not_written(tmp_path):
    problem = KNOWN["path-7"][0]
    reduction, bounds, mask = solved(problem)
    with pytest.raises(WrongAnswer, match="no flow"):
        write_proof(
            tmp_path / "proof", problem, reduction, bounds, mask & ~np.eye(7, k=-1, dtype=bool), inspect=check_proof
        )
    assert not list(tmp_path.iterdir())


def test_notes_for_readers(tmp_path):
    problem = KNOWN["class-3"][0]
    notes = {
        "positions": [{"input": "ä", "position": place, "kind": "token"} for place in range(3)],
        "sha256": "0" * 64,
    }
    folder = write_proof(tmp_path / "proof", problem, *solved(problem), extra=notes)
    assert json.loads((folder / "problem.json").read_text())["positions"] == notes["positions"]
    assert check_proof(folder).optimal


def test_bounds_by_duals_are_at_most_the_optimum_and_trees_reach_it():
    for seed in range(30):
        problem = weighted(seed, 7, 2 + seed % 2, classes=bool(seed % 2))
        found = solved(problem)
        if found is None:
            continue
        for part, optimum in zip(found[0].components, found[1], strict=True):
            formula = encode(problem, found[0].forced, part)
            assert 0 <= lp_bound(formula)[0] <= optimum
            assert branch_tree(formula, optimum) is not None
            with pytest.raises(Contradiction, match=f"at least {optimum + 1} are needed, but linear programming found"):
                branch_tree(formula, optimum + 1)
