"""Compare outputs of a model row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array
from masksynth.torch.label_logprobs import CHUNK

Model = Callable[..., Any]
RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference of two computations of the same outputs, relative to the largest output, by dtype."""
OUTPUTS = ("logits", "last_hidden_state")
"""Attributes of a result that may hold the outputs."""


def output_rows(result: Any, size: int) -> Tensor:
    """Return the outputs of a model as one row per position, (N, V).

    Parameters
    ----------
    result : Tensor, tuple or object
        ``[N, V]`` or ``[1, N, V]``; a tuple whose first entry is such a tensor; an object with ``logits`` or
        ``last_hidden_state``.
    size : int
        N.

    Raises
    ------
    InvalidInstance
        For any other result.

    Examples
    --------
    >>> output_rows(torch.zeros(1, 3, 5), 3).shape
    torch.Size([3, 5])
    """
    outputs = _find_tensor(result)
    if not isinstance(outputs, Tensor) or tuple(outputs.shape[:-1]) not in ((size,), (1, size)):
        got = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        fact = f"the model returns {got} for {size} positions"
        raise InvalidInstance(fact, "", f"return logits [1, {size}, V]")
    return outputs.reshape(size, -1)


def _find_tensor(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result
    named = (getattr(result, name, None) for name in OUTPUTS)
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    return next((value for value in named if value is not None), first)


def row_distances(a: Tensor, b: Tensor) -> Float64Array:
    """Return the largest absolute difference in each row, (N,); NaN counts as infinite.

    Examples
    --------
    >>> row_distances(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 3.0], [2.0, 2.0]]))
    array([2., 0.])
    """
    rows = max(1, CHUNK // max(1, a.shape[-1]))
    parts = [_largest_difference(a[i : i + rows], b[i : i + rows]) for i in range(0, len(a), rows)]
    result: Float64Array = torch.cat(parts).cpu().numpy() if parts else np.zeros(0)
    return result


def _largest_difference(a: Tensor, b: Tensor) -> Tensor:
    difference = (a.double() - b.double()).abs()
    difference[a == b] = 0  # where both are infinite it would be NaN
    return difference.nan_to_num(nan=float("inf")).amax(-1)


def tolerance_of(outputs: Tensor, tolerance: float | None = None) -> float:
    """Return the largest difference of outputs that should be equal.

    It is relative to the largest output, however small that is: logits of small weights are small, and so are the
    differences that a wrong mask makes in them.

    Parameters
    ----------
    outputs : Tensor
    tolerance : float, optional
        Relative tolerance; by default that of the dtype.

    Examples
    --------
    >>> tolerance_of(torch.tensor([[4.0, -8.0]])), tolerance_of(torch.tensor([[0.0]]))
    (0.0008, 0.0)
    """
    finite = outputs[outputs.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return (RELATIVE.get(outputs.dtype, 1e-4) if tolerance is None else tolerance) * scale
