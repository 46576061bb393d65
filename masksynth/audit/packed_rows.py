"""Rows of a packed batch beside what its samples' tokens see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.errors import WrongAnswer
from masksynth.pack.visibility import Segment, segments_of
from masksynth.subject.packed_tokens import token_positions
from masksynth.subject.subject import Subject
from masksynth.verify.packs import wrong_tokens

Ints = NDArray[np.int64]
TOLD = 20
"""Most wrong rows that are written out."""


def packed_rows(subject: Subject) -> Iterator[Finding]:
    """MS002, MS009, MS013 of a packed batch: each live token's row holds what the token sees in its sample, as often."""
    batch = subject.batch
    if batch is None:
        return
    cut, place, _ = token_positions(batch)
    length = np.diff(cut)
    given = subject.segments or (None,) * len(length)
    segments = tuple(
        None if part is None else segments_of(part, int(n)) for part, n in zip(given, length.tolist(), strict=True)
    )
    try:
        wrong, lowest = wrong_tokens(batch, cut, segments, place)
    except WrongAnswer as error:
        yield Finding("MS009", "error", None, {}, "pack the samples again", error.fact)
        return
    for token in _one_each(place, wrong)[:TOLD].tolist():
        sample = int(np.searchsorted(cut, token, "right")) - 1
        seen = _seen(segments[sample], int(cut[sample]), token)
        due = place[seen]
        if (due < 0).any():
            lost = int(seen[due < 0][0] - cut[sample])
            at, which = int(place[token]), token - int(cut[sample])
            fact = f"position {subject.token(at)} (token {which} of sample {batch.samples[sample]!r}) does not see token {lost} of its sample"
            witness = {"sample": batch.samples[sample], "token": which, "missing": lost}
            yield Finding("MS002", "error", at, witness, "pack the samples again", f"{fact}, which takes no position")
            continue
        row = lowest[subject.mask.row(int(place[token]))]
        yield from _compared(
            subject, int(place[token]), row, due, batch.samples[sample], token - int(cut[sample]), len(wrong)
        )


def _one_each(place: Ints, wrong: Ints) -> Ints:
    """The first wrong token of each position."""
    return wrong[np.sort(np.unique(place[wrong], return_index=True)[1])]


def _seen(segments: tuple[Segment, ...] | None, begin: int, token: int) -> Ints:
    """The tokens that a token sees in its sample."""
    if segments is None:
        return np.arange(begin, token + 1)
    own = next(s for s in segments if s.start <= token - begin < s.start + s.length)
    runs = [(segments[s].start, segments[s].start + segments[s].length) for s in own.sees]
    low = token - begin if own.within == "self" else own.start
    runs.append((low, own.start + own.length if own.within == "full" else token - begin + 1))
    return begin + np.concatenate([np.arange(low, high) for low, high in runs])


def _compared(subject: Subject, at: int, row: Ints, due: Ints, sample: Any, token: int, many: int) -> Iterator[Finding]:
    where = f"position {subject.token(at)} (token {token} of sample {sample!r})"
    more = f" ({many} tokens have wrong rows)" if many > 1 else ""
    missing, extra = np.setdiff1d(due, row), np.setdiff1d(row, due)
    for code, keys, word, remedy in (
        ("MS002", missing, "does not see", "allow these keys in its row"),
        ("MS013", extra, "sees, against its sample,", "forbid these keys in its row"),
    ):
        if len(keys):
            names = ", ".join(subject.token(int(key)) for key in keys[:3]) + (", ..." if len(keys) > 3 else "")
            witness = {"sample": sample, "token": token, "keys": keys[:TOLD].tolist(), "count": len(keys)}
            yield Finding(code, "error", at, witness, remedy, f"{where} {word} {names}{more}")
    if not len(missing) and not len(extra):
        witness = {"sample": sample, "token": token}
        yield Finding(
            "MS009",
            "error",
            at,
            witness,
            "pack the samples again",
            f"{where} sees equal tokens not as often as in its sample{more}",
        )
