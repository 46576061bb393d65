"""Build block lists of prefix-tree masks: from row intervals in numpy, as a BlockMask, and by torch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.measure import alone, peak_mib, timed
from benchmarks.results import Result, table
from masksynth.mask import Mask

SIZES = (16_384, 65_536, 131_072)
EAGER = 16_384
"""Most positions of the eager construction, which needs 10 bytes a pair: 2.6 GiB here, 172 GB at the last size."""
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


def measure_blocks(max_size: int) -> Result:
    """Measure block lists (128 x 128) of prefix-tree masks up to ``max_size`` positions, one process per row."""
    return Result((table(HEAD, [row for size in SIZES if size <= max_size for row in rows_of(size)]),))
