"""Cut a stream of samples into windows: bounded memory, groups kept together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from masksynth.pack.name_hashes import SeenNames
from masksynth.pack.sample_columns import SampleTable, join, select, slice_samples

WINDOW = 4096
"""Default number of samples in a window."""
WINDOW_TOKENS = 1 << 24
"""A window is closed when it has this many tokens, however few samples they are."""


class Window(NamedTuple):
    """Samples that are merged together, and those of their groups that have samples in an earlier window too."""

    table: SampleTable
    scattered: tuple[str | int, ...]


def windows(tables: Iterable[SampleTable], size: int = WINDOW, tokens: int = WINDOW_TOKENS) -> Iterator[Window]:
    """Cut a stream of samples into windows of about ``size`` samples.

    The group of a window's last sample may continue, so its samples wait for the next window, unless they fill the
    window. A group that recurs after its window was closed is merged in parts and reported; to detect it, 8 bytes are
    kept for each group.

    Parameters
    ----------
    tables : iterable of SampleTable
    size : int
        Most samples of a window.
    tokens : int
        Number of tokens at which a window is closed.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [{"id": i, "group": g, "input_ids": [1], "labels": [-100]} for i, g in enumerate("aabba")]
    >>> [(window.table.ids, window.scattered) for window in windows(tables_of(rows), 3)]
    [((0, 1), ()), ((2, 3), ()), ((4,), ('a',))]
    """
    seen = SeenNames()
    held: list[SampleTable] = []
    for table in tables:
        begin = 0
        while begin < len(table):
            end = min(begin + max(size - sum(map(len, held)), 1), len(table))
            held.append(slice_samples(table, begin, end))
            begin = end
            if sum(map(len, held)) >= size or sum(len(each.tokens) for each in held) >= tokens:
                ready, held = _split(join(held))
                yield _window(ready, seen)
    if held:
        yield _window(join(held), seen)


def _split(table: SampleTable) -> tuple[SampleTable, list[SampleTable]]:
    """Return the samples to merge now, and those that wait for more of the last sample's group."""
    last = table.groups[-1]
    waits = np.array([last is not None and group == last and type(group) is type(last) for group in table.groups], bool)
    if waits.all() or not waits.any():
        return table, []
    return select(table, np.flatnonzero(~waits)), [select(table, np.flatnonzero(waits))]


def _window(table: SampleTable, seen: SeenNames) -> Window:
    """Return a window of some samples; their groups are added to ``seen``."""
    groups = list(dict.fromkeys(group for group in table.groups if group is not None))
    again = seen.add(groups)
    return Window(table, tuple(group for group, back in zip(groups, again, strict=True) if back))
