"""Build the rows, identities and labels that separate samples expect, as one mask over all their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.csr import index_in_row, indptr, repeat_ranges, row_of_entry
from masksynth.mask.intervals import RowIntervals, build_mask, coalesce_sorted, stack_tables
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.pack.sample_columns import FURTHER, IGNORED, SampleTable, key_of
from masksynth.pack.segment_columns import Spans, spans_of
from masksynth.subject.subject import Subject
from masksynth.subject.table_rule import TableRule
from masksynth.verify.colour_refinement import ranks


@dataclass(frozen=True, eq=False)
class Expected:
    """Describe S separate samples with U tokens in all.

    Parameters
    ----------
    table : SampleTable
        The samples.
    spans : Spans
        Their segments, live tokens, and which token predicts each trained label.
    sample, index : (U,) int64
        The sample of each token, and its index in the sample.
    positions : (U,) int64
        Position ids.
    causal : (U,) bool
        Whether the token's sample has no segments.
    """

    table: SampleTable
    spans: Spans
    sample: Int64Array
    index: Int64Array
    positions: Int64Array
    causal: BoolArray

    def describe(self, token: int) -> str:
        """Return the index and the sample of a token, as text."""
        return f"token {self.index[token]} of sample {self.table.ids[self.sample[token]]!r}"

    def identity(self, token: int) -> str:
        """Return the token id and the position id of a token, as text."""
        return f"{self.table.tokens[token]}@{self.positions[token]}"

    def witness(self, token: int) -> dict[str, object]:
        """Return sample and index of a token as JSON values."""
        return {"sample": self.table.ids[self.sample[token]], "token": int(self.index[token])}


def expect(table: SampleTable) -> Expected:
    """Return what the samples of a table expect of a mask.

    Examples
    --------
    >>> from masksynth.subject import read_sample_table
    >>> expected = expect(read_sample_table([{"id": "a", "input_ids": [5, 6, 7], "labels": [-100, 6, 7]}]))
    >>> expected.spans.live.tolist(), expected.describe(2)
    ([True, True, False], "token 2 of sample 'a'")
    """
    length = np.diff(table.offset)
    causal = np.array([parts is None for parts in table.segments], bool)
    return Expected(
        table,
        spans_of(table),
        row_of_entry(table.offset),
        index_in_row(length),
        key_of(table, "position_ids"),
        np.repeat(causal, length),
    )


def expected_rows(expected: Expected, rules: Sequence[TableRule]) -> Mask:
    """Return the rows of all tokens, one table per rule, restricted to the tokens that the rule allows.

    Examples
    --------
    >>> from masksynth.subject import read_sample_table
    >>> expected = expect(read_sample_table([{"id": i, "input_ids": [5, 6, 7], "labels": [-100] * 3} for i in "ab"]))
    >>> print(expected_rows(expected, [TableRule("window", 2)]))
    ■ · · · · ·
    ■ ■ · · · ·
    · ■ ■ · · ·
    · · · ■ · ·
    · · · ■ ■ ·
    · · · · ■ ■
    """
    query, start, end = _row_intervals(expected)
    begin, index = expected.table.offset[expected.sample[query]], expected.index[query]
    tables = []
    for rule in rules:
        low = np.maximum(start, begin + rule.lowest(index))
        high = np.minimum(end, begin + rule.beyond(index))
        kept = low < high
        tables.append(build_mask((query[kept], low[kept], high[kept]), len(expected.sample)))
    return stack_tables(tables)


def _row_intervals(expected: Expected) -> RowIntervals:
    """Return (query, start, end) of the rows that the samples describe, sorted and coalesced."""
    spans = expected.spans
    segments = np.flatnonzero(spans.length > 0)
    tokens = spans.length[segments]
    # the keys that each segment sees, as ascending coalesced intervals
    nonempty = np.flatnonzero(spans.length[spans.seen] > 0)
    order = nonempty[np.lexsort((spans.seen[nonempty], spans.viewer[nonempty]))]
    viewer, start = spans.viewer[order], spans.start[spans.seen[order]]
    viewer, start, end = coalesce_sorted(viewer, start, start + spans.length[spans.seen[order]])
    offset = indptr(np.bincount(viewer, minlength=len(spans.start)))
    # one copy of these intervals for each token of the segment, and the token's interval within the segment
    segment = np.repeat(segments, tokens)
    query = np.repeat(spans.start[segments], tokens) + index_in_row(tokens)
    count = np.diff(offset)[segment]
    entry = repeat_ranges(offset[segment], count)
    # a segment of one token is never marked as a clique: full and causal are equal there
    low = np.where(spans.alone[segment], query, spans.start[segment])
    high = np.where(spans.clique[segment], spans.start[segment] + spans.length[segment], query + 1)
    queries = np.concatenate([np.repeat(query, count), query])
    starts, ends = np.concatenate([start[entry], low]), np.concatenate([end[entry], high])
    order = np.lexsort((starts, queries))
    query, start, end = coalesce_sorted(queries[order], starts[order], ends[order])
    return query, start, end


def code_both(subject: Subject, expected: Expected) -> tuple[Int64Array, Int64Array]:
    """Return integer codes of the identities of positions and of tokens, comparable with each other.

    An identity is token id, position id, and additional keys that are known on both sides. Padding and inputs that are
    not token ids equal no token.
    """
    table = expected.table
    columns = [(token_ids(subject), table.tokens)]
    if subject.positions is not None:
        columns.append((subject.positions, expected.positions))
    if subject.batch is not None:
        for name in sorted({*subject.batch.keys, *table.keys} - {"position_ids"}):
            # a batch of text alone does not store additional dimensions of position ids: they equal the first
            default = subject.batch.position_ids if name.startswith(FURTHER) else np.zeros(subject.size, np.int64)
            columns.append((subject.batch.keys.get(name, default), key_of(table, name)))
    elif (kinds := numeric_kinds(subject)) is not None and "kinds" in table.keys:
        columns.append((kinds, table.keys["kinds"]))
    code = ranks(*(np.concatenate(pair) for pair in columns))
    return code[: subject.size], code[subject.size :]


def numeric_kinds(subject: Subject) -> Int64Array | None:
    """Return the kinds of the positions as numbers, as samples have them; None if some kind is not a number."""
    if subject.kinds is None or not all(kind.isascii() and kind.isdigit() and len(kind) < 19 for kind in subject.kinds):
        return None
    return np.array(list(map(int, subject.kinds)), np.int64)


def token_ids(subject: Subject) -> Int64Array:
    """Return the token id of each position; -1 for padding and for inputs that are not token ids."""
    inputs = subject.inputs or ()
    values = np.fromiter(
        (value if type(value) is int and 0 <= value < 2**31 else -1 for value in inputs), np.int64, len(inputs)
    )
    return values if subject.padding is None else np.where(subject.padding, -1, values)


def label_values(expected: Expected) -> Int64Array:
    """Return for each token the label at its index: the trained label, or the token itself where it is not trained."""
    labels = expected.table.labels
    values: Int64Array = np.where(labels == IGNORED, expected.table.tokens, labels)
    return values
