"""Forms that some cheapest structure with a mask per layer has, where reads cost, and updates of a layer do not.

- *News.* q reads k in layer l only if C_{l-1}(k) has an element that C_{l-1}(q) lacks: else the read may go.
  Demands may want a read that brings nothing new, so where there are any this form is not assumed.
- *Late.* q reads k in layer l < L only if some position reads q in layer l + 1, or k itself reads in layer l. Else the
  read may move to layer l + 1: no position sees q in between, and k has the same context then. (If q reads k in layer
  l + 1 anyway, the read in layer l may go.) Moves end, since layers of reads grow. Demands are kept: the read brings
  the same state over as many reads, and a way by it waits at k instead of q; no other way comes to k in layer l, which
  reads nothing then.

Among the cheapest structures those in which the layers of reads sum to the most have both forms; symmetries map them
onto one another, so one of them also has the greatest word (`masksynth_solvers.discover.layers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from masksynth_solvers.discover.clauses import Term, add, negate
from masksynth_solvers.discover.demands import has_demands

if TYPE_CHECKING:
    from masksynth_solvers.discover.layers import Layered


def add_forms(layered: Layered) -> None:
    """Add both forms."""
    contracts = layered.contracts
    if contracts.masks == "one" or contracts.weights.count == "layer" or not contracts.weights.pair:
        return
    reads_in: dict[tuple[int, int], list[Term]] = {}
    readers_in: dict[tuple[int, int], list[Term]] = {}
    for (layer, q, k), literal in layered.read.items():
        reads_in.setdefault((layer, q), []).append(literal)
        readers_in.setdefault((layer, k), []).append(literal)
    for (layer, q, k), literal in layered.read.items():
        if not has_demands(contracts):
            _add_news(layered, layer, q, k, literal)
        if layer < layered.depth:
            add(
                layered.formula,
                negate(literal),
                *readers_in.get((layer + 1, q), []),
                *reads_in.get((layer, k), []),
            )


def _add_news(layered: Layered, layer: int, q: int, k: int, literal: Term) -> None:
    """Add that a read brings an element."""
    held = [
        (e, layered.context.get((layer - 1, k, e), False), layered.context.get((layer - 1, q, e), False))
        for e in layered.places.elements
    ]
    if any(there is True and here is False for _, there, here in held):
        return
    news: list[Term] = []
    for e, there, here in held:
        if there is False or here is True:
            continue
        new = layered.formula.new("news", layer, q, k, e)
        add(layered.formula, -new, there)
        add(layered.formula, -new, negate(here))
        news.append(new)
    add(layered.formula, negate(literal), *news)
