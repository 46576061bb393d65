"""Interval arithmetic against sets of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask, check_rows, column_intervals, dense, intervals
from tests.mask.test_mask import dense_masks, runs
from tests.posets.strategies import relations

TRIPLES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 3)), max_size=10)


def as_arrays(triples):
    """(query, start, end) of (query, start, length)."""
    query, start, length = np.array(triples, np.int64).reshape(-1, 3).T
    return query, start, start + length


def pairs_of(triples):
    return {(query, key) for query, start, length in triples for key in range(start, start + length)}


def listed(arrays):
    return list(zip(*(array.tolist() for array in arrays), strict=True))


def expected_runs(pairs):
    rows = [[(query, key) in pairs for key in range(12)] for query in range(6)]
    return [(query, start, end) for query, row in enumerate(rows) for start, end in runs(row)]


@given(TRIPLES)
def test_coalesce(triples):
    found = intervals.coalesce(as_arrays(triples))
    assert listed(found) == expected_runs(pairs_of(triples))
    assert {array.dtype for array in found} == {np.dtype(np.int64)}


def test_coalesce_of_narrow_integers_does_not_overflow():
    query, start, end = (np.array(column, np.int32) for column in ([100_000, 0], [99_999, 5], [100_000, 6]))
    assert listed(intervals.coalesce((query, start, end))) == [(0, 5, 6), (100_000, 99_999, 100_000)]


@given(TRIPLES)
def test_coalesce_disjoint_and_sorted(triples):
    arrays, pairs = as_arrays(triples), pairs_of(triples)
    if sum(length for _, _, length in triples) > len(pairs):
        with pytest.raises(WrongAnswer, match=r"row \d+ lists key \d+ twice"):
            check_rows.coalesce_disjoint(arrays, "rows")
        return
    assert listed(check_rows.coalesce_disjoint(arrays, "rows")) == expected_runs(pairs)
    kept = sorted(triple for triple in triples if triple[2])
    query, start, end = (array.astype(np.int32) for array in as_arrays(kept))
    found = intervals.coalesce_sorted(query, start, end)
    assert listed(found) == expected_runs(pairs)
    assert {array.dtype for array in found} == {np.dtype(np.int32)}


@given(dense_masks())
def test_rows_and_columns(array):
    mask = Mask.from_dense(array)
    tables = array if array.ndim == 3 else array[None]
    for number, table in enumerate(tables):
        rows = intervals.row_intervals(mask, number)
        assert listed(rows) == [(q, start, end) for q, row in enumerate(table) for start, end in runs(row)]
        assert intervals.query_of_interval(mask, number).tolist() == rows[0].tolist()
        assert np.array_equal(np.stack(intervals.expand(rows), axis=1), np.argwhere(table))
        assert intervals.count_intervals(mask, number).tolist() == [len(runs(row)) for row in table]
        assert column_intervals.count_column_intervals(mask, number).tolist() == [len(runs(row)) for row in table.T]
        offset, start, end = column_intervals.columns(mask, number)
        assert listed((start, end)) == [run for row in table.T for run in runs(row)]
        assert np.diff(offset).tolist() == [len(runs(row)) for row in table.T]
        assert intervals.count_covering(rows, mask.size).tolist() == table.sum(axis=0).tolist()
        chosen = np.arange(mask.size)[::-2].repeat(2)
        assert listed(intervals.gather_rows(mask, chosen, number)) == [
            (index, start, end) for index, q in enumerate(chosen) for start, end in runs(table[q])
        ]
        alone = intervals.build_mask(rows, mask.size)
        assert alone == Mask.from_dense(table)
        check_rows.check_rows(mask, number, rows, "rows")
    assert intervals.stack_tables([Mask.from_dense(table) for table in tables]) == mask
    assert intervals.stack_tables([mask, mask]).tables == 2 * mask.tables


@given(dense_masks(), st.integers(0, 3))
def test_columns_are_equal_however_many_rows_are_compared_at_once(array, most):
    mask = Mask.from_dense(array)
    expected = [column_intervals.columns(mask, table) for table in range(mask.tables)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_intervals, "MOST_INTERVALS", most)
        for table, columns in enumerate(expected):
            assert all(map(np.array_equal, column_intervals.columns(mask, table), columns))
            assert np.array_equal(column_intervals.count_column_intervals(mask, table), np.diff(columns.offset))


@given(st.integers(0, 6).flatmap(lambda size: st.tuples(relations(size=size), relations(size=size))))
def test_first_row_that_differs(pair):
    first, second = map(Mask.from_dense, pair)
    differing = np.flatnonzero((pair[0] != pair[1]).any(axis=1)).tolist()
    assert check_rows.compare(intervals.row_intervals(first), second) == (differing[0] if differing else None)
    if differing:
        with pytest.raises(WrongAnswer, match=f"table 0: row {differing[0]} attends to"):
            check_rows.check_rows(second, 0, intervals.row_intervals(first), "rows")


def test_tables_are_checked():
    mask = Mask.from_intervals([[((0, 1),)]])
    for table in (-1, 1):
        with pytest.raises(InvalidInstance, match=f"table {table} is out of range: the mask has 1 table"):
            intervals.row_intervals(mask, table)


def test_text_of_intervals_is_cut():
    assert check_rows.format_intervals([(0, 1), (2, 4), (6, 7)], 2) == "0 2..3 ..."


@given(dense_masks(), st.integers(1, 4))
def test_chunks_of_dense_rows(array, step):
    tables = array if array.ndim == 3 else array[None]
    chunks = ((table[row : row + step] for row in range(0, len(table), step)) for table in tables)
    assert dense.mask_from_chunks(chunks, array.shape[-1]) == Mask.from_dense(array)


def test_chunks_are_limited():
    assert dense.rows_per_chunk(0) == dense.ENTRIES_PER_CHUNK
    assert dense.rows_per_chunk(2 * dense.ENTRIES_PER_CHUNK) == 1
