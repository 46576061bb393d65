"""The most mixed reads of structures with a mask per layer, at a given number of positions, as a formula.

The formula is that of structures with as many further positions (`masksynth_solvers.discover.layers`), without any
form. A read is counted only if it is chosen, what is read holds two elements, one of which the reader lacks, and some
target depends on the reader after the layer; each read that may be counted and is not costs 1.

Fewer positions are not better: a further one may embed an element that some query reads, and be read with it.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

from masksynth.backends import Limits
from masksynth.contracts import Contracts, Weights
from masksynth.discover.exact_backends import Outcome
from masksynth.errors import Unsupported
from masksynth_solvers.discover.cheapest_model import Effort, by_cpsat
from masksynth_solvers.discover.clauses import MISSED, Term, add, at_least, choose, negate
from masksynth_solvers.discover.layers import Layered, encode_layers
from masksynth_solvers.discover.places import lay_out


def find_most_mixed(contracts: Contracts, positions: int, limits: Limits) -> Outcome:
    """Return the structure with the most mixed reads, and a bound on them, by CP-SAT.

    Parameters
    ----------
    contracts : Contracts
    positions : int
        Largest number of positions.
    limits : Limits

    Returns
    -------
    Outcome
        Its bound is an upper one.

    Raises
    ------
    Unsupported
        Unless masks are layered, all targets are queries and all elements needed, and the formula is small.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> outcome = find_most_mixed(leave_one_out(n=3, layers=2), 6, Limits(60))
    >>> outcome.bound, outcome.finished
    (3.0, True)
    """
    places = lay_out(contracts)
    is_query = all(target.place == "query" for target in contracts.targets)
    if contracts.masks == "one" or not is_query or len(places.tokens) < contracts.elements.count:
        raise Unsupported("most mixed reads are proved for queries that need all elements, and a mask per layer")
    extra = positions - sum(places.paid)
    if extra < 0 or not places.need.any():
        raise Unsupported(f"{positions} positions are too few")
    layered = encode_layers(replace(contracts, weights=Weights(0, 0, 0, "structure")), extra, symmetries=False)
    candidates = _count_reads(layered)
    found = by_cpsat(layered.formula, None, Effort(limits.seconds, 1, limits.seed))
    structure = None if found.chosen is None else layered.structure(set(found.chosen), "cpsat")
    return Outcome(
        structure, float(candidates - min(found.bound, candidates)), found.finished, f"CP-SAT {version('ortools')}"
    )


def _count_reads(layered: Layered) -> int:
    """Add a price of 1 for each read that may be counted and is not; return how many may be."""
    formula, context, elements = layered.formula, layered.context, layered.places.elements
    live = _add_live(layered)
    several: dict[tuple[int, int], Term] = {}
    for layer in range(1, layered.depth):
        for k in range(layered.places.size):
            several[layer, k] = formula.new("several", layer, k)
            at_least(
                formula, [context.get((layer, k, e), False) for e in elements], 2, -several[layer, k], "two", layer, k
            )
    candidates = [(layer, q, k, read) for (layer, q, k), read in layered.read.items() if layer > 1]
    for layer, q, k, read in candidates:
        news: list[Term] = []
        for e in elements:
            there, here = context.get((layer - 1, k, e), False), context.get((layer - 1, q, e), False)
            if there is not False and here is not True:
                news.append(formula.new("gains", layer, q, k, e))
                add(formula, negate(news[-1]), there)
                add(formula, negate(news[-1]), negate(here))
        missed = choose(formula, MISSED, layer, q, k, price=1)
        for term in (read, several[layer - 1, k], live.get((layer, q), False)):
            add(formula, missed, term)
        add(formula, missed, *news)
    return len(candidates)


def _add_live(layered: Layered) -> dict[tuple[int, int], Term]:
    """Return terms that imply that some target depends on a position after a layer."""
    formula = layered.formula
    live: dict[tuple[int, int], Term] = {(layered.depth, q): True for _, q in layered.place}
    for layer in range(layered.depth - 1, 0, -1):
        for q in range(layered.places.size):
            term = live[layer, q] = formula.new("depends", layer, q)
            ways: list[Term] = [live.get((layer + 1, q), False)]
            for r in range(layered.places.size):
                later, read = live.get((layer + 1, r), False), layered.read.get((layer + 1, r, q), False)
                if later is not False and read is not False:
                    way = formula.new("passes", layer, r, q)
                    add(formula, -way, later)
                    add(formula, -way, read)
                    ways.append(way)
            add(formula, -term, *ways)
    return live
