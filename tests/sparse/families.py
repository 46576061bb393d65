"""Families for sparse masks: a bare relation as one task whose every node predicts, and catalogue families with all
tasks closed.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import networkx as nx
import numpy as np

from masksynth.tasks import Node, Prediction, Task, TaskFamily
from tests.sparse.relations import chain, tree


def family_of(relation):
    """One closed task with distinct inputs: its rows are one simple cycle in each class and one arc for each cover of
    the quotient.
    """
    nodes = [Node(f"w{i}", f"w{i}", i) for i in range(len(relation))]
    rows: dict[str, tuple[str, ...]] = {}
    for query, key in sorted(fewest_edges(relation)):
        rows[f"w{query}"] = (*rows.get(f"w{query}", ()), f"w{key}")
    task = Task("t", nodes, (rows,), [Prediction(f"w{i}", f"y{i}") for i in range(len(relation))], closure=True)
    return TaskFamily((task,))


def fewest_edges(relation):
    """A fewest set of edges whose closure is the relation, by networkx: cycles of the classes, transitive reduction of
    the condensation.
    """
    graph = nx.DiGraph([(int(q), int(k)) for q, k in np.argwhere(relation) if q != k])
    graph.add_nodes_from(range(len(relation)))
    condensed = nx.condensation(graph)
    members = {number: sorted(data["members"]) for number, data in condensed.nodes(data=True)}
    cycles = [
        [*((b, a) for a, b in pairwise(group)), (group[0], group[-1])] for group in members.values() if len(group) > 1
    ]
    inner = [edge for cycle in cycles for edge in cycle]
    outer = [(members[above][0], members[below][0]) for above, below in nx.transitive_reduction(condensed).edges]
    return {*inner, *outer}


def closed(instance):
    """The instance with closed tasks: a query that did not see itself does now."""
    tasks = tuple(task if task.closure else replace(task, closure=True) for task in instance.family.tasks)
    return TaskFamily(tasks)


def ordered(n, below):
    """The closure of "q sees k iff below(k, q)" and of q sees q, on n positions."""
    relation = np.array([[q == k or below(k, q) for k in range(n)] for q in range(n)])
    for middle in range(n):
        relation |= np.outer(relation[:, middle], relation[middle])
    return relation


def stack_of_classes(*sizes):
    """Classes one above the other: a position sees its own class and all lower ones."""
    level = np.repeat(np.arange(len(sizes)), sizes)
    return level[:, None] >= level[None, :]


def stack_of_antichains(*sizes):
    """A weak order: a position sees itself and all lower levels."""
    level = np.repeat(np.arange(len(sizes)), sizes)
    return (level[:, None] > level[None, :]) | np.eye(len(level), dtype=bool)


def side_by_side(*relations):
    """Relations that have nothing to do with one another."""
    n = sum(map(len, relations))
    whole, at = np.zeros((n, n), bool), 0
    for relation in relations:
        whole[at : at + len(relation), at : at + len(relation)] = relation
        at += len(relation)
    return whole


def two_chains(n):
    """Two chains of n positions, and n - 1 queries that see the i lowest of one and the n - i lowest of the other."""
    whole = side_by_side(chain(n), chain(n), np.eye(n - 1, dtype=bool))
    for i in range(1, n):
        whole[2 * n + i - 1, :i] = whole[2 * n + i - 1, n : 2 * n - i] = True
    return whole


def intervals(n):
    """All non-empty intervals of n points, by inclusion."""
    every = [(a, b) for a, b in product(range(n), repeat=2) if a <= b]
    return np.array([[a <= c and d <= b for c, d in every] for a, b in every])


def divisors(number):
    """The divisors of a number, by divisibility."""
    every = [d for d in range(1, number + 1) if number % d == 0]
    return np.array([[q % k == 0 for k in every] for q in every])


def cube_without_ends(n):
    """All subsets of n points except the empty and the full one, by inclusion."""
    every = range(1, 2**n - 1)
    return np.array([[q & k == k for k in every] for q in every])


def fence(n):
    """The zigzag 0 < 1 > 2 < 3 ..."""
    return ordered(n, lambda k, q: abs(k - q) == 1 and q % 2 == 1)


def caterpillar(n):
    """A chain of n positions, above each of them one leaf."""
    return ordered(2 * n, lambda k, q: (q < n and k == q - 1) or (q >= n and k == q - n))


def broom(n, leaves):
    """A chain of n positions with leaves above its top."""
    return ordered(n + leaves, lambda k, q: k == min(q, n) - 1)


def tree_of_classes(n, size):
    """The complete binary out-tree of n classes of equal size."""
    return np.kron(tree(n), np.ones((size, size), bool)).astype(bool)


def gap(n, least):
    """The interval order "k ends before q begins" of unit intervals: q sees k iff k <= q - least."""
    return ordered(n, lambda k, q: k <= q - least)
