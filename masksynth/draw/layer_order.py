"""Order of the vertices in each layer of a layered graph: few crossings, and mirror-symmetric where the graph is.

Sweeps sort each layer by the mean position of the neighbours in the layer before (K. Sugiyama, S. Tagawa, M. Toda,
"Methods for visual understanding of hierarchical system structures", IEEE Trans. SMC 11 (1981)); exchanges of
neighbours improve the result (E. R. Gansner, E. Koutsofios, S. C. North, K.-P. Vo, "A technique for drawing directed
graphs", IEEE Trans. Softw. Eng. 19 (1993)).
"""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

SWEEPS = 8
"""Maximum number of pairs of sweeps, upwards and downwards, from each initial order; and of rounds of exchanges."""
STARTS = 12
"""Maximum number of random initial orders that are tried after the given one."""
EFFORT = 60_000
"""Squared number of vertices times random initial orders: larger graphs are tried from fewer."""
VISITS = 15_000
"""Vertices times rounds of exchanges: larger graphs have fewer rounds, and fewer sweeps."""
Layers = list[list[int]]


@dataclass(frozen=True)
class LayeredGraph:
    """A graph whose edges join neighbouring layers.

    Parameters
    ----------
    layer : list of int
        The layer of each vertex; layer 0 is lowest.
    below, above : list of lists of int
        The neighbours of each vertex one layer below, and one layer above.
    """

    layer: list[int]
    below: list[list[int]]
    above: list[list[int]]


def layered_graph(layer: Sequence[int], edges: Sequence[tuple[int, int]]) -> LayeredGraph:
    """Return the graph with the given layers and edges (lower vertex, upper vertex)."""
    below: Layers = [[] for _ in layer]
    above: Layers = [[] for _ in layer]
    for lower, upper in edges:
        above[lower].append(upper)
        below[upper].append(lower)
    return LayeredGraph(list(layer), below, above)


def order_layers(graph: LayeredGraph, hint: Sequence[float], mirror: Sequence[int] | None = None) -> list[Layers]:
    """Order the vertices of each layer from left to right, with few crossings.

    Parameters
    ----------
    graph : LayeredGraph
    hint : sequence of float
        Preferred place of each vertex across, which gives the first initial order.
    mirror : sequence of int, optional
        An involution as of ``find_mirror``: then each layer reads the same from the right, with every vertex replaced
        by its image.

    Returns
    -------
    list of (lists of lists of int)
        The different orders of fewest crossings that were found, those with the shortest edges first.

    Examples
    --------
    >>> order_layers(layered_graph([0, 0, 1, 1], [(0, 3), (1, 2)]), [0, 1, 2, 3])
    [[[1, 0], [2, 3]]]
    """
    chance = random.Random(0)
    extra = min(STARTS, EFFORT // max(len(graph.layer), 1) ** 2)
    places = [list(hint), *([chance.random() for _ in graph.layer] for _ in range(extra))]
    results: list[tuple[tuple[int, float], Layers]] = []
    for place in places:
        order, cost = _improve(graph, _initial(graph, place, mirror), mirror)
        results.append((cost, order))
        if cost[0] == 0:
            break
    fewest = min(crossings for (crossings, _), _ in results)
    best: list[Layers] = []
    for (crossings, _), order in sorted(results, key=lambda result: result[0]):
        if crossings == fewest and order not in best:
            best.append(order)
    return best


def _initial(graph: LayeredGraph, place: list[float], mirror: Sequence[int] | None) -> Layers:
    """Sort each layer by the given places, which are made antisymmetric under the mirror first."""
    layers: Layers = [[] for _ in range(max(graph.layer, default=-1) + 1)]
    for v, row in enumerate(graph.layer):
        layers[row].append(v)
    if mirror is None:
        for layer in layers:
            layer.sort(key=lambda v: (place[v], v))
        return layers

    def key(v: int) -> tuple[float, ...]:
        """Return numbers that all change their sign if v is replaced by its image."""
        image = mirror[v]
        side = (v > image) - (v < image)
        across = place[v] - place[image]
        sign = 1 if (across, side) > (0, 0) else -1
        return across, side, sign * abs(place[v] + place[image]), sign * min(v, image)

    for layer in layers:
        layer.sort(key=key)
    return layers


def _improve(graph: LayeredGraph, layers: Layers, mirror: Sequence[int] | None) -> tuple[Layers, tuple[int, float]]:
    """Exchange neighbours first, and after each sweep upwards or downwards; return the best order and its cost."""
    best, cost = _exchange(graph, layers, mirror)
    stale = 0
    for sweep in range(max(min(2 * SWEEPS, 2 * VISITS // (len(graph.layer) + 1)), 2)):
        near, direction = (graph.above, -1) if sweep % 2 else (graph.below, 1)
        position = centred_positions(layers)
        for layer in layers[::direction]:
            _sort_by_barycentre(layer, near, position, mirror)
        new, new_cost = _exchange(graph, layers, mirror)
        stale = 0 if new_cost < cost else stale + 1
        if new_cost < cost:
            best, cost = new, new_cost
        if stale > 4:
            break
    return best, cost


def centred_positions(layers: Layers) -> dict[int, float]:
    """Map each vertex to its index in its layer, counted from the middle of the layer.

    Examples
    --------
    >>> centred_positions([[5, 6], [7]])
    {5: -0.5, 6: 0.5, 7: 0.0}
    """
    return {v: index - (len(layer) - 1) / 2 for layer in layers for index, v in enumerate(layer)}


def _sort_by_barycentre(
    layer: list[int], near: Layers, position: dict[int, float], mirror: Sequence[int] | None
) -> None:
    """Sort a layer by the mean position of its neighbours; vertices without any keep their place among the others."""
    mean = {v: sum(position[u] for u in near[v]) / len(near[v]) if near[v] else position[v] for v in layer}
    if mirror is None:
        layer.sort(key=lambda v: (mean[v], position[v]))
    else:
        # means of a pair are opposite up to rounding: make them exactly so, that the order stays symmetric
        layer.sort(key=lambda v: (round(mean[v] - mean[mirror[v]], 9), position[v]))
    position.update((v, index - (len(layer) - 1) / 2) for index, v in enumerate(layer))


def _exchange(graph: LayeredGraph, layers: Layers, mirror: Sequence[int] | None) -> tuple[Layers, tuple[int, float]]:
    """Exchange neighbours of a layer, with a mirror their images too, and return the best order and its cost.

    An exchange must remove a crossing; every other round also makes exchanges that change nothing by themselves but may
    allow one in the next layer.
    """
    position = centred_positions(layers)
    crossings = count_crossings(graph, layers)
    best, cost = [list(layer) for layer in layers], (crossings, _length(graph, position))
    stale = 0
    for number in range(max(min(4 * SWEEPS, VISITS // (len(graph.layer) + 1)), 2)):
        for layer in layers:
            # with a mirror the left half alone is changed, and a vertex on the axis stays there
            last = len(layer) - 1 if mirror is None else len(layer) // 2 - len(layer) % 2
            for left in range(last):
                if (gain := _gain(graph, layer, left, position)) < number % 2:
                    continue
                _swap(layer, left, position)
                crossings -= gain
                if mirror is not None and len(layer) - 2 - left != left:
                    _swap(layer, len(layer) - 2 - left, position)
                    crossings -= gain  # the image of the exchange removes as many
        new = crossings, _length(graph, position)
        stale = 0 if new < cost else stale + 1
        if new < cost:
            best, cost = [list(layer) for layer in layers], new
        if stale > 3:
            break
    return best, cost


def _gain(graph: LayeredGraph, layer: list[int], left: int, position: dict[int, float]) -> int:
    """Count the crossings that an exchange of two neighbours would remove."""
    u, v = layer[left], layer[left + 1]
    gain = 0
    for near in (graph.below, graph.above):
        for w in near[u]:
            a = position[w]
            for other in near[v]:
                b = position[other]
                gain += (a > b) - (a < b)
    return gain


def _swap(layer: list[int], left: int, position: dict[int, float]) -> None:
    u, v = layer[left], layer[left + 1]
    layer[left], layer[left + 1] = v, u
    position[u], position[v] = position[v], position[u]


def _length(graph: LayeredGraph, position: dict[int, float]) -> float:
    """Return the summed length of the edges across."""
    length = 0.0
    for v, near in enumerate(graph.below):
        x = position[v]
        for u in near:
            length += abs(x - position[u])
    return round(length, 6)


def count_crossings(graph: LayeredGraph, layers: Layers) -> int:
    """Count the pairs of edges that cross, where each layer has the given order.

    Examples
    --------
    >>> count_crossings(layered_graph([0, 0, 1, 1], [(0, 3), (1, 2)]), [[0, 1], [2, 3]])
    1
    """
    position = {v: index for layer in layers for index, v in enumerate(layer)}
    crossings = 0
    for layer in layers:
        ends: list[int] = []  # right ends of the edges to the left, sorted
        for v in layer:
            new = [position[u] for u in graph.above[v]]
            crossings += sum(len(ends) - bisect_right(ends, end) for end in new)
            for end in new:
                insort(ends, end)
    return crossings
