"""Prefix and suffix: each target needs what lies before one place of the text, what lies after another, or both."""

from __future__ import annotations

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Reads, Structure, prune
from masksynth.mask.typing import BoolArray, Int64Array


def prefix_suffix(n: int, starts: Int64Array, stops: Int64Array, is_query: BoolArray) -> Structure:
    """Return the structure in which target t sees the tokens before ``starts[t]`` and those from ``stops[t]`` on.

    One mask, safe at any depth: the position of token i in the first chain reads that of token i - 1, in the second
    that of token i + 1.

    Parameters
    ----------
    n : int
        Number of tokens.
    starts, stops : (T,) int64
        0 <= start <= stop <= n.
    is_query : (T,) bool
        Whether a target must be predicted by a blank. Another one that sees a prefix or a suffix alone is predicted
        where that ends.

    Examples
    --------
    >>> causal = prefix_suffix(4, np.arange(1, 4), np.full(3, 4), np.zeros(3, bool))
    >>> causal.size, len(causal.reads[0].query), causal.target.tolist()
    (3, 2, [0, 1, 2])
    """
    count = len(starts)
    chain = np.arange(1, n)
    before, after = starts > 0, stops < n
    index = np.arange(count)
    is_blank = is_query | (before == after)
    reads = Reads.of_pairs(
        np.concatenate([chain, n + chain - 1, 2 * n + index[is_blank & before], 2 * n + index[is_blank & after]]),
        np.concatenate([chain - 1, n + chain, starts[is_blank & before] - 1, n + stops[is_blank & after]]),
        2 * n + count,
    )
    target = np.where(is_blank, 2 * n + index, np.where(before, starts - 1, n + stops))
    element = np.concatenate([np.arange(n), np.arange(n), np.full(count, -1)])
    return prune(Structure(element, (reads,), target, "prefix and suffix"), "one")


def scanned(n: int, starts: Int64Array, stops: Int64Array, layers: int) -> Structure | None:
    """Return prefixes and suffixes by parallel scans in place, a mask per layer, in about log2 n layers.

    With L - 1 >= 2 ceil(log2 n) - 1 layers for it a chain is scanned upwards and downwards in a binary tree (about 2 n
    reads, Brent and Kung), with ceil(log2 n) by halves (n log2(n) / 2 reads, Sklansky). Queries read in the last layer.

    Parameters
    ----------
    n : int
    starts, stops : (T,) int64
    layers : int
        L.

    Examples
    --------
    >>> [len(reads.query) for reads in scanned(8, np.array([7]), np.array([8]), layers=4).reads]
    [3, 2, 1, 1]
    """
    height = max(n - 1, 1).bit_length()
    if height > layers - 1:
        return None
    scan = _scan_tree(n, height) if 2 * height - 1 <= layers - 1 else _scan_halves(n, height)
    depth = int(scan.layer.max(initial=0)) + 1
    backwards = Events(scan.layer, 2 * n - 1 - scan.query, 2 * n - 1 - scan.key)
    before, after = np.flatnonzero(starts > 0), np.flatnonzero(stops < n)
    last = np.full(len(before) + len(after), depth)
    final = Events(
        last, 2 * n + np.concatenate([before, after]), np.concatenate([starts[before] - 1, n + stops[after]])
    )
    element = np.concatenate([np.arange(n), np.arange(n), np.full(len(starts), -1)])
    reads = Events.join(scan, backwards, final).reads(2 * n + len(starts), depth, layers)
    return prune(Structure(element, reads, 2 * n + np.arange(len(starts)), "scan"), "layered")


def _scan_halves(n: int, height: int) -> Events:
    """Return the reads of a scan in which the right half of each block reads the end of its left half."""
    position = np.arange(n)
    parts = []
    for level in range(height):
        reader = position[(position >> level) & 1 == 1]
        parts.append(Events(np.full(len(reader), level + 1), reader, ((reader >> level) << level) - 1))
    return Events.join(*parts)


def _scan_tree(n: int, height: int) -> Events:
    """Return the reads of a scan up a binary tree, block by block, and down again."""
    parts = []
    for level in range(height):
        end = np.arange((2 << level) - 1, n, 2 << level)
        parts.append(Events(np.full(len(end), level + 1), end, end - (1 << level)))
    for layer, level in enumerate(reversed(range(height - 1)), start=height + 1):
        middle = np.arange((3 << level) - 1, n, 2 << level)
        parts.append(Events(np.full(len(middle), layer), middle, middle - (1 << level)))
    return Events.join(*parts)
