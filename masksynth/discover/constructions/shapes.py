"""Shapes of contracts that constructions ask for: leave-one-out, balls, intervals, nested sets, by their bits alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.contracts import Contracts
from masksynth.contracts.metric import distances
from masksynth.discover.constructions.hole import Sites
from masksynth.mask.typing import BoolArray, Int64Array

LARGEST_METRIC = 1 << 12
"""Number of elements up to which distances of all pairs are computed."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Contracts as tables.

    Parameters
    ----------
    need, hide : (T, n) bool
        Hidden elements that no target needs are left out: they are not embedded.
    elements : (m,) int64
        Elements that some target needs.
    """

    need: BoolArray
    hide: BoolArray
    elements: Int64Array


def shape_of(contracts: Contracts) -> Shape:
    """Return the tables of contracts."""
    need, hide = (
        np.unpackbits(rows.view(np.uint8), axis=1, count=contracts.elements.count, bitorder="little").view(bool)
        for rows in (contracts.need, contracts.hide)
    )
    used = need.any(axis=0)
    return Shape(need, hide & used, np.flatnonzero(used))


def find_partners(shape: Shape) -> Int64Array | None:
    """Return the target that hides each needed element, if each target hides one, and each its own; else None."""
    hidden = shape.hide[:, shape.elements]
    is_one_to_one = hidden.size and (hidden.sum(axis=1) == 1).all() and (hidden.sum(axis=0) == 1).all()
    return hidden.argmax(axis=0) if is_one_to_one else None


def find_sites(contracts: Contracts, shape: Shape) -> Sites | None:
    """Return the centres and the radius of the balls that the targets hide; None where they hide other sets."""
    count = contracts.elements.count
    if count > LARGEST_METRIC:
        return None
    distance = distances(contracts.elements).astype(np.int64)
    used = shape.need.any(axis=0)
    hidden = np.packbits(shape.hide, axis=1)
    for radius in range(int(distance.max(initial=0)) + 1):
        balls = np.packbits((distance <= radius) & used, axis=1)
        if np.array_equal(balls, hidden):
            return Sites(shape.elements, np.arange(count), distance, radius)
        centre = {row.tobytes(): index for index, row in enumerate(balls)}
        found = [centre.get(row.tobytes(), -1) for row in hidden]
        if min(found) >= 0:
            return Sites(shape.elements, np.array(found, np.int64), distance, radius)
        if balls.any() and (np.bitwise_count(balls).sum(axis=1).min() > np.bitwise_count(hidden).sum(axis=1).max()):
            return None  # every ball is larger than every hidden set by now
    return None


def find_order(shape: Shape) -> Int64Array:
    """Return the needed elements, those that more targets need first: needs that are nested become prefixes."""
    return shape.elements[np.argsort(-shape.need[:, shape.elements].sum(axis=0), kind="stable")]


def find_intervals(table: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Return (start, stop) of the least interval that holds each row; n, n for an empty row."""
    count = table.shape[1]
    filled = table.any(axis=1)
    start = np.where(filled, table.argmax(axis=1), count)
    stop = np.where(filled, count - table[:, ::-1].argmax(axis=1), count)
    return start, stop
