r"""Least number of reads at any depth and with any positions: circuits of OR gates.

Take a structure for contracts, one mask or a mask per layer. Whenever a position takes in the context of another one,
its new context is the union of two contexts that were there before: an OR gate; except for the first read of a blank,
which copies one. Blanks that predict a target with a need read at least once, so

    reads >= gates + (number of blanks that every structure has for targets with a need),

where gates is the least number of unions of two sets that lead from the sets {e} to a set T_t for each target t with
need(t) in T_t and hide(t) disjoint from it. (One mask that is safe at any depth has the contexts of its closure; it can
be taken as acyclic, see `masksynth_solvers.discover.hubs`, and a node that embeds an element and reads r nodes is r
gates; a blank one r - 1.)

Variables: ``gate g k``: gate g reads node k (the elements, then the gates before g); ``holds g e``; ``out t k``.

What is left out, without loss, since smaller numbers of gates are refuted before: unread gates; gates one of whose
inputs holds the other; orders and namings (`masksynth_solvers.discover.rows`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from time import monotonic

import numpy as np

from masksynth.contracts import Contracts
from masksynth_solvers.discover.cheapest_model import ENGINES, Effort
from masksynth_solvers.discover.clauses import GATE, Term, add, both, choose, negate
from masksynth_solvers.discover.contract_symmetries import element_classes
from masksynth_solvers.discover.places import contract_rows, lay_out
from masksynth_solvers.discover.rows import order_neighbours, order_sources
from masksynth_solvers.sparse.path_encoding import Formula


def encode_gates(contracts: Contracts, gates: int) -> Formula:
    """Return a formula of circuits with exactly this many gates, none of them superfluous.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth_solvers.discover.cheapest_model import has_model
    >>> [has_model(encode_gates(leave_one_out(n=4), gates)) for gates in (5, 6)]
    [False, True]
    """
    need, hide = contract_rows(contracts)
    elements = np.flatnonzero(need.any(axis=0)).tolist()
    formula = Formula()
    sources = len(elements)
    holds: dict[tuple[int, int], Term] = {(i, j): i == j for i in range(sources) for j in range(sources)}
    rows: list[list[Term]] = []
    for g in range(gates):
        row = [choose(formula, GATE, g, k) for k in range(sources + g)]
        rows.append([*row])
        _add_two_inputs(formula, row)
        _add_union(formula, g, row, holds, sources)
    users = _add_outputs(formula, need[:, elements], hide[:, elements], holds, gates)
    for g in range(gates):
        node = sources + g
        add(formula, *[row[node] for row in rows[g + 1 :]], *users.get(node, []))
    order_neighbours(formula, rows, sources)
    column = {element: index for index, element in enumerate(elements)}
    for alike in element_classes(contracts):
        for e, f in combinations([column[e] for e in alike if e in column], 2):
            order_sources(formula, rows, e, f)
    return formula


def _add_two_inputs(formula: Formula, row: list[int]) -> None:
    """Add that a gate has exactly two inputs."""
    for k in range(len(row)):
        add(formula, *row[:k], *row[k + 1 :])
    for three in combinations(row, 3):
        formula.add([-literal for literal in three])


def _add_union(formula: Formula, g: int, row: list[int], holds: dict[tuple[int, int], Term], sources: int) -> None:
    """Add what a gate holds: what one of its inputs does; and that each input holds something the other does not."""
    node = sources + g
    for e in range(sources):
        terms = [both(formula, row[k], holds[k, e], "via", g, k, e) for k in range(node)]
        here = holds[node, e] = formula.new("holds", g, e)
        for term in terms:
            add(formula, negate(term), here)
        add(formula, -here, *terms)
    for k in range(sources, node):  # a gate beside its input: something new to it must come
        gains = []
        for e in range(sources):
            gain = formula.new("gain", g, k, e)
            add(formula, -gain, holds[node, e])
            add(formula, -gain, negate(holds[k, e]))
            gains.append(gain)
        formula.add([-row[k], *gains])


def _add_outputs(
    formula: Formula, need: np.ndarray, hide: np.ndarray, holds: dict[tuple[int, int], Term], gates: int
) -> dict[int, list[int]]:
    """Add a node for each target that holds its need and nothing hidden; return the choices of each node."""
    sources = need.shape[1]
    users: dict[int, list[int]] = {}
    for t in range(len(need)):
        if not need[t].any():
            continue
        options = []
        for node in range(sources + gates):
            if any(holds[node, e] is False for e in np.flatnonzero(need[t]).tolist()):
                continue
            if any(holds[node, e] is True for e in np.flatnonzero(hide[t]).tolist()):
                continue
            out = formula.new("out", t, node)
            options.append(out)
            users.setdefault(node, []).append(out)
            for e in np.flatnonzero(need[t]).tolist():
                add(formula, -out, holds[node, e])
            for e in np.flatnonzero(hide[t]).tolist():
                add(formula, -out, negate(holds[node, e]))
        formula.add(options)
    return users


MOST_ELEMENTS = 64
"""Maximum number of needed elements for which gates are counted."""


@dataclass(frozen=True)
class GateBound:
    """A proved number of gates.

    Parameters
    ----------
    gates : int
        Every circuit has at least this many.
    reads : int
        Every structure has at least this many reads.
    exact : bool
        Whether a circuit with this many gates was found.
    seconds : tuple of float
        Time of the job of each smaller number of gates, and of this one if it was finished.
    """

    gates: int
    reads: int
    exact: bool
    seconds: tuple[float, ...]


def bound_reads(contracts: Contracts, effort: Effort, engine: str = "sat") -> GateBound:
    """Refute one number of gates after another, until a circuit is found or the time is over.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> bound = bound_reads(leave_one_out(n=4), Effort())
    >>> bound.gates, bound.reads, bound.exact
    (6, 10, True)
    """
    places = lay_out(contracts)
    copies = sum(places.paid[blank] and bool(row.any()) for blank, row in zip(places.blank, places.need, strict=True))
    until = None if effort.seconds is None else monotonic() + effort.seconds
    gates, spent = 0, list[float]()
    while len(places.tokens) <= MOST_ELEMENTS:
        left = None if until is None else until - monotonic()
        if left is not None and left <= 0:
            break
        started = monotonic()
        found = ENGINES[engine](encode_gates(contracts, gates), 0, Effort(left, effort.workers, effort.seed), ((), 0))
        if not found.finished:
            break
        spent.append(monotonic() - started)
        if found.chosen is not None:
            return GateBound(gates, gates + copies, True, tuple(spent))
        gates += 1
    return GateBound(gates, gates + copies, False, tuple(spent))
