"""The functions of a flash attention package, written out in torch: what its kernels compute, on any device and dtype.

They have the signatures that transformers calls: queries of a segment are aligned with its last keys, a window (left,
right) counts the keys beside a query's own, sinks are logits without a value.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from torch import Tensor

NO_WINDOW = (-1, -1)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    causal: bool,
    window: tuple[int, int],
    softcap: float,
    sinks: Tensor | None,
    first: bool = False,
) -> Tensor:
    """Return the attention of one segment: ``(m, H, d)`` queries, ``(n, H / g, d)`` keys and values."""
    m, n, groups = len(q), len(k), q.shape[1] // k.shape[1]
    k, v = (part.repeat_interleave(groups, 1) for part in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * (scale or q.shape[-1] ** -0.5)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    behind = torch.arange(m)[:, None] + (0 if first else n - m) - torch.arange(n)
    if causal:
        scores = scores.masked_fill(behind < 0, -torch.inf)
    if window != NO_WINDOW:
        scores = scores.masked_fill(behind > window[0], -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(-1, m, 1)], -1)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1)[..., :n], v)


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = NO_WINDOW,
    softcap: float = 0.0,
    s_aux: Tensor | None = None,
) -> Tensor:
    """Return the attention of rows of equal length, ``(B, n, H, d)``."""
    parts = zip(q, k, v, strict=True)
    return torch.stack([attend(*part, softmax_scale, causal, window_size, softcap, s_aux) for part in parts])


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = NO_WINDOW,
    softcap: float = 0.0,
    s_aux: Tensor | None = None,
    **alignment: Any,
) -> Tensor:
    """Return the attention of rows of any length, one behind another, ``(m, H, d)``."""
    queries, keys = cu_seqlens_q.diff().tolist(), cu_seqlens_k.diff().tolist()
    assert (max(queries), max(keys)) == (int(max_seqlen_q), int(max_seqlen_k))
    parts = zip(q.split(queries), k.split(keys), v.split(keys), strict=True)
    return torch.cat([attend(*part, softmax_scale, causal, window_size, softcap, s_aux, **alignment) for part in parts])


@wraps(flash_attn_varlen_func)  # transformers reads the signature
def align_first(*tensors: Tensor, **options: Any) -> Tensor:
    """Return the attention of a kernel that aligns queries with the first keys, as old releases do."""
    return flash_attn_varlen_func(*tensors, **options, first=True)
