"""Read what is at a path as a subject: the one reader of masks for all commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.pack.dimensions import further_dimensions
from masksynth.pack.sample_columns import KEY_FIELDS, select
from masksynth.subject.folders import folder_kind, read_answer, read_batch_of_folder
from masksynth.subject.mask_file import ENDINGS, read_mask_bytes, read_mask_file, read_stdin
from masksynth.subject.mask_mod import SPEC, read_mask_mod
from masksynth.subject.sample_table import Source, read_sample_table
from masksynth.subject.subject import Subject
from masksynth.subject.token_file import with_tokens
from masksynth.tasks.canonical import shown

NAMES = f"name a file that ends in {', '.join(ENDINGS)}, a folder, or package.module:mask_mod"
NOT_MASKS = {
    ".jsonl": "samples, not a mask; pack them first: masksynth pack SAMPLES -o packed",
    ".gz": "samples, not a mask; pack them first: masksynth pack SAMPLES -o packed",
    ".parquet": "samples, not a mask; pack them first: masksynth pack SAMPLES -o packed",
    ".json": "an instance or samples, not a mask; merge it first: masksynth solve INSTANCE -o out",
}
"""Ending -> what such a file usually contains, and the command that makes a mask of it."""


def subject_kind(path: str | Path) -> str:
    """Return which kind of subject a path names; nothing is read beyond the names of files.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str
        ``"mask file"``, ``"stdin"``, ``"answer"``, ``"packed folder"`` or ``"mask_mod"``.

    Raises
    ------
    InvalidInstance
        If it names none of these, with the reason and a remedy.

    Examples
    --------
    >>> subject_kind("attn_gym.masks:causal_mask")
    'mask_mod'
    """
    text, file = str(path), Path(path)
    if text == "-":
        return "stdin"
    if not file.exists():
        if SPEC.fullmatch(text):
            return "mask_mod"
        remedy = "name one, or package.module:mask_mod with --length"
        raise InvalidInstance("there is no such file or folder", "", remedy, text)
    if file.is_dir():
        return folder_kind(file)
    if file.suffix in ENDINGS:
        return "mask file"
    if file.suffix in NOT_MASKS:
        fact, _, remedy = NOT_MASKS[file.suffix].partition("; ")
        raise InvalidInstance(f"ends in {file.suffix!r}, which is for {fact}", "", remedy, text)
    raise InvalidInstance(f"ends in {file.suffix!r}", "", NAMES, text)


def read_subject(
    path: str | Path,
    *,
    tokens: str | Path | Mapping[str, Any] | None = None,
    length: int | None = None,
    layers: int | None = None,
    batch: int | None = None,
    samples: Source | None = None,
) -> Subject:
    """Read a mask, and what is known about it, from any kind of path.

    Parameters
    ----------
    path : str or path
        A mask file (.npy, .npz, .safetensors; ``-`` for the bytes of one on stdin), the folder of an answer or of
        packed batches, or ``package.module:name`` of a FlexAttention mask_mod or BlockMask, which is imported. Only
        this argument is ever imported, never text from a file.
    tokens : path or mapping, optional
        The JSON of ``--tokens`` or its content; it replaces the information in the file.
    length : int, optional
        N, for a mask_mod.
    layers : int, optional
        Layers of the model [default: those of the answer or the family].
    batch : int, optional
        Index of a batch of a packed folder [default: 0].
    samples : path, "-", SampleTable or iterable of mappings, optional
        Samples that the mask is meant to train, to compare it with; those in other batches of a packed folder are
        left out.

    Raises
    ------
    InvalidInstance
        In one line, with file, place and remedy.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/causal.npy", np.tril(np.ones((3, 3), bool)))
    ...     tokens = {"inputs": ["a", "b", "c"], "labels": [[0, "b", ["b"]]]}
    ...     subject = read_subject(f"{folder}/causal.npy", tokens=tokens)
    >>> subject.mask, subject.inputs, subject.labels.hides
    (Mask(size=3, tables=1, pairs=6), ('a', 'b', 'c'), (('b',),))
    """
    subject = _read_kind(path, subject_kind(path), length, batch)
    if tokens is not None:
        subject = with_tokens(subject, tokens)
    if samples is not None:
        if str(path) == "-" == str(samples):
            raise InvalidInstance("stdin cannot be the mask and the samples", "", "name a file for one of them", "-")
        subject = with_samples(subject, samples)
    if layers is not None:
        if type(layers) is not int or layers < 1:
            fact = f"layers: expected a positive integer, got {layers!r}"
            raise InvalidInstance(fact, "", "give the number of layers, or leave it out")
        subject = replace(subject, layers=layers)
    return subject


def _read_kind(path: str | Path, kind: str, length: int | None, batch: int | None) -> Subject:
    """Read a subject of a kind; refuse options that do not belong to it."""
    if length is not None and kind != "mask_mod":
        remedy = "give --length with package.module:mask_mod only"
        raise InvalidInstance("has a length of its own", "", remedy, str(path))
    if batch is not None and kind != "packed folder":
        raise InvalidInstance("is not a packed folder, so it has no batches", "", "leave --batch out", str(path))
    if kind == "mask_mod":
        return read_mask_mod(str(path), length)
    if kind == "stdin":
        return read_mask_bytes(read_stdin())
    if kind == "packed folder":
        return read_batch_of_folder(Path(path), batch or 0)
    return read_answer(Path(path)) if kind == "answer" else read_mask_file(Path(path))


def with_samples(subject: Subject, samples: Source) -> Subject:
    """Return the subject with the samples that it is meant to train.

    Parameters
    ----------
    subject : Subject
    samples : path, "-", SampleTable or iterable of mappings
        Those in other batches of the subject's packed folder are left out and counted in `Subject.others`.

    Raises
    ------
    InvalidInstance
        If the inputs of the subject are not known, or something is not a sample.
    """
    if subject.inputs is None:
        fact = "samples cannot be compared: the inputs of its positions are not known"
        raise InvalidInstance(fact, "", "give inputs and positions with --tokens", subject.name)
    if subject.size and not subject.sparse and not any(type(value) is int for value in subject.inputs):
        fact = f"samples cannot be compared: expected token ids as inputs, got {shown(subject.inputs[0])}"
        raise InvalidInstance(fact, "", "give integers as inputs", subject.name)
    batch_keys = () if subject.batch is None else subject.batch.keys
    further = further_dimensions(batch_keys)  # read_sample_table gets them from position_ids
    keys = dict.fromkeys((*KEY_FIELDS, *(key for key in batch_keys if key not in further)))
    table = read_sample_table(samples, tuple(keys), ("weights",))
    elsewhere = set(map(repr, subject.elsewhere))
    if subject.batch is not None:
        elsewhere -= set(map(repr, subject.batch.samples))
    kept = [index for index, name in enumerate(table.ids) if repr(name) not in elsewhere]
    return replace(subject, samples=select(table, kept), others=len(table) - len(kept))
