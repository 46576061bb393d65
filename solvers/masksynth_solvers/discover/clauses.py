"""Formulas of structures: clauses over literals and constants, priced variables, and "no image is greater"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from masksynth.contracts.model import Weights
from masksynth.errors import Unsupported
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.totalizer import at_most

Term = int | bool
"""A literal, or a constant."""
Key = tuple[int, ...]
READ, USED, PLACE, EMBED, UPDATE, KEPT, GATE, HUB, MISSED = range(9)
"""First number of the key of a variable that says what a structure is (`Formula.edges`)."""
NAMES = ("read", "used", "place", "embed", "update", "kept", "gate", "hub", "missed")


def choose(formula: Formula, kind: int, *numbers: int, price: int = 0) -> int:
    """Return a new variable that is part of the answer, at a price.

    Examples
    --------
    >>> formula = Formula()
    >>> choose(formula, READ, 1, 2, 0, price=5), formula.names, formula.weights
    (1, [('read', 1, 2, 0)], {1: 5})
    """
    variable = formula.new(NAMES[kind], *numbers)
    formula.edges[kind, *numbers] = variable
    formula.weights[variable] = price
    return variable


def add(formula: Formula, *terms: Term) -> None:
    """Add a clause of literals and constants.

    Examples
    --------
    >>> formula = Formula()
    >>> add(formula, 1, False, -2)
    >>> add(formula, 1, True)
    >>> formula.clauses
    [[1, -2]]
    """
    if not any(term is True for term in terms):
        formula.add([term for term in dict.fromkeys(terms) if term is not False])


def negate(term: Term) -> Term:
    """Return the negation of a literal or constant."""
    return not term if isinstance(term, bool) else -term


def both(formula: Formula, first: Term, second: Term, *name: str | int) -> Term:
    """Return a term that is true iff both are.

    Examples
    --------
    >>> formula = Formula(names=[("read", 1), ("read", 2)])
    >>> both(formula, 1, 2, "via", 0), both(formula, True, 2, "via", 1), formula.clauses
    (3, 2, [[-3, 1], [-3, 2], [-1, -2, 3]])
    """
    if first is False or second is False:
        return False
    if first is True or second is True:
        return second if first is True else first
    via = formula.new(*name)
    formula.add([-via, first])
    formula.add([-via, second])
    formula.add([-first, -second, via])
    return via


def at_most_one(formula: Formula, literals: Sequence[int]) -> None:
    """Add "at most one of a few literals is true", pair by pair."""
    for index, first in enumerate(literals):
        for second in literals[:index]:
            formula.add([-first, -second])


def any_of(formula: Formula, terms: Iterable[Term], *name: str | int) -> Term:
    """Return a term that is true iff one of some terms is."""
    listed = list(terms)
    if any(term is True for term in listed):  # first: True equals the literal 1
        return True
    parts = [term for term in dict.fromkeys(listed) if term is not False]
    if len(parts) < 2:
        return parts[0] if parts else False
    union = formula.new(*name)
    for part in parts:
        add(formula, negate(part), union)
    add(formula, -union, *parts)
    return union


def at_least(formula: Formula, terms: Sequence[Term], number: int, unless: Term, *name: str | int) -> None:
    """Add "at least so many terms are true, unless a term is".

    Examples
    --------
    >>> formula = Formula(names=[("read", 1), ("read", 2), ("place",)])
    >>> at_least(formula, [1, 2, False], 2, 3, "count")
    >>> formula.clauses
    [[2, 4], [1, 4], [1, 2, 4], [3, -4]]
    """
    literals = [term for term in terms if not isinstance(term, bool)]
    wanted = number - sum(term is True for term in terms)
    if wanted > len(literals):
        add(formula, unless)
    elif wanted > 0:
        most_false = len(literals) - wanted
        outputs = at_most(formula, most_false, [-literal for literal in literals], name)
        add(formula, unless, -outputs[most_false])


def demand_greatest(formula: Formula, pairs: Iterable[tuple[Term, Term]], *name: str | int) -> None:
    """Demand that a word is at least as great as its image: each pair is a letter with the letter in its place.

    The letters compared are those of the word, in its order; equal ones are skipped.

    Examples
    --------
    >>> formula = Formula(names=[("read", 1), ("read", 2)])
    >>> demand_greatest(formula, [(1, 2), (2, 1)], "equal", 0)
    >>> formula.clauses
    [[1, -2], [1, 3], [-2, 3], [-3, 2, -1]]
    """
    before: Term = False  # the negated literal "all earlier letters are equal"
    letters = [(first, second) for first, second in pairs if first is not second and first != second]
    for count, (first, second) in enumerate(letters, 1):
        add(formula, before, first, negate(second))
        if count < len(letters):
            equal = formula.new(*name, count)
            add(formula, before, first, equal)
            add(formula, before, negate(second), equal)
            before = -equal


@dataclass(frozen=True)
class Prices:
    """Weights as coprime integers: the weights of contracts times ``scale``.

    Parameters
    ----------
    position, kv, pair : int
    scale : Fraction
    """

    position: int
    kv: int
    pair: int
    scale: Fraction

    @classmethod
    def of(cls, weights: Weights) -> Prices:
        """Return the prices of weights, which are taken as the decimal numbers that they print.

        Examples
        --------
        >>> Prices.of(Weights()), Prices.of(Weights(0.5, 0, 0.5)).scale
        (Prices(position=6000, kv=1000, pair=1, scale=Fraction(250, 1)), Fraction(2, 1))
        """
        exact = [Fraction(repr(weight)) for weight in (weights.position, weights.kv, weights.pair)]
        if min(exact) < 0:
            raise Unsupported("exact searches need weights that are not negative")
        shared = lcm(*(part.denominator for part in exact))
        scale = Fraction(shared, gcd(*(int(part * shared) for part in exact)) or 1)
        position, kv, pair = (int(part * scale) for part in exact)
        return cls(position, kv, pair, scale)
