"""Gather what a model returns for merged positions back to the rows of the call, differentiably."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Unfolding:
    """Where each real token of a call has its merged position.

    Parameters
    ----------
    shape : (int, int)
        (B, T) of the call.
    merged : (int, int)
        (k, N) of the merged call.
    place : (U,) int64 Tensor or None
        ``row * T + column`` of each real token; None if every token is real.
    source : (U,) int64 Tensor
        ``row * N + position`` of each.
    """

    shape: tuple[int, int]
    merged: tuple[int, int]
    place: Tensor | None
    source: Tensor


def unfold(output: Any, unfolding: Unfolding) -> Any:
    """Return an output with each tensor of one row per merged position replaced by one of one row per token.

    Output classes of transformers, mappings, tuples and lists are entered. ``[k, N, ...]`` becomes ``[B, T, ...]``,
    ``[m, k, N, ...]`` becomes ``[m, B, T, ...]``, ``[k N, ...]`` (router logits) becomes ``[B T, ...]``; pads get 0.
    Other values are returned as they are.

    Parameters
    ----------
    output : Tensor, dataclass, mapping, tuple, list or other
    unfolding : Unfolding

    Examples
    --------
    >>> place = Unfolding((2, 2), (1, 3), None, torch.tensor([0, 1, 0, 2]))
    >>> unfold((torch.tensor([[[1.0], [2.0], [3.0]]]), None), place)[0].tolist()
    [[[1.0], [2.0]], [[1.0], [3.0]]]
    """
    if isinstance(output, Tensor):
        return unfold_tensor(output, unfolding)
    if isinstance(output, Mapping):  # output classes of transformers are mappings without their None values
        return type(output)(**{name: unfold(value, unfolding) for name, value in output.items()})
    if isinstance(output, (tuple, list)):
        parts = [unfold(value, unfolding) for value in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    return output


def unfold_tensor(values: Tensor, unfolding: Unfolding) -> Tensor:
    """Return one tensor gathered to the rows of the call, or as it is if it has no dimension of positions."""
    if tuple(values.shape[:2]) == unfolding.merged:
        return _gather(values.flatten(0, 1), unfolding).reshape(*unfolding.shape, *values.shape[2:])
    if values.ndim > 3 and tuple(values.shape[1:3]) == unfolding.merged:
        return torch.stack([unfold_tensor(part, unfolding) for part in values])
    if values.ndim > 1 and len(values) == unfolding.merged[0] * unfolding.merged[1]:
        return _gather(values, unfolding)
    return values


def _gather(flat: Tensor, unfolding: Unfolding) -> Tensor:
    """Return the rows of ``[k N, ...]`` at the tokens' positions, ``[B T, ...]``; the backward pass sums branches."""
    rows = flat.index_select(0, unfolding.source)
    if unfolding.place is None:
        return rows
    result = rows.new_zeros(unfolding.shape[0] * unfolding.shape[1], *rows.shape[1:])
    return result.index_copy(0, unfolding.place, rows)
