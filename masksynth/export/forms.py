"""The cheapest exact form of a table for a mask_mod: int32 arrays that are read with one index each.

======================  ==============================================================  ========================================
form                    key k is allowed for query q iff                                when
======================  ==============================================================  ========================================
row intervals           ``lo_i[q] <= k < hi_i[q]`` for one i                            at most 8 intervals in every row
column intervals        ``lo_i[k] <= q < hi_i[k]`` for one i                            at most 2 intervals in every column
ranks in chains         ``rank_i[k] < limit_i[q]`` for one i, or ``own[k] == q``        at most 8 chains found
bit-packed lookup       bit ``k % 32`` of ``bits[line[q] + k // 32]`` is set            N <= 8,192
... by blocks           the same within block ``number[line[q // 128] + k // 128]``     at most ``MAX_BITS`` bytes
======================  ==============================================================  ========================================

``flex_mask.py`` finds the same forms by itself, from the row intervals, with torch alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import Unsupported, WrongAnswer
from masksynth.export import bit_form
from masksynth.export.bit_form import bits_of, bits_to_rows
from masksynth.export.chain_ranks import NEVER, Chains, chains_of
from masksynth.export.columns import rows_of_columns
from masksynth.export.row_intervals import (
    Ints,
    Spans,
    column_counts,
    columns_of,
    compare_rows,
    expand,
    joined_parts,
    row_counts,
    rows_of,
)
from masksynth.mask import Mask

MAX_INTERVALS, MAX_COLUMNS = 8, 2
"""Most intervals of a row, and of a column, in the first two forms."""

Arrays32 = dict[str, NDArray[np.int32]]


class Form(NamedTuple):
    """A form of one table: its name, why the cheaper ones do not serve (empty for the first), and its arrays."""

    name: str
    why: str
    arrays: Arrays32

    @property
    def bytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def form_of(mask: Mask, table: int = 0) -> Form:
    """The first form of the table above that is exact, checked against the mask.

    Raises
    ------
    Unsupported
        If none serves: more than ``MAX_BITS`` bytes of bits would be needed.
    WrongAnswer
        If the form found is not the mask; it is then a fault of this function.

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
    form = choose_form(mask, table)
    check_form(mask, form, table)
    return form


def check_form(mask: Mask, form: Form, table: int = 0) -> None:
    """Turn a form back into row intervals and compare.

    Raises
    ------
    WrongAnswer
        Naming the first row that differs.
    """
    compare_rows(mask, table, form_to_rows(form, mask, table), form.name)


def form_to_rows(form: Form, mask: Mask, table: int = 0) -> Spans:
    """The row intervals of a form over ``mask.size`` positions; ``mask`` only bounds how much may be written out."""
    arrays, size = form.arrays, mask.size
    index = np.arange(size)
    for name, array in arrays.items():
        if name.startswith(("lo_", "hi_")) and len(array) and (array.min() < 0 or array.max() > size):
            raise WrongAnswer(form.name, f"a bound of {name} leaves 0..{size}")
    pairs = [
        (arrays[f"lo_{i}"].astype(np.int64), arrays[f"hi_{i}"].astype(np.int64))
        for i in range(len(arrays) // 2)
        if "lo_0" in arrays
    ]
    if form.name == "row intervals":
        spans = [(index[lo < hi], lo[lo < hi], hi[lo < hi]) for lo, hi in pairs]
        return joined_parts(spans)
    if form.name == "column intervals":
        return rows_of_columns(pairs, mask, table, form.name)
    if form.name == "ranks in chains":
        count = (len(arrays) - 1) // 2
        rank, limit = (np.array([arrays[f"{name}_{i}"] for i in range(count)]) for name in ("rank", "limit"))
        return chains_to_rows(Chains(rank, limit, arrays["own"]), size, form.name)
    return bits_to_rows(arrays, size)


def chains_to_rows(chains: Chains, size: int, what: str) -> Spans:
    """The row intervals of ranks in chains: prefixes of each chain's runs of consecutive keys, and the row's own key."""
    parts: list[Spans] = []
    for rank, limit in zip(chains.rank.astype(np.int64), chains.limit.astype(np.int64), strict=True):
        keys = np.flatnonzero(rank != NEVER)
        keys = keys[np.argsort(rank[keys], kind="stable")]
        if not np.array_equal(rank[keys], np.arange(len(keys))):
            raise WrongAnswer(what, f"the ranks of a chain are not 0..{len(keys) - 1}")
        if ((limit < 0) | (limit > len(keys))).any():
            raise WrongAnswer(
                what, f"row {int(((limit < 0) | (limit > len(keys))).argmax())} sees a prefix that its chain has not"
            )
        first = np.flatnonzero(np.diff(keys, prepend=-2) != 1)
        length = np.diff(first, append=len(keys))
        row, run = expand((np.arange(size), np.zeros(size, np.int64), np.searchsorted(first, limit)))
        parts.append((row, keys[first[run]], keys[first[run]] + np.minimum(length[run], limit[row] - first[run])))
    own = chains.own.astype(np.int64)
    seen = np.flatnonzero(own >= 0)
    parts.append((own[seen], seen, seen + 1))
    return _united(joined_parts(parts), size)


def _united(spans: Spans, size: int) -> Spans:
    """The union of intervals that may overlap, row by row."""
    query, start, end = spans
    order = np.lexsort((start, query))
    left, right = (query * (size + 1) + start)[order], (query * (size + 1) + end)[order]
    reach = np.maximum.accumulate(right) if len(right) else right
    opens = np.concatenate([[True], left[1:] > reach[:-1]])[: len(left)]
    closes = np.concatenate([opens[1:], [True]])[: len(left)]
    return query[order][opens], start[order][opens], reach[closes] % (size + 1)


def choose_form(mask: Mask, table: int = 0) -> Form:
    """Return the first exact form of a table, as ``form_of`` does, without checking it against the mask."""
    counts = row_counts(mask, table)
    most = int(counts.max(initial=0))
    if most <= MAX_INTERVALS:
        return Form(
            "row intervals",
            "",
            _pairs_of(mask.row_offset[table] - mask.row_offset[table, 0], *rows_of(mask, table)[1:], most),
        )
    why = f"row {int(counts.argmax())} has {most} intervals (more than {MAX_INTERVALS})"
    counts = column_counts(mask, table)
    most = int(counts.max(initial=0))
    if most <= MAX_COLUMNS:
        return Form("column intervals", why, _pairs_of(*columns_of(mask, table), most))
    why += f", key {int(counts.argmax())} is seen by {most} intervals of rows (more than {MAX_COLUMNS})"
    found = chains_of(mask, table)
    if isinstance(found, Chains):
        return Form("ranks in chains", why, _chain_arrays(found))
    why += f", and {found}"
    arrays = bits_of(mask, table)
    if arrays is None:
        limit = f"its bits need more than {bit_form.MAX_BITS:,} bytes"
        raise Unsupported(f"cannot express: {why}, and {limit}; order the positions so that fewer blocks are mixed")
    return Form("bit-packed lookup" + (" by blocks" if "number" in arrays else ""), why, arrays)


def _pairs_of(offset: Ints, start: Ints, end: Ints, most: int) -> Arrays32:
    """The i-th interval of every line as arrays ``lo_i`` and ``hi_i``, (0, 0) where a line has fewer; at least one pair."""
    count, arrays = np.diff(offset), {}
    for number in range(max(most, 1)):
        line = np.flatnonzero(count > number)
        for name, bound in (("lo", start), ("hi", end)):
            array = np.zeros(len(count), np.int32)
            array[line] = bound[offset[line] + number]
            arrays[f"{name}_{number}"] = array
    return arrays


def _chain_arrays(chains: Chains) -> Arrays32:
    ranks = {f"rank_{i}": line for i, line in enumerate(chains.rank)}
    limits = {f"limit_{i}": line for i, line in enumerate(chains.limit)}
    return {name: np.ascontiguousarray(line) for name, line in {**ranks, **limits}.items()} | {"own": chains.own}
