"""The Hasse diagram of a mask as boxes and lines."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

from masksynth.errors import Unsupported
from masksynth.export.row_intervals import rows_of
from masksynth.mask import Mask
from masksynth.report.layout import layered
from masksynth.report.page_text import count
from masksynth.statistics import Hasse, convergence, flow_after, hasse

CHIP = (64, 34)
"""Width and height of one position in its box."""
PAD = 5
"""Pixels around the positions of a box that holds several."""
MOST_LINES = 4_000
"""Most covers that are drawn."""


def diagram(mask: Mask, layers: int | None = None) -> dict[str, Any]:
    """Lay out the diagram of a mask as JSON values, or give the ``note`` why there is none.

    Returns
    -------
    dict
        ``boxes``: [x, y, width, height, columns, [positions]] with the upper left corner; ``lines``: [lower box, upper box, [x, y, ...]];
        ``width``, ``height``; ``chip`` and ``pad``: the size of a position in its box and what lies around it;
        ``reach``: for each position what flows to it within ``layers`` layers (None: at any depth), as [start, end, ...].

    Examples
    --------
    >>> import numpy as np
    >>> found = diagram(Mask.from_dense(np.tril(np.ones((2, 2), bool))))
    >>> found["boxes"], found["lines"], found["reach"]
    ([[0.0, 66.0, 64, 34, 1, [0]], [0.0, 0.0, 64, 34, 1, [1]]], [[0, 1, [32.0, 66.0, 32.0, 34.0]]], [[0, 1], [0, 2]])
    """
    if not mask.size:
        return {"note": "There are no positions."}
    try:
        flow = convergence(mask).flow
        found = hasse(flow)
        within = reach(flow if layers is None else flow_after(mask, layers))
    except Unsupported as error:
        return {"note": f"The order is not drawn: {error}."}
    if len(found.upper) > MOST_LINES:
        return {"note": f"The order is not drawn: it has {count(len(found.upper), 'line')}.", "reach": within}
    return {**_drawn(found), "chip": list(CHIP), "pad": PAD, "reach": within}


def reach(flow: Mask) -> list[list[int]]:
    """The rows of one table as flat lists [start, end, start, end, ...].

    Examples
    --------
    >>> reach(Mask.from_intervals([[((0, 1),), ((0, 1), (2, 3)), ()]]))
    [[0, 1], [0, 1, 2, 3], []]
    """
    rows: list[list[int]] = [[] for _ in range(flow.size)]
    for query, start, end in zip(*(part.tolist() for part in rows_of(flow)), strict=True):
        rows[query] += [start, end]
    return rows


def _drawn(found: Hasse) -> dict[str, Any]:
    members: list[list[int]] = [[] for _ in found.leaders]
    for place, number in enumerate(found.of.tolist()):
        members[number].append(place)
    columns = [ceil(sqrt(len(places))) for places in members]
    sizes = [_size(len(places), wide) for places, wide in zip(members, columns, strict=True)]
    edges = list(zip(found.lower.tolist(), found.upper.tolist(), strict=True))
    laid = layered(sizes, found.heights.tolist(), edges)
    boxes = [
        [round(x - wide / 2, 2), round(y - high / 2, 2), wide, high, across, places]
        for (x, y), (wide, high), across, places in zip(laid.centres, sizes, columns, members, strict=True)
    ]
    lines = [
        [low, up, _line(route, sizes[low][1], sizes[up][1])]
        for (low, up), route in zip(edges, laid.routes, strict=True)
    ]
    return {"boxes": boxes, "lines": lines, "width": laid.width, "height": laid.height}


def _size(places: int, wide: int) -> tuple[int, int]:
    pad = PAD if places > 1 else 0
    return wide * CHIP[0] + 2 * pad, ceil(places / wide) * CHIP[1] + 2 * pad


def _line(route: list[tuple[float, float]], low: int, up: int) -> list[float]:
    """A route from the upper edge of its lower box to the lower edge of its upper box."""
    first, *between, last = route
    points = [(first[0], first[1] - low / 2), *between, (last[0], last[1] + up / 2)]
    return [round(value, 2) for point in points for value in point]
