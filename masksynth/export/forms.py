"""The cheapest exact form of a table for a mask_mod: int32 arrays that are read with one index each.

======================  =========================================================  ================================
form                    key k is allowed for query q iff                           when
======================  =========================================================  ================================
row intervals           ``lo_i[q] <= k < hi_i[q]`` for one i                       at most 8 intervals in every row
column intervals        ``lo_i[k] <= q < hi_i[k]`` for one i                       at most 2 in every column
ranks in chains         ``rank_i[k] < limit_i[q]`` for one i, or ``own[k] == q``   at most 8 chains found
bit-packed lookup       bit ``k % 32`` of ``bits[line[q] + k // 32]`` is set       N <= 8,192
... by blocks           in block ``number[line[q // 128] + k // 128]`` it is set   at most ``MAX_BITS`` bytes
======================  =========================================================  ================================

An answer stores the form (``stored_forms``), and ``flex_mask.py`` makes the mask_mod of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.errors import Unsupported, WrongAnswer, check_type
from masksynth.export import bit_form
from masksynth.export.bit_form import pack_bits, unpack_bits
from masksynth.export.chain_ranks import NEVER, Chains, find_chains
from masksynth.export.columns import rows_of_columns
from masksynth.mask import Mask
from masksynth.mask.check_rows import check_rows
from masksynth.mask.column_intervals import columns, count_column_intervals
from masksynth.mask.intervals import (
    RowIntervals,
    coalesce,
    concatenate_intervals,
    count_intervals,
    expand,
    row_intervals,
)
from masksynth.mask.typing import Int32Array, Int64Array

MAX_INTERVALS = 8
"""Maximum number of intervals of a row in the first form."""
MAX_COLUMNS = 2
"""Maximum number of intervals of a column in the second form."""

Int32Arrays = dict[str, Int32Array]


class Form(NamedTuple):
    """A form of one table.

    Parameters
    ----------
    name : str
        First column of the table above, ``"bit-packed lookup by blocks"`` for the last.
    why : str
        Why the cheaper forms are not exact; empty for the first.
    arrays : dict
        One-dimensional int32 arrays by name.
    """

    name: str
    why: str
    arrays: Int32Arrays

    @property
    def bytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def form_of(mask: Mask, table: int = 0) -> Form:
    """Return the first form of the table above that is exact, checked against the mask.

    Raises
    ------
    Unsupported
        If no form is exact within its limit: more than ``MAX_BITS`` bytes of bits would be needed.
    WrongAnswer
        If the form differs from the mask; this is then a defect of this function.

    Examples
    --------
    >>> mask = Mask.from_dense(np.tril(np.ones((4, 4), bool)))
    >>> form = form_of(mask)
    >>> form.name, form.why, {name: array.tolist() for name, array in form.arrays.items()}
    ('row intervals', '', {'lo_0': [0, 0, 0, 0], 'hi_0': [1, 2, 3, 4]})
    >>> comb = Mask.from_dense(np.tile(np.arange(20) % 2 == 0, (20, 1)))
    >>> form_of(comb)[:2]
    ('column intervals', 'row 0 has 10 intervals (more than 8)')
    """
    check_type(mask, Mask)
    form = choose_form(mask, table)
    check_form(mask, form, table)
    return form


def check_form(mask: Mask, form: Form, table: int = 0) -> None:
    """Turn a form back into row intervals and compare them with a table of the mask.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    check_rows(mask, table, form_to_rows(form, mask, table), form.name)


def choose_form(mask: Mask, table: int = 0) -> Form:
    """Return the first exact form of a table, as ``form_of`` does, without checking it."""
    counts = count_intervals(mask, table)
    most = int(counts.max(initial=0))
    if most <= MAX_INTERVALS:
        _, start, end = row_intervals(mask, table)
        offset = mask.row_offset[table] - mask.row_offset[table, 0]
        return Form("row intervals", "", _split_lines(offset, start, end, most))
    why = f"row {int(counts.argmax())} has {most} intervals (more than {MAX_INTERVALS})"
    counts = count_column_intervals(mask, table)
    most = int(counts.max(initial=0))
    if most <= MAX_COLUMNS:
        return Form("column intervals", why, _split_lines(*columns(mask, table), most))
    why += f", key {int(counts.argmax())} is seen by {most} intervals of rows (more than {MAX_COLUMNS})"
    chains = find_chains(mask, table)
    if isinstance(chains, Chains):
        return Form("ranks in chains", why, _chain_arrays(chains))
    why += f", and {chains}"
    arrays = pack_bits(mask, table)
    if arrays is None:
        limit = f"its bits need more than {bit_form.MAX_BITS:,} bytes"
        raise Unsupported(f"cannot express: {why}, and {limit}; order the positions so that fewer blocks are mixed")
    return Form("bit-packed lookup" + (" by blocks" if "number" in arrays else ""), why, arrays)


def form_to_rows(form: Form, mask: Mask, table: int = 0) -> RowIntervals:
    """Return the row intervals of a form; ``mask`` gives N and bounds how much may be written out.

    Raises
    ------
    WrongAnswer
        If an entry is out of range.
    """
    arrays, size = form.arrays, mask.size
    if form.name == "ranks in chains":
        count = (len(arrays) - 1) // 2
        shape = (count, size)  # np.array([]) of no chains would have one dimension
        rank, limit = (np.array([arrays[f"{x}_{i}"] for i in range(count)]).reshape(shape) for x in ("rank", "limit"))
        return chains_to_rows(Chains(rank, limit, arrays["own"]), size, form.name)
    if form.name.startswith("bit-packed lookup"):
        return unpack_bits(arrays, size)
    for name, bounds in arrays.items():
        if len(bounds) and (bounds.min() < 0 or bounds.max() > size):
            fact = f"bound {name}: expected 0 to {size}, got {bounds.min()} to {bounds.max()}"
            raise WrongAnswer(form.name, fact)
    pairs = [(arrays[f"lo_{i}"].astype(np.int64), arrays[f"hi_{i}"].astype(np.int64)) for i in range(len(arrays) // 2)]
    if form.name == "column intervals":
        return rows_of_columns(pairs, mask, table, form.name)
    lines = np.arange(size)
    return concatenate_intervals((lines[lo < hi], lo[lo < hi], hi[lo < hi]) for lo, hi in pairs)


def chains_to_rows(chains: Chains, size: int, name: str) -> RowIntervals:
    """Return the row intervals of ranks in chains: prefixes of each chain, and the row's own key.

    Parameters
    ----------
    chains : Chains
    size : int
        Number of positions.
    name : str
        What is checked, for messages.

    Raises
    ------
    WrongAnswer
        If the ranks of a chain are not 0, 1, ..., or a limit is out of range.
    """
    parts: list[RowIntervals] = []
    for rank, limit in zip(chains.rank.astype(np.int64), chains.limit.astype(np.int64), strict=True):
        keys = np.flatnonzero(rank != NEVER)
        keys = keys[np.argsort(rank[keys], kind="stable")]
        if not np.array_equal(rank[keys], np.arange(len(keys))):
            raise WrongAnswer(name, f"the ranks of a chain are not 0..{len(keys) - 1}")
        if (wrong := (limit < 0) | (limit > len(keys))).any():
            at_fault = int(wrong.argmax())
            raise WrongAnswer(name, f"limit of row {at_fault}: expected 0 to {len(keys)}, got {limit[at_fault]}")
        # Consecutive keys of consecutive ranks are one interval; a prefix is all of the first runs and part of one
        # more.
        first = np.flatnonzero(np.diff(keys, prepend=-2) != 1)
        length = np.diff(first, append=len(keys))
        row, run = expand((np.arange(size), np.zeros(size, np.int64), np.searchsorted(first, limit)))
        parts.append((row, keys[first[run]], keys[first[run]] + np.minimum(length[run], limit[row] - first[run])))
    own = chains.own.astype(np.int64)
    key = np.flatnonzero(own >= 0)
    parts.append((own[key], key, key + 1))
    return coalesce(concatenate_intervals(parts))


def _split_lines(offset: Int64Array, start: Int64Array, end: Int64Array, most: int) -> Int32Arrays:
    """Return the i-th interval of each line as ``lo_i`` and ``hi_i``, (0, 0) where a line has fewer; at least one pair.

    Parameters
    ----------
    offset : (lines + 1,) int64
        Line t has the intervals ``offset[t] <= i < offset[t + 1]``.
    start, end : (intervals,) int64
    most : int
        Largest number of intervals of a line.
    """
    count, arrays = np.diff(offset), {}
    for number in range(max(most, 1)):
        line = np.flatnonzero(count > number)
        for name, bound in (("lo", start), ("hi", end)):
            array = np.zeros(len(count), np.int32)
            array[line] = bound[offset[line] + number]
            arrays[f"{name}_{number}"] = array
    return arrays


def _chain_arrays(chains: Chains) -> Int32Arrays:
    """Return the arrays ``rank_i``, ``limit_i`` and ``own`` of a form."""
    ranks = {f"rank_{i}": line for i, line in enumerate(chains.rank)}
    limits = {f"limit_{i}": line for i, line in enumerate(chains.limit)}
    return {name: np.ascontiguousarray(line) for name, line in {**ranks, **limits}.items()} | {"own": chains.own}
