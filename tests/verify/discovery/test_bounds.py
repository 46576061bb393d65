"""The checker's own bounds: never above the cheapest structure, never below those that the search reports."""

import random

import pytest

from masksynth.contracts.families import FAMILIES, leave_one_out
from masksynth.discover.bounds import bounds_of
from masksynth.verify.discovery.bounds import prove_cost
from tests.discover.brute import cheapest
from tests.verify.discovery.planted import random_contracts


def test_what_a_search_reports_by_theorems_is_proved_again():
    draw = random.Random(2)
    for _ in range(300):
        contracts = random_contracts(draw, most=8, demands=False)
        assert prove_cost(contracts) >= bounds_of(contracts).cost.value * (1 - 1e-9)


@pytest.mark.parametrize("layers", [None, 1, 4, 10])
@pytest.mark.parametrize("place", ["query", "any"])
def test_leave_one_out_of_many_tokens_is_bounded_alike(layers, place):
    for n in (3, 17, 64, 300):
        contracts = leave_one_out(n=n, layers=layers, place=place)
        assert prove_cost(contracts) >= bounds_of(contracts).cost.value * (1 - 1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_bounded_alike(name):
    for layers in (None, 3):
        contracts = FAMILIES[name](layers=layers)
        assert prove_cost(contracts) >= bounds_of(contracts).cost.value * (1 - 1e-9)


def test_no_structure_is_cheaper_than_proved():
    draw, reached = random.Random(3), 0
    for _ in range(60):
        contracts = random_contracts(draw, most=2, demands=False)
        if (contracts.layers or 1) > 1 or contracts.weights.pair < 0.5:  # dear pairs make trying all of them short
            continue
        least = float(cheapest(contracts))
        proved = prove_cost(contracts)
        assert proved <= least * (1 + 1e-9)
        reached += proved >= least * (1 - 1e-9)
    assert reached > 10
