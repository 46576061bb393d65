"""Build block lists of prefix-tree masks: from row intervals in numpy, as a BlockMask, and by torch.

And count the blocks of masks of all kinds up to a million positions: by runs, and over all blocks.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.measure import alone, peak_mib, timed
from benchmarks.results import Result, table
from masksynth.mask import Mask
from masksynth.mask.intervals import build_mask, coalesce, row_intervals

SIZES = (16_384, 65_536, 131_072)
EAGER = 16_384
"""Most positions of the eager construction, which needs 10 bytes a pair: 2.6 GiB here, 172 GB at the last size."""
LONG = (16_384, 131_072, 1_048_576)
"""Positions of the masks whose blocks are counted."""
COUNTED = (
    *("mask", "positions", "intervals", "kept blocks", "seconds", "dense / runs", "runs / limit"),
    *("added MiB", "dense, added MiB"),
)
NOTE = (
    "Counting: seconds by runs; dense: a difference array over all blocks; limit: numpy.copyto of the intervals;"
    " added MiB: peak memory above that of the mask."
)
HEAD = ("positions", "intervals", "kept blocks", "blocks", "method", "seconds", "times lists", "peak MiB")


def tree_mask(positions: int, segment: int = 256) -> Mask:
    """Return a random prefix tree in depth-first order; half of its segments of about ``segment`` tokens branch off."""
    rng = np.random.default_rng(0)
    cuts = np.unique([0, positions, *rng.integers(1, positions, positions // segment)])
    path: list[tuple[int, int]] = []
    starts, ends, counts = [], [], []
    for start, end in pairwise(cuts.tolist()):
        path = path[: int(rng.integers(0, len(path) + 1))] if rng.random() < 0.5 else path
        path.append((start, end))
        bounds = np.array(path)
        apart = bounds[1:, 0] != bounds[:-1, 1]
        bounds = np.stack([bounds[np.r_[True, apart], 0], bounds[np.r_[apart, True], 1]], axis=1)
        low, high = (np.tile(bound, (end - start, 1)) for bound in bounds.T)
        high[:, -1] = np.arange(start, end) + 1
        starts.append(low.ravel())
        ends.append(high.ravel())
        counts += [len(bounds)] * (end - start)
    offset = np.concatenate([[0], np.cumsum(counts)])
    return Mask(offset[None], np.concatenate(starts).astype(np.int32), np.concatenate(ends).astype(np.int32))


def best(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of ``work`` and the seconds of the best of three calls."""
    calls = [timed(work) for _ in range(3)]
    return calls[-1][0], min(seconds for _, seconds in calls)


def numpy_lists(positions: int) -> dict[str, Any]:
    """Build and check forward and transposed lists; torch is not imported."""
    from masksynth.export.blocks import block_lists, check_blocks, check_transposed, transposed_lists

    mask = tree_mask(positions)
    lists, seconds = best(lambda: block_lists(mask))
    peak = peak_mib()
    back, transposing = best(lambda: transposed_lists(lists))
    _, checking = best(lambda: (check_blocks(mask, lists), check_transposed(lists, back)))
    kept = int(lists.partial_count.sum() + lists.full_count.sum())
    return {
        "intervals": len(mask.key_start),
        "blocks": (f"{kept:,}", f"{lists.partial_index.size:,}"),
        "rows": [
            ("lists, numpy", seconds, peak),
            ("lists, transposed and checked", seconds + transposing + checking, peak_mib()),
        ],
    }


def block_mask(positions: int) -> tuple[float, float]:
    """Build the BlockMask of ``masksynth.torch``: lists, transposed lists, checks and mask_mod."""
    from masksynth.torch.mask_tensors import block_mask_of_rows

    mask = tree_mask(positions)
    return *best(lambda: block_mask_of_rows(mask))[1:], peak_mib()


def from_kv_blocks(positions: int) -> tuple[float, float]:
    """Call torch's ``BlockMask.from_kv_blocks`` on finished forward lists."""
    import torch
    from torch.nn.attention.flex_attention import BlockMask

    from masksynth.export.blocks import block_lists

    lists = [torch.from_numpy(part)[None, None] for part in block_lists(tree_mask(positions))]
    return *best(lambda: BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=128, seq_lengths=(positions, positions)))[
        1:
    ], peak_mib()


def created(positions: int, compiled: bool) -> tuple[float, float, float]:
    """Call torch's ``create_block_mask``; return seconds of the first call, the best of three more, and peak MiB."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask

    from masksynth.torch.mask_tensors import block_mask_of_rows

    mod = block_mask_of_rows(tree_mask(positions)).mask_mod
    gc.collect()
    create = torch.compile(create_block_mask) if compiled else create_block_mask

    def once() -> float:
        return timed(lambda: create(mod, 1, 1, positions, positions, device="cpu"))[1]

    first = once()
    return first, min(once(), once(), once()), peak_mib()


def rows_of(positions: int) -> list[list[Any]]:
    """Measure the rows of one size."""
    ours = alone(numpy_lists, positions)
    lines = [*ours["rows"], ("BlockMask, masksynth.torch", *alone(block_mask, positions))]
    lines.append(("BlockMask.from_kv_blocks, lists given", *alone(from_kv_blocks, positions)))
    first, seconds, peak = alone(created, positions, True)
    lines.append((f"torch.compile(create_block_mask), after {first:.0f} s of compiling", seconds, peak))
    if positions <= EAGER:
        _, seconds, peak = alone(created, positions, False)
        lines.append(("create_block_mask, eager", seconds, peak))
    base = lines[0][1]
    return [
        [
            f"{positions:,}",
            f"{ours['intervals']:,}",
            *ours["blocks"],
            method,
            f"{seconds:.3f}",
            f"{seconds / base:,.1f}",
            f"{peak:,.0f}",
        ]
        for method, seconds, peak in lines
    ]


def causal(positions: int) -> Mask:
    """Return the mask in which each position sees itself and all before it."""
    end = np.arange(1, positions + 1, dtype=np.int32)
    return Mask(np.arange(positions + 1)[None], np.zeros(positions, np.int32), end)


def window(positions: int, width: int = 1024) -> Mask:
    """Return the mask in which each position sees itself and the ``width - 1`` positions before it."""
    end = np.arange(1, positions + 1, dtype=np.int32)
    return Mask(np.arange(positions + 1)[None], np.maximum(end - width, 0).astype(np.int32), end)


def two_streams(positions: int, block: int = 64) -> Mask:
    """Return block diffusion: clean blocks see clean ones up to themselves, noised ones those before and themselves."""
    half = positions // 2
    query = np.arange(half)
    begin, end = query // block * block, np.minimum(query // block * block + block, half)
    rows = np.concatenate([query, query + half, query + half])
    starts = np.concatenate([np.zeros(2 * half, np.int64), begin + half])
    return build_mask(coalesce((rows, starts, np.concatenate([end, begin, end + half]))), 2 * half)


def random_intervals(positions: int, count: int = 4, longest: int = 256) -> Mask:
    """Return ``count`` intervals at random places in each row."""
    rng = np.random.default_rng(0)
    query, start = np.repeat(np.arange(positions), count), rng.integers(0, positions, positions * count)
    end = np.minimum(start + rng.integers(1, longest, len(start)), positions)
    return build_mask(coalesce((query, start, end)), positions)


def long_rows(positions: int, rows: int = 16) -> Mask:
    """Return the diagonal, and ``rows`` rows that see every eighth key: as many intervals."""
    query, key = np.repeat(np.arange(rows) * (positions // rows), positions // 8), np.arange(positions // 8) * 8
    own, keys = np.arange(positions), np.tile(key, rows)
    intervals = (np.append(query, own), np.append(keys, own), np.append(keys, own) + 1)
    return build_mask(coalesce(intervals), positions)


MASKS: dict[str, Callable[[int], Mask]] = {
    "causal": causal,
    "sliding window": window,
    "prefix tree": tree_mask,
    "two streams": two_streams,
    "random intervals": random_intervals,
    "long rows": long_rows,
}
"""Name -> function of the number of positions."""


def count_densely(mask: Mask, side: int = 128) -> tuple[int, int]:
    """Return (non-empty, full) blocks from the difference array over all blocks: O(R^2) time and memory."""
    query, start, end = row_intervals(mask)
    width = -(-mask.size // side) + 2
    steps = np.zeros(width * width)
    for bound, sign in ((end, 1), (start, -1)):
        block, offset = np.divmod(bound, side)
        block += query // side * width
        steps += np.bincount(block, sign * (offset - side), len(steps))
        steps += np.bincount(block + 1, -sign * offset, len(steps))
    pairs = steps.astype(np.int64).reshape(width, width).cumsum(axis=1)
    return int((pairs > 0).sum()), int((pairs == side * side).sum())


def count_by_runs(mask: Mask) -> tuple[int, int]:
    """Return (non-empty, full) blocks as masksynth counts them."""
    from masksynth.export.blocks import block_counts

    counts = block_counts(mask)
    return counts.full + counts.partial, counts.full


def count_blocks(name: str, positions: int, method: Callable[[Mask], tuple[int, int]]) -> dict[str, Any]:
    """Count the blocks of a mask; return the counts, the seconds, the MiB added to the peak, and the limit in seconds.

    The limit is the time of `numpy.copyto` for the bytes of the intervals, once.
    """
    mask = MASKS[name](positions)
    held = peak_mib()
    counts, seconds = best(lambda: method(mask))
    added = peak_mib() - held
    source = np.concatenate(
        [mask.row_offset.ravel().view(np.uint8), *(a.view(np.uint8) for a in (mask.key_start, mask.key_end))]
    )
    target = np.empty_like(source)
    _, limit = best(lambda: np.copyto(target, source))
    return {"intervals": len(mask.key_start), "counts": counts, "seconds": seconds, "added": added, "limit": limit}


def rows_of_counts(positions: int) -> Iterator[list[str]]:
    """Measure the counting of blocks of each mask, by runs and densely."""
    for name in MASKS:
        ours, dense = (alone(count_blocks, name, positions, method) for method in (count_by_runs, count_densely))
        if ours["counts"] != dense["counts"]:
            raise AssertionError(f"{name}: {ours['counts']} by runs, {dense['counts']} densely")
        yield [
            name,
            f"{positions:,}",
            f"{ours['intervals']:,}",
            f"{ours['counts'][0]:,}",
            f"{ours['seconds']:.3f}",
            f"{dense['seconds'] / ours['seconds']:.1f}",
            f"{ours['seconds'] / ours['limit']:.0f}",
            f"{ours['added']:.0f}",
            f"{dense['added']:.0f}",
        ]


def measure_blocks(max_size: int) -> Result:
    """Measure block lists and block counts (128 x 128) up to ``max_size`` positions, one process per figure."""
    lists = [row for size in SIZES if size <= max_size for row in rows_of(size)]
    counts = [row for size in LONG if size <= max_size for row in rows_of_counts(size)]
    return Result((table(HEAD, lists), table(COUNTED, counts)), (NOTE,))
