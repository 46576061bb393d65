"""Masks of pairs that also say how often each token counts, for the auxiliary loss of a mixture of experts.

The load-balancing loss of transformers (Fedus et al., Switch Transformers, 2021, equations 4 to 6) takes the same
``attention_mask`` as the layers and reads ``attention_mask.reshape(-1)`` as the weight of each token: 1, or 0 for a
pad. The weight of a merged position is the number of samples that have it; then the loss is that of the separate
samples. A mask of pairs cannot say that. The masks made here are what they were, except that ``reshape(-1)`` gives
those weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.pack.batch import PackedBatch


class WeightedMask(Tensor):
    """A mask ``[1, P, N, N]`` whose ``reshape(-1)`` is the weights of N tokens; what is computed from it is plain."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    token_weights: Tensor

    def reshape(self, *shape: Any) -> Tensor:
        """Return the weights for ``reshape(-1)``, else the mask in another shape."""
        return self.token_weights if shape == (-1,) else super().reshape(*shape)


class WeightedMapping(dict[str, Any]):
    """Masks by layer type; ``reshape(-1)`` is the weights of the N tokens."""

    token_weights: Tensor

    def reshape(self, *shape: int) -> Tensor:
        """Return the weights, as the mask of one table would."""
        return self.token_weights


def count_samples(batch: PackedBatch) -> Tensor:
    """Return how many samples each position serves, ``(N,)`` int64; 0 where a position only fills the sequence.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> count_samples(example_batch())
    tensor([2, 1, 1])
    """
    return torch.from_numpy(np.bincount(batch.sample_position, minlength=batch.positions))


def weigh_tokens(mask: Any, weights: Tensor) -> Any:
    """Return the mask as an object whose ``reshape(-1)`` is the weights.

    Parameters
    ----------
    mask : Tensor, BlockMask or mapping of str to these
        Left as it is.
    weights : (N,) Tensor
        On the mask's device.

    Examples
    --------
    >>> mask = weigh_tokens(torch.ones(1, 1, 2, 2, dtype=torch.bool), torch.tensor([3, 1]))
    >>> mask.reshape(-1), mask.reshape(4), type(mask & mask)
    (tensor([3, 1]), tensor([True, True, True, True]), <class 'torch.Tensor'>)
    """
    if isinstance(mask, Tensor):
        weighted: Any = mask.as_subclass(WeightedMask)
        weighted.token_weights = weights
    elif isinstance(mask, BlockMask):
        weighted = type(mask).__new__(type(mask))
        weighted.__dict__.update(vars(mask), reshape=lambda *shape: weights)
    else:
        weighted = WeightedMapping(mask)
        weighted.token_weights = weights
    return weighted
