"""Horizontal coordinates of a layered graph whose layers are ordered: short edges, neighbours kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masksynth.draw.layer_order import LayeredGraph, Layers
from masksynth.mask.csr import prefix_sums, repeat_index, repeat_ranges
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
    degree = np.bincount(ends, minlength=len(widths))
    rows = [_layer_row(layer, degree, others, pull, widths) for layer in layers if layer]
    across = np.zeros(len(widths))
    for row in rows:
        across[row.vertices] = separate([0.0] * len(row.widths), [1.0] * len(row.widths), row.widths)
    for sweep in range(min(max(STEPS // max(len(widths), 1), SWEEPS_LEAST), SWEEPS_MOST)):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = across[row.vertices]
            if len(row.pulled):
                wanted[row.pulled] = np.add.reduceat(row.share * across[row.others], row.first)
            across[row.vertices] = separate(wanted.tolist(), row.totals, row.widths)
    return across.tolist(), float((weight * (across[upper] - across[lower]) ** 2).sum())


class _LayerRow(NamedTuple):
    """The vertices of a layer from left to right, and what pulls them.

    Parameters
    ----------
    vertices : (n,) int64
    widths, totals : lists of n floats
        Width of each vertex, and the sum of the weights of its edges.
    pulled : (m,) int64
        Indices of the vertices with edges.
    others, share : (edges,) arrays
        Their neighbours, one vertex after another, and the part of each in the sum of the weights.
    first : (m,) int64
        Index of the first neighbour of each pulled vertex.
    """

    vertices: Int64Array
    widths: list[float]
    totals: list[float]
    pulled: Int64Array
    others: Int64Array
    share: Float64Array
    first: Int64Array


def _layer_row(
    layer: list[int], degree: Int64Array, others: Int64Array, pull: Float64Array, widths: Sequence[float]
) -> _LayerRow:
    """Return one layer; ``others`` and ``pull`` list the neighbours of all vertices and the weights of their edges."""
    vertices = np.array(layer, np.int64)
    count = degree[vertices]
    entries = repeat_ranges(prefix_sums(degree)[vertices], count)
    total = np.bincount(repeat_index(count), pull[entries], len(layer))
    pulled = np.flatnonzero(count)
    share = pull[entries] / np.repeat(total, count)
    first = prefix_sums(count)[pulled]
    totals = np.where(count > 0, total, 1e-9).tolist()
    return _LayerRow(vertices, [widths[v] for v in layer], totals, pulled, others[entries], share, first)


def separate(wanted: Sequence[float], weights: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return centres of intervals in the given order, disjoint, of least weighted squared distance to the wanted ones.

    Pool adjacent violators: intervals that would overlap are moved together to their weighted mean.

    Examples
    --------
    >>> separate([0, 0, 100], [1, 1, 1], [28, 28, 28])
    [-14.0, 14.0, 100.0]
    """
    offsets, offset = list[float](), 0.0
    for index, width in enumerate(widths):
        offset += (widths[index - 1] + width) / 2 if index else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for goal, weight, shift in zip(wanted, weights, offsets, strict=True):
        mean, total, members = goal - shift, weight, 1
        while pools and pools[-1][0] > mean:
            other, other_total, other_members = pools.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, members = total + other_total, members + other_members
        pools.append((mean, total, members))
    bases = [mean for mean, _, members in pools for _ in range(members)]
    return [base + shift for base, shift in zip(bases, offsets, strict=True)]
