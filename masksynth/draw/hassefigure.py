"""Hasse diagrams on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from masksynth.draw.boxes import Box, Diagram
from masksynth.draw.layout import Layout, Point, layout
from masksynth.draw.legend import SIDE, Entry, arranged, draw_legend, task_entries
from masksynth.draw.paper import FONT, LINE, MARGIN, fitted, measure, paper, rectangle, swatch, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, STRIP, PAD, LABEL, TITLE = 18.0, 7.0, 5.0, 150.0, 18.0
"""Points: of a box, its strip of tasks, the space beside a label, the widest label, the title."""
OUTLINE: dict[str, Any] = {"facecolor": "white", "edgecolor": "#263238", "linewidth": 0.8}


def hasse_figure(diagram: Diagram) -> Figure:
    """A Hasse diagram as a matplotlib figure; call it inside ``drawing()``."""
    strip = STRIP if diagram.tasks else 0.0
    labels = [fitted(box.label, LABEL) for box in diagram.boxes]
    sizes = [(measure(label) + 2 * PAD + strip, HEIGHT) for label in labels]
    found = layout(sizes, diagram.edges, [box.height for box in diagram.boxes])
    entries = _entries(diagram)
    placed, tall = arranged(entries, found.width)
    width = max(found.width, 200.0, *(x + SIDE + 4 + measure(text) for x, _, (_, text) in placed), 0.0)
    figure, axes = paper(width + 2 * MARGIN, found.height + TITLE + tall + 3 * MARGIN)
    write(
        axes,
        MARGIN,
        TITLE / 2 + 2,
        fitted(diagram.title, width, FONT + 1, "bold"),
        "title",
        fontsize=FONT + 1,
        weight="bold",
    )
    base = TITLE + MARGIN + found.height
    for (upper, lower), line in zip(diagram.edges, found.lines, strict=True):
        _edge(axes, [(MARGIN + x, base - y) for x, y in line], found, f"edge-{upper}-{lower}")
    for number, (box, label, (wide, _), (x, y)) in enumerate(
        zip(diagram.boxes, labels, sizes, found.places, strict=True)
    ):
        _box(axes, box, label, (MARGIN + x - wide / 2, base - y - HEIGHT / 2), wide, strip, number)
    draw_legend(axes, placed, base + MARGIN)
    return figure


def _edge(axes: Axes, line: list[Point], found: Layout, gid: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.CURVE4 if found.curved else Path.LINETO] * (len(line) - 1)
    axes.add_patch(
        PathPatch(Path(line, codes), facecolor="none", edgecolor=LINE, linewidth=1.0, gid=gid, clip_on=False)
    )


def _box(axes: Axes, box: Box, label: str, corner: Point, wide: float, strip: float, number: int) -> None:
    """A position is a plain box, a class of several has a thick line, a chain a second box behind it; round corners predict."""
    x, y = corner
    several = len(box.positions) > 1 and not box.chain
    outline = _rounded if box.predicts else rectangle
    if box.chain:
        outline(axes, x + 2.5, y - 2.5, wide, HEIGHT, f"behind-{number}", **OUTLINE)
    outline(axes, x, y, wide, HEIGHT, f"box-{number}", **OUTLINE | {"linewidth": 1.8 if several else 0.8})
    if strip:
        swatch(axes, x + PAD, y + 3, strip - 2, HEIGHT - 6, box.owner, f"task-{number}")
    write(axes, x + strip + PAD, y + HEIGHT / 2, label, f"label-{number}", ha="left")


def _rounded(axes: Axes, x: float, y: float, width: float, height: float, gid: str, **style: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={height / 2.5}"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, gid=gid, clip_on=False, **style))


def _entries(diagram: Diagram) -> list[Entry]:
    """What boxes and strips mean, as far as there are such."""
    boxes = diagram.boxes
    entries: list[Entry] = [(_upwards, "information flows up")] if diagram.edges else []
    if any(box.predicts for box in boxes):
        entries.append((_round, "predicts"))
    if any(len(box.positions) > 1 and not box.chain for box in boxes):
        entries.append((_thick, "positions that see each other"))
    if any(box.chain for box in boxes):
        entries.append((_double, "a chain, from … to"))
    return entries + task_entries(diagram.tasks, {box.owner for box in boxes})


def _upwards(axes: Axes, x: float, y: float, gid: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    middle, head = x + SIDE / 2, 3.0
    points = [(middle, y + SIDE), (middle, y), (middle - head, y + head), (middle, y), (middle + head, y + head)]
    arrow = Path(points, [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO])
    axes.add_patch(PathPatch(arrow, facecolor="none", edgecolor=LINE, linewidth=1.0, gid=gid, clip_on=False))


def _round(axes: Axes, x: float, y: float, gid: str) -> None:
    _rounded(axes, x, y, SIDE, SIDE, gid, **OUTLINE)


def _thick(axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x, y, SIDE, SIDE, gid, **OUTLINE | {"linewidth": 1.8})


def _double(axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x + 2, y - 2, SIDE - 2, SIDE - 2, f"{gid}-behind", **OUTLINE)
    rectangle(axes, x, y, SIDE - 2, SIDE - 2, gid, **OUTLINE)
