"""Build the tree of a mask's modules: sets of positions that the other positions cannot distinguish.

A *module* of a mask is a set of positions such that every position outside sees all of it or nothing, and is seen by
all of it or by nothing. A module is *strong* if it overlaps no other, that is, any other contains it, lies in it or is
disjoint from it. The strong modules form a tree. Two disjoint modules attend to one another completely or not at all,
so no block of that tree is allowed in part.

What a family looks like to its own nodes is one of four kinds: none attends to another (*parallel*), all see all
(*complete*), each sees those before it (*linear*), or *prime*, where no proper part of two or more nodes is a module.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array

LARGEST = 2048
"""Positions up to which modules are looked for; dense tables of pairs are held."""


def module_tree(mask: Mask | BoolArray, most: int | None = None) -> Tree:
    """Return the tree of the strong modules of a mask, or of a partial order; the diagonal does not matter.

    Parameters
    ----------
    mask : Mask of one table, or (n, n) bool
        ``[q, k]`` true iff q sees k.
    most : int, optional
        Families of more nodes that are not prime are split into windows of so many: neighbours in such a family are
        modules too, so no block is lost.

    Raises
    ------
    InvalidInstance
        For no positions, several tables, or ``most`` below 2.
    Unsupported
        Above 2,048 positions.

    Examples
    --------
    Two prompts that do not see each other, each with two answers that see it:

    >>> from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree
    >>> sees = np.zeros((6, 6), bool)
    >>> sees[[1, 2], 0] = sees[[4, 5], 3] = True
    >>> lists_of_tree(module_tree(sees))
    [[0, [1, 2]], [3, [4, 5]]]
    >>> lists_of_tree(module_tree(np.tri(8, dtype=bool), most=3))
    [[0, 1, 2], [3, 4, 5], [6, 7]]
    """
    sees = _relation(mask)
    if most is not None and (type(most) is not int or most < 2):
        raise InvalidInstance(f"expected families of at least 2 nodes, got {most!r:.40}", "")
    root: list[Any] = []
    pending = [(np.arange(len(sees)), root)]
    while pending:
        places, into = pending.pop()
        if len(places) == 1:
            into.append(int(places[0]))
            continue
        parts, prime = _children(sees, places)
        made: list[Any] = [[] for _ in parts]
        pending += list(zip(parts, made, strict=True))
        into.append(made if prime or most is None else _split(made, most))
    return tree_of_lists(_without_wraps(root[0]))


def _relation(mask: Mask | BoolArray) -> BoolArray:
    table = mask.dense() if isinstance(mask, Mask) and mask.size <= LARGEST else mask
    size = mask.size if isinstance(mask, Mask) else len(mask)
    if size > LARGEST:
        raise Unsupported(f"{size:,} positions: modules are found up to {LARGEST:,}; give --branching or a tree")
    if not isinstance(table, np.ndarray) or table.dtype != bool or table.ndim != 2 or table.shape[0] != table.shape[1]:
        shape = getattr(table, "shape", None)
        raise InvalidInstance(f"expected one boolean table (n, n), got shape {shape}", "")
    if not size:
        raise InvalidInstance("a mask of 0 positions", "", "give one that has some")
    return table & ~np.eye(size, dtype=bool)


def _children(sees: BoolArray, places: Int64Array) -> tuple[list[Int64Array], bool]:
    """Return the maximal strong modules inside a strong module, and whether they are a prime family."""
    inner = sees[np.ix_(places, places)]
    off = ~np.eye(len(places), dtype=bool)
    for linked in (inner | inner.T, ~(inner & inner.T) & off):
        parts = _components(linked)
        if len(parts) > 1:
            return [places[part] for part in parts], False
    parts = _line(inner)
    if len(parts) > 1:
        return [places[part] for part in parts], False
    return [places[part] for part in _prime(inner)], True


def _components(linked: BoolArray) -> list[Int64Array]:
    """Return the connected components of a symmetric relation, by least member."""
    left = np.ones(len(linked), bool)
    parts = []
    while left.any():
        part = _reached(linked, int(np.argmax(left)))
        left &= ~part
        parts.append(np.flatnonzero(part))
    return parts


def _reached(linked: BoolArray, start: int) -> BoolArray:
    result = np.zeros(len(linked), bool)
    result[start] = True
    front = np.array([start])
    while len(front):
        new = linked[front].any(axis=0) & ~result
        result |= new
        front = np.flatnonzero(new)
    return result


def _line(inner: BoolArray) -> list[Int64Array]:
    """Return the finest parts such that each later part attends to all of the earlier ones, and not vice versa.

    A first part of k positions comes before n - k others each, every other position before fewer: so the parts are cuts
    of the order by that number, namely where all k (n - k) pairs across are right.
    """
    size = len(inner)
    before = inner.T & ~inner
    order = np.argsort(-before.sum(axis=1), kind="stable")
    table = before[np.ix_(order, order)]
    within = np.cumsum([table[:k, k].sum() + table[k, :k].sum() for k in range(size)])
    across = np.cumsum(table.sum(axis=1)) - within
    count = np.arange(1, size + 1)
    cuts = np.flatnonzero(across == count * (size - count)) + 1
    return [np.sort(part) for part in np.split(order, cuts[:-1])]


def _prime(inner: BoolArray) -> list[Int64Array]:
    """Return the maximal proper modules of a family that is neither parallel, complete nor linear; they are disjoint.

    One is the largest that contains position 0; the others are the largest that do not, and lie outside it.
    """
    first = _largest_module(inner, 0)
    label = _without_first(inner)
    label[first] = -1
    return [first, *(np.flatnonzero(label == code) for code in np.unique(label[label >= 0]))]


def _without_first(inner: BoolArray) -> Int64Array:
    """Return the largest modules without position 0, as labels.

    Parts are split by what positions outside them distinguish, until nothing changes.
    """
    colour = inner + 2 * inner.T.astype(np.int64)
    label = (np.arange(len(inner)) > 0).astype(np.int64)
    parts, before = 2, 0
    while parts > before:
        before = parts
        for pivot in range(len(inner)):
            split = 4 * label + np.where(label == label[pivot], 0, colour[pivot])
            values, label = np.unique(split, return_inverse=True)
            parts = len(values)
    return label


def _largest_module(inner: BoolArray, v: int) -> Int64Array:
    """Return the largest proper module that contains v.

    The least module with v and x contains x, and with every s each y outside that distinguishes s from v. It is what x
    reaches along these arrows; x stays out of the largest proper module iff it reaches everything. All such x reach one
    of them, the last start of a search over all.
    """
    distinguishes = (inner[:, v] != inner.T) | (inner != inner[v])
    distinguishes[v], distinguishes[:, v] = False, False
    np.fill_diagonal(distinguishes, False)
    seen = np.zeros(len(inner), bool)
    seen[v] = True
    last = v
    while not seen.all():
        last = int(np.argmin(seen))
        seen |= _reached(distinguishes, last)
    outside = _reached(distinguishes.T, last)
    outside[v] = False
    return np.flatnonzero(~outside)


def _split(parts: list[Any], most: int) -> list[Any]:
    while len(parts) > most:
        parts = [parts[low : low + most] if low + 1 < len(parts) else parts[low] for low in range(0, len(parts), most)]
    return parts


def _without_wraps(root: Any) -> Any:
    """Replace lists of one element by that element in nested lists."""
    pending = [root]
    while pending:
        family = pending.pop()
        for index, child in enumerate(family if isinstance(family, list) else []):
            while isinstance(child, list) and len(child) == 1:
                child = child[0]
            family[index] = child
            pending.append(child)
    return root
