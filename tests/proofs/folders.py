"""Proof folders of problems with known optima, and what a folder claims, read without the checker."""

from __future__ import annotations

import json

import numpy as np

from masksynth.backends import Limits
from masksynth.sparse import SparseProblem
from masksynth.sparse.engines import sparse_search
from masksynth_solvers.sparse.write_sparse_proof import write_proof
from tests.proofs.naive import cycle, grid, path, random_preorder

KNOWN = {
    "path-7": (SparseProblem(path(7), 2), 10),
    "path-9": (SparseProblem(path(9), 2), 16),
    "path-9-layers-3": (SparseProblem(path(9), 3), 12),
    "path-9-layers-4": (SparseProblem(path(9), 4), 10),
    "path-12": (SparseProblem(path(12), 2), 25),
    "path-12-layers-3": (SparseProblem(path(12), 3), 18),
    "path-12-layers-4": (SparseProblem(path(12), 4), 16),
    "path-5-layer-1": (SparseProblem(path(5), 1), 10),
    "cube-3": (SparseProblem(grid(2, 2, 2), 2), 13),
    "grid-3-3": (SparseProblem(grid(3, 3), 2), 14),
    "grid-3-3-layers-3": (SparseProblem(grid(3, 3), 3), 13),
    "grid-2-6": (SparseProblem(grid(2, 6), 2), 24),
    "grid-3-5": (SparseProblem(grid(3, 5), 2), 33),
    "grid-2-2-3": (SparseProblem(grid(2, 2, 3), 2), 23),
    "class-3": (SparseProblem(cycle(3), 2), 3),
    "class-5": (SparseProblem(cycle(5), 2), 8),
    "class-5-layers-3": (SparseProblem(cycle(5), 3), 7),
    "class-5-layers-4": (SparseProblem(cycle(5), 4), 5),
    "class-4-any": (SparseProblem(cycle(4)), 4),
    "one": (SparseProblem(path(1)), 0),
    "one-layered": (SparseProblem(path(1), 1, layered=True), 0),
}
"""Name -> problem and least weight, as published or counted by hand."""


def weighted(seed, size=7, layers=2, classes=False, density=0.5):
    """A random problem with weights from -1 to 3, forbidden edges and forced ones."""
    relation = random_preorder(size, density, seed, classes)
    chance = np.random.default_rng(seed)
    edges = [(int(q), int(k)) for q, k in np.argwhere(relation) if q != k]
    near = {
        (q, k) for q, k in edges if not any(relation[q, w] and relation[w, k] for w in range(size) if w not in (q, k))
    }
    forbidden = {edge for edge in edges if edge not in near and chance.random() < 0.15}
    forced = {edge for edge in edges if edge not in forbidden and chance.random() < 0.1}
    weights = {edge: int(chance.integers(-1, 4)) for edge in edges if chance.random() < 0.5}
    return SparseProblem(relation, layers, frozenset(forced), frozenset(forbidden), weights)


def solved(problem, engine="sat"):
    """(reduction, bounds, mask) of a problem, by one engine; None if there is no solution."""
    outcome = sparse_search(problem, [engine], Limits(60))
    if outcome.reduction.unreachable is not None:
        return None
    mask = np.zeros((problem.layers if problem.layered else 1, problem.size, problem.size), bool)
    for edge in outcome.reduction.forced | outcome.reduction.chosen:
        mask[(0, *edge)] = True
    for standing in outcome.standings:
        for *layer, query, key in standing.chosen:
            mask[layer[0] - 1 if layer else 0, query, key] = True
    mask[:] |= np.eye(problem.size, dtype=bool)
    return outcome.reduction, [standing.lower for standing in outcome.standings], mask if problem.layered else mask[0]


def written(problem, folder, engine="sat"):
    """The proof folder of a problem; None if it has no solution."""
    found = solved(problem, engine)
    return None if found is None else write_proof(folder, problem, *found, Limits(60))


def claims(folder):
    """(problem, mask, value, bound) that a folder speaks of."""
    said = json.loads((folder / "problem.json").read_text())
    problem = SparseProblem(
        np.load(folder / "relation.npy"),
        said["layers"],
        frozenset(map(tuple, said["forced"])),
        frozenset(map(tuple, said["forbidden"])),
        {(q, k): weight for q, k, weight in said["weights"]},
        said["layered"],
    )
    return problem, np.load(folder / "mask.npy"), said["value"], said["bound"]


def true_claims(folder, engine="maxsat"):
    """Whether the mask is a solution of the value claimed, and the optimum is not below the bound claimed.

    By another engine.
    """
    problem, mask, value, bound = claims(folder)
    off = ~np.eye(problem.size, dtype=bool)
    seen = np.eye(problem.size, dtype=bool)
    for layer in mask if problem.layered else [mask] * problem.depth:
        seen = seen | (layer.astype(int) @ seen.astype(int) > 0)
    edges = [(int(q), int(k)) for *_, q, k in np.argwhere(mask & off)]
    fits = all(problem.allowed[edge] for edge in edges) and all(mask[(..., *edge)].all() for edge in problem.forced)
    *_, best = solved(problem, engine)
    least = problem.cost((int(q), int(k)) for *_, q, k in np.argwhere(best & off))
    return bool(fits and np.array_equal(seen, problem.relation) and problem.cost(edges) == value and bound <= least)
