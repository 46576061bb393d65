"""Run a model with nearly uniform attention, so that no allowed key has a weight that rounds to 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

TEMPERATURE, MASKED = 4096.0, -9000.0
"""Scores are divided by TEMPERATURE; scores of at most MASKED count as masked, for any finite number that masks."""


class UniformAttention(TorchFunctionMode):
    """Divide the scores of ``scaled_dot_product_attention`` and ``softmax`` by a large number within the context.

    A sharp softmax gives allowed keys weights that round to 0, as if they were masked. Compiled code and other kernels
    are not changed.

    Examples
    --------
    >>> with UniformAttention():
    ...     torch.softmax(torch.tensor([0.0, 200.0, -1e4]), -1).round(decimals=1)
    tensor([0.5000, 0.5000, 0.0000])
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("softmax", "scaled_dot_product_attention") and args and isinstance(args[0], Tensor):
            scaled = args[0] / TEMPERATURE  # attention: scaling the queries scales the scores
            if name == "softmax":
                scaled = torch.where(args[0] > MASKED, scaled, args[0])
            args = (scaled, *args[1:])
        return func(*args, **(kwargs or {}))
