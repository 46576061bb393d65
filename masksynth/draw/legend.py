"""Legends: what colours, hatchings and outlines of a picture mean, in rows as wide as the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from masksynth.draw.owners import NOBODY, SHARED
from masksynth.draw.paper import FONT, MARGIN, PALETTE, fitted, measure, swatch, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Sample = Callable[["Axes", float, float, str], None]
"""Draws a sample of ``SIDE`` x ``SIDE`` points at a place."""
Entry = tuple[Sample, str]

SIDE, ROW, NARROWEST = 9.0, 14.0, 190.0
NAMED = len(PALETTE)
"""Most tasks that are named."""


def task_entries(tasks: Sequence[str], used: set[int]) -> list[Entry]:
    """One entry for each task that is drawn, for positions of several tasks and of none; nothing where no tasks are known."""
    if not tasks:
        return []
    listed = sorted(task for task in used if task >= 0)
    entries: list[Entry] = [(partial(_task, task), f"task {tasks[task]}") for task in listed[:NAMED]]
    if len(listed) > NAMED:
        entries.append((_nothing, f"and {len(listed) - NAMED} more tasks, in the same colours again"))
    entries += [(partial(_task, SHARED), "several tasks")] if SHARED in used else []
    return entries + ([(partial(_task, NOBODY), "no task")] if NOBODY in used else [])


def arranged(entries: Sequence[Entry], width: float) -> tuple[list[tuple[float, float, Entry]], float]:
    """(x, y, entry) with texts cut to the width, and the height that they take."""
    room = max(width, NARROWEST)
    x, y, placed = 0.0, 0.0, list[tuple[float, float, Entry]]()
    for sample, text in entries:
        short = fitted(text, min(room - SIDE - 4, 220.0))
        needed = SIDE + 4 + measure(short) + 12
        if x > 0 and x + needed - 12 > room:
            x, y = 0.0, y + ROW
        placed.append((x, y, (sample, short)))
        x += needed
    return placed, y + ROW if placed else 0.0


def draw_legend(axes: Axes, placed: Sequence[tuple[float, float, Entry]], top: float) -> None:
    """Draw entries below a picture."""
    for number, (x, y, (sample, text)) in enumerate(placed):
        sample(axes, MARGIN + x, top + y + (ROW - SIDE) / 2, f"legend-sample-{number}")
        write(axes, MARGIN + x + SIDE + 4, top + y + ROW / 2, text, f"legend-{number}", fontsize=FONT)


def _task(task: int, axes: Axes, x: float, y: float, gid: str) -> None:
    swatch(axes, x, y, SIDE, SIDE, task, gid)


def _nothing(axes: Axes, x: float, y: float, gid: str) -> None:
    """A text without a sample."""
