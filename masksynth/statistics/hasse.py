"""The Hasse diagram of a mask: classes of positions that see each other at some depth, and the covers among them.

Everything is interval arithmetic on the flow R, so that a causal mask of 131,072 positions needs no (N, N) array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported
from masksynth.export.row_intervals import Ints, expand, rows_of
from masksynth.mask import Mask
from masksynth.mask.algebra import (
    MAX_INTERVALS,
    difference,
    identity,
    intersection,
    is_causal,
    product,
    restrict,
    transpose,
)
from masksynth.posets import Poset, components, levels

LARGEST_WIDTH = 8192
"""Most classes of one connected part for which a largest antichain is searched by matching."""


@dataclass(frozen=True)
class Hasse:
    """A Hasse diagram: C classes and E covers.

    Parameters
    ----------
    of : (N,) int64
        The class of each position. Classes are numbered by their least positions.
    leaders : (C,) int64
        The least position of each class.
    order : Mask
        C positions: class a is at or below class b iff ``order[b, a]``.
    upper, lower : (E,) int64
        Class ``upper[i]`` covers class ``lower[i]``: it sees it, with no class between.
    heights : (C,) int64
        For each class the most classes of a chain strictly below it.
    """

    of: Ints
    leaders: Ints
    order: Mask
    upper: Ints
    lower: Ints
    heights: Ints

    def members(self, number: int) -> list[int]:
        """The positions of a class, ascending."""
        return [int(place) for place in np.flatnonzero(self.of == number)]


def class_leaders(flow: Mask) -> Ints:
    """(N,) the least position that each position sees and is seen by, at any depth.

    Parameters
    ----------
    flow : Mask
        Reflexive and transitive, as ``convergence`` gives it.

    Examples
    --------
    >>> class_leaders(Mask.from_dense(np.array([[1, 0, 1], [1, 1, 1], [1, 0, 1]]) > 0)).tolist()
    [0, 1, 0]
    """
    if is_causal(flow):
        return np.arange(flow.size)
    mutual = intersection(flow, transpose(flow))
    return mutual.key_start[mutual.row_offset[0, :-1]].astype(np.int64)


def hasse(flow: Mask) -> Hasse:
    """The Hasse diagram of a flow.

    Parameters
    ----------
    flow : Mask
        Reflexive and transitive, as ``convergence`` gives it.

    Raises
    ------
    Unsupported
        If it falls into too many intervals and is too large for an array, or has more than ``MAX_INTERVALS`` covers.

    Examples
    --------
    >>> found = hasse(Mask.from_dense(np.tril(np.ones((4, 4), bool))))
    >>> found.upper.tolist(), found.lower.tolist(), found.heights.tolist()
    ([1, 2, 3], [0, 1, 2], [0, 1, 2, 3])
    """
    least = class_leaders(flow)
    leaders, of = np.unique(least, return_inverse=True)
    order = restrict(flow, leaders)
    strict = difference(order, identity(order.size))
    covers = difference(strict, product(strict, strict))
    if covers.pairs > MAX_INTERVALS:
        raise Unsupported(f"a Hasse diagram of {covers.pairs:,} edges (more than {MAX_INTERVALS:,})")
    upper, lower = expand(rows_of(covers))
    return Hasse(of.astype(np.int64), leaders, order, upper, lower, _heights(order, upper, lower))


def row_sizes(mask: Mask) -> Ints:
    """(N,) the number of keys of each row of one table."""
    _, start, end = rows_of(mask)
    before = np.concatenate([[0], (end - start).cumsum()])
    offset = mask.row_offset[0]
    sizes: Ints = before[offset[1:]] - before[offset[:-1]]
    return sizes


def _heights(order: Mask, upper: Ints, lower: Ints) -> Ints:
    """Longest chains below, by the covers; a class sees more than any class below it, which sorts them bottom-up."""
    rank = np.empty(order.size, np.int64)
    rank[np.argsort(row_sizes(order), kind="stable")] = np.arange(order.size)
    offset = np.concatenate([[0], np.bincount(upper, minlength=order.size).cumsum()])
    found: Ints = levels(offset, lower, rank)[rank] if order.size else rank
    return found


@dataclass(frozen=True)
class Width:
    """The most classes none of which sees another: exact iff ``exact``, else at least ``value``; ``how`` says how it is known."""

    value: int
    exact: bool
    how: str


def width(diagram: Hasse) -> Width:
    """The width of a Hasse diagram, summed over its connected parts.

    A part in which every class covers at most one other (a tree) has as many chains as maximal classes, which are an antichain: its width;
    the same upside down. Other parts of at most ``LARGEST_WIDTH`` classes are matched (Dilworth; Hopcroft and Karp), with a certificate.
    Of larger ones the largest set of equal height is a lower bound.

    Examples
    --------
    >>> width(hasse(Mask.from_dense(np.eye(3, dtype=bool))))
    Width(value=3, exact=True, how='trees')
    """
    size = diagram.order.size
    part = _parts(size, diagram.upper, diagram.lower)
    below, above = np.bincount(diagram.upper, minlength=size), np.bincount(diagram.lower, minlength=size)
    parts = int(part.max(initial=-1)) + 1
    most_below, most_above = np.zeros((2, parts), np.int64)
    np.maximum.at(most_below, part, below)
    np.maximum.at(most_above, part, above)
    tops = np.bincount(part[above == 0], minlength=parts)
    bottoms = np.bincount(part[below == 0], minlength=parts)
    tree, turned = most_below <= 1, most_above <= 1
    value, how, exact = int(tops[tree].sum() + bottoms[turned & ~tree].sum()), "trees", True
    for number in np.flatnonzero(~tree & ~turned).tolist():
        chosen = np.flatnonzero(part == number)
        if len(chosen) <= LARGEST_WIDTH:
            value, how = (
                value + Poset(restrict(diagram.order, chosen).dense()).width,
                how if how != "trees" else "matching",
            )
        else:
            value, how, exact = value + int(np.bincount(diagram.heights[chosen]).max()), "levels", False
    return Width(value, exact, how)


def _parts(size: int, upper: Ints, lower: Ints) -> NDArray[np.int64]:
    """The connected part of each class, the edges taken in both directions."""
    ends, others = np.concatenate([upper, lower]), np.concatenate([lower, upper])
    offset = np.concatenate([[0], np.bincount(ends, minlength=size).cumsum()])
    return components(offset, others[np.argsort(ends, kind="stable")])
