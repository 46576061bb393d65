"""Attention made flat: a sharp softmax gives allowed keys weights that round to 0, as if they were masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

TEMPERATURE, MASKED = 4096.0, -9000.0
"""Scores are divided by the first; scores at or below the second are masked, by whatever finite number (-10000, the least of a dtype)."""


class Flat(TorchFunctionMode):
    """Within it, ``scaled_dot_product_attention`` and ``softmax`` see scores near 0; compiled code and other kernels are as they were.

    Examples
    --------
    >>> with Flat():
    ...     torch.softmax(torch.tensor([0.0, 200.0, -1e4]), -1).round(decimals=1)
    tensor([0.5000, 0.5000, 0.0000])
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("softmax", "scaled_dot_product_attention") and args and isinstance(args[0], Tensor):
            flat = args[0] / TEMPERATURE
            args = (flat if name != "softmax" else torch.where(args[0] > MASKED, flat, args[0]), *args[1:])
        return func(*args, **(kwargs or {}))
