"""Which engine leads on a component: by symmetry, by the height of the order and by the depth, not by names."""

import numpy as np
import pytest

import masksynth as ms
from masksynth.sparse import SparseProblem, reduce
from masksynth_solvers.sparse.component_task import ComponentTask
from masksynth_solvers.sparse.limited_rc2 import MINIMIZATION, LimitedRC2
from masksynth_solvers.sparse.rank_engines import rank_engines
from tests.sparse.relations import chain, grid, one_class, random_poset

NAMES = ("cpsat", "maxsat", "sat", "theirs")


def blocks(count, members):
    """Return the preorder of blocks: each sees its own members and all earlier blocks."""
    rank = np.repeat(np.arange(count), members)
    return rank[:, None] >= rank


def ranked(relation, layers, swaps=None):
    """Return the ranked engines of the largest component; by default with the swaps of its formula."""
    problem = SparseProblem(relation, layers)
    reduction = reduce(problem)
    task = ComponentTask(problem, reduction.forced, reduction.components[-1], 0)
    return rank_engines(task, NAMES, len(task.encode(None).swaps) if swaps is None else swaps)


@pytest.mark.parametrize(
    ("relation", "layers", "leader"),
    [
        (chain(19), 2, "sat"),
        (chain(19), 3, "maxsat"),
        (chain(12), 2, "maxsat"),
        (blocks(6, 3), 2, "sat"),
        (blocks(6, 3), 3, "maxsat"),
        (blocks(8, 2), 2, "maxsat"),
        (one_class(7), 2, "sat"),
        (grid(4, 5), 2, "maxsat"),
        (random_poset(30, 0.5, 1), 2, "maxsat"),
    ],
)
def test_the_leader_follows_symmetry_height_and_depth(relation, layers, leader):
    order = ranked(relation, layers)
    assert order[0] == leader
    assert sorted(order) == sorted(NAMES)
    assert order[2:] == ["cpsat", "theirs"]


def test_the_rank_does_not_depend_on_the_numbers_of_positions():
    relation, shuffle = blocks(6, 3), np.random.default_rng(5).permutation(18)
    assert ranked(relation, 2) == ranked(relation[np.ix_(shuffle, shuffle)], 2)


def test_without_swaps_blocks_are_not_symmetric():
    assert ranked(blocks(6, 3), 2, swaps=0)[0] == "maxsat"


@pytest.mark.parametrize(
    ("relation", "layers", "edges", "minimized"),
    [(one_class(7), 3, 11, True), (blocks(4, 3), 3, 20, True), (chain(11), 3, 16, False), (blocks(6, 2), 3, 22, False)],
)
def test_cores_are_minimized_where_many_positions_can_be_swapped(monkeypatch, relation, layers, edges, minimized):
    limits = []

    def is_core(self, assumptions, conflicts):
        limits.append(conflicts)
        return original(self, assumptions, conflicts)

    original = LimitedRC2._is_core
    monkeypatch.setattr(LimitedRC2, "_is_core", is_core)
    answer = ms.sparsify(relation, layers=layers, backend="maxsat")
    assert (answer.status, answer.objective.value) == (ms.Status.OPTIMAL, edges)
    assert (MINIMIZATION in limits) == minimized
