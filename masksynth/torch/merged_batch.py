"""A merged task as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.export.answer_folder import read_merged
from masksynth.export.mask_arrays import LOSS, MAX_DENSE, merged_arrays
from masksynth.mask import Mask
from masksynth.tasks import MergedTask


@dataclass(frozen=True, eq=False)
class Batch:
    """One merged sequence of N positions, ready for a model with attention as its only mixing of positions.

    Parameters
    ----------
    inputs : tuple
        What is embedded at each position, as the instance gave it (tokens, mask tokens, aggregates).
    kinds : tuple of str
        By which parameters each position is processed.
    position_ids : (N,) int64
        To be passed to the model explicitly: position ids branch, so no framework can guess them.
    rows : Mask
        The mask as row intervals; P tables.
    loss_position, loss_label, loss_task : (E,) int64
        The loss edges: position, index into ``labels``, index into ``tasks``.
    loss_weight : (E,) float64
    labels, tasks : tuple
        Distinct labels and task names.
    """

    inputs: tuple[Any, ...]
    kinds: tuple[str, ...]
    position_ids: Tensor
    rows: Mask
    loss_position: Tensor
    loss_label: Tensor
    loss_task: Tensor
    loss_weight: Tensor
    labels: tuple[Any, ...]
    tasks: tuple[str, ...]

    @property
    def tables(self) -> int:
        """P, the length of the layer pattern: table i serves layers i + 1, i + 1 + P, ..."""
        return self.rows.tables

    @property
    def mask(self) -> Tensor:
        """The mask as bool ``[N, N]`` or ``[P, N, N]``, true = attend; refused above 8,192 positions, where ``block_mask`` serves."""
        if self.rows.size > MAX_DENSE:
            raise Unsupported(
                f"a dense mask of {self.rows.size} positions is refused above {MAX_DENSE}; use block_mask(batch)"
            )
        return torch.from_numpy(self.rows.dense()).to(self.position_ids.device)

    def to(self, device: str | torch.device) -> Batch:
        """The batch with its tensors on ``device``."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("position_ids", *LOSS)})


def load(folder: str | Path) -> Batch:
    """The batch of an answer's folder, after checking that its files agree.

    Raises
    ------
    InvalidInstance
        If a file is missing or malformed.
    WrongAnswer
        If the files disagree.
    """
    return batch_of(read_merged(folder))


def batch_of(merged: MergedTask) -> Batch:
    """The batch of a merged task.

    Examples
    --------
    >>> from masksynth.tasks import LossEdge, Position, Question
    >>> positions, edges = (Position("a", 0), Position("b", 1)), (LossEdge(1, 0, 0, 0.5),)
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> batch = batch_of(MergedTask(positions, mask, {"t": {"a": 0, "b": 1}}, ("c",), ("t",), edges, Question(None, False, 1, "")))
    >>> batch.inputs, batch.position_ids, batch.mask
    (('a', 'b'), tensor([0, 1]), tensor([[ True, False], [ True,  True]]))
    """
    tensors = {
        name: torch.from_numpy(array)
        for name, array in merged_arrays(merged).items()
        if name in ("position_ids", *LOSS)
    }
    return Batch(
        inputs=tuple(place.input for place in merged.positions),
        kinds=tuple(place.kind for place in merged.positions),
        rows=merged.mask,
        labels=merged.labels,
        tasks=merged.tasks,
        **tensors,
    )
