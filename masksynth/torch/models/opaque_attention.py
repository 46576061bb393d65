"""Read models whose attention is their own code: compare samples run merged, under a mask, with samples run alone.

Such a model does not call the recorders. Instead a short and a long sample that share their first tokens are run
merged, as a batch would be, and alone. The branches are far apart in the merged order, so a model that counts positions
by itself differs by much. A short run cannot show a window; if the config names one, the model is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.torch.models.reach import Reach

SHARED, SHORT, LONG = 4, 10, 68
"""Number of tokens that the two samples share, and lengths of the short and of the long sample in tokens."""
RESTRICTING = ("window", "attention_chunk", "local_att", "block_size", "sparse_att")
"""Parts of config keys that may restrict attention."""


def read_opaque_attention(
    model: Any, additive: bool, ids: Tensor, tolerance: float, entries: list[tuple[str, Any]]
) -> Reach | str:
    """Return the reach that all layers have, or why merged batches cannot be exact.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    additive : bool
        Whether the model adds the mask to the scores; otherwise it takes a bool mask.
    ids : (M,) int64
        Token ids of which samples are made.
    tolerance : float
        Largest difference of a merged and a separate run, relative to the largest output.
    entries : list of (str, object)
        Keys and values of the config.
    """
    named = [f"{key}={value}" for key, value in entries if value and any(word in key for word in RESTRICTING)]
    if named:
        fact = f"its config has {named[0]}, which is not visible in a mask"
        return f"does not use the attention interface of transformers, and {fact}"
    long, short = ids.repeat(LONG)[: longest_run(entries)], ids.flip(0).repeat(2)[:SHORT]
    short[:SHARED] = long[:SHARED]
    device = ids.device
    merged = torch.cat([long, short[SHARED:]])
    positions = torch.cat([torch.arange(len(long)), torch.arange(SHARED, SHORT)]).to(device)
    try:
        with torch.no_grad():
            alone = [_outputs(model, {"input_ids": sample[None]}) for sample in (long, short)]
            causal = is_causal(model, short)
            together = _run_merged(model, merged, positions, _mask(len(long), causal, additive, alone[0].dtype, device))
    except Unsupported as error:
        return str(error)
    except Exception as error:
        text = str(error).strip().partition("\n")[0][:100]
        return f"fails under a mask of pairs ({type(error).__name__}: {text})"
    rows = torch.cat([torch.arange(SHARED), torch.arange(len(long), len(merged))]).to(device)
    differences = [together[rows] - alone[1]]
    if causal:  # the long sample does not see the branch of the short one either
        differences.append(together[: len(long)] - alone[0])
    scale = max(float(part.abs().max()) for part in alone)
    if not max(float(part.abs().max()) for part in differences) <= tolerance * scale:
        return "mixes positions without a mask, or counts them by itself: a merged sample has other outputs than alone"
    return Reach("causal" if causal else "bidirectional")


def longest_run(entries: list[tuple[str, Any]]) -> int:
    """Return the number of tokens of a long run: less than ``LONG`` where the config has fewer positions."""
    limits = (value for key, value in entries if key in ("max_position_embeddings", "n_positions"))
    return min([LONG, *(limit for limit in limits if isinstance(limit, int) and limit > SHORT)])


def _run_merged(model: Any, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    return _outputs(model, {"input_ids": ids[None], "position_ids": positions[None], "attention_mask": mask})


def _mask(long: int, causal: bool, additive: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the mask of the merged run; if not causal, both samples cannot be exact, and the short one is."""
    size = long + SHORT - SHARED
    index = torch.arange(size, device=device)
    in_short = (index < SHARED) | (index >= long)
    in_long = index < long
    both_short, both_long = in_short[:, None] & in_short[None], in_long[:, None] & in_long[None]
    if causal:
        allowed = (both_long | both_short) & (index[:, None] >= index[None])
    else:
        allowed = both_short | (~in_short[:, None] & ~in_short[None])
    if not additive:
        return allowed[None, None]
    return torch.zeros(1, 1, size, size, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))


def is_causal(model: Any, sample: Tensor) -> bool:
    """Return whether all outputs before the last stay the same when the last token of a sample changes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    sample : (T,) int64
        Token ids; the last differs from the first.
    """
    other = sample.clone()
    other[-1] = sample[0]
    before, after = (_outputs(model, {"input_ids": ids[None]})[:-1] for ids in (sample, other))
    return float((before - after).abs().max()) <= 64 * torch.finfo(before.dtype).eps * float(before.abs().max())


def ignores_pads(model: Any, sample: Tensor, masked: bool, tolerance: float) -> bool:
    """Return whether pads on the right of a sample leave its outputs unchanged.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        In evaluation mode.
    sample : (T,) int64
    masked : bool
        Whether the mask of padded rows is 0 at pads, or 1 everywhere.
    tolerance : float
        Largest difference, relative to the largest output.
    """
    row = torch.cat([sample, torch.zeros_like(sample)])
    mask = torch.ones_like(row)
    mask[len(sample) :] = 0 if masked else 1
    alone = _outputs(model, {"input_ids": sample[None], "attention_mask": torch.ones_like(sample)[None]})
    padded = _outputs(model, {"input_ids": row[None], "attention_mask": mask[None]})[: len(sample)]
    return float((padded - alone).abs().max()) <= tolerance * float(alone.abs().max())


def _outputs(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    result = model(**inputs, use_cache=False)
    for key in ("logits", "last_hidden_state"):
        if isinstance(value := getattr(result, key, None), Tensor):
            if value.ndim == 3 and value.shape[1] == inputs["input_ids"].shape[1]:
                return value[0]
            break
    raise Unsupported("has no output with one row per token")
