"""Compute energies from the leaves to the root in one pass: O(M b^2) for M families of at most b nodes.

With ``psi(A -> B)`` the mean of ``psi(i -> j)`` over the leaves i of A and j of B, and |A| the number of leaves of A:

- ``exp(-eta(A)) = sum over siblings C of |C| exp(-psi(A -> C))``: what A sees in its family;
- ``phi(A) = -sum over children B of (|B| / |A|) log(exp(-phi(B)) + exp(-eta(B)))``; of a leaf infinity, or psi(i -> i)
if it sees itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masksynth.diagnostics.hierarchy.inputs import FloatArray, Inputs
from masksynth.diagnostics.hierarchy.tree import Families, Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight
from masksynth.mask.typing import BoolArray, Int64Array

ENTRIES = 2**21
"""Scores of siblings that are held at once."""


class Energies(NamedTuple):
    """Energies and means of each of V nodes.

    ``phi`` and ``eta`` (V,) are the energies, infinite where there is nothing to attend to; ``q``, ``k``, ``v`` the
    means over the leaves; ``seen`` (V, c) the mean value of the siblings that the node attends to, by their softmax.
    """

    phi: FloatArray
    eta: FloatArray
    q: FloatArray
    k: FloatArray
    v: FloatArray
    seen: FloatArray

    @property
    def whole(self) -> FloatArray:
        """Return ``log(exp(-phi) + exp(-eta))`` of each node: the mass of a row inside it; -inf for none."""
        return log_sum(-self.phi, -self.eta)


def energies(tree: Tree, inputs: Inputs, v: FloatArray, sight: Sight) -> Energies:
    """Return energies and means of all nodes, computed from the deepest families up.

    Examples
    --------
    Two leaves that do not see themselves: each sees the other, so phi(root) is the mean of psi(0 -> 1) and psi(1 -> 0).

    >>> from masksynth.diagnostics.hierarchy import inputs_of, sight_of, tree_of_lists
    >>> tree = tree_of_lists([0, 1])
    >>> q, k = np.array([[1.0], [2.0]]), np.array([[3.0], [5.0]])
    >>> energies(tree, inputs_of(tree, q, k), k, sight_of(tree)).phi[0]
    np.float64(-5.5)
    """
    result = _leaves(tree, inputs, v, sight)
    for level in range(len(tree.plan) - 1, -1, -1):
        for group, allowed in zip(tree.plan[level], sight.blocks[level], strict=True):
            _siblings(tree, result, inputs, group, allowed)
            _parents(tree, result, group)
    return result


def log_sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return ``log(exp(a) + exp(b))``, minus infinity where both are."""
    with np.errstate(invalid="ignore"):
        result: FloatArray = np.logaddexp(a, b)
    return result


def _leaves(tree: Tree, inputs: Inputs, v: FloatArray, sight: Sight) -> Energies:
    leaf = np.flatnonzero(tree.position >= 0)
    at = tree.position[leaf]
    kind = np.result_type(inputs.q, inputs.k, v)
    phi, eta = (np.full(tree.nodes, np.inf, kind) for _ in range(2))
    own = -inputs.scale * np.einsum("nd,nd->n", inputs.q[at], inputs.k[at])
    if inputs.eps is not None:
        own -= (inputs.eps[leaf] ** 2).sum(axis=1)
    phi[leaf] = np.where(sight.itself[at], own, np.inf)
    q, k, values = (np.zeros((tree.nodes, table.shape[1]), kind) for table in (inputs.q, inputs.k, v))
    for mean, table in zip((q, k, values), (inputs.q, inputs.k, v), strict=True):
        mean[leaf] = table[at]
    return Energies(phi, eta, q, k, values, np.zeros_like(values))


def _siblings(tree: Tree, result: Energies, inputs: Inputs, group: Families, allowed: BoolArray) -> None:
    """Return eta and the mean value of the attended siblings, for the children of all families of a group."""
    for rows, child, may in portions(group, allowed):
        score = sibling_scores(result.q[rows], result.k[child], inputs, rows, child)
        score += np.log(tree.count[child])[:, None, :]
        score[~np.broadcast_to(may, score.shape)] = -np.inf
        top = score.max(axis=2, keepdims=True)
        weight = np.exp(score - np.where(np.isneginf(top), 0, top))
        total = weight.sum(axis=2)
        blind = total == 0
        result.eta[rows] = np.where(blind, np.inf, -(top[:, :, 0] + np.log(np.where(blind, 1, total))))
        result.seen[rows] = (weight @ result.v[child]) / np.where(blind, 1, total)[:, :, None]


def portions(group: Families, allowed: BoolArray) -> Iterator[tuple[Int64Array, Int64Array, BoolArray]]:
    """Yield pieces of a group of at most ``ENTRIES`` scores, or one row.

    A piece consists of nodes (f, r), their families (f, b), and what they may attend to (f, r, b).
    """
    count, size = group.child.shape
    step = max(1, ENTRIES // size**2)
    rows = max(1, min(size, ENTRIES // size))
    for low in range(0, count, step):
        child = group.child[low : low + step]
        may = allowed[low : low + step] if len(allowed) > 1 else allowed
        for first in range(0, size, rows):
            yield child[:, first : first + rows], child, may[:, first : first + rows]


def sibling_scores(q: FloatArray, k: FloatArray, inputs: Inputs, rows: Int64Array, child: Int64Array) -> FloatArray:
    """Return ``-psi`` of each row's node to each child of its family."""
    score: FloatArray = inputs.scale * (q @ k.swapaxes(1, 2))
    if inputs.eps is not None:
        score = score + inputs.eps[rows] @ inputs.eps[child].swapaxes(1, 2)
    return score


def _parents(tree: Tree, result: Energies, group: Families) -> None:
    share = tree.count[group.child] / tree.count[group.parent][:, None]
    whole = log_sum(-result.phi[group.child], -result.eta[group.child])
    result.phi[group.parent] = -(share * whole).sum(axis=1)
    for mean in (result.q, result.k, result.v):
        mean[group.parent] = np.einsum("fb,fbd->fd", share.astype(mean.dtype), mean[group.child])
