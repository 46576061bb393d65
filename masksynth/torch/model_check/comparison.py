"""Compare outputs of a model row by row, with the model in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.torch.label_logprobs import CHUNK

Model = Callable[..., Any]
RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""By how much of the largest output two computations of the same outputs may differ."""
OUTPUTS = ("logits", "last_hidden_state")


def rows_of(result: Any, size: int) -> Tensor:
    """Return the outputs of a model as one row for each position, (N, V).

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
    >>> rows_of(torch.zeros(1, 3, 5), 3).shape
    torch.Size([3, 5])
    """
    outputs = _tensor_of(result)
    if not isinstance(outputs, Tensor) or tuple(outputs.shape[:-1]) not in ((size,), (1, size)):
        what = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise InvalidInstance(
            f"the model returns {what}, the sequence has {size} positions", "", f"return logits [1, {size}, V]"
        )
    return outputs.reshape(size, -1)


def _tensor_of(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result
    named = (getattr(result, name, None) for name in OUTPUTS)
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    return next((each for each in named if each is not None), first)


def distance(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Return the largest difference in each row, (N,); a difference that is not a number counts as infinite.

    Examples
    --------
    >>> distance(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 3.0], [2.0, 2.0]]))
    array([2., 0.])
    """
    rows = max(1, CHUNK // max(1, a.shape[-1]))
    parts = [_largest_difference(a[i : i + rows], b[i : i + rows]) for i in range(0, len(a), rows)]
    result: NDArray[np.float64] = torch.cat(parts).cpu().numpy() if parts else np.zeros(0)
    return result


def _largest_difference(a: Tensor, b: Tensor) -> Tensor:
    difference = (a.double() - b.double()).abs()
    difference[a == b] = 0  # infinities on both sides
    return difference.nan_to_num(nan=float("inf")).amax(-1)


def tolerance_of(outputs: Tensor, tolerance: float | None = None) -> float:
    """Return by how much equal outputs may differ.

    A part, by their dtype, of the largest of them, however small it is: the logits of small weights are small, and so
    are the differences that a wrong mask makes in them.

    Examples
    --------
    >>> tolerance_of(torch.tensor([[4.0, -8.0]])), tolerance_of(torch.tensor([[0.0]]))
    (0.0008, 0.0)
    """
    finite = outputs[outputs.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return (RELATIVE.get(outputs.dtype, 1e-4) if tolerance is None else tolerance) * scale


@contextmanager
def evaluating(*models: Model | torch.nn.Module | None) -> Iterator[None]:
    """Switch models to evaluation mode; afterwards every module is in the mode that it was in."""
    modules = [module for model in models if isinstance(model, torch.nn.Module) for module in model.modules()]
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
