"""Samples that stand nowhere, or with other tokens, and positions that serve no sample."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.audit.samples.expected_mask import Expected, token_ids
from masksynth.audit.samples.placement import Placement
from masksynth.subject.subject import Subject

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
TOLD = 1000
"""Most findings of one kind."""


def presence_findings(subject: Subject, expected: Expected, placed: Placement, live: Bools) -> Iterator[Finding]:
    """MS018, MS019: tokens without a position, positions with another token, positions without a token."""
    yield from _missing_ids(subject, expected)
    yield from _replaced_tokens(subject, expected, placed, live)
    yield from _lost_samples(subject, expected, placed)
    yield from _idle_positions(subject, placed)
    if not placed.complete:
        message = "too many positions look alike to place them all: findings may point at the wrong ones of them"
        codes = ["MS002", "MS009", "MS013", "MS015", "MS018"]
        yield Finding("MS014", "note", None, {"codes": codes}, "give position ids with --tokens", message)


def _missing_ids(subject: Subject, expected: Expected) -> Iterator[Finding]:
    """Samples that a packed batch lists and that were not given."""
    if subject.batch is None:
        return
    known = set(map(repr, expected.table.ids))
    missing = [name for name in subject.batch.samples if repr(name) not in known]
    yield from _left_out(len(missing), "samples of the batch were not given")
    for name in missing[:TOLD]:
        message = f"sample {name!r} of the batch is not among the samples that were given"
        yield Finding("MS018", "error", None, {"sample": name}, "give the samples that were packed", message)


def _replaced_tokens(subject: Subject, expected: Expected, placed: Placement, live: Bools) -> Iterator[Finding]:
    """Positions that stand in a token's place and have another identity: one finding for each run of them.

    Errors if some label depends on them, or on a token that stands nowhere else.
    """
    needed = np.zeros(len(placed.first), bool)
    needed[placed.classes[placed.live]] = True
    needed[placed.home[placed.same]] = False
    wrong = np.flatnonzero((placed.home >= 0) & ~placed.same)
    token = placed.token[wrong]
    begins = np.ones(len(wrong), bool)
    begins[1:] = (
        (np.diff(wrong) != 1) | (np.diff(token) != 1) | (expected.sample[token][1:] != expected.sample[token][:-1])
    )
    cuts = np.append(np.flatnonzero(begins), len(wrong)).tolist()
    yield from _left_out(len(cuts) - 1, "runs of positions stand in the place of other tokens")
    for low, high in list(pairwise(cuts))[:TOLD]:
        at, owner = int(wrong[low]), int(token[low])
        here = (
            f"position {subject.token(at)}"
            if high == low + 1
            else f"positions {subject.token(at)} to {subject.token(int(wrong[high - 1]))}"
        )
        where = (
            expected.place(owner)
            if high == low + 1
            else f"{expected.place(owner)} to {expected.place(int(token[high - 1]))}"
        )
        verb = "stands" if high == low + 1 else "stand"
        message = f"{here} {verb} in the place of {where} from {expected.name(owner)} on"
        witness = {**expected.witness(owner), "positions": [at, int(wrong[high - 1])], "count": high - low}
        witness["expected"] = {
            "input": int(expected.table.tokens[owner]),
            "position_id": int(expected.positions[owner]),
        }
        run = wrong[low:high]
        severity = "error" if (live[run] | needed[placed.home[run]]).any() else "warning"
        yield Finding(
            "MS018",
            severity,
            at,
            witness,
            "correct the inputs and position ids, or give the samples that were packed",
            message,
        )


def _lost_samples(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """Samples of which a token that some label depends on has no position: one finding for each."""
    lost = np.flatnonzero(placed.live & ~placed.served[placed.classes])
    sample, first, count = np.unique(expected.sample[lost], return_index=True, return_counts=True)
    live = np.bincount(expected.sample[placed.live], minlength=len(expected.table))
    ids = token_ids(subject)
    yield from _left_out(len(sample), "samples are not found")
    for number, at, many in list(zip(sample.tolist(), first.tolist(), count.tolist(), strict=True))[:TOLD]:
        token, name = int(lost[at]), expected.table.ids[number]
        what = f"sample {name!r} is nowhere in the mask"
        if many < live[number]:
            what = f"sample {name!r}: {many} of its {live[number]} tokens are nowhere in the mask"
        miss, near = _nearest_miss(subject, expected, placed, ids, token)
        witness = {**expected.witness(token), "count": many, "tokens": int(live[number]), "nearest": near}
        message = f"{what}, token {expected.index[token]} ({expected.place(token)}) first; {miss}"
        yield Finding("MS018", "error", near, witness, "add its positions, or leave the sample out", message)


def _nearest_miss(
    subject: Subject, expected: Expected, placed: Placement, ids: Ints, token: int
) -> tuple[str, int | None]:
    """Return in words what comes closest to a token that stands nowhere, and at which position."""
    alike = ids == expected.table.tokens[token]
    free = placed.home < 0
    place = int(expected.positions[token])
    right = np.ones(subject.size, bool) if subject.positions is None else subject.positions == place
    before = placed.position_of(token - 1) if expected.index[token] else -1
    for chosen, words in (
        (alike & right & free, "position {} has its identity, and its row is another's"),
        (alike & right, "position {} has its identity and stands for another token"),
        (alike & free, "position {} holds its token id at another position id"),
        (right & free & (np.arange(subject.size) == before + 1), "position {} comes after the token before it"),
        (alike, "position {} holds its token id at another position id"),
    ):
        if chosen.any():
            at = int(np.flatnonzero(chosen)[0])
            return "nearest: " + words.format(subject.token(at)), at
    return "no position holds its token id", None


def _idle_positions(subject: Subject, placed: Placement) -> Iterator[Finding]:
    """Positions that stand for no token and are not padding: one finding for each run of them."""
    idle = placed.home < 0 if subject.padding is None else (placed.home < 0) & ~subject.padding
    edges = np.diff(np.concatenate([[0], idle.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()
    yield from _left_out(len(begins), "runs of positions serve no sample")
    for first, last in list(zip(begins, ends, strict=True))[:TOLD]:
        here = (
            f"position {subject.token(first)} serves" if last == first + 1 else f"positions {first} to {last - 1} serve"
        )
        message = f"{here} no sample"
        witness = {"positions": [first, last - 1], "count": last - first}
        remedy = "drop it; if it is padding, say so under padding in --tokens; or give the sample that it belongs to"
        yield Finding("MS019", "warning", first, witness, remedy, message)


def _left_out(count: int, what: str) -> Iterator[Finding]:
    """MS014: findings of one kind beyond those that are written out."""
    if count > TOLD:
        message = f"{count - TOLD} more {what}; {TOLD} are written out"
        witness = {"codes": ["MS018", "MS019"], "count": count, "written": TOLD}
        yield Finding("MS014", "note", None, witness, "mend what is written out and audit again", message)
