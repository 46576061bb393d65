"""Masks of merged rows for one model: one for each layer type, in the kind that its attention takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.export.block_sizes import block_sizes
from masksynth.mask import Mask
from masksynth.mask.block_runs import block_pairs
from masksynth.mask.intervals import build_mask, row_intervals
from masksynth.torch.flex_mask import MaskMod, make_block_mask
from masksynth.torch.folding.merged_rows import MergedRows
from masksynth.torch.mask_tensors import additive_mask, stack_layer_masks
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.reach import Reach
from masksynth.torch.varlen_tree import plan_tree
from masksynth.torch.window_rows import cut_mask

BLOCK = 128
"""Queries and keys of a block of a BlockMask."""


LISTS = tuple(f"{part}_{name}" for part in ("kv", "full_kv", "q", "full_q") for name in ("num_blocks", "indices"))
"""The block lists of a BlockMask."""


def model_mask(merged: MergedRows, record: Architecture, device: torch.device) -> Any:
    """Return the ``attention_mask`` of merged rows as the model takes it.

    Parameters
    ----------
    merged : MergedRows
        k rows of N positions.
    record : Architecture
        Of the model: the window or chunk of each layer, the attention that it runs, how masks reach the layers.
    device : torch.device

    Returns
    -------
    Tensor, BlockMask or dict
        bool or additive ``[k, 1, N, N]``, a BlockMask of k rows, or a TreePlan; by layer type where the class takes a
        mapping; all layers' of a registered attention.
    """
    if record.attention == "varlen":
        return plan_tree(merged.parent, device, tuple(reach.window for reach in record.layers))
    end, index = (torch.from_numpy(array).to(device) for array in (merged.end, merged.index))
    made = dict[Reach, Any]()
    for reach in record.layers:
        if reach not in made:
            make = _block_mask if record.attention == "flex" else _dense_mask
            made[reach] = make(merged, end, index, reach, record)
    if record.mask_argument == "mapping":
        return {name: made[reach] for name, reach in record.reaches.items()}
    if record.mask_argument == "registered":
        return stack_layer_masks([made[reach] for reach in record.layers[: record.period]])
    return made[record.layers[0]]


def _dense_mask(merged: MergedRows, end: Tensor, index: Tensor, reach: Reach, record: Architecture) -> Tensor:
    """Return the mask of one reach, ``[k, 1, N, N]``; for eager attention 0 or minus infinity."""
    position = torch.arange(merged.shape[1], device=end.device)
    # the ancestors of q in depth-first order: those k <= q whose subtree ends behind q
    allowed = (position[None, :] <= position[:, None]) & (position[None, :, None] < end[:, None, :])
    if reach.window is not None:
        allowed &= (index - reach.window)[:, :, None] < index[:, None, :]
    if reach.chunk is not None:
        chunk = index // reach.chunk
        allowed &= chunk[:, :, None] == chunk[:, None, :]
    allowed = allowed[:, None]
    return additive_mask(allowed, record.dtype) if record.attention == "eager" else allowed


def _block_mask(merged: MergedRows, end: Tensor, index: Tensor, reach: Reach, record: Architecture) -> BlockMask:
    """Return the BlockMask of one reach for all rows; its lists come from row intervals, without an N x N array."""
    height, width = block_sizes(BLOCK)
    masks = [_fill_rows(mask, merged.shape[1]) for mask in merged.masks]
    cut = [cut_mask(mask, row, reach) for mask, row in zip(masks, merged.index, strict=True)]
    pairs = [torch.from_numpy(block_pairs(mask, 0, height, width)).to(end.device) for mask in cut]
    parts = [make_block_mask(part, merged.shape[1], (height, width), _tree_mod(end, index, reach)) for part in pairs]
    return stack_block_masks(parts)


def stack_block_masks(parts: list[BlockMask]) -> BlockMask:
    """Return BlockMasks of one row each, of one length and block size, as one of k rows; mask_mod is the first's."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    lists: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in LISTS}
    return BlockMask(seq_lengths=first.seq_lengths, **lists, BLOCK_SIZE=first.BLOCK_SIZE, mask_mod=first.mask_mod)


def _fill_rows(mask: Mask, size: int) -> Mask:
    """Return the mask with filling up to ``size`` positions, each of which attends to itself."""
    if mask.size == size:
        return mask
    query, start, end = row_intervals(mask)
    filling = np.arange(mask.size, size)
    columns = (np.concatenate([query, filling]), np.concatenate([start, filling]), np.concatenate([end, filling + 1]))
    return build_mask(columns, size)


def _tree_mod(end: Tensor, index: Tensor, reach: Reach) -> MaskMod:
    """Return the mask_mod of all rows of one reach."""
    window, chunk = reach.window, reach.chunk

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = (kv_idx <= q_idx) & (q_idx < end[b, kv_idx])
        if window is not None:
            allowed = allowed & (index[b, q_idx] - index[b, kv_idx] < window)
        if chunk is not None:
            allowed = allowed & (index[b, q_idx] // chunk == index[b, kv_idx] // chunk)
        return allowed

    return mask_mod
