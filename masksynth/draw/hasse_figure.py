"""Hasse diagrams as matplotlib figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from masksynth.draw.hasse_boxes import PREDICTS, Box, Diagram, second_stream
from masksynth.draw.layered_layout import Point, Spacing, layered_layout
from masksynth.draw.legend import SIDE, Entry, arrange_entries, draw_legend, legend_width, task_entries
from masksynth.draw.paper import (
    LINE,
    MARGIN,
    fitted,
    measure,
    paper,
    rectangle,
    swatch,
    title_width,
    write,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_HEIGHT, PAD, STRIP, WIDEST, WRAP, TITLE = 11.0, 5.0, 12.0, 300.0, 120.0, 18.0
"""Points: height of a line of a label, space around a label, room for the swatch of the task, widest name, width at
which a list is wrapped, height of the title."""
OUTLINE: dict[str, Any] = {"facecolor": "white", "edgecolor": "#263238", "linewidth": 0.8}
READ_ONLY: dict[str, Any] = {"linestyle": (0, (3.0, 2.0))}


@dataclass(frozen=True)
class Label:
    """The lines of a box, and its size in points."""

    lines: tuple[str, ...]
    width: float
    height: float


def hasse_figure(diagram: Diagram) -> Figure:
    """Return a Hasse diagram as a matplotlib figure; call it inside ``drawing()``."""
    strip = STRIP if diagram.tasks else 0.0
    labels = [_label(box, strip) for box in diagram.boxes]
    layout = layered_layout(
        [(label.width, label.height) for label in labels],
        diagram.edges,
        [box.height for box in diagram.boxes],
        [box.place for box in diagram.boxes],
        second_stream(diagram.edges, [box.predicts for box in diagram.boxes]),
        Spacing(gap=14.0, rise=26.0),
    )
    placed, legend_height = arrange_entries(_entries(diagram), layout.width)
    width = max(layout.width, 200.0, legend_width(placed), title_width(diagram.title))
    figure, axes = paper(width + 2 * MARGIN, layout.height + TITLE + legend_height + 3 * MARGIN)
    write_title(axes, diagram.title, TITLE / 2 + 2, width)
    left, top = MARGIN + (width - layout.width) / 2, TITLE + MARGIN
    for (upper, lower), route in zip(diagram.edges, layout.routes, strict=True):
        _draw_edge(axes, [(left + x, top + y) for x, y in route], f"edge-{upper}-{lower}")
    for number, (box, label, (x, y)) in enumerate(zip(diagram.boxes, labels, layout.centres, strict=True)):
        label = replace(label, width=layout.widths[number])
        _draw_box(axes, box, label, (left + x - label.width / 2, top + y - label.height / 2), strip, number)
    draw_legend(axes, placed, top + layout.height + MARGIN)
    return figure


def _label(box: Box, strip: float) -> Label:
    """Break the label of a box into lines: its positions, then what they predict."""
    one_line = fitted(box.label, WIDEST)
    if measure(one_line) <= WRAP or len(box.names) + len(box.labels) <= 2:
        lines = [one_line]
    else:
        named = [box.name] if box.chain or len(box.names) < len(box.positions) else _wrap(box.names)
        predicted = _wrap(box.labels)
        lines = named + [f"{PREDICTS if index == 0 else '   '} {line}" for index, line in enumerate(predicted)]
    lines = [fitted(line, WIDEST) for line in lines]
    width = max(map(measure, lines)) + 2 * PAD + strip
    return Label(tuple(lines), width, len(lines) * LINE_HEIGHT + 7.0)


def _wrap(texts: tuple[str, ...]) -> list[str]:
    """Join strings with commas into lines of about ``WRAP`` points; a string is never broken."""
    lines: list[str] = []
    for index, text in enumerate(texts):
        piece = fitted(text, WIDEST - 10) + ("," if index < len(texts) - 1 else "")
        if lines and measure(f"{lines[-1]} {piece}") <= WRAP:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


def _draw_edge(axes: Axes, route: list[Point], gid: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    path = Path(smooth(route), [Path.MOVETO] + [Path.CURVE4] * (3 * len(route) - 3))
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=LINE, linewidth=1.0, gid=gid, clip_on=False))


def smooth(route: list[Point]) -> list[Point]:
    """Return the control points of a cubic Bezier spline through a route, monotone between its points.

    References
    ----------
    F. N. Fritsch, R. E. Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 17 (1980), in the form
    of M. Steffen, Astron. Astrophys. 239 (1990), which D3 uses for the same curve in reports.

    Examples
    --------
    >>> smooth([(0, 0), (3, 3)])
    [(0, 0), (1.0, 1.0), (2.0, 2.0), (3, 3)]
    """
    slopes = [(u - x) / (w - y) for (x, y), (u, w) in pairwise(route)]  # dx / dy of each piece
    tangents = []
    for (before, middle, after), (slope_before, slope_after) in zip(
        zip(route, route[1:], route[2:], strict=False), pairwise(slopes), strict=True
    ):
        low, high = middle[1] - before[1], after[1] - middle[1]
        mean = (slope_before * high + slope_after * low) / (low + high)
        sign = (slope_before > 0) - (slope_before < 0) + (slope_after > 0) - (slope_after < 0)
        tangents.append(sign * min(abs(slope_before), abs(slope_after), abs(mean) / 2))
    first = (3 * slopes[0] - tangents[0]) / 2 if tangents else slopes[0]
    last = (3 * slopes[-1] - tangents[-1]) / 2 if tangents else slopes[-1]
    points = [route[0]]
    for ((x, y), (u, w)), (start, end) in zip(pairwise(route), pairwise([first, *tangents, last]), strict=True):
        third = (w - y) / 3
        points += [(x + start * third, y + third), (u - end * third, w - third), (u, w)]
    return points


def _draw_box(axes: Axes, box: Box, label: Label, corner: Point, strip: float, number: int) -> None:
    """Draw a box: thick for several positions, doubled for a chain, round if it predicts, dashed if it is only read."""
    x, y = corner
    several = len(box.positions) > 1 and not box.chain
    outline = _rounded if box.predicts else rectangle
    if box.chain:
        outline(axes, x + 2.5, y - 2.5, label.width, label.height, f"behind-{number}", **OUTLINE)
    style = OUTLINE | {"linewidth": 1.8 if several else 0.8} | (READ_ONLY if box.read_only else {})
    outline(axes, x, y, label.width, label.height, f"box-{number}", **style)
    if strip:
        swatch(axes, x + PAD, y + label.height / 2 - 5, strip - 2, 10, box.task, f"task-{number}")
    for index, line in enumerate(label.lines):
        middle = y + label.height / 2 + (index - (len(label.lines) - 1) / 2) * LINE_HEIGHT
        write(
            axes,
            x + strip + PAD + 1,
            middle,
            line,
            f"label-{number}" if index == 0 else f"label-{number}-{index}",
            ha="left",
        )


def _rounded(axes: Axes, x: float, y: float, width: float, height: float, gid: str, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={min(height / 2.5, 7.0)}"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, gid=gid, clip_on=False, **style))


def _entries(diagram: Diagram) -> list[Entry]:
    """Return the entries of the legend, as far as the diagram has such boxes."""
    boxes = diagram.boxes
    entries: list[Entry] = [(_upwards, "information flows up")] if diagram.edges else []
    if any(box.predicts for box in boxes):
        entries.append((_round, "predicts"))
    if any(box.read_only for box in boxes):
        entries.append((_dashed, "only read, never updated"))
    if any(len(box.positions) > 1 and not box.chain for box in boxes):
        entries.append((_thick, "positions that see each other"))
    if any(box.chain for box in boxes):
        entries.append((_double, "a chain, from … to"))
    return entries + task_entries(diagram.tasks, {box.task for box in boxes})


def _upwards(axes: Axes, x: float, y: float, gid: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    middle, head = x + SIDE / 2, 3.0
    points = [(middle, y + SIDE), (middle, y), (middle - head, y + head), (middle, y), (middle + head, y + head)]
    arrow = Path(points, [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO])
    axes.add_patch(PathPatch(arrow, facecolor="none", edgecolor=LINE, linewidth=1.0, gid=gid, clip_on=False))


def _round(axes: Axes, x: float, y: float, gid: str) -> None:
    _rounded(axes, x, y, SIDE, SIDE, gid, **OUTLINE)


def _dashed(axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x, y, SIDE, SIDE, gid, **OUTLINE | READ_ONLY)


def _thick(axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x, y, SIDE, SIDE, gid, **OUTLINE | {"linewidth": 1.8})


def _double(axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x + 2, y - 2, SIDE - 2, SIDE - 2, f"{gid}-behind", **OUTLINE)
    rectangle(axes, x, y, SIDE - 2, SIDE - 2, gid, **OUTLINE)
