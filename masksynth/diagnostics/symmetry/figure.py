"""Draw a symmetry diagnosis: scores by layer and head, predictions with random updates, or training curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from masksynth.diagnostics.symmetry import Comparison, MaskDiagnosis, TrainingDiagnosis, WeightDiagnosis
from masksynth.diagnostics.symmetry.scores import MODES
from masksynth.draw.display_names import printable
from masksynth.draw.pictures import check_picture, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#607d8b"
COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
MARKS = ("o", "s", "^", "D", "v", "P")


Diagnosis = WeightDiagnosis | Comparison | MaskDiagnosis | TrainingDiagnosis


def draw_symmetry(result: Diagnosis, path: str | Path, force: bool = False) -> Path:
    """Draw a diagnosis from its record alone; equal records give equal bytes.

    Parameters
    ----------
    result : WeightDiagnosis, Comparison, MaskDiagnosis or TrainingDiagnosis
    path : path
        Ends in .svg, .png or .pdf.
    force : bool
        Replace a file that is there.

    Raises
    ------
    InvalidInstance, Unsupported
        As `masksynth.draw.pictures.check_picture`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from masksynth import Mask
    >>> from masksynth.diagnostics.symmetry import diagnose_mask
    >>> found = diagnose_mask(Mask.from_dense(np.tri(4, dtype=bool)), check=True, dimensions=(8, 16))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_symmetry(found, f"{folder}/causal.svg").name
    'causal.svg'
    """
    from masksynth.draw.paper import drawing

    target = check_picture(path, force)
    with drawing():
        return write_figure(symmetry_figure(result), target, "Symmetry of attention", force)


def symmetry_figure(result: Diagnosis) -> Figure:
    """Return a diagnosis as a matplotlib figure; call it inside ``drawing()``."""
    if isinstance(result, WeightDiagnosis):
        return _weights(result)
    if isinstance(result, Comparison):
        from masksynth.diagnostics.symmetry.comparison_figure import comparison_figure

        return comparison_figure(result)
    return _mask(result) if isinstance(result, MaskDiagnosis) else _training(result)


def _sheet(panels: int, width: float = 3.6, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure((width * panels, height), dpi=72, facecolor="white", layout="constrained")
    return figure, [figure.add_subplot(1, panels, panel + 1) for panel in range(panels)]


def _weights(result: WeightDiagnosis) -> Figure:
    figure, panels = _sheet(3, 3.0)
    _layers(panels[0], result, "symmetry", BLUE)
    panels[0].set_title(_tail(result.source), fontsize=8)
    for axes, mode, colour in zip(panels[1:], MODES, (GREEN, ORANGE), strict=True):
        _layers(axes, result, f"directionality_{mode}", colour)
        axes.set(ylabel="directionality")
        axes.set_title(f"mode {mode}, gamma {result.gamma:g}", fontsize=8)
    return figure


def _layers(axes: Axes, result: WeightDiagnosis, name: str, colour: str) -> None:
    """Draw a score of each layer as a line, of its heads as points, the median as a dashed line."""
    heads = [
        (place, value)
        for place, one in enumerate(result.layers)
        for value in getattr(one, f"head_{name}")
        if value is not None
    ]
    if heads:
        places, values = zip(*heads, strict=True)
        axes.scatter(places, values, s=8, color=GREY, alpha=0.6, linewidths=0, label="heads", gid=f"{name}-heads")
    known = [(place, value) for place, one in enumerate(result.layers) if (value := getattr(one, name)) is not None]
    if known:
        axes.plot(
            *zip(*known, strict=True),
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.2,
            label="sum of heads",
            gid=name,
        )
    middle = getattr(result, name)
    if middle is not None:
        axes.axhline(middle, color=colour, linewidth=0.8, linestyle="--", label="median of layers")
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="layer", ylabel=name, ylim=(-1.05, 1.05))
    _whole(axes)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=7)


def _whole(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _mask(result: MaskDiagnosis) -> Figure:
    figure, (axes,) = _sheet(1, 4.6)
    for number, one in enumerate(result.tables):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.2}
        name = f"table {number}: " if len(result.tables) > 1 else ""
        axes.axhline(one.reciprocity, linestyle="--", label=f"{name}reciprocity {one.reciprocity:.4f}", **style)
        if one.sampled:
            dimensions = [drawn.dimension for drawn in one.sampled]
            axes.plot(dimensions, [drawn.expected for drawn in one.sampled], label=f"{name}expected at d", **style)
            bars = [2 * drawn.error for drawn in one.sampled]
            mark: dict[str, Any] = {
                "fmt": MARKS[number % len(MARKS)],
                "markersize": 4,
                "capsize": 2,
                "label": f"{name}random updates, 2 standard errors",
            }
            axes.errorbar(dimensions, [drawn.mean for drawn in one.sampled], bars, **mark, **style)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xscale="log", xlabel="dimension d", ylabel="symmetry of the update", ylim=(-0.1, 1.05))
    axes.xaxis.set_major_formatter(lambda place, _: f"{place:g}")
    axes.set_title(_tail(result.source), fontsize=8)
    axes.legend(frameon=False, fontsize=7)
    return figure


def _training(result: TrainingDiagnosis) -> Figure:
    figure, panels = _sheet(2, 3.8)
    for axes, start in zip(panels, ("random", "symmetric"), strict=True):
        for place, one in enumerate(result.trends):
            runs = [curve.symmetry for curve in result.curves if (curve.mask, curve.start) == (one.mask, start)]
            colour, mean = (
                COLOURS[place % len(COLOURS)],
                [sum(values) / len(values) for values in zip(*runs, strict=True)],
            )
            for run in runs:
                axes.plot(result.steps, run, color=colour, linewidth=0.5, alpha=0.5)
            mark = MARKS[place % len(MARKS)]
            axes.plot(
                result.steps, mean, color=colour, linewidth=1.6, marker=mark, markevery=5, markersize=4, label=one.mask
            )
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set(xlabel="step", ylabel="symmetry of W_qk, mean of layers", ylim=(-0.1, 1.05))
        axes.set_title(f"{start} start", fontsize=8)
        axes.legend(frameon=False, fontsize=7)
    return figure


def _tail(source: str, most: int = 48) -> str:
    return printable(source if len(source) <= most else f"...{source[3 - most :]}")
