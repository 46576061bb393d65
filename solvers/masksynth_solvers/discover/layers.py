r"""Structures over L layers as a formula: a mask for each layer, or one mask whose needs arrive within L layers.

Variables, by name

1. ``read l q k``     q reads k in layer l (l = 1 for one mask),
2. ``used q``         a position that is not in every structure is in this one,
3. ``place t q``      target t is predicted at q, where it has a choice,
4. ``embed q e``      a further position embeds e,
5. ``context l q e``  e is in C_l(q); ``via l q k e``: by way of k,
6. ``closure q e``    one mask: implied if e reaches q at any depth,
7. ``live l q``, ``mixed l q``, ``update l q``, ``kept l q``  what the cost of a layer counts
   (`masksynth_solvers.discover.layer_prices`).

Clauses: context l q e iff context l-1 q e or some via l q k e, which is read l q k and context l-1 k e. A target has
its need at layer L and nothing hidden there (one mask: in the closure, which is any set of facts closed under reads, so
it holds at any depth).

What is left out, without loss

- reads, in layer 1 of a mask per layer, of what embeds nothing: they bring nothing;
- reads in the last layer by what predicts nothing: no position sees them; further positions that are never read;
- contexts with an element that the only target of a position hides: at L, hence before;
- of structures that differ by a symmetry, all but those whose word of reads is greatest (`contract_symmetries`);
- reads that bring nothing new or may wait (`masksynth_solvers.discover.layer_forms`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Structure
from masksynth_solvers.discover.clauses import (
    EMBED,
    PLACE,
    READ,
    USED,
    Key,
    Prices,
    Term,
    add,
    at_most_one,
    both,
    choose,
    demand_greatest,
    negate,
)
from masksynth_solvers.discover.contract_symmetries import find_swaps, move_positions
from masksynth_solvers.discover.demands import add_demands, has_demands, refuse_dear_keys
from masksynth_solvers.discover.layer_forms import add_forms
from masksynth_solvers.discover.layer_prices import charge_layers
from masksynth_solvers.discover.places import BLANK, FREE, Places, check_size, lay_out, reads_of
from masksynth_solvers.sparse.path_encoding import Formula

Table = dict[tuple[int, int, int], Term]


@dataclass(eq=False)
class Layered:
    """A formula of structures, and the literals by which it speaks of them.

    Parameters
    ----------
    contracts : Contracts
    places : Places
    depth : int
        L.
    offset : int
        Price of the positions that are in every structure.
    formula : Formula
    read, context : mapping of (layer, position, position or element) to term
        Those that are left out are false. ``read`` has every layer, also of one mask.
    place : mapping of (target, position) to term
    used : list of term
    """

    contracts: Contracts
    places: Places
    depth: int
    offset: int
    formula: Formula
    read: Table
    context: Table
    place: dict[tuple[int, int], Term]
    used: list[Term]

    @property
    def times(self) -> int:
        """How often what is charged for each row table is charged: one mask that is counted by layers, in each."""
        is_each = self.contracts.masks == "one" and self.contracts.weights.count == "layer"
        return (self.contracts.layers or 1) if is_each else 1

    def structure(self, chosen: set[Key], found_by: str) -> Structure:
        """Return the structure of a model, given the keys of its chosen variables."""
        places = self.places
        element = [
            next((e for e in range(places.need.shape[1]) if (EMBED, q, e) in chosen), BLANK) if e == FREE else e
            for q, e in enumerate(places.element)
        ]
        kept = [q for q in range(places.size) if places.paid[q] or (USED, q) in chosen]
        number = {q: index for index, q in enumerate(kept)}
        tables = 1 if self.contracts.masks == "one" else self.depth
        pairs: list[list[tuple[int, int]]] = [[] for _ in range(tables)]
        for kind, *rest in chosen:
            if kind == READ:
                pairs[rest[0] - 1].append((number[rest[1]], number[rest[2]]))
        reads = tuple(reads_of(table, len(kept)) for table in pairs)
        target = [
            number[next(q for q in options if len(options) == 1 or (PLACE, t, q) in chosen)]
            for t, options in enumerate(places.candidates)
        ]
        return Structure(np.array([element[q] for q in kept]), reads, np.array(target, np.int64), found_by)


def encode_layers(contracts: Contracts, extra: int = 0, symmetries: bool = True) -> Layered:
    """Encode the structures over L layers with exactly ``extra`` further positions.

    Parameters
    ----------
    contracts : Contracts
        With a number of layers.
    extra : int
    symmetries : bool
        Whether structures are left out that differ from others by a symmetry or by reads that may go or wait.

    Raises
    ------
    Unsupported
        Naming a demand that it cannot express, or if the formula is too large.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> layered = encode_layers(leave_one_out(n=3, layers=1))
    >>> sum(key[0] == READ for key in layered.formula.edges)
    6
    """
    refuse_dear_keys(contracts)
    places = lay_out(contracts, extra)
    # One mask at any depth: contexts change in less than N layers, and w ways may wait for one another.
    depth = contracts.layers or places.size + contracts.demand.bandwidth
    check_size(places.size, depth, len(places.elements))
    layered = Layered(contracts, places, depth, 0, Formula(), {}, {}, {}, [])
    _add_positions(layered)
    _add_reads(layered)
    for layer in range(1, layered.depth + 1):
        _add_layer(layered, layer)
    for target in range(len(places.candidates)):
        _add_target(layered, target)
    if contracts.masks == "one":
        _add_closure(layered)
    if has_demands(contracts):
        add_demands(layered)
    layered.offset = charge_layers(layered)
    if symmetries:
        add_forms(layered)
        _break_symmetries(layered)
    return layered


def _add_positions(layered: Layered) -> None:
    """Add what positions embed, which of them are used, and where targets are predicted."""
    places, formula = layered.places, layered.formula
    by_structure = layered.contracts.weights.count == "structure"
    price = Prices.of(layered.contracts.weights).position if by_structure else 0
    layered.used = [True if paid else choose(formula, USED, q, price=price) for q, paid in enumerate(places.paid)]
    for q, embedded in enumerate(places.element):
        if embedded == FREE:
            options = {e: choose(formula, EMBED, q, e) for e in places.elements}
            at_most_one(formula, list(options.values()))
            layered.context |= {(0, q, e): literal for e, literal in options.items()}
            for literal in options.values():
                add(formula, -literal, layered.used[q])
        elif embedded != BLANK:
            layered.context[0, q, embedded] = True
    for t, options_of in enumerate(places.candidates):
        for q in options_of:
            layered.place[t, q] = True if len(options_of) == 1 else choose(formula, PLACE, t, q)
            add(formula, negate(layered.place[t, q]), layered.used[q])
        literals = [layered.place[t, q] for q in options_of]
        if len(literals) > 1:
            add(formula, *literals)
            at_most_one(formula, [int(literal) for literal in literals])


def _add_reads(layered: Layered) -> None:
    """Add the reads that may be of use, priced by the pair."""
    places, formula, depth = layered.places, layered.formula, layered.depth
    price = Prices.of(layered.contracts.weights).pair * layered.times
    one = layered.contracts.masks == "one"
    predicting = {q for _, q in layered.place}
    hidden = [places.hidden_at(q) for q in range(places.size)]
    for layer in [1] if one else range(1, depth + 1):
        for q in range(places.size):
            if layer == depth and not one and q not in predicting:
                continue
            for k in range(places.size):
                if q == k or places.element[k] in hidden[q] or (layer == 1 and not one and places.element[k] == BLANK):
                    continue
                literal = choose(formula, READ, layer, q, k, price=price)
                add(formula, -literal, layered.used[q])
                add(formula, -literal, layered.used[k])
                for every in range(1, depth + 1) if one else [layer]:
                    layered.read[every, q, k] = literal
    for k, embedded in enumerate(places.element):
        if embedded == FREE:
            readers = [literal for (_, _, key), literal in layered.read.items() if key == k]
            add(formula, *readers, *[here for (_, at), here in layered.place.items() if at == k])


def _add_layer(layered: Layered, layer: int) -> None:
    """Add the contexts after a layer."""
    formula, context, places = layered.formula, layered.context, layered.places
    for q in range(places.size):
        keys = [k for k in range(places.size) if (layer, q, k) in layered.read]
        hidden = places.hidden_at(q)
        for e in places.elements:
            before = context.get((layer - 1, q, e), False)
            sources = [(k, context[layer - 1, k, e]) for k in keys if (layer - 1, k, e) in context]
            if e in hidden:
                for k, there in sources:
                    add(formula, negate(layered.read[layer, q, k]), negate(there))
                continue
            if before is True or not sources:
                if before is not False:
                    context[layer, q, e] = before
                continue
            after = context[layer, q, e] = formula.new("context", layer, q, e)
            terms = [both(formula, layered.read[layer, q, k], there, "via", layer, q, k, e) for k, there in sources]
            for term in (before, *terms):
                add(formula, negate(term), after)
            add(formula, -after, before, *terms)


def _add_target(layered: Layered, target: int) -> None:
    """Add that a target has its need, after layer L, and nothing that it hides; and what it may embed."""
    places, formula, depth = layered.places, layered.formula, layered.depth
    for q in places.candidates[target]:
        elsewhere = negate(layered.place[target, q])
        for e in np.flatnonzero(places.need[target]).tolist():
            add(formula, elsewhere, layered.context.get((depth, q, e), False))
        for e in np.flatnonzero(places.hide[target]).tolist():
            add(formula, elsewhere, negate(layered.context.get((depth, q, e), False)))
        if places.element[q] == FREE:
            needed = [layered.context[0, q, e] for e in places.elements if places.need[target, e]]
            add(formula, elsewhere, *needed)


def _add_closure(layered: Layered) -> None:
    """Add a set of facts closed under reads, in which no target has what it hides."""
    places, formula = layered.places, layered.formula
    closure: dict[tuple[int, int], Term] = {}
    for q in range(places.size):
        hidden = places.hidden_at(q)
        for e in places.elements:
            embedded = layered.context.get((0, q, e), False)
            closure[q, e] = embedded is True or (e not in hidden and formula.new("closure", q, e))
            add(formula, negate(embedded), closure[q, e])
    for (layer, q, k), literal in layered.read.items():
        for e in places.elements if layer == 1 else ():
            add(formula, negate(literal), negate(closure[k, e]), closure[q, e])
    for (t, q), here in layered.place.items():
        for e in places.elements:
            if places.hide[t, e]:
                add(formula, negate(here), negate(closure[q, e]))


def _break_symmetries(layered: Layered) -> None:
    """Leave out structures whose word of reads is less than its image under a symmetry.

    A symmetry of the contracts moves tokens and blanks and maps structures onto structures of equal cost; so does an
    exchange of two further positions. Of all images of a structure, one has the greatest word, and it is kept.
    """
    places, formula = layered.places, layered.formula
    moves = [move_positions(places, swap) for swap in find_swaps(layered.contracts)]
    free = [q for q, e in enumerate(places.element) if e == FREE]
    for a, b in pairwise(free):
        moves.append([b if q == a else a if q == b else q for q in range(places.size)])
    word = [(key, variable) for key, variable in formula.edges.items() if key[0] == READ]
    for number, move in enumerate(move for move in moves if move != sorted(move)):
        pairs: list[tuple[Term, Term]] = [
            (variable, formula.edges.get((READ, layer, move[q], move[k]), False)) for (_, layer, q, k), variable in word
        ]
        demand_greatest(formula, pairs, "equal", number)
