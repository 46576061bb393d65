"""The merged task: one forward pass that trains a whole family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray


class Position(NamedTuple):
    """A position of the merged sequence: its input, its position id, and the kind of parameters that process it."""

    input: Any
    position: int
    kind: str = "token"


class LossEdge(NamedTuple):
    """``position`` predicts ``labels[label]`` for ``tasks[task]`` with ``weight``; one edge per ``predict`` entry."""

    position: int
    label: int
    task: int
    weight: float


class Leak(NamedTuple):
    """``node`` of ``task`` predicts while its context carries ``hides``.

    ``path`` leads from a node that carries it to the predicting node, one hop per layer.
    """

    task: str
    node: str
    hides: Any
    path: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """The question that was solved.

    Parameters
    ----------
    layers : int or None
        Number of layers; None: any depth.
    sparse : bool
        Whether the fewest edges were requested.
    pattern : int
        Length of the layer pattern.
    sha256 : str
        Hash of the canonical JSON of the family.
    """

    layers: int | None
    sparse: bool
    pattern: int
    sha256: str


@dataclass(frozen=True, repr=False)
class MergedTask:
    """A single sequence with its mask that trains a family of tasks.

    Parameters
    ----------
    positions : tuple of Position
        N positions.
    mask : Mask
        A layer pattern of P tables over the N positions.
    embeddings : mapping
        task name -> {live node name -> its position}; of equivalent positions the lowest.
    labels : tuple
        Distinct labels, in order of first use.
    tasks : tuple of str
        Names of the tasks, in the family's order.
    loss_edges : tuple of LossEdge
        One per ``predict`` entry, in task order.
    problem : Question
        The question solved; ``verify`` rejects another instance.
    updated : (L, N) or (1, N) bool, optional
        Whether a position is updated in a layer; where not, its keys and values are read as they are and its row holds
        itself alone. None: every position is updated in every layer.
    """

    positions: tuple[Position, ...]
    mask: Mask
    embeddings: Mapping[str, Mapping[str, int]]
    labels: tuple[Any, ...]
    tasks: tuple[str, ...]
    loss_edges: tuple[LossEdge, ...]
    problem: Question
    updated: BoolArray | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MergedTask):
            return NotImplemented
        names = (item.name for item in fields(self) if item.name != "updated")
        if not all(getattr(self, name) == getattr(other, name) for name in names):
            return False
        if self.updated is None or other.updated is None:
            return self.updated is other.updated
        return np.array_equal(self.updated, other.updated)

    def __repr__(self) -> str:
        counts = f"{len(self.positions)} positions, {len(self.tasks)} tasks, {len(self.loss_edges)} loss edges"
        return f"MergedTask({counts}, {self.mask!r})"

    def _repr_html_(self) -> str:
        """Return its counts and a picture of its mask with named rows, for a notebook."""
        from masksynth.mask.svg_picture import mask_svg
        from masksynth.tasks.html import html_block
        from masksynth.tasks.value_text import count, text_of

        names = [f"{text_of(position.input)}@{position.position}" for position in self.positions]
        counts = ((len(self.positions), "position"), (len(self.tasks), "task"), (len(self.loss_edges), "loss edge"))
        return html_block("MergedTask", [count(*pair) for pair in counts], mask_svg(self.mask, names))
