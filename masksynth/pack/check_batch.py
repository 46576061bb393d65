"""Check the arrays of a batch that was read from a file: lengths, ranges and order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import repeat_ranges, row_of_entry
from masksynth.mask.typing import Int32Array, Int64Array

if TYPE_CHECKING:
    from masksynth.pack.batch import PackedBatch


def check_batch(batch: PackedBatch) -> None:
    """Refuse arrays that are not those of a batch.

    Raises
    ------
    InvalidInstance
        Naming the first array of another length, out of range, or not in order.
    """
    _check_lengths(batch)
    _check_bounds(batch)


def expand_runs(start: Int32Array, length: Int32Array, positions: int) -> Int64Array:
    """Return the positions of some runs, one run after another.

    Parameters
    ----------
    start, length : (R,) int32
    positions : int
        Number of positions of the batch.

    Raises
    ------
    InvalidInstance
        If a run is empty or not within the positions, so that a small file cannot take much memory.

    Examples
    --------
    >>> expand_runs(np.array([0, 4], np.int32), np.array([2, 1], np.int32), 5).tolist()
    [0, 1, 4]
    """
    if len(start) != len(length):
        fact = f"run_length: expected {len(start)} entries, got {len(length)}"
        raise InvalidInstance(fact, "", "pack the samples again")
    wrong = (start < 0) | (length < 1) | (start.astype(np.int64) + length > positions)
    if wrong.any():
        run = int(wrong.argmax())
        fact = f"run_start, run_length: expected runs within {positions} positions, got {length[run]} from {start[run]}"
        raise InvalidInstance(fact, "", "pack the samples again")
    return repeat_ranges(start, length)


def _check_lengths(batch: PackedBatch) -> None:
    """Refuse arrays whose lengths do not fit together."""
    n, e, s = batch.positions, len(batch.loss_label), len(batch.samples)
    for name, length in (
        ("position_ids", n),
        *((name, e) for name in ("loss_position", "loss_sample", "loss_weight", "loss_index")),
        *((name, s + 1) for name in ("sample_offset", "dead_offset")),
        ("sample_weight", s),
        ("dead_index", len(batch.dead_token)),
    ):
        if len(getattr(batch, name)) != length:
            raise InvalidInstance(
                f"{name}: expected {length} entries, got {len(getattr(batch, name))}", "", "pack the samples again"
            )
    if batch.mask.size != n:
        raise InvalidInstance(f"row_offset: expected {n} rows, got {batch.mask.size}", "", "pack the samples again")
    for name, values in (*batch.fields.items(), *batch.keys.items()):
        length = e if name in batch.fields else n
        if len(values) != length:
            raise InvalidInstance(f"{name}: expected {length} entries, got {len(values)}", "", "pack the samples again")


def _check_bounds(batch: PackedBatch) -> None:
    """Refuse indices out of range, negative ids and infinite weights."""
    for name, values, top in (
        ("loss_position", batch.loss_position, batch.positions),
        ("loss_sample", batch.loss_sample, len(batch.samples)),
        ("sample_position", batch.sample_position, batch.positions),
    ):
        if len(values) and (values.min() < 0 or values.max() >= top):
            raise InvalidInstance(
                f"{name}: expected 0 to {top - 1}, got {values.min()} to {values.max()}", "", "pack the samples again"
            )
    for name, numbers in (
        ("input_ids", batch.input_ids),
        ("position_ids", batch.position_ids),
        ("dead_token", batch.dead_token),
    ):
        if len(numbers) and numbers.min() < 0:
            raise InvalidInstance(f"{name}: expected integers >= 0, got {numbers.min()}", "", "pack the samples again")
    for name, reals in (("loss_weight", batch.loss_weight), ("sample_weight", batch.sample_weight)):
        if not np.isfinite(reals).all():
            raise InvalidInstance(f"{name} contains a number that is not finite", "", "pack the samples again")
    if (np.diff(batch.loss_sample) < 0).any():
        raise InvalidInstance("loss_sample decreases", "", "pack the samples again")
    _check_indices(batch)


def _check_indices(batch: PackedBatch) -> None:
    """Refuse offsets that decrease, and tokens outside their samples."""
    for name, offset, size in (
        ("sample_offset", batch.sample_offset, len(batch.sample_position)),
        ("dead_offset", batch.dead_offset, len(batch.dead_token)),
    ):
        if offset[0] != 0 or offset[-1] != size or (np.diff(offset) < 0).any():
            raise InvalidInstance(f"{name} does not increase from 0 to {size}", "", "pack the samples again")
    length = np.diff(batch.sample_offset) + np.diff(batch.dead_offset)  # tokens of each sample
    home = row_of_entry(batch.dead_offset)  # sample of each dead token
    for name, index, owner in (
        ("loss_index", batch.loss_index, batch.loss_sample),
        ("dead_index", batch.dead_index, home),
    ):
        if len(index) and (index.min() < 0 or (index >= length[owner]).any()):
            raise InvalidInstance(f"{name} is outside its sample", "", "pack the samples again")
    if ((np.diff(batch.dead_index) <= 0) & (np.diff(home) == 0)).any():
        raise InvalidInstance("dead_index does not increase within its sample", "", "pack the samples again")
