"""Check where the labels of a packed batch are, against its own samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.finding import Finding
from masksynth.pack import PackedBatch
from masksynth.subject.packed_tokens import token_positions
from masksynth.subject.subject import Subject

Ints = NDArray[np.int64]


def predictors(batch: PackedBatch, segments: tuple[Any, ...] | None) -> Ints:
    """The position that should predict each label: that of the token before it, or as the sample's segments say; -1 if it is dead."""
    cut, place, _ = token_positions(batch)
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
