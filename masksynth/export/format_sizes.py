"""Sizes of a mask in each format of `masksynth.export.targets`, or why a format cannot express it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from masksynth.errors import Unsupported, check_type
from masksynth.export.block_sizes import BlockSize, block_sizes, describe_large_lists, list_bytes
from masksynth.export.blocks import block_counts
from masksynth.export.columns import to_flashmask
from masksynth.export.dense_mask import refuse_empty_rows
from masksynth.export.forms import form_of
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.packed_bits import MAX_PACKED
from masksynth.export.sequence_lengths import to_lengths
from masksynth.export.slices import to_slices
from masksynth.export.tree_segments import count_tree_keys, describe_cost
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.block_runs import count_grid


class Entry(NamedTuple):
    """One line of a summary.

    Parameters
    ----------
    format : str
        Name of the format.
    bytes : int or None
        Size of the arrays; None where the format cannot express the mask.
    note : str
        Details of the arrays, or why the format cannot express the mask.
    """

    format: str
    bytes: int | None
    note: str


def summary(mask: Mask, table: int = 0, block_size: BlockSize = 128) -> list[Entry]:
    """Return for every format its size and details, or why it cannot express the mask; nothing N x N is built.

    Examples
    --------
    >>> for entry in summary(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])):
    ...     print(*entry, sep=": ")
    flex: 48: row intervals
    blocks: 32: 1 x 1 blocks of 128 x 128: 1 partial, 0 full
    flashmask: 12: causal, 1 bound per key
    magi: 60: 3 slices
    varlen: 40: 2 segments gather 4 keys, 1.33 for each position
    flashinfer: 10: 9 bits
    hf-bool: 9: bool
    hf-additive: 36: float32
    """
    check_type(mask, Mask)
    entries = []
    for name, measure in MEASURES.items():
        try:
            entries.append(Entry(name, *measure(mask, table, block_size)))
        except Unsupported as error:
            entries.append(Entry(name, None, str(error)))
    return entries


Size = tuple[int, str]
"""Bytes of the arrays, and a note."""


def _measure_flex(mask: Mask, table: int, _: BlockSize) -> Size:
    form = form_of(mask, table)
    return form.bytes, form.name + (f", since {form.why}" if form.why else "")


def _measure_blocks(mask: Mask, table: int, block_size: BlockSize) -> Size:
    rows, keys = block_sizes(block_size)
    high, wide = count_grid(mask.size, rows, keys)
    count = block_counts(select_table(mask, table), block_size)
    note = f"{high} x {wide} blocks of {rows} x {keys}: {count.partial:,} partial, {count.full:,} full"
    large = describe_large_lists(mask.size, block_size)
    return list_bytes(mask.size, block_size), note + (f"; {large}" if large else "")


def _measure_flashmask(mask: Mask, table: int, _: BlockSize) -> Size:
    array, causal = to_flashmask(mask, table)
    bounds = array.shape[-1]
    return array.nbytes, f"{'' if causal else 'not '}causal, {bounds} bound{'s' * (bounds > 1)} per key"


def _measure_magi(mask: Mask, table: int, _: BlockSize) -> Size:
    slices = to_slices(mask, table)
    return sum(part.nbytes for part in slices), f"{len(slices.attn_type_map):,} slices"


def _measure_varlen(mask: Mask, table: int, block_size: BlockSize) -> Size:
    try:
        cuts, _, causal = to_lengths(mask, table)
    except Unsupported:
        segments, keys = count_tree_keys(mask, table)
        return 4 * (2 * (segments + 1) + keys), describe_cost(segments, keys, mask.size)
    return cuts.nbytes, f"{len(cuts) - 1:,} {'causal' if causal else 'full'} documents"


def _measure_flashinfer(mask: Mask, _: int, __: BlockSize) -> Size:
    if mask.size > MAX_PACKED:
        raise Unsupported(f"cannot express: {mask.size:,} positions (more than {MAX_PACKED:,})")
    return -(-(mask.size**2) // 8) + 8, f"{mask.size**2:,} bits"


def _measure_dense(mask: Mask, width: int, dtype: str) -> Size:
    """Return the size of [1, 1, N, N] entries of ``width`` bytes."""
    if mask.size > MAX_DENSE:
        raise Unsupported(f"cannot express: {mask.size:,} positions (more than {MAX_DENSE:,})")
    return width * mask.size**2, dtype


def _measure_additive(mask: Mask, table: int, _: BlockSize) -> Size:
    size = _measure_dense(mask, 4, "float32")
    refuse_empty_rows(mask, table)
    return size


MEASURES: dict[str, Callable[[Mask, int, BlockSize], Size]] = {
    "flex": _measure_flex,
    "blocks": _measure_blocks,
    "flashmask": _measure_flashmask,
    "magi": _measure_magi,
    "varlen": _measure_varlen,
    "flashinfer": _measure_flashinfer,
    "hf-bool": lambda mask, *_: _measure_dense(mask, 1, "bool"),
    "hf-additive": _measure_additive,
}
"""Name of a format -> (bytes, form in words) of a mask, without anything N x N."""
