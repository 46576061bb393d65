"""Trained labels of causal samples as runs of consecutive tokens, and rows of such runs in general."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.sample_columns import IGNORED, SampleTable


@dataclass(frozen=True, eq=False)
class Runs:
    """R runs of consecutive integers in rows.

    Parameters
    ----------
    start, count : (R,) int64
        The run ``start, start + 1, ..., start + count - 1``; no count is 0.
    cut : (rows + 1,) int64
        Row pointers into the runs.
    """

    start: Int64Array
    count: Int64Array
    cut: Int64Array


def label_runs(table: SampleTable) -> Runs:
    """Return the flat indices of the trained labels of each causal sample, in runs.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> [table] = tables_of([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [-100]}])
    >>> runs = label_runs(table)
    >>> runs.start.tolist(), runs.count.tolist(), runs.cut.tolist()
    ([1], [2], [0, 1, 1])
    """
    trained = np.empty(len(table.labels) + 2, bool)
    trained[0] = trained[-1] = False
    np.not_equal(table.labels, IGNORED, out=trained[1:-1])
    edges = _find_sparse(trained[1:] != trained[:-1])
    # no run crosses samples: nothing trains the first token of one
    start = np.ascontiguousarray(edges[::2])
    return Runs(start, edges[1::2] - start, np.searchsorted(start, table.offset))


def _find_sparse(flags: BoolArray) -> Int64Array:
    """Return the indices of the flags that are set, ascending: those of any eight flags at once, then each of these."""
    size = len(flags) // 8 * 8
    eights = np.flatnonzero(flags[:size].view(np.uint64) != 0)
    inside = eights[:, None] * 8 + np.arange(8)
    return np.append(inside[flags[inside]], size + np.flatnonzero(flags[size:]))


def live_lengths(table: SampleTable, labels: Runs) -> Int64Array:
    """Return the number of live tokens of each causal sample: those before its last trained label.

    No prediction depends on the others.

    Parameters
    ----------
    table : SampleTable
    labels : Runs
        As `label_runs` returns them.
    """
    has_label = labels.cut[1:] > labels.cut[:-1]
    length = np.zeros(len(table), np.int64)
    last = labels.cut[1:][has_label] - 1
    length[has_label] = labels.start[last] + labels.count[last] - 1 - table.offset[:-1][has_label]
    return length


def take_rows(runs: Runs, rows: Int64Array) -> Runs:
    """Return some rows, in the given order."""
    size = runs.cut[rows + 1] - runs.cut[rows]
    entry = repeat_ranges(runs.cut[rows], size)
    return Runs(runs.start[entry], runs.count[entry], indptr(size))


def slice_rows(runs: Runs, low: int, high: int) -> Runs:
    """Return the rows ``low <= row < high``."""
    cut = runs.cut[low : high + 1]
    entries = slice(int(cut[0]), int(cut[-1]))
    return Runs(runs.start[entries], runs.count[entries], cut - cut[0])
