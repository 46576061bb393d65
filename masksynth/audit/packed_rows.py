"""Compare the rows of a packed batch with what the tokens of its samples attend to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.errors import WrongAnswer
from masksynth.mask.typing import Int64Array
from masksynth.pack.visibility import Segment, segments_of
from masksynth.subject.packed_tokens import token_positions
from masksynth.subject.subject import Subject
from masksynth.verify.check_batch_rows import wrong_tokens

ROW_LIMIT = 20
"""Maximum number of wrong rows that are reported, and of keys in a witness."""
REPACK = "pack the samples again"


class _Token(NamedTuple):
    """A token with a wrong row: its position, its sample's id and its index in the sample."""

    position: int
    sample: Any
    number: int


def find_wrong_packed_rows(subject: Subject) -> Iterator[Finding]:
    """Yield MS002, MS009 and MS013 for live tokens of a packed batch whose row is not what their sample shows them."""
    batch = subject.batch
    if batch is None:
        return
    token_offset, position, _ = token_positions(batch)
    length = np.diff(token_offset)
    given = subject.segments or (None,) * len(length)
    segments = tuple(
        None if parts is None else segments_of(parts, int(n)) for parts, n in zip(given, length.tolist(), strict=True)
    )
    try:
        wrong, first_copy = wrong_tokens(batch, token_offset, segments, position)
    except WrongAnswer as error:
        yield Finding("MS009", "error", None, {}, REPACK, error.fact)
        return
    for token in _first_per_position(position, wrong)[:ROW_LIMIT].tolist():
        sample = int(np.searchsorted(token_offset, token, "right")) - 1
        begin = int(token_offset[sample])
        wrong_token = _Token(int(position[token]), batch.samples[sample], token - begin)
        visible = _visible_tokens(segments[sample], begin, token)
        expected = position[visible]
        if (expected < 0).any():
            yield _without_position(subject, wrong_token, int(visible[expected < 0][0] - begin))
            continue
        row = first_copy[subject.mask.row(wrong_token.position)]
        yield from _compare_row(subject, wrong_token, row, expected, len(wrong))


def _first_per_position(position: Int64Array, wrong: Int64Array) -> Int64Array:
    """Return the first wrong token of each position, in order."""
    return wrong[np.sort(np.unique(position[wrong], return_index=True)[1])]


def _visible_tokens(segments: tuple[Segment, ...] | None, begin: int, token: int) -> Int64Array:
    """Return the tokens that a token attends to in its sample, numbered over all samples.

    Parameters
    ----------
    segments : tuple of Segment, optional
        The segments of the sample; None for a causal one.
    begin, token : int
        Numbers of the sample's first token and of the token.
    """
    if segments is None:
        return np.arange(begin, token + 1)
    segment = next(s for s in segments if s.start <= token - begin < s.start + s.length)
    ranges = [(segments[s].start, segments[s].start + segments[s].length) for s in segment.sees]
    low = token - begin if segment.within == "self" else segment.start
    high = segment.start + segment.length if segment.within == "full" else token - begin + 1
    return begin + np.concatenate([np.arange(first, last) for first, last in [*ranges, (low, high)]])


def _without_position(subject: Subject, token: _Token, missing: int) -> Finding:
    message = f"{_name(subject, token)} does not attend to token {missing} of its sample, which has no position"
    witness = {"sample": token.sample, "token": token.number, "missing": missing}
    return Finding("MS002", "error", token.position, witness, REPACK, message)


def _name(subject: Subject, token: _Token) -> str:
    return f"position {subject.token(token.position)} (token {token.number} of sample {token.sample!r})"


def _compare_row(
    subject: Subject, token: _Token, row: Int64Array, expected: Int64Array, wrong_rows: int
) -> Iterator[Finding]:
    """Yield the keys that one row lacks or should not contain, or that copies occur in the wrong number."""
    name = _name(subject, token)
    more = f" (one of {wrong_rows} tokens with wrong rows)" if wrong_rows > 1 else ""
    missing, extra = np.setdiff1d(expected, row), np.setdiff1d(row, expected)
    for code, keys, verb, remedy in (
        ("MS002", missing, "does not attend to", "allow these keys in its row"),
        ("MS013", extra, "attends to keys that its sample forbids:", "forbid these keys in its row"),
    ):
        if len(keys):
            names = ", ".join(subject.token(int(key)) for key in keys[:3]) + (", ..." if len(keys) > 3 else "")
            witness = {
                "sample": token.sample,
                "token": token.number,
                "keys": keys[:ROW_LIMIT].tolist(),
                "count": len(keys),
            }
            yield Finding(code, "error", token.position, witness, remedy, f"{name} {verb} {names}{more}")
    if not len(missing) and not len(extra):
        message = f"{name} attends to another number of equal tokens than in its sample{more}"
        witness = {"sample": token.sample, "token": token.number}
        yield Finding("MS009", "error", token.position, witness, REPACK, message)
