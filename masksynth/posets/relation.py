"""Boolean relations on the nodes 0, ..., n - 1 and their algebra.

``relation[q, k]`` is True iff q attends to k: rows are queries, columns are keys, and information flows from k to q.
One layer of a Transformer with mask M carries A = M or I, since the residual connection keeps what a position had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.posets.bit_rows import multiply, pack, unpack

Relation = NDArray[np.bool_]


def as_relation(value: Any, name: str = "relation") -> Relation:
    """Return the value as an ``(n, n)`` bool array; other types are not converted.

    Parameters
    ----------
    value : array_like
    name : str
        Name of the argument, for the message.

    Raises
    ------
    InvalidInstance
        If it is not a bool array, not two-dimensional or not square.

    Examples
    --------
    >>> as_relation([[True, False], [True, True]]).shape
    (2, 2)
    """
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise InvalidInstance(f"{name}: expected a bool array, got {array.dtype}", remedy="compare it with 0 first")
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise InvalidInstance(
            f"{name}: expected shape (n, n), got {array.shape}", remedy="give one row and one column per node"
        )
    return array


def identity(n: int) -> Relation:
    """Return I: every node attends to itself only."""
    return np.eye(n, dtype=np.bool_)


def reflexive(relation: Relation) -> Relation:
    """Return A = M or I: what one layer with mask M and a residual connection carries.

    Examples
    --------
    >>> reflexive(np.zeros((2, 2), bool)).tolist()
    [[True, False], [False, True]]
    """
    relation = as_relation(relation)
    return relation | identity(len(relation))


def compose(later: Relation, earlier: Relation) -> Relation:
    """Return the Boolean product: (later earlier)[q, k] iff later[q, m] and earlier[m, k] for some m.

    Parameters
    ----------
    later, earlier : (n, n) bool
        ``earlier`` is applied first.

    Raises
    ------
    InvalidInstance
        If an argument is not a relation, or the sizes differ.

    Examples
    --------
    Node 2 attends to 1 in the second layer, and 1 to 0 in the first; not the other way round.

    >>> first, second = np.zeros((2, 3, 3), bool)
    >>> first[1, 0] = second[2, 1] = True
    >>> np.argwhere(compose(second, first)).tolist(), np.argwhere(compose(first, second)).tolist()
    ([[2, 0]], [])
    """
    later, earlier = as_relation(later, "later"), as_relation(earlier, "earlier")
    if later.shape != earlier.shape:
        raise InvalidInstance(f"expected relations of equal size, got {len(later)} and {len(earlier)} nodes")
    return unpack(multiply(pack(later), pack(earlier)), len(later))


def power(relation: Relation, exponent: int) -> Relation:
    """Return relation^exponent, by repeated squaring: walks of exactly ``exponent`` steps. Power 0 is I.

    For what L layers with a residual connection reach, take the power of ``reflexive(relation)``.

    Raises
    ------
    InvalidInstance
        If the exponent is not an integer >= 0.

    Examples
    --------
    >>> step = np.eye(4, k=-1, dtype=bool)
    >>> np.argwhere(power(step, 3)).tolist()
    [[3, 0]]
    """
    relation = as_relation(relation)
    if isinstance(exponent, bool) or not isinstance(exponent, int | np.integer) or exponent < 0:
        raise InvalidInstance(f"exponent: expected an integer >= 0, got {exponent!r}")
    result, square, rest = pack(identity(len(relation))), pack(relation), int(exponent)
    while rest:
        if rest & 1:
            result = multiply(square, result)
        rest >>= 1
        if rest:
            square = multiply(square, square)
    return unpack(result, len(relation))


def layer_flows(masks: Iterable[Relation]) -> Iterator[Relation]:
    """Yield the flow after each layer: A_1, then A_2 A_1, up to A_L ... A_1.

    A_i = M_i or I, and M_1 is applied first.

    Parameters
    ----------
    masks : iterable of (n, n) bool
        One mask per layer, the first layer's first.

    Yields
    ------
    (n, n) bool
        After layer i: entry [q, k] is true iff position q has seen the input of position k.

    Raises
    ------
    InvalidInstance
        If a mask is not a relation, or its size is not that of the first.

    Examples
    --------
    >>> keep, shift = np.zeros((3, 3), bool), np.eye(3, k=-1, dtype=bool)
    >>> [int(flow.sum()) for flow in layer_flows([keep, shift, shift])]
    [3, 5, 6]
    """
    reached = None
    for layer, mask in enumerate(masks, start=1):
        step = pack(reflexive(as_relation(mask, f"the mask of layer {layer}")))
        if reached is not None and len(step) != len(reached):
            raise InvalidInstance(
                f"expected masks of equal size, got {len(step)} nodes in layer {layer} and {len(reached)} in layer 1"
            )
        reached = step if reached is None else multiply(step, reached)
        yield unpack(reached, len(reached))


def layer_product(masks: Iterable[Relation]) -> Relation:
    """Return A_L ... A_1 with A_i = M_i or I: what the last layer has seen; the first mask is applied first.

    Raises
    ------
    InvalidInstance
        As ``layer_flows``; also if there are no layers, since the number of nodes is then unknown.

    Examples
    --------
    >>> first, second = np.zeros((2, 3, 3), bool)
    >>> first[1, 0] = second[2, 1] = True
    >>> bool(layer_product([first, second])[2, 0]), bool(layer_product([second, first])[2, 0])
    (True, False)
    """
    last = deque(layer_flows(masks), maxlen=1)
    if not last:
        raise InvalidInstance("the product of zero layers has no size", remedy="give at least one mask")
    return last[0]


def covers(order: Relation) -> Relation:
    """Return the cover relation of a partial order: q covers k iff k < q and no m is between them.

    Its drawing is the Hasse diagram.

    Parameters
    ----------
    order : (n, n) bool
        A partial order (reflexive, transitive, antisymmetric), or its strict part.

    Notes
    -----
    For a strict order S it is S without S S, the transitive reduction, which for a partial order is unique.

    Examples
    --------
    >>> np.argwhere(covers(np.tril(np.ones((4, 4), bool)))).tolist()
    [[1, 0], [2, 1], [3, 2]]
    """
    order = as_relation(order)
    strict = order & ~identity(len(order))
    return strict & ~compose(strict, strict)
