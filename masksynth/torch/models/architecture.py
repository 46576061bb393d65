"""The record of a model: what a merged batch depends on, without any weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from masksynth.errors import Unsupported
from masksynth.torch.models.reach import Reach

Attention = Literal["sdpa", "eager", "flex", "varlen"]
MaskArgument = Literal["tensor", "mapping", "registered"]
KINDS: dict[str, Literal["sdpa", "eager", "flex"]] = {"sdpa": "sdpa", "eager": "eager", "flex_attention": "flex"}
IMPLEMENTATIONS: dict[str, str] = {kind: name for name, kind in KINDS.items()}
REGISTERED = "masksynth_"
"""Prefix of the name of a registered attention; the rest names the attention that it calls."""
VARLEN = f"{REGISTERED}varlen"
"""The registered attention that takes plans for varlen kernels; other masks are those of sdpa."""
FALLBACK = "use Collator(model=model, merge=False), which gives one sample per row"


@dataclass(frozen=True)
class Architecture:
    """Frozen, picklable record of a model, as far as a merged batch depends on it; without any weight.

    Parameters
    ----------
    model : str
        The name of the class.
    attention : {"sdpa", "eager", "flex", "varlen"}
        The attention that the model runs.
    dtype : torch.dtype
        The model's own; additive masks have it.
    layers : tuple of Reach
        Which tokens each layer attends to by the model's own masks.
    tables : tuple of str
        The name of each layer's mask: its layer type where the class takes a mapping.
    mask_argument : {"tensor", "mapping", "registered"}
        Whether ``attention_mask`` is one mask, a mapping of masks by layer type, or one mask for each layer of a
        registered attention.
    position_dimensions : int
        Number of dimensions of ``position_ids``: 1, or 3 for models of images and video.
    first_position : int
        The position id that the model gives to the first token of a sequence by itself.
    position_limit : int or None
        Largest number of positions of a batch, since some layer counts positions by itself; None for any number.
    rope_limit : int or None
        Longest sequence, in tokens, up to which rotary frequencies do not depend on the longest of the batch.
    rope_switch : bool
        Whether above that limit they are the same for all lengths (``longrope``).
    merge : bool
        False for a model that gets one sample per row.
    kind : {"causal", "bidirectional"}
        Whether tokens of such a row attend to earlier tokens only.
    router_loss : bool
        Whether the class has an auxiliary router loss, which weights tokens by ``attention_mask``.
    """

    model: str
    attention: Attention
    dtype: torch.dtype
    layers: tuple[Reach, ...] = ()
    tables: tuple[str, ...] = ()
    mask_argument: MaskArgument = "tensor"
    position_dimensions: int = 1
    first_position: int = 0
    position_limit: int | None = None
    rope_limit: int | None = None
    rope_switch: bool = False
    merge: bool = True
    kind: Literal["causal", "bidirectional"] = "causal"
    router_loss: bool = False

    @property
    def causal(self) -> bool:
        """Whether tokens attend only to earlier tokens by the model's own masks, in every layer."""
        return all(reach.kind == "causal" for reach in self.layers) and self.kind == "causal"

    @property
    def reaches(self) -> dict[str, Reach]:
        """The reach of each distinct mask, by the name of the mask."""
        return dict(zip(self.tables, self.layers, strict=True))

    @property
    def period(self) -> int:
        """P, the length of the shortest layer pattern: layer l has the mask of layer l mod P."""
        return shortest_period(self.layers)


def pads_overflow(attention: str, dtype: torch.dtype) -> bool:
    """Return whether transformers gives NaN for a pad that attends to pads only: in eager attention and float64."""
    return attention == "eager" and dtype == torch.float64


def shortest_period(values: Sequence[Any]) -> int:
    """Return the least P >= 1 with ``values[i] == values[i % P]`` for all i.

    Examples
    --------
    >>> shortest_period("ababa"), shortest_period("aaa"), shortest_period("aab"), shortest_period("")
    (2, 1, 3, 1)
    """
    periods = range(1, max(len(values), 1) + 1)
    return next(p for p in periods if all(values[i] == values[i % p] for i in range(len(values))))


def refuse_merging(fact: str) -> Unsupported:
    """Return the error for a model that cannot take merged samples, with what to use instead."""
    return Unsupported(f"{fact}; {FALLBACK}")
