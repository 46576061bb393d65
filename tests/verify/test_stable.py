"""Colour refinement on interval rows against dictionaries and counters."""

from __future__ import annotations

from random import Random

import numpy as np

from masksynth.mask import Mask
from masksynth.verify.colour_refinement import draw, first_colours, most_in_a_row, row_sums
from masksynth.verify.mask_refinement import stable
from masksynth.verify.path_numbering import components
from masksynth.verify.task_flow import family_flow
from tests.verify.naive import random_instance, task_rows
from tests.verify.naive import stable as naive_stable


def random_mask(rng: Random, size: int, tables: int, dense: float) -> np.ndarray:
    return np.array([[[rng.random() < dense for _ in range(size)] for _ in range(size)] for _ in range(tables)], bool)


def test_stable_is_the_coarsest_stable_colouring() -> None:
    """Partitions are equal on random masks: few classes, cycles, patterns, sparse and dense rows."""
    rng = Random(6)
    for _ in range(300):
        size, tables = rng.randint(1, 12), rng.randint(1, 2)
        dense = random_mask(rng, size, tables, rng.choice([0.1, 0.2, 0.5]))
        start = [rng.choice("aab") for _ in range(size)]
        found = stable(first_colours(start), Mask.from_dense(dense), draw(size, bytes([size])))
        rows = [
            {(0, str(q)): [(0, str(k)) for k in np.flatnonzero(row)] for q, row in enumerate(table)} for table in dense
        ]
        right = list(naive_stable({(0, str(q)): start[q] for q in range(size)}, rows).values())
        assert sorted(set(found.tolist())) == list(range(len(set(right))))
        assert len(set(zip(found.tolist(), right, strict=True))) == len(set(right)) == found.max() + 1


def test_long_chains_split_from_the_ends() -> None:
    """Two literal windows that differ in one token.

    The difference climbs one step a round, and only its readers are read again.
    """
    size = 3000
    rows = [[(max(at % size - 1, 0) + at // size * size, at + 1)] for at in range(2 * size)]
    start = first_colours([at % size if at else "other" for at in range(2 * size)])
    assert stable(start, Mask.from_intervals([rows]), draw(2 * size)).max() == 2 * size - 1
    same = first_colours([at % size for at in range(2 * size)])
    assert stable(same, Mask.from_intervals([rows]), draw(2 * size)).max() == size - 1


def test_row_sums_and_multiplicities_by_counting() -> None:
    rng = Random(7)
    for _ in range(200):
        size = rng.randint(1, 10)
        dense = random_mask(rng, size, 2, 0.5)
        mask, colour = Mask.from_dense(dense), np.array([rng.randint(0, 3) for _ in range(size)])
        assert (row_sums(mask, 1, colour) == dense[1] @ colour).all()
        queries = np.array([q for q in range(size) if rng.random() < 0.7], np.int64)
        most = [max([1, *(int((dense[0, q] & (colour == c)).sum()) for q in queries)]) for c in range(4)]
        for bound in (np.bincount(colour, minlength=4), np.full(4, size + 1)):
            assert most_in_a_row(mask, 0, queries, colour, np.maximum(bound, 1)).tolist() == most


def test_flow_rows_are_the_tasks_rows() -> None:
    """Closed and literal rows, and contexts, equal those found by plain search."""
    rng = Random(8)
    for _ in range(300):
        family = random_instance(rng).family
        flow = family_flow(family)
        for table, rows in enumerate(task_rows(family)):
            assert len(rows) == flow.first[-1]
            for number in range(flow.first[-1]):
                keys = {flow.find_node(int(key)) for key in flow.rows.row(number, table)}
                assert keys == set(rows[flow.find_node(number)])


def test_components_of_random_graphs() -> None:
    import networkx as nx

    rng = Random(9)
    for _ in range(200):
        size = rng.randint(1, 12)
        keys = [[k for k in range(size) if rng.random() < 0.15] for _ in range(size)]
        graph = nx.DiGraph([(q, k) for q in range(size) for k in keys[q]])
        graph.add_nodes_from(range(size))
        found = components(keys, range(size))
        assert {frozenset(group) for group in found} == {
            frozenset(group) for group in nx.strongly_connected_components(graph)
        }
        home = {member: at for at, group in enumerate(found) for member in group}
        assert all(home[k] <= home[q] for q in range(size) for k in keys[q])
