"""Families against their naive definitions and closed forms; parameters and refusals."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from masksynth.contracts import dump_contracts, families, loads_contracts
from masksynth.contracts.element_sets import count_members
from masksynth.contracts.families import FAMILIES
from masksynth.contracts.metric import distances
from masksynth.errors import InvalidInstance
from tests.cli.command import here
from tests.contracts import naive
from tests.contracts.naive import random_tree

TREES = [
    (-1,),
    (-1, 0),
    (1, -1),
    (-1, 0, 0, 1, 1, 2, 2),
    (3, 0, 0, -1, 2, 1),
    (1, 2, 3, 4, 5, -1),
    *[random_tree(seed, 3 + seed) for seed in range(6)],
]
GRAPHS = [
    (1, ()),
    (2, ((0, 1),)),
    (4, ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2))),
    (6, ((5, 0), (0, 3), (3, 1), (1, 4), (4, 2), (1, 4))),
]
SHAPES = [(1,), (5,), (1, 4), (3, 3), (4, 2), (2, 3, 2), (1, 1, 1)]
DIVISORS = [(n, size) for n in range(1, 13) for size in range(1, n + 1) if n % size == 0]


def rows_of(contracts):
    pairs = zip(range(len(contracts.targets)), contracts.targets, strict=True)
    return [(t.label, set(contracts.needed(i).tolist()), set(contracts.hidden(i).tolist())) for i, t in pairs]


def heap(n):
    return tuple((node - 1) // 2 for node in range(n))


CASES = [
    *[("leave_one_out", {"n": n}, naive.leave_one_out(n)) for n in (1, 2, 3, 7, 64, 65)],
    *[("leave_block_out", {"n": n, "l": size}, naive.leave_block_out(n, size)) for n, size in DIVISORS],
    *[("leave_fold_out", {"n": n, "k": k}, naive.leave_fold_out(n, k)) for n in (1, 2, 5, 9) for k in range(1, n + 1)],
    *[("leave_ball_out", {"n": n, "radius": r}, naive.leave_ball_out(n, r)) for n in (1, 2, 6) for r in range(4)],
    *[
        (family, {"shape": shape, "radius": r, "metric": metric}, getattr(naive, family)(shape, r, metric))
        for family in ("leave_ball_out_grid", "neighbourhood")
        for shape in SHAPES
        for r in (1, 2)
        for metric in ("chebyshev", "manhattan")
    ],
    *[("all_but_row_and_column", {"shape": s}, naive.all_but_row_and_column(s)) for s in SHAPES],
    *[
        ("leave_ball_out_tree", {"parents": parents, "radius": r}, naive.leave_ball_out_tree(parents, r))
        for parents in TREES
        for r in (0, 1, 2)
    ],
    *[("tree_complement", {"parents": p}, naive.tree_complement(p)) for p in TREES if len(p) > 1],
    *[("tree_complement", {"n": n}, naive.tree_complement(heap(n))) for n in (2, 9, 15)],
    ("leave_ball_out_tree", {"n": 9, "radius": 2}, naive.leave_ball_out_tree(heap(9), 2)),
    *[
        ("leave_ball_out_graph", {"n": n, "edges": edges, "radius": r}, naive.leave_ball_out_graph(n, edges, r))
        for n, edges in GRAPHS
        for r in (0, 1, 2)
    ],
    *[("causal", {"n": n}, naive.causal(n)) for n in (2, 3, 9)],
    *[("windows", {"n": n, "w": w}, naive.windows(n, w)) for n in (1, 2, 6) for w in range(1, n + 1)],
    *[("any_order", {"n": 4, "order": order}, naive.any_order(4, order)) for order in permutations(range(4))],
    *[
        ("visible_sets", {"n": n, "masked": masked}, naive.visible_sets(n, masked))
        for n, masked in [(1, ((),)), (1, ((0,),)), (5, ((4, 1),)), (4, ((0, 1, 2, 3),)), (4, ((1,), (), (2, 0)))]
    ],
    *[("block_two_stream", {"n": n, "l": size}, naive.block_two_stream(n, size)) for n, size in DIVISORS],
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_their_definitions(family):
    cases = [case for case in CASES if case[0] == family]
    assert cases or family == "masked_diffusion"
    for _, parameters, expected in cases:
        contracts = FAMILIES[family](**parameters)
        assert rows_of(contracts) == expected, parameters
        assert contracts.layers is None
        assert contracts.masks == "one"


@pytest.mark.parametrize("n", [1, 7, 20, 64])
@pytest.mark.parametrize("percent", [0, 15, 50, 90, 100])
def test_masked_diffusion_is_visible_sets_of_a_share(n, percent):
    contracts = families.masked_diffusion(n=n, percent=percent, sets=2, seed=n)
    rows = rows_of(contracts)
    seen = [set().union(*(need for (text, _), need, _ in rows if text == number)) for number in (0, 1)]
    count = round(n * percent / 100)
    masked = tuple(tuple(token for token in range(n) if token not in visible) for visible in seen)
    if n > 2 and count < n - 1:  # with one visible token it is not seen by its own target, which masks it too
        assert {len(text) for text in masked} == {count}
        assert rows == naive.visible_sets(n, masked)
    other = rows_of(families.masked_diffusion(n=n, percent=percent, sets=2, seed=n + 1))
    assert (rows != other) == (n >= 7 and 0 < percent < 100)
    assert rows == rows_of(families.masked_diffusion(n=n, percent=percent, sets=2, seed=n))


@pytest.mark.parametrize(
    ("family", "parameters", "pairs", "targets"),
    [
        ("leave_one_out", {"n": 64}, 4032, 64),
        ("causal", {"n": 64}, 2016, 63),
        ("windows", {"n": 64, "w": 4}, 244, 61),
        ("windows", {"n": 64, "w": 8}, 456, 57),
        ("windows", {"n": 64, "w": 16}, 784, 49),
        ("leave_ball_out", {"n": 64, "radius": 1}, 3906, 64),
        ("neighbourhood", {"shape": (8, 8)}, 420, 64),
        ("leave_ball_out_grid", {"shape": (8, 8)}, 3612, 64),
        ("all_but_row_and_column", {"shape": (8, 8)}, 3136, 64),
        ("leave_block_out", {"n": 64, "l": 8}, 448, 8),
        ("tree_complement", {"n": 64}, 3768, 63),
    ],
)
def test_pairs_of_the_published_table(family, parameters, pairs, targets):
    contracts = FAMILIES[family](**parameters)
    assert (int(count_members(contracts.need).sum()), len(contracts.targets)) == (pairs, targets)


@pytest.mark.parametrize(("n", "radius"), [(5, 1), (12, 2), (30, 3), (9, 0)])
def test_closed_forms(n, radius):
    def pairs(contracts):
        return sum(len(contracts.needed(index)) for index in range(len(contracts.targets)))

    assert pairs(families.leave_one_out(n=n)) == n * (n - 1)
    assert pairs(families.causal(n=n)) == n * (n - 1) // 2 == pairs(families.any_order(n=n))
    ball = n * (2 * radius + 1) - radius * (radius + 1)  # balls at both ends lack 1, .., radius elements
    assert pairs(families.leave_ball_out(n=n, radius=radius)) == n * n - ball
    assert pairs(families.leave_ball_out_graph(n=n, radius=radius)) == n * (n - 2 * radius - 1)
    assert pairs(families.windows(n=n, w=radius + 1)) == (n - radius) * (radius + 1)
    rows = 3
    assert pairs(families.all_but_row_and_column(shape=(rows, n))) == rows * n * (rows - 1) * (n - 1)
    path = tuple(range(-1, n - 1))
    assert pairs(families.tree_complement(parents=path)) == n * (n - 1) // 2


@pytest.mark.parametrize("parents", TREES)
def test_tree_distances(parents):
    elements = families.leave_ball_out_tree(parents=parents).elements
    table = naive.shortest_paths(len(parents), naive.tree_edges(parents))
    assert dict(np.ndenumerate(distances(elements))) == table


@pytest.mark.parametrize(("n", "edges"), GRAPHS)
def test_graph_distances(n, edges):
    elements = families.leave_ball_out_graph(n=n, edges=edges).elements
    assert dict(np.ndenumerate(distances(elements))) == naive.shortest_paths(n, edges)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("metric", ["chebyshev", "manhattan"])
def test_grid_distances(shape, metric):
    elements = families.leave_ball_out_grid(shape=shape, metric=metric).elements
    assert dict(np.ndenumerate(distances(elements))) == naive.grid_distance(shape, metric)


def test_a_long_path_and_a_line_have_equal_distances():
    n = 700
    path = families.leave_ball_out_tree(parents=tuple(range(-1, n - 1))).elements
    np.testing.assert_array_equal(distances(path), distances(families.leave_one_out(n=n).elements))
    edges = tuple((i, i + 1) for i in range(n - 1))
    graph = families.leave_ball_out_graph(n=n, edges=edges).elements
    np.testing.assert_array_equal(distances(path), distances(graph))


def test_large_sets_are_not_written_out():
    contracts = families.causal(n=7000)  # 6999 targets that hide 24 million elements
    with pytest.raises(InvalidInstance, match="elements, more than 20000000, are not written; give fewer elements"):
        dump_contracts(contracts)
    assert len(dump_contracts(families.leave_ball_out(n=500, radius=2))) < 10**5


def test_distances_of_too_many_elements_are_refused():
    with pytest.raises(InvalidInstance, match="distances of 20000 elements, more than 16384; give fewer elements"):
        distances(families.visible_sets(n=20_000, masked=((),)).elements)


@pytest.mark.parametrize("family", FAMILIES)
def test_options_of_every_family(family):
    contracts = FAMILIES[family](layers=4, place="any")
    assert (contracts.layers, contracts.masks, contracts.weights.count) == (4, "layered", "structure")
    assert {target.place for target in contracts.targets} == {"any"}
    assert contracts.name.startswith(f"{family}-")
    for options in ({"layers": 0}, {"layers": 20_000}, {"place": "here"}):
        with pytest.raises(InvalidInstance):
            FAMILIES[family](**options)


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("leave_one_out", {"n": 0}, "n=0 is less than 1; give n >= 1"),
        ("leave_one_out", {"n": 10**9}, "n makes 1000000000 elements, more than 1048576; give a smaller n"),
        ("leave_one_out", {"n": 100_000}, "100000 targets of 100000 elements make 10000000000 pairs, more than"),
        ("leave_one_out", {"n": True}, "n=True is not an integer"),
        ("leave_block_out", {"n": 8, "l": 3}, "l=3 does not divide n=8; give a divisor of n"),
        ("leave_block_out", {"n": 8, "l": 0}, "l=0 is less than 1"),
        ("leave_fold_out", {"n": 4, "k": 5}, "k=5 is more than n=4; give 1 <= k <= n"),
        ("leave_ball_out", {"radius": -1}, "radius=-1 is less than 0"),
        ("leave_ball_out_grid", {"shape": ()}, "has 0 sizes; give 1 to 16 sizes"),
        ("leave_ball_out_grid", {"shape": (3, 0)}, "shape[1]=0 is less than 1"),
        ("leave_ball_out_grid", {"shape": (2**30, 2**30)}, "elements, more than 1048576; give a smaller shape"),
        ("leave_ball_out_grid", {"metric": "euclid"}, "metric='euclid' is neither chebyshev nor manhattan"),
        ("neighbourhood", {"radius": 0}, "radius=0 is less than 1"),
        ("leave_ball_out_tree", {"parents": (-1, 2, 1)}, "element 1 is its own ancestor; lead every element to"),
        ("leave_ball_out_tree", {"parents": (-1, -1)}, "a tree has one root, this has 2"),
        ("leave_ball_out_tree", {"parents": (-1, 5)}, "parent 5 is not an element; use 0 to 1"),
        ("leave_ball_out_tree", {"n": 4, "parents": (-1, 0)}, "n=4 is not the number of parents, 2; leave one of them"),
        ("tree_complement", {"n": 1}, "n=1 leaves nothing outside the root's subtree; give two nodes"),
        ("leave_ball_out_graph", {"n": 3, "edges": ((0, 1),)}, "no path leads from 0 to 2; join them, or give a count"),
        ("leave_ball_out_graph", {"n": 2, "edges": ((0, 2),)}, "2 is not an element; use 0 to 1"),
        ("leave_ball_out_graph", {"n": 2, "edges": ((0, 1, 1),)}, "edges[0]=(0, 1, 1) is not a pair; give two nodes"),
        ("leave_ball_out_tree", {"n": 40_000}, "40000 targets of 40000 elements make 1600000000 pairs"),
        ("tree_complement", {"n": 40_000}, "40000 targets of 40000 elements make 1600000000 pairs"),
        ("leave_ball_out_graph", {"n": 40_000}, "40000 targets of 40000 elements make 1600000000 pairs"),
        ("causal", {"n": 1}, "n=1 is less than 2"),
        ("windows", {"n": 3, "w": 4}, "w=4 is more than n=3"),
        ("any_order", {"n": 3, "order": (0, 1, 1)}, "order=(0, 1, 1) is not an order of 0 to 2; list each once"),
        ("any_order", {"n": 3, "order": (0, 1, 3)}, "order=(0, 1, 3) is not an order of 0 to 2"),
        ("visible_sets", {"n": 3, "masked": ()}, "masked=() lists no text; give one text or more"),
        ("visible_sets", {"n": 3, "masked": ((3,),)}, "masked[0]=(3,) is not a set of tokens below n=3"),
        ("visible_sets", {"n": 3, "masked": ((1, 1),)}, "masked[0]=(1, 1) is not a set of tokens below n=3"),
        ("masked_diffusion", {"percent": 101}, "percent=101 is more than 100; give 0 to 100"),
        ("masked_diffusion", {"n": 1000, "sets": 10**6}, "pairs, more than"),
        ("block_two_stream", {"n": 6, "l": 4}, "l=4 does not divide n=6"),
    ],
)  # fmt: skip
def test_refusals(family, parameters, message):
    with pytest.raises(InvalidInstance) as error:
        FAMILIES[family](**parameters)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_lists_and_prints_families():
    listed = here("contracts")
    assert listed.returncode == 0
    assert all(family in listed.stdout for family in FAMILIES)
    rows = json.loads(here("contracts", "--json").stdout)
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert rows[0]["parameters"] == {"n": "8"}
    for family in FAMILIES:
        assert rows_of(loads_contracts(here("contracts", family).stdout)) == rows_of(FAMILIES[family]())


def test_the_command_takes_parameters_and_options():
    printed = json.loads(here("contracts", "leave_one_out", "--n", 64).stdout)
    assert printed["targets"] == "each"
    assert not {"layers", "masks"} & printed.keys()
    assert printed["weights"]["count"] == "structure"
    options = ("--layers", 3, "--masks", "one", "--place", "any")
    printed = json.loads(here("contracts", "causal", "--n", 4, *options).stdout)
    assert (printed["layers"], printed["masks"]) == (3, "one")
    assert [target["place"] for target in printed["targets"]] == ["any"] * 3
    trees = here("contracts", "tree_complement", "--parents", "-1,0,0,1")
    assert json.loads(trees.stdout)["elements"] == {"tree": [None, 0, 0, 1]}
    graph = here("contracts", "leave_ball_out_graph", "--n", 3, "--edges", "0,1;1,2", "--radius", 1)
    assert json.loads(graph.stdout)["elements"]["graph"]["edges"] == [[0, 1], [1, 2]]
    sets = here("contracts", "visible_sets", "--n", 4, "--masked", "1,2;0")
    assert len(json.loads(sets.stdout)["targets"]) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("leave_one_out", "--n", "x"), "expected an integer, got 'x'"),
        (("leave_one_out", "--n", "0"), "n=0 is less than 1; give n >= 1"),
        (("leave_one_out", "--layers", "0"), "expected an integer of at least 1, got 0"),
        (("leave_one_out", "--masks", "layered"), "layered masks need a number of layers; give layers, or masks one"),
        (("leave_one_out", "--place", "here"), "'here' is not one of 'query', 'any'"),
        (("causal", "--layers", "99999999999"), "expected an integer from 1 to 2147483647"),
        (("leave_one_in",), "No such command 'leave_one_in'"),
        (("windows", "--n", "9" * 30), "is more than 2147483647"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, message):
    done = here("contracts", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
