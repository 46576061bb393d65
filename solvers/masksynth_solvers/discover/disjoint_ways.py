"""Ways from different needed elements to a target that share no state, as clauses.

Vertices are the states (k, l), l = 0, .., L; arcs are reads (k, l - 1) -> (q, l) and what stays, (k, l - 1) -> (k, l).
For target t at q all states of q are one sink, from which no arc leaves. Variables: ``way t q l r k``, an arc that is
used, only if r reads k in layer l; ``start t q k e``, a way from e begins at (k, 0), only if k embeds e.

Clauses: an arc is used only if a way comes to its tail, by an arc or a start; of the arcs that leave a state at most
one is used; of the starts of an element at most one; arcs into the sink, and starts at it, number w or more. From each
of these w one can go back to a start, and two of them never come to the same state, since one arc leaves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from masksynth_solvers.discover.clauses import Term, add, at_least, at_most_one, negate

if TYPE_CHECKING:
    from masksynth_solvers.discover.layers import Layered

State = tuple[int, int]


def add_ways(layered: Layered, target: int, sink: int, number: int) -> None:
    """Add that this many disjoint ways lead to a target, if it is predicted at ``sink``."""
    formula, context, depth = layered.formula, layered.context, layered.depth
    arriving: list[Term] = []
    into: dict[State, list[Term]] = {}
    out_of: dict[State, list[int]] = {}
    for e in np.flatnonzero(layered.places.need[target]).tolist():
        starts = []
        for k in range(layered.places.size):
            if (embeds := context.get((0, k, e), False)) is not False:
                starts.append(formula.new("start", target, sink, k, e))
                add(formula, -starts[-1], embeds)
                (arriving if k == sink else into.setdefault((k, 0), [])).append(starts[-1])
        at_most_one(formula, starts)
    reads = [(layer, q, k, read) for (layer, q, k), read in layered.read.items() if k != sink]
    stays = [(layer, k, k, True) for layer in range(1, depth) for k in range(layered.places.size) if k != sink]
    for layer, q, k, read in [*reads, *stays]:
        arc = formula.new("way", target, sink, layer, q, k)
        add(formula, -arc, read)
        out_of.setdefault((k, layer - 1), []).append(arc)
        (arriving if q == sink else into.setdefault((q, layer), [])).append(arc)
    for state, arcs in out_of.items():
        at_most_one(formula, arcs)
        for arc in arcs:
            add(formula, -arc, *into.get(state, []))
    at_least(formula, arriving, number, negate(layered.place[target, sink]), "ways", target, sink)
