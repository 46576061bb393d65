"""Tables of cells as matplotlib figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.draw import cell_pictures as kinds
from masksynth.draw.cell_pictures import Panel, Picture, block_states, runs
from masksynth.draw.legend import SIDE, Entry, arrange_entries, draw_legend, legend_width, task_entries
from masksynth.draw.paper import (
    FONT,
    GROUND,
    INK,
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
from masksynth.mask import Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3
"""Maximum number of panels in a line."""
STRIP, WIDEST_NAME, TITLE = 7.0, 200.0, 16.0
"""Points: of the strip of tasks, of the widest name, of a line of title."""
FRAME, OUTLINE = "#37474f", "#d84315"

STYLES: dict[int, dict[str, Any]] = {
    kinds.ALLOWED: {"facecolor": INK, "edgecolor": INK, "linewidth": 0.4},
    kinds.FULL: {"facecolor": INK, "edgecolor": INK, "linewidth": 0.4},
    kinds.PARTIAL: {"facecolor": "#c5cae9", "hatch": "////", "edgecolor": INK},
    kinds.FIRST: {"facecolor": "#ffe0b2", "hatch": "\\\\\\\\|", "edgecolor": "#e65100"},
    kinds.SECOND: {"facecolor": "#b2dfdb", "hatch": "||||/", "edgecolor": "#004d40"},
    kinds.CHANGED: {"facecolor": "#f8bbd0", "hatch": "xxxx-", "edgecolor": "#880e4f"},
    kinds.EARLIER: {"facecolor": "#9fa8da", "edgecolor": "#9fa8da", "linewidth": 0.4},
    kinds.READ_ONLY: {"facecolor": "white", "edgecolor": INK, "linewidth": 1.2, "zorder": 2.5},
}
"""Fill and hatch of each kind of cell, different in lightness too, and unlike those of tasks; a thin line closes the
seam between two rows."""


@dataclass(frozen=True)
class Grid:
    """Location and scale of a panel in the figure.

    Parameters
    ----------
    number : int
        Number of the panel, for ids.
    x, y : float
        Upper left corner of its cells, in points.
    side : float
        Side of a cell, in points.
    rows : int
        Number of rows and columns.
    """

    number: int
    x: float
    y: float
    side: float
    rows: int

    @property
    def extent(self) -> float:
        """Width and height of all cells."""
        return self.rows * self.side


def cell_figure(picture: Picture) -> Figure:
    """Return a picture of cells as a matplotlib figure; call it inside ``drawing()``."""
    side, rows, count = cell_side(picture), len(picture.panels[0].cells), len(picture.panels)
    left, top = _margins(picture, side)
    step_x, step_y = left + side * rows + MARGIN, top + side * rows + MARGIN
    lines = -(-count // ACROSS)
    placed, legend_height = arrange_entries(_entries(picture), max(min(count, ACROSS) * step_x, 200.0) - MARGIN)
    panels_width = min(count, ACROSS) * step_x
    width = max(panels_width, 200.0, legend_width(placed) + MARGIN, title_width(picture.title) + MARGIN)
    figure, axes = paper(width + MARGIN, TITLE + lines * step_y + legend_height + MARGIN)
    write_title(axes, picture.title, TITLE / 2 + 2, width - MARGIN)
    for number, panel in enumerate(picture.panels):
        x, y = left + number % ACROSS * step_x, TITLE + top + number // ACROSS * step_y
        _draw_panel(axes, picture, panel, Grid(number, x, y, side, rows))
    draw_legend(axes, placed, TITLE + lines * step_y)
    return figure


def cell_side(picture: Picture) -> float:
    """Return the points of a cell: fewer where there are many cells."""
    rows = len(picture.panels[0].cells)
    largest = 14.0 if picture.names else 9.0
    return max(min(largest, 560.0 / max(rows, 1) / min(len(picture.panels), ACROSS)), 2.0)


def _font_size(side: float) -> float:
    return min(FONT, 0.85 * side)


def _strip(picture: Picture) -> float:
    """Return the room for the strip of tasks left of the cells, and above them."""
    return STRIP + 2 if picture.tasks is not None and picture.tasks.names else 0.0


def _margins(picture: Picture, side: float) -> tuple[float, float]:
    """Return the room for names or numbers left of a table, and above it with its title."""
    title = TITLE if any(panel.title for panel in picture.panels) else 4.0
    if not picture.names:
        return MARGIN + measure(str(picture.size)) + 6, title + 12
    size = _font_size(side)
    longest = max(
        (measure(fitted(name, WIDEST_NAME, size, "bold"), size, "bold") for name in picture.names), default=0.0
    )
    return MARGIN + longest + _strip(picture) + 4, title + longest + _strip(picture) + 4


def _draw_panel(axes: Axes, picture: Picture, panel: Panel, grid: Grid) -> None:
    x, y, side, number = grid.x, grid.y, grid.side, grid.number
    ground = GROUND if picture.names else "white"
    rectangle(axes, x, y, grid.extent, grid.extent, f"table-{number}", facecolor=ground)
    for row, states in enumerate(panel.cells):
        for start, end, kind in runs(states):
            gid = f"{kinds.KINDS[kind]}-{number}-{row}-{start}-{end}"
            rectangle(axes, x + start * side, y + row * side, (end - start) * side, side, gid, **STYLES[kind])
    if picture.names:
        _draw_lines(axes, grid)
    rectangle(axes, x, y, grid.extent, grid.extent, f"frame-{number}", edgecolor=FRAME, linewidth=0.6)
    if panel.title:
        above = y - _margins(picture, side)[1] + TITLE / 2
        write(axes, x + grid.extent / 2, above, panel.title, f"panel-{number}", ha="center")
    if picture.names:
        _draw_names(axes, picture, grid)
    else:
        _draw_numbers(axes, picture, grid)
    if picture.grid:
        _draw_outlines(axes, picture, panel, grid)


def _draw_lines(axes: Axes, grid: Grid) -> None:
    """Draw white lines between single pairs."""
    from matplotlib.collections import LineCollection

    offsets = [index * grid.side for index in range(1, grid.rows)]
    if not offsets:
        return
    x, y, extent = grid.x, grid.y, grid.extent
    lines = [[(x + offset, y), (x + offset, y + extent)] for offset in offsets]
    lines += [[(x, y + offset), (x + extent, y + offset)] for offset in offsets]
    collection = LineCollection(lines, colors="white", linewidths=0.8, gid=f"lines-{grid.number}", clip_on=False)
    axes.add_collection(collection, autolim=False)


def _draw_names(axes: Axes, picture: Picture, grid: Grid) -> None:
    """Draw names left and above, bold where a position predicts, with strips in the colours of the tasks."""
    x, y, side, number, tasks = grid.x, grid.y, grid.side, grid.number, picture.tasks
    size, strip = _font_size(side), _strip(picture)
    for index, name in enumerate(picture.names):
        weight = "bold" if tasks is not None and tasks.predicts[index] else "normal"
        text, middle = fitted(name, WIDEST_NAME, size, weight), (index + 0.5) * side
        style = {"fontsize": size, "weight": weight}
        write(axes, x - strip - 3, y + middle, text, f"row-{number}-{index}", ha="right", **style)
        upright = {"ha": "center", "va": "bottom", "rotation": 90, **style}
        write(axes, x + middle, y - strip - 3, text, f"column-{number}-{index}", **upright)
        if tasks is not None and strip:
            task = int(tasks.of[index])
            swatch(axes, x - STRIP - 1, y + index * side, STRIP, side, task, f"row-task-{number}-{index}")
            swatch(axes, x + index * side, y - STRIP - 1, side, STRIP, task, f"column-task-{number}-{index}")


def _draw_numbers(axes: Axes, picture: Picture, grid: Grid) -> None:
    """Draw the numbers of the first and the middle position on both sides."""
    for cell in sorted({0, grid.rows // 2}):
        text = str(cell * picture.unit)
        write(axes, grid.x - 3, grid.y + cell * grid.side + FONT / 2, text, f"row-{grid.number}-{cell}", ha="right")
        write(axes, grid.x + cell * grid.side, grid.y - 6, text, f"column-{grid.number}-{cell}", ha="left")


def _draw_outlines(axes: Axes, picture: Picture, panel: Panel, grid: Grid) -> None:
    """Draw blocks over single pairs: full ones in a solid line, partial ones in a dashed line."""
    edge = picture.grid * grid.side
    states = block_states(Mask.from_dense(panel.cells > 0), picture.grid)
    for i, j in np.argwhere(states != kinds.EMPTY).tolist():
        kind = int(states[i, j])
        # the last block of a row or column may be smaller
        width, height = (min(edge, grid.extent - index * edge) - 1.6 for index in (j, i))
        gid = f"block-{kinds.KINDS[kind]}-{grid.number}-{i}-{j}"
        _outline(axes, grid.x + j * edge + 0.8, grid.y + i * edge + 0.8, (width, height), kind, gid)


def _outline(axes: Axes, x: float, y: float, size: tuple[float, float], kind: int, gid: str) -> None:
    line = "solid" if kind == kinds.FULL else (0, (2.5, 1.5))
    rectangle(axes, x, y, *size, gid, edgecolor=OUTLINE, linewidth=1.5, linestyle=line, zorder=3)


def _entries(picture: Picture) -> list[Entry]:
    """Return what the cells, the outlines and the strips mean."""
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
    _outline(axes, x, y, (SIDE, SIDE), kind, gid)
