"""Parts of a prefix forest: some of its samples, with what they share among themselves."""

from __future__ import annotations

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest


def range_minima(values: Int64Array, first: Int64Array, last: Int64Array) -> Int64Array:
    """Return the least of ``values[first[i]], ..., values[last[i]]`` for each i.

    A sparse table (Bender and Farach-Colton 2000), of which one level is held at a time.

    Parameters
    ----------
    values : (n,) int64
    first, last : (m,) int64
        ``first[i] <= last[i]``.

    Examples
    --------
    >>> range_minima(np.array([3, 1, 2]), np.array([0, 1, 2]), np.array([2, 2, 2])).tolist()
    [1, 1, 2]
    """
    level = np.frexp(last - first + 1)[1] - 1  # the greatest power of two that is at most the length of the range
    least = np.empty(len(first), np.int64)
    for power in range(int(level.max(initial=-1)) + 1):
        asked = np.flatnonzero(level == power)
        # two ranges of 2^power values cover the range; values[i] is now the least of 2^power values from i on
        least[asked] = np.minimum(values[first[asked]], values[last[asked] - (1 << power) + 1])
        values = np.minimum(values[: -(1 << power)], values[1 << power :])
    return least


def split_forest(forest: Forest, label: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the samples of a forest sorted by their label, and what each shares with the one before it of its label.

    Parameters
    ----------
    forest : Forest
    label : (S,) int64
        Of each sample of the forest.

    Returns
    -------
    rank : (S,) int64
        Indices into the forest, by label and in the order of the forest.
    shared : (S,) int64
        Length of the longest common prefix with the sample before it; 0 for the first of a label.

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> [array.tolist() for array in split_forest(forest, np.array([0, 1, 0]))]
    [[0, 2, 1], [0, 1, 0]]
    """
    rank = np.argsort(label, kind="stable")
    sorted_label = label[rank]
    follows = np.flatnonzero(sorted_label[1:] == sorted_label[:-1]) + 1
    shared = np.zeros(len(rank), np.int64)
    # the longest common prefix of two samples is the least of those of the neighbours between them
    shared[follows] = range_minima(forest.shared, rank[follows - 1] + 1, rank[follows])
    return rank, shared


def count_positions(forest: Forest, label: Int64Array) -> Int64Array:
    """Return the number of positions of the samples of each label; labels are 0, 1, ...

    Parameters
    ----------
    forest : Forest
    label : (S,) int64

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> count_positions(forest, np.array([0, 1, 0])).tolist()
    [8, 5]
    """
    rank, shared = split_forest(forest, label)
    size = np.zeros(int(label.max(initial=-1)) + 1, np.int64)
    np.add.at(size, label[rank], forest.length[rank] - shared)
    return size


def take_samples(forest: Forest, samples: Int64Array, depth: int = 0) -> Forest:
    """Return the forest of some samples, without their first tokens.

    Parameters
    ----------
    forest : Forest
    samples : (s,) int64
        Indices into the forest, ascending.
    depth : int
        Number of the tokens left out, which all of the samples share.

    Examples
    --------
    >>> forest = Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1]))
    >>> part = take_samples(forest, np.array([0, 2]), 1)
    >>> part.samples.tolist(), part.length.tolist(), part.shared.tolist()
    ([0, 2], [3, 4], [0, 0])
    """
    shared = np.zeros(len(samples), np.int64)
    shared[1:] = range_minima(forest.shared, samples[:-1] + 1, samples[1:]) - depth
    return Forest(forest.samples[samples], forest.length[samples] - depth, shared)
