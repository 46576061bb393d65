"""Draw the scores of several checkpoints: over the steps of training runs, and by layer and head at their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from masksynth.diagnostics.symmetry.checkpoints import Comparison, Series
from masksynth.draw.display_names import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#607d8b", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
SCORES = (
    ("symmetry", "symmetry"),
    ("directionality_excess", "directionality, mode excess"),
    ("directionality_sum", "directionality, mode sum"),
)


def comparison_figure(result: Comparison) -> Figure:
    """Return a figure with a column for each score; call it inside ``drawing()``.

    Over steps: the median of the layers, and a band from the lower to the upper quartile. By layer: the last checkpoint
    of each model, its layers as a line from the first (0) to the last (1), its heads from the least to the largest.
    """
    from matplotlib.figure import Figure

    stepped = [run for run in result.series if len(run.checkpoints) > 1]
    rows = 2 if stepped else 1
    figure = Figure((10.2, 2.9 * rows), dpi=72, facecolor="white", layout="constrained")
    for column, (score, title) in enumerate(SCORES):
        if stepped:
            axes = figure.add_subplot(rows, 3, column + 1)
            for number, run in enumerate(result.series):
                _over_steps(axes, run, score, number)
            axes.set_xscale("symlog", linthresh=_first_step(stepped))
            axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
            _finish(axes, "step", title)
        axes = figure.add_subplot(rows, 3, 3 * (rows - 1) + column + 1)
        for number, run in enumerate(result.series):
            _by_layer(axes, run, score, number)
        _finish(axes, "layer: first (0) to last (1)", title)
        if column == 0:
            axes.legend(frameon=False, fontsize=7)
    return figure


def _first_step(runs: list[Series]) -> int:
    """Return the least positive step; the axis of steps is linear up to it, so that step 0 is on it."""
    steps = [each.step for run in runs for each in run.checkpoints if each.step]
    return min(steps, default=1)


def _over_steps(axes: Axes, run: Series, score: str, number: int) -> None:
    rows = [
        (each.step or 0, np.quantile(known, (0.25, 0.5, 0.75)))
        for each in run.checkpoints
        if (known := [value for layer in each.scores.layers if (value := getattr(layer, score)) is not None])
    ]
    if len(run.checkpoints) < 2 or not rows:
        return
    steps, (low, middle, high) = [step for step, _ in rows], np.stack([values for _, values in rows], axis=1)
    colour = COLOURS[number % len(COLOURS)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    mark = MARKS[number % len(MARKS)]
    axes.plot(steps, middle, color=colour, marker=mark, markersize=4, linewidth=1.2, label=_tail(run.name))


def _by_layer(axes: Axes, run: Series, score: str, number: int) -> None:
    layers = run.last.layers
    depth = [index / max(1, len(layers) - 1) for index in range(len(layers))]
    colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
    heads = [
        (place, min(scores), max(scores))
        for place, layer in zip(depth, layers, strict=True)
        if (scores := [value for value in getattr(layer, f"head_{score}") if value is not None])
    ]
    if heads:
        axes.vlines(*zip(*heads, strict=True), color=colour, alpha=0.35, linewidth=0.8)
    known = [
        (place, value)
        for place, layer in zip(depth, layers, strict=True)
        if (value := getattr(layer, score)) is not None
    ]
    if known:
        places, values = zip(*known, strict=True)
        axes.plot(places, values, color=colour, marker=mark, markersize=4, linewidth=1.2, label=_tail(run.name))


def _tail(name: str, most: int = 28) -> str:
    """Return the end of a long name, which is the most informative part of a path."""
    return printable(name if len(name) <= most else f"...{name[3 - most :]}")


def _finish(axes: Axes, below: str, title: str) -> None:
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel=below, ylim=(-1.05, 1.05))
    axes.set_title(title, fontsize=8)
