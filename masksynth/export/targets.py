"""Formats of attention kernels by name, and the arrays of a mask in each.

===============  ==============================================  ===================================================
name             for                                             arrays of the file
===============  ==============================================  ===================================================
``flex``         PyTorch FlexAttention, ``flex_mask.py``         ``row_offset`` [N + 1], ``key_start``, ``key_end``
                                                                 [T], and the form of the mask_mod, ``flex_0_...``
``blocks``       block-sparse kernels, BlockMask                 ``kv_num_blocks``, ``kv_indices``,
                                                                 ``full_kv_...``, ``q_...``, ``full_q_...``,
                                                                 ``block_size``, ``seq_lengths``
``flashmask``    PaddlePaddle ``flashmask_attention``            ``startend_row_indices`` [1, 1, N, c], ``causal`` [1]
``magi``         MagiAttention ``flex_flash_attn_func``          ``q_ranges``, ``k_ranges`` [S, 2],
                                                                 ``attn_type_map`` [S]
``varlen``       flash-attention varlen, xFormers                packed documents: ``cu_seqlens`` [D + 1],
                 BlockDiagonalMask                               ``max_seqlen``, ``causal`` [1]; trees:
                                                                 ``cu_seqlens_q``, ``cu_seqlens_k`` [G + 1],
                                                                 ``kv_index`` [K], ``max_seqlen_q``,
                                                                 ``max_seqlen_k``, ``causal`` [1]
``flashinfer``   FlashInfer ``packed_custom_mask``               ``packed_custom_mask`` [ceil(N^2 / 8)],
                                                                 ``mask_indptr`` [2]
``hf-bool``      Hugging Face sdpa                               ``attention_mask`` [1, 1, N, N] bool
``hf-additive``  Hugging Face eager                              ``attention_mask`` [1, 1, N, N] float32
===============  ==============================================  ===================================================

Every array that leaves this module has been converted back to row intervals by separate code and compared with the
mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer, check_type
from masksynth.export.block_sizes import BlockSize, block_sizes
from masksynth.export.blocks import block_lists, check_blocks, check_transposed, transposed_lists
from masksynth.export.columns import to_flashmask
from masksynth.export.dense_mask import to_hf_additive, to_hf_bool
from masksynth.export.formats import first_wrongly_stored, safetensors_parts
from masksynth.export.forms import form_of
from masksynth.export.mask_arrays import Arrays
from masksynth.export.packed_bits import to_packed_bits
from masksynth.export.sequence_lengths import to_lengths
from masksynth.export.slices import to_slices
from masksynth.export.stored_forms import PREFIX, pack_form
from masksynth.export.tree_segments import to_tree_segments
from masksynth.files import check_file, write_to_disk, writing_file
from masksynth.mask import Mask


def export_arrays(mask: Mask, to: str, table: int = 0, block_size: BlockSize = 128) -> Arrays:
    """Return the arrays of one table of a mask in a format of the table above, checked.

    Parameters
    ----------
    mask : Mask
    to : str
        Name of the format.
    table : int
        Table of the layer pattern, from 0.
    block_size : int or (int, int)
        (queries, keys) of a block, of ``blocks`` only.

    Raises
    ------
    Unsupported
        "cannot express: ..." where the format cannot express the mask.
    InvalidInstance
        If the name is unknown or the mask has no such table.

    Examples
    --------
    >>> arrays = export_arrays(Mask.from_intervals([[((0, 1),), ((0, 2),)]]), "magi")
    >>> {name: array.tolist() for name, array in arrays.items()}
    {'q_ranges': [[0, 2]], 'k_ranges': [[0, 2]], 'attn_type_map': [1]}
    """
    check_type(mask, Mask)
    if to not in list(TARGETS):
        raise InvalidInstance(f"format {to!r} is unknown", "", f"use one of {', '.join(TARGETS)}")
    return TARGETS[to](mask, table, block_size)


def check_target_file(path: Path, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Raise unless an export can be written to ``path``.

    Raises
    ------
    InvalidInstance
        If the name does not end in .safetensors, or the target exists and ``force`` is false.
    """
    if path.suffix != ".safetensors":
        raise InvalidInstance(f"ends in {path.suffix!r}", "", "name a file that ends in .safetensors", str(path))
    check_file(path, force, inputs)


def write_arrays(arrays: Arrays, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write arrays as safetensors, completely or not at all: they are read back and compared before the final rename.

    Raises
    ------
    InvalidInstance
        As ``check_target_file``.
    MasksynthError
        If the file cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> from masksynth.export.formats import read_safetensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_arrays({"cu_seqlens": np.array([0, 3])}, f"{folder}/lengths.safetensors")
    ...     read_safetensors(Path(folder, "lengths.safetensors"))
    {'cu_seqlens': array([0, 3])}
    """
    target = Path(path)
    check_target_file(target, force, inputs)
    with writing_file(target, force, inputs, "the export") as draft:
        write_to_disk(draft, safetensors_parts(arrays))
        if name := first_wrongly_stored(arrays, draft):
            raise WrongAnswer("files", f"{target}: array {name!r} was not stored correctly; try again")


def _to_flex(mask: Mask, table: int, _: BlockSize) -> Arrays:
    """Return the row intervals of a table and the form of its mask_mod."""
    form = pack_form(form_of(mask, table))
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    rows = {"row_offset": offset - offset[0], "key_start": mask.key_start[part], "key_end": mask.key_end[part]}
    return rows | {f"{PREFIX}0_{name}": array for name, array in form.items()}


def _to_blocks(mask: Mask, table: int, block_size: BlockSize) -> Arrays:
    """Return the block lists of a table, forward (kv) and backward (q), as the fields of a BlockMask."""
    lists = block_lists(mask, table, block_size)
    check_blocks(mask, lists, table, block_size)
    back = transposed_lists(lists)
    check_transposed(lists, back)
    names = [f"{full}{{}}_{name}" for full in ("", "full_") for name in ("num_blocks", "indices")]
    arrays = {
        name.format(axis): part[None, None]
        for axis, side in (("kv", lists), ("q", back))
        for name, part in zip(names, side, strict=True)
    }
    return {
        **arrays,
        "block_size": np.array(block_sizes(block_size), np.int32),
        "seq_lengths": np.array([mask.size] * 2, np.int32),
    }


def _to_flashmask(mask: Mask, table: int, _: BlockSize) -> Arrays:
    """Return the bounds of FlashMask."""
    flashmask = to_flashmask(mask, table)
    return {"startend_row_indices": flashmask.startend_row_indices, "causal": np.array([flashmask.causal])}


def _to_varlen(mask: Mask, table: int, _: BlockSize) -> Arrays:
    """Return the lengths of packed documents, or the segments of trees and the keys that they gather."""
    try:
        lengths = to_lengths(mask, table)
    except Unsupported:
        segments = to_tree_segments(mask, table)._asdict()
        scalars = {name: np.array([segments[name]], np.int32) for name in ("max_seqlen_q", "max_seqlen_k")}
        return {**segments, **scalars, "causal": np.array([True])}
    return {
        "cu_seqlens": lengths.cu_seqlens,
        "max_seqlen": np.array([lengths.max_seqlen], np.int32),
        "causal": np.array([lengths.causal]),
    }


TARGETS: dict[str, Callable[[Mask, int, BlockSize], Arrays]] = {
    "flex": _to_flex,
    "blocks": _to_blocks,
    "flashmask": _to_flashmask,
    "magi": lambda mask, table, _: to_slices(mask, table)._asdict(),
    "varlen": _to_varlen,
    "flashinfer": lambda mask, table, _: to_packed_bits(mask, table)._asdict(),
    "hf-bool": lambda mask, table, _: {"attention_mask": to_hf_bool(mask, table)},
    "hf-additive": lambda mask, table, _: {"attention_mask": to_hf_additive(mask, table)},
}
"""Name of a format -> its arrays from a mask, a table and a block size."""
