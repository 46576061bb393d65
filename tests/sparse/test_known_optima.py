"""Every optimum of the measured tables that is proved in a few seconds, proved again; slower ones are instances of
larger sizes.
"""

from __future__ import annotations

import numpy as np
import pytest

import masksynth as ms
from tests.sparse.relations import carries, chain, fingerprint, grid, one_class, posets, random_poset, tree

CHAINS = {
    2: {3: 2, 5: 6, 7: 10, 9: 16, 11: 22, 13: 28, 15: 34},
    3: {3: 2, 5: 5, 7: 8, 9: 12, 11: 16, 13: 20, 15: 24},
    4: {3: 2, 5: 4, 7: 7, 9: 10, 11: 14, 13: 17, 15: 21},
    5: {3: 2, 5: 4, 7: 7, 9: 9, 11: 12, 13: 15, 15: 18},
    6: {3: 2, 5: 4, 7: 6, 9: 9, 11: 12, 13: 14, 15: 17},
}
NAMED = {
    "cube 2^3": (grid(2, 2, 2), 19, 12, {2: 13, 3: 12, 4: 12}),
    "grid 2x4": (grid(2, 4), 22, 10, {2: 13, 3: 11, 4: 10}),
    "grid 2x6": (grid(2, 6), 51, 16, {2: 24, 3: 19, 4: 18}),
    "grid 3x3": (grid(3, 3), 27, 12, {2: 14, 3: 13, 4: 12}),
    "grid 3x5": (grid(3, 5), 75, 22, {2: 33, 3: 26, 4: 24}),
    "grid 2x2x3": (grid(2, 2, 3), 42, 20, {2: 23, 3: 21, 4: 20}),
    "tree 15": (tree(15), 34, 14, {2: 18, 3: 14, 4: 14}),
    "tree 63": (tree(63), 258, 62, {2: 110, 3: 78, 4: 66}),
    "class of 3": (one_class(3), 6, None, {2: 3, 3: 3, 4: 3}),
    "class of 5": (one_class(5), 20, None, {2: 8, 3: 7, 4: 5}),
    "class of 7": (one_class(7), 42, None, {2: 12}),
}
RANDOM = [
    (20, 0.2, 4, 38, 21, {2: 23, 3: 21, 4: 21}, "daf6ed344c14"),
    (30, 0.2, 6, 95, 43, {2: 49, 3: 45, 4: 44}, "2195583a959f"),
    (40, 0.2, 10, 152, 52, {2: 73, 3: 60, 4: 55}, "d9fadac7a103"),
    (20, 0.5, 6, 95, 33, {2: 42, 3: 35, 4: 33}, "2ddc55774e56"),
    (30, 0.5, 8, 221, 43, {2: 66, 3: 53, 4: 48}, "0de2c57dce34"),
    (40, 0.5, 12, 389, 68, {3: 88, 4: 78}, "f76b65ba5543"),
    (60, 0.2, 10, 342, 90, {2: 135, 3: 102}, "ce98c4800102"),
    (100, 0.2, 8, 988, 203, {3: 240, 4: 216}, "8efa4550c06a"),
    (20, 0.8, 11, 155, 31, {2: 51, 3: 38}, "07a5de6211c7"),
]


def proved(relation, layers):
    """The optimum, after a plain recount and a plain check of the flow."""
    answer = ms.sparsify(relation, layers=layers, limits=ms.Limits(seconds=240))
    mask = answer.mask.dense()
    assert answer.status is ms.Status.OPTIMAL
    assert answer.objective.value == answer.objective.bound == int(mask.sum()) - len(relation)
    assert carries(mask, np.asarray(relation), layers)
    return answer.objective.value


@pytest.mark.parametrize("layers", CHAINS)
def test_chains(layers):
    assert {n: proved(chain(n), layers) for n in CHAINS[layers]} == CHAINS[layers]


@pytest.mark.parametrize("name", NAMED)
def test_named_relations(name):
    relation, pairs, covers, optima = NAMED[name]
    assert int(relation.sum()) - len(relation) == pairs
    assert covers is None or proved(relation, None) == covers
    assert {layers: proved(relation, layers) for layers in optima} == optima


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: f"{case[0]}:{case[1]}")
def test_random_posets(case):
    n, density, height, pairs, covers, optima, digits = case
    relation = random_poset(n, density, 1)
    assert (fingerprint(relation) == digits, int(relation.sum()) - n, ms_height(relation)) == (True, pairs, height)
    assert proved(relation, None) == covers
    assert {layers: proved(relation, layers) for layers in optima} == optima


def ms_height(relation):
    """Positions on a longest chain."""
    height = {}
    for query in np.argsort(relation.sum(axis=1), kind="stable").tolist():
        height[query] = 1 + max(
            (height[key] for key in np.flatnonzero(relation[query]).tolist() if key != query), default=0
        )
    return max(height.values())


@pytest.mark.parametrize(("n", "sums"), [(4, (42, 41, 41)), (5, (259, 249, 248))])
def test_sums_over_all_posets(n, sums):
    every = list(posets(n))
    assert len(every) == {4: 16, 5: 63}[n]
    assert tuple(sum(proved(relation, layers) for relation in every) for layers in (2, 3, 4)) == sums
