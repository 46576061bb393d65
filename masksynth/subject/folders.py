"""Subjects from the folder of an answer and from a packed folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.export.answer_folder import SOLUTION, read_merged
from masksynth.pack import PackedBatch, PackedFolder, open_packed
from masksynth.pack.packed_folder import MANIFEST
from masksynth.subject.packed_tokens import label_targets, position_groups
from masksynth.subject.subject import Labels, Subject
from masksynth.tasks import MergedTask


def folder_kind(folder: Path) -> str:
    """Return ``"packed folder"`` or ``"answer"``.

    Raises
    ------
    InvalidInstance
        If the folder contains neither a manifest nor a solution.
    """
    for name, kind in ((MANIFEST, "packed folder"), (SOLUTION, "answer")):
        if (folder / name).is_file():
            return kind
    fact = f"holds neither {SOLUTION} nor {MANIFEST}"
    remedy = "name a folder that masksynth solve -o or masksynth pack -o wrote, or a mask file"
    raise InvalidInstance(fact, "", remedy, str(folder))


def read_answer(folder: Path) -> Subject:
    """Return the merged task of an answer's folder as a subject."""
    return subject_of_merged(read_merged(folder), str(folder))


def read_batch_of_folder(folder: Path, number: int) -> Subject:
    """Return one batch of a packed folder as a subject.

    Parameters
    ----------
    folder : Path
    number : int
        Index of the batch, from 0.

    Raises
    ------
    InvalidInstance
        If the folder has no such batch.
    """
    packed = open_packed(folder)
    check_batch(packed, number)
    entries = packed.manifest.batches
    name = f"{folder}, batch {number}"
    subject = subject_of_batch(packed[number], name, entries[number].segments, entries[number].groups)
    elsewhere = tuple(sample for i, entry in enumerate(entries) for sample in entry.samples if i != number)
    return replace(subject, elsewhere=elsewhere, layout=packed.layout)


def check_batch(packed: PackedFolder, number: int) -> None:
    """Raise InvalidInstance if a packed folder has no batch of this index."""
    if not 0 <= number < len(packed):
        fact = f"has {len(packed)} batch{'' if len(packed) == 1 else 'es'}, not a batch {number}"
        raise InvalidInstance(fact, "", "batches are counted from 0", str(packed.path))


def subject_of_merged(merged: MergedTask, name: str = "answer") -> Subject:
    """Return a merged task as a subject. Only its family knows what the labels hide, so `Labels.hides` is empty.

    Parameters
    ----------
    merged : MergedTask
    name : str
        Where it was read, for messages.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> subject_of_merged(merge(catalog.causal_lm(n=3))).labels.value
    ('w1', 'w2')
    """
    edges = merged.loss_edges
    labels = Labels(
        np.array([edge.position for edge in edges], np.int64),
        tuple(merged.labels[edge.label] for edge in edges),
        np.array([edge.weight for edge in edges], np.float64),
        np.array([edge.task for edge in edges], np.int64),
        merged.tasks,
        ((),) * len(edges),
        np.full(len(edges), -1),
    )
    return Subject(
        merged.mask,
        name,
        inputs=tuple(position.input for position in merged.positions),
        positions=np.array([position.position for position in merged.positions], np.int64),
        kinds=tuple(position.kind for position in merged.positions),
        labels=labels,
        layers=merged.problem.layers,
        embeddings=merged.embeddings,
        sparse=merged.problem.sparse,
        updated=merged.updated,
    )


def subject_of_batch(
    batch: PackedBatch,
    name: str = "batch",
    segments: tuple[Any, ...] | None = None,
    groups: tuple[Any, ...] | None = None,
) -> Subject:
    """Return a packed batch as a subject: a label that predicts the next token hides the position of that token.

    Parameters
    ----------
    batch : PackedBatch
    name : str
        Where it was read, for messages.
    segments, groups : tuple, optional
        Those of the samples, as the manifest of a packed folder lists them.
    """
    target, unsaid = label_targets(batch)
    labels = Labels(
        batch.loss_position,
        tuple(batch.loss_label.tolist()),
        batch.loss_weight,
        batch.loss_sample,
        batch.samples,
        ((),) * len(batch.loss_label),
        target,
        unsaid,
        "it differs from the token that its sample has there",
    )
    return Subject(
        batch.mask,
        name,
        tuple(batch.input_ids.tolist()),
        batch.position_ids,
        _key_texts(batch),
        labels,
        batch=batch,
        segments=segments,
        groups=position_groups(batch, groups),
    )


def _key_texts(batch: PackedBatch) -> tuple[str, ...] | None:
    """Return the additional keys of each position as text, ``"kinds=0 position_ids_1=3"``; None without keys."""
    if not batch.keys:
        return None
    names = sorted(batch.keys)
    rows = zip(*(batch.keys[name].tolist() for name in names), strict=True)
    return tuple(" ".join(f"{name}={value}" for name, value in zip(names, row, strict=True)) for row in rows)
