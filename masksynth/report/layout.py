"""A layered layout: every box on the layer of its height, few crossings, edges as straight as their order allows.

Long edges pass a point on every layer between. Orders come from sweeps by means of neighbours (Sugiyama, Tagawa and Toda, "Methods for
visual understanding of hierarchical system structures", IEEE Trans. SMC 11 (1981)); given the orders, places are the least squares
solution to lie below one's neighbours, by pooling adjacent violators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 6
MOST_POINTS = 20_000
"""Most points of long edges; where there would be more, edges run straight."""
GAP, RISE, THIN = 18.0, 32.0, 10.0
"""Pixels between boxes of a layer, between layers, and that an edge takes where it passes a layer."""
Point = tuple[float, float]
Size = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Where boxes stand (centres; y grows downwards, layer 0 lies lowest) and how edges run.

    Parameters
    ----------
    centres : list of (float, float)
    routes : list of lists of (float, float)
        For each edge its points from the centre of the lower box to that of the upper one.
    width, height : float
    """

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def layered(sizes: Sequence[Size], heights: Sequence[int], edges: Sequence[tuple[int, int]]) -> Layout:
    """Lay out boxes of given (width, height) on layers; an edge (lower, upper) climbs at least one layer.

    Examples
    --------
    A diamond: its two sides stand apart, its ends in the middle.

    >>> found = layered([(10, 10)] * 4, [0, 1, 1, 2], [(0, 1), (0, 2), (1, 3), (2, 3)])
    >>> found.centres, found.width, found.height
    ([(19.0, 89.0), (5.0, 47.0), (33.0, 47.0), (19.0, 5.0)], 38.0, 94.0)
    """
    chains, layer_of, widths = _chains(sizes, heights, edges)
    near = _neighbours(chains, len(layer_of))
    layers: list[list[int]] = [[] for _ in range(max(layer_of, default=-1) + 1)]
    for item, layer in enumerate(layer_of):
        layers[layer].append(item)
    _order(layers, layer_of, near)
    across = _places(layers, layer_of, near, widths)
    down, height = _rows(sizes, heights, len(layers))
    points = [(across[item], down[layer_of[item]]) for item in range(len(layer_of))]
    routes = [[points[item] for item in chain] for chain in chains]
    width = max((across[item] + widths[item] / 2 for item in range(len(across))), default=0.0)
    return Layout(points[: len(sizes)], routes, round(width, 2), height)


def _chains(
    sizes: Sequence[Size], heights: Sequence[int], edges: Sequence[tuple[int, int]]
) -> tuple[list[list[int]], list[int], list[float]]:
    """Edges as chains of items, the layer of every item, its width; items beyond the boxes are points of long edges."""
    layer_of, widths = list(heights), [size[0] for size in sizes]
    routed = sum(heights[upper] - heights[lower] - 1 for lower, upper in edges) <= MOST_POINTS
    chains = []
    for lower, upper in edges:
        between = range(heights[lower] + 1, heights[upper]) if routed else range(0)
        chains.append([lower, *range(len(layer_of), len(layer_of) + len(between)), upper])
        layer_of.extend(between)
        widths.extend([THIN] * len(between))
    return chains, layer_of, widths


def _neighbours(chains: list[list[int]], items: int) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(items)]
    for chain in chains:
        for one, two in pairwise(chain):
            near[one].append(two)
            near[two].append(one)
    return near


def _order(layers: list[list[int]], layer_of: list[int], near: list[list[int]]) -> None:
    """Sort each layer by the mean place of its neighbours below, then above, some times over."""
    place = {item: index for layer in layers for index, item in enumerate(layer)}
    for sweep in range(SWEEPS):
        up = sweep % 2 == 0
        for layer in layers if up else reversed(layers):
            mean = {}
            for item in layer:
                next_to = [place[other] for other in near[item] if _before(item, other, layer_of, up)]
                mean[item] = _mean(next_to, place[item])
            layer.sort(key=lambda item: (mean[item], place[item]))
            place.update((item, index) for index, item in enumerate(layer))


def _before(item: int, other: int, layer_of: list[int], up: bool) -> bool:
    return layer_of[other] < layer_of[item] if up else layer_of[other] > layer_of[item]


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _places(layers: list[list[int]], layer_of: list[int], near: list[list[int]], widths: list[float]) -> list[float]:
    """The centre of every item across, the leftmost edge at 0."""
    across = [0.0] * len(widths)
    for layer in layers:
        for item, at in zip(layer, pooled([0.0] * len(layer), [widths[item] for item in layer]), strict=True):
            across[item] = at
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [_mean([across[other] for other in near[item]], across[item]) for item in layer]
            for item, at in zip(layer, pooled(wanted, [widths[item] for item in layer]), strict=True):
                across[item] = at
    least = min((at - width / 2 for at, width in zip(across, widths, strict=True)), default=0.0)
    return [round(at - least, 2) for at in across]


def pooled(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Centres in the given order, ``GAP`` apart at least, of least squared distance to the wanted ones.

    Examples
    --------
    >>> pooled([0, 0, 100], [10, 10, 10])
    [-14.0, 14.0, 100.0]
    """
    offsets, at = [], 0.0
    for index, width in enumerate(widths):
        at += (widths[index - 1] + width) / 2 + GAP if index else 0.0
        offsets.append(at)
    blocks: list[tuple[float, int]] = []
    for goal, offset in zip(wanted, offsets, strict=True):
        mean, size = goal - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, members = blocks.pop()
            mean, size = (mean * size + other * members) / (size + members), size + members
        blocks.append((mean, size))
    bases = [mean for mean, size in blocks for _ in range(size)]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]


def _rows(sizes: Sequence[Size], heights: Sequence[int], layers: int) -> tuple[list[float], float]:
    """The centre of every layer downwards, and the height of all."""
    tall = [THIN] * layers
    for (_, height), layer in zip(sizes, heights, strict=True):
        tall[layer] = max(tall[layer], float(height))
    down, at = [0.0] * layers, 0.0
    for layer in reversed(range(layers)):
        down[layer] = at + tall[layer] / 2
        at += tall[layer] + RISE
    return down, max(at - RISE, 0.0)
