"""The stored arrays: names, dtypes, shapes, hash, and back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from masksynth.errors import InvalidInstance
from masksynth.export import MAX_DENSE, content_hash, merged_arrays
from masksynth.export.mask_arrays import mask_arrays, mask_of, mask_of_edges
from masksynth.mask import Mask
from tests.export.samples import chain_mask, merged_task, random_mask, star_mask

LOSS = {"position_ids": "<i8", "loss_position": "<i8", "loss_label": "<i8", "loss_task": "<i8", "loss_weight": "<f8"}


@pytest.mark.parametrize(
    ("size", "tables", "shape"), [(5, 1, (5, 5)), (5, 3, (3, 5, 5)), (0, 1, (0, 0)), (0, 2, (2, 0, 0)), (1, 1, (1, 1))]
)
def test_dense_form(size, tables, shape):
    merged = merged_task(random_mask(size, tables))
    arrays = merged_arrays(merged)
    assert {name: array.dtype.str for name, array in arrays.items()} == {"mask": "|b1", **LOSS}
    assert arrays["mask"].shape == shape
    assert arrays["position_ids"].tolist() == [place.position for place in merged.positions]
    columns = [arrays[name].tolist() for name in LOSS if name != "position_ids"]
    assert list(zip(*columns, strict=True)) == [tuple(edge) for edge in merged.loss_edges]
    assert all(array.flags.c_contiguous for array in arrays.values())
    assert mask_of(arrays, size) == merged.mask


def test_interval_form_begins_above_the_limit():
    assert MAX_DENSE == 8192
    assert set(mask_arrays(chain_mask(MAX_DENSE))) == {"mask"}
    arrays = mask_arrays(chain_mask(MAX_DENSE + 1))
    assert {name: (array.dtype.str, array.shape) for name, array in arrays.items()} == {
        "row_offset": ("<i8", (1, 8194)),
        "key_start": ("<i4", (8193,)),
        "key_end": ("<i4", (8193,)),
    }


@pytest.mark.parametrize(
    "mask", [chain_mask(9000), star_mask(8200, 100), Mask.from_intervals([[((i, i + 1),) for i in range(9000)]] * 3)]
)
def test_large_masks_come_back(mask):
    assert mask_of(mask_arrays(mask), mask.size) == mask


def test_sparse_form():
    """A sparse answer above the limit is a list of off-diagonal edges."""
    cover = Mask.from_intervals([[((max(i - 1, 0), i + 1),) for i in range(9000)]])
    arrays = mask_arrays(cover, sparse=True)
    assert {name: array.dtype.str for name, array in arrays.items()} == {"edge_query": "<i8", "edge_key": "<i8"}
    assert np.array_equal(arrays["edge_query"], np.arange(1, 9000))
    assert np.array_equal(arrays["edge_key"], np.arange(8999))
    assert mask_of(arrays, 9000) == cover
    with pytest.raises(InvalidInstance, match="diagonal"):
        mask_arrays(Mask.from_intervals([[()] * 9000]), sparse=True)


@pytest.mark.parametrize("seed", range(10))
def test_edges_equal_dense(seed):
    mask = random_mask(40, density=seed / 10, seed=seed)
    query, key = np.nonzero(mask.dense() & ~np.eye(40, dtype=bool))
    assert mask_of_edges(query, key, 40) == mask


def test_content_hash_by_its_definition():
    arrays = {"b": np.arange(6).reshape(2, 3).T, "a": np.array([True, False])}
    text = b"a:|b1:[2]\n" + bytes([1, 0]) + b"b:<i8:[3, 2]\n" + np.array([0, 3, 1, 4, 2, 5], "<i8").tobytes()
    assert content_hash(arrays) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mask": None}, "expected one of the arrays mask, row_offset, edge_query, got \\['loss"),
        ({"mask": np.zeros((4, 4), bool)}, "4 positions"),
        ({"mask": np.zeros((5, 5), np.int8)}, "expected bool, got int8"),
        ({"mask": np.zeros((5, 4), bool)}, r"\(5, 4\)"),
        ({"edge_query": np.zeros(1, np.int64)}, r"got \['mask', 'edge_query'\]"),
        ({"mask": None, "edge_query": np.array([5]), "edge_key": np.array([0])}, "below 5"),
        ({"mask": None, "edge_query": np.array([1])}, "'edge_key' is missing"),
        ({"mask": None, "row_offset": np.zeros((1, 6), np.int64), "key_start": np.zeros(0, np.int64)}, "int64"),
        (
            {
                "mask": None,
                "row_offset": np.ones((1, 6), np.int64),
                "key_start": np.zeros(1, np.int32),
                "key_end": np.ones(1, np.int32),
            },
            "from 0",
        ),
    ],
)
def test_malformed_arrays_are_named(change, text):
    arrays = {**merged_arrays(merged_task(random_mask(5))), **change}
    with pytest.raises(InvalidInstance, match=text):
        mask_of({name: array for name, array in arrays.items() if array is not None}, 5)
