"""Sequence lengths of plain packing, as variable-length kernels (flash-attention varlen, xFormers) read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows, format_intervals
from masksynth.mask.equal_values import distinct
from masksynth.mask.intervals import RowIntervals, count_intervals, row_intervals
from masksynth.mask.typing import Int32Array


class Lengths(NamedTuple):
    """Documents packed one after another, no document attending to another.

    Parameters
    ----------
    cu_seqlens : (documents + 1,) int32
        Document i holds the positions ``cu_seqlens[i] .. cu_seqlens[i + 1] - 1``.
    max_seqlen : int
        Positions of the longest document.
    causal : bool
        Whether a position attends to those up to its own of its document, or to all of them.
    """

    cu_seqlens: Int32Array
    max_seqlen: int
    causal: bool


def to_lengths(mask: Mask, table: int = 0) -> Lengths:
    """Return the lengths of a mask that is plain packing, all documents causal or all full; checked.

    Raises
    ------
    Unsupported
        Naming the first row that no packing has.

    Examples
    --------
    >>> to_lengths(Mask.from_intervals([[((0, 1),), ((0, 2),), ((2, 3),)]]))
    Lengths(cu_seqlens=array([0, 2, 3], dtype=int32), max_seqlen=2, causal=True)
    """
    counts = count_intervals(mask, table)
    if (wrong := counts != 1).any():
        row = int(wrong.argmax())
        raise Unsupported(f"cannot express: row {row} needs {counts[row]} intervals, packing has 1")
    query, start, end = row_intervals(mask, table)
    causal = bool((end == query + 1).all())
    previous = np.append(-1, start[:-1])[: len(start)]  # start of the row before
    if causal:
        wrong = (start != previous) & (start != query)
    else:
        previous_end = np.append(0, end[:-1])[: len(end)]
        continues = query < previous_end  # within the document of the row before
        wrong = np.where(continues, (start != previous) | (end != previous_end), (start != query) | (end <= query))
    if wrong.any():
        row = int(wrong.argmax())
        keys = format_intervals(list(mask.intervals(row, table)))
        raise Unsupported(f"cannot express: row {row} attends to {keys}, which no packed document does")
    cuts = np.append(np.flatnonzero(start == query) if causal else distinct(start), mask.size)
    lengths = Lengths(cuts.astype(np.int32), int(np.diff(cuts).max(initial=0)), causal)
    check_lengths(mask, lengths, table)
    return lengths


def check_lengths(mask: Mask, lengths: Lengths, table: int = 0) -> None:
    """Check that lengths mean a table of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or a wrong length.
    """
    check_rows(mask, table, lengths_to_rows(lengths, mask.size), "varlen")
    longest = int(np.diff(lengths.cu_seqlens).max(initial=0))
    if lengths.max_seqlen != longest:
        raise WrongAnswer("varlen", f"max_seqlen is {lengths.max_seqlen}, the longest document has {longest}")


def lengths_to_rows(lengths: Lengths, size: int) -> RowIntervals:
    """Return the row intervals of packed documents over ``size`` positions.

    Raises
    ------
    WrongAnswer
        If ``cu_seqlens`` does not increase strictly from 0 to ``size``.
    """
    cuts = lengths.cu_seqlens.astype(np.int64)
    if len(cuts) == 0 or cuts[0] != 0 or cuts[-1] != size or (np.diff(cuts) <= 0).any():
        raise WrongAnswer("varlen", f"cu_seqlens does not increase strictly from 0 to {size}")
    row = np.arange(size)
    start, end = np.repeat(cuts[:-1], np.diff(cuts)), np.repeat(cuts[1:], np.diff(cuts))
    return row, start, row + 1 if lengths.causal else end
