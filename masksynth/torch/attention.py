"""The mask of a batch of ``solve`` for each attention implementation."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance
from masksynth.torch.flex_mask import BlockSize
from masksynth.torch.mask_tensors import additive_mask, block_mask_of_rows, check_rows_have_keys
from masksynth.torch.merged_batch import Batch, check_merged_batch


def attention_mask(
    batch: Batch, kind: Literal["sdpa", "eager"] = "sdpa", dtype: torch.dtype = torch.float32, table: int | None = None
) -> Tensor:
    """Return the mask of one table as ``[1, 1, N, N]``.

    ``sdpa`` (torch's ``scaled_dot_product_attention``, Hugging Face ``attn_implementation="sdpa"``): bool, true =
    attend. ``eager`` (Hugging Face ``"eager"``, any code that adds the mask to the scores): 0 where allowed and minus
    infinity elsewhere, in ``dtype``. Passing the wrong kind is silently wrong, so the kind is never guessed.

    A row without keys would give NaN under minus infinity; such rows are refused here for both kinds.

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
        Above 8,192 positions; use ``block_mask`` there.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.torch import batch_of
    >>> from masksynth.tasks import MergedTask, Position, Question
    >>> positions, mask = (Position("a", 0), Position("b", 1)), Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> batch = batch_of(MergedTask(positions, mask, {}, (), (), (), Question(None, False, 1, "")))
    >>> attention_mask(batch)
    tensor([[[[ True, False], [ True,  True]]]])
    >>> attention_mask(batch, "eager")
    tensor([[[[0., -inf], [0., 0.]]]])
    """
    check_merged_batch(batch, "batch.attention_mask")
    number = _check_table(batch, table)
    check_rows_have_keys(batch.rows, number)
    allowed = batch.mask.reshape(batch.tables, batch.rows.size, batch.rows.size)[number][None, None]
    if kind == "sdpa":
        return allowed
    if kind == "eager":
        return additive_mask(allowed, dtype)
    remedy = 'use "sdpa" (bool), "eager" (additive) or block_mask(batch)'
    raise InvalidInstance(f"unknown kind of attention {kind!r}", "", remedy)


def layer_masks(
    batch: Batch, kind: Literal["sdpa", "eager", "flex"] = "sdpa", dtype: torch.dtype = torch.float32
) -> Any:
    """Return the masks of all tables for a model that takes a mask per layer (`use_registered_attention`).

    Parameters
    ----------
    batch : Batch
    kind : {"sdpa", "eager", "flex"}
        The attention that the model calls.
    dtype : torch.dtype
        Of the additive masks of eager attention.

    Returns
    -------
    Tensor or LayerBlockMask
        ``[1, P, N, N]``, or P BlockMasks; layer l, counted from 0, takes number l mod P.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.torch import batch_of
    >>> from masksynth.tasks import MergedTask, Position, Question
    >>> tables = [[((0, 1),), ((1, 2),)], [((0, 1),), ((0, 2),)]]
    >>> positions = (Position("a", 0), Position("b", 1))
    >>> merged = MergedTask(positions, Mask.from_intervals(tables), {}, (), (), (), Question(None, False, 2, ""))
    >>> layer_masks(batch_of(merged)).shape
    torch.Size([1, 2, 2, 2])
    """
    check_merged_batch(batch, "batch.attention_mask")
    if kind == "flex":
        from masksynth.torch.models.registered_attention import LayerBlockMask

        return LayerBlockMask([block_mask(batch, table=table) for table in range(batch.tables)])
    return torch.cat([attention_mask(batch, kind, dtype, table) for table in range(batch.tables)], dim=1)


def block_mask(batch: Batch, block_size: BlockSize = 128, table: int | None = None) -> BlockMask:
    """Return the FlexAttention BlockMask of one table, on the batch's device, with its lists checked against the mask.

    Built from row intervals in O(T log T + R^2) for T intervals and R block rows, without an N x N array. Compile
    ``flex_attention``: an uncompiled call ignores the lists and takes O(N^2) memory.

    Parameters
    ----------
    batch : Batch
    block_size : int or (int, int)
        (queries, keys) of a block, at most 1,024.
    table : int, optional
        As in ``attention_mask``.
    """
    check_merged_batch(batch, "Collator('flex') and batch.attention_mask")
    return block_mask_of_rows(batch.rows, batch.device, block_size, _check_table(batch, table))


def _check_table(batch: Batch, table: int | None) -> int:
    """Return the number of the table; raise if the pattern has several and none is given, or not this one."""
    if table is None and batch.tables > 1:
        remedy = f"pass table=l % {batch.tables} for layer l, counted from 0"
        raise InvalidInstance(f"the mask has {batch.tables} tables", "", remedy)
    number = table or 0
    if not 0 <= number < batch.tables:
        raise InvalidInstance(f"table {number} is not one of the {batch.tables} tables of the mask", "")
    return number
