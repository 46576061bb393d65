r"""Structures with one mask that is safe at any depth, as a formula: hubs in an order that respects reads.

Nodes are *hubs*, h of them, and the blanks of targets. Write S(q) for the closure of q, all elements that reach it.
What is assumed, each step without loss, where a position that is only read costs no more than one that is updated:

1. *Acyclic.* Let m >= 2 positions reach each other; all have the closure S. Let u_1, .., u_a be those that are no
   blanks of targets; if there are none, let them be all m. Let u_1 read whatever any of the m read outside, u_i read
   u_{i-1}, and the remaining blanks read u_a; each outer position that read one of the m reads u_a. The m had at least
   m reads among them and have m - 1 now; u_a and the blanks have the closure S. A target predicted where an element of
   its need is embedded moves to the last u_i that embeds one: this u_i has all of its need.
2. *Every hub embeds one element.* A hub with empty closure is useless; any other may embed an element of its closure.
3. *Raw hubs*, those that read nothing, come first, embed different elements (equal ones are alike), in their order.
4. *A hub that reads is read twice or more, or predicts.* If only v reads g, let v read the keys of g and a raw hub of
   the element that g embeds, and drop g: no further read, and at most one new hub for one dropped. There are fewer hubs
   that read, so this ends.
5. *An element e that no target needs together with another one that all of them may have* (each other element is hidden
   by some target that needs e) has a raw hub or is embedded twice: if one hub alone embeds e, everyone who has e has
   the closure of that hub, so that is {e}; and a hub that reads holds more, or reads only hubs that embed e.
6. *Order and names*: `masksynth_solvers.discover.rows`, if no blank may be read. Of elements that can be exchanged
   (`symmetry`), those with a raw hub come first, and the others first appear in their order.

A blank of target t may be read by a hub, or by a blank whose target does not hide need(t); then an order of all nodes
keeps reads acyclic.

Variables: ``read 1 q k``; ``embed q e``; ``holds q e`` iff e is in S(q); ``via``; ``place t q``; ``before q k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Structure
from masksynth_solvers.discover.clauses import (
    EMBED,
    PLACE,
    READ,
    UPDATE,
    USED,
    Key,
    Prices,
    Term,
    add,
    any_of,
    at_most_one,
    both,
    choose,
    negate,
)
from masksynth_solvers.discover.demands import refuse_dear_keys, refuse_demands
from masksynth_solvers.discover.hub_forms import add_uses, break_symmetries, readable_blanks
from masksynth_solvers.discover.places import BLANK, Places, check_size, lay_out, reads_of
from masksynth_solvers.sparse.path_encoding import Formula


@dataclass(eq=False)
class Hubs:
    """A formula of structures with h hubs, and the literals by which it speaks of them.

    Nodes 0 .. h - 1 are hubs, raw ones first; node h + t is the blank of target t.

    Parameters
    ----------
    contracts : Contracts
    places : Places
    hubs, raw : int
    offset : int
        Price of hubs and paid blanks.
    formula : Formula
    read : mapping of (node, node) to literal
    holds : mapping of (node, element) to term
    embed : mapping of (hub, element) to literal
    place : mapping of (target, node) to term
    """

    contracts: Contracts
    places: Places
    hubs: int
    raw: int
    offset: int
    formula: Formula
    read: dict[tuple[int, int], int]
    holds: dict[tuple[int, int], Term]
    embed: dict[tuple[int, int], int]
    place: dict[tuple[int, int], Term]

    @property
    def blanks(self) -> range:
        """Nodes that are blanks of targets."""
        return range(self.hubs, self.hubs + len(self.places.candidates))

    def structure(self, chosen: set[Key], found_by: str) -> Structure:
        """Return the structure of a model, given the keys of its chosen variables."""
        element = [BLANK] * (self.hubs + len(self.blanks))
        for kind, *rest in chosen:
            if kind == EMBED:
                element[rest[0]] = rest[1]
        pairs = [(key[2], key[3]) for key in chosen if key[0] == READ]
        reads = reads_of(pairs, len(element))
        target = np.zeros(len(self.blanks), np.int64)
        for (t, node), term in self.place.items():
            if term is True or (PLACE, t, node) in chosen:
                target[t] = node
        return Structure(np.array(element), (reads,), target, found_by)


def encode_hubs(contracts: Contracts, hubs: int, raw: int, symmetries: bool = True) -> Hubs:
    """Encode the structures with one mask, safe at any depth, a number of hubs, and how many of these are raw.

    Parameters
    ----------
    contracts : Contracts
    hubs, raw : int
    symmetries : bool
        Whether the orders and names of item 6 are demanded.

    Raises
    ------
    Unsupported
        Naming a demand that it cannot express, or if the formula is too large.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth_solvers.discover.cheapest_model import has_model
    >>> [has_model(encode_hubs(leave_one_out(n=3), 3, raw).formula) for raw in (2, 3)]
    [False, True]
    """
    refuse_demands(contracts)
    refuse_dear_keys(contracts)
    places = lay_out(contracts)
    check_size(hubs + len(places.candidates), 1, len(places.tokens))
    model = Hubs(contracts, places, hubs, raw, 0, Formula(), {}, {}, {}, {})
    _add_embeddings(model)
    _add_places(model)
    _add_reads(model)
    _add_closures(model)
    _add_contracts(model)
    model.offset = _charge(model)
    add_uses(model)
    if symmetries:
        break_symmetries(model)
    return model


def _add_embeddings(model: Hubs) -> None:
    """Add one element for each hub; raw hubs have different ones, in their order."""
    formula, elements = model.formula, list(model.places.tokens)
    for q in range(model.hubs):
        options = [choose(formula, EMBED, q, e) for e in elements]
        model.embed |= {(q, e): literal for e, literal in zip(elements, options, strict=True)}
        formula.add(list(options))
        at_most_one(formula, options)
    for q in range(model.raw - 1):
        for (i, e), (j, f) in permutations(enumerate(elements), 2):
            if j < i:
                formula.add([-model.embed[q, e], -model.embed[q + 1, f]])
        for e in elements:
            formula.add([-model.embed[q, e], -model.embed[q + 1, e]])
    for e in elements:
        formula.add([model.embed[q, e] for q in range(model.hubs)])


def _add_places(model: Hubs) -> None:
    """Add where targets are predicted: at blanks, or at hubs that embed an element of their need."""
    formula, places = model.formula, model.places
    node = {position: model.hubs + t for t, position in enumerate(places.blank)}
    for t, options in enumerate(places.candidates):
        nodes = [node[q] for q in options if q in node]
        if model.contracts.targets[t].place == "any":
            nodes += range(model.hubs)
        for q in nodes:
            model.place[t, q] = True if len(nodes) == 1 else choose(formula, PLACE, t, q)
            if q < model.hubs:
                needed = [model.embed[q, e] for e in places.tokens if places.need[t, e]]
                add(formula, negate(model.place[t, q]), *needed)
        if len(nodes) > 1:
            literals = [int(model.place[t, q]) for q in nodes]
            formula.add(list(literals))
            at_most_one(formula, literals)


def _hidden_at(model: Hubs, node: int) -> frozenset[int]:
    """Return the elements that a node may never hold: of a blank that serves one target that has no other place."""
    rows = [model.places.hide[t] for (t, q), here in model.place.items() if q == node and here is True]
    return frozenset(np.flatnonzero(np.any(rows, axis=0)).tolist()) if rows else frozenset()


def _add_reads(model: Hubs) -> None:
    """Add reads of earlier hubs, and of blanks in an order of all nodes."""
    formula, prices = model.formula, Prices.of(model.contracts.weights)
    price = prices.pair * _times(model)
    readable = set(readable_blanks(model))
    readers = [*range(model.raw, model.hubs), *model.blanks]
    for q in readers:
        for k in [*range(model.hubs), *readable]:
            if q != k and not (q < model.hubs and q < k < model.hubs):
                model.read[q, k] = choose(formula, READ, 1, q, k, price=price)
    if readable:
        nodes = sorted({*range(model.raw, model.hubs), *readable})
        before = {pair: formula.new("before", *pair) for pair in combinations(nodes, 2)}
        before |= {(k, q): -literal for (q, k), literal in before.items()}
        for q, k in combinations(range(model.raw, model.hubs), 2):
            formula.add([before[q, k]])
        for a, b, c in permutations(nodes, 3):
            formula.add([-before[a, b], -before[b, c], before[a, c]])
        for (q, k), literal in model.read.items():
            if (k, q) in before:
                formula.add([-literal, before[k, q]])


def _times(model: Hubs) -> int:
    """Return how often the cost counts one mask."""
    weights = model.contracts.weights
    return 1 if weights.count == "structure" else model.contracts.layers or 1


def _add_closures(model: Hubs) -> None:
    """Add what every node holds: what it embeds, and what the nodes that it reads hold."""
    formula, elements = model.formula, list(model.places.tokens)
    nodes = range(model.hubs + len(model.blanks))
    for q in nodes:
        hidden = _hidden_at(model, q)
        for e in elements:
            if q < model.raw:
                model.holds[q, e] = model.embed[q, e]
            else:
                model.holds[q, e] = False if e in hidden else formula.new("holds", q, e)
    for q in nodes[model.raw :]:
        keys = [k for k in nodes if (q, k) in model.read]
        for e in elements:
            here = model.holds[q, e]
            if here is False:
                for k in keys:
                    add(formula, -model.read[q, k], negate(model.holds[k, e]))
                continue
            terms = [both(formula, model.read[q, k], model.holds[k, e], "via", q, k, e) for k in keys]
            terms += [model.embed[q, e]] if q < model.hubs else []
            for term in terms:
                add(formula, negate(term), here)
            add(formula, negate(here), *terms)


def _add_contracts(model: Hubs) -> None:
    """Add that each target has its need and nothing that it hides."""
    formula, places = model.formula, model.places
    for (t, q), here in model.place.items():
        for e in places.tokens:
            if places.need[t, e]:
                add(formula, negate(here), model.holds[q, e])
            if places.hide[t, e]:
                add(formula, negate(here), negate(model.holds[q, e]))


def _charge(model: Hubs) -> int:
    """Add the prices of optional blanks and of blanks that read; return the price that all structures pay."""
    formula, prices, times = model.formula, Prices.of(model.contracts.weights), _times(model)
    by_layer = model.contracts.weights.count == "layer"
    for t, q in enumerate(model.blanks):
        reads = [literal for (reader, _), literal in model.read.items() if reader == q]
        if by_layer:
            is_mixed = any_of(formula, reads, "mixed", q)
            if is_mixed is not False and prices.position:
                add(formula, negate(is_mixed), choose(formula, UPDATE, 1, q, price=prices.position * times))
        if not model.places.paid[model.places.blank[t]]:
            used = choose(formula, USED, q, price=0 if by_layer else prices.position)
            here = [literal for (_, node), literal in model.place.items() if node == q]
            readers = [literal for (_, key), literal in model.read.items() if key == q]
            for literal in [*here, *reads, *readers]:
                add(formula, negate(literal), used)
            add(formula, -used, *here)
    paid = sum(model.places.paid[blank] for blank in model.places.blank)
    if not by_layer:
        return prices.position * (model.hubs + paid)
    return (prices.position * (model.hubs - model.raw) + prices.kv * model.raw) * times
