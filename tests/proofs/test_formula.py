"""The formula of the checker says what is meant: its least weight is that of brute force."""

from __future__ import annotations

import random

import pytest
from pysat.examples.rc2 import RC2
from pysat.formula import WCNF
from pysat.solvers import Solver

from masksynth.verify.proof.formula import at_most, layered_clauses, part_clauses
from tests.proofs.naive import least_layered, least_weight, pairs, preorders

SMALL = [
    *(table for size in range(1, 6) for table in preorders(size, True)),
    *(table for size in range(1, 5) for table in preorders(size)),
]


def numbered(clauses):
    """Clauses of texts -> clauses of numbers, and the number of each name."""
    number = {}
    found = []
    for clause in clauses:
        found.append(
            [(-1 if text[0] == "-" else 1) * number.setdefault(text.lstrip("-"), len(number) + 1) for text in clause]
        )
    return found, number


def least(clauses, weights):
    """Least weight of true names in a model of the clauses; None if there is no model."""
    hard, number = numbered(clauses)
    if [] in hard:
        return None
    formula = WCNF()
    formula.extend(hard)
    for name, weight in weights.items():
        if name in number and weight:
            formula.append([-number[name]], weight=weight)
    with RC2(formula) as solver:
        return None if solver.compute() is None else solver.cost


def cases():
    """Every small relation at every depth: as it is, and with random sure edges, forbidden edges and weights."""
    chance = random.Random(5)
    for table in SMALL:
        for layers in range(1, 5):
            yield table, layers, [], pairs(table), {}
            allowed = [edge for edge in pairs(table) if chance.random() < 0.9]
            have = [edge for edge in allowed if chance.random() < 0.25]
            yield (
                table,
                layers,
                have,
                [edge for edge in allowed if edge not in have],
                {edge: chance.randrange(4) for edge in allowed},
            )


def test_counts_of_small_relations():
    assert [len(preorders(size, True)) for size in range(1, 6)] == [1, 2, 5, 16, 63]
    assert [len(preorders(size)) for size in range(1, 5)] == [1, 3, 9, 33]


def test_least_weight_of_a_part_is_that_of_brute_force():
    for table, layers, have, edges, weights in cases():
        demands = pairs(table)
        clauses = list(part_clauses(len(table), layers, have, edges, demands))
        names = {f"edge {q} {k}": weights.get((q, k), 1) for q, k in edges}
        assert least(clauses, names) == least_weight(table, layers, edges, weights, have), (
            table,
            layers,
            have,
            weights,
        )


def test_at_most_is_met_from_the_least_weight_on():
    for number, (table, layers, have, edges, weights) in enumerate(cases()):
        best = least_weight(table, layers, edges, weights, have)
        if number % 4 or best is None:
            continue
        clauses = list(part_clauses(len(table), layers, have, edges, pairs(table)))
        terms = [f"edge {q} {k}" for q, k in edges for _ in range(weights.get((q, k), 1))]
        for most in (-1, best - 1, best, best + 1):
            hard, _ = numbered([*clauses, *at_most(terms, most)])
            with Solver("cadical195", bootstrap_with=[clause for clause in hard if clause]) as solver:
                assert ([] not in hard and solver.solve()) == (most >= best)


@pytest.mark.parametrize(
    ("tables", "layers"),
    [(preorders(3), 1), (preorders(3), 2), (preorders(3), 3), (preorders(4, True), 2), (preorders(4, True)[:9], 3)],
)
def test_least_weight_of_layers_is_that_of_brute_force(tables, layers):
    chance = random.Random(7)
    for table in tables:
        for plain in (True, False):
            edges = [edge for edge in pairs(table) if plain or chance.random() < 0.9]
            weights = {} if plain else {edge: chance.randrange(4) for edge in edges}
            forced = [] if plain else [edge for edge in edges if chance.random() < 0.2]
            clauses = list(layered_clauses(len(table), layers, edges, pairs(table), forced))
            names = {
                f"edge {layer} {q} {k}": weights.get((q, k), 1) for layer in range(1, layers + 1) for q, k in edges
            }
            assert least(clauses, names) == least_layered(table, layers, edges, weights, forced)
