"""Intervals of the text: blocks with chains to both sides (van Herk; Gil and Werman), and tables of doubled lengths."""

from __future__ import annotations

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Reads, Structure, prune
from masksynth.mask.equal_values import distinct
from masksynth.mask.typing import Int64Array


def block_windows(n: int, starts: Int64Array, stops: Int64Array, width: int) -> Structure | None:
    """Return the structure in which each target sees an interval, by chains within blocks of ``width`` tokens.

    One mask, safe at any depth. An interval that crosses one border between blocks is the end of a block and the
    beginning of the next one; without a border it must begin or end with its block.

    Parameters
    ----------
    n : int
        Number of tokens.
    starts, stops : (T,) int64
        0 <= start <= stop <= n.
    width : int

    Returns
    -------
    Structure or None
        None if an interval is none of these.

    References
    ----------
    M. van Herk, Pattern Recognition Letters 13 (1992); J. Gil, M. Werman, IEEE TPAMI 15 (1993).

    Examples
    --------
    >>> structure = block_windows(8, np.arange(5), np.arange(4, 9), 4)
    >>> structure.size, len(structure.reads[0].query)
    (13, 14)
    """
    block, last = starts // width, (stops - 1) // width
    is_empty = starts == stops
    opens, closes = starts % width == 0, (stops % width == 0) | (stops == n)
    if not (is_empty | (last == block + 1) | ((last == block) & (opens | closes))).all():
        return None
    count, index, token = len(starts), np.arange(len(starts)), np.arange(n)
    forward, backward = token[token % width > 0], token[(token % width < width - 1) & (token < n - 1)]
    crosses = last > block
    # the beginning of a block by the forward chain, its end by the backward one, a block by one that is there anyway
    forwards = opens & (~closes | np.isin(block, last[crosses]))
    head = ~is_empty & (crosses | forwards)
    tail = ~is_empty & (crosses | ~forwards)
    reads = Reads.of_pairs(
        np.concatenate([forward, n + backward, 2 * n + index[head], 2 * n + index[tail]]),
        np.concatenate([forward - 1, n + backward + 1, stops[head] - 1, n + starts[tail]]),
        2 * n + count,
    )
    element = np.concatenate([token, token, np.full(count, -1)])
    return prune(Structure(element, (reads,), 2 * n + index, "block windows"), "one")


def sparse_table(n: int, starts: Int64Array, stops: Int64Array, layers: int) -> Structure | None:
    """Return the structure in which each target sees an interval: two overlapping ones of a power of two of tokens.

    A mask per layer: after layer k the position of token i holds the tokens from i to i + 2^k - 1, having read that of
    token i + 2^(k - 1); a target reads two positions while they hold what it needs.

    Parameters
    ----------
    n : int
    starts, stops : (T,) int64
        0 <= start <= stop <= n.
    layers : int
        L.

    Returns
    -------
    Structure or None
        None if L is less than one more than log2 of the longest interval, rounded down.

    Examples
    --------
    >>> [len(reads.query) for reads in sparse_table(8, np.arange(5), np.arange(4, 9), layers=3).reads]
    [7, 5, 5]
    """
    length = stops - starts
    level = np.array([max(int(size), 1).bit_length() - 1 for size in length], np.int64)
    depth = int(level.max(initial=0)) + 1
    if depth > layers:
        return None
    filled = np.flatnonzero(length > 0)
    second = stops[filled] - (1 << level[filled])
    query = 2 * [n + filled]
    parts = [Events(np.concatenate(2 * [level[filled] + 1]), np.concatenate(query), np.append(starts[filled], second))]
    for step in range(depth - 1):
        reader = np.arange(n - (1 << step))
        parts.append(Events(np.full(len(reader), step + 1), reader, reader + (1 << step)))
    element = np.concatenate([np.arange(n), np.full(len(starts), -1)])
    reads = Events.join(*parts).reads(n + len(starts), depth, layers)
    return prune(Structure(element, reads, n + np.arange(len(starts)), "sparse table"), "layered")


def widths_of(starts: Int64Array, stops: Int64Array) -> list[int]:
    """Return the lengths of the intervals, the longest first: the widths of blocks that are worth a try."""
    return [int(width) for width in distinct(stops - starts)[::-1] if width > 1][:4]
