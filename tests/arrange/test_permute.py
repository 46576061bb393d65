"""Permuted masks against the dense definition, and at sizes where no dense array fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.arrange import permute
from masksynth.arrange.permute import count_pieces, permuted
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from tests.arrange.samples import random_relation


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 24),
    tables=st.integers(1, 3),
    density=st.floats(0, 1),
    swaps=st.integers(0, 40),
)
@settings(max_examples=150, deadline=None)
def test_permuted_by_definition(seed, size, tables, density, swaps):
    rng = np.random.default_rng(seed)
    dense = rng.random((tables, size, size)) < density
    order = np.arange(size)[:: 1 if swaps % 2 else -1].copy()
    for _ in range(swaps):  # few exchanges leave long runs, rising or falling
        one, two = rng.integers(0, size, 2)
        order[[one, two]] = order[[two, one]]
    found = permuted(Mask.from_dense(dense), order)
    assert found == Mask.from_dense(dense[:, order][:, :, order])


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_chunks_change_nothing(chunk, monkeypatch):
    rng = np.random.default_rng(7)
    mask, order = random_relation(rng, 40, 0.4), rng.permutation(40)
    whole = permuted(mask, order)
    monkeypatch.setattr(permute, "CHUNK", chunk)
    assert permuted(mask, order) == whole


def test_back_again():
    rng = np.random.default_rng(3)
    mask, order = random_relation(rng, 60, 0.3), rng.permutation(60)
    assert permuted(permuted(mask, order), np.argsort(order)) == mask


def test_long_runs_need_no_pairs():
    """131,072 positions with 8.6e9 pairs, in reverse and with two halves exchanged."""
    size = 131_072
    chain = Mask(np.arange(size + 1)[None], np.zeros(size, np.int32), np.arange(1, size + 1).astype(np.int32))
    back = permuted(chain, np.arange(size)[::-1])
    assert (back.key_start == np.arange(size)).all()
    assert (back.key_end == size).all()
    halves = np.roll(np.arange(size), size // 2)
    assert count_pieces(chain, halves) <= 2 * size
    assert permuted(chain, halves).pairs == chain.pairs


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 2.0], [[0, 1, 2]]])
def test_refuses_what_is_no_order(order):
    with pytest.raises(InvalidInstance, match="order"):
        permuted(Mask.from_dense(np.eye(3, dtype=bool)), order)


def test_no_positions():
    empty = Mask.from_intervals([[]])
    assert permuted(empty, []) == empty
