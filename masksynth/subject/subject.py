"""What is looked at: a mask, and what is known of its positions, labels and purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.export.blocks import BlockLists
from masksynth.mask import Mask
from masksynth.tasks import Instance
from masksynth.tasks.canonical import shown

if TYPE_CHECKING:
    from masksynth.audit.samples.window_rules import TableRule
    from masksynth.pack import PackedBatch
    from masksynth.pack.sample_columns import SampleTable
    from masksynth.subject.sample_table import Source

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """E loss edges side by side, one for each label.

    Parameters
    ----------
    position : (E,) int64
        The position that predicts.
    value : tuple of E JSON values
        What it predicts.
    weight : (E,) float64
    task : (E,) int64
        Who asks for it: an index into ``tasks``.
    tasks : tuple
        Names of tasks or samples; empty where nothing is known of them.
    hides : tuple of E tuples
        Elements that the context must not carry, compared with ``Subject.inputs`` by canonical text; ``{"at": k}`` is position k itself.
    target : (E,) int64
        The position that holds the label's own token, -1 where there is none or it is not known; hidden too.
    unsaid : (U,) int64, optional
        Labels that do not say what they hide, and that cannot be taken for next tokens; None where nothing is said of hiding at all.
    why : str
        Why they cannot.
    """

    position: Integers
    value: tuple[Any, ...]
    weight: NDArray[np.float64]
    task: Integers
    tasks: tuple[Any, ...]
    hides: tuple[tuple[Any, ...], ...]
    target: Integers
    unsaid: Integers | None = None
    why: str = ""

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, eq=False)
class Subject:
    """A mask over N positions with what is known about it; None where nothing is.

    Parameters
    ----------
    mask : Mask
    name : str
        Where it was read.
    inputs, kinds : tuple of N, optional
        JSON values that are embedded, and names of the parameters that process them.
    positions : (N,) int64, optional
        Position ids.
    labels : Labels, optional
    family : Instance, optional
        What the mask is meant to train.
    layers : int, optional
        Layers of the model; None: any depth.
    forbidden : float, optional
        The finite number by which an additive mask forbids; None where it is minus infinity or the mask is boolean.
    dtype : str
        The type in which the mask was stored.
    blocks : (BlockLists, (int, int)), optional
        Block lists that came with the mask, and their block size (queries, keys).
    batch : PackedBatch, optional
        The packed batch that the mask belongs to; ``segments`` are those of its samples, None for a plain sample.
    groups : (N,) int64, optional
        Number of the group of samples that each position of a packed batch serves; positions of different groups are kept apart on purpose.
    embeddings : mapping, optional
        Task name -> {node name -> position}, where an answer's folder says so.
    sparse : bool
        A sparse answer: it carries a flow through its layers, and its rows are not those of the tasks.
    partial : str
        What was not read of it; empty where it was read whole.
    padding : (N,) bool, optional
        Positions that are padding: nothing may see them.
    samples : SampleTable, optional
        The samples that the mask is meant to train.
    elsewhere : tuple
        Ids of the samples in the other batches of a packed folder.
    others : int
        Samples that were given and belong to other batches of the folder.
    rules : tuple of P TableRule, optional
        What each table shows of a sample's earlier tokens; None: it is inferred from the rows.

    Raises
    ------
    InvalidInstance
        If a length does not fit the mask.

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> Subject(mask, "causal", inputs=("a", "b", "c")).size
    3
    """

    mask: Mask
    name: str
    inputs: tuple[Any, ...] | None = None
    positions: Integers | None = None
    kinds: tuple[str, ...] | None = None
    labels: Labels | None = None
    family: Instance | None = None
    layers: int | None = None
    forbidden: float | None = None
    dtype: str = "bool"
    blocks: tuple[BlockLists, tuple[int, int]] | None = None
    batch: PackedBatch | None = None
    segments: tuple[Any, ...] | None = None
    groups: Integers | None = None
    embeddings: Mapping[str, Mapping[str, int]] | None = None
    sparse: bool = False
    partial: str = ""
    padding: NDArray[np.bool_] | None = None
    samples: SampleTable | None = None
    elsewhere: tuple[Any, ...] = ()
    others: int = 0
    rules: tuple[TableRule, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "positions", "kinds", "padding"):
            values = getattr(self, name)
            if values is not None and len(values) != self.mask.size:
                raise InvalidInstance(
                    f"{len(values)} {name} for {self.mask.size} positions", f"$.{name}", "give one for each position"
                )
        if self.labels is not None and len(self.labels):
            low, high = int(self.labels.position.min()), int(self.labels.position.max())
            if low < 0 or high >= self.size:
                raise InvalidInstance(
                    f"a label stands at position {low if low < 0 else high} of {self.size}", "$.labels", "count from 0"
                )

    @property
    def size(self) -> int:
        """N, the number of positions."""
        return self.mask.size

    def token(self, position: int) -> str:
        """A position in words: its number, and its input and position id where they are known."""
        from masksynth.tasks.canonical import canonical

        if self.inputs is None:
            return str(position)
        text = self.inputs[position] if isinstance(self.inputs[position], str) else canonical(self.inputs[position])
        place = "" if self.positions is None else f"@{self.positions[position]}"
        return f"{position} ({text if len(text) <= 40 else text[:37] + '...'}{place})"


def read_subject(
    path: str | Path,
    *,
    tokens: str | Path | Mapping[str, Any] | None = None,
    length: int | None = None,
    layers: int | None = None,
    batch: int | None = None,
    samples: Source | None = None,
) -> Subject:
    """Read what is to be looked at.

    Parameters
    ----------
    path : str or path
        A mask file (.npy, .npz, .safetensors), the folder of an answer or of packed batches, or ``package.module:name`` of a
        FlexAttention mask_mod or BlockMask, which is imported: text that comes from a file never is.
    tokens : path or mapping, optional
        The JSON of ``--tokens`` or its content; what it says replaces what the file says.
    length : int, optional
        N, for a mask_mod.
    layers : int, optional
        Layers of the model [default: those of the answer or the family].
    batch : int, optional
        Which batch of a packed folder [default: 0].
    samples : path, "-", SampleTable or iterable of mappings, optional
        The samples that the mask is meant to train, with which it is then compared; those that a packed folder has in other batches
        are left out.

    Raises
    ------
    InvalidInstance
        In one line, with file, place and remedy.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/causal.npy", np.tril(np.ones((3, 3), bool)))
    ...     subject = read_subject(f"{folder}/causal.npy", tokens={"inputs": ["a", "b", "c"], "labels": [[0, "b", ["b"]]]})
    >>> subject.mask, subject.inputs, subject.labels.hides
    (Mask(size=3, tables=1, pairs=6), ('a', 'b', 'c'), (('b',),))
    """
    from masksynth.subject.sources import read_source
    from masksynth.subject.token_file import with_tokens

    subject = read_source(path, length, batch)
    if tokens is not None:
        subject = with_tokens(subject, tokens)
    if samples is not None:
        subject = with_samples(subject, samples)
    if layers is not None:
        if type(layers) is not int or layers < 1:
            raise InvalidInstance(
                f"layers {layers!r} is not a positive integer", "", "give the number of layers, or leave it out"
            )
        subject = replace(subject, layers=layers)
    return subject


def with_samples(subject: Subject, samples: Source) -> Subject:
    """Return the subject with the samples that it is meant to train.

    Raises
    ------
    InvalidInstance
        If the inputs of the subject are not known, or something is not a sample.
    """
    from masksynth.pack.dimensions import further_dimensions
    from masksynth.pack.sample_columns import KEY_FIELDS, select
    from masksynth.subject import read_sample_table

    if subject.inputs is None:
        remedy = "give inputs and positions with --tokens"
        raise InvalidInstance(
            "samples cannot be compared: the inputs of its positions are not known", "", remedy, subject.name
        )
    if subject.size and not subject.sparse and not any(type(value) is int for value in subject.inputs):
        fact = f"samples cannot be compared: expected token ids as inputs, got {shown(subject.inputs[0])}"
        raise InvalidInstance(fact, "", "give integers as inputs", subject.name)
    given = () if subject.batch is None else subject.batch.keys
    further = further_dimensions(given)  # they come with position_ids
    keys = dict.fromkeys((*KEY_FIELDS, *(key for key in given if key not in further)))
    table = read_sample_table(samples, tuple(keys), ("weights",))
    elsewhere = set(map(repr, subject.elsewhere))
    if subject.batch is not None:
        elsewhere -= set(map(repr, subject.batch.samples))
    kept = [number for number, name in enumerate(table.ids) if repr(name) not in elsewhere]
    return replace(subject, samples=select(table, kept), others=len(table) - len(kept))
