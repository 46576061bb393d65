"""Masks: dense arrays, row intervals and rows say the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask


@st.composite
def dense_masks(draw):
    """A boolean array (n, n) or (P, n, n) of any density, 0 positions included."""
    n, tables = draw(st.integers(0, 9)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = random.random((tables, n, n)) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return array[0] if tables == 1 and draw(st.booleans()) else array


def runs(row):
    """Maximal runs of True, found by scanning."""
    found, start = [], None
    for key, seen in enumerate([*row, False]):
        if seen and start is None:
            start = key
        if not seen and start is not None:
            found.append((start, key))
            start = None
    return tuple(found)


def check_same(mask, array):
    """A mask says what an array says, in every form it has."""
    tables = array if array.ndim == 3 else array[None]
    assert (mask.size, mask.tables, mask.pairs) == (array.shape[-1], len(tables), int(array.sum()))
    assert np.array_equal(mask.dense().reshape(tables.shape), tables)
    assert mask.dense().dtype == bool
    assert mask.dense().shape == mask.shape == (tables[0].shape if len(tables) == 1 else tables.shape)
    for number, table in enumerate(tables):
        for query, row in enumerate(table):
            assert mask.intervals(query, number) == runs(row)
            assert mask.row(query, number).tolist() == np.flatnonzero(row).tolist()


@settings(deadline=None, max_examples=200)
@given(dense_masks())
def test_forms_agree(array):
    mask = Mask.from_dense(array)
    check_same(mask, array)
    tables = array if array.ndim == 3 else array[None]
    assert Mask.from_intervals([[runs(row) for row in table] for table in tables]) == mask
    assert Mask.from_dense(mask.dense()) == mask
    assert np.array_equal(np.asarray(mask), mask.dense())
    assert np.array_equal(np.array(mask, dtype=np.float32), mask.dense().astype(np.float32))
    assert (mask.row_offset.dtype, mask.key_start.dtype, mask.key_end.dtype) == (np.int64, np.int32, np.int32)


@settings(deadline=None, max_examples=60)
@given(dense_masks(), st.integers(0, 10**6))
def test_a_flipped_bit_is_another_mask(array, place):
    if array.size:
        other = array.copy()
        other.flat[place % array.size] ^= True
        assert Mask.from_dense(other) != Mask.from_dense(array)
        with pytest.raises(AssertionError):
            check_same(Mask.from_dense(other), array)


def test_masks_of_other_shapes_differ():
    masks = [
        Mask.from_dense(np.zeros(shape, bool)) for shape in [(0, 0), (1, 1), (2, 2), (2, 0, 0), (2, 1, 1), (3, 1, 1)]
    ]
    assert all((one == two) == (one is two) for one in masks for two in masks)
    assert masks[0] != "mask"
    assert Mask.from_dense(np.zeros((1, 2, 2), bool)) == masks[2]
    with pytest.raises(TypeError):
        hash(masks[0])


def test_no_positions():
    mask = Mask.from_dense(np.zeros((0, 0), bool))
    assert (mask.size, mask.tables, mask.shape, mask.pairs, str(mask)) == (0, 1, (0, 0), 0, "")
    assert mask.dense().shape == (0, 0)
    assert Mask.from_intervals([[]]) == mask
    assert Mask.from_dense(np.zeros((3, 0, 0), bool)).shape == (3, 0, 0)


def test_pictures():
    pattern = Mask.from_dense(np.array([[[1, 0], [1, 1]], [[1, 0], [0, 1]]], bool))
    assert str(pattern) == "■ ·\n■ ■\n\n■ ·\n· ■"
    assert repr(pattern) == "Mask(size=2, tables=2, pairs=5)"


def test_a_million_positions_without_a_square():
    n = 1_000_000
    offset = np.arange(n + 1, dtype=np.int64)[None]
    mask = Mask(offset, np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32))
    assert (mask.size, mask.pairs) == (n, n * (n + 1) // 2)
    assert mask.intervals(n - 1) == ((0, n),)
    assert mask.row(4).tolist() == [0, 1, 2, 3, 4]
    window = Mask.from_intervals([(((max(0, q - 2), q + 1),) for q in range(200_000))])
    assert (window.pairs, window.intervals(199_999)) == (3 * 200_000 - 3, ((199_997, 200_000),))
    assert window != mask


def arrays(offset, start, end):
    return np.array(offset, np.int64), np.array(start, np.int32), np.array(end, np.int32)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            arrays([0, 1], [0], [1]),
            "row_offset, key_start, key_end: expected shapes [P, n + 1], [T], [T], got (2,), (1,), (1,)",
        ),
        (
            arrays(np.zeros((0, 3)), [], []),
            "row_offset, key_start, key_end: expected shapes [P, n + 1], [T], [T], got (0, 3), (0,), (0,)",
        ),
        (
            arrays([[0, 1]], [0], [1, 1]),
            "row_offset, key_start, key_end: expected shapes [P, n + 1], [T], [T], got (1, 2), (1,), (2,)",
        ),
        (arrays([[1, 1]], [0], [1]), "row_offset is not non-decreasing from 0 to T = "),
        (arrays([[0, 0]], [0], [1]), "row_offset is not non-decreasing from 0 to T = "),
        (arrays([[0, 2]], [0], [1]), "row_offset is not non-decreasing from 0 to T = "),
        (arrays([[0, 2, 1, 2]], [0, 0], [1, 1]), "row_offset is not non-decreasing from 0 to T = "),
        (arrays([[0, 1], [0, 1]], [0], [1]), "row_offset is not non-decreasing from 0 to T = "),
        (arrays([[0, 1]], [-1], [1]), "interval out of range: expected 0 <= start < end <= 1, got [-1, 1)"),
        (arrays([[0, 1]], [0], [2]), "interval out of range: expected 0 <= start < end <= 1, got [0, 2)"),
        (arrays([[0, 1]], [1], [1]), "interval out of range: expected 0 <= start < end <= 1, got [1, 1)"),
        (
            arrays([[0, 2, 2, 2]], [0, 1], [1, 2]),
            "the intervals of a row are not sorted and disjoint with a gap between them",
        ),
        (
            arrays([[0, 2, 2, 2]], [2, 0], [3, 1]),
            "the intervals of a row are not sorted and disjoint with a gap between them",
        ),
        (
            arrays([[0, 2, 2, 2]], [0, 1], [2, 3]),
            "the intervals of a row are not sorted and disjoint with a gap between them",
        ),
    ],
)
def test_malformed_intervals(given, message):
    with pytest.raises(InvalidInstance, match=re.escape(message)):
        Mask(*given)


def test_touching_intervals_of_neighbouring_rows_and_tables_are_well_formed():
    for array in (np.array([[1, 0], [0, 1]], bool), np.array([[[0, 1], [0, 1]], [[1, 0], [1, 0]]], bool)):
        check_same(Mask.from_dense(array), array)


@pytest.mark.parametrize("wrong", [(0, [(1, 2), (0, 1)]), (0, [(0, 4)]), (1, [(0, 1), (1, 2)]), (2, [(2, 2)])])
def test_malformed_rows(wrong):
    rows = [[(0, 1)], [(0, 1)], [(0, 3)]]
    rows[wrong[0]] = wrong[1]
    with pytest.raises(InvalidInstance):
        Mask.from_intervals([rows])


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((2, 3), bool), np.zeros(2, bool), np.zeros((0, 2, 2), bool), [[1, 0], [0, 1]], "mask", np.zeros((1, 1, 1, 1), bool)])  # fmt: skip  # noqa: E501
def test_not_a_mask(array):
    with pytest.raises(InvalidInstance, match=r"expected a bool array of shape \(n, n\) or \(P, n, n\), got "):
        Mask.from_dense(array)


@pytest.mark.parametrize("tables", [[], [[[(0, 1)]], []], [[[(0, 1)], [(0, 2)]], [[(0, 1)]]], [[[(0, 1, 2)]]], [[[(0.5, 1)]]], [[[("a", "b")]]], [[[(0, 2**33)]]], [[[(2**32, 2**32 + 1)]]]])  # fmt: skip  # noqa: E501
def test_tables_that_are_none(tables):
    with pytest.raises(InvalidInstance):
        Mask.from_intervals(tables)
