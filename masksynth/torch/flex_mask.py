"""FlexAttention masks of one merged task, read from the ``mask.safetensors`` beside this file. Needs torch and safetensors only.

This file is the same for every answer; what differs lies in the arrays. Compile once, at module level, pass the position ids, and for
many answers import one copy of this file and give it each ``path``, since a compiled kernel is kept per copy:

    import torch
    from torch.nn.attention.flex_attention import flex_attention
    import flex_mask

    attend = torch.compile(flex_attention)
    masks = flex_mask.make_block_masks(device="cuda")
    # layer l (from 0) of the model: attend(q, k, v, block_mask=masks[l % len(masks)])

``path`` may also be a batch of ``masksynth pack`` or a file of ``masksynth export --to flex``.

``mask[q, k]`` is true iff query q may attend to key k. Each table is read in the first of these forms that is exact:

- row intervals, at most 8 in any row: bounds by query, which the fused kernels understand best;
- column intervals, at most 2 in any column: bounds by key, as in a prefix tree in depth-first order;
- ranks in chains: keys in at most 8 chains, each row sees a prefix of each chain, and itself or not;
- a bit-packed lookup, above 8,192 positions by blocks of 128 x 128, of which empty and full ones take no room; at most 1 GiB.

``describe()`` says which and why. All tensors are one-dimensional int32. The block lists come from the row intervals, without any N x N
array. Rows and keys beyond N, up to 1,024 of them (block padding), are forbidden.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

MASK = Path(__file__).with_name("mask.safetensors")
MAX_INTERVALS = 8
MAX_COLUMNS = 2
MAX_CHAINS = 8
MAX_RUNS = 256
MAX_BITS = 2**30
PADDING = 1024
CHUNK = 256
FLAT = 8192
SIDE = 128
WORD = 32
NEVER = 2**31 - 1

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
BlockSize = int | tuple[int, int]


class Rows(NamedTuple):
    """One table: row q allows the keys ``start[t] <= k < end[t]`` for ``offset[q] <= t < offset[q + 1]``, sorted and not touching."""

    offset: Tensor
    start: Tensor
    end: Tensor


class Form(NamedTuple):
    """How a table is read: in words, the factory of its mask_mod, and the tensors (or pairs of tensors) that the factory takes."""

    words: str
    factory: Callable[..., MaskMod]
    tensors: tuple[Any, ...]


def make_mask_mods(device: str | torch.device = "cpu", path: str | Path = MASK) -> list[MaskMod]:
    """The P mask_mods of the layer pattern: the i-th serves layers i + 1, i + 1 + P, ..."""
    return [mask_mod_of(rows, device) for rows in read_tables(path)]


def make_block_masks(
    device: str | torch.device = "cpu", block_size: BlockSize = 128, path: str | Path = MASK
) -> list[BlockMask]:
    """The P BlockMasks; ``block_size`` is (queries, keys) of a block, or one number for both, at most 1,024."""
    return [block_mask_of(rows, device, block_size) for rows in read_tables(path)]


def describe(path: str | Path = MASK) -> list[str]:
    """One line per table: the form of its mask_mod."""
    return [f"table {number}: {form_of(rows)}" for number, rows in enumerate(read_tables(path))]


def read_tables(path: str | Path = MASK) -> list[Rows]:
    """The tables of a mask.safetensors, by default the one beside this file."""
    arrays = load_file(path)
    if "row_offset" in arrays:
        return [
            Rows(
                offset - offset[0],
                arrays["key_start"][offset[0] : offset[-1]],
                arrays["key_end"][offset[0] : offset[-1]],
            )
            for offset in arrays["row_offset"].reshape(-1, arrays["row_offset"].shape[-1])
        ]
    size = len(arrays["position_ids"])
    if "edge_query" in arrays:
        return [_rows_of_edges(arrays["edge_query"], arrays["edge_key"], size)]
    return (
        [_rows_of_dense(table) for table in arrays["mask"].reshape(-1, size, size)] if size else _empty(arrays["mask"])
    )


def form_of(rows: Rows) -> str:
    """The form of the table's mask_mod, in words, and why no cheaper one serves."""
    return find_form(rows).words


def mask_mod_of(rows: Rows, device: str | torch.device = "cpu") -> MaskMod:
    """The mask_mod of one table, in the form that ``form_of`` names."""
    form = find_form(rows)
    return form.factory(*(_to(part, device) for part in form.tensors))


def find_form(rows: Rows) -> Form:
    """The first exact form of a table; ValueError where even its bits are too many."""
    count = rows.offset.diff()
    most = _most(count)
    if most <= MAX_INTERVALS:
        return Form(
            f"row intervals, at most {most} per row", interval_mask_mod, (_bounds(rows.offset, rows.start, rows.end),)
        )
    why = f"since row {int(count.argmax())} has {most} intervals (more than {MAX_INTERVALS})"
    opened, closed = _changes(rows)
    count = _spread(opened[1], opened[2], _size(rows))
    most = _most(count)
    if most <= MAX_COLUMNS:
        offset = torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)])
        return Form(
            f"column intervals, at most {most} per key, {why}",
            column_mask_mod,
            (_bounds(offset, _by_key(opened), _by_key(closed)),),
        )
    why += f", key {int(count.argmax())} is seen by {most} intervals of rows (more than {MAX_COLUMNS})"
    found = _chains(rows)
    if not isinstance(found, str):
        return Form(f"ranks in {len(found[1])} chains, {why}", chain_mask_mod, found)
    why += f", and {found}"
    if _size(rows) > FLAT:
        return Form(f"bit-packed lookup by blocks of {SIDE} x {SIDE}, {why}", blocked_mask_mod, _blocked(rows))
    return Form(f"bit-packed lookup, {why}", packed_mask_mod, _packed(rows))


def interval_mask_mod(bounds: tuple[tuple[Tensor, Tensor], ...]) -> MaskMod:
    """Key k is allowed iff lo[q] <= k < hi[q] for one of the pairs (lo, hi) of 1-D tensors."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        lo, hi = bounds[0]
        allowed = (lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx])
        for lo, hi in bounds[1:]:
            allowed = allowed | ((lo[q_idx] <= kv_idx) & (kv_idx < hi[q_idx]))
        return allowed

    return mask_mod


def column_mask_mod(bounds: tuple[tuple[Tensor, Tensor], ...]) -> MaskMod:
    """Key k is allowed iff lo[k] <= q < hi[k] for one of the pairs (lo, hi) of 1-D tensors."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        lo, hi = bounds[0]
        allowed = (lo[kv_idx] <= q_idx) & (q_idx < hi[kv_idx])
        for lo, hi in bounds[1:]:
            allowed = allowed | ((lo[kv_idx] <= q_idx) & (q_idx < hi[kv_idx]))
        return allowed

    return mask_mod


def chain_mask_mod(own: Tensor, chains: tuple[tuple[Tensor, Tensor], ...]) -> MaskMod:
    """Key k is allowed iff rank[k] < limit[q] for one of the pairs (rank, limit) of 1-D tensors, or own[k] is q."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = own[kv_idx] == q_idx
        for rank, limit in chains:
            allowed = allowed | (rank[kv_idx] < limit[q_idx])
        return allowed

    return mask_mod


def packed_mask_mod(line: Tensor, bits: Tensor) -> MaskMod:
    """Key k is allowed iff bit k mod 32 (lowest first) of ``bits[line[q] + k // 32]`` is set."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return ((bits[line[q_idx] + (kv_idx >> 5)] >> (kv_idx & 31)) & 1) == 1

    return mask_mod


def blocked_mask_mod(line: Tensor, number: Tensor, bits: Tensor) -> MaskMod:
    """As ``packed_mask_mod``, within block ``number[line[q // 128] + k // 128]``: 128 rows of four words."""

    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        block = number[line[q_idx >> 7] + (kv_idx >> 7)]
        word = bits[(block << 9) + ((q_idx & 127) << 2) + ((kv_idx & 127) >> 5)]
        return ((word >> (kv_idx & 31)) & 1) == 1

    return mask_mod


def block_mask_of(rows: Rows, device: str | torch.device = "cpu", block_size: BlockSize = 128) -> BlockMask:
    """The BlockMask of one table: partial and full lists of full width, listed blocks first, both in rising order, and transposed.

    ``BlockMask.from_kv_blocks`` would give the same tensors, and take longer to transpose them than all the rest takes.
    """
    height, width = (block_size, block_size) if isinstance(block_size, int) else block_size
    if not (0 < height <= PADDING and 0 < width <= PADDING):
        raise ValueError(f"block_size={block_size!r} is not from 1 to {PADDING}")
    size = _size(rows)
    allowed = _pairs(rows, height, width)
    full = allowed == height * width
    some = (allowed > 0) & ~full
    (some_count, some_index), (full_count, full_index) = _ordered(some), _ordered(full)
    (some_back_count, some_back_index), (full_back_count, full_back_index) = _ordered(some.T), _ordered(full.T)
    return BlockMask(
        seq_lengths=(size, size),
        kv_num_blocks=some_count.to(device),
        kv_indices=some_index.to(device),
        full_kv_num_blocks=full_count.to(device),
        full_kv_indices=full_index.to(device),
        q_num_blocks=some_back_count.to(device),
        q_indices=some_back_index.to(device),
        full_q_num_blocks=full_back_count.to(device),
        full_q_indices=full_back_index.to(device),
        BLOCK_SIZE=(height, width),
        mask_mod=mask_mod_of(rows, device),
    )


def _ordered(listed: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and full-width indices of a grid of listed blocks: each block's place is the number of its like before it."""
    count, before = listed.sum(1), listed.cumsum(1) - 1
    number = torch.arange(listed.shape[1]).expand(listed.shape)
    place = torch.where(listed, before, count[:, None] + number - before - 1)
    index = torch.empty(listed.shape, dtype=torch.int32).scatter_(1, place, number.int())
    return count.int()[None, None], index[None, None]


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


def _most(count: Tensor) -> int:
    return int(count.max()) if len(count) else 0


def _to(part: Any, device: str | torch.device) -> Any:
    return tuple(_to(one, device) for one in part) if isinstance(part, tuple) else part.to(device)


def _padded(values: Tensor, filler: int) -> Tensor:
    """Values of rows or keys as int32, with ``filler`` for block padding."""
    return torch.cat([values.int(), torch.full((PADDING,), filler, dtype=torch.int32)])


def _bounds(offset: Tensor, start: Tensor, end: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """The i-th intervals of all lines as 1-D int32 tensors (lo, hi), empty where a line has fewer; at least one pair."""
    count, pairs = offset.diff(), []
    for number in range(max(_most(count), 1)):
        line = torch.nonzero(count > number).flatten()
        lo, hi = torch.zeros(2, len(count), dtype=torch.int64)
        lo[line], hi[line] = start[offset[line] + number].long(), end[offset[line] + number].long()
        pairs.append((_padded(lo, 0), _padded(hi, 0)))
    return tuple(pairs)


def _changes(rows: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(query, first key, last key + 1) of what row q has and row q - 1 has not, and the reverse, for q = 0 .. N."""
    width, query = _size(rows) + 1, _query(rows)
    own = torch.stack([query * width + rows.start, query * width + rows.end], dim=1).flatten()
    codes, order = torch.cat([own, own + width]).sort(stable=True)
    mine = order < len(own)
    inside, before = mine.cumsum(0) & 1, (~mine).cumsum(0) & 1
    last = torch.ones(len(codes), dtype=torch.bool)
    last[:-1] = codes.diff() != 0
    codes, inside, before = codes[last], inside[last], before[last]
    row, key = codes // width, codes % width
    opened, closed = (inside == 1) & (before == 0), (inside == 0) & (before == 1)
    following = key.roll(-1)
    return (row[opened], key[opened], following[opened]), (row[closed], key[closed], following[closed])


def _spread(first: Tensor, last: Tensor, size: int) -> Tensor:
    """How many of the spans ``first <= k < last`` hold each k below size."""
    return (torch.bincount(first, minlength=size + 1) - torch.bincount(last, minlength=size + 1)).cumsum(0)[:size]


def _by_key(spans: tuple[Tensor, ...]) -> Tensor:
    """The queries of spans, once for each of their keys, sorted by key, then query."""
    query, first, last = spans
    length = last - first
    key = torch.arange(int(length.sum())) - torch.repeat_interleave(length.cumsum(0) - length - first, length)
    return torch.repeat_interleave(query, length)[key.argsort(stable=True)]


def _chains(rows: Rows) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]] | str:
    """Chains of keys of which every row sees prefixes, or why none were found.

    Beyond 256 keys, consecutive keys are a run while each is seen only by rows that see the one before, itself aside. A run may follow
    another if all that see its first key see the other's last; a largest matching of such pairs gives the fewest chains. Keys that only
    their own rows see need no chain.
    """
    query, start, end = _query(rows), rows.start.long(), rows.end.long()
    own = torch.bincount(query[(start <= query) & (query < end)], minlength=_size(rows))
    seen = _spread(start, end, _size(rows)) - own
    keys = torch.nonzero(seen > 0).flatten()
    spans = _compressed(query, start, end, seen > 0)
    place = torch.full((_size(rows),), -1)
    place[keys] = torch.arange(len(keys))
    first = _runs(spans, place) if len(keys) > MAX_RUNS else torch.arange(len(keys))
    if len(first) > MAX_RUNS:
        return f"its keys fall into {len(first):,} runs (more than {MAX_RUNS})"
    last = torch.cat([first[1:], torch.tensor([len(keys)])])[: len(first)] - 1
    chains = _fewest(_links(spans, place, first, last), seen[keys][first])
    if len(chains) > MAX_CHAINS:
        return f"its keys need {len(chains)} chains (more than {MAX_CHAINS})"
    ordered = [
        keys[torch.cat([torch.arange(int(first[run]), int(last[run]) + 1) for run in chain])] for chain in chains
    ]
    return _limits(query, start, end, ordered, own > 0)


def _compressed(query: Tensor, start: Tensor, end: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The spans over the kept keys alone, renumbered, empty ones left out and touching ones joined."""
    number = torch.cat([torch.zeros(1, dtype=torch.int64), kept.long().cumsum(0)])
    start, end = number[start], number[end]
    some = start < end
    query, start, end = query[some], start[some], end[some]
    cut = torch.ones(len(query) + 1, dtype=torch.bool)
    cut[1:-1] = (query.diff() != 0) | (start[1:] != end[:-1])
    return query[cut[:-1]], start[cut[:-1]], end[cut[1:]]


def _runs(spans: tuple[Tensor, Tensor, Tensor], place: Tensor) -> Tensor:
    """The first keys of the runs: 0, and every key where an interval of a row begins that is not the row's own key alone."""
    query, start, end = spans
    alone = (start == place[query]) & (end == start + 1)
    first: Tensor = torch.unique(torch.cat([torch.zeros(1, dtype=torch.int64), start[~alone]]))
    return first


def _links(spans: tuple[Tensor, Tensor, Tensor], place: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """``[i, j]``: every row that sees the first key of run j, its own row aside, sees the last key of run i."""
    runs, chunk = len(first), 4096
    broken = torch.zeros(runs, runs)
    for low in range(0, len(place) if runs else 0, chunk):
        own = place[low : low + chunk]
        part = slice(*torch.searchsorted(spans[0], torch.tensor([low, low + chunk])).tolist())
        heads, tails = (_holds([span[part] for span in spans], low, len(own), keys) for keys in (first, last))
        at = torch.searchsorted(first, own).clamp(max=runs - 1)
        mine = torch.nonzero(first[at] == own).flatten()
        heads[mine, at[mine]] = False
        broken += (~tails).float().T @ heads.float()
    return broken == 0


def _holds(spans: list[Tensor], low: int, rows: int, keys: Tensor) -> Tensor:
    """(rows, keys): whether rows low, low + 1, ... hold each of the sorted keys."""
    width = len(keys) + 1
    steps = torch.zeros(rows * width, dtype=torch.int32)
    for bound, sign in ((spans[1], 1), (spans[2], -1)):
        steps.scatter_add_(
            0,
            (spans[0] - low) * width + torch.searchsorted(keys, bound),
            torch.full_like(bound, sign, dtype=torch.int32),
        )
    return steps.reshape(rows, width)[:, :-1].cumsum(1) > 0


def _fewest(links: Tensor, seen: Tensor) -> list[list[int]]:
    """The fewest chains of runs, each linked to the next, by a largest matching of runs with their successors (Kuhn).

    ``seen`` is how many rows see each run's first key, which falls along a chain.
    """
    order = seen.argsort(descending=True, stable=True).tolist()
    allowed = links.tolist()
    after = {run: [one for one in order[place + 1 :] if allowed[run][one]] for place, run in enumerate(order)}
    before: dict[int, int] = {}

    def augment(run: int, tried: set[int]) -> bool:
        for one in after[run]:
            if one not in tried:
                tried.add(one)
                if one not in before or augment(before[one], tried):
                    before[one] = run
                    return True
        return False

    for run in order:
        augment(run, set())
    successor = {run: one for one, run in before.items()}
    chains = [[run] for run in order if run not in before]
    for chain in chains:
        while chain[-1] in successor:
            chain.append(successor[chain[-1]])
    return chains


def _limits(
    query: Tensor, start: Tensor, end: Tensor, chains: list[Tensor], own: Tensor
) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]] | str:
    """The prefixes that the rows see. m distinct ranks are 0 .. m - 1 iff their sum is m (m - 1) / 2; ``own`` may serve the own key."""
    size, pairs = len(own), []
    outside = torch.ones(size, dtype=torch.bool)
    outside[torch.cat([torch.zeros(0, dtype=torch.int64), *chains])] = False
    aside = own & outside
    for keys in chains:
        rank = torch.full((size,), NEVER)
        rank[keys] = torch.arange(len(keys))
        member = rank < NEVER
        count, total = (_summed(query, start, end, torch.where(member, value, 0)) for value in (member.long(), rank))
        odd = (total != count * (count - 1) // 2) & member & own
        count, total = count - odd.long(), total - torch.where(odd, rank, 0)
        wrong = total != count * (count - 1) // 2
        if wrong.any():
            return f"row {int(wrong.int().argmax())} sees no prefix of a chain"
        aside = aside | odd
        pairs.append((_padded(rank, NEVER), _padded(count, 0)))
    return _padded(torch.where(aside, torch.arange(size), -1), -1), tuple(pairs)


def _summed(query: Tensor, start: Tensor, end: Tensor, value: Tensor) -> Tensor:
    """The sum of a value per key over the keys of each row."""
    before = torch.cat([torch.zeros(1, dtype=torch.int64), value.cumsum(0)])
    return torch.zeros(len(value), dtype=torch.int64).scatter_add_(0, query, before[end] - before[start])


def _words(keys: Tensor) -> Tensor:
    """Bits (..., 32 n) as int32 words (..., n), the first bit lowest."""
    weights = 2 ** torch.arange(WORD, dtype=torch.int64)
    words = (keys.reshape(*keys.shape[:-1], -1, WORD) * weights).sum(-1)
    return torch.where(words >= 2 ** (WORD - 1), words - 2**WORD, words).int()


def _packed(rows: Rows) -> tuple[Tensor, Tensor]:
    """Where each row's words begin, and the words; rows of padding share one of zeros."""
    size = _size(rows)
    width = -(-(size + PADDING) // WORD)
    bits = torch.zeros(size + 1, width, dtype=torch.int32)
    query = _query(rows)
    for first in range(0, size, CHUNK):
        last = min(first + CHUNK, size)
        part = slice(int(rows.offset[first]), int(rows.offset[last]))
        steps = torch.zeros(last - first, WORD * width + 1, dtype=torch.int8)
        steps[query[part] - first, rows.start[part].long()] += 1
        steps[query[part] - first, rows.end[part].long()] -= 1
        bits[first:last] = _words(steps[:, :-1].cumsum(1, dtype=torch.int8))
    return _padded(torch.arange(size) * width, size * width), bits.flatten()


def _blocked(rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers of the blocks, row by row, and the words of blocks 0, 1, ...: nothing, everything, then the mixed ones in order.

    There is room for a power of two of them, so that a compiled kernel serves answers of about one size. In a row of blocks, key x is
    column ``before[x // 128] + x % 128`` of the mixed blocks side by side, or their next column.
    """
    side, size = -(-(_size(rows) + PADDING) // SIDE), _size(rows)
    allowed = torch.zeros(side, side, dtype=torch.int64)
    grid = -(-size // SIDE)
    allowed[:grid, :grid] = _pairs(rows, SIDE, SIDE)
    mixed = (allowed > 0) & (allowed < SIDE * SIDE)
    number = torch.where(mixed, 1 + mixed.flatten().cumsum(0).reshape(side, side), (allowed == SIDE * SIDE).long())
    if (needed := (2 + int(mixed.sum())) * SIDE * SIDE // 8) > MAX_BITS:
        raise ValueError(
            f"the mask needs {needed:,} bytes of bits (more than {MAX_BITS:,}); order its positions so that fewer blocks are mixed"
        )
    bits = torch.zeros(1 << (1 + int(mixed.sum())).bit_length(), SIDE, SIDE // WORD, dtype=torch.int32)
    bits[1] = -1
    query, done = _query(rows), 2
    for first, line in zip(range(0, size, SIDE), mixed, strict=False):
        part = slice(int(rows.offset[first]), int(rows.offset[min(first + SIDE, size)]))
        count = int(line.sum())
        before = SIDE * (line.cumsum(0) - line.long())
        width = SIDE * count + 1
        steps = torch.zeros(SIDE * width, dtype=torch.int8)
        for bound, sign in ((rows.start[part].long(), 1), (rows.end[part].long(), -1)):
            column = before[bound // SIDE] + torch.where(line[bound // SIDE], bound % SIDE, 0)
            steps.scatter_add_(
                0, (query[part] - first) * width + column, torch.full_like(column, sign, dtype=torch.int8)
            )
        keys = steps.reshape(SIDE, width)[:, :-1].cumsum(1, dtype=torch.int8).reshape(SIDE, count, SIDE)
        bits[done : done + count] = _words(keys).transpose(0, 1)
        done += count
    return (torch.arange(side) * side).int(), number.flatten().int(), bits.flatten()


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
