"""The mask of a batch for each attention implementation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.blocks import (
    BlockLists,
    block_lists,
    block_pairs,
    block_sizes,
    check_blocks,
    check_transposed,
    transposed_lists,
)
from masksynth.export.forms import choose_form
from masksynth.export.stored_forms import pack_form
from masksynth.mask import Mask
from masksynth.torch.flex_mask import PADDING, BlockSize, MaskMod, make_block_mask, make_mask_mod
from masksynth.torch.merged_batch import Batch


def attention_mask(
    batch: Batch, kind: Literal["sdpa", "eager"] = "sdpa", dtype: torch.dtype = torch.float32, table: int | None = None
) -> Tensor:
    """The mask of one table as ``[1, 1, N, N]``.

    ``sdpa`` (torch's ``scaled_dot_product_attention``, Hugging Face ``attn_implementation="sdpa"``): bool, true = attend. ``eager``
    (Hugging Face ``"eager"``, any code that adds the mask to the scores): 0 where allowed and minus infinity elsewhere, in ``dtype``.
    One kind is silently wrong where the other is meant, so neither is guessed.

    Minus infinity rather than the least finite number: its weight is exactly 0 whatever the scores, and a row without any key gives NaN
    instead of the mean of all values, a silent leak. Such rows are refused here for both kinds.

    Parameters
    ----------
    batch : Batch
    kind : {"sdpa", "eager"}
    dtype : torch.dtype
        Of the additive mask: the dtype of the scores.
    table : int, optional
        Which table of the layer pattern; layer l, counted from 0, uses table l mod P. May be left out when P = 1.

    Raises
    ------
    InvalidInstance
        For another kind or table, or a row without keys.
    Unsupported
        Above 8,192 positions, where ``block_mask`` serves.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.torch import batch_of
    >>> from masksynth.tasks import MergedTask, Position, Question
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> batch = batch_of(MergedTask((Position("a", 0), Position("b", 1)), mask, {}, (), (), (), Question(None, False, 1, "")))
    >>> attention_mask(batch)
    tensor([[[[ True, False], [ True,  True]]]])
    >>> attention_mask(batch, "eager")
    tensor([[[[0., -inf], [0., 0.]]]])
    """
    number = _table(batch, table)
    counts = np.diff(batch.rows.row_offset[number])
    if (counts == 0).any():
        raise InvalidInstance(
            f"row {int(np.argmin(counts))} of table {number} has no key: softmax over nothing has no value"
        )
    dense = batch.mask.reshape(batch.tables, batch.rows.size, batch.rows.size)[number][None, None]
    if kind == "sdpa":
        return dense
    if kind == "eager":
        return torch.zeros(dense.shape, dtype=dtype, device=dense.device).masked_fill_(~dense, float("-inf"))
    raise InvalidInstance(
        f"attention kind {kind!r} is unknown", remedy='use "sdpa" (bool), "eager" (additive) or block_mask(batch)'
    )


def block_mask(batch: Batch, block_size: BlockSize = 128, table: int | None = None) -> BlockMask:
    """The FlexAttention BlockMask of one table, on the batch's device, with its lists checked against the mask.

    Built from row intervals in O(T + R^2) for T intervals and R block rows, without an N x N array. Compile ``flex_attention``: an
    uncompiled call ignores the lists and takes O(N^2) memory.

    Parameters
    ----------
    batch : Batch
    block_size : int or (int, int)
        (queries, keys) of a block, at most 1,024.
    table : int, optional
        As in ``attention_mask``.
    """
    return block_mask_of_rows(batch.rows, batch.position_ids.device, block_size, _table(batch, table))


def block_mask_of_rows(
    mask: Mask, device: str | torch.device = "cpu", block_size: BlockSize = 128, table: int = 0
) -> BlockMask:
    """The BlockMask of one table of a mask; its lists, forward and backward, are checked against the mask.

    Raises
    ------
    InvalidInstance
        For a block size that is not from 1 to 1,024, or a table that is not there.
    Unsupported
        If the mask_mod needs more than 1 GiB of bits.

    Examples
    --------
    >>> found = block_mask_of_rows(Mask.from_intervals([[((0, 1),), ((0, 2),)]]), block_size=1)
    >>> found.kv_num_blocks.tolist(), found.full_kv_num_blocks.tolist(), found.full_q_num_blocks.tolist()
    ([[[0, 0]]], [[[1, 2]]], [[[2, 1]]])
    """
    height, width = (block_size, block_size) if isinstance(block_size, int) else block_size
    if max(height, width) > PADDING:
        raise InvalidInstance(f"block size {block_size} is above {PADDING}", remedy="use 128 or (256, 128)")
    lists = block_lists(mask, table, block_size)
    back = transposed_lists(lists)
    check_blocks(mask, lists, table, block_size)
    check_transposed(lists, back)
    forward, backward = ([torch.from_numpy(array)[None, None].to(device) for array in each] for each in (lists, back))
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
        BLOCK_SIZE=(height, width),
        mask_mod=mask_mod_of_rows(mask, device, table),
    )


def unchecked_block_mask(mask: Mask, device: str | torch.device = "cpu", block_size: BlockSize = 128) -> BlockMask:
    """Return the BlockMask of the first table of a mask, as ``block_mask_of_rows`` does, without checking its lists."""
    height, width = block_sizes(block_size)
    pairs = torch.from_numpy(block_pairs(mask, 0, height, width)).to(device)
    return make_block_mask(pairs, mask.size, (height, width), mask_mod_of_rows(mask, device))


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
    """The block lists of a BlockMask of one batch row and one head, as numpy arrays."""
    parts = (mask.kv_num_blocks, mask.kv_indices, mask.full_kv_num_blocks, mask.full_kv_indices)
    if any(part is None for part in parts):
        raise Unsupported("a BlockMask without separate full blocks; create it with separate_full_blocks=True")
    return BlockLists(*(part[0, 0].cpu().numpy() for part in parts if part is not None))


def _table(batch: Batch, table: int | None) -> int:
    if table is None and batch.tables > 1:
        raise InvalidInstance(
            f"the mask has {batch.tables} tables", remedy=f"pass table=l % {batch.tables} for layer l, counted from 0"
        )
    number = table or 0
    if not 0 <= number < batch.tables:
        raise InvalidInstance(f"table {number} is not one of the {batch.tables} tables of the mask")
    return number
