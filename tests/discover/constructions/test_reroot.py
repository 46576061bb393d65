"""In-place rerooting against contexts by definition, its sizes against closed forms and against every tree."""

from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import pytest

from masksynth.contracts.families import leave_one_out
from masksynth.discover.constructions import edges_of_arities, least_depth, reroot, rerooted_tree
from masksynth.discover.constructions.fitting import constructions_for
from masksynth.discover.constructions.target_trees import binary_tree, tree_of_sets
from tests.discover.naive import assert_keeps, complements, edges


@pytest.mark.parametrize("n", [*range(3, 21), 31, 32, 33, 48, 49, 64])
def test_leave_one_out_with_any_number_of_layers(n):
    for layers in range(1, least_depth(n) + 3):
        structure = reroot(rerooted_tree(n, layers), n, layers)
        assert_keeps(structure, leave_one_out(n=n, layers=layers))
        assert structure.size == 2 * n
        assert edges(structure) == edges_of_arities(n, layers)
        assert (edges(structure) == 4 * n - 6) == (layers >= least_depth(n))


def test_least_depth_is_the_closed_form():
    for n in range(3, 2000):
        halves, thirds = int(np.ceil(np.log2(n))), int(np.ceil(np.log2(n / 3)))
        assert least_depth(n) == min(2 * halves - 2, 2 * thirds + 1)


@cache
def excess_of_trees(leaves, height):
    """The least sum of (a - 1)(a - 2) over rooted trees, by trying all numbers of children and all their sizes."""
    if leaves == 1:
        return 0
    if height == 0:
        return float("inf")
    return min(
        excess_of_forest(leaves, count, height - 1) + (count - 1) * (count - 2) for count in range(2, leaves + 1)
    )


@cache
def excess_of_forest(leaves, trees, height):
    sizes = combinations_with_replacement(range(1, leaves + 1), trees)
    return min(sum(excess_of_trees(size, height) for size in split) for split in sizes if sum(split) == leaves)


@pytest.mark.parametrize("n", range(3, 10))
def test_best_arities_are_those_of_the_best_of_all_trees(n):
    for layers in range(1, least_depth(n) + 1):
        height = layers // 2
        if layers % 2:
            best = min(excess_of_forest(n, a, height) + (a - 2) * (a - 3) for a in range(2, n + 1))
        else:
            best = min(excess_of_trees(a, height) + excess_of_trees(n - a, height) for a in range(1, n))
        assert edges_of_arities(n, layers) == 4 * n - 6 + best


def random_nested_sets(rng, count):
    parent = [int(rng.integers(0, max(v, 1))) for v in range(count)]
    below = [{v} for v in range(count)]
    for v in range(count - 1, 0, -1):
        below[parent[v]] |= below[v]
    return below


def test_targets_that_hide_nested_sets():
    rng = np.random.default_rng(5)
    for _ in range(150):
        count = int(rng.integers(1, 11))
        below = random_nested_sets(rng, count)
        chosen = range(count) if rng.random() < 0.5 else rng.integers(0, count, int(rng.integers(1, count + 3)))
        hidden = [below[v] if rng.random() < 0.9 else set() for v in chosen]
        contracts = complements(count, hidden, layers=4 * count)
        structures = list(constructions_for(contracts))
        for structure in structures:
            assert_keeps(structure, contracts)
        if contracts.need.any():
            assert "rerooting" in {structure.found_by for structure in structures}


def heap(count):
    below = [{v} for v in range(count)]
    for v in range(count - 1, 0, -1):
        below[(v - 1) // 2] |= below[v]
    return below


@pytest.mark.parametrize(
    ("hidden", "layers", "expected"),
    [
        (heap(64), 14, 154 + 63),
        ([set(range(8 * b, 8 * b + 8)) for b in range(8)], 8, 74 + 8),
        ([set(range(t, 64)) for t in range(64)], 63, 62 + 63),
    ],
    ids=["tree complement", "blocks", "prefixes"],
)
def test_edges_of_known_contracts(hidden, layers, expected):
    contracts = complements(64, hidden, layers)
    structure = next(constructions_for(contracts))
    assert structure.found_by == "rerooting"
    assert_keeps(structure, contracts)
    assert edges(structure) == expected


def test_sets_that_overlap_are_no_tree():
    assert tree_of_sets([np.array([0, 1]), np.array([1, 2])], 3) is None


def test_too_few_layers_for_a_tree():
    tree = binary_tree(tree_of_sets([np.array([k]) for k in range(8)], 8))
    assert reroot(tree, 8, 2) is None
    assert len(reroot(tree, 8).reads) == 5
