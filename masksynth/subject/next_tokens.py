"""Infer which labels are next tokens, for labels that do not declare what they hide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.equal_values import factorize_rows
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject
from masksynth.tasks.canonical import canonical

CHUNK = 1 << 22
"""Pairs that are held at once."""
NONE = np.iinfo(np.int32).max
"""Larger than any position."""


class NextTokens(NamedTuple):
    """Labels taken for next tokens.

    Parameters
    ----------
    target : (E,) int64
        The position that holds the next token of each label, -1 if there is none.
    unsaid : (U,) int64, optional
        Indices of labels that neither declare what they hide nor are next tokens; None if every label declares it.
    why : str
        Why they are not.
    """

    target: Int64Array
    unsaid: Int64Array | None
    why: str


def find_next_tokens(subject: Subject, position: Int64Array, value: Sequence[Any], silent: BoolArray) -> NextTokens:
    """Find the next token of each label that does not say what it hides.

    Position k holds the next token of q iff its input is the label, its position id is one more, and it attends to q. A
    label at a position that nothing continues ends a text and hides nothing. If at least half of the other labels have
    a next token, labels are taken for next tokens; else none is.

    Parameters
    ----------
    subject : Subject
        Its inputs and position ids must be known for anything to be found.
    position : (E,) int64
        The position that predicts each label.
    value : sequence of E JSON values
        The labels.
    silent : (E,) bool
        Which labels do not declare what they hide.
    """
    target = np.full(len(position), -1, np.int64)
    unsaid = np.flatnonzero(silent)
    if not len(unsaid):
        return NextTokens(target, None, "")
    if subject.inputs is None or subject.positions is None:
        return NextTokens(target, unsaid, "inputs and position ids are not known")
    query, label, inputs = position[unsaid], *_codes(value, subject.inputs, unsaid)
    # position id that a row must have for position k to continue its text
    same_step = factorize_rows(np.concatenate([subject.positions[query], subject.positions - 1]))
    same_token = factorize_rows(same_step, np.concatenate([label, inputs]))
    count = len(unsaid)
    continued = np.zeros(count, bool)
    first = np.full(count, NONE, np.int64)
    for table in range(subject.mask.tables):
        continued |= _has_match(subject, table, query, same_step[:count], same_step[count:])
        match = _first_match(subject, table, query, same_token[:count], same_token[count:])
        first = np.minimum(first, match)
    without = unsaid[continued & (first == NONE)]
    if len(without) and 2 * len(without) >= int(continued.sum()):
        return NextTokens(target, unsaid, "most labels are not the token that follows in a row's text")
    target[unsaid] = np.where(first == NONE, -1, first)
    return NextTokens(target, without, "it is not a token that follows there, as most labels are")


def _codes(value: Sequence[Any], inputs: Sequence[Any], chosen: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return integer codes of the chosen labels and of all inputs; equal canonical text, equal code."""
    known: dict[str, int] = {}
    input_codes = np.array([known.setdefault(canonical(entry), len(known)) for entry in inputs], np.int64)
    labels = [known.setdefault(canonical(value[index]), len(known)) for index in chosen.tolist()]
    return np.array(labels, np.int64), input_codes


class _Matches(NamedTuple):
    """Labels sorted by (code, query); key interval t, of ``row[t]``, holds those of ``order[low[t] : high[t]]``."""

    order: Int64Array
    row: Int64Array
    low: Int64Array
    high: Int64Array


def _match_intervals(
    subject: Subject, table: int, query: Int64Array, code: Int64Array, row_code: Int64Array
) -> _Matches:
    """Match each key interval of a table with the labels of the row's code whose query lies in the interval."""
    row, start, end = row_intervals(subject.mask, table)
    width = subject.size + 1
    sought = code * width + query  # one integer that sorts as (code, query)
    order = np.argsort(sought, kind="stable")
    low, high = (np.searchsorted(sought[order], row_code[row] * width + bound) for bound in (start, end))
    return _Matches(order, row, low, high)


def _has_match(subject: Subject, table: int, query: Int64Array, code: Int64Array, row_code: Int64Array) -> BoolArray:
    """Return for each label whether some row of its code attends to its query."""
    order, _, low, high = _match_intervals(subject, table, query, code, row_code)
    # +1 where a range of labels begins, -1 where it ends; the prefix sum counts the ranges over each label
    steps = np.bincount(low, minlength=len(order) + 1) - np.bincount(high, minlength=len(order) + 1)
    found = np.zeros(len(order), bool)
    found[order] = steps.cumsum()[:-1] > 0
    return found


def _first_match(subject: Subject, table: int, query: Int64Array, code: Int64Array, row_code: Int64Array) -> Int64Array:
    """Return for each label the first row of its code that attends to its query, ``NONE`` without."""
    order, row, low, high = _match_intervals(subject, table, query, code, row_code)
    first = np.full(len(order), NONE, np.int64)
    total = indptr(high - low)
    # cut the intervals into blocks of about CHUNK matches
    cuts = np.unique([0, *np.searchsorted(total, np.arange(CHUNK, total[-1], CHUNK)), len(low)])
    for begin, stop in pairwise(cuts.tolist()):
        count = (high - low)[begin:stop]
        label = order[repeat_ranges(low[begin:stop], count)]
        np.minimum.at(first, label, np.repeat(row[begin:stop], count))
    return first
