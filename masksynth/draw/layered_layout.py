"""Layered layout of Hasse diagrams: every box in the layer of its height, few crossings, mirror-symmetric where the diagram is.

Trees are laid out as trees. For other diagrams an edge over several layers passes through a bend in each layer between; the layers are
ordered (``layer_order``), and the places across minimize the weighted sum of squared horizontal lengths of the edges, in which a long
edge weighs most, so that it runs straight (E. R. Gansner and others, "A technique for drawing directed graphs", 1993, for the weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from masksynth.draw.layer_order import LayeredGraph, Layers, layered_graph, order_layers
from masksynth.draw.mirror import find_mirror
from masksynth.draw.tree_layout import find_root, place_tree

Point = tuple[float, float]
MOST_BENDS = 20_000
"""Most bends of long edges; where there would be more, edges run straight."""
BEND = 6.0
"""Width that an edge takes where it passes a layer."""
STEPS = 400_000
"""Vertices times sweeps of the descent for the places across."""
SHAPE = 1.6
"""Width over height at which connected parts are put on another shelf."""


@dataclass(frozen=True)
class Spacing:
    """Distances in a layout.

    Parameters
    ----------
    gap : float
        Between neighbours in a layer.
    rise : float
        Least distance between layers.
    slope : float
        The distance between two layers is at least this times the longest horizontal extent of an edge between them, up to ``2 * rise``.
    """

    gap: float = 18.0
    rise: float = 28.0
    slope: float = 0.12


@dataclass(frozen=True)
class Layout:
    """Where boxes stand and how edges run; y grows downwards and layer 0 lies lowest.

    Parameters
    ----------
    centres : list of (x, y)
        Of the boxes.
    routes : list of lists of (x, y)
        For each edge its points from the top of the lower box to the bottom of the upper one; y falls strictly along a route.
    width, height : float
        Of the picture.
    """

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def layered_layout(
    sizes: Sequence[Point],
    edges: Sequence[tuple[int, int]],
    heights: Sequence[int],
    hint: Sequence[float] | None = None,
    spacing: Spacing | None = None,
) -> Layout:
    """Lay out boxes on layers, connected parts side by side on shelves.

    Parameters
    ----------
    sizes : sequence of (width, height)
        Of the boxes.
    edges : sequence of (upper box, lower box)
    heights : sequence of int
        The layer of each box; an edge climbs at least one layer.
    hint : sequence of float, optional
        Preferred order of the boxes from left to right [default: as given].
    spacing : Spacing, optional

    Returns
    -------
    Layout
        A connected part that has a mirror symmetry is drawn symmetrically.

    Examples
    --------
    A diamond: its two sides stand apart, its ends in the middle.

    >>> diamond = layered_layout([(10, 10)] * 4, [(1, 0), (2, 0), (3, 1), (3, 2)], [0, 1, 1, 2], spacing=Spacing(18, 30, 0))
    >>> diamond.centres, diamond.width, diamond.height
    ([(19.0, 85.0), (5.0, 45.0), (33.0, 45.0), (19.0, 5.0)], 38.0, 90.0)
    """
    import networkx as nx

    hint, spacing = range(len(sizes)) if hint is None else hint, spacing or Spacing()
    graph = nx.Graph()
    graph.add_nodes_from(range(len(sizes)))
    graph.add_edges_from(edges)
    parts = sorted((sorted(part) for part in nx.connected_components(graph)), key=lambda part: (min(hint[v] for v in part), part))
    part_of = {v: number for number, part in enumerate(parts) for v in part}
    inside: list[list[int]] = [[] for _ in parts]
    for number, (upper, _) in enumerate(edges):
        inside[part_of[upper]].append(number)
    layouts = [
        _lay_out_part(part, sizes, [edges[number] for number in numbers], heights, hint, spacing)
        for part, numbers in zip(parts, inside, strict=True)
    ]
    corners, width, height = _fill_shelves([(part.width, part.height) for part in layouts], spacing)
    centres, routes = [(0.0, 0.0)] * len(sizes), list[list[Point]]([[] for _ in edges])
    for part, numbers, layout, (x, y) in zip(parts, inside, layouts, corners, strict=True):
        for v, (u, w) in zip(part, layout.centres, strict=True):
            centres[v] = (round(u + x, 2), round(w + y, 2))
        for number, route in zip(numbers, layout.routes, strict=True):
            routes[number] = [(round(u + x, 2), round(w + y, 2)) for u, w in route]
    return Layout(centres, routes, round(width, 2), round(height, 2))


def _fill_shelves(sizes: Sequence[Point], spacing: Spacing) -> tuple[list[Point], float, float]:
    """Return the upper left corner of each part, and the width and height of all; the parts of a shelf share its lower edge."""
    area = sum((width + spacing.gap) * (height + spacing.rise) for width, height in sizes)
    room = max([SHAPE * area**0.5, *(width for width, _ in sizes)])
    shelves: list[list[int]] = []
    used = room + 1
    for number, (width, _) in enumerate(sizes):
        if used + width > room:
            shelves.append([])
            used = 0.0
        shelves[-1].append(number)
        used += width + 2 * spacing.gap
    corners, top, right = [(0.0, 0.0)] * len(sizes), 0.0, 0.0
    for shelf in shelves:
        x, tallest = 0.0, max(sizes[number][1] for number in shelf)
        for number in shelf:
            corners[number] = (x, top + tallest - sizes[number][1])
            x += sizes[number][0] + 2 * spacing.gap
        top += tallest + spacing.rise
        right = max(right, x - 2 * spacing.gap)
    return corners, right, max(top - spacing.rise, 0.0)


def _lay_out_part(
    part: list[int],
    sizes: Sequence[Point],
    edges: Sequence[tuple[int, int]],
    heights: Sequence[int],
    hint: Sequence[float],
    spacing: Spacing,
) -> Layout:
    """Lay out one connected part; the layout numbers its boxes and edges in the given order."""
    number = {v: index for index, v in enumerate(part)}
    least = min(heights[v] for v in part)
    layer, widths, places = [heights[v] - least for v in part], [sizes[v][0] for v in part], [float(hint[v]) for v in part]
    bends = sum(heights[upper] - heights[lower] - 1 for upper, lower in edges)
    chains = []
    for upper, lower in edges:
        between = range(heights[lower] - least + 1, heights[upper] - least) if bends <= MOST_BENDS else range(0)
        chains.append([number[lower], *range(len(layer), len(layer) + len(between)), number[upper]])
        layer += between
        widths += [BEND] * len(between)
        places += [(hint[upper] + hint[lower]) / 2] * len(between)
    links = [link for chain in chains for link in pairwise(chain) if layer[link[1]] - layer[link[0]] == 1]
    across = _place_across(layered_graph(layer, links), chains, widths, places, len(part), spacing)
    left = min(x - width / 2 for x, width in zip(across, widths, strict=True))
    across = [x - left for x in across]
    tall = [0.0] * (max(layer) + 1)
    for v, row in zip(part, layer, strict=False):
        tall[row] = max(tall[row], float(sizes[v][1]))
    down, total = _stack_rows(tall, across, layer, links, spacing)
    centres = [(across[index], down[layer[index]]) for index in range(len(part))]
    routes = [_route(chain, across, layer, down, tall, [sizes[part[end]][1] for end in (chain[0], chain[-1])]) for chain in chains]
    right = max(x + width / 2 for x, width in zip(across, widths, strict=True))
    return Layout(centres, routes, right, total)


def _place_across(
    graph: LayeredGraph, chains: list[list[int]], widths: list[float], places: list[float], boxes: int, spacing: Spacing
) -> list[float]:
    """Return the place across of each vertex, boxes first and bends after them."""
    rooted = find_root(graph)
    if rooted is not None and sum(len(chain) - 1 for chain in chains) == len(widths) - 1:
        return place_tree(graph, *rooted, widths, places, spacing.gap)
    mirror = find_mirror(graph)
    if mirror is not None and any((v < boxes) != (image < boxes) for v, image in enumerate(mirror)):
        mirror = None  # a box is no mirror image of a bend
    if mirror is not None:
        widths = [max(width, widths[image]) for width, image in zip(widths, mirror, strict=True)]
    layers = order_layers(graph, places, mirror)
    weights = [[1 + (u >= boxes) + (v >= boxes) * 1 for u in near] for v, near in enumerate(graph.below)]
    across = minimize_lengths(graph, layers, widths, weights, spacing.gap)
    if mirror is not None:  # rounding errors apart, the solution is symmetric already
        across = [(across[v] - across[image]) / 2 for v, image in enumerate(mirror)]
    return across


def minimize_lengths(
    graph: LayeredGraph, layers: Layers, widths: Sequence[float], weights: list[list[int]], gap: float
) -> list[float]:
    """Return the places across that minimize the sum of ``weight ** 3 * (x[u] - x[v]) ** 2`` over the edges, neighbours kept apart.

    Block coordinate descent: given the other layers, the places of a layer are an isotonic regression.

    Parameters
    ----------
    graph : LayeredGraph
    layers : list of lists of int
        The vertices of each layer from left to right.
    widths : sequence of float
        Of the vertices.
    weights : list of lists of int
        For each vertex the weights of the edges to its neighbours below: 1 between boxes, 2 from a box to a bend, 3 between bends.
    gap : float
        Least distance between the outlines of neighbours in a layer.
    """
    pulls: list[list[tuple[int, float]]] = [[] for _ in widths]
    for v, (near, row) in enumerate(zip(graph.below, weights, strict=True)):
        for u, weight in zip(near, row, strict=True):
            pulls[v].append((u, float(weight**3)))
            pulls[u].append((v, float(weight**3)))
    across = [0.0] * len(widths)
    for layer in layers:
        for v, x in zip(layer, separate([0.0] * len(layer), [1.0] * len(layer), [widths[v] for v in layer], gap), strict=True):
            across[v] = x
    sweeps = min(max(STEPS // max(len(widths), 1), 6), 200)
    for sweep in range(sweeps):
        for layer in layers if sweep % 2 else reversed(layers):
            totals = [sum(weight for _, weight in pulls[v]) or 1e-9 for v in layer]
            wanted = [
                sum(weight * across[u] for u, weight in pulls[v]) / total if pulls[v] else across[v]
                for v, total in zip(layer, totals, strict=True)
            ]
            for v, x in zip(layer, separate(wanted, totals, [widths[v] for v in layer], gap), strict=True):
                across[v] = x
    return across


def separate(wanted: Sequence[float], weights: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Return centres in the given order, ``gap`` apart at least, of least weighted squared distance to the wanted ones.

    Pool adjacent violators: what would overlap is moved together to the weighted mean.

    Examples
    --------
    >>> separate([0, 0, 100], [1, 1, 1], [10, 10, 10], 18)
    [-14.0, 14.0, 100.0]
    """
    offsets, offset = list[float](), 0.0
    for index, width in enumerate(widths):
        offset += (widths[index - 1] + width) / 2 + gap if index else 0.0
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


def _stack_rows(
    tall: list[float], across: list[float], layer: list[int], links: list[tuple[int, int]], spacing: Spacing
) -> tuple[list[float], float]:
    """Return the centre of each layer, counted downwards, and the height of all; flat edges get more room."""
    rise = [spacing.rise] * len(tall)  # above each layer
    for lower, upper in links:
        extent = spacing.slope * abs(across[lower] - across[upper])
        rise[layer[lower]] = max(rise[layer[lower]], min(extent, 2 * spacing.rise))
    down, y = [0.0] * len(tall), 0.0
    for row in reversed(range(len(tall))):
        down[row] = y + tall[row] / 2
        y += tall[row] + (rise[row - 1] if row else 0.0)
    return down, y


def _route(
    chain: list[int], across: list[float], layer: list[int], down: list[float], tall: list[float], ends: Sequence[float]
) -> list[Point]:
    """Return the points of an edge; it leaves and enters boxes that are lower than their layer vertically."""
    first, *between, last = chain
    low, high = down[layer[first]], down[layer[last]]
    points = [(across[first], low - ends[0] / 2)]
    if ends[0] < tall[layer[first]]:
        points.append((across[first], low - tall[layer[first]] / 2))
    points += [(across[v], down[layer[v]]) for v in between]
    if ends[1] < tall[layer[last]]:
        points.append((across[last], high + tall[layer[last]] / 2))
    return [*points, (across[last], high + ends[1] / 2)]
