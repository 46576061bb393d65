"""Sperner masks against contexts by definition."""

from math import comb

import pytest

from masksynth.contracts import Weights
from masksynth.discover.constructions.arities import edges_of_arities
from masksynth.discover.constructions.hub_root import reroot_with_hubs
from masksynth.discover.constructions.sperner import (
    hubs_needed,
    hubs_of_fewest_edges,
    hubs_of_least_cost,
    sperner,
    sperner_in_place,
    sperner_with_late_tokens,
)
from masksynth.discover.layer_costs import leave_one_out_by_layers
from masksynth.discover.measure import measure
from tests.discover.naive import assert_keeps, complements, edges


def leave_one_out(n, layers=None, **fields):
    return complements(n, [{k} for k in range(n)], layers, **fields)


@pytest.mark.parametrize("n", [*range(2, 24), 40])
def test_one_mask_of_depth_two(n):
    structure = sperner(n)
    assert_keeps(structure, leave_one_out(n))
    assert_keeps(structure, leave_one_out(n, 2, masks="one"))
    assert structure.size <= 2 * n + hubs_needed(n) - (n >= 4)


@pytest.mark.parametrize("n", [*range(3, 24), 40])
def test_hubs_that_are_tokens(n):
    for hubs in range(2, hubs_needed(n) + 1):
        for build in (sperner_in_place, sperner_with_late_tokens):
            structure = build(n, hubs, 3)
            if structure is None:  # three hubs of one token each
                assert n < hubs or comb(hubs, hubs // 2) < hubs
                continue
            assert_keeps(structure, leave_one_out(n, 3))
            assert structure.size == 2 * n


@pytest.mark.parametrize("n", [4, 5, 9, 16, 27, 40, 64])
def test_hubs_at_the_root_of_rerooting(n):
    for layers in range(2, 12):
        structure = reroot_with_hubs(n, layers)
        if structure is not None:
            assert_keeps(structure, leave_one_out(n, layers))
            assert structure.size == 2 * n
    assert edges(reroot_with_hubs(64, 6)) == 279 < edges_of_arities(64, 6) == 302


@pytest.mark.parametrize("n", [6, 7, 8])
def test_twins_have_as_few_edges_as_any_structure_of_two_layers(n):
    assert edges(sperner_in_place(n, hubs_of_fewest_edges(n))) == {6: 20, 7: 26, 8: 32}[n]


@pytest.mark.parametrize("n", [255, 300, 700])
def test_cost_by_layers_is_close_to_the_bound(n):
    weights = Weights(count="layer")
    structure = sperner_with_late_tokens(n, hubs_of_least_cost(n, weights))
    cost = measure(structure, leave_one_out(n, 2, weights=weights)).cost
    bound = leave_one_out_by_layers(n, weights)
    assert bound <= cost <= 1.003 * bound
    assert cost < n * 28 + 0.004 * n * (n - 1)
