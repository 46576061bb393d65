"""FlexAttention masks of one merged task, read from the ``mask.safetensors`` beside this file. Needs torch and safetensors only.

This file is the same for every answer; what differs lies in the arrays. Compile once, at module level, pass the position ids, and for
many answers import one copy of this file and give it each ``path``, since a compiled kernel is kept per copy:

    import torch
    from torch.nn.attention.flex_attention import flex_attention
    import flex_mask

    attend = torch.compile(flex_attention)
    masks = flex_mask.make_block_masks(device="cuda")
    # layer l (from 0) of the model: attend(q, k, v, block_mask=masks[l % len(masks)])

``mask[q, k]`` is true iff query q may attend to key k. A table whose rows have at most 8 intervals is read from 1-D tensors of interval
bounds, which the fused kernels understand best; any other table is a bit-packed lookup, above 8,192 positions by blocks of 128 x 128, of
which empty and full ones take no room. ``describe()`` says which. The block lists come from the row intervals, without any N x N array.
Rows and keys beyond N, up to 1,024 of them (block padding), are forbidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

MASK = Path(__file__).with_name("mask.safetensors")
MAX_INTERVALS = 8
PADDING = 1024
CHUNK = 256
FLAT = 8192
SIDE = 128

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
BlockSize = int | tuple[int, int]


class Rows(NamedTuple):
    """One table: row q allows the keys ``start[t] <= k < end[t]`` for ``offset[q] <= t < offset[q + 1]``, sorted and not touching."""

    offset: Tensor
    start: Tensor
    end: Tensor


def make_mask_mods(device: str | torch.device = "cpu", path: str | Path = MASK) -> list[MaskMod]:
    """The P mask_mods of the layer pattern: the i-th serves layers i + 1, i + 1 + P, ..."""
    return [mask_mod_of(rows, device) for rows in read_tables(path)]


def make_block_masks(device: str | torch.device = "cpu", block_size: BlockSize = 128, path: str | Path = MASK) -> list[BlockMask]:
    """The P BlockMasks; ``block_size`` is (queries, keys) of a block, or one number for both, at most 1,024."""
    return [block_mask_of(rows, device, block_size) for rows in read_tables(path)]


def describe(path: str | Path = MASK) -> list[str]:
    """One line per table: the form of its mask_mod."""
    return [f"table {number}: {form_of(rows)}" for number, rows in enumerate(read_tables(path))]


def read_tables(path: str | Path = MASK) -> list[Rows]:
    """The tables of a mask.safetensors, by default the one beside this file."""
    arrays = load_file(path)
    size = len(arrays["position_ids"])
    if "row_offset" in arrays:
        return [
            Rows(offset - offset[0], arrays["key_start"][offset[0] : offset[-1]], arrays["key_end"][offset[0] : offset[-1]])
            for offset in arrays["row_offset"]
        ]
    if "edge_query" in arrays:
        return [_rows_of_edges(arrays["edge_query"], arrays["edge_key"], size)]
    return [_rows_of_dense(table) for table in arrays["mask"].reshape(-1, size, size)] if size else _empty(arrays["mask"])


def form_of(rows: Rows) -> str:
    """The form of the table's mask_mod, in words."""
    most = _most(rows)
    if most <= MAX_INTERVALS:
        return f"row intervals, at most {most} per row"
    blocks = f" by blocks of {SIDE} x {SIDE}" if _size(rows) > FLAT else ""
    return f"bit-packed lookup{blocks}, since a row has {most} intervals (more than {MAX_INTERVALS})"


def mask_mod_of(rows: Rows, device: str | torch.device = "cpu") -> MaskMod:
    """The mask_mod of one table, in the form that ``form_of`` names."""
    if _most(rows) <= MAX_INTERVALS:
        return interval_mask_mod(tuple((lo.to(device), hi.to(device)) for lo, hi in _bounds(rows)))
    if _size(rows) > FLAT:
        return blocked_mask_mod(*(part.to(device) for part in _blocked(rows)))
    return packed_mask_mod(_packed(rows).to(device))


def interval_mask_mod(bounds: tuple[tuple[Tensor, Tensor], ...]) -> MaskMod:
    """Key k is allowed iff lo[q] <= k < hi[q] for one of the pairs (lo, hi) of 1-D tensors."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        lo, hi = bounds[0]
        allowed = (lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx])
        for lo, hi in bounds[1:]:
            allowed = allowed | ((lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx]))
        return allowed

    return mask_mod


def packed_mask_mod(bits: Tensor) -> MaskMod:
    """Key k is allowed iff bit k mod 8 (lowest first) of ``bits[q, k // 8]`` is set; one two-dimensional index, never a chained one."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return ((bits[q_idx, kv_idx >> 3] >> (kv_idx & 7)) & 1) == 1

    return mask_mod


def blocked_mask_mod(number: Tensor, bits: Tensor) -> MaskMod:
    """As ``packed_mask_mod``, within block ``number[q // 128, k // 128]``: 128 rows of ``bits``, eight keys to a byte."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        block = number[q_idx >> 7, kv_idx >> 7]
        return ((bits[block, q_idx & 127, (kv_idx & 127) >> 3] >> (kv_idx & 7)) & 1) == 1

    return mask_mod


def block_mask_of(rows: Rows, device: str | torch.device = "cpu", block_size: BlockSize = 128) -> BlockMask:
    """The BlockMask of one table: partial and full lists of full width, listed blocks first, both in rising order."""
    height, width = (block_size, block_size) if isinstance(block_size, int) else block_size
    if not (0 < height <= PADDING and 0 < width <= PADDING):
        raise ValueError(f"block_size={block_size!r} is not from 1 to {PADDING}")
    size = _size(rows)
    allowed = _pairs(rows, height, width)
    full = allowed == height * width
    some = (allowed > 0) & ~full
    lists = [part.to(device) for listed in (some, full) for part in _ordered(listed)]
    return BlockMask.from_kv_blocks(
        kv_num_blocks=lists[0],
        kv_indices=lists[1],
        full_kv_num_blocks=lists[2],
        full_kv_indices=lists[3],
        BLOCK_SIZE=(height, width),
        mask_mod=mask_mod_of(rows, device),
        seq_lengths=(size, size),
    )


def _ordered(listed: Tensor) -> tuple[Tensor, Tensor]:
    order = torch.argsort(listed.to(torch.int32), dim=-1, descending=True, stable=True)
    return listed.sum(-1).to(torch.int32)[None, None], order.to(torch.int32)[None, None].contiguous()


def _pairs(rows: Rows, height: int, width: int) -> Tensor:
    """Number of allowed pairs in each block.

    The keys below x in block j are ``width`` for j < x // width, x mod width at j = x // width, none beyond: two steps of a difference.
    """
    size = _size(rows)
    grid = (-(-size // height), -(-size // width))
    line = (_query(rows) // height) * (grid[1] + 2)
    steps = torch.zeros(grid[0] * (grid[1] + 2), dtype=torch.int64)
    for bound, sign in ((rows.end.long(), 1), (rows.start.long(), -1)):
        steps.scatter_add_(0, line + bound // width, sign * (bound % width - width))
        steps.scatter_add_(0, line + bound // width + 1, -sign * (bound % width))
    return steps.reshape(grid[0], grid[1] + 2).cumsum(1)[:, : grid[1]]


def _query(rows: Rows) -> Tensor:
    return torch.repeat_interleave(torch.arange(_size(rows)), rows.offset.diff())


def _size(rows: Rows) -> int:
    return len(rows.offset) - 1


def _most(rows: Rows) -> int:
    return int(rows.offset.diff().max()) if len(rows.offset) > 1 else 0


def _bounds(rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
    """The i-th intervals of all rows as 1-D int32 tensors (lo, hi), empty where a row has fewer; at least one pair."""
    count = rows.offset.diff()
    for number in range(max(_most(rows), 1)):
        row = torch.nonzero(count > number).flatten()
        lo, hi = torch.zeros(2, len(count) + PADDING, dtype=torch.int32)
        lo[row] = rows.start[rows.offset[row] + number].int()
        hi[row] = rows.end[rows.offset[row] + number].int()
        yield lo.clone(), hi.clone()


def _packed(rows: Rows) -> Tensor:
    """The table as bits: (N + padding, ceil((N + padding) / 8)) uint8, eight keys to a byte, lowest bit first."""
    size = _size(rows)
    width = -(-(size + PADDING) // 8)
    bits = torch.zeros(size + PADDING, width, dtype=torch.uint8)
    weights = 2 ** torch.arange(8, dtype=torch.uint8)
    query = _query(rows)
    for first in range(0, size, CHUNK):
        last = min(first + CHUNK, size)
        part = slice(int(rows.offset[first]), int(rows.offset[last]))
        steps = torch.zeros(last - first, 8 * width + 1, dtype=torch.int8)
        steps[query[part] - first, rows.start[part].long()] += 1
        steps[query[part] - first, rows.end[part].long()] -= 1
        keys = steps[:, :-1].cumsum(1, dtype=torch.int8).to(torch.uint8)
        bits[first:last] = (keys.reshape(-1, width, 8) * weights).sum(-1, dtype=torch.uint8)
    return bits


def _blocked(rows: Rows) -> tuple[Tensor, Tensor]:
    """The number of each block, and the bits of blocks 0, 1, ...: nothing, everything, then the mixed ones in order.

    There is room for a power of two of them, so that a compiled kernel serves answers of about one size. In a row of blocks, key x is
    column ``before[x // 128] + x % 128`` of the mixed blocks side by side, or their next column.
    """
    side, size = -(-(_size(rows) + PADDING) // SIDE), _size(rows)
    allowed = torch.zeros(side, side, dtype=torch.int64)
    grid = -(-size // SIDE)
    allowed[:grid, :grid] = _pairs(rows, SIDE, SIDE)
    mixed = (allowed > 0) & (allowed < SIDE * SIDE)
    number = torch.where(mixed, 1 + mixed.flatten().cumsum(0).reshape(side, side), (allowed == SIDE * SIDE).long())
    bits = torch.zeros(1 << (1 + int(mixed.sum())).bit_length(), SIDE, SIDE // 8, dtype=torch.uint8)
    bits[1] = 255
    weights, query, done = 2 ** torch.arange(8, dtype=torch.uint8), _query(rows), 2
    for first, line in zip(range(0, size, SIDE), mixed, strict=False):
        part = slice(int(rows.offset[first]), int(rows.offset[min(first + SIDE, size)]))
        count = int(line.sum())
        before = SIDE * (line.cumsum(0) - line.long())
        width = SIDE * count + 1
        steps = torch.zeros(SIDE * width, dtype=torch.int8)
        for bound, sign in ((rows.start[part].long(), 1), (rows.end[part].long(), -1)):
            column = before[bound // SIDE] + torch.where(line[bound // SIDE], bound % SIDE, 0)
            steps.scatter_add_(0, (query[part] - first) * width + column, torch.full_like(column, sign, dtype=torch.int8))
        keys = steps.reshape(SIDE, width)[:, :-1].cumsum(1, dtype=torch.int8).to(torch.uint8).reshape(SIDE, count, -1, 8)
        bits[done : done + count] = (keys * weights).sum(-1, dtype=torch.uint8).transpose(0, 1)
        done += count
    return number.int(), bits


def _rows_of_dense(table: Tensor) -> Rows:
    """The row intervals of an (N, N) bool table, found in chunks of rows."""
    count, start, end = [torch.zeros(1, dtype=torch.int64)], [], []
    for chunk in torch.split(table, CHUNK):
        step = torch.nn.functional.pad(chunk.to(torch.int8), (1, 1)).diff(dim=1)
        count.append((step == 1).sum(1))
        start.append(torch.nonzero(step == 1)[:, 1])
        end.append(torch.nonzero(step == -1)[:, 1])
    return Rows(torch.cat(count).cumsum(0), torch.cat(start), torch.cat(end))


def _rows_of_edges(query: Tensor, key: Tensor, size: int) -> Rows:
    """The row intervals of the given edges and the diagonal."""
    loop = torch.arange(size)
    pairs = torch.unique(torch.cat([query, loop]) * size + torch.cat([key, loop]))
    row, column = pairs // size, pairs % size
    apart = torch.ones(len(pairs) + 1, dtype=torch.bool)
    apart[1:-1] = (pairs.diff() != 1) | (row.diff() != 0)
    offset = torch.zeros(size + 1, dtype=torch.int64)
    offset[1:] = torch.bincount(row[apart[:-1]], minlength=size).cumsum(0)
    return Rows(offset, column[apart[:-1]], column[apart[1:]] + 1)


def _empty(mask: Tensor) -> list[Rows]:
    none = torch.zeros(0, dtype=torch.int64)
    return [Rows(torch.zeros(1, dtype=torch.int64), none, none)] * (len(mask) if mask.dim() == 3 else 1)


if __name__ == "__main__":
    print("\n".join(describe()))
