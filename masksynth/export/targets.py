"""The formats of attention kernels under their names: what each can hold of a mask, at which cost, and the arrays of a file.

==============  ==========================================================  ============================================================
name            for                                                         arrays of the file
==============  ==========================================================  ============================================================
``flex``        PyTorch FlexAttention, through ``flex_mask.py``             ``row_offset`` [N + 1], ``key_start``, ``key_end`` [T], and the
                                                                            form of the mask_mod (``stored_forms``)
``blocks``      block-sparse kernels, BlockMask                             ``kv_num_blocks``, ``kv_indices``, ``full_kv_...``, ``q_...``,
                                                                            ``full_q_...``, ``block_size``, ``seq_lengths``
``flashmask``   PaddlePaddle ``flashmask_attention``                        ``startend_row_indices`` [1, 1, N, c], ``causal`` [1]
``magi``        MagiAttention ``flex_flash_attn_func``                      ``q_ranges``, ``k_ranges`` [S, 2], ``attn_type_map`` [S]
``varlen``      flash-attention varlen, xFormers BlockDiagonalMask          ``cu_seqlens`` [D + 1], ``max_seqlen``, ``causal`` [1]
``flashinfer``  FlashInfer ``packed_custom_mask``                           ``packed_custom_mask`` [ceil(N^2 / 8)], ``mask_indptr`` [2]
``hf-bool``     Hugging Face sdpa                                           ``attention_mask`` [1, 1, N, N] bool
``hf-additive``  Hugging Face eager                                         ``attention_mask`` [1, 1, N, N] float32
==============  ==========================================================  ============================================================

Every array that leaves this module has been turned back into row intervals by code of its own and compared with the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.export.blocks import (
    BlockSize,
    block_lists,
    block_sizes,
    check_blocks,
    check_transposed,
    transposed_lists,
)
from masksynth.export.columns import to_flashmask
from masksynth.export.dense_mask import to_hf_additive, to_hf_bool
from masksynth.export.formats import read_safetensors, safetensors_bytes, same_arrays
from masksynth.export.forms import form_of
from masksynth.export.mask_arrays import MAX_DENSE, Arrays
from masksynth.export.packed_bits import MAX_PACKED, to_packed_bits
from masksynth.export.row_intervals import row_counts
from masksynth.export.sequence_lengths import to_lengths
from masksynth.export.slices import to_slices
from masksynth.export.stored_forms import PREFIX, pack_form
from masksynth.files import check_file, write_to_disk, writing_file
from masksynth.mask import Mask


class Entry(NamedTuple):
    """One line of a summary: bytes of the arrays, None where the format cannot express the mask, and the form or the reason."""

    format: str
    bytes: int | None
    note: str


def export_arrays(mask: Mask, to: str, table: int = 0, block_size: BlockSize = 128) -> Arrays:
    """The arrays of a mask in a format of the table above, checked.

    Raises
    ------
    Unsupported
        "cannot express: ..." where the format cannot hold the mask.
    InvalidInstance
        For a name or a table that is not there.

    Examples
    --------
    >>> found = export_arrays(Mask.from_intervals([[((0, 1),), ((0, 2),)]]), "magi")
    >>> {name: array.tolist() for name, array in found.items()}
    {'q_ranges': [[0, 2]], 'k_ranges': [[0, 2]], 'attn_type_map': [1]}
    """
    if to not in TARGETS:
        raise InvalidInstance(f"format {to!r} is unknown", "", f"use one of {', '.join(TARGETS)}")
    return TARGETS[to](mask, table, block_size)


def summary(mask: Mask, table: int = 0, block_size: BlockSize = 128) -> list[Entry]:
    """Every format: its bytes and form, or why it cannot express the mask. Nothing N x N is built.

    Examples
    --------
    >>> for entry in summary(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])):
    ...     print(*entry, sep=": ")
    flex: 48: row intervals
    blocks: 32: 1 x 1 blocks of 128 x 128: 1 partial, 0 full
    flashmask: 12: causal, 1 bound a key
    magi: 60: 3 slices
    varlen: None: cannot express: row 2 needs 2 intervals, packing has 1
    flashinfer: 10: 9 bits
    hf-bool: 9: bool
    hf-additive: 36: float32
    """
    found = []
    for name, measure in MEASURES.items():
        try:
            found.append(Entry(name, *measure(mask, table, block_size)))
        except Unsupported as error:
            found.append(Entry(name, None, str(error)))
    return found


def check_target_file(path: Path, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a place where no export can be written.

    Raises
    ------
    InvalidInstance
        For another ending, or something that is there (a file without ``force``).
    """
    if path.suffix != ".safetensors":
        raise InvalidInstance(f"ends in {path.suffix!r}", "", "name a file that ends in .safetensors", str(path))
    check_file(path, force, inputs)


def write_arrays(arrays: Arrays, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write arrays as safetensors, whole or not at all: beside the target, to the disk, read back, compared, renamed.

    Raises
    ------
    InvalidInstance
        As ``check_target_file``.
    MasksynthError
        If the disk refuses; nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_arrays({"cu_seqlens": np.array([0, 3])}, f"{folder}/lengths.safetensors")
    ...     read_safetensors(Path(folder, "lengths.safetensors"))
    {'cu_seqlens': array([0, 3])}
    """
    place = Path(path)
    check_target_file(place, force, inputs)
    with writing_file(place, force, inputs, "the export") as draft:
        write_to_disk(draft, safetensors_bytes(arrays))
        if name := same_arrays(arrays, read_safetensors(draft)):
            raise WrongAnswer("files", f"{place}: array {name!r} was not written as it is; try again")


def _flex(mask: Mask, table: int, _: BlockSize) -> Arrays:
    form = pack_form(form_of(mask, table))
    offset = mask.row_offset[table]
    part = slice(int(offset[0]), int(offset[-1]))
    rows = {"row_offset": offset - offset[0], "key_start": mask.key_start[part], "key_end": mask.key_end[part]}
    return rows | {f"{PREFIX}0_{name}": array for name, array in form.items()}


def _blocks(mask: Mask, table: int, block_size: BlockSize) -> Arrays:
    lists = block_lists(mask, table, block_size)
    check_blocks(mask, lists, table, block_size)
    back = transposed_lists(lists)
    check_transposed(lists, back)
    names = [f"{full}{{}}_{name}" for full in ("", "full_") for name in ("num_blocks", "indices")]
    arrays = {
        name.format(axis): part[None, None]
        for axis, each in (("kv", lists), ("q", back))
        for name, part in zip(names, each, strict=True)
    }
    return {
        **arrays,
        "block_size": np.array(block_sizes(block_size), np.int32),
        "seq_lengths": np.array([mask.size] * 2, np.int32),
    }


def _flashmask(mask: Mask, table: int, _: BlockSize) -> Arrays:
    found = to_flashmask(mask, table)
    return {"startend_row_indices": found.startend_row_indices, "causal": np.array([found.causal])}


def _varlen(mask: Mask, table: int, _: BlockSize) -> Arrays:
    found = to_lengths(mask, table)
    return {
        "cu_seqlens": found.cu_seqlens,
        "max_seqlen": np.array([found.max_seqlen], np.int32),
        "causal": np.array([found.causal]),
    }


TARGETS: dict[str, Callable[[Mask, int, BlockSize], Arrays]] = {
    "flex": _flex,
    "blocks": _blocks,
    "flashmask": _flashmask,
    "magi": lambda mask, table, _: to_slices(mask, table)._asdict(),
    "varlen": _varlen,
    "flashinfer": lambda mask, table, _: to_packed_bits(mask, table)._asdict(),
    "hf-bool": lambda mask, table, _: {"attention_mask": to_hf_bool(mask, table)},
    "hf-additive": lambda mask, table, _: {"attention_mask": to_hf_additive(mask, table)},
}
"""Name of a format -> its arrays from a mask, a table and a block size."""

Measured = tuple[int, str]


def _measured_flex(mask: Mask, table: int, _: BlockSize) -> Measured:
    form = form_of(mask, table)
    return form.bytes, form.name + (f", since {form.why}" if form.why else "")


def _measured_blocks(mask: Mask, table: int, block_size: BlockSize) -> Measured:
    lists = block_lists(mask, table, block_size)
    check_blocks(mask, lists, table, block_size)
    (high, wide), (rows, keys) = lists.partial_index.shape, block_sizes(block_size)
    partial, full = int(lists.partial_count.sum()), int(lists.full_count.sum())
    return 8 * (
        high + wide
    ) + 16 * high * wide, f"{high} x {wide} blocks of {rows} x {keys}: {partial:,} partial, {full:,} full"


def _measured_flashmask(mask: Mask, table: int, _: BlockSize) -> Measured:
    found = to_flashmask(mask, table)
    bounds = found.startend_row_indices.shape[-1]
    return (
        found.startend_row_indices.nbytes,
        f"{'' if found.causal else 'not '}causal, {bounds} bound{'s' * (bounds > 1)} a key",
    )


def _measured_magi(mask: Mask, table: int, _: BlockSize) -> Measured:
    found = to_slices(mask, table)
    return sum(part.nbytes for part in found), f"{len(found.attn_type_map):,} slices"


def _measured_varlen(mask: Mask, table: int, _: BlockSize) -> Measured:
    found = to_lengths(mask, table)
    return found.cu_seqlens.nbytes, f"{len(found.cu_seqlens) - 1:,} {'causal' if found.causal else 'full'} documents"


def _measured_flashinfer(mask: Mask, _: int, __: BlockSize) -> Measured:
    if mask.size > MAX_PACKED:
        raise Unsupported(f"cannot express: {mask.size:,} positions (more than {MAX_PACKED:,})")
    return -(-(mask.size**2) // 8) + 8, f"{mask.size**2:,} bits"


def _measured_dense(mask: Mask, table: int, width: int, word: str) -> Measured:
    if mask.size > MAX_DENSE:
        raise Unsupported(f"cannot express: {mask.size:,} positions (more than {MAX_DENSE:,})")
    counts = row_counts(mask, table)
    if width > 1 and (counts == 0).any():
        raise Unsupported(
            f"cannot express: row {int((counts == 0).argmax())} has no key, and softmax over nothing has no value"
        )
    return width * mask.size**2, word


MEASURES: dict[str, Callable[[Mask, int, BlockSize], Measured]] = {
    "flex": _measured_flex,
    "blocks": _measured_blocks,
    "flashmask": _measured_flashmask,
    "magi": _measured_magi,
    "varlen": _measured_varlen,
    "flashinfer": _measured_flashinfer,
    "hf-bool": lambda mask, table, _: _measured_dense(mask, table, 1, "bool"),
    "hf-additive": lambda mask, table, _: _measured_dense(mask, table, 4, "float32"),
}
"""Name of a format -> (bytes, form in words) of a mask, without anything N x N."""
