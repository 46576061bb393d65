"""Horizontal coordinates of a layered graph whose layers are ordered: short edges, neighbours kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masksynth.draw.layer_order import LayeredGraph, Layers
from masksynth.mask.csr import indptr, repeat_index, repeat_ranges
from masksynth.mask.typing import Float64Array, Int64Array

STEPS = 400_000
"""Vertices times sweeps of the descent."""
SWEEPS_LEAST, SWEEPS_MOST = 6, 200


def minimize_lengths(
    graph: LayeredGraph, layers: Layers, widths: Sequence[float], weights: list[list[float]]
) -> tuple[list[float], float]:
    """Return coordinates that minimize the sum of ``weight * (x[u] - x[v]) ** 2`` over the edges, and that sum.

    Block coordinate descent: given the other layers, the coordinates of a layer are an isotonic regression.

    Parameters
    ----------
    graph : LayeredGraph
    layers : list of lists of int
        The vertices of each layer from left to right.
    widths : sequence of float
        Widths of the vertices, with the space around them.
    weights : list of lists of float
        For each vertex the weights of the edges to its neighbours below.
    """
    upper = np.repeat(np.arange(len(widths)), [len(near) for near in graph.below])
    lower = np.array([u for near in graph.below for u in near], np.int64)
    weight = np.array([value for row in weights for value in row], np.float64)
    ends, pull = np.concatenate([upper, lower]), np.concatenate([weight, weight])
    order = np.argsort(ends, kind="stable")
    others, pull = np.concatenate([lower, upper])[order], pull[order]  # neighbours of each vertex, and their weights
    start = indptr(np.bincount(ends, minlength=len(widths)))
    rows = [_layer_row(layer, start, others, pull, widths) for layer in layers if layer]
    across = np.zeros(len(widths))
    for row in rows:
        across[row.vertices] = pool(-row.offsets, [1.0] * len(row.offsets)) + row.offsets
    for sweep in range(min(max(STEPS // max(len(widths), 1), SWEEPS_LEAST), SWEEPS_MOST)):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = across[row.vertices]
            if len(row.pulled):
                wanted[row.pulled] = np.add.reduceat(row.share * across[row.others], row.first)
            across[row.vertices] = pool(wanted - row.offsets, row.totals) + row.offsets
    return across.tolist(), float((weight * (across[upper] - across[lower]) ** 2).sum())


class _LayerRow(NamedTuple):
    """The vertices of a layer from left to right, and what pulls them.

    Parameters
    ----------
    vertices : (n,) int64
    offsets : (n,) float64
        Distance of each vertex from the first where all touch.
    totals : list of n floats
        Sum of the weights of the edges of each vertex.
    pulled : (m,) int64
        Indices of the vertices with edges.
    others, share : (edges,) arrays
        Their neighbours, one vertex after another, and the part of each in the sum of the weights.
    first : (m,) int64
        Index of the first neighbour of each pulled vertex.
    """

    vertices: Int64Array
    offsets: Float64Array
    totals: list[float]
    pulled: Int64Array
    others: Int64Array
    share: Float64Array
    first: Int64Array


def _layer_row(
    layer: list[int], start: Int64Array, others: Int64Array, pull: Float64Array, widths: Sequence[float]
) -> _LayerRow:
    """Return one layer; ``others`` and ``pull`` list neighbours and weights of v from ``start[v]`` on."""
    vertices = np.array(layer, np.int64)
    count = start[vertices + 1] - start[vertices]
    entries = repeat_ranges(start[vertices], count)
    total = np.bincount(repeat_index(count), pull[entries], len(layer))
    pulled = np.flatnonzero(count)
    share = pull[entries] / np.repeat(total, count)
    first = indptr(count)[pulled]
    totals = np.where(count > 0, total, 1e-9).tolist()
    return _LayerRow(vertices, offsets_of([widths[v] for v in layer]), totals, pulled, others[entries], share, first)


def offsets_of(widths: Sequence[float]) -> Float64Array:
    """Return the distance of each interval from the first where they touch."""
    width = np.array(widths, np.float64)
    return np.append(0.0, ((width[1:] + width[:-1]) / 2).cumsum())[: len(width)]


def pool(goals: Float64Array, weights: list[float]) -> Float64Array:
    """Return the ascending values of least weighted squared distance to the goals.

    Pool adjacent violators: goals that descend are moved together to their weighted mean. With the offsets of intervals
    subtracted before and added after, intervals that would overlap are moved apart.

    Examples
    --------
    >>> offsets = offsets_of([28, 28, 28])
    >>> (pool(np.array([0, 0, 100]) - offsets, [1, 1, 1]) + offsets).tolist()
    [-14.0, 14.0, 100.0]
    """
    if (goals[1:] >= goals[:-1]).all():
        return goals
    means, totals, members = list[float](), list[float](), list[int]()
    for mean, total in zip(goals.tolist(), weights, strict=True):
        count = 1
        while means and means[-1] > mean:
            other = totals.pop()
            mean = (mean * total + means.pop() * other) / (total + other)
            total += other
            count += members.pop()
        means.append(mean)
        totals.append(total)
        members.append(count)
    return np.repeat(means, members)
