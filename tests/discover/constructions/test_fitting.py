"""Constructions that fit given contracts: every family, and contracts that look like others."""

from itertools import islice

import numpy as np
import pytest

from masksynth.contracts.families import FAMILIES
from masksynth.discover.as_answer import to_merged
from masksynth.discover.bounds import bounds_of
from masksynth.discover.constructions.direct import direct
from masksynth.discover.constructions.fitting import constructions_for
from masksynth.discover.constructions.nested import nested_queries
from masksynth.discover.measure import measure
from masksynth.verify.discovery import verify_contracts
from tests.discover.naive import assert_keeps, complements, contracts_of, edges


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", [None, 1, 6])
@pytest.mark.parametrize("place", ["query", "any"])
def test_every_family(family, layers, place):
    contracts = FAMILIES[family](layers=layers, place=place)
    bounds = bounds_of(contracts)
    structures = list(constructions_for(contracts))
    assert structures
    for structure in islice(structures, 6):
        if contracts.elements.count <= 16:
            assert_keeps(structure, contracts)
        sizes = measure(structure, contracts)
        assert bounds.positions.value <= sizes.positions
        assert bounds.edges.value <= sizes.edges
        assert bounds.cost.value <= sizes.cost + 1e-9


@pytest.mark.parametrize("layers", [None, 5])
def test_the_checker_accepts_them(layers):
    for family in ("leave_one_out", "leave_block_out", "causal", "visible_sets"):
        contracts = FAMILIES[family](layers=layers)
        for structure in constructions_for(contracts):
            verify_contracts(contracts, to_merged(structure, contracts)[1])


def test_random_contracts():
    rng = np.random.default_rng(9)
    for _ in range(150):
        count = int(rng.integers(1, 8))
        states = rng.integers(0, 3, (int(rng.integers(1, 6)), count))
        need, hide = ([set(np.flatnonzero(row == kind).tolist()) for row in states] for kind in (1, 2))
        layers = [None, 1, 2, 4][int(rng.integers(4))]
        contracts = contracts_of(count, need, hide, layers, place=["query", "any"][int(rng.integers(2))])
        bounds = bounds_of(contracts)
        for structure in constructions_for(contracts):
            assert_keeps(structure, contracts)
            sizes = measure(structure, contracts)
            assert bounds.positions.value <= sizes.positions
            assert bounds.edges.value <= sizes.edges


def test_queries_that_read_queries():
    rng = np.random.default_rng(2)
    built = 0
    for _ in range(80):
        count = int(rng.integers(3, 10))
        states = rng.choice(3, (6, count), p=[0.1, 0.7, 0.2])
        need, hide = ([set(np.flatnonzero(row == kind).tolist()) for row in states] for kind in (1, 2))
        for layers in (None, 2):
            contracts = contracts_of(count, need, hide, layers, masks="one")
            structure = nested_queries(contracts)
            if structure is not None:
                assert_keeps(structure, contracts)
                assert structure.size == count + 6
                assert edges(structure) < edges(direct(contracts))
                built += 1
    assert built > 60


def test_tokens_in_another_order():
    contracts = complements(9, [{k} for k in (4, 2, 7, 0, 1, 8, 3, 6, 5)], 7)
    structure = next(constructions_for(contracts))
    assert structure.found_by == "rerooting"
    assert_keeps(structure, contracts)
