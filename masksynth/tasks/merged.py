"""The merged task: one forward pass that trains a whole family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from masksynth.mask import Mask


class Position(NamedTuple):
    """A position of the merged sequence: what is embedded, at which position id, by which parameters."""

    input: Any
    position: int
    kind: str = "token"


class LossEdge(NamedTuple):
    """``position`` predicts ``labels[label]`` for ``tasks[task]`` with ``weight``; one per ``predict`` entry, never summed."""

    position: int
    label: int
    task: int
    weight: float


class Leak(NamedTuple):
    """``node`` of ``task`` predicts while its context carries ``hides``; ``path`` runs from a carrying node to it, one hop per layer."""

    task: str
    node: str
    hides: Any
    path: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """What was asked: layers, sparse, the length of the layer pattern, and the SHA-256 of the canonical instance."""

    layers: int | None
    sparse: bool
    pattern: int
    sha256: str


@dataclass(frozen=True, repr=False)
class MergedTask:
    """A single sequence with its mask, standing for a family of tasks.

    Parameters
    ----------
    positions : tuple of Position
        N positions.
    mask : Mask
        P tables over the N positions.
    embeddings : mapping
        task name -> {live node name -> index of its position}; the lowest index of its class.
    labels : tuple
        Distinct labels, in order of first use.
    tasks : tuple of str
        Names of the tasks, in the family's order.
    loss_edges : tuple of LossEdge
        One per ``predict`` entry, in task order.
    problem : Question
        The problem solved; ``verify`` refuses another instance.
    """

    positions: tuple[Position, ...]
    mask: Mask
    embeddings: Mapping[str, Mapping[str, int]]
    labels: tuple[Any, ...]
    tasks: tuple[str, ...]
    loss_edges: tuple[LossEdge, ...]
    problem: Question

    def __repr__(self) -> str:
        return f"MergedTask({len(self.positions)} positions, {len(self.tasks)} tasks, {len(self.loss_edges)} loss edges, {self.mask!r})"
