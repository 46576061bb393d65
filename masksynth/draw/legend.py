"""Legends: what the colours, hatches and outlines of a picture mean, in lines as wide as the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from masksynth.draw.paper import FONT, MARGIN, TASK_STYLES, fitted, measure, swatch, write
from masksynth.draw.position_tasks import NO_TASK, SEVERAL_TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Sample = Callable[["Axes", float, float, str], None]
"""Draws a sample of ``SIDE`` x ``SIDE`` points at a place, under an id."""
Entry = tuple[Sample, str]

SIDE, LINE_HEIGHT, NARROWEST, WIDEST_TEXT = 10.0, 15.0, 190.0, 260.0
"""Points: side of a sample, height of a line, least width of a legend, greatest width of a text."""


def task_entries(tasks: Sequence[str], used: set[int]) -> list[Entry]:
    """Return one entry for each task that is drawn, one for positions of several tasks, and one for those of none.

    Parameters
    ----------
    tasks : sequence of str
        Names; no entries where there are none.
    used : set of int
        Indices of tasks that are drawn; may hold ``SEVERAL_TASKS`` and ``NO_TASK``.
    """
    if not tasks:
        return []
    drawn = sorted(task for task in used if task >= 0)
    entries: list[Entry] = [(partial(_task, task), f"task {tasks[task]}") for task in drawn if task < len(TASK_STYLES)]
    if drawn and drawn[-1] >= len(TASK_STYLES):
        entries.append((partial(_task, drawn[-1]), "one of the other tasks"))
    entries += [(partial(_task, SEVERAL_TASKS), "several tasks")] if SEVERAL_TASKS in used else []
    return entries + ([(partial(_task, NO_TASK), "no task")] if NO_TASK in used else [])


def arrange_entries(entries: Sequence[Entry], width: float) -> tuple[list[tuple[float, float, Entry]], float]:
    """Return (x, y, entry) for each entry, in lines of at most the given width, and the height of all."""
    room = max(width, NARROWEST)
    x, y, placed = 0.0, 0.0, list[tuple[float, float, Entry]]()
    for sample, text in entries:
        short = fitted(text, min(room - SIDE - 4, WIDEST_TEXT))
        needed = SIDE + 4 + measure(short) + 12
        if x > 0 and x + needed - 12 > room:
            x, y = 0.0, y + LINE_HEIGHT
        placed.append((x, y, (sample, short)))
        x += needed
    return placed, y + LINE_HEIGHT if placed else 0.0


def legend_width(placed: Sequence[tuple[float, float, Entry]]) -> float:
    """Return the width that arranged entries take."""
    return max((x + SIDE + 4 + measure(text) for x, _, (_, text) in placed), default=0.0)


def draw_legend(axes: Axes, placed: Sequence[tuple[float, float, Entry]], top: float) -> None:
    """Draw arranged entries below ``top``."""
    for number, (x, y, (sample, text)) in enumerate(placed):
        sample(axes, MARGIN + x, top + y + (LINE_HEIGHT - SIDE) / 2, f"legend-sample-{number}")
        write(axes, MARGIN + x + SIDE + 4, top + y + LINE_HEIGHT / 2, text, f"legend-{number}", fontsize=FONT)


def _task(task: int, axes: Axes, x: float, y: float, gid: str) -> None:
    swatch(axes, x, y, SIDE, SIDE, task, gid)
