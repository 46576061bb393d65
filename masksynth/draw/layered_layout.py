"""Layered layout of Hasse diagrams: each box in the layer of its height, few crossings, symmetric where possible.

Trees are laid out as trees. For other diagrams an edge over several layers passes through a bend in each layer between;
the layers are ordered (``layer_order``), and the horizontal coordinates minimize the weighted sum of squared horizontal
lengths of the edges, in which a long edge weighs most, so that it runs straight (E. R. Gansner and others, "A technique
for drawing directed graphs", 1993, for the weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from masksynth.draw.diagram_parts import BEND, Part, Point, Shape, Spacing, connected_parts, place_part
from masksynth.draw.tree_layout import attach_outlines, merge_outlines, sort_symmetrically

__all__ = ["Layout", "Point", "Spacing", "layered_layout"]

SHAPE, ONE_SHELF, SHELF_ROW = 1.6, 640.0, 50.0
"""Parts share one shelf up to ``ONE_SHELF`` points, or ``SHAPE`` times the square root of their area, where a layer is
``SHELF_ROW`` points high."""
MOST_ON_ONE_SHELF = 12
"""Maximum number of parts whose outlines are moved together."""


@dataclass(frozen=True)
class Layout:
    """Positions of boxes and routes of edges; y grows downwards and layer 0 is at the bottom.

    Parameters
    ----------
    centres : list of (x, y)
        Centres of the boxes.
    widths : list of float
        Widths of the boxes: as given, or slightly larger, since mirror images of each other have equal widths.
    routes : list of lists of (x, y)
        For each edge its points from the top of the lower box to the bottom of the upper one; y falls strictly along a
        route.
    width, height : float
        Size of the picture.
    """

    centres: list[Point]
    widths: list[float]
    routes: list[list[Point]]
    width: float
    height: float


def layered_layout(
    sizes: Sequence[Point],
    edges: Sequence[tuple[int, int]],
    heights: Sequence[int],
    hint: Sequence[float] | None = None,
    side_column: Sequence[bool] | None = None,
    spacing: Spacing | None = None,
) -> Layout:
    """Lay out boxes on layers, connected parts side by side.

    Parameters
    ----------
    sizes, edges, heights, hint, side_column
        As for ``Shape``; without a hint boxes are ordered as given, and without ``side_column`` none are.
    spacing : Spacing, optional

    Returns
    -------
    Layout
        A diagram that has a mirror symmetry is drawn symmetrically.

    Examples
    --------
    A diamond: the ends are centred between its two sides.

    >>> edges = [(1, 0), (2, 0), (3, 1), (3, 2)]
    >>> diamond = layered_layout([(10, 10)] * 4, edges, [0, 1, 1, 2], spacing=Spacing(18, 30, 0))
    >>> diamond.centres, diamond.width, diamond.height
    ([(19.0, 85.0), (5.0, 45.0), (33.0, 45.0), (19.0, 5.0)], 38.0, 90.0)
    """
    count = len(sizes)
    shape = Shape(sizes, edges, heights, hint or list(range(count)), side_column or [False] * count)
    spacing = spacing or Spacing()
    parts = [place_part(boxes, numbers, shape, spacing) for boxes, numbers in connected_parts(shape)]
    return _stack(_shelve(parts, spacing), shape, spacing)


def _shelve(parts: list[Part], spacing: Spacing) -> list[list[tuple[Part, float]]]:
    """Return shelves of (part, its offset across), the upper shelf first.

    On one shelf the outlines of the parts are packed, and isomorphic parts are placed symmetrically where possible.
    """
    outlines = [part.outline for part in parts]
    spans = [_span(outline) for outline in outlines]
    area = sum((high - low + spacing.gap) * len(o) * SHELF_ROW for (low, high), o in zip(spans, outlines, strict=True))
    room = max([SHAPE * area**0.5, ONE_SHELF, *(high - low for low, high in spans)])
    if len(parts) <= MOST_ON_ONE_SHELF:
        codes = {part.code: number for number, part in enumerate(parts)}
        order = sort_symmetrically(range(len(parts)), {number: codes[part.code] for number, part in enumerate(parts)})
        ordered = [outlines[number] for number in order]
        offsets = attach_outlines(ordered, spacing.gap)
        low, high = _span(merge_outlines(ordered, offsets))
        if high - low <= room:
            return [[(parts[number], offset) for number, offset in zip(order, offsets, strict=True)]]
    shelves: list[list[tuple[Part, float]]] = [[]]
    x = 0.0
    for part, (low, high) in zip(parts, spans, strict=True):
        if shelves[-1] and x + high - low > room:
            shelves.append([])
            x = 0.0
        shelves[-1].append((part, x - low))
        x += high - low + 2 * spacing.gap
    return shelves


def _span(outline: Mapping[int, tuple[float, float]]) -> tuple[float, float]:
    """Return the least and the greatest horizontal coordinate of an outline."""
    return min((low for low, _ in outline.values()), default=0.0), max(
        (high for _, high in outline.values()), default=0.0
    )


def _stack(shelves: list[list[tuple[Part, float]]], shape: Shape, spacing: Spacing) -> Layout:
    """Give each shelf its rows, and each box and edge its points."""
    count = len(shape.sizes)
    centres, widths, routes = [(0.0, 0.0)] * count, [0.0] * count, list[list[Point]]([] for _ in shape.edges)
    top, right = 0.0, 0.0
    for shelf in shelves:
        left = min(
            (x - w / 2 + offset for part, offset in shelf for x, w in zip(part.across, part.widths, strict=True)),
            default=0.0,
        )
        tall, down, height = _rows(shelf, shape, spacing)
        for part, offset in shelf:
            x = [across + offset - left for across in part.across]
            right = max(right, *(centre + width / 2 for centre, width in zip(x, part.widths, strict=True)))
            for vertex, v in enumerate(part.boxes):
                centres[v] = (round(x[vertex], 2), round(top + down[part.layer[vertex]], 2))
                widths[v] = part.widths[vertex]
            for number, chain in part.chains.items():
                ends = [shape.sizes[part.boxes[vertex]][1] for vertex in (chain[0], chain[-1])]
                points = _route(chain, x, part.layer, down, tall, ends)
                routes[number] = [(round(a, 2), round(top + b, 2)) for a, b in points]
        top += height + spacing.rise
    return Layout(centres, widths, routes, round(right, 2), round(max(top - spacing.rise, 0.0), 2))


def _rows(shelf: list[tuple[Part, float]], shape: Shape, spacing: Spacing) -> tuple[list[float], list[float], float]:
    """Return the height of each layer, its centre counted downwards, and the sum of all; flat edges get more room."""
    count = 1 + max((row for part, _ in shelf for row in part.layer), default=-1)
    tall, rise = [0.0] * count, [spacing.rise] * count  # height of a layer, and gap above it
    for part, _ in shelf:
        for v, row in zip(part.boxes, part.layer, strict=False):
            tall[row] = max(tall[row], float(shape.sizes[v][1]))
        for lower, upper in (link for chain in part.chains.values() for link in pairwise(chain)):
            extent = spacing.slope * abs(part.across[lower] - part.across[upper])
            rise[part.layer[lower]] = max(rise[part.layer[lower]], min(extent, 2 * spacing.rise))
    down, y = [0.0] * count, 0.0
    for row in reversed(range(count)):
        down[row] = y + tall[row] / 2
        y += tall[row] + (rise[row - 1] if row else 0.0)
    return tall, down, y


def _route(
    chain: list[int], across: list[float], layer: list[int], down: list[float], tall: list[float], ends: Sequence[float]
) -> list[Point]:
    """Return the points of an edge; past boxes that it might touch it runs vertically.

    Parameters
    ----------
    chain : list of int
        Its vertices from the lower box to the upper one.
    across, layer : list
        Place across and layer of each vertex.
    down, tall : list of float
        Centre and height of each layer.
    ends : sequence of float
        Heights of the lower and the upper box.
    """
    first, *bends, last = chain
    low, high = down[layer[first]], down[layer[last]]
    points = [(across[first], low - ends[0] / 2)]
    if ends[0] < tall[layer[first]]:
        points.append((across[first], low - tall[layer[first]] / 2))
    for before, bend, after in zip(chain, bends, chain[2:], strict=False):
        x, y, half = across[bend], down[layer[bend]], tall[layer[bend]] / 2
        slope = max(abs(x - across[v]) / abs(y - down[layer[v]]) for v in (before, after))
        points += [(x, y)] if slope * half < BEND / 2 else [(x, y + half), (x, y - half)]
    if ends[1] < tall[layer[last]]:
        points.append((across[last], high + tall[layer[last]] / 2))
    return [*points, (across[last], high + ends[1] / 2)]
