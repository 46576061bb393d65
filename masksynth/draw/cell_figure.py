"""Tables of cells on paper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.draw import cell_pictures as kinds
from masksynth.draw.cell_pictures import Panel, Picture, block_states, runs
from masksynth.draw.legend import SIDE, Entry, arrange_entries, draw_legend, task_entries
from masksynth.draw.paper import FONT, GROUND, INK, MARGIN, fitted, measure, paper, rectangle, swatch, write
from masksynth.mask import Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3
"""Panels side by side."""
STRIP, NAME, TITLE = 6.0, 90.0, 16.0
"""Points: of the strip of tasks, of the widest name, of a line of title."""

STYLES: dict[int, dict[str, Any]] = {
    kinds.ALLOWED: {"facecolor": INK, "edgecolor": INK, "linewidth": 0.4},
    kinds.FULL: {"facecolor": INK, "edgecolor": INK, "linewidth": 0.4},
    kinds.PARTIAL: {"facecolor": "#c5cae9", "hatch": "////", "edgecolor": INK},
    kinds.FIRST: {"facecolor": "#ffe0b2", "hatch": "\\\\\\\\", "edgecolor": "#e65100"},
    kinds.SECOND: {"facecolor": "#b2dfdb", "hatch": "||||", "edgecolor": "#004d40"},
    kinds.CHANGED: {"facecolor": "#f8bbd0", "hatch": "xxxx", "edgecolor": "#880e4f"},
    kinds.EARLIER: {"facecolor": "#9fa8da", "edgecolor": "#9fa8da", "linewidth": 0.4},
}
"""Fill, and hatching in another lightness, so that the kinds differ without colour; a thin line closes the seam between two rows."""


def table_figure(picture: Picture) -> Figure:
    """A picture of cells as a matplotlib figure; call it inside ``drawing()``."""
    side = cell_side(picture)
    left, top = _margins(picture, side)
    count = len(picture.panels)
    across, down = min(count, ACROSS), -(-count // ACROSS)
    extent = side * len(picture.panels[0].cells)
    step_x, step_y = left + extent + MARGIN, top + extent + MARGIN
    entries = _entries(picture)
    width = max(across * step_x, 200.0)
    placed, tall = arrange_entries(entries, width - MARGIN)
    width = (
        max(width, *(MARGIN + x + SIDE + 16 + measure(text) for x, _, (_, text) in placed), 0.0) if placed else width
    )
    figure, axes = paper(width + MARGIN, TITLE + down * step_y + tall + MARGIN)
    write(
        axes,
        MARGIN,
        TITLE / 2 + 2,
        fitted(picture.title, width - MARGIN, FONT + 1, "bold"),
        "title",
        fontsize=FONT + 1,
        weight="bold",
    )
    for number, panel in enumerate(picture.panels):
        origin = (left + number % ACROSS * step_x, TITLE + top + number // ACROSS * step_y)
        _panel(axes, picture, panel, number, origin, side)
    draw_legend(axes, placed, TITLE + down * step_y)
    return figure


def cell_side(picture: Picture) -> float:
    """Points of a cell: smaller where there are many."""
    rows = len(picture.panels[0].cells)
    largest = 14.0 if picture.names else 9.0
    return max(min(largest, 560.0 / max(rows, 1) / min(len(picture.panels), ACROSS)), 2.0)


def _size(side: float) -> float:
    return min(FONT, 0.85 * side)


def _margins(picture: Picture, side: float) -> tuple[float, float]:
    """Room for names or numbers left of a table, and above it with its title."""
    title = TITLE if any(panel.title for panel in picture.panels) else 4.0
    if not picture.names:
        return MARGIN + measure(str(picture.size)) + 6, title + 12
    longest = max((measure(fitted(name, NAME, _size(side)), _size(side)) for name in picture.names), default=0.0)
    strip = STRIP + 2 if picture.tasks is not None and picture.tasks.names else 0.0
    return MARGIN + longest + strip + 4, title + longest + strip + 4


def _panel(axes: Axes, picture: Picture, panel: Panel, number: int, origin: tuple[float, float], side: float) -> None:
    x, y = origin
    rows = len(panel.cells)
    rectangle(axes, x, y, rows * side, rows * side, f"table-{number}", facecolor=GROUND if picture.names else "white")
    for row, states in enumerate(panel.cells):
        for start, end, kind in runs(states):
            gid = f"{kinds.KINDS[kind]}-{number}-{row}-{start}-{end}"
            rectangle(axes, x + start * side, y + row * side, (end - start) * side, side, gid, **STYLES[kind])
    _lines(axes, origin, rows, side, number, 0.8 if picture.names else 0.0)
    rectangle(axes, x, y, rows * side, rows * side, f"frame-{number}", edgecolor="#37474f", linewidth=0.6)
    if panel.title:
        write(
            axes,
            x + rows * side / 2,
            y - _margins(picture, side)[1] + TITLE / 2,
            panel.title,
            f"panel-{number}",
            ha="center",
        )
    if picture.names:
        _names(axes, picture, number, origin, side)
    else:
        _numbers(axes, picture, number, origin, side)
    if picture.grid:
        _outlines(axes, picture, panel, number, origin, side)


def _lines(axes: Axes, origin: tuple[float, float], rows: int, side: float, number: int, width: float) -> None:
    """White lines between single pairs."""
    from matplotlib.collections import LineCollection

    if not width or rows < 2:
        return
    (x, y), extent = origin, rows * side
    places = [place * side for place in range(1, rows)]
    lines = [[(x + at, y), (x + at, y + extent)] for at in places] + [
        [(x, y + at), (x + extent, y + at)] for at in places
    ]
    axes.add_collection(
        LineCollection(lines, colors="white", linewidths=width, gid=f"lines-{number}", clip_on=False), autolim=False
    )


def _names(axes: Axes, picture: Picture, number: int, origin: tuple[float, float], side: float) -> None:
    """Names left and above, bold where a position predicts, with the strips of its tasks."""
    (x, y), size, whose = origin, _size(side), picture.tasks
    strip = STRIP + 2 if whose is not None and whose.names else 0.0
    for place, name in enumerate(picture.names):
        weight = "bold" if whose is not None and whose.predicts[place] else "normal"
        text = fitted(name, NAME, size, weight)
        middle = (place + 0.5) * side
        style = {"fontsize": size, "weight": weight}
        write(axes, x - strip - 3, y + middle, text, f"row-{number}-{place}", ha="right", **style)
        write(
            axes,
            x + middle,
            y - strip - 3,
            text,
            f"column-{number}-{place}",
            ha="center",
            va="bottom",
            rotation=90,
            **style,
        )
        if whose is not None and whose.names:
            task = int(whose.of[place])
            swatch(axes, x - STRIP - 1, y + place * side, STRIP, side, task, f"row-task-{number}-{place}")
            swatch(axes, x + place * side, y - STRIP - 1, side, STRIP, task, f"column-task-{number}-{place}")


def _numbers(axes: Axes, picture: Picture, number: int, origin: tuple[float, float], side: float) -> None:
    """Positions at the start, the middle and the end of both sides."""
    (x, y), rows = origin, len(picture.panels[0].cells)
    for cell in sorted({0, rows // 2}):
        text = str(cell * picture.unit)
        write(axes, x - 3, y + cell * side + FONT / 2, text, f"row-{number}-{cell}", ha="right")
        write(axes, x + cell * side, y - 6, text, f"column-{number}-{cell}", ha="left")


def _outlines(
    axes: Axes, picture: Picture, panel: Panel, number: int, origin: tuple[float, float], side: float
) -> None:
    """Blocks over single pairs: full ones in a solid line, partial ones in a dashed one."""
    (x, y), edge = origin, picture.grid * side
    states = block_states(Mask.from_dense(panel.cells > 0), picture.grid)
    limit = len(panel.cells) * side
    for i, j in np.argwhere(states != kinds.EMPTY).tolist():
        kind = int(states[i, j])
        wide, high = min(edge, limit - j * edge) - 1.6, min(edge, limit - i * edge) - 1.6
        _outline(
            axes,
            x + j * edge + 0.8,
            y + i * edge + 0.8,
            wide,
            high,
            kind,
            f"block-{kinds.KINDS[kind]}-{number}-{i}-{j}",
        )


def _outline(axes: Axes, x: float, y: float, wide: float, high: float, kind: int, gid: str) -> None:
    line = "solid" if kind == kinds.FULL else (0, (2.5, 1.5))
    rectangle(axes, x, y, wide, high, gid, edgecolor="#d84315", linewidth=1.5, linestyle=line, zorder=3)


def _entries(picture: Picture) -> list[Entry]:
    """What the cells, the outlines and the strips mean."""
    entries: list[Entry] = [(partial(_cell, kind), text) for kind, text in picture.legend]
    if picture.grid:
        entries.append((partial(_sample, kinds.FULL), f"full block of {picture.grid}"))
        entries.append((partial(_sample, kinds.PARTIAL), f"partial block of {picture.grid}"))
    if picture.tasks is not None:
        entries += task_entries(picture.tasks.names, set(picture.tasks.of.tolist()))
    return entries


def _cell(kind: int, axes: Axes, x: float, y: float, gid: str) -> None:
    rectangle(axes, x, y, SIDE, SIDE, gid, **STYLES[kind])


def _sample(kind: int, axes: Axes, x: float, y: float, gid: str) -> None:
    _outline(axes, x, y, SIDE, SIDE, kind, gid)
