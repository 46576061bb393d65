"""Tensors of a mask for each attention implementation: bool and additive masks, BlockMasks, stacks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.block_sizes import block_sizes
from masksynth.export.blocks import (
    BlockLists,
    block_lists,
    check_blocks,
    check_transposed,
    transposed_lists,
)
from masksynth.export.forms import choose_form
from masksynth.export.stored_forms import pack_form
from masksynth.mask import Mask
from masksynth.mask.block_runs import block_pairs
from masksynth.mask.intervals import row_intervals
from masksynth.torch.flex_mask import PADDING, BlockSize, MaskMod, make_block_mask, make_mask_mod
from masksynth.torch.models.registered_attention import LayerBlockMask


def dense_mask(mask: Mask, device: str | torch.device = "cpu") -> Tensor:
    """Return a mask of one table as bool ``[N, N]``, true = attend, made on the device.

    Parameters
    ----------
    mask : Mask
    device : str or torch.device

    Examples
    --------
    >>> dense_mask(Mask.from_intervals([[((0, 1),), ((0, 2),)]]))
    tensor([[ True, False], [ True,  True]])
    """
    query, start, end = (torch.from_numpy(column).to(device) for column in row_intervals(mask))
    # +1 where an interval starts and -1 where it ends: the prefix sum along a row is 1 inside intervals
    steps = torch.zeros(mask.size, mask.size + 1, dtype=torch.int8, device=device)
    steps[query, start] = 1  # intervals of a row do not touch: no entry is set twice
    steps[query, end] = -1
    return steps.cumsum_(1)[:, :-1].bool()


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask that is added to scores: 0 where attention is allowed, minus infinity elsewhere.

    Minus infinity rather than the least finite number: its weight is exactly 0 for any scores, and a row without
    any key gives NaN instead of the mean of all values, a silent leak.

    Parameters
    ----------
    allowed : bool Tensor
    dtype : torch.dtype
        Dtype of the scores.

    Examples
    --------
    >>> additive_mask(torch.tensor([True, False]), torch.float32)
    tensor([0., -inf])
    """
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))


def stack_layer_masks(masks: Sequence[Tensor | BlockMask]) -> Tensor | BlockMask:
    """Return the masks of a layer pattern as a registered attention takes them: ``[1, P, N, N]``, or P BlockMasks."""
    if len(masks) == 1:
        return masks[0]
    tensors = [mask for mask in masks if isinstance(mask, Tensor)]
    return torch.cat(tensors, 1) if tensors else LayerBlockMask([mask for mask in masks if isinstance(mask, BlockMask)])


def block_mask_of_rows(
    mask: Mask, device: str | torch.device = "cpu", block_size: BlockSize = 128, table: int = 0
) -> BlockMask:
    """Return the BlockMask of one table of a mask; its lists, forward and backward, are checked against the mask.

    Parameters
    ----------
    mask : Mask
    device : str or torch.device
    block_size : int or (int, int)
        (queries, keys) of a block, at most 1,024.
    table : int
        Table of the layer pattern, counted from 0.

    Raises
    ------
    InvalidInstance
        If the block size is not from 1 to 1,024, or the mask does not have the table.
    Unsupported
        If the mask_mod needs more than 1 GiB of bits.

    Examples
    --------
    >>> mask = block_mask_of_rows(Mask.from_intervals([[((0, 1),), ((0, 2),)]]), block_size=1)
    >>> mask.kv_num_blocks.tolist(), mask.full_kv_num_blocks.tolist(), mask.full_q_num_blocks.tolist()
    ([[[0, 0]]], [[[1, 2]]], [[[2, 1]]])
    """
    height, width = (block_size, block_size) if isinstance(block_size, int) else block_size
    if max(height, width) > PADDING:
        raise InvalidInstance(f"block size {block_size} is above {PADDING}", remedy="use 128 or (256, 128)")
    lists = block_lists(mask, table, block_size)
    transposed = transposed_lists(lists)
    check_blocks(mask, lists, table, block_size)
    check_transposed(lists, transposed)
    return _make_block_mask(mask, table, device, (height, width), (lists, transposed))


def unchecked_block_mask(mask: Mask, device: str | torch.device = "cpu", block_size: BlockSize = 128) -> BlockMask:
    """Return the BlockMask of the first table of a mask, as ``block_mask_of_rows`` does, without checking its lists."""
    height, width = block_sizes(block_size)
    pairs = torch.from_numpy(block_pairs(mask, 0, height, width)).to(device)
    return make_block_mask(pairs, mask.size, (height, width), mask_mod_of_rows(mask, device))


def _make_block_mask(
    mask: Mask,
    table: int,
    device: str | torch.device,
    block_size: tuple[int, int],
    lists: tuple[BlockLists, BlockLists],
) -> BlockMask:
    """Return the BlockMask of a table from its block lists and their transposes."""
    forward, backward = ([torch.from_numpy(array)[None, None].to(device) for array in arrays] for arrays in lists)
    return BlockMask(
        seq_lengths=(mask.size, mask.size),
        kv_num_blocks=forward[0],
        kv_indices=forward[1],
        full_kv_num_blocks=forward[2],
        full_kv_indices=forward[3],
        q_num_blocks=backward[0],
        q_indices=backward[1],
        full_q_num_blocks=backward[2],
        full_q_indices=backward[3],
        BLOCK_SIZE=block_size,
        mask_mod=mask_mod_of_rows(mask, device, table),
    )


def mask_mod_of_rows(mask: Mask, device: str | torch.device = "cpu", table: int = 0) -> MaskMod:
    """Return the mask_mod of one table of a mask.

    Raises
    ------
    Unsupported
        If it needs more than 1 GiB of bits.
    """
    form = pack_form(choose_form(mask, table))
    return make_mask_mod({name: torch.from_numpy(array) for name, array in form.items()}, device)


def lists_of(mask: BlockMask) -> BlockLists:
    """Return the block lists of a BlockMask of one batch row and one head, as numpy arrays."""
    arrays = (mask.kv_num_blocks, mask.kv_indices, mask.full_kv_num_blocks, mask.full_kv_indices)
    if any(array is None for array in arrays):
        raise Unsupported("BlockMask without separate full blocks; create it with separate_full_blocks=True")
    return BlockLists(*(array[0, 0].cpu().numpy() for array in arrays if array is not None))


def check_rows_have_keys(mask: Mask, table: int = 0) -> None:
    """Raise InvalidInstance if a row of a table has no key."""
    counts = np.diff(mask.row_offset[table])
    if (counts == 0).any():
        fact = f"row {int(np.argmin(counts))} of table {table} has no key: softmax over nothing is undefined"
        raise InvalidInstance(fact)
