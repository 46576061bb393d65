"""The Hasse diagram of a mask: classes of positions that reach each other, and the covers among them.

Everything is interval arithmetic on the flow R, so that a causal mask of 131,072 positions needs no (N, N) array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.errors import Unsupported, check_type
from masksynth.mask import Mask
from masksynth.mask.algebra import (
    INTERVAL_LIMIT,
    difference,
    identity,
    intersection,
    is_causal,
    product,
    restrict,
    transpose,
)
from masksynth.mask.csr import indptr, segment_sums
from masksynth.mask.intervals import expand, row_intervals
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.posets import Poset, components, levels

LARGEST_WIDTH = 8192
"""Number of classes of a connected part up to which a largest antichain is computed by matching."""


@dataclass(frozen=True)
class Hasse:
    """A Hasse diagram: C classes and E covers.

    Parameters
    ----------
    of : (N,) int64
        Class of each position. Classes are numbered by their least positions.
    leaders : (C,) int64
        Least position of each class.
    order : Mask
        Over the C classes: class a is at or below class b iff ``order[b, a]``.
    upper, lower : (E,) int64
        Class ``upper[i]`` covers class ``lower[i]``: it is above it, with no class between.
    heights : (C,) int64
        Size of a longest chain strictly below each class.
    """

    of: Int64Array
    leaders: Int64Array
    order: Mask
    upper: Int64Array
    lower: Int64Array
    heights: Int64Array

    def members(self, number: int) -> list[int]:
        """Return the positions of a class, ascending."""
        return [int(position) for position in np.flatnonzero(self.of == number)]


def class_leaders(flow: Mask) -> Int64Array:
    """Return the least position that each position reaches and is reached by.

    Parameters
    ----------
    flow : Mask
        Reflexive and transitive, as ``convergence`` returns it.

    Returns
    -------
    (N,) int64

    Examples
    --------
    >>> class_leaders(Mask.from_dense(np.array([[1, 0, 1], [1, 1, 1], [1, 0, 1]]) > 0)).tolist()
    [0, 1, 0]
    """
    check_type(flow, Mask)
    if is_causal(flow):
        return np.arange(flow.size)
    mutual = intersection(flow, transpose(flow))
    return mutual.key_start[mutual.row_offset[0, :-1]].astype(np.int64)  # the first key of each row


def hasse(flow: Mask) -> Hasse:
    """Return the Hasse diagram of a flow.

    Parameters
    ----------
    flow : Mask
        Reflexive and transitive, as ``convergence`` returns it.

    Raises
    ------
    Unsupported
        If there are too many intervals and the mask is too large for a dense array, or if there are more than
        ``INTERVAL_LIMIT`` covers.

    Examples
    --------
    >>> found = hasse(Mask.from_dense(np.tril(np.ones((4, 4), bool))))
    >>> found.upper.tolist(), found.lower.tolist(), found.heights.tolist()
    ([1, 2, 3], [0, 1, 2], [0, 1, 2, 3])
    """
    leaders, of = np.unique(class_leaders(flow), return_inverse=True)
    order = restrict(flow, leaders)
    strict = difference(order, identity(order.size))
    covers = difference(strict, product(strict, strict))
    if covers.pairs > INTERVAL_LIMIT:
        raise Unsupported(f"a Hasse diagram of {covers.pairs:,} edges (more than {INTERVAL_LIMIT:,})")
    upper, lower = expand(row_intervals(covers))
    return Hasse(of.astype(np.int64), leaders, order, upper, lower, _compute_heights(order, upper, lower))


def count_keys(mask: Mask) -> Int64Array:
    """Return the number of keys of each row of a mask of one table, shape (N,)."""
    counts: Int64Array = segment_sums(mask.key_end.astype(np.int64) - mask.key_start, mask.row_offset[0])
    return counts


def _compute_heights(order: Mask, upper: Int64Array, lower: Int64Array) -> Int64Array:
    """Return the size of a longest chain below each class.

    A class has more keys than any class below it, so counts sort them.
    """
    rank = np.empty(order.size, np.int64)
    rank[np.argsort(count_keys(order), kind="stable")] = np.arange(order.size)
    offset = indptr(np.bincount(upper, minlength=order.size))
    heights: Int64Array = levels(offset, lower, rank)[rank] if order.size else rank
    return heights


@dataclass(frozen=True)
class Width:
    """The size of a largest antichain.

    Parameters
    ----------
    value : int
    exact : bool
        False: ``value`` is a lower bound.
    how : str
        Method: ``trees``, ``matching`` or ``levels``.
    """

    value: int
    exact: bool
    how: str


def width(diagram: Hasse) -> Width:
    """Return the width of a Hasse diagram, summed over its connected parts.

    A part in which every class covers at most one other (a tree) has as many chains as maximal classes, which are an
    antichain: its width; likewise for the dual order. Other parts of at most ``LARGEST_WIDTH`` classes are solved by
    matching (Dilworth; Hopcroft and Karp), with a certificate. For larger parts the largest set of classes of equal
    height is a lower bound.

    Examples
    --------
    >>> width(hasse(Mask.from_dense(np.eye(3, dtype=bool))))
    Width(value=3, exact=True, how='trees')
    """
    check_type(diagram, Hasse)
    part = _connected_parts(diagram)
    value, solved = _width_of_trees(diagram, part)
    how, exact = "trees", True
    for number in np.flatnonzero(~solved).tolist():
        classes = np.flatnonzero(part == number)
        if len(classes) <= LARGEST_WIDTH:
            value += Poset(restrict(diagram.order, classes).dense()).width
            how = how if how != "trees" else "matching"
        else:
            value, how, exact = value + int(np.bincount(diagram.heights[classes]).max()), "levels", False
    return Width(value, exact, how)


def _width_of_trees(diagram: Hasse, part: Int64Array) -> tuple[int, BoolArray]:
    """Return the total width of the parts that are trees, upwards or downwards, and which parts these are."""
    size, parts = diagram.order.size, int(part.max(initial=-1)) + 1
    covered, covering = np.bincount(diagram.upper, minlength=size), np.bincount(diagram.lower, minlength=size)
    most_covered, most_covering = np.zeros((2, parts), np.int64)
    np.maximum.at(most_covered, part, covered)
    np.maximum.at(most_covering, part, covering)
    maximal = np.bincount(part[covering == 0], minlength=parts)
    minimal = np.bincount(part[covered == 0], minlength=parts)
    tree, dual_tree = most_covered <= 1, most_covering <= 1
    return int(maximal[tree].sum() + minimal[dual_tree & ~tree].sum()), tree | dual_tree


def _connected_parts(diagram: Hasse) -> Int64Array:
    """Return the connected part of each class, with covers as undirected edges."""
    ends = np.concatenate([diagram.upper, diagram.lower])
    others = np.concatenate([diagram.lower, diagram.upper])
    offset = indptr(np.bincount(ends, minlength=diagram.order.size))
    return components(offset, others[np.argsort(ends, kind="stable")])
