"""Check where the labels of a packed batch are, against its own samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.pack import PackedBatch
from masksynth.subject.packed_tokens import token_positions
from masksynth.subject.subject import Subject


def expected_predictors(batch: PackedBatch, segments: tuple[Any, ...] | None) -> Int64Array:
    """Return the position that should predict each label, shape (E,); -1 if that token is dead.

    It is the position of the token before the label's own, or the one that the sample's segments define.

    Parameters
    ----------
    batch : PackedBatch
    segments : tuple of S sequences, optional
        Segments of each sample; None for a causal one.
    """
    offset, position, _ = token_positions(batch)
    index = batch.loss_index - 1  # index in the sample of the token that predicts
    for sample, parts in enumerate(segments or ()):
        if parts is not None:
            labels = np.flatnonzero(batch.loss_sample == sample)
            index[labels] = _predicting_index(parts, batch.loss_index[labels])
    token = offset[batch.loss_sample] + index
    inside = (index >= 0) & (token < offset[batch.loss_sample + 1])
    if not len(position):
        return np.full(len(token), -1)
    result: Int64Array = np.where(inside, position[np.where(inside, token, 0)], -1)
    return result


def _predicting_index(parts: Any, index: Int64Array) -> Int64Array:
    """Return which token of a segmented sample predicts the token at ``index``; -1 for none."""
    start = indptr([part["length"] for part in parts])
    segment = np.clip(np.searchsorted(start, index, side="right") - 1, 0, len(parts) - 1)
    predicts_itself = np.array([part.get("predict", "next") == "self" for part in parts])[segment]
    continued = [number - 1 if part.get("after") is None else part["after"] for number, part in enumerate(parts)]
    before = np.array(continued)[segment]  # the segment that each one continues, -1 for none
    last_before = np.where(before >= 0, start[before + 1] - 1, -1)
    result: Int64Array = np.where(predicts_itself, index, np.where(index > start[segment], index - 1, last_before))
    return result


def find_wrong_packed_labels(subject: Subject) -> Iterator[Finding]:
    """Yield MS003 and MS004 for labels of a packed batch that another position should predict, or that are repeated."""
    batch = subject.batch
    if batch is None:
        return
    expected = expected_predictors(batch, subject.segments)
    for label in np.flatnonzero(batch.loss_position != expected).tolist():
        right = int(expected[label])
        witness = {**_witness(batch, label), "due": right}
        who = f"position {subject.token(right)} should predict" if right >= 0 else "no live token of it should predict"
        position = int(batch.loss_position[label])
        message = f"position {subject.token(position)} predicts {_describe(witness)}, which {who}"
        remedy = "pack the samples again; labels are never shifted along the mask"
        yield Finding("MS003", "error", position, witness, remedy, message)
    code = batch.loss_sample * (int(batch.loss_index.max(initial=0)) + 1) + batch.loss_index  # (sample, index)
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    for label, times in zip(first[count > 1].tolist(), count[count > 1].tolist(), strict=True):
        witness = {**_witness(batch, label), "given": times, "asked": 1}
        message = f"{_describe(witness)} occurs {times} times, expected once"
        yield Finding("MS004", "error", int(batch.loss_position[label]), witness, "pack the samples again", message)


def _witness(batch: PackedBatch, label: int) -> dict[str, Any]:
    return {
        "sample": batch.samples[batch.loss_sample[label]],
        "index": int(batch.loss_index[label]),
        "label": int(batch.loss_label[label]),
    }


def _describe(witness: dict[str, Any]) -> str:
    return f"label {witness['label']} (token {witness['index']} of sample {witness['sample']!r})"
