"""Recognize a mask function of transformers: causal, sliding window, chunk or bidirectional."""

from __future__ import annotations

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor

from masksynth.torch.models.reach import Reach

SPAN = 1 << 18
"""Largest window, in tokens, that is searched for where the model does not give its size."""


def recognize_mask(mask_function: Callable[..., Tensor], size: int | None) -> Reach | str:
    """Return the reach that a mask function of transformers implements, or why it is not recognized.

    The function is compared with each kind of mask at indices around 0, around multiples of the window or chunk, and
    far beyond.

    Parameters
    ----------
    mask_function : callable
        ``(batch, head, query, key) -> bool``, on index tensors.
    size : int or None
        The window or chunk in tokens, where the model gives it.
    """
    zero = torch.zeros((), dtype=torch.int64)
    function = _move_to_cpu(mask_function)

    def allowed(query: Tensor, key: Tensor) -> Tensor:
        result: Tensor = function(zero, zero, query, key)
        return result.expand(len(query), key.shape[1])

    try:
        if size is None:
            far = torch.tensor([[SPAN]])
            seen = allowed(far, torch.arange(SPAN + 1)[None])[0]
            size = None if seen[0] else int(seen.sum())
        query, key = _probe_indices(size)
        values = allowed(query, key)
    except Exception as error:
        return f"its mask function cannot be evaluated ({type(error).__name__})"
    candidates = [Reach(), Reach("bidirectional")]
    if size:  # 0 where a config has no window: no causal layer has such a mask
        candidates += [Reach(window=size), Reach(chunk=size), Reach("bidirectional", chunk=size)]
    if size is not None:  # last: a causal window of 1 allows what a bidirectional one of 0 does
        candidates += [Reach("bidirectional", window=size), Reach("bidirectional", window=size // 2)]
    for reach in candidates:
        if torch.equal(values, _evaluate_reach(reach, query, key)):
            return reach
    return "its mask function is none of causal, sliding window, chunk and bidirectional"


def _move_to_cpu(value: Any) -> Any:
    """Return a mask function with the tensors of its closure on the CPU; those without values (left pads) become 0."""
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value.cpu()
    if isinstance(value, tuple):
        return tuple(_move_to_cpu(part) for part in value)
    if isinstance(value, FunctionType) and value.__closure__:
        cells = tuple(CellType(_move_to_cpu(cell.cell_contents)) for cell in value.__closure__)
        return FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
    return value


def _probe_indices(size: int | None) -> tuple[Tensor, Tensor]:
    """Return queries (Q, 1) and keys (1, K) around 0 and around multiples of the size."""
    near = torch.arange(-3, 4)
    step = size or 37
    centres = torch.tensor([0, step // 2, step, 2 * step, 3 * step + 1, 7 * step + step // 3])
    points = torch.unique((centres[:, None] + near).flatten().clamp(min=0))
    points = torch.unique(torch.cat([points, torch.arange(24), *(points + d for d in (step - 1, step, step + 1))]))
    return points[:, None], points[None]


def _evaluate_reach(reach: Reach, query: Tensor, key: Tensor) -> Tensor:
    """Return by definition whether each query (Q, 1) attends to each key (1, K)."""
    allowed = torch.ones(len(query), key.shape[1], dtype=torch.bool)
    if reach.kind == "causal":
        allowed = allowed & (key <= query)
    if reach.window is not None:
        distance = query - key
        allowed = allowed & (distance < reach.window if reach.kind == "causal" else distance.abs() <= reach.window)
    if reach.chunk is not None:
        allowed = allowed & (query // reach.chunk == key // reach.chunk)
    return allowed
