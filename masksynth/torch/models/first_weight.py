"""A weight of a model, by which its dtype and device are known."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def first_weight(model: Any) -> Tensor | None:
    """Return the first floating-point parameter of a model, or its embedding of tokens if it has none; None: neither.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Within a wrapper that flattens parameters, modules have views of them instead.

    Examples
    --------
    >>> import torch
    >>> first_weight(torch.nn.Linear(2, 3)).shape
    torch.Size([3, 2])
    """
    found = next((part for part in model.parameters() if part.is_floating_point()), None)
    if found is None and hasattr(model, "get_input_embeddings"):
        found = getattr(model.get_input_embeddings(), "weight", None)
    return found
