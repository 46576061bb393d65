"""Swaps of interchangeable positions: they are symmetries, and for each solution one of its images stays allowed."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

import masksynth as ms
from masksynth.sparse import Component, SparseProblem, reduce
from masksynth.sparse.first_solution import layered_component
from masksynth_solvers.sparse.component_task import ComponentTask
from masksynth_solvers.sparse.enumeration import connects_pairs
from masksynth_solvers.sparse.path_encoding import Formula, encode, encode_layers
from masksynth_solvers.sparse.symmetry_breaking import add_swaps, find_swaps, make_greatest, swap_edge
from tests.sparse.relations import chain, one_class, random_preorder


def truth(formula, chosen, clauses):
    """Whether some values of the variables beyond the edges satisfy the clauses: by unit propagation, then by cases."""
    from pysat.solvers import Solver

    held = set(chosen)
    with Solver(name="m22", bootstrap_with=clauses) as solver:
        return solver.solve([v if edge in held else -v for edge, v in formula.edges.items()])


@pytest.mark.parametrize("seed", range(6))
def test_swaps_clauses_say_that_no_swap_is_greater(seed):
    """All sets of edges over three or four positions: the clauses hold iff no swap gives a greater word."""
    n = 3 + seed % 2
    edges = [(q, k) for q in range(n) for k in range(n) if q != k]
    np.random.default_rng(seed).shuffle(edges)
    edges = [(int(q), int(k)) for q, k in edges]
    formula = Formula()
    for edge in edges:
        formula.choose(edge, 1)
    swaps = list(combinations(range(n), 2))[: 1 + seed % 3]
    add_swaps(formula, swaps)
    words = list(product((0, 1), repeat=len(edges)))
    for word in words if n == 3 else words[:: 37 + seed]:
        chosen = [edge for edge, bit in zip(edges, word, strict=True) if bit]
        images = [{swap_edge(edge, swap) for edge in chosen} for swap in swaps]
        greatest = all(tuple(int(edge in image) for edge in edges) <= word for image in images)
        assert truth(formula, chosen, formula.clauses) == greatest, (edges, chosen, swaps)


def random_case(seed):
    """A small random preorder with classes; options on every second."""
    rng = np.random.default_rng(seed)
    relation = random_preorder(rng, int(rng.integers(3, 6)), 0.3)
    within = [(int(q), int(k)) for q, k in np.argwhere(relation) if q != k]
    if seed % 2:
        weights = {edge: int(rng.integers(1, 3)) for edge in within if rng.random() < 0.2}
        forced = {edge for edge in within if rng.random() < 0.05}
        return SparseProblem(relation, 2 + seed % 3, forced, (), weights, layered=seed % 8 == 1 and len(within) < 8)
    return SparseProblem(relation, 2 + seed % 3)


def tasks(problem):
    if problem.layered:
        component = layered_component(problem)
        return [(encode_layers(problem), component, encode_layers(problem).forced)] if component.edges else []
    found = reduce(problem)
    return [(encode(problem, found.forced, part), part, found.forced) for part in found.components]


def test_every_solution_has_an_allowed_image_of_its_weight():
    """All solutions of hundreds of small components."""
    swapped = 0
    for seed in range(150):
        problem = random_case(seed)
        for formula, component, forced in tasks(problem):
            swaps = find_swaps(problem, forced, component)
            if not swaps or len(component.edges) > 11:
                continue
            swapped += 1
            plain = len(formula.clauses)
            add_swaps(formula, swaps)
            for bits in product((False, True), repeat=len(component.edges)):
                chosen = tuple(edge for edge, bit in zip(component.edges, bits, strict=True) if bit)
                if not connects_pairs(formula, chosen):
                    continue
                assert truth(formula, chosen, formula.clauses[:plain]), seed
                best = make_greatest(formula, chosen)
                assert connects_pairs(formula, best), seed
                assert problem.cost(best) == problem.cost(chosen), seed
                assert truth(formula, best, formula.clauses), (seed, chosen, best)
    assert swapped > 15


def test_options_that_distinguish_members_of_a_class_leave_no_swap():
    edges = tuple((q, k) for q in range(4) for k in range(4) if q != k)
    component = Component(edges, edges)
    every = list(combinations(range(4), 2))
    relation = one_class(4)
    assert find_swaps(SparseProblem(relation, 2), (), component) == every
    assert find_swaps(SparseProblem(relation, 2, weights={(1, 0): 2}), (), component) == [(2, 3)]
    assert find_swaps(SparseProblem(relation, 2), {(1, 0)}, component) == [(2, 3)]
    assert find_swaps(SparseProblem(relation, 2), (), Component(edges[1:], edges)) == [(2, 3)]
    assert find_swaps(SparseProblem(relation, 2), (), Component(edges, edges[1:])) == [(2, 3)]
    assert find_swaps(SparseProblem(chain(4), 2), (), Component(((3, 0),), ((3, 0),))) == []


def test_positions_side_by_side_are_swapped_in_their_component_only():
    """Two tops over one chain: their pairs are independent, so no swap; joined by a further top, they are swapped."""
    relation = np.tril(np.ones((6, 6), bool))
    relation[5, 4] = False
    problem = SparseProblem(relation, 2)
    found = reduce(problem)
    for part in found.components:
        swaps = find_swaps(problem, found.forced, part)
        members = {end for edge in part.edges for end in edge}
        assert swaps == ([(4, 5)] if {4, 5} <= members else [])


@pytest.mark.parametrize("engine", ["sat", "maxsat", "cpsat", "ilp"])
def test_engines_agree_on_classes(engine):
    """Least edges of one class of n at L layers, for n = 3 .. 6: counted without swaps, by brute force up to n = 5."""
    known = {(3, 2): 3, (4, 2): 6, (4, 3): 4, (5, 2): 8, (5, 3): 7, (5, 4): 5, (6, 3): 9}
    for (n, layers), edges in known.items():
        answer = ms.sparsify(one_class(n), layers, backend=engine)
        assert (answer.status, answer.objective.value) == (ms.Status.OPTIMAL, edges), (n, layers)


def test_classes_that_were_open():
    found = [ms.sparsify(one_class(n), layers).objective for n, layers in ((8, 3), (8, 4), (9, 3))]
    assert [(one.value, one.bound) for one in found] == [(13, 13), (11, 11), (15, 15)]


def test_a_task_has_the_swaps_of_its_component():
    problem = SparseProblem(one_class(5), 3)
    found = reduce(problem)
    formula = ComponentTask(problem, found.forced, found.components[0], 0).encode(None)
    assert formula.swaps == tuple(combinations(range(5), 2))
