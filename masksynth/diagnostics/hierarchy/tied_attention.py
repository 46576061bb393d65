"""Compute hierarchical self-attention by dynamic programming, O(M b^2), and directly, O(b^2 M log M)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.hierarchy.energies import Energies, energies
from masksynth.diagnostics.hierarchy.inputs import FloatArray, Inputs, inputs_of, values_of
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight, sight_of
from masksynth.mask.typing import BoolArray, Int64Array

LEAVES = 2**11
"""Leaves that the direct evaluation takes at once."""


class Attention(NamedTuple):
    """Output (N, c) of the attention, its energies, and what each node passes on.

    ``log_mass`` (V,): log of the mass s(A) that a row of A keeps within A. ``cross`` (V,): the mass it gives to the
    siblings of A.
    """

    output: FloatArray
    energies: Energies
    log_mass: FloatArray
    cross: FloatArray


def hierarchical_attention(
    tree: Tree,
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    scale: float | None = None,
    scores: str = "dot",
    eps: ArrayLike | None = None,
    sight: Sight | None = None,
) -> FloatArray:
    """Return the output of block-tied attention: row i is ``sum_j theta[i, j] v[j]``.

    Theta is the row-stochastic matrix, constant on every block of two siblings, whose rows are together closest to
    those of softmax attention: the least ``sum_i KL(theta_i || softmax_i)``. It is never written down.

    Parameters
    ----------
    tree : Tree
    q, k, v : (N, d), (N, d), (N, c) float
    scale, scores, eps
        As in `inputs_of`.
    sight : Sight, optional
        From `sight_of` [default: all siblings, not itself].

    Returns
    -------
    (N, c) float
        0 in rows that may attend to nothing; see `massless_rows`.

    Examples
    --------
    A flat tree is softmax attention without the diagonal:

    >>> from masksynth.diagnostics.hierarchy import tree_of_lists
    >>> x = np.log([[2.0], [3.0], [5.0]])
    >>> hierarchical_attention(tree_of_lists([0, 1, 2]), np.ones((3, 1)), x, x).round(3).ravel().tolist()
    [1.418, 1.348, 0.936]
    """
    return attend(
        tree, inputs_of(tree, q, k, scale=scale, scores=scores, eps=eps), values_of(tree, v), sight or sight_of(tree)
    ).output


def attend(tree: Tree, inputs: Inputs, v: FloatArray, sight: Sight) -> Attention:
    """Run the dynamic programme: energies up, masses and values down."""
    result = energies(tree, inputs, v, sight)
    whole = result.whole
    inner, cross = _minus(-result.phi, whole), _minus(-result.eta, whole)
    log_mass = np.zeros(tree.nodes, result.phi.dtype)
    given = np.zeros_like(log_mass)
    value = np.zeros_like(result.v)
    for low, high in tree.levels[1:]:
        above = tree.parent[low:high]
        given[low:high] = np.exp(log_mass[above] + cross[low:high])
        value[low:high] = value[above] + given[low:high, None] * result.seen[low:high]
        log_mass[low:high] = log_mass[above] + inner[low:high]
    if tree.nodes == 1 and not sight.itself[0]:
        log_mass[0] = -np.inf
    leaf = np.flatnonzero(tree.position >= 0)
    output = np.empty((tree.size, v.shape[1]), value.dtype)
    output[tree.position[leaf]] = value[leaf] + np.exp(log_mass[leaf])[:, None] * v[tree.position[leaf]]
    return Attention(output, result, log_mass, given)


def _minus(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return ``part - whole``, minus infinity where the part is."""
    empty = np.isneginf(part)
    result: FloatArray = np.where(empty, -np.inf, np.where(empty, 0, part) - np.where(empty, 0, whole))
    return result


def massless_rows(tree: Tree, sight: Sight) -> BoolArray:
    """Return whether each position's row of the block-tied matrix is empty.

    The position and all nodes above it then have nothing to attend to.

    A family is *degenerate* where one of its children has nothing: its phi is infinite, and below the root it keeps no
    mass.

    Examples
    --------
    Causal, itself excluded: a first leaf has nothing, so no leaf family keeps mass, and the first of them sees nothing
    at all.

    >>> from masksynth.diagnostics.hierarchy import tree_of_lists
    >>> tree = tree_of_lists([[0, 1], [2, 3], [4, 5]])
    >>> massless_rows(tree, sight_of(tree, causal=True)).tolist()
    [True, True, False, False, False, False]
    """
    zeros = np.zeros((tree.size, 1))
    result = attend(tree, Inputs(zeros, zeros, 1.0, None), zeros, sight)
    mass = np.zeros(tree.nodes)
    for low, high in tree.levels[1:]:
        mass[low:high] = mass[tree.parent[low:high]] + result.cross[low:high]
    leaf = np.flatnonzero(tree.position >= 0)
    empty = np.empty(tree.size, bool)
    empty[tree.position[leaf]] = mass[leaf] + np.exp(result.log_mass[leaf]) == 0
    return empty


def endless(tree: Tree, sight: Sight) -> BoolArray:
    """Return whether phi of each node is infinite, (V,): no row can keep mass inside it, unless it is the root."""
    zeros = np.zeros((tree.size, 1))
    return np.isposinf(energies(tree, Inputs(zeros, zeros, 1.0, None), zeros, sight).phi)


def degenerate_families(tree: Tree, sight: Sight) -> BoolArray:
    """Return whether each node is a family with a child that has nothing to attend to, (V,); False for leaves."""
    return endless(tree, sight) & (tree.position < 0)


def direct_attention(
    tree: Tree,
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    scale: float | None = None,
    scores: str = "dot",
    eps: ArrayLike | None = None,
    sight: Sight | None = None,
) -> FloatArray:
    """Return the same output by direct evaluation, one softmax over the siblings of each ancestor of each leaf.

    Nothing is shared between the leaves of a node but the energies, so a leaf costs b for each level above it: O(b^2 M
    log M) in a balanced tree, where the dynamic programme takes O(M b^2).

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import windows
    >>> tree, x = windows(12, (2, 3)), np.sin(np.arange(36.0)).reshape(12, 3)
    >>> bool(np.allclose(direct_attention(tree, x, x, x), hierarchical_attention(tree, x, x, x)))
    True
    """
    inputs = inputs_of(tree, q, k, scale=scale, scores=scores, eps=eps)
    values, seen = values_of(tree, v), sight or sight_of(tree)
    result = energies(tree, inputs, values, seen)
    output = np.zeros((tree.size, values.shape[1]), result.v.dtype)
    for first in range(0, tree.size, LEAVES):
        leaf = tree.leaves[first : first + LEAVES]
        output[tree.position[leaf]] = _leaf_rows(tree, inputs, result, seen, leaf)
    return output


def _leaf_rows(tree: Tree, inputs: Inputs, result: Energies, sight: Sight, leaf: Int64Array) -> FloatArray:
    """Return rows of some leaves, computed from each leaf's parent up.

    ``row(A) = (e^-phi(A) row inside A + sum_C |C| e^-psi v(C)) / (both sums)``.
    """
    row = np.where(sight.itself[tree.position[leaf]][:, None], result.v[leaf], 0)
    node = leaf.copy()
    for level in range(tree.depth - 1, -1, -1):
        above = tree.parent[node]
        inside = (above >= tree.level_offset[level]) & (above < tree.level_offset[level + 1])
        for group, allowed in zip(tree.plan[level], sight.blocks[level], strict=True):
            at = np.minimum(np.searchsorted(group.parent, above), len(group.parent) - 1)
            mine = np.flatnonzero(inside & (group.parent[at] == above))
            family, place = at[mine], node[mine] - tree.child_offset[above[mine]]
            may = allowed[family if len(allowed) > 1 else 0, place]
            row[mine] = _one_level(tree, inputs, result, node[mine], group.child[family], may, row[mine])
            node[mine] = group.parent[family]
    return row


def _one_level(
    tree: Tree, inputs: Inputs, result: Energies, node: Int64Array, child: Int64Array, may: BoolArray, row: FloatArray
) -> FloatArray:
    """Mix the inner rows of some nodes, ``row``, with the values of their siblings."""
    score = inputs.scale * np.einsum("nd,nbd->nb", result.q[node], result.k[child])
    if inputs.eps is not None:
        score = score + np.einsum("ne,nbe->nb", inputs.eps[node], inputs.eps[child])
    own = -result.phi[node]
    score = np.where(may, score, -np.inf)
    top = np.maximum(score.max(axis=1), own)
    top = np.where(np.isneginf(top), 0, top)
    weight = np.exp(score - top[:, None]) * tree.count[child]
    inner = np.exp(own - top)
    total = weight.sum(axis=1) + inner
    mixed = inner[:, None] * row + np.einsum("nb,nbc->nc", weight, result.v[child])
    made: FloatArray = mixed / np.where(total == 0, 1, total)[:, None]
    return made
