"""Merge the sequences of a call: tries in depth-first order, laid out in one or several rows of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from masksynth.mask import Mask
from masksynth.mask.csr import repeat_ranges, segment_sums
from masksynth.mask.equal_values import run_starts
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import Int64Array
from masksynth.pack.assemble import batches_of_forest
from masksynth.pack.cut_runs import cut_runs
from masksynth.pack.label_runs import label_runs
from masksynth.pack.prefix import Forest, forest_of
from masksynth.pack.sample_columns import FURTHER, SampleTable
from masksynth.torch.folding.token_rows import TokenRows

COLUMN = "column"
"""Key of a token's index in windows, where the model has any."""


@dataclass(frozen=True, eq=False)
class MergedRows:
    """k merged rows of N positions each; in a row, position q attends to k iff ``k <= q < end[k]``, before windows.

    In depth-first order the descendants of a node follow it without a gap: they are ``k, ..., end[k] - 1``.

    Parameters
    ----------
    ids : (k, N) int64
        Token ids. Filling at the end of a row repeats a real token.
    positions : (D, k, N) int64
        Position ids.
    end : (k, N) int64
        One after the last position that attends to each; filling attends to itself only.
    index : (k, N) int64
        By which windows and chunks count.
    parent : (k, N) int64
        The position before each on its path; -1 at roots and filling.
    masks : tuple of k Mask
        The rows as intervals, filling excluded.
    place : (U,) int64
        ``row * N + position`` of each token of the sequences.
    live : int
        Positions that are not filling.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    end: NDArray[np.int64]
    index: NDArray[np.int64]
    parent: NDArray[np.int64]
    masks: tuple[Mask, ...]
    place: Int64Array
    live: int

    @property
    def shape(self) -> tuple[int, int]:
        """(k, N)."""
        return self.ids.shape[0], self.ids.shape[1]


def sequence_table(rows: TokenRows, windows: bool) -> SampleTable:
    """Return the sequences as samples without labels, for the packer.

    A token's identity is its token id, its position ids and, where the model has windows or chunks, its index.

    Parameters
    ----------
    rows : TokenRows
    windows : bool
        Whether some layer of the model has a window or a chunk.
    """
    count = len(rows)
    values = {"position_ids": rows.positions[0]}
    values |= {f"{FURTHER}{d}": row for d, row in enumerate(rows.positions[1:], 1) if not (row == row[:1]).all()}
    if windows:
        values[COLUMN] = rows.index
    keys = {name: row - min(int(row.min(initial=0)), 0) for name, row in values.items()}  # codes are not negative
    none = (None,) * count
    unlabelled = np.full(len(rows.tokens), -100, np.int64)
    return SampleTable(
        ids=tuple(range(count)),
        groups=none,
        place=("",) * count,
        weight=np.ones(count),
        offset=rows.offset,
        tokens=rows.tokens,
        labels=unlabelled,
        first_label=np.full(count, -100, np.int64),
        keys=keys,
        segments=none,
    )


def cut_forest(forest: Forest, limit: int | None) -> tuple[Forest, Int64Array]:
    """Return the forest in pieces of at most ``limit`` positions, and row pointers of the pieces into its samples.

    The first sample of a piece shares nothing. A longer sequence is a piece of its own.

    Examples
    --------
    >>> forest, cut = cut_forest(Forest(np.arange(3), np.array([4, 5, 5]), np.array([0, 3, 1])), 7)
    >>> forest.shared.tolist(), cut.tolist()
    ([0, 3, 0], [0, 2, 3])
    """
    count = len(forest.samples)
    if limit is None or int((forest.length - forest.shared).sum()) <= limit:
        return forest, np.array([0, count])
    run = cut_runs(forest, np.arange(count), max(limit, int(forest.length.max())))
    opens = run_starts(run)
    return replace(forest, shared=np.where(opens, 0, forest.shared)), np.append(np.flatnonzero(opens), count)


def cheapest_cut(forest: Forest, limits: Sequence[int], width: int) -> tuple[Forest, Int64Array]:
    """Return the forest cut as by `cut_forest`, with the limit by which dense attention costs least.

    A layer of width H takes about 24 H² operations for a position and 4 H for each pair of positions, seen or not, so
    k rows of N positions cost k N (6 H + N), up to a factor.

    Parameters
    ----------
    forest : Forest
    limits : sequence of int
        Limits to choose from.
    width : int
        H.

    Examples
    --------
    >>> forest = Forest(np.arange(5), np.full(5, 2_000), np.array([0, 1_500, 0, 1_500, 1_000]))  # 2,500 and 3,500
    >>> [len(cheapest_cut(forest, (8192, 4096), width)[1]) - 1 for width in (64, 1_000_000)]
    [2, 1]
    """
    cuts = [cut_forest(forest, limit) for limit in limits]

    def cost(cut: tuple[Forest, Int64Array]) -> int:
        sizes = segment_sums(cut[0].length - cut[0].shared, cut[1])
        return len(sizes) * int(sizes.max()) * (6 * width + int(sizes.max()))

    return min(cuts, key=cost)


def sequence_forest(rows: TokenRows, windows: bool) -> tuple[SampleTable, Forest]:
    """Return the sequences of a call as a table, and its prefix forest."""
    table = sequence_table(rows, windows)
    return table, forest_of(table, rows.length)


def lay_out_rows(rows: TokenRows, table: SampleTable, forest: Forest, cut: Int64Array, width: int) -> MergedRows:
    """Return the merged rows of the pieces of a forest.

    Parameters
    ----------
    rows : TokenRows
    table : SampleTable
    forest, cut
        As `cut_forest` returns them.
    width : int
        N, at least the positions of each piece.
    """
    place, masks = np.empty(len(rows.tokens), np.int64), list[Mask]()
    for number, (samples, batch) in enumerate(batches_of_forest(table, forest, cut, label_runs(table))):
        tokens = repeat_ranges(rows.offset[samples], rows.length[samples])
        place[tokens] = number * width + batch.sample_position
        masks.append(batch.mask)
    shape = (len(masks), width)
    ids, index = (np.zeros(shape, np.int64) for _ in range(2))
    positions = np.zeros((len(rows.positions), *shape), np.int64)
    parent = np.full(shape, -1, np.int64)
    end = np.broadcast_to(np.arange(1, width + 1), shape).copy()
    ids[:], positions[:] = rows.tokens[0], rows.positions[:, :1, None]  # filling
    ids.reshape(-1)[place], index.reshape(-1)[place] = rows.tokens, rows.index
    positions.reshape(len(positions), -1)[:, place] = rows.positions
    later = np.ones(len(place), bool)
    later[rows.offset[:-1]] = False  # no sequence is empty
    parent.reshape(-1)[place[later]] = place[np.flatnonzero(later) - 1] % width
    for row, mask in zip(end, masks, strict=True):  # as many positions attend to each as its subtree has
        row[: mask.size] = np.arange(mask.size) + count_covering(row_intervals(mask), mask.size)
    return MergedRows(ids, positions, end, index, parent, tuple(masks), place, sum(mask.size for mask in masks))


def padded_length(size: int, block: int = 128) -> int:
    """Return the length to which compiled kernels are padded: multiples of an eighth of a power of two, few in number.

    Examples
    --------
    >>> [padded_length(size) for size in (1, 128, 1000, 1025, 2049, 5000)]
    [128, 128, 1024, 1152, 2304, 5120]
    """
    step = max(block, 1 << max(int(size - 1).bit_length() - 4, 0))
    return -(-size // step) * step
