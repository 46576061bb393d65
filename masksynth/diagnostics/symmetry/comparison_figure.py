"""Draw the scores of several checkpoints: over the steps of training runs, and by layer and head at their ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from masksynth.diagnostics.symmetry.checkpoints import Checkpoint, Comparison, Series
from masksynth.diagnostics.symmetry.seed_means import Family, families
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
    of each model, its layers as a line from the first (0) to the last (1), its heads from the least to the largest. Of
    runs that differ by their seeds the mean, and from the least to the largest of them.
    """
    from matplotlib.figure import Figure

    drawn = families(result.series)
    stepped = [family.mean for family in drawn if len(family.mean.checkpoints) > 1]
    rows = 2 if stepped else 1
    figure = Figure((10.2, 2.9 * rows), dpi=72, facecolor="white", layout="constrained")
    for column, (score, title) in enumerate(SCORES):
        if stepped:
            axes = figure.add_subplot(rows, 3, column + 1)
            for number, family in enumerate(drawn):
                _over_steps(axes, family, score, number)
            axes.set_xscale("symlog", linthresh=_first_step(stepped))
            axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
            _finish(axes, "step", title)
        axes = figure.add_subplot(rows, 3, 3 * (rows - 1) + column + 1)
        for number, family in enumerate(drawn):
            _by_layer(axes, family, score, number)
        _finish(axes, "layer: first (0) to last (1)", title)
        if column == 0:
            axes.legend(frameon=False, fontsize=7)
    return figure


def _first_step(runs: list[Series]) -> int:
    """Return the least positive step; the axis of steps is linear up to it, so that step 0 is on it."""
    steps = [each.step for run in runs for each in run.checkpoints if each.step]
    return min(steps, default=1)


def _over_steps(axes: Axes, family: Family, score: str, number: int) -> None:
    rows = [(each.step or 0, band) for each, band in _bands(family, score) if band is not None]
    if len(family.mean.checkpoints) < 2 or not rows:
        return
    steps, (low, middle, high) = [step for step, _ in rows], zip(*(band for _, band in rows), strict=True)
    colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(steps, middle, color=colour, marker=mark, markersize=4, linewidth=1.2, label=_tail(family.mean.name))


def _bands(family: Family, score: str) -> Iterator[tuple[Checkpoint, tuple[float, float, float] | None]]:
    """Yield each checkpoint with low, middle and high: quartiles of its layers; of seeds, least, mean and largest."""
    for index, each in enumerate(family.mean.checkpoints):
        if len(family.members) > 1:
            known = _known(getattr(run.checkpoints[index].scores, score) for run in family.members)
            yield each, (min(known), sum(known) / len(known), max(known)) if known else None
        else:
            known = _known(getattr(layer, score) for layer in each.scores.layers)
            low, middle, high = np.quantile(known or [0.0], (0.25, 0.5, 0.75))
            yield each, (float(low), float(middle), float(high)) if known else None


def _by_layer(axes: Axes, family: Family, score: str, number: int) -> None:
    layers = family.mean.last.layers
    colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
    rows = [
        (index / max(1, len(layers) - 1), getattr(layer, score), _spread(family, index, score))
        for index, layer in enumerate(layers)
    ]
    spread = [(place, min(values), max(values)) for place, _, values in rows if values]
    if spread:
        axes.vlines(*zip(*spread, strict=True), color=colour, alpha=0.35, linewidth=0.8)
    known = [(place, value) for place, value, _ in rows if value is not None]
    if known:
        places, values = zip(*known, strict=True)
        axes.plot(places, values, color=colour, marker=mark, markersize=4, linewidth=1.2, label=_tail(family.mean.name))


def _spread(family: Family, index: int, score: str) -> list[float]:
    """Return the scores of the heads of a layer; of the layer in each run, where there are seeds."""
    if len(family.members) > 1:
        return _known(getattr(run.last.layers[index], score) for run in family.members)
    return _known(getattr(family.mean.last.layers[index], f"head_{score}"))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _tail(name: str, most: int = 28) -> str:
    """Return the end of a long name, which is the most informative part of a path."""
    return printable(name if len(name) <= most else f"...{name[3 - most :]}")


def _finish(axes: Axes, below: str, title: str) -> None:
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel=below, ylim=(-1.05, 1.05))
    axes.set_title(title, fontsize=8)
