"""Preorders: reachability at any depth, strongly connected components, depth, and transitive reduction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masksynth.posets.bit_rows import close, multiply, pack, unpack
from masksynth.posets.extensions import first_extension
from masksynth.posets.relation import Relation, as_relation, covers, identity, reflexive

Classes = tuple[tuple[int, ...], ...]


def closure(relation: Relation) -> Relation:
    """Return R = A*, the reflexive and transitive closure: q reaches k in any number of layers.

    Parameters
    ----------
    relation : (n, n) bool
        ``[q, k]`` true = q attends to k; the diagonal may be set or not; cycles are allowed.

    Notes
    -----
    Warshall's algorithm on packed rows, eight pivots at a time: n^3 / 512 word operations at any density.

    References
    ----------
    S. Warshall, "A theorem on Boolean matrices", J. ACM 9 (1962).

    Examples
    --------
    >>> closure(np.eye(3, k=-1, dtype=bool)).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    words = pack(reflexive(relation))
    close(words)
    return unpack(words, len(words))


def is_preorder(relation: Relation) -> bool:
    """Return whether the relation is reflexive and transitive, that is, equals its closure."""
    return bool(np.array_equal(as_relation(relation), closure(relation)))


def is_dense(mask: Relation) -> bool:
    """Return whether one layer suffices: A = M or I is transitive, so A = A*.

    Examples
    --------
    A causal mask is dense; a sliding window of two is not, on three positions.

    >>> causal = np.tril(np.ones((3, 3), bool))
    >>> is_dense(causal), is_dense(np.triu(causal, -1))
    (True, False)
    """
    return is_preorder(reflexive(mask))


def depth(relation: Relation) -> int:
    """Return the least L with A^L = A*, where A = M or I.

    It is the number of layers with this mask that reach all that any number of layers reaches.

    Notes
    -----
    The powers of a reflexive relation grow until they are constant, at the latest at n - 1, so L is found by doubling
    and then by bisection: 2 log2(L) products. L is also the length of the longest shortest path. It is 0 iff no node
    attends to another.

    Examples
    --------
    >>> depth(np.eye(6, k=-1, dtype=bool)), depth(np.tril(np.ones((6, 6), bool))), depth(np.eye(6, dtype=bool))
    (5, 1, 0)
    """
    powers, goal = [pack(reflexive(relation))], pack(closure(relation))
    while not np.array_equal(powers[-1], goal):
        powers.append(multiply(powers[-1], powers[-1]))
    reached, layers = pack(identity(len(goal))), 0
    if np.array_equal(reached, goal):
        return 0
    # Invariant: A^layers = reached, which is not yet A*, while A^(layers + 2^(i + 1)) is.
    for i in reversed(range(len(powers) - 1)):
        trial = multiply(powers[i], reached)
        if not np.array_equal(trial, goal):
            reached, layers = trial, layers + 2**i
    return layers + 1


def classes(relation: Relation) -> Classes:
    """Return the strongly connected components, each after all components that it depends on.

    Returns
    -------
    tuple of tuples of int
        Members ascending. Among all bottom-up orders of the classes, the one whose least members come lexicographically
        first: for a causal relation ``((0,), (1,), ..., (n - 1,))``.

    Examples
    --------
    >>> mask = np.zeros((4, 4), bool)
    >>> mask[0, 3] = mask[3, 0] = mask[0, 1] = True
    >>> classes(mask)
    ((1,), (0, 3), (2,))
    """
    reach = closure(relation)
    least = least_mutual(reach)
    leaders = np.flatnonzero(least == np.arange(len(reach)))
    ordered = [leaders[i] for i in first_extension(reach[np.ix_(leaders, leaders)])]
    return tuple(tuple(np.flatnonzero(least == leader).tolist()) for leader in ordered)


def least_mutual(preorder: Relation) -> NDArray[np.intp]:
    """Return the least member of the class of each element of a preorder.

    Parameters
    ----------
    preorder : (n, n) bool
        Reflexive and transitive.

    Examples
    --------
    >>> least_mutual(np.array([[True, False, True], [True, True, True], [True, False, True]])).tolist()
    [0, 1, 0]
    """
    return (preorder & preorder.T).argmax(axis=1) if len(preorder) else np.zeros(0, np.intp)


def reduction(relation: Relation) -> Relation:
    """Return the transitive reduction.

    It is a relation with the fewest edges, none on the diagonal, that has the same closure.

    For an acyclic relation it is the cover relation of its closure, and unique. With cycles, each class of more than
    one element becomes one simple cycle through its members, and each cover of the quotient becomes one edge between
    the least members.

    Returns
    -------
    (n, n) bool
        With cycles it need not be a subset of the given relation.

    References
    ----------
    A. V. Aho, M. R. Garey, J. D. Ullman, "The transitive reduction of a directed graph", SIAM J. Computing 1 (1972),
    theorem 2.

    Examples
    --------
    >>> mask = np.zeros((4, 4), bool)
    >>> mask[:3, :3] = mask[3] = True
    >>> np.argwhere(reduction(mask)).tolist()
    [[0, 2], [1, 0], [2, 1], [3, 0]]
    """
    reach = closure(relation)
    least = least_mutual(reach)
    leaders = np.flatnonzero(least == np.arange(len(reach)))
    reduced = np.zeros_like(reach)
    reduced[np.ix_(leaders, leaders)] = covers(reach[np.ix_(leaders, leaders)])
    # One cycle through each class: sorted by class, a node attends to the one before it, and the first (the least) to
    # the last.
    nodes = np.argsort(least, kind="stable")
    before = np.roll(nodes, 1)
    first = nodes == least[nodes]
    before[first] = nodes[np.roll(first, -1)]  # a node is the last of its class iff the next one is a first
    reduced[nodes, before] |= nodes != before
    return reduced
