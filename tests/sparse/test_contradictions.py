"""A bound above a solution is a defect: a lie planted wherever a bound comes from is raised, never cut down to the
value.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import masksynth as ms
from masksynth.backends import Limits, Objective, Outcome, Status
from masksynth.errors import Contradiction
from masksynth.search.result import result_of
from masksynth.sparse import SparseProblem, greedy, reduce
from masksynth.sparse import sparsify as spanner
from masksynth.sparse.engines import Standing, sparse_search
from masksynth_solvers.cpsat import CpSat
from masksynth_solvers.sparse import portfolio, windowed
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.cores import Cores
from masksynth_solvers.sparse.linear import Linear
from masksynth_solvers.sparse.path_encoding import Window, encode
from masksynth_solvers.sparse.rc2 import Rc2
from masksynth_solvers.sparse.russian_dolls import Lemma, canonical_form, solve_windows
from tests.sparse.relations import chain

solving = import_module("masksynth.solve")

LIE = 10**6
CHAIN = SparseProblem(chain(12), 2)
"""Not closed by greedy and packing, nor by its linear relaxation."""


@pytest.fixture
def part():
    """(formula, standing) of the one part of the chain, as engines get them."""
    found = reduce(CHAIN)
    chosen = greedy(CHAIN, found.forced, found.components[0])
    return encode(CHAIN, found.forced, found.components[0]), Standing(CHAIN.cost(chosen), 0, chosen)


def lies(text):
    return pytest.raises(Contradiction, match=text)


def raised(engine):
    """A contradiction with its bound, its value and the part that it is about."""
    return rf"^contradiction: {engine} proved that at least \d+ are needed, but \w+ found \d+ .*component 1 of 1, 45 pairs, 55 edges"  # noqa: E501


def test_packing(monkeypatch):
    cuts = portfolio.disjoint_cuts
    monkeypatch.setattr(portfolio, "disjoint_cuts", lambda *given: cuts(*given) * 50)
    with lies(raised("packing")):
        sparse_search(CHAIN, ["sat"], Limits())


def test_duals(monkeypatch):
    monkeypatch.setattr(windowed, "ALONE", 0.0)
    monkeypatch.setattr(windowed, "lp_bound", lambda formula: (LIE, {}))
    with lies(raised("duals")):
        sparse_search(CHAIN, ["sat"], Limits())


def test_disjoint_windows(monkeypatch):
    intervals = windowed.disjoint_intervals
    monkeypatch.setattr(windowed, "ALONE", 0.0)
    monkeypatch.setattr(windowed, "disjoint_intervals", lambda *given: intervals(*given) * 50)
    with lies(raised("windows")):
        sparse_search(CHAIN, ["sat"], Limits())


def test_windows_that_help(monkeypatch):
    monkeypatch.setattr(windowed, "ALONE", 0.0)
    monkeypatch.setattr(
        windowed, "select_windows", lambda found, *given: [Window(window.component, LIE) for window in found]
    )
    with lies(raised("windows")):
        sparse_search(CHAIN, ["sat"], Limits())


def test_windows_inside_windows():
    found = reduce(CHAIN)
    smallest = {
        canonical_form(CHAIN, found.forced, w.component): w.component
        for w in solve_windows(CHAIN, found.forced, found.components[0], Budget())
    }
    form, window = next(iter(smallest.items()))
    with lies("none proved that at least 1000000 are needed"):
        solve_windows(CHAIN, found.forced, found.components[0], Budget(), {form: Lemma(window, LIE, ())})


def test_maxsat(part):
    formula, known = part
    searching = Rc2(formula, 0)
    searching._start()
    searching.rc2.cost = LIE
    with lies("maxsat proved that at least 1000001 are needed, but greedy found"):
        searching.advance(known, 10.0, None)


def test_maxsat_at_its_end(part):
    """The bound of a last core lies below every solution known, but above the optimum."""
    formula, known = part
    searching = Rc2(formula, 0)
    searching._start()
    searching.rc2.cost = 500
    with lies("maxsat proved that at least 5.. are needed, but maxsat found"):
        searching.advance(replace(known, upper=LIE), 100.0, None)


def test_cpsat(part, monkeypatch):
    from ortools.sat.python import cp_model

    formula, known = part
    monkeypatch.setattr(cp_model.CpSolver, "best_objective_bound", property(lambda solver: float(LIE)))
    with lies("cpsat proved that at least 1000000 are needed, but "):
        Cores(formula, 0).advance(known, 10.0, None)


def test_ilp(part, monkeypatch):
    from ortools.linear_solver import pywraplp

    formula, known = part
    monkeypatch.setattr(pywraplp.Objective, "BestBound", lambda objective: float(LIE))
    with lies("ilp proved that at least 1000000 are needed, but "):
        Linear(formula, 0).advance(known, 10.0, None)


def test_standings_of_two_engines_and_objectives():
    known = Standing(5, 2, ((1, 0),), "greedy", "packing")
    with lies("sat proved that at least 6 are needed, but greedy found 5"):
        known.better(Standing(9, 6, (), "cpsat", "sat"))
    with lies("packing proved that at least 2 are needed, but sat found 1"):
        known.found((), 1, "sat")
    with lies("a bound proved that at least 3 are needed, but an answer found 2"):
        Objective(2, 3)
    assert known.proved(5, "sat").closed
    assert known.proved(1, "sat") is known


@pytest.mark.parametrize("backend", ["construct", "auto"])
def test_constructions(monkeypatch, backend):
    construct = spanner.construct if backend == "construct" else portfolio.construct_plain
    if backend == "construct":
        monkeypatch.setattr(spanner, "construct", lambda *given: replace(construct(*given), bound=LIE))
    else:
        monkeypatch.setattr(portfolio, "construct_plain", lambda *given: replace(construct(*given), bound=LIE))
    with lies(
        "proved that at least 1000000 are needed, but .* found .*flow of 12 positions and 66 pairs through 2 layers"
    ):
        ms.sparsify(chain(12), layers=2, backend=backend, limits=ms.Limits(effort=0))  # no proof before a construction


def test_instances_are_named(monkeypatch):
    monkeypatch.setattr(spanner, "sparse_search", _lying)
    with lies(r"found 3 \(causal_lm-4, flow of 3 positions and 3 pairs through 2 layers, part 1\)"):
        ms.solve(ms.catalog.causal_lm(n=4), layers=2, sparse=True)


def _lying(*given):
    raise Contradiction("sat", 4, "greedy", 3, "part 1")


def test_backends(monkeypatch):
    class Liar(CpSat):
        def solve(self, problem, limits):
            return replace(super().solve(problem, limits), bound=LIE)

    monkeypatch.setattr(
        solving, "load_backend", lambda name, known=solving.load_backend: Liar() if name == "cpsat" else known(name)
    )
    with lies(
        r"^contradiction: cpsat proved that at least 1000000 are needed, but criterion found \d+ \(butterfly-4\)"
    ):
        ms.solve(ms.catalog.butterfly(n=4), backend="cpsat")


def test_lines_of_results():
    line = {
        "instance": "a",
        "hash": None,
        "backend": "sat",
        "layers": 2,
        "sparse": True,
        "status": "FEASIBLE",
        "winner": "sat",
    }
    line |= {"seconds": 1.0, "error": None, "versions": {}, "limits": {}, "folder": None}
    assert (
        result_of(json.dumps(line | {"objective": {"edges": {"value": 5, "bound": 5}}})).objective["edges"]["bound"]
        == 5
    )
    with pytest.raises(
        ms.InvalidInstance, match="line 1: not a line of results: expected a bound of at most the value 5, got 6"
    ):
        result_of(json.dumps(line | {"objective": {"edges": {"value": 5, "bound": 6}}}))
    with pytest.raises(ms.InvalidInstance, match="expected OPTIMAL with equal value and bound of edges, got 5 and 4"):
        result_of(json.dumps(line | {"status": "OPTIMAL", "objective": {"edges": {"value": 5, "bound": 4}}}))


def test_duals_of_a_proof(monkeypatch, tmp_path):
    """The writer of proofs knows what its mask weighs in each part."""
    from masksynth_solvers.sparse import prove_claim, write_sparse_proof

    found = reduce(CHAIN)
    chosen = greedy(CHAIN, found.forced, found.components[0])
    mask = np.eye(12, dtype=bool)
    for edge in (*found.forced, *chosen):
        mask[edge] = True
    monkeypatch.setattr(prove_claim, "lp_bound", lambda formula: (LIE, {}))
    with lies(
        f"linear programming proved that at least {LIE} are needed, but the search found {CHAIN.cost(chosen)} .part-000."  # noqa: E501
    ):
        write_sparse_proof.write_proof(tmp_path / "proof", CHAIN, found, [1], mask)
    assert not list(tmp_path.iterdir())


def test_contradictions_travel_between_processes():
    error = Contradiction("sat", 4, "greedy", 3, "part 1").within("flow")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (Contradiction, str(error))
    assert isinstance(error, ms.MasksynthError)
    assert "\n" not in str(error)


def test_right_bounds_still_close():
    outcome = sparse_search(CHAIN, ["sat", "maxsat", "cpsat"], Limits())
    assert [(standing.lower, standing.upper) for standing in outcome.standings] == [(14, 14)]
    assert Outcome(Status.OPTIMAL, (), 0, "").bound == 0
    assert np.array_equal(
        ms.sparsify(chain(3), layers=2).mask.dense(), np.tri(3, dtype=bool) & ~np.eye(3, k=-2, dtype=bool)
    )
