"""Which of many alike structures with hubs is kept: items 4 to 6 of `masksynth_solvers.discover.hubs`."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

from masksynth.mask.typing import BoolArray
from masksynth_solvers.discover.clauses import Term, add, demand_greatest
from masksynth_solvers.discover.contract_symmetries import element_classes, find_swaps
from masksynth_solvers.discover.rows import order_neighbours, order_sources

if TYPE_CHECKING:
    from masksynth_solvers.discover.hubs import Hubs


def readable_blanks(model: Hubs) -> list[int]:
    """Return the blanks whose context some other target may have."""
    need, hide = model.places.need, model.places.hide
    return [
        q
        for t, q in enumerate(model.blanks)
        if any(not (need[t] & row).any() for other, row in enumerate(hide) if other != t)
        or model.place.get((t, q)) is not True
    ]


def add_uses(model: Hubs) -> None:
    """Add items 3, 4 and 5: who reads a hub, and how often an element is embedded."""
    formula = model.formula
    for q in range(model.hubs):
        here = [literal for (_, node), literal in model.place.items() if node == q]
        readers = [literal for (_, key), literal in model.read.items() if key == q]
        add(formula, *readers, *here)
        if q < model.raw:
            continue
        formula.add([model.read[q, k] for k in range(model.hubs + len(model.blanks)) if (q, k) in model.read])
        for index in range(len(readers)):
            add(formula, *readers[:index], *readers[index + 1 :], *here)
    for e in separate_elements(model.places.need, model.places.hide):
        is_raw = [model.embed[q, e] for q in range(model.raw)]
        inner = [model.embed[q, e] for q in range(model.raw, model.hubs)]
        for index in range(len(inner)):
            formula.add([*is_raw, *inner[:index], *inner[index + 1 :]])


def separate_elements(need: BoolArray, hide: BoolArray) -> list[int]:
    """Return the needed elements e such that each other needed element is hidden by some target that needs e.

    Examples
    --------
    >>> separate_elements(~np.eye(3, dtype=bool), np.eye(3, dtype=bool))
    [0, 1, 2]
    """
    needed = np.flatnonzero(need.any(axis=0))
    return [int(e) for e in needed if all(hide[need[:, e]][:, f].any() for f in needed if f != e)]


def break_symmetries(model: Hubs) -> None:
    """Demand item 6."""
    formula = model.formula
    if not readable_blanks(model):
        rows: list[list[Term]] = [[model.read[g, k] for k in range(g)] for g in range(model.raw, model.hubs)]
        order_neighbours(formula, rows, model.raw)
        if len(classes := element_classes(model.contracts)) == 1 and len(classes[0]) == len(model.places.tokens):
            for e, f in combinations(range(model.raw), 2):
                order_sources(formula, rows, e, f)
    for alike in element_classes(model.contracts):
        for e, f in pairwise(alike):
            if (0, e) in model.embed and (0, f) in model.embed:
                _order_names(model, e, f)
    for swap in find_swaps(model.contracts):  # targets with equal contracts
        moved = [t for t, image in enumerate(swap.target) if image != t]
        if swap.element == tuple(range(len(swap.element))) and not readable_blanks(model):
            a, b = (model.hubs + t for t in moved)
            pairs: list[tuple[Term, Term]] = [
                (model.read[a, k], model.read[b, k]) for k in range(model.hubs) if (a, k) in model.read
            ]
            demand_greatest(formula, pairs, "alike", a, b)


def _order_names(model: Hubs, e: int, f: int) -> None:
    """Demand of two neighbours in a class: f has a raw hub only if e has; else f first appears only after e."""
    formula = model.formula
    raw_e = [model.embed[q, e] for q in range(model.raw)]
    for q in range(model.raw):
        formula.add([-model.embed[q, f], *raw_e])
    raw_f = [model.embed[q, f] for q in range(model.raw)]
    for q in range(model.raw, model.hubs):
        earlier = [model.embed[g, e] for g in range(model.raw, q)]
        formula.add([-model.embed[q, f], *raw_f, *raw_e, *earlier])
