"""Horizontal coordinates of a layered graph whose layers are ordered: short edges, neighbours kept apart."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.draw.layer_order import LayeredGraph, Layers

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
    pulls: list[list[tuple[int, float]]] = [[] for _ in widths]
    for v, (near, row) in enumerate(zip(graph.below, weights, strict=True)):
        for u, weight in zip(near, row, strict=True):
            pulls[v].append((u, weight))
            pulls[u].append((v, weight))
    across = [0.0] * len(widths)
    for layer in layers:
        for v, x in zip(
            layer, separate([0.0] * len(layer), [1.0] * len(layer), [widths[v] for v in layer]), strict=True
        ):
            across[v] = x
    sweeps = min(max(STEPS // max(len(widths), 1), SWEEPS_LEAST), SWEEPS_MOST)
    for sweep in range(sweeps):
        for layer in layers if sweep % 2 else reversed(layers):
            totals = [sum(weight for _, weight in pulls[v]) or 1e-9 for v in layer]
            wanted = [
                sum(weight * across[u] for u, weight in pulls[v]) / total if pulls[v] else across[v]
                for v, total in zip(layer, totals, strict=True)
            ]
            for v, x in zip(layer, separate(wanted, totals, [widths[v] for v in layer]), strict=True):
                across[v] = x
    length = sum(
        weight * (across[u] - across[v]) ** 2
        for v, (near, row) in enumerate(zip(graph.below, weights, strict=True))
        for u, weight in zip(near, row, strict=True)
    )
    return across, length


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
