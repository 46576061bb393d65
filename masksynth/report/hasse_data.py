"""The Hasse diagram of a mask as data of a page: boxes, lines, and what flows to each position."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np

from masksynth.draw.display_names import columns
from masksynth.draw.hasse_boxes import second_stream
from masksynth.draw.layered_layout import Layout, layered_layout
from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.intervals import row_intervals
from masksynth.report.page_text import count
from masksynth.statistics import Hasse, convergence, flow_after, hasse
from masksynth.subject.subject import Subject

CHIP_WIDTH, CHIP_HEIGHT, LETTER, CHIP_MARGIN = 64, 34, 7, 14
"""Pixels: least width of a position in its box, its height, the width of a column of text, space around the text."""
PAD = 5
"""Pixels around the positions of a box that holds several."""
MOST_LINES = 4_000
"""Maximum number of covers that are drawn."""


def hasse_data(subject: Subject, names: Sequence[str] = ()) -> dict[str, Any]:
    """Lay out the Hasse diagram of a mask as JSON values, or give the ``note`` why there is none.

    Parameters
    ----------
    subject : Subject
    names : sequence of str
        Name of each position, to be shown in full; empty where there are none.

    Returns
    -------
    dict
        ``boxes``: [x, y, width, height, columns, [positions]] with the upper left corner; ``lines``: [lower box, upper
        box, [x, y, ...]]; ``width``, ``height``; ``chip``: height of the place of a position; ``pad``: what lies around
        the positions of a box that holds several; ``reach``: for each position what flows to it within the subject's
        layers (at any depth where it has none), as [start, end, ...].

    Examples
    --------
    >>> data = hasse_data(Subject(Mask.from_dense(np.tril(np.ones((2, 2), bool))), "causal"))
    >>> data["boxes"], data["lines"], data["reach"]
    ([[0.0, 62.0, 64, 34, 1, [0]], [0.0, 0.0, 64, 34, 1, [1]]], [[0, 1, [32.0, 62.0, 32.0, 34.0]]], [[0, 1], [0, 2]])
    """
    if not subject.size:
        return {"note": "There are no positions."}
    try:
        flow = convergence(subject.mask).flow
        order = hasse(flow)
        reach = flat_rows(flow if subject.layers is None else flow_after(subject.mask, subject.layers))
    except Unsupported as error:
        return {"note": f"The order is not drawn: {error}."}
    if len(order.upper) > MOST_LINES:
        return {"note": f"The order is not drawn: it has {count(len(order.upper), 'line')}.", "reach": reach}
    return {**_boxes_and_lines(subject, order, names), "chip": CHIP_HEIGHT, "pad": PAD, "reach": reach}


def flat_rows(mask: Mask) -> list[list[int]]:
    """Return the rows of one table as flat lists [start, end, start, end, ...].

    Examples
    --------
    >>> flat_rows(Mask.from_intervals([[((0, 1),), ((0, 1), (2, 3)), ()]]))
    [[0, 1], [0, 1, 2, 3], []]
    """
    rows: list[list[int]] = [[] for _ in range(mask.size)]
    for query, start, end in zip(*(part.tolist() for part in row_intervals(mask)), strict=True):
        rows[query] += [start, end]
    return rows


def _boxes_and_lines(subject: Subject, order: Hasse, names: Sequence[str]) -> dict[str, Any]:
    members: list[list[int]] = [[] for _ in order.leaders]
    for position, number in enumerate(order.of.tolist()):
        members[number].append(position)
    across = [ceil(sqrt(len(positions))) for positions in members]
    sizes = [_size(positions, wide, names) for positions, wide in zip(members, across, strict=True)]
    edges = list(zip(order.upper.tolist(), order.lower.tolist(), strict=True))
    layout = _layout(subject, order, members, sizes, edges)
    # a box may be slightly wider than its text: an integral number of pixels for each column
    widths = [
        int((width - pad) / wide) * wide + pad
        for width, wide, pad in zip(layout.widths, across, [_pad(positions) for positions in members], strict=True)
    ]
    boxes = [
        [round(x - width / 2, 2), round(y - size[1] / 2, 2), width, size[1], wide, positions]
        for (x, y), width, size, wide, positions in zip(layout.centres, widths, sizes, across, members, strict=True)
    ]
    lines = [
        [lower, upper, [value for point in route for value in point]]
        for (upper, lower), route in zip(edges, layout.routes, strict=True)
    ]
    return {"boxes": boxes, "lines": lines, "width": layout.width, "height": layout.height}


def _layout(
    subject: Subject, order: Hasse, members: list[list[int]], sizes: list[tuple[int, int]], edges: list[tuple[int, int]]
) -> Layout:
    """Lay out the boxes in the order of reading, content before the queries about it, as ``masksynth.draw`` does."""
    predicts = np.zeros(subject.size, bool)
    if subject.labels is not None:
        predicts[subject.labels.position] = True
    ids = np.arange(subject.size) if subject.positions is None else subject.positions
    predicting = [bool(predicts[positions].any()) for positions in members]
    places = [float(ids[positions].mean()) + 0.5 * first for positions, first in zip(members, predicting, strict=True)]
    return layered_layout(sizes, edges, order.heights.tolist(), places, second_stream(edges, predicting))


def _size(positions: list[int], wide: int, names: Sequence[str]) -> tuple[int, int]:
    """Return the width and height of a box whose positions are arranged in ``wide`` columns of equal width."""
    longest = max((columns(names[position]) for position in positions), default=0) if names else 0
    width = max(CHIP_WIDTH, LETTER * longest + CHIP_MARGIN)
    pad = _pad(positions)
    return wide * width + pad, ceil(len(positions) / wide) * CHIP_HEIGHT + pad


def _pad(positions: list[int]) -> int:
    return 2 * PAD if len(positions) > 1 else 0
