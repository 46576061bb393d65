"""The rows, identities and labels that separate samples ask for, as one mask over all their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.subject.table_rule import TableRule
from masksynth.mask import Mask
from masksynth.pack.sample_columns import FURTHER, IGNORED, SampleTable, key_of
from masksynth.pack.segment_columns import Spans, spans_of
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import ranks
from masksynth.verify.interval_sets import prefix, ranges

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Expected:
    """S separate samples with U tokens in all.

    Parameters
    ----------
    table : SampleTable
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
    sample: Ints
    index: Ints
    positions: Ints
    causal: NDArray[np.bool_]

    def name(self, token: int) -> str:
        """Return a token in words: its index and its sample."""
        return f"token {self.index[token]} of sample {self.table.ids[self.sample[token]]!r}"

    def place(self, token: int) -> str:
        """Return the token id and the position id of a token."""
        return f"{self.table.tokens[token]}@{self.positions[token]}"

    def witness(self, token: int) -> dict[str, object]:
        """Return sample and token as JSON values."""
        return {"sample": self.table.ids[self.sample[token]], "token": int(self.index[token])}


def expect(table: SampleTable) -> Expected:
    """Return what the samples of a table ask for.

    Examples
    --------
    >>> from masksynth.subject import read_sample_table
    >>> expected = expect(read_sample_table([{"id": "a", "input_ids": [5, 6, 7], "labels": [-100, 6, 7]}]))
    >>> expected.spans.live.tolist(), expected.name(2)
    ([True, True, False], "token 2 of sample 'a'")
    """
    length = np.diff(table.offset)
    causal = np.array([parts is None for parts in table.segments], bool)
    return Expected(
        table,
        spans_of(table),
        np.repeat(np.arange(len(table)), length),
        ranges(np.zeros_like(length), length),
        key_of(table, "position_ids"),
        np.repeat(causal, length),
    )


def expected_rows(expected: Expected, rules: Sequence[TableRule]) -> Mask:
    """Return the rows of all tokens, one table for each rule, cut to the tokens that the rule shows.

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
    query, start, end = _intervals(expected)
    begin = expected.table.offset[expected.sample[query]]
    offsets, starts, ends, done = [], [], [], 0
    for rule in rules:
        index = expected.index[query]
        low = np.maximum(start, begin + rule.lowest(index))
        high = np.minimum(end, begin + rule.beyond(index))
        kept = low < high
        offset = prefix(np.bincount(query[kept], minlength=len(expected.sample)))
        offsets.append(offset + done)
        starts.append(low[kept].astype(np.int32))
        ends.append(high[kept].astype(np.int32))
        done += len(starts[-1])
    return Mask(np.stack(offsets), np.concatenate(starts), np.concatenate(ends))


def _intervals(expected: Expected) -> tuple[Ints, Ints, Ints]:
    """Return (query, start, end) of the rows as the samples say, sorted, touching intervals taken together."""
    spans = expected.spans
    segments = np.flatnonzero(spans.length > 0)
    tokens = spans.length[segments]
    # what each segment sees, in rising order, touching segments taken together
    some = np.flatnonzero(spans.length[spans.seen] > 0)
    order = some[np.lexsort((spans.seen[some], spans.viewer[some]))]
    viewer, start = spans.viewer[order], spans.start[spans.seen[order]]
    end = start + spans.length[spans.seen[order]]
    opens = np.ones(len(order), bool)
    opens[1:] = (viewer[1:] != viewer[:-1]) | (start[1:] != end[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    viewer, start, end = viewer[first], start[first], end[last]
    cut = np.searchsorted(viewer, np.arange(len(spans.start) + 1))
    # one copy of these for each token of the viewing segment, and its own interval after them
    owner = np.repeat(segments, tokens)
    query = np.repeat(spans.start[segments], tokens) + ranges(np.zeros_like(tokens), tokens)
    seen = (cut[1:] - cut[:-1])[owner]
    at = ranges(cut[owner], seen)
    # a segment of one token is never marked as a clique, and full and causal are the same there
    low = np.where(spans.alone[owner], query, spans.start[owner])
    high = np.where(spans.clique[owner], spans.start[owner] + spans.length[owner], query + 1)
    queries = np.concatenate([np.repeat(query, seen), query])
    starts, ends = np.concatenate([start[at], low]), np.concatenate([end[at], high])
    order = np.lexsort((starts, queries))
    return _coalesce(queries[order], starts[order], ends[order])


def _coalesce(query: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Return sorted intervals with those of one query that touch taken together."""
    opens = np.ones(len(query), bool)
    opens[1:] = (query[1:] != query[:-1]) | (start[1:] != end[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(query))[: len(first)] - 1
    return query[first], start[first], end[last]


def code_identities(subject: Subject, expected: Expected) -> tuple[Ints, Ints]:
    """Return numbers for the identities of positions and tokens, equal iff these are.

    An identity is token id, position id, and further keys that are known on both sides.

    Padding and inputs other than token ids are equal to no token.
    """
    table = expected.table
    columns = [(token_ids(subject), table.tokens)]
    if subject.positions is not None:
        columns.append((subject.positions, expected.positions))
    if subject.batch is not None:
        for name in sorted({*subject.batch.keys, *table.keys} - {"position_ids"}):
            # a batch of text alone does not store further dimensions of position ids: they equal the first
            default = subject.batch.position_ids if name.startswith(FURTHER) else np.zeros(subject.size, np.int64)
            columns.append((subject.batch.keys.get(name, default), key_of(table, name)))
    elif (kinds := numbered_kinds(subject)) is not None and "kinds" in table.keys:
        columns.append((kinds, table.keys["kinds"]))
    code = ranks(*(np.concatenate(pair) for pair in columns))
    return code[: subject.size], code[subject.size :]


def numbered_kinds(subject: Subject) -> Ints | None:
    """Return the kinds of the positions as the numbers that samples have, None where some kind is not a number."""
    if subject.kinds is None or not all(kind.isascii() and kind.isdigit() and len(kind) < 19 for kind in subject.kinds):
        return None
    return np.array(list(map(int, subject.kinds)), np.int64)


def token_ids(subject: Subject) -> Ints:
    """Return the token id of each position; -1 for padding and for inputs that are not token ids."""
    inputs = subject.inputs or ()
    values = np.fromiter(
        (value if type(value) is int and 0 <= value < 2**31 else -1 for value in inputs), np.int64, len(inputs)
    )
    return values if subject.padding is None else np.where(subject.padding, -1, values)


def label_values(expected: Expected) -> Ints:
    """Return for each token the label that its place asks for: the trained label, else the token itself."""
    labels = expected.table.labels
    values: Ints = np.where(labels == IGNORED, expected.table.tokens, labels)
    return values
