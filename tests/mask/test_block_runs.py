"""Runs of blocks against blocks counted from the dense array, chunk by chunk and where sums go through a sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.mask import Mask
from masksynth.mask import block_runs as module
from masksynth.mask.block_runs import block_pairs, block_runs, iterate_block_runs, paint_runs, sum_by_code


def naive_pairs(dense, queries, keys):
    """The number of allowed pairs of each block, summed over the padded dense array."""
    size = len(dense)
    high, wide = -(-size // queries), -(-size // keys)
    padded = np.zeros((high * queries, wide * keys), np.int64)
    padded[:size, :size] = dense
    return padded.reshape(high, queries, wide, keys).sum(axis=(1, 3))


def random_tables(rng, size):
    """Two dense tables: single pairs, long rows of many intervals, nothing, everything."""
    tables = rng.random((2, size, size)) < rng.choice([0.02, 0.3, 0.9], (2, 1, 1))
    tables[:, rng.random(size) < 0.2] = rng.random() < 0.5
    tables[0, rng.random(size) < 0.2] = np.arange(size) % 2 == 0
    return tables


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(0, 60),
    queries=st.integers(1, 20),
    keys=st.integers(1, 20),
    dense_sums=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_pairs_by_definition(seed, size, queries, keys, dense_sums):
    tables = random_tables(np.random.default_rng(seed), size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS_PER_INTERVAL", 16 if dense_sums else 0)
        patch.setattr(module, "MOST_INTERVALS", seed % 40)
        for table, dense in enumerate(tables):
            found = block_pairs(Mask.from_dense(tables), table, queries, keys)
            assert found.tolist() == naive_pairs(dense, queries, keys).tolist()


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60), most=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_runs_are_sorted_and_no_row_is_left_out(seed, size, most):
    rng = np.random.default_rng(seed)
    mask, block = Mask.from_dense(random_tables(rng, size)), int(rng.integers(1, 9))
    covered = []
    for rows, runs in iterate_block_runs(mask, 1, block, block, most):
        covered += rows
        assert len(rows) <= most
        assert ((rows.start <= runs.row) & (runs.row < rows.stop)).all()
        assert (runs.start < runs.end).all()
        assert (runs.pairs > 0).all()
        follows = runs.row[1:] == runs.row[:-1]
        assert (np.diff(runs.row) >= 0).all()
        assert (runs.end[:-1][follows] <= runs.start[1:][follows]).all()
    assert covered == list(range(-(-size // block)))


def test_select_merges_runs_that_touch():
    """Three partial blocks with 1, 2 and 3 pairs in a row, and a full one."""
    dense = np.zeros((8, 8), bool)
    dense[:1, 0], dense[:2, 2], dense[0, 4:6], dense[1, 4], dense[:2, 6:] = True, True, True, True, True
    runs = block_runs(Mask.from_dense(dense), 0, 2, 2)
    assert runs.pairs.tolist() == [1, 2, 3, 4]
    assert [part.tolist() for part in runs.select(runs.pairs < 4)] == [[0], [0], [3]]
    assert [part.tolist() for part in runs.select(runs.pairs == 4)] == [[0], [3], [4]]


def test_a_million_positions_are_a_few_runs():
    """Full attention over 2^20 positions and its lower triangle: one or two runs for each of 8,192 rows of blocks."""
    size = 1 << 20
    offset, end = np.arange(size + 1)[None], np.arange(1, size + 1, dtype=np.int32)
    full = block_runs(Mask(offset, np.zeros(size, np.int32), np.full(size, size, np.int32)), 0, 128, 128)
    causal = block_runs(Mask(offset, np.zeros(size, np.int32), end), 0, 128, 128)
    assert (len(full.row), len(causal.row)) == (8192, 2 * 8192 - 1)
    assert int((full.end - full.start).sum()) == 8192**2
    assert int((causal.pairs * (causal.end - causal.start)).sum()) == size * (size + 1) // 2


def test_sums_by_sorting_equal_sums_in_an_array():
    rng = np.random.default_rng(0)
    codes, values = rng.integers(0, 50, 300), rng.integers(-3, 4, 300)
    sums = np.bincount(codes, values).astype(int)
    assert [part.tolist() for part in sum_by_code(codes, values)] == [
        np.flatnonzero(sums).tolist(),
        sums[sums != 0].tolist(),
    ]


def test_painted_rows_are_rows_of_the_grid():
    mask = Mask.from_dense(random_tables(np.random.default_rng(3), 50)[0])
    whole = block_pairs(mask, 0, 4, 8)
    for rows, runs in iterate_block_runs(mask, 0, 4, 8, 3):
        assert (paint_runs(rows, whole.shape[1], runs) == whole[rows.start : rows.stop]).all()
