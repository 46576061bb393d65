"""Contracts made in Python: the same refusals as those of documents, and of arrays of another form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masksynth.contracts import Contracts, Demand, Elements, Target, Weights
from masksynth.contracts.element_sets import complement, count_members, pack, unpack
from masksynth.contracts.families import leave_one_out
from masksynth.errors import InvalidInstance

TOY = leave_one_out(n=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"need": TOY.need[:2]}, "$.targets: need: expected uint64 [3, 1], got uint64 [2, 1]; pack a row of bits for"),
        ({"hide": TOY.hide.astype(np.int64)}, "$.targets: hide: expected uint64 [3, 1], got int64 [3, 1]"),
        ({"need": [[1], [2], [4]]}, "$.targets: need: expected uint64 [3, 1], got list"),
        ({"need": TOY.need | np.uint64(8)}, "$.targets: need: a bit beyond the 3 elements is set; pack rows of n bits"),
        ({"hide": TOY.hide | np.uint64(1 << 63)}, "$.targets: hide: a bit beyond the 3 elements is set"),
        ({"hide": TOY.need}, "$.targets[0]: target 0 needs and hides 1; leave it out of one of them"),
        ({"targets": ()}, "$.targets: there is no target; give one target or more"),
        ({"targets": (Target("a"), Target("b"), Target("a"))}, "$.targets[2].label: label 'a' is that of target 0 too"),
        ({"layers": 0}, "$.layers: layers: expected an integer from 1 to 2147483647, got 0"),
        ({"layers": True}, "$.layers: layers: expected an integer from 1 to 2147483647, got True"),
        ({"masks": "layered"}, "$.layers: layered masks need a number of layers; give layers, or masks one"),
        ({"masks": "two"}, "$.masks: masks: expected one or layered, got 'two'; give one of them"),
        ({"weights": Weights(count="layer")}, "$.weights.count: costs of each layer need a number of layers"),
    ],
)
def test_contracts_are_checked(changes, message):
    with pytest.raises(InvalidInstance) as error:
        replace(TOY, **changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Weights(position=-1), "$.weights.position: weight position: expected a finite number, zero or more"),
        (lambda: Weights(pair=float("nan")), "$.weights.pair"),
        (lambda: Weights(kv=True), "$.weights.kv"),
        (lambda: Weights(kv="4"), "$.weights.kv"),
        (lambda: Demand(direct=-1), "$.demand.direct: demand direct: expected an integer, zero or more, got -1"),
        (lambda: Demand(mixed=None), "$.demand.mixed"),
        (lambda: Demand(hops=1.0), "$.demand.hops"),
        (lambda: Target("a", "there"), "$.place: place: expected query or any, got 'there'"),
        (lambda: Elements(("a", "b"), (0,)), "$.element_positions: 1 positions for 2 elements; give one for each"),
        (lambda: Elements(("a",), (-1,)), "$.element_positions[0]: expected an integer from 0 to 2147483647, got -1"),
        (lambda: Elements(("a",), (1,), coordinates=((0, 0),)), "$.element_positions[0]: expected an integer from 0"),
        (lambda: Weights(count="each"), "$.weights.count: count: expected structure or layer, got 'each'"),
    ],
)  # fmt: skip
def test_parts_are_checked(make, message):
    with pytest.raises(InvalidInstance) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 130])
def test_packed_rows(n):
    relation = np.random.default_rng(n).random((5, n)) < 0.5
    words = pack(relation)
    assert words.shape == (5, -(-n // 64))
    np.testing.assert_array_equal(unpack(words, n), relation)
    np.testing.assert_array_equal(unpack(complement(words, n), n), ~relation)
    np.testing.assert_array_equal(count_members(words), relation.sum(axis=1))
    both = Contracts(
        "x", Elements(tuple(range(n)), (0,) * n), tuple(map(Target, range(5))), words, complement(words, n)
    )
    assert [both.needed(row).tolist() for row in range(5)] == [np.flatnonzero(row).tolist() for row in relation]
