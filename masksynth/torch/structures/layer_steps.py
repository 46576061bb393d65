"""What each layer of a structure computes: the positions that it updates, those that they read, and the mask between.

Row q of layer l is computed only where ``updated[l, q]``; elsewhere the state of q stays as it is. Keys and values are
needed only of positions that some updated position reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.contracts import Contracts
from masksynth.errors import InvalidInstance
from masksynth.tasks import MergedTask
from masksynth.tasks.canonical import canonical


@dataclass(frozen=True, eq=False)
class LayerStep:
    """One layer of a structure.

    Parameters
    ----------
    queries : (U,) int64
        Positions that are updated, ascending.
    keys : (K,) int64
        Positions that they read, themselves included, ascending.
    mask : (U, K) bool
        Whether query i reads key j.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor

    def to(self, device: Any) -> LayerStep:
        """Return the step on a device."""
        return LayerStep(self.queries.to(device), self.keys.to(device), self.mask.to(device))


@dataclass(frozen=True, eq=False)
class StructureInputs:
    """A structure as tensors; sequences of n elements become N positions.

    Parameters
    ----------
    element : (N,) int64
        Index of the element that a position embeds, -1 for a blank.
    position_ids : (N,) int64
    steps : tuple of LayerStep
        One for each layer.
    target : (T,) int64
        Position at which each target is predicted.
    label : (T,) int64
        Index of the element that is the label of each target, -1 for another label.
    """

    element: Tensor
    position_ids: Tensor
    steps: tuple[LayerStep, ...]
    target: Tensor
    label: Tensor

    def to(self, device: Any) -> StructureInputs:
        """Return the structure on a device."""
        moved = [part.to(device) for part in (self.element, self.position_ids, self.target, self.label)]
        steps = tuple(step.to(device) for step in self.steps)
        return StructureInputs(moved[0], moved[1], steps, moved[2], moved[3])

    @property
    def masks(self) -> Tensor:
        """The mask of each layer as ``[1, L, N, N]`` bool, for models that compute all rows.

        What is only read has a row of itself alone there, under which an unmodified model updates it: another function
        with the same contexts.
        """
        size = len(self.element)
        masks = torch.eye(size, dtype=torch.bool, device=self.element.device).repeat(len(self.steps), 1, 1)
        for mask, step in zip(masks, self.steps, strict=True):
            mask[step.queries[:, None], step.keys] = step.mask
        return masks[None]

    def embed(self, tokens: Tensor, blank: int) -> Tensor:
        """Return the inputs of all positions, (B, N), for sequences of elements, (B, n).

        Parameters
        ----------
        tokens : (B, n) int64
        blank : int
            The token id of a blank.

        Examples
        --------
        >>> empty = torch.zeros(0, dtype=torch.int64)
        >>> StructureInputs(torch.tensor([1, -1]), empty, (), empty, empty).embed(torch.tensor([[5, 6]]), 9)
        tensor([[6, 9]])
        """
        chosen = tokens[:, self.element.clamp(min=0)]
        return torch.where(self.element < 0, blank, chosen)


def structure_inputs(contracts: Contracts, merged: MergedTask, layers: int | None = None) -> StructureInputs:
    """Return a structure as tensors.

    Parameters
    ----------
    contracts : Contracts
    merged : MergedTask
        The answer of `masksynth.discover`.
    layers : int, optional
        Layers of the model, for one mask that is safe at any depth; a mask per layer has as many as its contracts.

    Raises
    ------
    InvalidInstance
        If the number of layers is unknown or another than that of the masks.
    """
    depth = merged.mask.tables if contracts.masks == "layered" else layers or contracts.layers
    if depth is None or (layers is not None and layers != depth):
        fact = f"expected {merged.mask.tables} layers, got {layers}" if layers else "the number of layers is unknown"
        raise InvalidInstance(fact, "layers", "give layers=")
    number = {canonical(value): index for index, value in enumerate(contracts.elements.values)}
    element = [number.get(canonical(place.input), -1) for place in merged.positions]
    place_of = {canonical(merged.labels[edge.label]): edge.position for edge in merged.loss_edges}
    names = [canonical(target.label) for target in contracts.targets]
    return StructureInputs(
        torch.tensor(element),
        torch.tensor([place.position for place in merged.positions]),
        layer_steps(merged, depth),
        torch.tensor([place_of[name] for name in names]),
        torch.tensor([number.get(name, -1) for name in names]),
    )


def layer_steps(merged: MergedTask, layers: int) -> tuple[LayerStep, ...]:
    """Return the steps of each layer; of positions that are not updated nothing is computed."""
    tables = merged.mask.tables
    dense = merged.mask.dense().reshape(tables, merged.mask.size, merged.mask.size)
    # one row per layer, or a single one for every layer
    updated = np.ones((1, merged.mask.size), bool) if merged.updated is None else merged.updated
    return tuple(_step(dense[layer % tables], updated[layer % len(updated)]) for layer in range(layers))


def _step(mask: np.ndarray[Any, Any], updated: np.ndarray[Any, Any]) -> LayerStep:
    queries = np.flatnonzero(updated)
    keys = np.flatnonzero(mask[queries].any(axis=0))
    return LayerStep(*(torch.from_numpy(part) for part in (queries, keys, mask[np.ix_(queries, keys)])))


def forward_flops(steps: Sequence[LayerStep], width: int) -> int:
    """Return the floating point operations of the layers for one sequence: 24 d^2 u + 4 d^2 k + 4 d p for each.

    u are the positions updated, k those of which keys and values alone are projected, p the pairs of the mask; 2 d^2
    for each of four projections and 16 d^2 for a feed-forward part of width 4 d. A multiply-add counts as two.

    Examples
    --------
    >>> one = torch.tensor([0])
    >>> forward_flops([LayerStep(one, torch.tensor([0, 1]), torch.tensor([[True, True]]))], 10)
    2880
    """
    total = 0
    for step in steps:
        read_only = len(step.keys) - int(torch.isin(step.keys, step.queries).sum())
        total += 24 * width**2 * len(step.queries) + 4 * width**2 * read_only + 4 * width * int(step.mask.sum())
    return total
