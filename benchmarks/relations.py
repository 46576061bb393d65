"""List the cases of the sparse benchmark: families with tabulated optima, then other instances of the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.merge import merge_family
from masksynth.posets import Relation, closure
from tests.sparse.make_instances import RECIPES, instance_for, lines, parted
from tests.sparse.relations import chain, grid, one_class, random_poset, tree

Optima = tuple[int | None, ...]
CHAINS: dict[int, Optima] = {
    2: (2, 6, 10, 16, 22, 28, 34, 42, 50, 58, None, None),
    3: (2, 5, 8, 12, 16, 20, 24, 29, 33, 38, 43, None),
    4: (2, 4, 7, 10, 14, 17, 21, 24, 28, 32, 36, 40),
    5: (2, 4, 7, 9, 12, 15, 18, 21, 25, 28, 31, 35),
    6: (2, 4, 6, 9, 12, 14, 17, 20, 23, 26, 29, 32),
}
"""L to the optima of the chains of 3, 5, ..., 25."""
NAMED: dict[str, dict[str, tuple[Relation, Optima]]] = {
    "grids, cubes": {
        "cube 2^3": (grid(2, 2, 2), (13, 12, 12)),
        "grid 2x4": (grid(2, 4), (13, 11, 10)),
        "grid 2x6": (grid(2, 6), (24, 19, 18)),
        "grid 3x3": (grid(3, 3), (14, 13, 12)),
        "grid 3x5": (grid(3, 5), (33, 26, 24)),
        "grid 4x5": (grid(4, 5), (51, 39, 34)),
        "grid 2x2x3": (grid(2, 2, 3), (23, 21, 20)),
        "cube 2^4": (grid(2, 2, 2, 2), (None, None, None)),
        "cube 2^5": (grid(2, 2, 2, 2, 2), (None, None, None)),
    },
    "trees": {"tree 15": (tree(15), (18, 14, 14)), "tree 63": (tree(63), (110, 78, 66))},
    "classes": {
        "class of 3": (one_class(3), (3, 3, 3)),
        "class of 5": (one_class(5), (8, 7, 5)),
        "class of 7": (one_class(7), (12, 11, 9)),
    },
}
"""Family to name to (relation, optima at L = 2, 3, 4)."""
RANDOM: dict[tuple[int, float], Optima] = {
    (20, 0.2): (23, 21, 21),
    (30, 0.2): (49, 45, 44),
    (40, 0.2): (73, 60, 55),
    (60, 0.2): (135, 102, None),
    (100, 0.2): (None, 240, 216),
    (20, 0.5): (42, 35, 33),
    (30, 0.5): (66, 53, 48),
    (40, 0.5): (119, 88, 78),
    (20, 0.8): (51, 38, None),
    (30, 0.8): (None, None, None),
}
"""(positions, density) to the optima at L = 2, 3, 4; seed 1."""


@dataclass(frozen=True, eq=False)
class Case:
    """A relation and a depth, and the optimum where it is known."""

    family: str
    name: str
    relation: Relation
    layers: int
    optimum: int | None

    @property
    def title(self) -> str:
        """Return name and depth."""
        return f"{self.name}, L = {self.layers}"

    @property
    def question(self) -> tuple[int, bytes]:
        """Return depth and relation as a key."""
        return self.layers, self.relation.tobytes()


def suite(max_size: int) -> list[Case]:
    """Return all cases of at most ``max_size`` positions; the chains of each depth in growing sizes.

    An optimum missing from the tables is taken from the manifest; unlimited depth needs no search and is left out.
    """
    listed = {case.question: case for case in map(_instance, lines()) if case.layers}
    tables = [
        replace(case, optimum=listed.pop(case.question, case).optimum) if case.optimum is None else case
        for case in (*_chains(), *_named(), *_random())
    ]
    tabulated = {case.question for case in tables}
    others = [case for case in listed.values() if case.question not in tabulated]
    return [case for case in (*tables, *others) if len(case.relation) <= max_size]


def _instance(line: dict[str, Any]) -> Case:
    """Return the case of a line of the manifest."""
    name = Path(line["file"]).stem
    recipe, numbers, layers = parted(name)
    pattern = RECIPES[recipe](*numbers) if recipe in RECIPES else merge_family(instance_for(line).family).mask.dense()
    relation = closure(pattern) | np.eye(len(pattern), dtype=bool)
    optimum = line["edges"] if line["status"] == "OPTIMAL" else None
    return Case("instances", name.removesuffix(f"-layers-{layers}"), relation, layers or 0, optimum)


def _chains() -> Iterator[Case]:
    for layers, optima in CHAINS.items():
        for place, optimum in enumerate(optima):
            size = 3 + 2 * place
            yield Case(f"chains L = {layers}", f"chain {size}", chain(size), layers, optimum)


def _named() -> Iterator[Case]:
    for family, members in NAMED.items():
        for name, (relation, optima) in members.items():
            for layers, optimum in zip((2, 3, 4), optima, strict=True):
                yield Case(family, name, relation, layers, optimum)


def _random() -> Iterator[Case]:
    for (size, density), optima in RANDOM.items():
        relation = random_poset(size, density, 1)
        for layers, optimum in zip((2, 3, 4), optima, strict=True):
            yield Case(f"random {density}", f"random {size}:{density}:1", relation, layers, optimum)
