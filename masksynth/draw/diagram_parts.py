"""Connected parts of a Hasse diagram, with horizontal coordinates of their boxes and of the bends of their edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from masksynth.draw.layer_coordinates import minimize_lengths
from masksynth.draw.layer_order import LayeredGraph, layered_graph, order_layers
from masksynth.draw.mirror import find_mirror, refine
from masksynth.draw.tree_layout import find_root, merge_outlines, place_tree

Point = tuple[float, float]
MOST_BENDS = 20_000
"""Maximum number of bends of long edges; where there would be more, edges run straight."""
BEND = 6.0
"""Width that an edge takes where it passes a layer."""
ORDERS = 6
"""Maximum number of orders with equally many crossings whose horizontal coordinates are compared."""
PROPORTION = 1.6
"""Interchangeable boxes get equal widths if the widest is at most this many times as wide as the narrowest."""


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
        The distance between two layers is at least this times the longest horizontal extent of an edge between them, up
        to ``2 * rise``.
    """

    gap: float = 18.0
    rise: float = 28.0
    slope: float = 0.12


@dataclass(frozen=True)
class Shape:
    """A graph to be laid out: boxes on layers, and edges between them.

    Parameters
    ----------
    sizes : sequence of (width, height)
        Sizes of the boxes.
    edges : sequence of (upper box, lower box)
    heights : sequence of int
        The layer of each box; an edge climbs at least one layer.
    hint : sequence of float
        Preferred order of the boxes from left to right.
    side_column : sequence of bool
        Boxes of a tree that go to a column left or right of what they cover, never straight above it.
    """

    sizes: Sequence[Point]
    edges: Sequence[tuple[int, int]]
    heights: Sequence[int]
    hint: Sequence[float]
    side_column: Sequence[bool]


@dataclass(frozen=True)
class Part:
    """A connected part of a diagram; its vertices are first its boxes, then the bends of its long edges.

    Parameters
    ----------
    boxes : list of int
    chains : dict of int -> list of int
        For each edge its vertices, from the lower box to the upper one.
    layer, widths, across : lists
        Layer, width and centre of each vertex.
    code : int or tuple
        Equal for isomorphic parts.
    """

    boxes: list[int]
    chains: dict[int, list[int]]
    layer: list[int]
    widths: list[float]
    across: list[float]
    code: tuple[int, ...]

    @property
    def outline(self) -> dict[int, tuple[float, float]]:
        """(least, greatest) horizontal coordinate in each layer."""
        edges = [
            {layer: (x - width / 2, x + width / 2)}
            for layer, x, width in zip(self.layer, self.across, self.widths, strict=True)
        ]
        return merge_outlines(edges, [0.0] * len(edges))


def connected_parts(shape: Shape) -> list[tuple[list[int], list[int]]]:
    """Return the boxes and the numbers of the edges of each connected part, in the order of the hint."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(len(shape.sizes)))
    graph.add_edges_from(shape.edges)
    parts = sorted(
        map(sorted, nx.connected_components(graph)), key=lambda boxes: (min(shape.hint[v] for v in boxes), boxes)
    )
    part_of = {v: number for number, boxes in enumerate(parts) for v in boxes}
    edges: list[list[int]] = [[] for _ in parts]
    for number, (upper, _) in enumerate(shape.edges):
        edges[part_of[upper]].append(number)
    return list(zip(parts, edges, strict=True))


def place_part(boxes: list[int], numbers: list[int], shape: Shape, spacing: Spacing) -> Part:
    """Compute the horizontal coordinates of one connected part, given the numbers of its edges."""
    index = {v: vertex for vertex, v in enumerate(boxes)}
    layer, widths = [shape.heights[v] for v in boxes], [float(shape.sizes[v][0]) for v in boxes]
    places, side_column = [float(shape.hint[v]) for v in boxes], [shape.side_column[v] for v in boxes]
    ends = {number: shape.edges[number] for number in numbers}
    bends = sum(shape.heights[upper] - shape.heights[lower] - 1 for upper, lower in ends.values())
    chains: dict[int, list[int]] = {}
    for number, (upper, lower) in ends.items():
        between = range(shape.heights[lower] + 1, shape.heights[upper]) if bends <= MOST_BENDS else range(0)
        chains[number] = [index[lower], *range(len(layer), len(layer) + len(between)), index[upper]]
        layer += between
        widths += [BEND] * len(between)
        places += [(shape.hint[upper] + shape.hint[lower]) / 2] * len(between)
        side_column += [False] * len(between)
    links = [link for chain in chains.values() for link in pairwise(chain) if layer[link[1]] - layer[link[0]] == 1]
    graph = layered_graph(layer, links)
    colours = refine(graph, [2 * row + (v >= len(boxes)) for v, row in enumerate(layer)])
    code = tuple(sorted(colours))
    rooted = find_root(graph) if len(links) == len(layer) - 1 else None
    if rooted is not None:
        widths = _equal_widths(widths, colours)
        return Part(
            boxes, chains, layer, widths, place_tree(graph, *rooted, widths, places, side_column, spacing.gap), code
        )
    mirror = find_mirror(graph, colours)
    if mirror is not None:
        widths = [max(width, widths[image]) for width, image in zip(widths, mirror, strict=True)]
    return Part(boxes, chains, layer, widths, _place_graph(graph, widths, places, mirror, len(boxes), spacing), code)


def _equal_widths(widths: list[float], colours: list[int]) -> list[float]:
    """Give interchangeable vertices the width of the widest of them, unless that is out of proportion."""
    low, high = dict[int, float](), dict[int, float]()
    for width, colour in zip(widths, colours, strict=True):
        low[colour], high[colour] = min(low.get(colour, width), width), max(high.get(colour, width), width)
    return [
        high[colour] if high[colour] <= PROPORTION * low[colour] else width
        for width, colour in zip(widths, colours, strict=True)
    ]


def _place_graph(
    graph: LayeredGraph,
    widths: list[float],
    places: list[float],
    mirror: list[int] | None,
    boxes: int,
    spacing: Spacing,
) -> list[float]:
    """Place the vertices of a graph that is not a tree: the first ``boxes`` are boxes, the others bends."""
    # edges between two bends should be straight first of all
    weights = [[(1.0, 8.0, 27.0)[(u >= boxes) + (v >= boxes)] for u in near] for v, near in enumerate(graph.below)]
    best, least = list[float](), float("inf")
    # edges may pass each other more closely than boxes
    room = [width + spacing.gap * (v < boxes) for v, width in enumerate(widths)]
    for layers in order_layers(graph, places, mirror)[:ORDERS]:
        across, length = minimize_lengths(graph, layers, room, weights)
        if length < 0.999 * least:
            best, least = across, length
    if mirror is not None:  # rounding errors apart, it is symmetric already
        best = [(best[v] - best[image]) / 2 for v, image in enumerate(mirror)]
    return best
