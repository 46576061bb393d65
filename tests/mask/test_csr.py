"""CSR primitives against loops in plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masksynth.mask import csr, equal_values

LENGTHS = st.lists(st.integers(0, 5), max_size=8)
RANGES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8)


@given(LENGTHS)
def test_row_pointers(lengths):
    pointers = csr.indptr(lengths)
    assert pointers.tolist() == [sum(lengths[:row]) for row in range(len(lengths) + 1)]
    assert csr.row_of_entry(pointers).tolist() == [row for row, count in enumerate(lengths) for _ in range(count)]
    assert csr.row_of_entry(pointers + 7).tolist() == csr.row_of_entry(pointers).tolist()
    assert csr.repeat_index(np.array(lengths, np.int32)).tolist() == csr.row_of_entry(pointers).tolist()
    assert csr.index_in_row(lengths).tolist() == [index for count in lengths for index in range(count)]
    assert {array.dtype for array in (pointers, csr.row_of_entry(pointers), csr.index_in_row(lengths))} == {
        np.dtype(np.int64)
    }


@given(
    st.integers(1, 3).flatmap(
        lambda rows: st.lists(st.lists(st.integers(0, 4), min_size=rows, max_size=rows), min_size=1, max_size=4)
    )
)
def test_row_pointers_of_several_tables(lengths):
    flat = csr.indptr([count for table in lengths for count in table]).tolist()
    width = len(lengths[0])
    expected = [flat[table * width : (table + 1) * width + 1] for table in range(len(lengths))]
    assert csr.table_indptr(np.array(lengths)).tolist() == expected


def test_row_pointers_of_tables_without_rows():
    assert csr.table_indptr(np.zeros((3, 0), np.int64)).tolist() == [[0], [0], [0]]


@given(RANGES)
def test_ranges(ranges):
    starts, lengths = [start for start, _ in ranges], [count for _, count in ranges]
    expected = [start + index for start, count in ranges for index in range(count)]
    values = np.arange(100, 130, dtype=np.int16)
    assert csr.repeat_ranges(starts, lengths).tolist() == expected
    assert csr.repeat_ranges(starts, lengths).dtype == np.int64
    slices = csr.concatenate_slices(values, starts, lengths)
    assert slices.tolist() == [100 + index for index in expected]
    assert slices.dtype == np.int16


def test_ranges_of_narrow_integers_do_not_overflow():
    starts, lengths = np.array([2**31 - 5], np.int32), np.array([10], np.uint8)
    assert csr.repeat_ranges(starts, lengths).tolist() == list(range(2**31 - 5, 2**31 + 5))


@pytest.mark.parametrize(
    ("dtype", "summed"),
    [(bool, np.int64), (np.int32, np.int64), (np.uint8, np.uint64), (np.float32, np.float32), (np.float64, np.float64)],
)
@given(LENGTHS)
def test_sums_of_rows(dtype, summed, lengths):
    values = (np.arange(sum(lengths)) * 97 % 256).astype(dtype)
    pointers = csr.indptr(lengths)
    sums = csr.segment_sums(values, pointers)
    assert sums.dtype == summed
    expected = [sum(map(int, values[a:b])) for a, b in pairwise(pointers)]
    assert sums.tolist() == expected


def test_sums_of_rows_leave_out_entries_after_the_last_row():
    assert csr.segment_sums(np.array([1, 2, 4, 8]), np.array([0, 2, 3])).tolist() == [3, 4]
    assert csr.segment_sums(np.array([1, 2]), np.array([0])).tolist() == []


def test_unsigned_sums_wrap_around():
    words = np.array([2**64 - 1, 2], np.uint64)
    assert csr.segment_sums(words, np.array([0, 2])).tolist() == [1]
    assert csr.prefix_sums(words).tolist() == [0, 2**64 - 1, 1]
    assert csr.prefix_sums(np.zeros(0)).tolist() == [0.0]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_codes_and_runs(rows):
    columns = np.array([a for a, _ in rows], np.uint64), np.array([b for _, b in rows], np.int32)
    codes = equal_values.factorize(rows)
    first = list(dict.fromkeys(rows))
    assert codes == [first.index(row) for row in rows]
    assert equal_values.factorize_rows(*columns).tolist() == codes
    assert equal_values.run_starts(*columns).tolist() == [
        index == 0 or rows[index] != rows[index - 1] for index in range(len(rows))
    ]
