"""Where the boxes of a layered diagram stand: Graphviz where it is installed, else layers ordered by barycentres.

Graphviz is told numbers alone, boxes by index and their sizes, so that no name can reach its language.

References
----------
K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system structures", IEEE Trans. SMC 11 (1981).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from masksynth.errors import MasksynthError

Point = tuple[float, float]

GRAPHVIZ = "dot"
SECONDS = 60
INCH = 72.0
APART, BETWEEN = 14.0, 26.0
"""Points between neighbours of a layer, and between layers."""


@dataclass(frozen=True)
class Layout:
    """Centres of the boxes and lines of the edges in points, the origin below left; ``curved``: the lines are cubic Bezier splines."""

    places: tuple[Point, ...]
    lines: tuple[tuple[Point, ...], ...]
    width: float
    height: float
    curved: bool


def has_graphviz() -> bool:
    """Whether the program ``dot`` is on the path."""
    return shutil.which(GRAPHVIZ) is not None


def layout(sizes: Sequence[Point], edges: Sequence[tuple[int, int]], heights: Sequence[int]) -> Layout:
    """Lay out boxes so that every edge (upper, lower) points up, connected parts side by side on shelves.

    Parameters
    ----------
    sizes : sequence of (width, height)
        In points.
    edges : sequence of (upper, lower)
    heights : sequence of int
        Layers of the boxes, for the layout without Graphviz.
    """
    import networkx as nx

    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(sizes)))
    parts = sorted(sorted(part) for part in nx.connected_components(graph))
    lay = by_graphviz if has_graphviz() else by_barycentres
    found = [_part(lay, part, sizes, edges, heights) for part in parts]
    corners, width, height = _shelves([(one.width, one.height) for one in found])
    places: dict[int, Point] = {}
    lines: dict[tuple[int, int], tuple[Point, ...]] = {}
    for part, one, (x, y) in zip(parts, found, corners, strict=True):
        places |= {node: (u + x, v + y) for node, (u, v) in zip(part, one.places, strict=True)}
        own = [edge for edge in edges if edge[0] in set(part)]
        lines |= {edge: tuple((u + x, v + y) for u, v in line) for edge, line in zip(own, one.lines, strict=True)}
    ordered = tuple(places[node] for node in range(len(sizes)))
    return Layout(ordered, tuple(lines[edge] for edge in edges), width, height, lay is by_graphviz)


def _part(
    lay: Callable[[Sequence[Point], Sequence[tuple[int, int]], Sequence[int]], Layout],
    part: list[int],
    sizes: Sequence[Point],
    edges: Sequence[tuple[int, int]],
    heights: Sequence[int],
) -> Layout:
    """One connected part; a single box needs no layout."""
    if len(part) == 1:
        width, height = sizes[part[0]]
        return Layout(((width / 2, height / 2),), (), width, height, False)
    number = {node: place for place, node in enumerate(part)}
    inside = [(number[upper], number[lower]) for upper, lower in edges if upper in number]
    return lay([sizes[node] for node in part], inside, [heights[node] for node in part])


def _shelves(sizes: list[Point]) -> tuple[list[Point], float, float]:
    """Corners below left of parts on shelves from the top down, about twice as wide as high, and the width and height of all."""
    area = sum((wide + APART) * (high + BETWEEN) for wide, high in sizes)
    room = max([1.4 * area**0.5, *(wide for wide, _ in sizes)])
    shelves: list[list[int]] = []
    used = room + 1
    for number, (wide, _) in enumerate(sizes):
        if used + wide > room:
            shelves.append([])
            used = 0.0
        shelves[-1].append(number)
        used += wide + APART
    corners, top = [(0.0, 0.0)] * len(sizes), 0.0
    for shelf in reversed(shelves):
        x = 0.0
        for number in shelf:
            corners[number] = (x, top)
            x += sizes[number][0] + APART
        top += max(sizes[number][1] for number in shelf) + BETWEEN
    width = max((corner[0] + size[0] for corner, size in zip(corners, sizes, strict=True)), default=0.0)
    return corners, width, max(top - BETWEEN, 0.0)


def by_graphviz(sizes: Sequence[Point], edges: Sequence[tuple[int, int]], heights: Sequence[int] = ()) -> Layout:
    """Layout by ``dot``, which finds layers of its own.

    Raises
    ------
    MasksynthError
        If it fails.
    """
    lines = [f"{i} [width={width / INCH:.4f},height={height / INCH:.4f}]" for i, (width, height) in enumerate(sizes)]
    lines += [f"{lower}->{upper}" for upper, lower in edges]
    settings = f'rankdir=BT;nodesep={APART / INCH:.3f};ranksep={BETWEEN / INCH:.3f};node[shape=box,fixedsize=true,label=""];edge[dir=none]'
    told = f"digraph{{{settings}\n" + "\n".join(lines) + "\n}\n"
    try:
        done = subprocess.run(
            [GRAPHVIZ, "-Tplain"], input=told, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MasksynthError(
            f"Graphviz does not lay the diagram out: {type(error).__name__}; draw another picture"
        ) from None
    if done.returncode:
        raise MasksynthError(
            f"Graphviz does not lay the diagram out: {' '.join(done.stderr.split())[:200]}; repair or remove it"
        )
    return _plain(done.stdout, len(sizes), edges)


def _plain(text: str, count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """Graphviz's plain output: ``graph scale width height``, ``node name x y ...``, ``edge tail head n x1 y1 ...``, in inches."""
    places, splines, size = [(0.0, 0.0)] * count, dict[tuple[int, int], tuple[Point, ...]](), (0.0, 0.0)
    for words in (line.split() for line in text.splitlines()):
        if words[0] == "graph":
            size = (float(words[2]) * INCH, float(words[3]) * INCH)
        elif words[0] == "node":
            places[int(words[1])] = (float(words[2]) * INCH, float(words[3]) * INCH)
        elif words[0] == "edge":
            numbers = [float(word) * INCH for word in words[4 : 4 + 2 * int(words[3])]]
            splines[int(words[2]), int(words[1])] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return Layout(tuple(places), tuple(splines[edge] for edge in edges), *size, True)


def by_barycentres(sizes: Sequence[Point], edges: Sequence[tuple[int, int]], heights: Sequence[int]) -> Layout:
    """Layered layout without Graphviz.

    An edge over several layers bends in each, and every layer is sorted by the mean place of its neighbours, up and down eight times.
    """
    level, width, wires = list(heights), [size[0] for size in sizes], list[list[int]]()
    for upper, lower in edges:
        bends = list(range(len(level), len(level) + heights[upper] - heights[lower] - 1))
        level += range(heights[lower] + 1, heights[upper])
        width += [2.0] * len(bends)
        wires.append([lower, *bends, upper])
    rows = [
        [node for node in range(len(level)) if level[node] == number] for number in range(max(level, default=-1) + 1)
    ]
    near = _neighbours(wires, len(level))
    for sweep in range(16):
        for row in rows if sweep % 2 else reversed(rows):
            _sort(row, near[sweep % 2], rows)
    across = _spread(rows, width, near)
    tallest = max((size[1] for size in sizes), default=0.0)
    rise = tallest + BETWEEN
    left = min((across[node] - width[node] / 2 for node in range(len(level))), default=0.0)
    right = max((across[node] + width[node] / 2 for node in range(len(level))), default=0.0)
    place = [(across[node] - left, level[node] * rise + tallest / 2) for node in range(len(level))]
    lines = tuple(
        _wire([place[node] for node in wire], sizes[wire[0]][1] / 2, sizes[wire[-1]][1] / 2) for wire in wires
    )
    return Layout(tuple(place[: len(sizes)]), lines, right - left, max(len(rows) * rise - BETWEEN, 0.0), False)


def _neighbours(wires: list[list[int]], count: int) -> tuple[list[list[int]], list[list[int]]]:
    """For each node its neighbours one layer above, and one layer below."""
    above, below = [[] for _ in range(count)], [[] for _ in range(count)]  # type: list[list[int]], list[list[int]]
    for wire in wires:
        for lower, upper in pairwise(wire):
            above[lower].append(upper)
            below[upper].append(lower)
    return above, below


def _sort(row: list[int], near: list[list[int]], rows: list[list[int]]) -> None:
    """Sort a layer by the mean place of its neighbours in the next one; nodes without any keep their place."""
    turn = {node: place / max(len(other) - 1, 1) for other in rows for place, node in enumerate(other)}
    keys = {
        node: sum(turn[other] for other in near[node]) / len(near[node]) if near[node] else turn[node] for node in row
    }
    row.sort(key=lambda node: keys[node])


def _spread(rows: list[list[int]], width: list[float], near: tuple[list[list[int]], list[list[int]]]) -> list[float]:
    """Places across: side by side first, then drawn towards the mean of the neighbours as far as the order of a layer allows."""
    across = [0.0] * len(width)
    for row in rows:
        total = sum(width[node] for node in row) + APART * (len(row) - 1)
        edge = -total / 2
        for node in row:
            across[node] = edge + width[node] / 2
            edge += width[node] + APART
    for sweep in range(8):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = [_mean([across[other] for other in near[sweep % 2][node]], across[node]) for node in row]
            _place(row, wanted, width, across)
    return across


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(row: list[int], wanted: list[float], width: list[float], across: list[float]) -> None:
    """Place a layer near the wanted places: the mean of packing from the left and packing from the right, which keeps all apart."""
    from_left, edge = list[float](), float("-inf")
    for node, want in zip(row, wanted, strict=True):
        from_left.append(max(want, edge + width[node] / 2))
        edge = from_left[-1] + width[node] / 2 + APART
    from_right, edge = list[float](), float("inf")
    for node, want in zip(reversed(row), reversed(wanted), strict=True):
        from_right.append(min(want, edge - width[node] / 2))
        edge = from_right[-1] - width[node] / 2 - APART
    for node, one, other in zip(row, from_left, reversed(from_right), strict=True):
        across[node] = (one + other) / 2


def _wire(points: list[Point], start: float, end: float) -> tuple[Point, ...]:
    """A line from the top of the lower box to the bottom of the upper one."""
    (x, y), (u, v) = points[0], points[-1]
    return ((x, y + start), *points[1:-1], (u, v - end))
