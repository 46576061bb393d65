"""Every engine against a search over all sets of edges, on seeded tiny preorders with every option; a failing case
prints as JSON.
"""

from __future__ import annotations

import numpy as np
import pytest

import masksynth as ms
from masksynth.backends import Objective
from tests.sparse.naive import least_layered_weight, least_weight, pairs_of, told
from tests.sparse.relations import chain, one_class, random_preorder

ENGINES = ("sat", "maxsat", "brute", "sat", "maxsat", "brute", "cpsat", "sat", "maxsat", "ilp")
"""Who answers which case: by its seed, the quick ones more often."""


def random_case(seed, most=5, pairs=12):
    """(relation, layers, (forced, forbidden, weights)): a random preorder, random options, each of them absent in half
    of the cases.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    relation = random_preorder(rng, n, rng.choice([0.1, 0.2, 0.3, 0.5]))
    while len(pairs_of(relation)) > pairs:
        relation = random_preorder(rng, n, 0.15)
    if rng.random() < 0.5:
        relation = relation[np.ix_(order := rng.permutation(n), order)]
    layers = rng.choice([1, 2, 3, 4, None])
    within = pairs_of(relation)
    anywhere = [(q, k) for q in range(n) for k in range(n) if q != k]
    forced = {edge for edge in within if rng.random() < 0.15} if rng.random() < 0.5 else set()
    forbidden = {edge for edge in anywhere if rng.random() < 0.1} - forced if rng.random() < 0.5 else set()
    weights = {edge: int(rng.integers(-2, 7)) for edge in anywhere if rng.random() < 0.5} if rng.random() < 0.5 else {}
    return relation, None if layers is None else int(layers), (forced, forbidden, weights)


def agrees(seed, engine):
    """One case; whether it had a solution."""
    relation, layers, options = random_case(seed)
    forced, forbidden, weights = options
    case = told(relation, layers, options)
    due = least_weight(relation, layers, *options)
    answer = ms.sparsify(relation, layers=layers, forced=forced, forbidden=forbidden, weights=weights, backend=engine)
    if due is None:
        assert (answer.status, answer.mask) == (ms.Status.INFEASIBLE, None), case
        query, key = answer.unreachable
        assert relation[query, key], case
        return False
    assert (answer.status, answer.objective) == (ms.Status.OPTIMAL, Objective(due, due)), (
        f"{answer.objective} for {due}: {case}"
    )
    right(answer.mask.dense()[None], relation, layers, options, due, case)
    return True


def right(masks, relation, layers, options, due, case):
    """The tables themselves: their product, their weight, what they must and must not hold; one table is used for all
    layers.
    """
    forced, forbidden, weights = options
    flow, cost = np.eye(len(relation), dtype=bool), 0
    for mask in masks:
        held = set(pairs_of(mask))
        assert forced <= held, case
        assert not held & forbidden, case
        cost += sum(weights.get(edge, 1) for edge in held)
    for place in range(max(1, len(relation) - 1) if layers is None else layers):
        flow = masks[min(place, len(masks) - 1)].astype(int) @ flow > 0
    assert np.array_equal(flow, relation), case
    assert cost == due, case


@pytest.mark.parametrize("place", range(10))
def test_thousands_of_random_problems(place):
    solved = sum(agrees(seed, ENGINES[place]) for seed in range(place, 2000, 10))
    assert 150 < solved < 200


def layered_agrees(seed, engine):
    """One case with a mask for each layer; whether it had a solution."""
    relation, layers, (forced, forbidden, weights) = random_case(seed, most=4, pairs=6)
    layers, weights = layers or 2, {edge: abs(weight) for edge, weight in weights.items()}
    options = forced, forbidden, weights
    case = told(relation, layers, options, layered=True)
    due = least_layered_weight(relation, layers, *options)
    answer = ms.sparsify(
        relation, layers=layers, forced=forced, forbidden=forbidden, weights=weights, layered=True, backend=engine
    )
    if due is None:
        assert answer.status is ms.Status.INFEASIBLE, case
        return False
    assert (answer.status, answer.objective) == (ms.Status.OPTIMAL, Objective(due, due)), (
        f"{answer.objective} for {due}: {case}"
    )
    masks = answer.mask.dense()
    right(masks if masks.ndim == 3 else masks[None], relation, layers, options, due, case)
    return True


@pytest.mark.parametrize("place", range(10))
def test_a_mask_for_each_layer(place):
    solved = sum(layered_agrees(seed, ENGINES[place]) for seed in range(100_000 + place, 100_300, 10))
    assert solved > 15


ONE_WAY = {(0, 1), (1, 2), (2, 0)}


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "rules", [{"forbidden": ONE_WAY}, {"weights": dict.fromkeys(ONE_WAY, 5)}, {"forced": {(1, 0)}}]
)
def test_layers_beyond_the_longest_way_can_save_edges(layers, rules):
    """Where a class of three has arcs one way round only, 2 layers need 6 edges, 3 need 5, 4 need 4."""
    due = least_layered_weight(one_class(3), layers, **rules)
    answer = ms.sparsify(one_class(3), layers=layers, layered=True, **rules)
    assert answer.objective == Objective(due, due)
    assert answer.mask.tables == layers


def test_a_great_reward_elsewhere_closes_no_search():
    for n in (7, 8):
        plain, rewarded = (
            ms.sparsify(chain(n), 2, weights=weights, backend="sat").objective for weights in ({}, {(1, 0): -100})
        )
        assert rewarded == Objective(plain.value - 101, plain.bound - 101)


def test_the_naive_search_knows_what_can_be_counted_by_hand():
    assert [least_weight(chain(4), layers) for layers in (1, 2, 3, None)] == [6, 4, 3, 3]
    assert [least_weight(one_class(3), layers) for layers in (1, 2)] == [6, 3]
    assert least_weight(chain(3), 2, forbidden={(1, 0)}) is None
    assert least_weight(chain(3), 2, forced={(2, 0)}, weights={(1, 0): -1}) == 1
    assert [least_layered_weight(chain(3), layers) for layers in (1, 2, 3)] == [3, 2, 2]
    assert least_layered_weight(one_class(3), 2) == 4


def test_a_wrong_mask_fails_the_same_check():
    mask, options = np.eye(3, dtype=bool), (set(), set(), {})
    mask[1, 0] = mask[2, 1] = True
    right(mask[None], chain(3), 2, options, 2, "")
    for wrong in [
        (chain(3), 1, options, 2),
        (chain(3), 2, options, 3),
        (chain(3), 2, ({(2, 0)}, set(), {}), 2),
        (np.eye(3, dtype=bool), 2, options, 2),
    ]:
        with pytest.raises(AssertionError):
            right(mask[None], *wrong, "")
