"""Backends against the specification, brute force, on seeded tiny families; a failing case prints as JSON."""

from __future__ import annotations

import json
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest

from masksynth.backends import Limits, Outcome, Status, backend
from masksynth.errors import Unsupported
from masksynth.merge import merge_classes, merge_family
from masksynth.posets import is_preorder
from masksynth.problem import Problem
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import dumps
from masksynth_solvers.brute import cost, is_coincidence
from tests.random_families import random_family

SEARCHES = ("cpsat", "maxsat", "ilp")


@cache
def solved_by_brute(seed: int) -> Outcome:
    """The specification's answer for a random family."""
    return backend("brute").solve(Problem(random_family(seed)), Limits())


def as_instance(family: TaskFamily, layers: int | None = None) -> str:
    """The failing case, ready for ``instances/``."""
    return dumps(Instance(family, "disagreement", layers=layers))


def test_criterion_agrees_with_brute_on_thousands_of_tiny_families() -> None:
    tried = smaller = 0
    for seed in range(3000):
        family = random_family(seed)
        try:
            truth = solved_by_brute(seed)
        except Unsupported:
            continue
        merged = merge_family(family)
        assert truth.status is Status.OPTIMAL
        assert len(merged.positions) == truth.bound, as_instance(family)
        tried += 1
        smaller += truth.bound < len(Problem(family).nodes.name)
    assert tried > 2500
    assert smaller > 500


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_agree_with_brute_in_status_optimum_and_relation(name: str) -> None:
    for seed in range(500):
        family = random_family(seed)
        problem = Problem(family)
        found = backend(name).solve(problem, Limits())
        truth = solved_by_brute(seed)
        assert found.status is truth.status, as_instance(family)
        assert isinstance(found.found, tuple)
        assert is_coincidence(found.found, problem.nodes), as_instance(family)
        assert found.bound == truth.bound == cost(found.found, problem.nodes), as_instance(family)
        assert len(merge_classes(family, found.found).positions) == truth.bound, as_instance(family)


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_agree_with_the_criterion_on_larger_families(name: str) -> None:
    for seed in range(10_000, 10_060):
        family = random_family(seed, tasks=5, most=9)
        found = backend(name).solve(Problem(family), Limits())
        assert found.status is Status.OPTIMAL
        assert found.bound == len(merge_family(family).positions), as_instance(family)


def test_finite_layers_agree_with_exhaustive_search() -> None:
    tried = saved = 0
    for seed in range(700):
        family = random_family(seed, tasks=2, most=2 if seed % 3 else 3)
        for layers in (1, 2, 3):
            merged = merge_family(family, layers)
            if len(merged.positions) ** 2 * family.tables > 14:
                continue
            try:
                truth = backend("brute").solve(Problem(family, layers), Limits())
            except Unsupported:
                continue
            assert len(merged.positions) == truth.bound, as_instance(family, layers)
            tried += 1
            saved += truth.bound < len(merge_family(family).positions)
    assert tried > 1000
    assert saved > 20


def labelled_posets(most: int) -> list[np.ndarray]:
    """All reflexive orders on 1 .. ``most`` labelled elements: 1, 3, 19, 219 of them."""
    found = []
    for n in range(1, most + 1):
        off = [(q, k) for q in range(n) for k in range(n) if q != k]
        for bits in product((False, True), repeat=len(off)):
            order = np.eye(n, dtype=bool)
            for (q, k), bit in zip(off, bits, strict=True):
                order[q, k] = bit
            if not (order & order.T & ~np.eye(n, dtype=bool)).any() and is_preorder(order):
                found.append(order)
    return found


def poset_task(order: np.ndarray, name: str) -> Task:
    """The dense task of an order in which every element predicts; element i is input i at position i."""
    nodes = [Node(str(i), i, i) for i in range(len(order))]
    rows = {str(q): tuple(str(k) for k in np.flatnonzero(order[q])) for q in range(len(order))}
    return Task(name, nodes, rows, [Prediction(str(i), i) for i in range(len(order))], True)


def ideal(order: np.ndarray, top: int) -> tuple[int, tuple[int, ...], bytes]:
    """An element with its principal ideal as an order."""
    below = np.flatnonzero(order[top])
    return top, tuple(below), order[np.ix_(below, below)].tobytes()


TURNS = {n: list(permutations(range(n))) for n in range(1, 5)}


@cache
def renamed(order: bytes, n: int) -> dict[tuple[int, ...], bytes]:
    """An order on n elements under every renaming of its elements."""
    array = np.frombuffer(order, bool).reshape(n, n)
    return {turn: array[np.ix_(turn, turn)].tobytes() for turn in TURNS[n]}


def key(one: np.ndarray, two: np.ndarray) -> bytes:
    """Equal for pairs that differ only in the names of the elements, or in the order of the two."""
    (small, large) = sorted((one, two), key=len)
    few = len(small)
    of_small, of_large = renamed(small.tobytes(), few), renamed(large.tobytes(), len(large))
    return min(
        b"|".join(sorted((of_small[turn[:few]], form)))
        for turn, form in of_large.items()
        if all(name < few for name in turn[:few])
    )


@pytest.mark.slow
def test_all_pairs_of_labelled_posets_up_to_4_elements() -> None:
    """Every pair up to renaming by the criterion, brute force and one of the searches, by turns.

    The optimum counts distinct (element, principal ideal), as in arXiv 2606.09951.
    """
    posets = labelled_posets(4)
    seen: dict[bytes, int] = {}
    for place, one in enumerate(posets):
        for two in posets[place:]:
            form = key(one, two)
            seen[form] = seen.get(form, 0) + 1
            if seen[form] > 1 and seen[form] % 40:
                continue
            family = TaskFamily((poset_task(one, "one"), poset_task(two, "two")))
            least = len({ideal(order, q) for order in (one, two) for q in range(len(order))})
            assert len(merge_family(family).positions) == least, as_instance(family)
            if seen[form] == 1:
                problem = Problem(family)
                for name in ("brute", SEARCHES[len(seen) % len(SEARCHES)]):
                    assert backend(name).solve(problem, Limits()).bound == least, as_instance(family)
    assert sum(seen.values()) == 242 * 243 // 2
    assert len(seen) > 1000


def test_searches_refuse_finite_layers_and_never_fall_back() -> None:
    for name in SEARCHES:
        with pytest.raises(Unsupported, match="do not support --layers"):
            backend(name).solve(Problem(random_family(1), 2), Limits())
    with pytest.raises(Unsupported, match="unknown backend 'magic'"):
        backend("magic")


@pytest.mark.parametrize("name", SEARCHES)
def test_a_time_out_gives_all_apart_or_better_with_a_proved_bound(name: str) -> None:
    family = random_family(77, tasks=14, most=9)
    best = len(merge_family(family).positions)
    outcome = backend(name).solve(Problem(family), Limits(seconds=0))
    assert outcome.status in (Status.FEASIBLE, Status.OPTIMAL)
    assert isinstance(outcome.found, tuple)
    assert is_coincidence(outcome.found, Problem(family).nodes)
    assert outcome.bound <= best <= cost(outcome.found, Problem(family).nodes)


def test_a_disagreement_prints_as_an_instance() -> None:
    assert json.loads(as_instance(random_family(3)))["masksynth"] == 1
