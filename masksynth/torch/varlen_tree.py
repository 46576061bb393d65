"""Attention over trees by kernels that know sequences of variable length and no masks: K and V are gathered by path.

`TreePlan` holds the arrays of ``masksynth export --to varlen`` as tensors, for one merged sequence or several rows of
them. On a GPU and in half precision the kernel is torch's own ``varlen_attn`` (FlashAttention); elsewhere each segment
is a call of ``scaled_dot_product_attention``, in any dtype, which is the reference. A model of transformers takes a
plan as its ``attention_mask`` after ``use_varlen_attention``.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import scaled_dot_product_attention

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.export.tree_segments import TreeSegments, cut_tree, describe_cost, to_tree_segments
from masksynth.mask import Mask
from masksynth.mask.typing import Int32Array, Int64Array

HALF = (torch.float16, torch.bfloat16)
"""Types that FlashAttention kernels take."""


class TreePlan(BlockMask):
    """What a varlen kernel needs of k rows of N positions: G segments that gather K keys.

    It is a BlockMask by name only, so that models of transformers pass it on to their attention as it is.

    Parameters
    ----------
    kv_index : (K,) int64 Tensor
        ``row * N + position`` of each gathered key, segment after segment.
    queries, keys : (G + 1,) int32 array
        First query and first gathered key of each segment.
    rows, size : int
        k and N.
    windows : tuple of int or None, optional
        The window that each layer must have, where that is known.
    """

    def __init__(
        self,
        kv_index: Tensor,
        queries: Int32Array,
        keys: Int32Array,
        rows: int,
        size: int,
        windows: tuple[int | None, ...] | None = None,
    ) -> None:
        self.kv_index, self.queries, self.keys, self.rows, self.size = kv_index, queries, keys, rows, size
        self.windows = windows
        self.cu_seqlens_q, self.cu_seqlens_k = (torch.from_numpy(part).to(kv_index.device) for part in (queries, keys))
        self.longest = (int(np.diff(queries).max(initial=0)), int(np.diff(keys).max(initial=0)))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(k, 1, N, N)``, that of a mask."""
        return self.rows, 1, self.size, self.size

    @property
    def ndim(self) -> int:
        """4, that of a mask."""
        return 4

    def to(self, device: Any) -> TreePlan:
        """Return the plan with its tensors on a device."""
        return TreePlan(self.kv_index.to(device), self.queries, self.keys, self.rows, self.size, self.windows)

    def __repr__(self) -> str:
        size = self.rows * self.size
        return f"TreePlan({size} positions, {describe_cost(len(self.queries) - 1, int(self.keys[-1]), size)})"

    __str__ = __repr__


def plan_tree(
    tree: Mask | Int64Array | Tensor,
    device: str | torch.device = "cpu",
    windows: tuple[int | None, ...] | None = None,
) -> TreePlan:
    """Return the plan of a tree, or of several in rows.

    Parameters
    ----------
    tree : Mask, or (N,) or (k, N) integers
        A mask of one table whose rows are paths of a tree (``batch.source.mask``); or the parent of each position,
        before it in its row, -1 for roots.
    device : torch.device
    windows : tuple of int or None, optional
        The window of each layer of the model, in tokens. Layers apply the window that they have in the model anyway; a
        layer that has another one is an error.

    Raises
    ------
    Unsupported
        If a row of the mask is not a path of a tree, or too many keys would be gathered.
    InvalidInstance
        If a parent is not before its position.

    Examples
    --------
    >>> plan = plan_tree(np.array([[-1, 0, 1, 1], [-1, 0, 0, 2]]))
    >>> plan.queries.tolist(), plan.keys.tolist(), plan.kv_index.tolist()
    ([0, 3, 4, 6, 8], [0, 3, 6, 8, 11], [0, 1, 2, 0, 1, 3, 4, 5, 4, 6, 7])
    >>> plan
    TreePlan(8 positions, 4 segments gather 11 keys, 1.38 for each position)
    """
    if isinstance(tree, Mask):
        if tree.tables != 1:
            raise Unsupported(f"expected a mask of one table, got {tree.tables}; make a plan for each layer's")
        return _plan_of(to_tree_segments(tree), (1, tree.size), device, windows)
    parent = np.atleast_2d(np.asarray(tree.cpu() if isinstance(tree, Tensor) else tree)).astype(np.int64)
    rows, size = parent.shape
    if ((parent < -1) | (parent >= np.arange(size))).any():
        row, position = np.argwhere((parent < -1) | (parent >= np.arange(size)))[0].tolist()
        fact = f"parent of position {position} in row {row}: expected -1 to {position - 1}, got {parent[row, position]}"
        raise InvalidInstance(fact, "", "give the position before each one on its path, -1 for roots")
    flat = np.where(parent < 0, -1, parent + size * np.arange(rows)[:, None]).reshape(-1)
    return _plan_of(cut_tree(flat), (rows, size), device, windows)


def _plan_of(
    segments: TreeSegments,
    shape: tuple[int, int],
    device: str | torch.device,
    windows: tuple[int | None, ...] | None,
) -> TreePlan:
    index = torch.from_numpy(segments.kv_index.astype(np.int64)).to(device)
    return TreePlan(index, segments.cu_seqlens_q, segments.cu_seqlens_k, *shape, windows)


def tree_attention(
    query: Tensor, key: Tensor, value: Tensor, plan: TreePlan, scale: float | None = None, window: int | None = None
) -> Tensor:
    """Return the attention of merged rows in which each position sees the path from its root to itself.

    Parameters
    ----------
    query : (k, H, N, d) Tensor
    key, value : (k, H / g, N, d) Tensor
        Each head of them serves g heads of the queries.
    plan : TreePlan
        Of the k rows.
    scale : float, optional
        Of the scores; by default 1 / sqrt(d).
    window : int, optional
        Keys of the path that a position sees, with its own.

    Returns
    -------
    (k, H, N, d) Tensor

    Raises
    ------
    InvalidInstance
        If the plan was made for other rows.

    Examples
    --------
    >>> q = torch.ones(1, 1, 3, 2)
    >>> v = torch.tensor([1.0, 3.0, 5.0]).reshape(1, 1, 3, 1).expand(1, 1, 3, 2)
    >>> tree_attention(q, q, v, plan_tree(np.array([-1, 0, 0])))[0, 0, :, 0]
    tensor([1., 2., 3.])
    """
    rows, heads, size, width = query.shape
    if (plan.rows, plan.size) != (rows, size) or key.shape[2] != size:
        fact = f"a plan for {plan.rows} x {plan.size} positions, queries and keys have {rows} x {size}, {key.shape[2]}"
        raise InvalidInstance(fact, "", "make the plan of this batch")
    flat = query.transpose(1, 2).reshape(rows * size, heads, width)
    paths = [part.transpose(1, 2).flatten(0, 1).index_select(0, plan.kv_index) for part in (key, value)]
    if query.is_cuda and query.dtype in HALF:
        _check_kernel(query.device, query.dtype)
        result = _run_kernel(flat, paths[0], paths[1], plan, scale, window)
    else:
        result = _run_segments(flat, paths[0], paths[1], plan, scale, window)
    return result.reshape(rows, size, heads, value.shape[-1]).transpose(1, 2)


def _run_segments(
    query: Tensor, key: Tensor, value: Tensor, plan: TreePlan, scale: float | None, window: int | None
) -> Tensor:
    """Return the attention segment by segment: ``(queries, H, d)`` against gathered ``(K, H / g, d)``."""
    parts = []
    for (first, stop), (low, high) in zip(pairwise(plan.queries.tolist()), pairwise(plan.keys.tolist()), strict=True):
        count, length = stop - first, high - low
        # the last query sees the last key: query i sees the keys up to length - count + i
        seen = torch.ones(count, length, dtype=torch.bool, device=query.device).tril(length - count)
        if window is not None:
            seen = seen.triu(length - count - window + 1)
        q, k, v = (part.transpose(0, 1)[None] for part in (query[first:stop], key[low:high], value[low:high]))
        grouped = q.shape[1] != k.shape[1]
        parts.append(scaled_dot_product_attention(q, k, v, seen, scale=scale, enable_gqa=grouped)[0].transpose(0, 1))
    return torch.cat(parts) if parts else query


def _run_kernel(
    query: Tensor, key: Tensor, value: Tensor, plan: TreePlan, scale: float | None, window: int | None
) -> Tensor:
    """Return the attention of torch's FlashAttention kernel."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        raise Unsupported(f"torch {torch.__version__} has no varlen_attn; use torch 2.13, or float32") from None
    lengths: Any = (plan.cu_seqlens_q, plan.cu_seqlens_k, *plan.longest)
    reach = (-1 if window is None else window - 1, 0)
    grouped = query.shape[1] != key.shape[1]
    result: Any = varlen_attn(query, key, value, *lengths, scale=scale, window_size=reach, enable_gqa=grouped)
    kept: Tensor = result
    return kept


@lru_cache(maxsize=16)
def _check_kernel(device: torch.device, dtype: torch.dtype) -> None:
    """Raise WrongAnswer if the kernel of a device does not align queries with the last keys; checked once.

    Kernels of other releases align them with the first keys, which is wrong without a word.
    """
    plan = plan_tree(np.array([-1, 0, 1, 2, 1, 4, 5, 2]), device)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(8, 2, 64, generator=generator).to(device, dtype) for _ in range(3))
    k, v = k[plan.kv_index], v[plan.kv_index]
    for window in (None, 2):
        ours, right = (run(q, k, v, plan, None, window) for run in (_run_kernel, _run_segments))
        worst = float((ours - right).abs().max())
        if not worst < 0.05:
            fact = f"varlen_attn of torch {torch.__version__} differs by {worst:.3g} from the segments one by one"
            raise WrongAnswer("varlen", f"{fact} on {device} in {dtype}")
