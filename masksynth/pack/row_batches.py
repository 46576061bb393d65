"""Distribute rows over batches of a given number of rows, so that rows with long common prefixes are together.

Trainers count a micro-batch in rows, not in positions. The tries of the sorted rows (`masksynth.pack.prefix`) are
filled from the deepest node up: as soon as the rows below a node are enough for a batch, batches are made of them, and
fewer rows than a batch are left to the node above. So a group of rows is cut only where it must be, which a cut of the
sorted rows after each ``size`` rows does not achieve: there one row too many shifts all later batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest, forest_of
from masksynth.pack.sample_columns import SampleTable

Rows = list[int]


def forest_of_rows(length: Int64Array, tokens: Int64Array) -> Forest:
    """Return the prefix forest of rows of tokens.

    Parameters
    ----------
    length : (S,) int64
        Tokens of each row.
    tokens : (U,) int64
        Their token ids from 0 to 2^31 - 1, row after row.

    Examples
    --------
    >>> forest = forest_of_rows(np.array([2, 3, 2]), np.array([7, 8, 5, 5, 5, 7, 9]))
    >>> forest.samples.tolist(), forest.shared.tolist()
    ([1, 0, 2], [0, 0, 1])
    """
    count, unlabelled = len(length), np.full(len(tokens), -100, np.int64)
    nothing = (None,) * count
    table = SampleTable(
        ids=tuple(range(count)),
        groups=nothing,
        place=("",) * count,
        weight=np.ones(count),
        offset=indptr(length),
        tokens=tokens,
        labels=unlabelled,
        first_label=np.full(count, -100, np.int64),
        segments=nothing,
    )
    return forest_of(table, length)


def batches_of_rows(forest: Forest, size: int, random: np.random.Generator | None = None) -> tuple[list[Rows], Rows]:
    """Return batches of ``size`` rows that share much, and the rows that are left, fewer than ``size``.

    Parameters
    ----------
    forest : Forest
        Of the rows; its samples are their indices.
    size : int
        Rows of a batch, at least 1.
    random : numpy Generator, optional
        Chooses among rows and groups between which the tries do not decide, and so the rows that are left.

    Examples
    --------
    >>> rows = [[1, 2], [3, 4], [1, 5], [3, 6], [7]]
    >>> forest = forest_of_rows(np.array([2, 2, 2, 2, 1]), np.concatenate(rows))
    >>> batches_of_rows(forest, 2)
    ([[0, 2], [1, 3]], [4])
    """
    samples, length, shared = forest.samples.tolist(), forest.length.tolist(), [*forest.shared.tolist(), 0]
    batches: list[Rows] = []
    path: list[tuple[int, list[Rows]]] = [(0, [])]  # (depth, parts below it) of the open nodes, deepest last
    for row, depth, common in zip(samples, length, shared[1:], strict=True):
        if path[-1][0] < depth:
            path.append((depth, []))
        path[-1][1].append([row])
        while path[-1][0] > common:  # the next row does not share this node: its rows are complete
            rest = _fill(path.pop()[1], size, batches, random)
            if path[-1][0] < common:
                path.append((common, []))
            if rest:
                path[-1][1].append(rest)
    return batches, _fill(path[0][1], size, batches, random)


def _fill(parts: list[Rows], size: int, batches: list[Rows], random: np.random.Generator | None) -> Rows:
    """Append batches made of the parts below a node, cutting as few parts as best fit does; return the rest."""
    left = sum(map(len, parts))
    if left < size:
        return parts[0] if len(parts) == 1 else [row for part in parts for row in part]
    if random is not None:
        parts = [parts[i] for i in random.permutation(len(parts)).tolist()]
    by_size: list[list[Rows]] = [[] for _ in range(size + 1)]
    for part in reversed(parts):
        by_size[len(part)].append(part)
    sizes = sum(1 << number for number, those in enumerate(by_size) if those)  # bit s: there is a part of s rows
    while left >= size:
        batch: Rows = []
        while room := size - len(batch):
            fitting = sizes & ((2 << room) - 1)
            number = (fitting or sizes & -sizes).bit_length() - 1  # the greatest that fits, else the least of all
            part = by_size[number].pop()
            if not by_size[number]:
                sizes &= ~(1 << number)
            batch += part[:room]
            if number > room:
                by_size[number - room].append(part[room:])
                sizes |= 1 << (number - room)
        batches.append(batch)
        left -= size
    return [row for those in by_size for part in those for row in part]


def order_of_batches(batches: Sequence[Rows], rest: Rows) -> Int64Array:
    """Return the rows batch after batch, those that are left last."""
    return np.array([row for part in (*batches, rest) for row in part], np.int64)
