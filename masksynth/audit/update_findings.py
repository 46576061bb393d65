"""Check which positions are said to be only read: where a position is not updated, its row holds itself alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray
from masksynth.statistics.updates import layers_of_table
from masksynth.subject.subject import Subject


def find_skipped_updates(subject: Subject) -> Iterator[Finding]:
    """Yield MS023 for positions whose row is not themselves alone in a table in which they are not updated. O(N + T).

    A model that skips the update drops what the row says; one that computes it gives readers another state.
    """
    if subject.updated is None:
        return
    tables = subject.mask.tables
    for table in range(tables):
        rows = layers_of_table(subject.updated, table, tables)
        if not len(rows):
            continue
        wrong = ~rows.all(axis=0) & ~rows_alone(select_table(subject.mask, table))
        for query in np.flatnonzero(wrong).tolist():
            layer = None if len(subject.updated) == 1 else table + tables * int(rows[:, query].argmin()) + 1
            where = "" if layer is None else f" in layer {layer}"
            message = f"position {subject.token(query)} is not updated{where}, but its row is not itself alone"
            remedy = "let it attend to itself alone there, or update it"
            yield Finding("MS023", "error", query, {"table": table, "layer": layer}, remedy, message)


def rows_alone(mask: Mask) -> BoolArray:
    """Return (N,) bool: whether each row of a mask of one table holds its own position and nothing else.

    Examples
    --------
    >>> rows_alone(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1),)]])).tolist()
    [True, False, False]
    """
    rows, start, end = row_intervals(mask)
    alone = np.zeros(mask.size, bool)
    alone[rows[(start == rows) & (end == rows + 1)]] = True
    alone &= np.bincount(rows, minlength=mask.size) == 1
    return alone
