"""Check the stored forms of a mask, which FlexAttention reads instead of the mask.

Row and column intervals are rectangles of allowed pairs, and a sum of rectangles is determined by its corners: each
rectangle adds +1, -1, -1, +1 at its four corners (the mixed difference of its indicator), so two lists of rectangles
cover every pair equally often iff their corner weights agree. Prefixes of chains are compared by counts and sums of
ranks, bits by the bits of the mask.
"""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, BoolArray, Int32Array, Int64Array, UInt8Array
from masksynth.verify.ragged import Rows, mask_rows, sum_over_rows

PREFIX = "flex_"
SIDE, WORD, MAX_FLAT = 128, 32, 8192
NEVER = 2**31 - 1
"""Rank of a key outside a chain."""
FORMS = (
    {"row_intervals"},
    {"column_intervals"},
    {"chain_ranks", "chain_own"},
    {"bits"},
    {"block_number", "block_bits"},
)
"""The arrays of each form; every form has a ``reason`` too."""

Arrays = dict[str, AnyArray]
Shapes = dict[str, tuple[str, tuple[int | None, ...]]]


def form_shapes(size: int, tables: int) -> Shapes:
    """Return name -> (dtype, shape) of the arrays of stored forms, for P tables of N positions; None is any length."""
    blocks = -(-size // SIDE)
    shapes: Shapes = {
        "row_intervals": ("<i4", (None, 2, size)),
        "column_intervals": ("<i4", (None, 2, size)),
        "chain_ranks": ("<i4", (None, 2, size)),
        "chain_own": ("<i4", (size,)),
        "bits": ("<i4", (size, -(-size // WORD))),
        "block_number": ("<i4", (blocks, blocks)),
        "block_bits": ("<i4", (None, SIDE, SIDE // WORD)),
        "reason": ("|u1", (None,)),
    }
    return {f"{PREFIX}{table}_{name}": shape for table in range(tables) for name, shape in shapes.items()}


def check_forms(arrays: Arrays, mask: Mask) -> None:
    """Check that each stored form allows exactly the pairs of its table; a table without a form is accepted.

    Parameters
    ----------
    arrays : dict
        Arrays with the names and shapes of ``form_shapes``; others are ignored.
    mask : Mask

    Raises
    ------
    InvalidInstance
        If the arrays of a table are not those of exactly one form.
    WrongAnswer
        If a form allows another set of pairs than its table, or the reason is not ASCII.
    """
    for table in range(mask.tables):
        prefix = f"{PREFIX}{table}_"
        form = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        if not form:
            continue
        names = form.keys() - {"reason"}
        if "reason" not in form or names not in FORMS:
            raise InvalidInstance(f"the arrays {prefix}* are not those of one form: {', '.join(sorted(form))}")
        if form["reason"].max(initial=32) > 126 or form["reason"].min(initial=32) < 32:
            raise WrongAnswer("files", f"{prefix}reason is not printable ASCII")
        if fact := _differs(form, mask, table):
            raise WrongAnswer("files", f"{prefix}{min(names)}: {fact}")


def _differs(form: Arrays, mask: Mask, table: int) -> str:
    """Return in words how a form differs from its table; empty if it does not."""
    rows = mask_rows(mask, table)
    if "row_intervals" in form:
        return _compare_intervals(form["row_intervals"], rows, mask.size, False)
    if "column_intervals" in form:
        return _compare_intervals(form["column_intervals"], rows, mask.size, True)
    if "chain_ranks" in form:
        return _compare_chains(form["chain_ranks"].astype(np.int64), form["chain_own"], rows, mask.size)
    if "bits" in form:
        return _compare_bits(form["bits"], mask, table)
    return _compare_blocks(form["block_number"], form["block_bits"], rows, mask.size)


def _compare_intervals(stored: Int32Array, rows: Rows, size: int, by_key: bool) -> str:
    """Compare intervals [c, 2, N] of keys by query, or of queries by key, with the rows of the mask."""
    if not len(stored):
        return "expected at least one pair of bounds, got none"
    if stored.min(initial=0) < 0 or stored.max(initial=0) > size:
        return f"expected bounds from 0 to {size}, got {stored.min()} to {stored.max()}"
    number, line = np.nonzero(stored[:, 0] < stored[:, 1])
    low, high = stored[number, 0, line].astype(np.int64), stored[number, 1, line].astype(np.int64)
    cells = (low, high, line, line + 1) if by_key else (line, line + 1, low, high)
    query, start, end = rows
    code, weight = _corners(size, cells, (query, query + 1, start, end))
    if not weight.any():
        return ""
    row, key = divmod(int(code[weight != 0].min()), size + 1)
    return f"query {row} and key {key} are allowed by only one of the form and the mask"


def _corners(size: int, plus: tuple[Int64Array, ...], minus: tuple[Int64Array, ...]) -> tuple[Int64Array, Int64Array]:
    """Return (code, weight) of the corners of rectangles ``plus`` minus those of ``minus``.

    A rectangle (first row, end of rows, first key, end of keys) has its corners at row * (size + 1) + key. The first
    corner in row-major order with a nonzero weight is the first pair that the two sums cover differently.
    """
    codes, signs = [], []
    for (top, bottom, left, right), sign in ((plus, 1), (minus, -1)):
        for row, key, corner in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            codes.append(row * (size + 1) + key)
            signs.append(np.full(len(row), sign * corner, np.int64))
    code, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    weight = np.zeros(len(code), np.int64)
    np.add.at(weight, inverse, np.concatenate(signs))
    return code, weight


def _compare_chains(ranks: Int64Array, own: Int32Array, rows: Rows, size: int) -> str:
    """Compare ranks in chains, [c, 2, N] (rank by key, limit by query), with the rows of the mask.

    Row q must see the first ``limit`` keys of every chain, its own key where ``own[q] == q``, and nothing else. The
    keys of row q in a chain, without its own where that is beyond the prefix, are the first m of the chain iff there
    are m of them and their ranks, which are distinct, sum to 0 + 1 + ... + (m - 1).
    """
    query, start, end = rows
    diagonal = np.bincount(query[(start <= query) & (query < end)], minlength=size)
    alone = own == np.arange(size)
    if not (alone | (own == -1)).all():
        return f"expected chain_own[{int((~(alone | (own == -1))).argmax())}] to be -1 or its own index"
    if (alone & (diagonal == 0)).any():
        row = int((alone & (diagonal == 0)).argmax())
        return f"query {row} sees its own key by chain_own, and not in the mask"
    members = ranks[:, 0] != NEVER
    if (members.sum(axis=0) > 1).any():
        return f"key {int((members.sum(axis=0) > 1).argmax())} is in several chains"
    rest = sum_over_rows(rows, np.ones(size, np.int64))  # keys of each row that no chain explains
    covered = np.zeros(size, bool)  # rows whose own key is in one of its prefixes
    for chain, ((rank, limit), member) in enumerate(zip(ranks, members, strict=True)):
        count = int(member.sum())
        if not np.array_equal(np.sort(rank[member]), np.arange(count)):
            return f"the ranks of chain {chain} are not 0 to {count - 1}"
        if limit.min(initial=0) < 0 or limit.max(initial=0) > count:
            return f"expected limits from 0 to {count} in chain {chain}, got {limit.min()} to {limit.max()}"
        beyond = alone & member & (rank >= limit)
        covered |= member & (rank < limit)
        number = sum_over_rows(rows, member.astype(np.int64)) - beyond
        total = sum_over_rows(rows, np.where(member, rank, 0)) - np.where(beyond, rank, 0)
        wrong = (number != limit) | (total != limit * (limit - 1) // 2)
        if wrong.any():
            return f"query {int(wrong.argmax())} does not see the first {limit[wrong.argmax()]} keys of chain {chain}"
        rest -= limit
    wrong = rest != (alone & ~covered)
    return f"query {int(wrong.argmax())} sees keys outside the chains" if wrong.any() else ""


def _compare_bits(bits: Int32Array, mask: Mask, table: int) -> str:
    """Compare bits [N, ceil(N / 32)], the lowest first, with the dense mask."""
    if mask.size > MAX_FLAT:
        return f"expected bits by blocks above {MAX_FLAT} positions"
    dense = mask.dense().reshape(mask.tables, mask.size, mask.size)[table]
    octets = np.ascontiguousarray(bits, "<i4").view(np.uint8).reshape(mask.size, -1)
    expected = np.packbits(dense, axis=1, bitorder="little")
    wrong = octets != np.pad(expected, ((0, 0), (0, octets.shape[1] - expected.shape[1])))
    return f"row {int(wrong.any(axis=1).argmax())} is not that of the mask" if wrong.any() else ""


def _compare_blocks(number: Int32Array, bits: Int32Array, rows: Rows, size: int) -> str:
    """Compare numbers [R, R] and bits [B, 128, 4] of blocks with the rows of the mask, one row of blocks at a time."""
    if len(bits) < 2 or bits[0].any() or (bits[1] != -1).any():
        return "block 0 is not empty or block 1 is not full"
    if number.min(initial=0) < 0 or number.max(initial=0) >= len(bits):
        return f"expected numbers of blocks from 0 to {len(bits) - 1}, got {number.min()} to {number.max()}"
    query, start, end = rows
    cuts = np.searchsorted(query, np.arange(len(number) + 1) * SIDE)
    for row, listed in enumerate(number):
        part = slice(int(cuts[row]), int(cuts[row + 1]))
        pairs = _count_pairs(start[part], end[part], len(listed))
        wrong = ((listed == 0) & (pairs != 0)) | ((listed == 1) & (pairs != SIDE * SIDE))
        if wrong.any():
            return f"block ({row}, {int(wrong.argmax())}) is not as empty or full as in the mask"
        expected = _pack_mixed((query[part] - row * SIDE, start[part], end[part]), listed > 1)
        mixed = np.flatnonzero(listed > 1)
        got = np.ascontiguousarray(bits[listed[mixed]], "<i4").view(np.uint8).reshape(len(mixed), SIDE, SIDE // 8)
        differs = (got.swapaxes(0, 1) != expected).any(axis=2)
        if differs.any():
            line, block = (int(x) for x in np.argwhere(differs)[0])
            where = f"block ({row}, {mixed[block]})"
            return f"query {row * SIDE + line} does not see the keys of the mask in {where}"
    return ""


def _count_pairs(start: Int64Array, end: Int64Array, blocks: int) -> Int64Array:
    """Return the number of keys of intervals in each block of 128 keys.

    The number of keys below x in block j is 128 for j < x // 128, x % 128 at j = x // 128, and 0 beyond; its
    differences along j are nonzero in two blocks.
    """
    steps = np.zeros(blocks + 2, np.int64)
    for bound, sign in ((end, 1), (start, -1)):
        block, offset = np.divmod(bound, SIDE)
        np.add.at(steps, block, sign * (offset - SIDE))
        np.add.at(steps, block + 1, -sign * offset)
    return steps.cumsum()[:blocks]


def _pack_mixed(rows: Rows, is_mixed: BoolArray) -> UInt8Array:
    """Return the bits (128, mixed blocks, 16) that 128 rows, numbered from 0, have in the mixed blocks.

    The mixed blocks are laid next to one another; a key in another block falls on the column at which the next one
    begins.
    """
    is_mixed = np.append(is_mixed, False)  # an interval may end at the key after the last block
    first_column = SIDE * (is_mixed.cumsum() - is_mixed)
    count = int(is_mixed.sum())
    steps = np.zeros((SIDE, SIDE * count + 1), np.int8)
    for bound, sign in ((rows[1], np.int8(1)), (rows[2], np.int8(-1))):
        block, offset = np.divmod(bound, SIDE)
        np.add.at(steps, (rows[0], first_column[block] + np.where(is_mixed[block], offset, 0)), sign)
    dense = steps[:, :-1].cumsum(axis=1, dtype=np.int8).astype(bool)
    return np.packbits(dense, axis=1, bitorder="little").reshape(SIDE, count, SIDE // 8)
