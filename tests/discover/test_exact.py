"""Exact searches: equal to brute force, to each other, and to published values; jobs cover all sizes."""

from __future__ import annotations

import json
import pickle
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts, Demand, Elements, Target, Weights, loads_contracts
from masksynth.contracts.element_sets import pack
from masksynth.contracts.families import leave_one_out
from masksynth.discover.as_answer import to_merged
from masksynth.discover.discover import discover
from masksynth.discover.exact_backends import discover_backend, discover_backend_names, find_most_mixed
from masksynth.discover.fullest import Stage
from masksynth.discover.measure import measure
from masksynth.discover.most_pairs import start_plans
from masksynth.discover.structure import prune
from masksynth.errors import Unsupported
from masksynth.verify.discovery import verify_contracts
from masksynth_solvers.discover.cheapest_model import ENGINES, Effort, has_model
from masksynth_solvers.discover.contract_symmetries import element_classes
from masksynth_solvers.discover.gates import bound_reads
from masksynth_solvers.discover.hubs import encode_hubs
from masksynth_solvers.discover.jobs import Job, list_jobs, price_of, read_directly, run_job
from masksynth_solvers.discover.layers import encode_layers
from masksynth_solvers.discover.two_layers import encode_families, least_reads
from tests.discover.brute import cheapest

BACKENDS = ("cpsat", "maxsat")
READS = Weights(0, 0, 1, "structure")
UNIT = Weights(1, 1, 1, "structure")


def contracts_of(need, hide, place=None, **fields):
    """Contracts from rows of 0 and 1."""
    need, hide = np.array(need, bool), np.array(hide, bool)
    targets = tuple(Target(t, (place or ["query"] * len(need))[t], t) for t in range(len(need)))
    numbers = tuple(range(need.shape[1]))
    return Contracts("toy", Elements(numbers, numbers), targets, pack(need), pack(hide), **fields)


def random_contracts(seed):
    """Tiny contracts with random needs and hides, placements, masks, layers and weights."""
    chance = random.Random(seed)
    n, targets = chance.choice([(1, 2), (2, 2), (2, 3), (3, 2)])
    kinds = [[chance.choice("nnhf") for _ in range(n)] for _ in range(targets)]
    need, hide = ([[kind == letter for kind in row] for row in kinds] for letter in "nh")
    masks = chance.choice(["one", "layered"])
    layers = chance.choice([1, 2] if masks == "layered" else [None, 1, 2])
    count = chance.choice(["structure", "layer"]) if layers else "structure"
    weights = Weights(*chance.choice([(1, 1, 1), (2, 1, 1), (3, 1, 2), (3, 2, 1)]), count)
    place = [chance.choice(["query", "query", "any"]) for _ in range(targets)]
    return contracts_of(need, hide, place, layers=layers, masks=masks, weights=weights)


@pytest.mark.parametrize("seed", [0, 1, 4, 8, 9, 12])
@pytest.mark.parametrize("name", BACKENDS)
def test_equals_brute_force(name, seed):
    contracts = random_contracts(seed)
    outcome = discover_backend(name).solve(contracts, Limits(60))
    sizes = measure(outcome.structure, contracts)
    assert outcome.finished
    assert outcome.bound == sizes.cost
    assert Fraction(str(sizes.cost)) == cheapest(contracts)
    _, merged, _ = to_merged(outcome.structure, contracts)
    verify_contracts(contracts, merged)


DEMANDS = [
    # demand, needs, hides, placements, masks, layers, count
    (Demand(direct=2), [[1, 1, 0]], [[0, 0, 1]], ["any"], "layered", 2, "structure"),
    (Demand(direct=1), [[1, 0], [1, 1]], [[0, 1], [0, 0]], ["query", "any"], "one", None, "structure"),
    (Demand(mixed=1), [[1, 1]], [[0, 0]], ["query"], "layered", 2, "layer"),
    (Demand(mixed=1), [[1, 0]], [[0, 0]], ["query"], "layered", 2, "structure"),  # with an element that none needs
    (Demand(mixed=1, direct=1), [[1, 1]], [[0, 0]], ["query"], "one", None, "structure"),
    (Demand(mixed=1), [[1, 1]], [[0, 0]], ["any"], "one", 2, "structure"),
    (Demand(hops=0), [[1, 0], [1, 0]], [[0, 1], [0, 0]], ["any", "any"], "layered", 1, "layer"),
    (Demand(hops=1), [[1, 1]], [[0, 0]], ["query"], "layered", 2, "structure"),
    (Demand(hops=1), [[1, 1]], [[0, 0]], ["any"], "one", None, "structure"),
    (Demand(bandwidth=2), [[1, 1]], [[0, 0]], ["query"], "layered", 2, "structure"),
    (Demand(bandwidth=2), [[1, 1]], [[0, 0]], ["any"], "one", None, "structure"),
    (Demand(bandwidth=2, mixed=1), [[1, 1]], [[0, 0]], ["query"], "layered", 2, "structure"),
]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("demand", "need", "hide", "place", "masks", "layers", "counted"), DEMANDS)
def test_demands_equal_brute_force(name, demand, need, hide, place, masks, layers, counted):
    weights = Weights(2, 1, 1, counted)
    contracts = contracts_of(need, hide, place, layers=layers, masks=masks, weights=weights, demand=demand)
    outcome = discover_backend(name).solve(contracts, Limits(60))
    assert outcome.finished
    assert Fraction(str(measure(outcome.structure, contracts).cost)) == outcome.bound == cheapest(contracts)
    _, merged, _ = to_merged(outcome.structure, contracts)
    verify_contracts(contracts, merged)


def test_demands_that_nothing_meets_are_infeasible():
    contracts = replace(leave_one_out(n=3, layers=2), demand=Demand(bandwidth=3))
    outcome = discover_backend("cpsat").solve(contracts, Limits(10))
    assert (outcome.structure, outcome.finished) == (None, True)
    assert "3 vertex-disjoint ways" in outcome.proof


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("n", "layers", "reads"), [(2, 1, 2), (3, 1, 6), (4, 1, 12), (4, 2, 10)])
def test_least_reads_of_leave_one_out(name, n, layers, reads):
    contracts = leave_one_out(n=n, layers=layers)
    outcome = discover_backend(name).solve(replace(contracts, weights=READS), Limits(60))
    assert (outcome.bound, outcome.finished) == (reads, True)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("n", "cost"), [(3, 12), (4, 20), (5, 27)])
def test_least_cost_of_one_mask(name, n, cost):
    contracts = replace(leave_one_out(n=n), weights=UNIT)
    outcome = discover_backend(name).solve(contracts, Limits(60))
    assert (outcome.bound, outcome.finished) == (cost, True)


@pytest.mark.parametrize("engine", ENGINES)
def test_all_jobs_of_six_tokens_are_infeasible_below_34(engine):
    contracts = replace(leave_one_out(n=6), weights=UNIT)
    jobs = [job for _, job in list_jobs(contracts, 34, reads=18)]
    assert len(jobs) == 10
    chosen = jobs if engine == "sat" else jobs[:3]
    assert {run_job(job, engine, Effort(100)).verdict for job in chosen} == {"infeasible"}


def test_symmetries_and_forms_do_not_change_the_answer():
    contracts = replace(leave_one_out(n=4), weights=READS)
    for hubs in range(4, 7):
        for raw in range(5):
            found = {
                ENGINES["maxsat"](encode_hubs(contracts, hubs, raw, symmetries).formula, None, Effort()).price
                for symmetries in (True, False)
            }
            assert len(found) == 1
    layered = replace(leave_one_out(n=4, layers=2), weights=READS)
    prices = [ENGINES["maxsat"](encode_layers(layered, 0, on).formula, None, Effort()).price for on in (True, False)]
    assert prices == [10, 10]


def test_one_mask_by_layers_and_by_hubs():
    hubs = replace(leave_one_out(n=3), weights=UNIT)
    layers = replace(hubs, layers=4)
    prices = {discover_backend("maxsat").solve(contracts, Limits(60)).bound for contracts in (hubs, layers)}
    assert prices == {12}


@pytest.mark.parametrize(("n", "gates"), [(2, 0), (3, 3), (4, 6), (5, 9)])
def test_gates(n, gates):
    bound = bound_reads(leave_one_out(n=n), Effort())
    assert (bound.gates, bound.reads, bound.exact) == (gates, gates + n, True)


def test_gates_of_prefixes():
    need = np.tril(np.ones((5, 5)), -1)
    bound = bound_reads(contracts_of(need, 1 - need), Effort())
    assert (bound.gates, bound.reads) == (3, 7)  # a chain, and a copy for each target with a need


def test_two_layers():
    assert [least_reads(n, most).reads for n, most in ((3, 6), (4, 10), (5, 15))] == [6, 10, 15]
    assert least_reads(5, 15).families == 60
    prices = [ENGINES["maxsat"](encode_families(4, sets), None, Effort()).price - sets for sets in range(4)]
    assert min(prices) == 10


def test_symmetries_come_from_the_contracts():
    assert element_classes(leave_one_out(n=4)) == [[0, 1, 2, 3]]
    window = contracts_of([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], np.zeros((3, 4)))
    assert element_classes(window) == [[0], [1], [2], [3]]
    blocks = contracts_of([[0, 0, 1, 1], [1, 1, 0, 0]], [[1, 1, 0, 0], [0, 0, 1, 1]])
    assert element_classes(blocks) == [[0, 1], [2, 3]]


def test_jobs_run_anywhere():
    contracts = replace(leave_one_out(n=4), weights=UNIT)
    jobs = [job for _, job in list_jobs(contracts, 21)]
    assert pickle.loads(pickle.dumps(jobs[0])).title == jobs[0].title
    with ProcessPoolExecutor(2) as pool:
        results = list(pool.map(run_job, jobs, ["sat"] * len(jobs), [Effort(60)] * len(jobs)))
    assert {result.verdict for result in results} == {"infeasible", "structure"}
    assert {result.price for result in results if result.structure is not None} == {20}
    outcome = discover_backend("maxsat").solve(contracts, Limits(60, workers=2))
    assert (outcome.bound, outcome.finished) == (20, True)


def test_limits_keep_a_structure_and_a_bound():
    contracts = replace(leave_one_out(n=6, layers=3), weights=READS)
    outcome = discover_backend("maxsat").solve(contracts, Limits(0))
    assert not outcome.finished
    assert outcome.bound <= 18 < price_of(outcome.structure, contracts)
    better = run_job(Job(replace(contracts, layers=1), 0), "cpsat", Effort()).structure
    assert price_of(better, replace(contracts, layers=1)) == 30


def test_an_incumbent_is_kept_where_nothing_is_cheaper():
    contracts = replace(leave_one_out(n=3), weights=UNIT)
    incumbent = read_directly(contracts)
    assert discover_backend("cpsat").solve(contracts, Limits(60), incumbent).structure is incumbent


def test_what_is_not_expressed_is_refused():
    dear, dear_keys = replace(leave_one_out(n=3, layers=2), masks="one", layers=None), Weights(1, 2, 1, "layer")
    with pytest.raises(Unsupported, match="kv <= position"):
        encode_hubs(replace(dear, layers=2, weights=dear_keys), 3, 3)
    with pytest.raises(Unsupported, match="kv <= position"):
        discover_backend("cpsat").solve(
            replace(leave_one_out(n=3, layers=2), weights=Weights(1, 2, 1, "layer")), Limits(9)
        )
    with pytest.raises(Unsupported, match="too many for an exact search; use --backend search"):
        discover_backend("cpsat").solve(leave_one_out(n=80, layers=6), Limits(10))
    assert discover_backend_names()[:2] == list(BACKENDS)
    assert not has_model(encode_hubs(leave_one_out(n=3), 2, 2).formula)


SHARED = [{"label": 0, "need": [0, 1], "place": "any", "position": 1}, {"label": 1, "need": [0, 1], "position": 1}]


@pytest.mark.parametrize("backend", ["cpsat", "maxsat"])
@pytest.mark.parametrize("targets", [SHARED, SHARED[::-1]])
def test_targets_of_one_position_id_share_a_blank(backend, targets):
    # Two tokens and one blank that reads both; at a token, the first target would cost a third read.
    document = {"masksynth_contracts": 1, "name": "shared", "elements": 2, "targets": targets, "layers": 1}
    contracts = loads_contracts(json.dumps({**document, "weights": {"position": 1, "pair": 1, "count": "structure"}}))
    outcome = discover_backend(backend).solve(contracts, Limits(20))
    assert outcome.finished
    assert outcome.bound == measure(outcome.structure, contracts).cost == 5


@pytest.mark.parametrize(("n", "layers", "most"), [(3, 2, 3), (3, 3, 4), (4, 2, 12), (5, 2, 25)])
def test_most_mixed_reads(n, layers, most):
    found = discover(leave_one_out(n=n, layers=layers), objective="pairs", limits=Limits(60))
    assert found.status is Status.OPTIMAL
    assert (found.best.sizes.positions, found.best.sizes.mixed_edges, found.bound) == (2 * n, most, most)
    assert found.bound_by.startswith("CP-SAT")


@pytest.mark.parametrize("seed", range(8))
def test_no_plan_has_more_mixed_reads_than_are_proved(seed):
    chance = random.Random(seed)
    kinds = [[chance.choice("nnh") for _ in range(3)] for _ in range(3)] + [list("nnn")]
    need, hide = ([[kind == letter for kind in row] for row in kinds] for letter in "nh")
    contracts = contracts_of(need, hide, layers=chance.choice([2, 3]), masks="layered")
    outcome = find_most_mixed(contracts, 7, Limits(20))
    stage = Stage(contracts)
    assert outcome.bound >= max(stage.run(plan)[0] for _, plan in start_plans(stage, seed))
    if outcome.structure is not None:
        structure = prune(outcome.structure, "layered")
        _, merged, _ = to_merged(structure, contracts)
        verify_contracts(contracts, merged)
        assert not outcome.finished or measure(structure, contracts).mixed_edges == outcome.bound
