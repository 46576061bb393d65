"""The search: circuits, placements, demands and objectives, against a checker written differently."""

from dataclasses import replace
from importlib import import_module
from random import Random
from time import perf_counter

import numpy as np
import pytest

from masksynth.backends import Limits
from masksynth.contracts import Demand, Elements, Weights, with_options
from masksynth.contracts.families import FAMILIES, leave_one_out
from masksynth.discover.candidate import confirm
from masksynth.discover.circuit import Circuit, wants_of
from masksynth.discover.constructions import constructions_for
from masksynth.discover.discover import discover
from masksynth.discover.discovery import record
from masksynth.discover.edit_circuit import Editor
from masksynth.discover.fullest import Stage, change
from masksynth.discover.impossible import find_impossible
from masksynth.discover.incumbent import is_less
from masksynth.discover.measure import measure
from masksynth.discover.meet_demands import meet_demands
from masksynth.discover.most_pairs import start_plans
from masksynth.discover.neighbourhood import Neighbourhood, cover_exactly
from masksynth.discover.pareto import Pareto, insert
from masksynth.discover.read_circuit import read_circuit
from masksynth.discover.search_job import Start, improve, place, price_of
from masksynth.discover.search_journal import Journal
from masksynth.discover.start_circuits import circuit_of_sets, greedy_circuit, product_circuit
from masksynth.discover.structure import prune
from masksynth.discover.suggest_sets import suggest_sets
from masksynth.errors import Unsupported
from masksynth_solvers.discover.cover_repair import repair_covers
from tests.discover.naive_structures import drop_reads, fault, random_contracts, unmet_demands

CASES = [("layered", layers) for layers in (1, 2, 3, 6)] + [("one", None), ("one", 2)]


@pytest.mark.parametrize(("masks", "layers"), CASES)
def test_every_circuit_of_random_contracts_is_placed_in_a_right_structure(masks, layers):
    rng, changed = np.random.default_rng(layers or 0), 0
    for seed in range(25):
        contracts = random_contracts(rng, masks, layers)
        wants = wants_of(contracts)
        circuits = [Circuit.direct(wants), greedy_circuit(wants, seed)]
        circuits += [circuit_of_sets(wants, sets, Random(seed)) for sets in suggest_sets(contracts).values()]
        search = Neighbourhood(circuits[-1], Random(seed), price_of(contracts), [7, 12, 25])
        for step in range(30):
            search.step(1 - step / 30)
        for circuit in (*circuits, search.current, search.best):
            assert circuit.fault() == ""
            structure = place(circuit, contracts, Random(seed), 0.0)
            assert fault(structure, contracts) == ""
            assert fault(prune(structure, masks), contracts) == ""
        assert price_of(contracts)(search.best) <= price_of(contracts)(circuits[-1])
        changed += price_of(contracts)(search.best) < price_of(contracts)(circuits[-1])
        confirm(structure, contracts)
    assert changed or layers == 1  # the search does something


def test_the_checker_of_these_tests_finds_a_missing_read():
    rng, found = np.random.default_rng(1), 0
    for seed in range(20):
        contracts = random_contracts(rng, "layered", 3)
        structure = prune(place(greedy_circuit(wants_of(contracts), seed), contracts, Random(seed), 0.0), "layered")
        broken = drop_reads(structure, rng)
        found += broken is not None and fault(broken, contracts) != ""
    assert found > 10


def test_a_structure_gives_its_circuit_back():
    rng = np.random.default_rng(2)
    for seed in range(60):
        contracts = random_contracts(rng, *(("layered", 1 + seed % 4) if seed % 2 else ("one", None)))
        for structure in constructions_for(contracts):
            circuit = read_circuit(structure, contracts)
            assert circuit.fault() == ""
            assert fault(place(circuit, contracts, Random(0), 0.0), contracts) == ""


def test_the_rerooted_tree_is_placed_with_the_fewest_positions_and_edges():
    contracts = leave_one_out(n=12, layers=6)
    circuit = read_circuit(next(iter(constructions_for(contracts))), contracts)
    assert circuit.unions == 3 * 12 - 6
    sizes = measure(prune(place(circuit, contracts, Random(0), 3.0), "layered"), contracts)
    assert (sizes.positions, sizes.edges) == (24, 42)


DEMANDS = [Demand(direct=2), Demand(mixed=1), Demand(hops=1), Demand(direct=9, mixed=1, bandwidth=2, hops=2)]


@pytest.mark.parametrize("masks", ["layered", "one"])
@pytest.mark.parametrize("demand", DEMANDS)
def test_demands_are_met_or_impossible(masks, demand):
    rng, repaired = np.random.default_rng(3), 0
    for seed in range(30):
        contracts = random_contracts(rng, masks, 3 if masks == "layered" else None, demand)
        if find_impossible(contracts):
            continue
        before = prune(place(greedy_circuit(wants_of(contracts), seed), contracts, Random(seed), 0.0), masks)
        after = meet_demands(before, contracts)
        assert fault(after, contracts) == ""
        assert not unmet_demands(after, contracts)
        confirm(after, contracts)
        repaired += bool(unmet_demands(before, contracts))
    assert repaired > 1


@pytest.mark.parametrize(
    ("layers", "demand", "reason"),
    [
        (2, Demand(bandwidth=4), "target 0 needs 3 elements, so there are no 4 vertex-disjoint ways to it"),
        (2, Demand(hops=0), "do not arrive without a read"),
        (1, Demand(mixed=1), "in one layer"),
        (2, Demand(mixed=3), "no state that it may read holds 3 more"),
    ],
)
def test_impossible_demands_are_infeasible_with_the_reason(layers, demand, reason):
    answer = discover(replace(leave_one_out(n=4, layers=layers), demand=demand), limits=Limits(0))
    assert answer.status.name == "INFEASIBLE"
    assert reason in answer.reason
    assert record(answer).keys() >= {"status", "reason", "seconds"}


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("options", [{"layers": 4}, {}])
def test_every_family_gets_a_checked_structure_and_a_bound(family, options):
    contracts = with_options(FAMILIES[family](), **options)
    answer = discover(contracts, limits=Limits(0.2), backend="search")
    assert fault(answer.best.structure, contracts) == ""
    assert answer.bound <= answer.best.sizes.cost + 1e-9
    assert answer.status.name in ("OPTIMAL", "FEASIBLE")


@pytest.mark.parametrize("count", ["structure", "layer"])
def test_the_search_improves_on_direct_reads_where_pairs_are_dear(count):
    weights = Weights(1.0, 0.2, 5.0, count)
    contracts = replace(FAMILIES["leave_ball_out"](n=12, radius=1, layers=8), weights=weights)
    wants = wants_of(contracts)
    start = Start(0.0, Circuit.direct(wants).inputs, "direct")
    found = improve(contracts, start, 0, 1.0)
    direct = measure(prune(place(Circuit.direct(wants), contracts, Random(0), 0.0), "layered"), contracts)
    assert measure(prune(found.structure, "layered"), contracts).cost < direct.cost


def test_needs_that_are_products_are_computed_in_two_stages():
    contracts = FAMILIES["all_but_row_and_column"](shape=(6, 6), layers=12)
    circuit = product_circuit(wants_of(contracts), 6, 0)
    assert circuit.fault() == ""
    assert circuit.unions == 2 * 6 * (3 * 6 - 6)
    assert product_circuit(wants_of(leave_one_out(n=36, layers=12)), 6, 0) is None


def test_mixed_reads_of_plans_are_those_of_their_structures():
    contracts = leave_one_out(n=10, layers=4)
    stage, rng = Stage(contracts, registers=1), Random(0)
    for name, plan in start_plans(stage, 0):
        for _ in range(5):
            structure = stage.structure(plan, name)
            assert fault(structure, contracts) == ""
            assert measure(structure, contracts).mixed_edges == stage.run(plan)[0]
            plan = change(plan, stage, rng)


def test_reservoirs_have_more_mixed_reads_than_any_hole():
    contracts = leave_one_out(n=20, layers=4)
    answer = discover(contracts, objective="pairs", limits=Limits(0.3))
    assert answer.best.sizes.mixed_edges >= 424  # the best hole of 20 tokens in 4 layers has 304, the cyclic one 340
    assert answer.best.sizes.positions == 40
    too_few = discover(contracts, objective="pairs", positions=39, limits=Limits(0.1))
    assert too_few.status.name == "INFEASIBLE"


def test_trade_offs_are_not_dominated():
    answer = discover(leave_one_out(n=6, layers=4), objective="pareto", limits=Limits(3))
    rows = [(c.sizes.layers, c.sizes.positions, c.sizes.edges) for c in answer.front]
    assert len(rows) > 1
    for row in rows:
        assert not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
    assert insert(list(answer.front), answer.front[0]) == list(answer.front)


def test_exact_searches_run_by_name_and_by_auto():
    contracts = with_options(FAMILIES["windows"](n=5, w=2), layers=2)
    contracts = replace(contracts, weights=Weights(1.0, 0.0, 1.0, "structure"))
    answers = [discover(contracts, backend=name, limits=Limits(20)) for name in ("auto", "cpsat")]
    assert {answer.status.name for answer in answers} == {"OPTIMAL"}
    assert len({answer.best.sizes.cost for answer in answers}) == 1


def test_time_limits_are_kept():
    contracts = with_options(leave_one_out(n=40), layers=5)
    started = perf_counter()
    discover(contracts, limits=Limits(1))
    assert perf_counter() - started < 20


def test_elements_without_names_of_their_own_kind_are_searched_alike():
    contracts = leave_one_out(n=9, layers=3)
    renamed = replace(contracts, elements=Elements(tuple(f"w{i}" for i in range(9)), tuple(range(9))))
    first, second = (discover(c, limits=Limits(0)).best.sizes for c in (contracts, renamed))
    assert first == second


def test_the_exact_repair_covers_as_well_as_a_search_by_hand():
    # Three nodes want {0, 1, 2}, {0, 1, 3} and {0, 1}; opening 9 = {0, 1} for 1 and reading it saves two reads.
    elements = [(element, 1 << element) for element in range(4)]
    wanted = {10 + index: (bits, [*elements, (9, 3)]) for index, bits in enumerate((7, 11, 3))}
    chosen = repair_covers(wanted, {9: 1.0}, 1.0, 5.0, 0)
    assert {node: sorted(read) for node, read in chosen.items()} == {10: [2, 9], 11: [3, 9], 12: [9]}
    assert repair_covers({10: (7, elements[:2])}, {}, 1.0, 5.0, 0) is None


def test_changes_with_the_exact_repair_keep_circuits_right(monkeypatch):
    monkeypatch.setattr(import_module("masksynth.discover.neighbourhood"), "EXACT", 1.0)
    contracts = FAMILIES["neighbourhood"](shape=(4, 4), layers=3)
    wants = wants_of(contracts)
    search = Neighbourhood(greedy_circuit(wants, 0), Random(0), pool=suggest_sets(contracts)["small rectangles"])
    for _ in range(8):
        search.step(0.5)
        assert search.current.fault() == ""


def test_targets_that_the_exact_repair_lets_read_one_another_stay_right():
    # With free elements the set of a target changes with what it reads, and so do the sets of those that read it.
    rng = np.random.default_rng(3)
    for seed in range(60):
        circuit = greedy_circuit(wants_of(random_contracts(rng, "one", None)), seed)
        cover_exactly(Editor(circuit), set(circuit.targets()), Random(seed))
        assert circuit.fault() == ""


def test_costs_of_any_size_are_compared_by_their_ratio():
    assert is_less(1e-12, 2e-12)
    assert not is_less(1e12, 1e12 + 1)


def test_auto_goes_on_where_no_exact_search_may_be_run():
    contracts = replace(leave_one_out(n=2, layers=7), weights=Weights(1e-7, 4.0, 0.0, "layer"))
    contracts = with_options(contracts, masks="one")
    assert discover(contracts, limits=Limits(1.0)).best is not None
    with pytest.raises(Unsupported, match="kv <= position"):
        discover(contracts, backend="cpsat", limits=Limits(1.0))


def test_a_record_without_a_structure_has_all_keys():
    wanted = replace(leave_one_out(n=3), demand=Demand(bandwidth=3))
    without, found = record(discover(wanted)), record(discover(leave_one_out(n=3), limits=Limits(0)))
    assert without.keys() == found.keys() | {"reason"}
    assert without["positions"] is None


@pytest.mark.parametrize(("layers", "finished"), [(None, 20), (None, 19), (3, 7), (3, 8)])
def test_trade_offs_resumed_at_the_last_steps_have_an_answer(tmp_path, layers, finished):
    contracts = leave_one_out(n=4, layers=layers)
    first = Pareto(contracts, Limits(0), journal=Journal(tmp_path)).run()
    shallow = [(found.structure, found.sizes.layers) for found in first.front if found.sizes.layers in (1, 2)]
    Journal(tmp_path).write_front(contracts, shallow, finished)
    resumed = Pareto(contracts, Limits(0), journal=Journal(tmp_path, resume=True)).run()
    assert shallow
    assert resumed.best.sizes.cost == first.best.sizes.cost
