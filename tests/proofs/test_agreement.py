"""Two encoders, written apart from the same agreement, build the same clauses."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from masksynth.sparse import Component, SparseProblem, reduce
from masksynth.verify.proof.formula import at_most, layered_clauses, part_clauses
from masksynth_solvers.sparse.path_encoding import encode, encode_layers
from masksynth_solvers.sparse.prove_claim import limit_weight
from tests.proofs.folders import weighted
from tests.proofs.naive import cycle, grid, pairs, path, preorders, random_preorder


def named(formula):
    """Clauses of the writer's encoder, as sets of texts."""
    texts = [" ".join(map(str, name)) for name in formula.names]
    return {
        frozenset(("-" if literal < 0 else "") + texts[abs(literal) - 1] for literal in clause)
        for clause in formula.clauses
    }


def sets(clauses):
    return {frozenset(clause) for clause in clauses}


def compare(problem, sure, part, bounds=(-1, 0)):
    formula = encode(problem, sure, part)
    assert named(formula) == sets(part_clauses(problem.size, problem.depth, sure, part.edges, part.pairs))
    for most in bounds:
        terms = [f"edge {q} {k}" for q, k in part.edges for _ in range(problem.weight((q, k)))]
        assert named(limit_weight(replace(formula, clauses=[]), most)) == sets(at_most(terms, most))


def test_small_relations():
    chance = random.Random(3)
    for table in [*preorders(5, True), *preorders(4), *preorders(3)]:
        for layers in range(1, 6):
            problem = SparseProblem(table, layers, weights={edge: chance.randrange(3) for edge in pairs(table)})
            compare(problem, frozenset(), Component(tuple(pairs(table)), tuple(pairs(table))), (1, 3))
            for part in reduce(problem).components:
                compare(problem, reduce(problem).forced, part, (0, 2))


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 7, None])
def test_larger_relations(layers):
    tables = [
        random_preorder(size, density, seed)
        for seed, (size, density) in enumerate([(9, 0.2), (12, 0.2), (16, 0.1), (20, 0.1)])
    ]
    for table in [*tables, path(13), grid(3, 4), cycle(6)]:
        problem = SparseProblem(table, layers)
        found = reduce(problem)
        for part in found.components:
            compare(problem, found.forced, part, (5,))
        compare(problem, frozenset(pairs(table)[::3]), Component(tuple(pairs(table)[1::5]), tuple(pairs(table)[1::3])))


def test_forbidden_forced_and_weighted():
    for seed in range(40):
        problem = weighted(seed, 8, 1 + seed % 5, classes=bool(seed % 2))
        found = reduce(problem)
        for part in found.components:
            compare(problem, found.forced, part, (3,))


def test_layers():
    chance = random.Random(4)
    for table in [*preorders(4), *preorders(4, True), path(6), cycle(5), random_preorder(9, 0.2, 3)]:
        for layers in (1, 2, 3, 5):
            forced = frozenset(edge for edge in pairs(table) if chance.random() < 0.1)
            forbidden = frozenset(edge for edge in pairs(table) if edge not in forced and chance.random() < 0.1)
            problem = SparseProblem(table, layers, forced, forbidden, layered=True)
            allowed = [edge for edge in pairs(table) if problem.allowed[edge]]
            due = layered_clauses(problem.size, problem.depth, allowed, pairs(table), forced)
            assert named(encode_layers(problem)) == sets(due)
