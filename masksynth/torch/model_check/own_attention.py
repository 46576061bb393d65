"""Models whose attention is their own code: samples run merged, under a mask, are compared with samples run alone.

No recorder sees the masks of such a model, so it is asked: a short and a long sample that share their first tokens
are run merged, as a batch would, and alone. The branches stand far apart in the merged order, so a model that counts
positions by itself differs by much. What a short run cannot show, a window, is looked for in the config: if one is
named there, the model is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.torch.window_rows import Reach

SHARED, SHORT, LONG = 4, 10, 68
"""Tokens that the two samples share, and lengths of the short and of the long one."""
UNSEEN = ("window", "attention_chunk", "local_att", "block_size", "sparse_att")
"""Words in the name of a config's entry that may mean a mask of the model's own."""


def read_closed(model: Any, additive: bool, ids: Tensor, tolerance: float, items: list[tuple[str, Any]]) -> Reach | str:
    """Return the reach that all layers have, or why merged batches cannot be right.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    additive : bool
        Whether it adds the mask to the scores, or takes a bool mask.
    ids : (M,) int64
        Token ids to make samples of.
    tolerance : float
        By how much of the largest output a merged and a lone run may differ.
    items : list of (str, object)
        The entries of the config.
    """
    named = [f"{key}={value}" for key, value in items if value and any(word in key for word in UNSEEN)]
    if named:
        fact = f"its config has {named[0]}, which no mask shows"
        return f"does not go through the attention interface of transformers, and {fact}"
    long, short = ids.repeat(LONG)[: longest_run(items)], ids.flip(0).repeat(2)[:SHORT]
    short[:SHARED] = long[:SHARED]
    device = ids.device
    merged = torch.cat([long, short[SHARED:]])
    positions = torch.cat([torch.arange(len(long)), torch.arange(SHARED, SHORT)]).to(device)
    try:
        with torch.no_grad():
            alone = [_outputs(model, {"input_ids": sample[None]}) for sample in (long, short)]
            causal = is_causal(model, short)
            together = _merged(model, merged, positions, _mask(len(long), causal, additive, alone[0].dtype, device))
    except Unsupported as error:
        return str(error)
    except Exception as error:
        return f"fails under a mask of single pairs ({type(error).__name__}: {str(error).strip().partition(chr(10))[0][:100]})"
    rows = torch.cat([torch.arange(SHARED), torch.arange(len(long), len(merged))]).to(device)
    apart = [together[: len(long)] - alone[0], together[rows] - alone[1]] if causal else [together[rows] - alone[1]]
    scale = max(float(part.abs().max()) for part in alone)
    if not max(float(part.abs().max()) for part in apart) <= tolerance * scale:
        return "mixes positions without a mask, or counts them by itself: a merged sample is not what it is alone"
    return Reach("causal" if causal else "bidirectional")


def longest_run(items: list[tuple[str, Any]]) -> int:
    """Return the number of tokens of a long run: less where the model has fewer positions."""
    limits = (value for key, value in items if key in ("max_position_embeddings", "n_positions"))
    return min([LONG, *(limit for limit in limits if isinstance(limit, int) and limit > SHORT)])


def _merged(model: Any, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    return _outputs(model, {"input_ids": ids[None], "position_ids": positions[None], "attention_mask": mask})


def _mask(long: int, causal: bool, additive: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the mask of the long sample and the branch of the short one; without a direction, of the short one."""
    size = long + SHORT - SHARED
    index = torch.arange(size, device=device)
    in_short = (index < SHARED) | (index >= long)
    own = (index[:, None] < long) & (index[None] < long)
    seen = (own | (in_short[:, None] & in_short[None])) & (index[:, None] >= index[None])
    if not causal:
        seen = (in_short[:, None] & in_short[None]) | (~in_short[:, None] & ~in_short[None])
    if not additive:
        return seen[None, None]
    return torch.zeros(1, 1, size, size, dtype=dtype, device=device).masked_fill_(~seen, float("-inf"))


def is_causal(model: Any, sample: Tensor) -> bool:
    """Return whether a model's other outputs stay when the last token of a sample changes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    sample : (T,) int64
        Token ids, the last unlike the first.
    """
    other = sample.clone()
    other[-1] = sample[0]
    before, after = (_outputs(model, {"input_ids": ids[None]})[:-1] for ids in (sample, other))
    return float((before - after).abs().max()) <= 64 * torch.finfo(before.dtype).eps * float(before.abs().max())


def ignores_pads(model: Any, sample: Tensor, masked: bool, tolerance: float) -> bool:
    """Return whether a sample has the same outputs with pads on its right as without.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    sample : (T,) int64
    masked : bool
        Whether the mask of padded rows is 0 at pads, or 1 everywhere.
    tolerance : float
        By how much of the largest output they may differ.
    """
    row = torch.cat([sample, torch.zeros_like(sample)])
    mask = torch.ones_like(row)
    mask[len(sample) :] = 0 if masked else 1
    alone = _outputs(model, {"input_ids": sample[None], "attention_mask": torch.ones_like(sample)[None]})
    padded = _outputs(model, {"input_ids": row[None], "attention_mask": mask[None]})[: len(sample)]
    return float((padded - alone).abs().max()) <= tolerance * float(alone.abs().max())


def _outputs(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    found = model(**inputs, use_cache=False)
    for key in ("logits", "last_hidden_state"):
        if isinstance(value := getattr(found, key, None), Tensor):
            if value.ndim == 3 and value.shape[1] == inputs["input_ids"].shape[1]:
                return value[0]
            break
    raise Unsupported("has no output with one row for each token")
