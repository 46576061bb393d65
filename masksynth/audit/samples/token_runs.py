"""Place samples by complete runs of token ids, regardless of their rows and position ids."""

from __future__ import annotations

import numpy as np

from masksynth.audit.samples.expected_mask import Expected, token_ids
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject

WIDTHS = (16, 4, 2)
"""Lengths of the beginnings by which runs of token ids are looked up."""


def place_runs(subject: Subject, expected: Expected, class_of_token: Int64Array, class_of_position: Int64Array) -> None:
    """Place samples whose live tokens occur as consecutive positions without a class; in place.

    Parameters
    ----------
    subject : Subject
    expected : Expected
    class_of_token : (U,) int64
    class_of_position : (N,) int64
        -1 where a position has no class; extended in place.
    """
    has_position = np.zeros(int(class_of_token.max(initial=-1)) + 1, bool)
    has_position[class_of_position[class_of_position >= 0]] = True
    ids = token_ids(subject)
    free = (class_of_position < 0) & (ids >= 0)
    if not free.any():
        return
    begins: dict[int, dict[bytes, list[int]]] = {}  # width -> first token ids -> positions
    lacking = np.zeros(len(expected.table), bool)
    lacking[expected.sample[expected.spans.live & ~has_position[class_of_token]]] = True
    for sample in np.argsort(~lacking, kind="stable").tolist():  # samples with missing positions come first
        tokens = np.arange(int(expected.table.offset[sample]), int(expected.table.offset[sample + 1]))
        tokens = tokens[expected.spans.live[tokens]]
        if len(tokens) < 2 or (np.diff(tokens) != 1).any():
            continue
        text = expected.table.tokens[tokens]
        width = next(width for width in WIDTHS if width <= len(tokens))
        if width not in begins:
            begins[width] = _index_begins(ids, free, width)
        for number, begin in enumerate(positions := begins[width].get(text[:width].tobytes(), [])):
            run = slice(begin, begin + len(tokens))
            if len(ids[run]) == len(tokens) and free[run].all() and np.array_equal(ids[run], text):
                class_of_position[run], free[run] = class_of_token[tokens], False
                del positions[number]
                break


def _index_begins(ids: Int64Array, free: BoolArray, width: int) -> dict[bytes, list[int]]:
    """Return the free positions at which each run of ``width`` token ids begins."""
    index: dict[bytes, list[int]] = {}
    if len(ids) < width:
        return index
    windows = np.lib.stride_tricks.sliding_window_view(ids, width)
    for begin in np.flatnonzero(free[: len(windows)]).tolist():
        index.setdefault(windows[begin].tobytes(), []).append(begin)
    return index
