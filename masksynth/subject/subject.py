"""The record that every reader of masks returns: a mask, and what is known about its positions, labels and purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from masksynth.errors import InvalidInstance
from masksynth.export.blocks import BlockLists
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array
from masksynth.tasks import Instance
from masksynth.tasks.canonical import canonical

if TYPE_CHECKING:
    from masksynth.pack import PackedBatch
    from masksynth.pack.sample_columns import SampleTable
    from masksynth.subject.table_rule import TableRule

SHOWN = 40
"""Characters of an input that `Subject.token` shows."""


@dataclass(frozen=True, eq=False)
class Labels:
    """E loss edges, one for each label, as parallel columns.

    Parameters
    ----------
    position : (E,) int64
        The position that predicts.
    value : tuple of E JSON values
        What it predicts.
    weight : (E,) float64
        Factor of its loss term.
    task : (E,) int64
        Index into ``tasks`` of the task or sample that it belongs to.
    tasks : tuple
        Names of tasks or samples; empty if they are not known.
    hides : tuple of E tuples
        Elements that the context must not carry, compared with ``Subject.inputs`` by canonical text; ``{"at": k}`` is
        position k itself.
    target : (E,) int64
        The position that holds the label's own token, which is hidden too; -1 if there is none or it is not known.
    unsaid : (U,) int64, optional
        Indices of labels that do not declare what they hide and cannot be taken for next tokens; None if no
        label declares what it hides.
    why : str
        Why they cannot be taken for next tokens.
    """

    position: Int64Array
    value: tuple[Any, ...]
    weight: Float64Array
    task: Int64Array
    tasks: tuple[Any, ...]
    hides: tuple[tuple[Any, ...], ...]
    target: Int64Array
    unsaid: Int64Array | None = None
    why: str = ""

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, eq=False)
class Subject:
    """A mask over N positions with what is known about it; None for what is not known.

    Parameters
    ----------
    mask : Mask
    name : str
        Where it was read, for messages.
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
        The finite number by which an additive mask forbids; None if it is minus infinity or the mask is boolean.
    dtype : str
        The type in which the mask was stored.
    blocks : (BlockLists, (int, int)), optional
        Block lists that came with the mask, and their block size (queries, keys).
    batch : PackedBatch, optional
        The packed batch that the mask belongs to.
    segments : tuple of S, optional
        Segments of the samples of ``batch``; None for a causal sample.
    groups : (N,) int64, optional
        Code of the group of samples that each position of a packed batch serves; positions of different groups are
        never merged, on purpose.
    layout : str
        Layout of the packed batch; with another one than ``loss-edges``, positions with different labels are kept
        apart, on purpose.
    embeddings : mapping, optional
        Task name -> {node name -> position}, from an answer's folder.
    sparse : bool
        Whether it is a sparse answer: its layers carry the flow of the tasks, but its rows are not those of the tasks.
    partial : str
        A note on what was not read of it; empty if it was read completely.
    padding : (N,) bool, optional
        Positions that are padding: no other position may attend to them.
    samples : SampleTable, optional
        The samples that the mask is meant to train.
    elsewhere : tuple
        Ids of the samples in the other batches of a packed folder.
    others : int
        Number of samples that were given and belong to other batches of the folder.
    rules : tuple of P TableRule, optional
        Which earlier tokens of a sample each table shows; None: inferred from the rows.
    updated : (L, N) or (1, N) bool, optional
        Whether a position is updated in a layer, or at any depth; where not, it is only read. None: always.

    Raises
    ------
    InvalidInstance
        If a length does not fit the mask.

    Examples
    --------
    >>> import numpy as np
    >>> mask = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> Subject(mask, "causal", inputs=("a", "b", "c")).size
    3
    """

    mask: Mask
    name: str
    inputs: tuple[Any, ...] | None = None
    positions: Int64Array | None = None
    kinds: tuple[str, ...] | None = None
    labels: Labels | None = None
    family: Instance | None = None
    layers: int | None = None
    forbidden: float | None = None
    dtype: str = "bool"
    blocks: tuple[BlockLists, tuple[int, int]] | None = None
    batch: PackedBatch | None = None
    segments: tuple[Any, ...] | None = None
    groups: Int64Array | None = None
    layout: str = "loss-edges"
    embeddings: Mapping[str, Mapping[str, int]] | None = None
    sparse: bool = False
    partial: str = ""
    padding: BoolArray | None = None
    samples: SampleTable | None = None
    elsewhere: tuple[Any, ...] = ()
    others: int = 0
    rules: tuple[TableRule, ...] | None = None
    updated: BoolArray | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "positions", "kinds", "padding"):
            values = getattr(self, name)
            if values is not None and len(values) != self.size:
                fact = f"{len(values)} {name} for {self.size} positions"
                raise InvalidInstance(fact, f"$.{name}", "give one for each position")
        if self.updated is not None and (self.updated.ndim != 2 or self.updated.shape[1] != self.size):
            fact = f"updated: expected a row of {self.size} for each layer, got the shape {list(self.updated.shape)}"
            raise InvalidInstance(fact, "$.updated", "give one for each position, in each layer")
        if self.labels is not None and len(self.labels):
            low, high = int(self.labels.position.min()), int(self.labels.position.max())
            if low < 0 or high >= self.size:
                fact = f"label at position {low if low < 0 else high}: expected 0 <= position < {self.size}"
                raise InvalidInstance(fact, "$.labels", "count positions from 0")

    @property
    def size(self) -> int:
        """N, the number of positions."""
        return self.mask.size

    def token(self, position: int) -> str:
        """Return a position as text: its number, with its input and position id if they are known."""
        if self.inputs is None:
            return str(position)
        text = self.inputs[position] if isinstance(self.inputs[position], str) else canonical(self.inputs[position])
        shown = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
        return f"{position} ({shown}{'' if self.positions is None else f'@{self.positions[position]}'})"
