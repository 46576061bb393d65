"""Cut a stream of samples into windows: bounded memory, groups kept together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from masksynth.pack.name_hashes import SeenNames
from masksynth.pack.sample_columns import SampleTable
from masksynth.pack.table_parts import Part, choose, join_parts

WINDOW = 4096
"""Default number of samples in a window."""
WINDOW_TOKENS = 1 << 24
"""A window is closed when it has this many tokens, however few samples they are."""


class Window(NamedTuple):
    """Samples that are merged together, and those of their groups that have samples in an earlier window too."""

    parts: tuple[Part, ...]
    scattered: tuple[str | int, ...]

    @property
    def table(self) -> SampleTable:
        """The samples as one table."""
        return join_parts(self.parts)


def windows(parts: Iterable[Part], size: int = WINDOW, tokens: int = WINDOW_TOKENS) -> Iterator[Window]:
    """Cut a stream of samples into windows of about ``size`` samples.

    The group of a window's last sample may continue, so its samples wait for the next window, unless they fill the
    window. A group that recurs after its window was closed is merged in parts and reported; to detect it, 8 bytes are
    kept for each group.

    Parameters
    ----------
    parts : iterable of Part
    size : int
        Most samples of a window.
    tokens : int
        Number of tokens at which a window is closed.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> from masksynth.pack.table_parts import part_of
    >>> rows = [{"id": i, "group": g, "input_ids": [1], "labels": [-100]} for i, g in enumerate("aabba")]
    >>> [(window.table.ids, window.scattered) for window in windows(map(part_of, tables_of(rows)), 3)]
    [((0, 1), ()), ((2, 3), ()), ((4,), ('a',))]
    """
    seen = SeenNames()
    held: list[Part] = []
    for part in parts:
        begin = 0
        while begin < len(part):
            end = min(begin + max(size - sum(map(len, held)), 1), len(part))
            held.append(part if end - begin == len(part) else choose(part, np.arange(begin, end)))
            begin = end
            if sum(map(len, held)) >= size or sum(int(each.lengths.sum()) for each in held) >= tokens:
                ready, held = _split(held)
                yield _window(ready, seen)
    if held:
        yield _window(held, seen)


def _split(held: list[Part]) -> tuple[list[Part], list[Part]]:
    """Return the samples to merge now, and those that wait for more of the last sample's group."""
    last = held[-1].groups[-1]
    waits = [np.array([last is not None and g == last and type(g) is type(last) for g in p.groups], bool) for p in held]
    if all(each.all() for each in waits) or not any(each.any() for each in waits):
        return held, []
    now, later = (
        [choose(part, np.flatnonzero(rows)) for part, rows in zip(held, which, strict=True) if rows.any()]
        for which in ([~each for each in waits], waits)
    )
    return now, later


def _window(parts: list[Part], seen: SeenNames) -> Window:
    """Return a window of some samples; their groups are added to ``seen``."""
    groups = list(dict.fromkeys(group for part in parts for group in part.groups if group is not None))
    again = seen.add(groups)
    return Window(tuple(parts), tuple(group for group, back in zip(groups, again, strict=True) if back))
