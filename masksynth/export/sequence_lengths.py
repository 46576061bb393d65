"""Sequence lengths: what variable-length kernels (flash-attention varlen, xFormers BlockDiagonalMask) read, for plain packing alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export.row_intervals import Spans, compare_rows, few, row_counts, rows_of
from masksynth.mask import Mask


class Lengths(NamedTuple):
    """Document i holds the positions ``cu_seqlens[i] .. cu_seqlens[i + 1] - 1``; ``causal`` within each, or all pairs of each."""

    cu_seqlens: NDArray[np.int32]
    max_seqlen: int
    causal: bool


def to_lengths(mask: Mask, table: int = 0) -> Lengths:
    """The lengths of a mask that is plain packing: documents one after the other that do not see each other, all causal or all full.

    Raises
    ------
    Unsupported
        Naming the first row that no packing has.

    Examples
    --------
    >>> to_lengths(Mask.from_intervals([[((0, 1),), ((0, 2),), ((2, 3),)]]))
    Lengths(cu_seqlens=array([0, 2, 3], dtype=int32), max_seqlen=2, causal=True)
    """
    counts = row_counts(mask, table)
    if (odd := counts != 1).any():
        row = int(odd.argmax())
        raise Unsupported(f"cannot express: row {row} needs {counts[row]} intervals, packing has 1")
    query, start, end = rows_of(mask, table)
    causal = bool((end == query + 1).all())
    previous = np.concatenate([[-1], start[:-1]])[: len(start)]
    if causal:
        odd = (start != previous) & (start != query)
    else:
        closing = np.concatenate([[0], end[:-1]])[: len(end)]
        inside = query < closing
        odd = np.where(inside, (start != previous) | (end != closing), (start != query) | (end <= query))
    if odd.any():
        row = int(odd.argmax())
        raise Unsupported(
            f"cannot express: row {row} attends to {few(list(mask.intervals(row, table)))}, which no packed document does"
        )
    cuts = np.concatenate([np.flatnonzero(start == query) if causal else np.unique(start), [mask.size]])
    found = Lengths(cuts.astype(np.int32), int(np.diff(cuts).max(initial=0)), causal)
    check_lengths(mask, found, table)
    return found


def check_lengths(mask: Mask, found: Lengths, table: int = 0) -> None:
    """Check that the lengths mean the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs, or a length that is wrong.
    """
    compare_rows(mask, table, lengths_to_rows(found, mask.size), "varlen")
    longest = int(np.diff(found.cu_seqlens).max(initial=0))
    if found.max_seqlen != longest:
        raise WrongAnswer("varlen", f"max_seqlen is {found.max_seqlen}, the longest document has {longest}")


def lengths_to_rows(found: Lengths, size: int) -> Spans:
    """The row intervals of packed documents."""
    cuts = found.cu_seqlens.astype(np.int64)
    if len(cuts) == 0 or cuts[0] != 0 or cuts[-1] != size or (np.diff(cuts) <= 0).any():
        raise WrongAnswer("varlen", f"cu_seqlens does not rise from 0 to {size}")
    row = np.arange(size)
    start, end = np.repeat(cuts[:-1], np.diff(cuts)), np.repeat(cuts[1:], np.diff(cuts))
    return row, start, row + 1 if found.causal else end
