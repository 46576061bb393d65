"""Find samples that the mask does not contain, positions with another token, and positions that belong to no sample."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.samples.expected_mask import Expected, token_ids
from masksynth.audit.samples.placement import Placement
from masksynth.mask.equal_values import run_starts
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject

FINDING_LIMIT = 1000
"""Maximum number of findings of one kind."""


def find_presence_faults(subject: Subject, expected: Expected, placed: Placement, live: BoolArray) -> Iterator[Finding]:
    """Yield MS018 and MS019: tokens without a position, positions with another token, positions without a token."""
    yield from _samples_not_given(subject, expected)
    yield from _replaced_tokens(subject, expected, placed, live)
    yield from _absent_samples(subject, expected, placed)
    yield from _positions_without_sample(subject, placed)
    if not placed.complete:
        message = "too many positions have equal identities to place them all: findings may name the wrong ones"
        codes = ["MS002", "MS009", "MS013", "MS015", "MS018"]
        yield Finding("MS014", "note", None, {"codes": codes}, "give position ids with --tokens", message)


def _samples_not_given(subject: Subject, expected: Expected) -> Iterator[Finding]:
    """Yield samples that a packed batch lists and that were not given."""
    if subject.batch is None:
        return
    given = set(map(repr, expected.table.ids))
    missing = [name for name in subject.batch.samples if repr(name) not in given]
    yield from _count_unreported(len(missing), "samples of the batch were not given")
    for name in missing[:FINDING_LIMIT]:
        message = f"sample {name!r} of the batch is not among the given samples"
        yield Finding("MS018", "error", None, {"sample": name}, "give the samples that were packed", message)


def _replaced_tokens(subject: Subject, expected: Expected, placed: Placement, live: BoolArray) -> Iterator[Finding]:
    """Yield positions in the place of a token that have another identity: one finding for each run of them.

    Errors if some label depends on them, or on a token that has no other position.
    """
    needed = np.zeros(len(placed.first_token), bool)
    needed[placed.class_of_token[placed.live_token]] = True
    needed[placed.class_of_position[placed.same_identity]] = False
    wrong = np.flatnonzero((placed.class_of_position >= 0) & ~placed.same_identity)
    token = placed.token_of_position[wrong]
    # a run: consecutive positions and tokens of one sample
    number = np.arange(len(wrong))
    begins = run_starts(wrong - number, token - number, expected.sample[token])
    bounds = np.append(np.flatnonzero(begins), len(wrong)).tolist()
    yield from _count_unreported(len(bounds) - 1, "runs of positions have another identity than their samples' tokens")
    for low, high in list(pairwise(bounds))[:FINDING_LIMIT]:
        run, first = wrong[low:high], int(token[low])
        severity = "error" if (live[run] | needed[placed.class_of_position[run]]).any() else "warning"
        yield _replaced_run(subject, expected, run, first, int(token[high - 1]), severity)


def _replaced_run(
    subject: Subject, expected: Expected, run: Int64Array, first: int, last: int, severity: str
) -> Finding:
    """Report a run of positions that should have the identities of the tokens ``first`` to ``last``."""
    position, final = int(run[0]), int(run[-1])
    if len(run) == 1:
        message = f"position {subject.token(position)}: expected {expected.identity(first)}, {expected.describe(first)}"
    else:
        message = (
            f"positions {subject.token(position)} to {subject.token(final)}: expected {expected.identity(first)} to "
            f"{expected.identity(last)}, from {expected.describe(first)} on"
        )
    witness = {**expected.witness(first), "positions": [position, final], "count": len(run)}
    witness["expected"] = {"input": int(expected.table.tokens[first]), "position_id": int(expected.positions[first])}
    remedy = "correct the inputs and position ids, or give the samples that were packed"
    return Finding("MS018", severity, position, witness, remedy, message)


def _absent_samples(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """Yield samples of which a token that some label depends on has no position: one finding for each."""
    absent = np.flatnonzero(placed.live_token & ~placed.has_position[placed.class_of_token])
    samples, first, counts = np.unique(expected.sample[absent], return_index=True, return_counts=True)
    live = np.bincount(expected.sample[placed.live_token], minlength=len(expected.table))
    ids = token_ids(subject)
    yield from _count_unreported(len(samples), "samples are not in the mask")
    rows = zip(samples.tolist(), first.tolist(), counts.tolist(), strict=True)
    for sample, index, count in list(rows)[:FINDING_LIMIT]:
        token, name = int(absent[index]), expected.table.ids[sample]
        fact = f"sample {name!r} is not in the mask"
        if count < live[sample]:
            fact = f"sample {name!r}: {count} of its {live[sample]} tokens are not in the mask"
        nearest, position = _nearest_position(subject, expected, placed, ids, token)
        witness = {**expected.witness(token), "count": count, "tokens": int(live[sample]), "nearest": position}
        message = f"{fact}, token {expected.index[token]} ({expected.identity(token)}) first; {nearest}"
        yield Finding("MS018", "error", position, witness, "add its positions, or leave the sample out", message)


def _nearest_position(
    subject: Subject, expected: Expected, placed: Placement, ids: Int64Array, token: int
) -> tuple[str, int | None]:
    """Return a description of the position that comes closest to a token without one, and that position."""
    same_token = ids == expected.table.tokens[token]
    free = placed.class_of_position < 0
    position_id = int(expected.positions[token])
    same_id = np.ones(subject.size, bool) if subject.positions is None else subject.positions == position_id
    before = placed.position_of(token - 1) if expected.index[token] else -1
    follows = np.arange(subject.size) == before + 1
    for chosen, text in (
        (same_token & same_id & free, "position {} has its identity, but another row"),
        (same_token & same_id, "position {} has its identity, but belongs to another token"),
        (same_token & free, "position {} has its token id, but another position id"),
        (same_id & free & follows, "position {} follows the token before it"),
        (same_token, "position {} has its token id, but another position id"),
    ):
        if chosen.any():
            position = int(np.flatnonzero(chosen)[0])
            return "nearest: " + text.format(subject.token(position)), position
    return "no position has its token id", None


def _positions_without_sample(subject: Subject, placed: Placement) -> Iterator[Finding]:
    """Yield positions that belong to no token and are not padding: one finding for each run of them."""
    unused = placed.class_of_position < 0
    if subject.padding is not None:
        unused = unused & ~subject.padding
    change = np.diff(np.concatenate([[0], unused.astype(np.int8), [0]]))  # 1 where a run begins, -1 after its end
    begins, ends = np.flatnonzero(change == 1).tolist(), np.flatnonzero(change == -1).tolist()
    yield from _count_unreported(len(begins), "runs of positions belong to no sample")
    for first, end in list(zip(begins, ends, strict=True))[:FINDING_LIMIT]:
        single = f"position {subject.token(first)} belongs to no sample"
        message = single if end == first + 1 else f"positions {first} to {end - 1} belong to no sample"
        witness = {"positions": [first, end - 1], "count": end - first}
        remedy = (
            "drop it; if it is padding, declare it under padding in --tokens; or give the sample that it belongs to"
        )
        yield Finding("MS019", "warning", first, witness, remedy, message)


def _count_unreported(count: int, what: str) -> Iterator[Finding]:
    """Yield MS014 if there are more findings of one kind than are reported."""
    if count > FINDING_LIMIT:
        message = f"{count - FINDING_LIMIT} more {what}; {FINDING_LIMIT} are reported"
        witness = {"codes": ["MS018", "MS019"], "count": count, "written": FINDING_LIMIT}
        yield Finding("MS014", "note", None, witness, "fix what is reported and audit again", message)
