"""Where labels stand in a packed batch, which knows its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.pack import PackedBatch
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import first_colours

Ints = NDArray[np.int64]


def token_places(batch: PackedBatch) -> tuple[Ints, Ints, Ints]:
    """Where each sample's tokens begin, and for each token its position (-1 if dead) and its id.

    A sample has as many tokens as it has live and dead ones.
    """
    live, dead = np.diff(batch.sample_offset), np.diff(batch.dead_offset)
    cut = np.concatenate([[0], np.cumsum(live + dead)]).astype(np.int64)
    place = np.zeros(int(cut[-1]), np.int64)
    where = np.repeat(cut[:-1], dead) + batch.dead_index
    where = where[(where >= 0) & (where < len(place))]
    place[where] = -1
    alive = np.flatnonzero(place == 0)[: len(batch.sample_position)]
    place[alive] = batch.sample_position[: len(alive)]
    token: Ints = np.append(batch.input_ids, -1)[place]  # -1: the last
    token[where] = batch.dead_token[: len(where)]
    return cut, place, token


def targets(batch: PackedBatch) -> tuple[Ints, Ints]:
    """Return the position of each label's own token, and the labels that differ from it.

    -1 where the token is dead, is the predictor itself, or differs from the label, which then says nothing of what it hides.
    """
    cut, place, token = token_places(batch)
    at = cut[batch.loss_sample] + batch.loss_index
    inside = (batch.loss_index >= 0) & (at < cut[batch.loss_sample + 1])
    at = np.where(inside, at, 0)
    if not len(place):
        return np.full(len(at), -1), np.zeros(0, np.int64)
    another = inside & (place[at] >= 0) & (place[at] != batch.loss_position)
    same = token[at] == batch.loss_label
    return np.where(another & same, place[at], -1), np.flatnonzero(another & ~same)


def group_numbers(batch: PackedBatch, groups: tuple[Any, ...] | None) -> Ints | None:
    """The group that each position serves, numbered by first appearance; unused copies belong to the group before them."""
    if groups is None:
        return None
    number = first_colours(map(repr, groups))
    found = np.full(batch.positions, -1, np.int64)
    found[batch.sample_position] = np.repeat(number, np.diff(batch.sample_offset))
    last = np.maximum.accumulate(np.where(found >= 0, np.arange(batch.positions), 0))
    return found[last]


def predictors(batch: PackedBatch, segments: tuple[Any, ...] | None) -> Ints:
    """The position that should predict each label: that of the token before it, or as the sample's segments say; -1 if it is dead."""
    cut, place, _ = token_places(batch)
    before = batch.loss_index - 1
    for number, parts in enumerate(segments or ()):
        if parts is not None:
            own = np.flatnonzero(batch.loss_sample == number)
            before[own] = _before(parts, batch.loss_index[own])
    at = cut[batch.loss_sample] + before
    inside = (before >= 0) & (at < cut[batch.loss_sample + 1])
    found: Ints = np.where(inside, place[np.where(inside, at, 0)], -1) if len(place) else np.full(len(at), -1)
    return found


def _before(parts: Any, index: Ints) -> Ints:
    """Which token of a segmented sample predicts token ``index``."""
    start = np.concatenate([[0], np.cumsum([part["length"] for part in parts])]).astype(np.int64)
    own = np.clip(np.searchsorted(start, index, side="right") - 1, 0, len(parts) - 1)
    itself = np.array([part.get("predict", "next") == "self" for part in parts])[own]
    after = np.array([number - 1 if part.get("after") is None else part["after"] for number, part in enumerate(parts)])[
        own
    ]
    found: Ints = np.where(
        itself, index, np.where(index > start[own], index - 1, np.where(after >= 0, start[after + 1] - 1, -1))
    )
    return found


def packed_labels(subject: Subject) -> Iterator[Finding]:
    """MS003, MS004 of a packed batch: each label stands where its sample predicts it, and once."""
    batch = subject.batch
    if batch is None:
        return
    due = predictors(batch, subject.segments)
    for edge in np.flatnonzero(batch.loss_position != due).tolist():
        at, sample = int(batch.loss_position[edge]), batch.samples[batch.loss_sample[edge]]
        witness = {
            "sample": sample,
            "index": int(batch.loss_index[edge]),
            "label": int(batch.loss_label[edge]),
            "due": int(due[edge]),
        }
        what = (
            f"position {subject.token(int(due[edge]))} should predict it"
            if due[edge] >= 0
            else "no live token of it should predict it"
        )
        message = f"label {witness['label']} (token {witness['index']} of sample {sample!r}) stands at position {subject.token(at)}; {what}"
        yield Finding(
            "MS003", "error", at, witness, "pack the samples again; labels are never shifted along the mask", message
        )
    code = batch.loss_sample * (int(batch.loss_index.max(initial=0)) + 1) + batch.loss_index
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    for edge, times in zip(first[count > 1].tolist(), count[count > 1].tolist(), strict=True):
        at, sample = int(batch.loss_position[edge]), batch.samples[batch.loss_sample[edge]]
        witness = {
            "sample": sample,
            "index": int(batch.loss_index[edge]),
            "label": int(batch.loss_label[edge]),
            "given": times,
            "asked": 1,
        }
        message = f"label {witness['label']} (token {witness['index']} of sample {sample!r}) stands {times} times"
        yield Finding("MS004", "error", at, witness, "pack the samples again", message)
