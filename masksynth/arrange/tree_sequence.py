"""The sequence in which trees follow one another: beam search over a table of their losses at each offset.

A tree that begins at offset o (its first position modulo the block size) costs ``loss[tree, o]`` more than at its best
offset, and the next tree begins at o plus its length. Trees that fit few offsets are worth placing where they fit: a
partial sequence is rated by its loss so far plus, for each remaining tree, a low quantile of its losses.
"""

from __future__ import annotations

import numpy as np

from masksynth.mask.typing import BoolArray, Float64Array, Int64Array

WIDTH, EXTENSIONS = 4000, 1 << 27
"""Most partial sequences that are kept, and limit on all extensions that are rated (about a second)."""
QUANTILE = 0.1
"""Share of the offsets of a remaining tree at which it is assumed to fit."""


def sequence_trees(loss: Float64Array, step: Int64Array) -> Int64Array:
    """Return a permutation of the trees of low total loss; deterministic.

    Parameters
    ----------
    loss : (trees, B) float64
        Loss of each tree at each offset, at least 0.
    step : (trees,) int64
        Length of each tree.

    Examples
    --------
    Two trees that fit where the block begins and a short one that fits elsewhere:

    >>> sequence_trees(np.array([[0.0, 9, 9, 9], [0, 9, 9, 9], [9, 9, 9, 0]]), np.array([3, 4, 2])).tolist()
    [1, 0, 2]
    """
    count, offsets = loss.shape
    width = max(1, min(WIDTH, EXTENSIONS // max(count * count, 1)))
    # the exclusive or of the words of a set of trees identifies the set
    words: Int64Array = np.random.default_rng(0).integers(0, 2**63, (count,))
    hope = np.quantile(loss, QUANTILE, axis=1)
    used, cost = np.zeros((1, count), bool), np.zeros(1)
    offset, code = np.zeros(1, np.int64), np.zeros(1, np.int64)
    choices: list[tuple[Int64Array, Int64Array]] = []
    for _ in range(count):
        rated = cost[:, None] + loss[:, offset].T - hope
        state, tree = _choose_best(np.where(used, np.inf, rated), code[:, None] ^ words, width)
        cost, code = rated[state, tree], code[state] ^ words[tree]
        offset = (offset[state] + step[tree]) % offsets
        used = _mark(used[state], tree)
        choices.append((state, tree))
    return _trace_back(choices, int(np.argmin(cost)))


def _choose_best(rated: Float64Array, codes: Int64Array, width: int) -> tuple[Int64Array, Int64Array]:
    """Return (state, tree) of the ``width`` best extensions; of those with the same trees used, the best only."""
    flat = rated.ravel()
    kept = min(2 * width, int(np.isfinite(flat).sum()))
    best = np.argpartition(flat, kept - 1)[:kept]
    best = best[np.lexsort((best, flat[best]))]
    first = np.sort(np.unique(codes.ravel()[best], return_index=True)[1])[:width]
    state, tree = np.divmod(best[first], rated.shape[1])
    return state, tree


def _mark(used: BoolArray, tree: Int64Array) -> BoolArray:
    """Return the used trees with one more in each row."""
    used[np.arange(len(tree)), tree] = True
    return used


def _trace_back(choices: list[tuple[Int64Array, Int64Array]], state: int) -> Int64Array:
    """Return the trees that led to a final state, first to last."""
    sequence = []
    for before, tree in reversed(choices):
        sequence.append(int(tree.item(state)))
        state = int(before.item(state))
    return np.array(sequence[::-1], np.int64)
