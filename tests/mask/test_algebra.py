"""Interval algebra against numpy on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask, algebra
from tests.posets.strategies import relations

PAIRS = st.integers(0, 12).flatmap(lambda size: st.tuples(relations(size=size), relations(size=size)))


def mask(dense):
    return Mask.from_dense(dense)


@given(PAIRS)
def test_boolean_operations(pair):
    one, other = pair
    a, b = mask(one), mask(other)
    assert algebra.union(a, b) == mask(one | other)
    assert algebra.intersection(a, b) == mask(one & other)
    assert algebra.difference(a, b) == mask(one & ~other)
    assert algebra.transpose(a) == mask(one.T)
    assert algebra.product(a, b) == mask(one.astype(int) @ other.astype(int) > 0)


def rows_of_intervals(size):
    """Masks with one interval in each row, q - 1 .. q + 1 or longer at its ends; a third have neighbours that touch."""
    bounds = st.tuples(st.integers(-1, 2), st.integers(0, 3))
    return st.lists(bounds, min_size=size, max_size=size).map(
        lambda rows: np.array([[q - a <= k <= q - a + b for k in range(size)] for q, (a, b) in enumerate(rows)])
    )


@given(st.integers(1, 9).flatmap(lambda size: st.tuples(relations(size=size), rows_of_intervals(size))))
def test_products_with_rows_that_are_intervals(pair):
    later, earlier = pair
    assert algebra.product(mask(later), mask(earlier)) == mask(later.astype(int) @ earlier.astype(int) > 0)


@given(relations(20), st.integers(0, 9))
def test_powers(relation, exponent):
    assert algebra.power(mask(relation), exponent) == mask(
        np.linalg.matrix_power(relation.astype(object), exponent) > 0
    )


def test_a_power_that_stands_still_takes_no_longer():
    chain = mask(np.eye(9, k=-1, dtype=bool) | np.eye(9, dtype=bool))
    assert algebra.power(chain, 2**200) == mask(np.tri(9, dtype=bool))


@given(PAIRS)
@settings(max_examples=30)
def test_over_the_limit_small_masks_are_done_in_arrays_and_large_ones_refused(pair):
    one, other = mask(pair[0]), mask(pair[1])
    with pytest.MonkeyPatch.context() as patch:
        due = algebra.product(one, other), algebra.transpose(one)
        patch.setattr(algebra, "INTERVAL_LIMIT", 1)
        assert (algebra.product(one, other), algebra.transpose(one)) == due
        patch.setattr(algebra, "MAX_DENSE", -1)
        patch.setattr(algebra, "INTERVAL_LIMIT", -1)
        with pytest.raises(Unsupported, match="intervals"):
            algebra.transpose(one)


def test_lengths_must_agree():
    with pytest.raises(InvalidInstance, match="got 2 and 3 positions"):
        algebra.union(algebra.identity(2), algebra.identity(3)) and algebra.difference(
            algebra.identity(2), algebra.identity(3)
        )
