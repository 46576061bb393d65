"""Measure the distance of block-tied to softmax attention, and certify that no block-tied matrix is closer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.diagnostics.hierarchy.inputs import FloatArray, Inputs
from masksynth.diagnostics.hierarchy.tied_attention import Attention, attend, massless_rows
from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.diagnostics.hierarchy.visible_siblings import Sight
from masksynth.errors import Unsupported
from masksynth.mask.typing import BoolArray

ENTRIES = 2**22
LARGEST_EPS = 4096
"""Positions up to which softmax scores with position embeddings of nodes are written out."""


class Distance(NamedTuple):
    """KL divergences from block-tied to softmax attention.

    ``rows`` (N,): of each row, infinite where the row is empty. ``total``: their sum as the rows give it. ``identity``:
    the same by ``N phi(root) + sum_i log Z_i``, the value of the minimum.
    """

    rows: FloatArray
    total: float
    identity: float


def distance(tree: Tree, inputs: Inputs, sight: Sight) -> Distance:
    """Return KL(theta_i || softmax_i) of every row.

    Takes O(M b^2) for the tree and O(N^2) for softmax, without an N x N array.

    The softmax is over what ``sight`` allows: all, its mask, or the positions before; with or without the position
    itself.

    Examples
    --------
    >>> from masksynth.diagnostics.hierarchy import inputs_of, sight_of, windows
    >>> tree, x = windows(12, (2, 3)), np.sin(np.arange(36.0)).reshape(12, 3)
    >>> found = distance(tree, inputs_of(tree, x, x), sight_of(tree))
    >>> round(found.total, 12) == round(found.identity, 12), round(found.total, 6)
    (True, 2.240884)
    """
    result = attend(tree, inputs, inputs.k.astype(np.result_type(inputs.q, inputs.k)), sight)
    logs = log_normalisers(tree, inputs, sight)
    rows = _free_energies(tree, inputs, result, sight) + logs
    empty = massless_rows(tree, sight)
    rows = np.where(empty, np.inf, rows)
    return Distance(
        rows, float(rows.sum()), float(tree.size * result.energies.phi[0] + logs.sum()) if not empty.any() else np.inf
    )


def _free_energies(tree: Tree, inputs: Inputs, result: Attention, sight: Sight) -> FloatArray:
    """Return ``sum_j theta_ij (log theta_ij - score_ij)`` of each position i.

    With the means of the blocks in place of the scores it is the sum, over the nodes A above i, of the mass that A
    gives to its siblings times ``log s(parent) - log(e^-phi(A) + e^-eta(A))``, and the same for what the leaf keeps.
    The scores themselves differ from the means by dot products alone, since position embeddings are constant on blocks.
    """
    energy, whole = result.energies, result.energies.whole
    node_q = energy.q
    free = np.zeros(tree.nodes)
    for low, high in tree.levels[1:]:
        above = tree.parent[low:high]
        given = result.cross[low:high]
        level = np.where(given > 0, result.log_mass[above], 0) - np.where(given > 0, whole[low:high], 0)
        mean = inputs.scale * np.einsum("nd,nd->n", node_q[low:high], energy.seen[low:high])
        free[low:high] = free[above] + given * (level + mean)
    leaf = np.flatnonzero(tree.position >= 0)
    at = tree.position[leaf]
    kept = np.exp(result.log_mass[leaf])
    own = np.where(kept > 0, result.log_mass[leaf] + np.where(kept > 0, energy.phi[leaf], 0), 0)
    own += inputs.scale * np.einsum("nd,nd->n", inputs.q[at], inputs.k[at])
    rows = np.empty(tree.size)
    rows[at] = free[leaf] + np.where(kept > 0, kept * own, 0)
    found_rows: FloatArray = rows - inputs.scale * np.einsum("nd,nd->n", inputs.q, result.output)
    return found_rows


def log_normalisers(tree: Tree, inputs: Inputs, sight: Sight) -> FloatArray:
    """Return ``log sum_k exp(score[i, k])`` over the keys of each position i; minus infinity for none.

    Takes O(N^2) time, in pieces.

    Raises
    ------
    Unsupported
        With position embeddings above 4,096 positions.
    """
    size = tree.size
    if inputs.eps is not None and size > LARGEST_EPS:
        raise Unsupported(
            f"{size:,} positions with embeddings: softmax scores are written out up to {LARGEST_EPS:,}; leave eps out"
        )
    extra = None if inputs.eps is None else _embedded(tree, inputs.eps)
    logs = np.empty(size)
    step = max(1, ENTRIES // size)
    for low in range(0, size, step):
        high = min(low + step, size)
        score = inputs.scale * (inputs.q[low:high] @ inputs.k.T)
        if extra is not None:
            score = score + extra[low:high]
        score[~_allowed(sight, size, low, high)] = -np.inf
        top = score.max(axis=1)
        top = np.where(np.isneginf(top), 0, top)
        with np.errstate(divide="ignore"):
            logs[low:high] = top + np.log(np.exp(score - top[:, None]).sum(axis=1))
    return logs


def _allowed(sight: Sight, size: int, low: int, high: int) -> BoolArray:
    """Return rows low .. high - 1 of the pairs that softmax attention may use."""
    rows = np.arange(low, high)
    if sight.mask is not None:
        may = np.zeros((high - low, size), bool)
        for row in rows.tolist():
            may[row - low, sight.mask.row(row)] = True
    elif sight.causal:
        may = np.arange(size) <= rows[:, None]
    else:
        may = np.ones((high - low, size), bool)
    may[rows - low, rows] = sight.itself[low:high]
    return may


def _embedded(tree: Tree, eps: FloatArray) -> FloatArray:
    """Return ``eps[A'] . eps[B']`` of all pairs of positions, A' and B' their highest distinct ancestors."""
    by_rank = np.zeros((tree.size, tree.size))
    for level in tree.plan:
        for group in level:
            for child in group.child:
                low, many = int(tree.first[child[0]]), tree.count[child]
                part = slice(low, low + int(many.sum()))
                by_rank[part, part] = np.repeat(np.repeat(eps[child] @ eps[child].T, many, axis=0), many, axis=1)
    own = np.empty(tree.size)
    own[tree.first[tree.leaves]] = (eps[tree.leaves] ** 2).sum(axis=1)
    by_rank[np.arange(tree.size), np.arange(tree.size)] = own
    result = np.empty_like(by_rank)
    result[np.ix_(tree.order, tree.order)] = by_rank
    return result
