"""Write out the block-tied attention matrix from the definitions, to check small sizes.

It shares no code with the fast implementation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.mask.typing import BoolArray, Float64Array

Matrix = Float64Array


def leaf_scores(
    tree: Tree, q: ArrayLike, k: ArrayLike, scale: float | None = None, eps: ArrayLike | None = None
) -> Matrix:
    """Return ``-psi(i -> j)`` of all positions.

    These are scaled dot products, plus those of the embeddings of the highest distinct ancestors.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> leaf_scores(tree_of_lists([0, 1]), [[1.0], [2.0]], [[3.0], [5.0]]).tolist()
    [[3.0, 5.0], [6.0, 10.0]]
    """
    queries, keys = np.asarray(q, np.float64), np.asarray(k, np.float64)
    result: Matrix = queries @ keys.T * (1 / np.sqrt(queries.shape[1]) if scale is None else scale)
    if eps is None:
        return result
    where = np.asarray(eps, np.float64)
    for node in range(tree.nodes):
        below = _below(tree, node)
        if tree.position[node] >= 0:
            result[below[0], below[0]] += where[node] @ where[node]
        for a in _children(tree, node):
            for b in _children(tree, node):
                if a != b:
                    result[np.ix_(_below(tree, a), _below(tree, b))] += where[a] @ where[b]
    return result


def attention_matrix(tree: Tree, scores: ArrayLike, allowed: ArrayLike | None = None, included: bool = False) -> Matrix:
    """Return Theta, N x N, by the closed form node by node.

    A block with a forbidden pair in ``allowed``, (N, N) bool, is forbidden.

    ``theta[i, j] = s(P) e^-psi(A -> B) / (e^-phi(A) + e^-eta(A))`` for i below A, j below B, siblings with parent P;
    s(root) = 1 and ``s(A) = s(P) e^-phi(A) / (e^-phi(A) + e^-eta(A))``. Rows with nothing to attend to are 0.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy.nested_lists import tree_of_lists
    >>> attention_matrix(tree_of_lists([[0, 1], 2]), np.zeros((3, 3))).round(3).tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    table = np.asarray(scores, np.float64)
    may = np.ones(table.shape, bool) if allowed is None else np.asarray(allowed, bool)
    theta = np.zeros(table.shape)
    with np.errstate(divide="ignore"):
        _fill(tree, 0, 1.0, table, may, included, theta)
    return theta


def _children(tree: Tree, node: int) -> list[int]:
    return [child for child in range(tree.nodes) if tree.parent[child] == node]


def _below(tree: Tree, node: int) -> list[int]:
    if tree.position[node] >= 0:
        return [int(tree.position[node])]
    return [place for child in _children(tree, node) for place in _below(tree, child)]


def _crosses(tree: Tree, node: int, table: Matrix, may: BoolArray) -> dict[int, float]:
    """Return ``e^-psi`` to each sibling that may be attended to."""
    result = {}
    for other in _children(tree, int(tree.parent[node])) if node else []:
        block = np.ix_(_below(tree, node), _below(tree, other))
        if other != node and may[block].all():
            result[other] = float(np.exp(table[block].mean()))
    return result


def _inner(tree: Tree, node: int, table: Matrix, may: BoolArray, included: bool) -> float:
    """Return ``e^-phi``."""
    if tree.position[node] >= 0:
        place = tree.position[node]
        return float(np.exp(table[place, place])) if included and may[place, place] else 0.0
    energy = 0.0
    for child in _children(tree, node):
        total = _inner(tree, child, table, may, included) + _outer(tree, child, table, may)
        energy -= len(_below(tree, child)) / len(_below(tree, node)) * float(np.log(total))
    return float(np.exp(-energy))


def _outer(tree: Tree, node: int, table: Matrix, may: BoolArray) -> float:
    """Return ``e^-eta``."""
    return sum(len(_below(tree, other)) * value for other, value in _crosses(tree, node, table, may).items())


def _fill(tree: Tree, node: int, mass: float, table: Matrix, may: BoolArray, included: bool, theta: Matrix) -> None:
    if tree.position[node] >= 0:
        theta[tree.position[node], tree.position[node]] = (
            mass if included and may[tree.position[node], tree.position[node]] else 0.0
        )
        return
    for child in _children(tree, node):
        inner = _inner(tree, child, table, may, included)
        total = inner + _outer(tree, child, table, may)
        for other, value in _crosses(tree, child, table, may).items() if total else ():
            theta[np.ix_(_below(tree, child), _below(tree, other))] = mass * value / total
        _fill(tree, child, mass * inner / total if total else 0.0, table, may, included, theta)
