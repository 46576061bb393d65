"""FlexAttention masks of one merged task, read from the ``mask.safetensors`` next to this file.

Needs torch and safetensors only. This file is the same for every answer; what differs is in the arrays. Compile once,
at module level, and pass the position ids. A compiled kernel is kept per copy of this file: for several answers, import
one copy and pass ``path``.

    import torch
    from torch.nn.attention.flex_attention import flex_attention
    import flex_mask

    attend = torch.compile(flex_attention)
    masks = flex_mask.make_block_masks(device="cuda")
    # layer l (from 0) of the model: attend(q, k, v, block_mask=masks[l % len(masks)])

``mask[q, k]`` is true iff query q may attend to key k. For each table p of the layer pattern, the file stores one form
of its mask_mod as int32 arrays ``flex_p_...``:

===============================  =====================  ================================================================
array                            shape                  key k is allowed for query q iff
===============================  =====================  ================================================================
``row_intervals``                [c, 2, N]              ``lo[q] <= k < hi[q]`` for one of the c pairs (lo, hi)
``column_intervals``             [c, 2, N]              ``lo[k] <= q < hi[k]`` for one of the c pairs (lo, hi)
``chain_ranks``,                 [c, 2, N],             ``rank[k] < limit[q]`` for one of the c pairs,
``chain_own``                    [N]                    or ``own[k] == q``
``bits``                         [N, ceil(N / 32)]      bit k % 32 of word [q, k // 32] is set, lowest bit first
``block_number``,                [R, R],                the same in block [q // 128, k // 128] of 128 x 128 pairs;
``block_bits``                   [B, 128, 4]            block 0 is empty, block 1 is full
===============================  =====================  ================================================================

``flex_p_reason`` (uint8) is the reason in ASCII why no cheaper form is exact. ``path`` may also be a file written by
``masksynth export --to flex``. Files without these arrays (a batch of ``masksynth pack``, an answer of an older
version) get their form from masksynth where it is installed; without it, stored row intervals are read as they are.
The tensors of a mask_mod are one-dimensional int32. Rows and keys
beyond N (block padding, at most 1,024) are forbidden.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad

MASK = Path(__file__).with_name("mask.safetensors")
PADDING = 1024
"""Maximum number of rows and keys of block padding, and so the largest block size."""
SIDE = 128
WORD = 32
CELLS = 1 << 22
"""Blocks of a grid that are listed at once."""
LARGE_LISTS = 1 << 29
"""Bytes of block lists, 16 for each block, above which their size is printed before they are built."""
NEVER = 2**31 - 1
"""Rank of a key outside a chain."""

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
BlockSize = int | tuple[int, int]
Pairs = tuple[tuple[Tensor, Tensor], ...]
Arrays = dict[str, Tensor]


def make_mask_mods(device: str | torch.device = "cpu", path: str | Path = MASK) -> list[MaskMod]:
    """Return the P mask_mods of the layer pattern: the i-th serves layers i + 1, i + 1 + P, ..."""
    return [make_mask_mod(form, device) for form in read_forms(load_file(path), path)]


def make_block_masks(
    device: str | torch.device = "cpu", block_size: BlockSize = 128, path: str | Path = MASK
) -> list[BlockMask]:
    """Return the P BlockMasks; ``block_size`` is (queries, keys) of a block, or one number for both, at most 1,024."""
    height, width = (block_size, block_size) if isinstance(block_size, int) else block_size
    if not (0 < height <= PADDING and 0 < width <= PADDING):
        raise ValueError(f"expected block_size from 1 to {PADDING}, got {block_size!r}")
    arrays = load_file(path)
    size = arrays["row_offset"].shape[-1] - 1 if "row_offset" in arrays else len(arrays["position_ids"])
    if (needed := 16 * -(-size // height) * -(-size // width)) > LARGE_LISTS:
        fact = f"block lists of {size:,} positions in blocks of {height} x {width} need {needed:,} bytes per table"
        warnings.warn(f"{fact}; a larger block_size needs less", stacklevel=2)
    counts = [count_pairs(arrays, table, size, height, width).to(device) for table in range(count_tables(arrays))]
    mods = [make_mask_mod(form, device) for form in read_forms(arrays, path)]
    return [make_block_mask(pairs, size, (height, width), mod) for pairs, mod in zip(counts, mods, strict=True)]


def describe(path: str | Path = MASK) -> list[str]:
    """Return one line per table: the form of its mask_mod, and why no cheaper one is exact."""
    forms = read_forms(load_file(path), path)
    return [f"table {number}: {describe_form(form)}" for number, form in enumerate(forms)]


def interval_mask_mod(bounds: Pairs) -> MaskMod:
    """Return a mask_mod: k is allowed iff lo[q] <= k < hi[q] for one of the pairs (lo, hi) of 1-D tensors."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        lo, hi = bounds[0]
        allowed = (lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx])
        for lo, hi in bounds[1:]:
            allowed = allowed | ((lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx]))
        return allowed

    return mask_mod


def column_mask_mod(bounds: Pairs) -> MaskMod:
    """Return a mask_mod: k is allowed iff lo[k] <= q < hi[k] for one of the pairs (lo, hi) of 1-D tensors."""
    transposed = interval_mask_mod(bounds)

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return transposed(b, h, kv_idx, q_idx)

    return mask_mod


def chain_mask_mod(own: Tensor, chains: Pairs) -> MaskMod:
    """Return a mask_mod: k is allowed iff rank[k] < limit[q] for one of the pairs (rank, limit), or own[k] is q."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = own[kv_idx] == q_idx
        for rank, limit in chains:
            allowed = allowed | (rank[kv_idx] < limit[q_idx])
        return allowed

    return mask_mod


def packed_mask_mod(line: Tensor, bits: Tensor) -> MaskMod:
    """Return a mask_mod: k is allowed iff bit k mod 32 (lowest first) of ``bits[line[q] + k // 32]`` is set."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return ((bits[line[q_idx] + (kv_idx >> 5)] >> (kv_idx & 31)) & 1) == 1

    return mask_mod


def blocked_mask_mod(line: Tensor, number: Tensor, bits: Tensor) -> MaskMod:
    """Return a mask_mod of bits, in block ``number[line[q // 128] + k // 128]`` of 128 rows of four words."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        block = number[line[q_idx >> 7] + (kv_idx >> 7)]
        word = bits[(block << 9) + ((q_idx & 127) << 2) + ((kv_idx & 127) >> 5)]
        return ((word >> (kv_idx & 31)) & 1) == 1

    return mask_mod


def make_mask_mod(form: Arrays, device: str | torch.device = "cpu") -> MaskMod:
    """Return the mask_mod of a table from the arrays of its form, padded by 1,024 forbidden rows and keys."""
    form = {name: array.to(device) for name, array in form.items()}
    if "row_intervals" in form:
        return interval_mask_mod(_pad_pairs(form["row_intervals"], 0, 0))
    if "column_intervals" in form:
        return column_mask_mod(_pad_pairs(form["column_intervals"], 0, 0))
    if "chain_ranks" in form:
        return chain_mask_mod(pad(form["chain_own"], (0, PADDING), value=-1), _pad_pairs(form["chain_ranks"], NEVER, 0))
    if "bits" in form:
        size, words = form["bits"].shape
        width = -(-(size + PADDING) // WORD)
        bits = pad(form["bits"], (0, width - words, 0, 1))  # row N: the zeros that all rows of padding read
        line = torch.arange(size + PADDING, dtype=torch.int32, device=device).clamp(max=size) * width
        return packed_mask_mod(line, bits.flatten())
    number = pad(form["block_number"], (0, PADDING // SIDE) * 2)  # block 0 is empty
    line = torch.arange(len(number), dtype=torch.int32, device=device) * len(number)
    # Room for a power of two of blocks, so that a compiled kernel serves answers of about one size.
    count = len(form["block_bits"])
    bits = pad(form["block_bits"], (0, 0, 0, 0, 0, (1 << (count - 1).bit_length()) - count))
    return blocked_mask_mod(line, number.flatten(), bits.flatten())


def make_block_mask(pairs: Tensor, size: int, block_size: tuple[int, int], mask_mod: MaskMod) -> BlockMask:
    """Return the BlockMask of a table with ``size`` positions and ``pairs[i, j]`` allowed pairs in block (i, j).

    ``BlockMask.from_kv_blocks`` gives the same tensors, but its transposition alone takes longer than all of this.
    """
    full = pairs == block_size[0] * block_size[1]
    partial = (pairs > 0) & ~full
    by_query = (*_list_blocks(partial), *_list_blocks(full))
    by_key = (*_list_blocks(partial.T), *_list_blocks(full.T))  # for the backward pass
    return BlockMask((size, size), *by_query, *by_key, BLOCK_SIZE=block_size, mask_mod=mask_mod)


def describe_form(form: Arrays) -> str:
    """Return the name of a form, and why no cheaper one serves."""
    for name, line in (("row_intervals", "row"), ("column_intervals", "key")):
        if name in form:  # the i-th pair is empty everywhere iff every line has at most i intervals
            most = sum(bool((low < high).any()) for low, high in form[name])
            words = f"{name.replace('_', ' ')}, at most {most} per {line}"
    if "chain_ranks" in form:
        words = f"ranks in {len(form['chain_ranks'])} chains"
    elif "bits" in form or "block_bits" in form:
        words = "bit-packed lookup" + ("" if "bits" in form else f" by blocks of {SIDE} x {SIDE}")
    reason = bytes(form.get("reason", torch.empty(0)).tolist()).decode("ascii")
    return f"{words}, since {reason}" if reason else words


def count_tables(arrays: Arrays) -> int:
    """Return P, the number of tables."""
    stored = arrays.get("mask", arrays.get("row_offset"))
    return len(stored) if stored is not None and stored.dim() == (3 if "mask" in arrays else 2) else 1


def read_forms(arrays: Arrays, path: str | Path) -> list[Arrays]:
    """Return the arrays of each table's form, without ``flex_p_``; masksynth finds the forms where none are stored."""
    forms = [
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in (f"flex_{table}_" for table in range(count_tables(arrays)))
    ]
    if all(forms):
        return forms
    try:
        from masksynth.export.stored_forms import find_forms
    except ImportError:
        if "row_offset" in arrays:
            return [store_row_intervals(arrays, table) for table in range(count_tables(arrays))]
        remedy = f"run `masksynth export {path} --to flex -o FILE.safetensors` and read FILE, or install masksynth"
        raise ValueError(f"{path} does not store the form of its mask: {remedy}") from None
    found = find_forms({name: array.numpy() for name, array in arrays.items()})
    return [{name: torch.from_numpy(array) for name, array in form.items()} for form in found]


def store_row_intervals(arrays: Arrays, table: int) -> Arrays:
    """Return the form ``row_intervals`` of a table, with as many pairs as its longest row has intervals."""
    offset = arrays["row_offset"]
    offset = offset.reshape(-1, offset.shape[-1])[table]
    counts = offset.diff()
    query = torch.repeat_interleave(torch.arange(len(counts)), counts)
    pair = torch.arange(len(query)) + offset[0] - offset[query]  # number of each interval within its row
    form = torch.zeros((max(1, int(counts.max()) if len(counts) else 0), 2, len(counts)), dtype=torch.int32)
    for side, name in enumerate(("key_start", "key_end")):
        form[pair, side, query] = arrays[name][offset[0] : offset[-1]].int()
    return {"row_intervals": form}


def count_pairs(arrays: Arrays, table: int, size: int, height: int, width: int) -> Tensor:
    """Return the number of allowed pairs in each block of ``height`` x ``width``, as (Rq, Rk) integers.

    Of intervals: the number of keys below x in block j is ``width`` for j < x // width, x % width at j = x // width,
    and 0 beyond. Its difference along j is nonzero in two blocks, so each interval changes four entries of a difference
    array.
    """
    rows, columns = -(-size // height), -(-size // width)
    if "mask" in arrays:
        dense = arrays["mask"].reshape(count_tables(arrays), size, size)[table]
        padded = pad(dense, (0, -size % width, 0, -size % height))
        return padded.reshape(rows, height, columns, width).sum(3, dtype=torch.int32).sum(1)
    if "edge_query" in arrays:  # the diagonal is not stored
        query, key = (torch.cat([arrays[name], torch.arange(size)]) for name in ("edge_query", "edge_key"))
        return torch.bincount(query // height * columns + key // width, minlength=rows * columns).reshape(rows, columns)
    offset = arrays["row_offset"].reshape(-1, size + 1)[table]
    query = torch.repeat_interleave(torch.arange(size), offset.diff())
    steps = torch.zeros(rows * (columns + 2), dtype=torch.int32)  # at most 2^20 pairs in a block
    for name, sign in (("key_end", 1), ("key_start", -1)):
        bound = arrays[name][offset[0] : offset[-1]]
        block = query // height * (columns + 2) + bound // width
        steps.scatter_add_(0, block, sign * (bound % width - width))
        steps.scatter_add_(0, block + 1, -sign * (bound % width))
    return steps.reshape(rows, columns + 2).cumsum(1, dtype=torch.int32)[:, :columns]


def _list_blocks(listed: Tensor) -> tuple[Tensor, Tensor]:
    """Return count [1, 1, R] and index [1, 1, R, C] of a grid of blocks: listed blocks first, then the others."""
    index = torch.empty(listed.shape, dtype=torch.int32, device=listed.device)
    count = listed.sum(1)
    step = max(1, CELLS // max(listed.shape[1], 1))
    for first in range(0, len(listed), step):
        part = listed[first : first + step]
        before, number = part.cumsum(1) - 1, torch.arange(listed.shape[1], device=listed.device).expand(part.shape)
        # The rank of a listed block is the number of listed blocks before it; unlisted blocks follow all listed ones.
        rank = torch.where(part, before, count[first : first + step, None] + number - before - 1)
        index[first : first + step].scatter_(1, rank, number.int())
    return count.int()[None, None], index[None, None]


def _pad_pairs(stacked: Tensor, first: int, second: int) -> Pairs:
    """Split [c, 2, N] into c pairs of separate tensors, padded with ``first`` and ``second``."""
    return tuple(
        (pad(left, (0, PADDING), value=first), pad(right, (0, PADDING), value=second)) for left, right in stacked
    )


if __name__ == "__main__":
    print("\n".join(describe()))
