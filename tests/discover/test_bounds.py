"""Bounds against the least found by trying everything, and against constructions."""

import json
from dataclasses import replace

import numpy as np
import pytest

from masksynth.contracts import Weights, loads_contracts
from masksynth.contracts.families import FAMILIES, leave_one_out
from masksynth.discover.bounds import bounds_of
from masksynth.discover.constructions.direct import direct
from masksynth.discover.constructions.fitting import constructions_for
from masksynth.discover.constructions.nested import nested_queries
from masksynth.discover.eliminate import count_gates
from masksynth.discover.measure import measure
from masksynth.discover.structure import Reads, Structure
from masksynth.verify.discovery.bounds.cost_bound import prove_cost
from tests.discover.naive import complements, contracts_of


def least_gates(need, hide, count):
    """The fewest OR gates over `count` inputs, by adding every possible gate to every circuit, breadth first."""
    wanted = [(sum(1 << e for e in n), sum(1 << e for e in h)) for n, h in zip(need, hide, strict=True)]
    inputs = frozenset(1 << e for e in range(count))

    def serves(circuit):
        return all(any(n & ~s == 0 and s & h == 0 for s in circuit | {0}) for n, h in wanted)

    circuits, gates = {inputs}, 0
    while not any(map(serves, circuits)):
        circuits = {c | {a | b} for c in circuits for a in c for b in c if a | b not in c}
        gates += 1
    return gates


def random_contracts(rng, count):
    states = rng.integers(0, 3, (int(rng.integers(1, 4)), count))
    need = [set(np.flatnonzero(row == 1).tolist()) for row in states]
    hide = [set(np.flatnonzero(row == 2).tolist()) for row in states]
    return need, hide


def test_gates_are_at_most_the_least_of_all_circuits():
    rng = np.random.default_rng(3)
    tight = 0
    for _ in range(60):
        need, hide = random_contracts(rng, int(rng.integers(1, 5)))
        count = max([0, *(max(s, default=0) for s in need + hide)]) + 1
        least = least_gates(need, hide, count)
        bound = count_gates(contracts_of(count, need, hide))
        assert bound <= least
        tight += bound == least
    assert tight > 40


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_leave_one_out_has_as_many_gates_as_the_theorem_says(n):
    hide = [{k} for k in range(n)]
    need = [set(range(n)) - {k} for k in range(n)]
    assert least_gates(need, hide, n) == max(3 * n - 6, 0) == count_gates(leave_one_out(n=n))


@pytest.mark.parametrize("family", ["leave_one_out", "neighbourhood", "all_but_row_and_column"])
@pytest.mark.parametrize("layers", [None, 1])
def test_raw_tokens_are_proved_optimal_for_one_mask(family, layers):
    contracts = FAMILIES[family](layers=layers)
    assert bounds_of(contracts).cost.value == measure(direct(contracts), contracts).cost


def test_a_token_that_may_be_a_hub_is_not_raw():
    # target 2 may see all of what target 0 sees, so its blank may read the other one
    contracts = contracts_of(4, [{0, 1, 2}, {0, 1}, {0, 1, 2, 3}], [{3}, {2, 3}, set()])
    bounds = bounds_of(contracts)
    assert bounds.cost.value < measure(direct(contracts), contracts).cost
    assert bounds.cost.value <= measure(nested_queries(contracts), contracts).cost


def cases():
    for n in (1, 2, 3, 7, 16):
        for layers in (1, 2, 4, 9):
            yield complements(n, [{k} for k in range(n)], layers)
        yield complements(n, [{k} for k in range(n)])
    yield complements(9, [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}], 4)
    yield complements(9, [{0, 1, 2}, {0, 1, 2}, {6, 7, 8}], 4)
    yield complements(6, [{0}] * 3, 2, position1=0, position2=0)
    yield contracts_of(4, [set(), {1}, {1, 2}], [{0}, set(), {0}], 2)


@pytest.mark.parametrize("contracts", list(cases()), ids=lambda c: f"{c.elements.count}-{len(c.targets)}-{c.layers}")
@pytest.mark.parametrize("weights", [None, Weights(1, 1, 1), Weights(24, 4, 0.004, "layer"), Weights(1, 2, 1, "layer")])
def test_no_construction_is_below_a_bound(contracts, weights):
    if weights is not None and contracts.layers is None:
        weights = replace(weights, count="structure")  # costs of each layer need a number of layers
    contracts = replace(contracts, weights=weights or contracts.weights)
    bounds = bounds_of(contracts)
    for structure in constructions_for(contracts):
        sizes = measure(structure, contracts)
        assert bounds.positions.value <= sizes.positions
        assert bounds.edges.value <= sizes.edges
        assert bounds.cost.value <= sizes.cost + 1e-9


def test_a_target_at_a_token_lets_it_be_updated_in_place_of_keys_and_values_alone():
    # u reads the empty blank and is updated for 1, so that the read of u by the blank does not cost 30.
    targets = [{"label": 0, "need": [0], "place": "any", "position": 0}, {"label": 1, "need": [0], "position": 0}]
    weights = {"position": 1, "kv": 30, "pair": 0, "count": "layer"}
    document = {"masksynth_contracts": 1, "name": "dear", "elements": 1, "targets": targets, "layers": 1}
    contracts = loads_contracts(json.dumps({**document, "weights": weights}))
    both_ways = np.array([0, 1]), np.array([1, 0])
    structure = Structure(np.array([0, -1]), (Reads.of_pairs(*both_ways, 2),), np.array([0, 1]), "by hand")
    cost = measure(structure, contracts).cost
    assert cost == 2
    assert bounds_of(contracts).cost.value <= cost
    assert prove_cost(contracts) <= cost
