"""Draw a clustering diagnosis: paths, clusters over time, captured positions, and groups that gather."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.draw.display_names import printable
from masksynth.draw.paper import PALETTE
from masksynth.draw.pictures import check_picture, write_figure
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from masksynth.diagnostics.clustering import Clustering, Curve

ROOT = "#d55e00"
LINES = 6
"""Maximum number of groups with a line of their own."""
MOST_PATHS = 28
"""Maximum number of paths that are drawn, those of roots and centres among them; at least half are others."""
LABELS = {
    "renyi": "Renyi centres",
    "strong": "strong centres",
    "renyi fixed": "Renyi, where they began",
    "strong fixed": "strong, where they began",
}
STYLES = {
    "renyi": ("#0072b2", "-"),
    "strong": ("#d55e00", "-"),
    "renyi fixed": ("#0072b2", ":"),
    "strong fixed": ("#d55e00", ":"),
}


def write_clustering(result: Clustering, path: str | Path, *, title: str = "", force: bool = False) -> Path:
    """Draw a clustering diagnosis from its record alone.

    Parameters
    ----------
    result : Clustering
        With ``paths``, from ``diagnose(..., paths=True)``.
    path : path
        Ends in .svg, .png or .pdf.
    title : str
        What was diagnosed.
    force : bool
        Replace a file that is there.

    Raises
    ------
    InvalidInstance
        If the record has no paths, the ending is another, or the file already exists.
    Unsupported
        Without matplotlib.

    Examples
    --------
    >>> import tempfile
    >>> from masksynth.diagnostics.clustering import causal_mask, diagnose
    >>> found = diagnose(causal_mask(4), beta=4.0, dim=2, seeds=2, time=5.0, paths=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_clustering(found, f"{folder}/clusters.svg").name
    'clusters.svg'
    """
    from masksynth.draw.paper import drawing

    target = check_picture(path, force)
    with drawing():
        return write_figure(
            clustering_figure(result, title), target, "Clusters of the positions of a mask over time", force
        )


def clustering_figure(result: Clustering, title: str = "") -> Figure:
    """Return a clustering diagnosis as a matplotlib figure; call it inside ``drawing()``.

    Raises
    ------
    InvalidInstance
        If the record has no paths.
    """
    from matplotlib.figure import Figure

    if result.paths is None:
        raise InvalidInstance("the record has no paths", "", "make it with diagnose(..., paths=True)")
    figure = Figure((10, 7.2), dpi=72, facecolor="white", layout="constrained")
    axes = figure.subplots(2, 2)
    figure.suptitle(_title(result, title), parse_math=False, fontsize=9)
    _paths(axes[0, 0], result)
    _clusters(axes[0, 1], result)
    captured_over_time(axes[1, 0], result.times, result.captured, result.radius)
    _gathered(axes[1, 1], result)
    return figure


def _title(result: Clustering, title: str) -> str:
    name = printable(title)[:60]
    about = f"{result.positions:,} positions, beta {result.beta:g}, dimension {result.dim}, {result.seeds} starts"
    return f"{name}: {about}" if name else about


def _paths(axes: Axes, result: Clustering) -> None:
    x = np.array(result.paths)
    roots = sorted({root for group in result.groups for root in group.roots if root < len(x)})[: MOST_PATHS // 4]
    drawn = len(roots) + len({place for _, places in result.first_centres for place in places})
    spread = np.linspace(0, len(x) - 1, min(len(x), max(MOST_PATHS - drawn, MOST_PATHS // 2))).astype(int)
    places = np.unique(np.concatenate([np.array(roots, int), spread]))
    which = np.flatnonzero(np.isin(places, roots)).tolist()
    (circle_paths if result.dim == 2 else sphere_paths)(axes, x[places], np.array(result.times), which)
    _centres(axes, x, result)
    shown = "paths" if len(places) == result.positions else f"{len(places)} of {result.positions:,} paths"
    marks = "roots thick" if result.dim == 2 else "ends: dots, roots: crosses"
    axes.set_title(f"the first start, {shown} ({marks})")


def _centres(axes: Axes, x: Float64Array, result: Clustering) -> None:
    """Draw the centres of the first start over the paths: strong ones filled, other Renyi centres hollow.

    On the circle they are followed to the end; on the sphere they are marked where they begin.
    """
    found = dict(result.first_centres)
    strong = [place for place in found.get("strong", ()) if place < len(x)]
    others = [place for place in found.get("renyi", ()) if place < len(x) and place not in strong]
    for places, fill, dash, label in ((strong, "black", "-", "strong centres"), (others, "none", ":", "Renyi centres")):
        if result.dim == 2 and places:
            turn = np.arctan2(x[places, :, 1], x[places, :, 0])
            turn = np.where(np.abs(np.diff(turn, axis=1, prepend=turn[:, :1])) > np.pi, np.nan, turn)
            axes.plot(result.times, turn.T, color="black", linewidth=0.9, linestyle=dash, zorder=4)
            axes.plot(
                np.zeros(len(places)), turn[:, 0], "o", color="black", markerfacecolor=fill, markersize=3, label=label
            )
        elif places:
            seen = x[places, 0, :3] @ _view().T
            front = seen[seen[:, 2] >= 0]
            axes.plot(front[:, 0], front[:, 1], "^", color="black", markerfacecolor=fill, markersize=4, label=label)
    if found:
        axes.legend(frameon=False, loc="upper right", fontsize=6)


def circle_paths(axes: Axes, x: Float64Array, times: Float64Array, roots: list[int]) -> None:
    """Draw angles over time for points (n, T, 2), those of roots thick; a path that crosses -pi is cut there."""
    turn = np.arctan2(x[..., 1], x[..., 0])
    for position, path in enumerate(turn):
        path = np.insert(path, cuts := np.flatnonzero(np.abs(np.diff(path)) > np.pi) + 1, np.nan)
        style: dict[str, Any] = (
            {"color": ROOT, "linewidth": 1.8, "zorder": 3}
            if position in roots
            else {"color": INKS[position % len(INKS)]}
        )
        axes.plot(np.insert(times, cuts, np.nan), path, **{"linewidth": 0.6, **style})
    axes.set(ylabel="angle", ylim=(-np.pi, np.pi))
    over_time(axes, times)


INKS = ("#37474f", "#0072b2", "#009e73", "#56b4e9", "#999999")


def sphere_paths(axes: Axes, x: Float64Array, times: Float64Array, roots: list[int]) -> None:
    """Draw the first three coordinates of points (n, T, d) from above.

    Paths on the far half are pale, ends are dots, roots are crosses.
    """
    turned = x[..., :3] @ _view().T
    axes.set_aspect("equal")
    outline = np.linspace(0, 2 * np.pi, 121)
    axes.plot(np.cos(outline), np.sin(outline), color="0.8", linewidth=0.8)
    for position, path in enumerate(turned):
        colour = ROOT if position in roots else INKS[position % len(INKS)]
        for shown, strength in ((path[:, 2] >= 0, 0.9), (path[:, 2] < 0, 0.25)):
            seen = np.where(shown[:, None], path[:, :2], np.nan)
            axes.plot(seen[:, 0], seen[:, 1], color=colour, linewidth=0.6, alpha=strength)
    axes.plot(turned[:, -1, 0], turned[:, -1, 1], "o", color="black", markersize=3)
    axes.plot(turned[roots, 0, 0], turned[roots, 0, 1], "x", color=ROOT, markersize=6)
    axes.set(xticks=[], yticks=[], xlabel=f"to time {times[-1]:g}")
    axes.set_frame_on(False)


def _view() -> Float64Array:
    """Return the rotation that views the sphere from the side and a little from above."""
    turn, tilt = 0.6, 0.5
    about = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    lean = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return np.asarray(lean @ about, np.float64)


def _clusters(axes: Axes, result: Clustering) -> None:
    _curve(axes, result.times, result.clusters, "clusters, mean and 10 % to 90 % of starts", "#0072b2", "-")
    if result.expected_strong is not None:
        axes.axhline(
            result.expected_strong,
            color="#d55e00",
            linewidth=0.8,
            linestyle="--",
            label="strong centres expected, causal",
        )
    if result.expected_renyi is not None:
        axes.axhline(
            result.expected_renyi,
            color="#009e73",
            linewidth=0.8,
            linestyle="--",
            label="Renyi centres expected, no room left",
        )
    scale_counts(axes, max(result.clusters.high), result.angle)
    over_time(axes, np.array(result.times))
    axes.legend(frameon=False, loc="upper right")


def scale_counts(axes: Axes, most: float, angle: float) -> None:
    """Scale the axis of numbers of clusters logarithmically, with plain numbers as ticks."""
    axes.set(yscale="log", ylabel="clusters", title=f"clusters: neighbours within {angle:.3g} rad")
    ticks = [step * 10**power for power in range(5) for step in (1, 2, 5) if step * 10**power <= most]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks([], minor=True)


def captured_over_time(
    axes: Axes, times: tuple[float, ...], captured: tuple[tuple[str, Curve], ...], radius: float
) -> None:
    """Draw the shares of positions within ``radius`` of centres over time, with percentiles where centres move."""
    for name, curve in captured:
        colour, dash = STYLES[name]
        _curve(axes, times, curve, LABELS[name], colour, dash, band=not name.endswith("fixed"))
    axes.set(ylim=(0, 1.02), ylabel="share of positions", title=f"within {radius:.3g} rad of a centre of the start")
    over_time(axes, np.array(times))
    if captured:
        axes.legend(frameon=False, loc="lower right")
    else:
        axes.set_title("no centres: beta is too small")


def _gathered(axes: Axes, result: Clustering) -> None:
    shown = [group for group in result.groups if group.status != "fixed"][:LINES]
    for number, group in enumerate(shown):
        roots = ", ".join(map(str, group.roots[:3])) + ("..." if len(group.roots) > 3 else "")
        label = f"{len(group.positions)} of {roots}: {group.status}"
        axes.plot(result.times, group.gathered, color=PALETTE[number % len(PALETTE)], linewidth=1.3, label=label)
    axes.set(ylim=(0, 1.02), ylabel="share of positions", title=f"within {result.angle:.3g} rad of all of a root")
    over_time(axes, np.array(result.times))
    if shown:
        axes.legend(frameon=False, loc="upper left")


def _curve(
    axes: Axes, times: tuple[float, ...], curve: Curve, label: str, colour: str, dash: str, band: bool = True
) -> None:
    if band:
        axes.fill_between(times, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(times, curve.mean, color=colour, linestyle=dash, linewidth=1.2, label=label)


def over_time(axes: Axes, times: Float64Array) -> None:
    """Scale the time axis by log(1 + t), so that it starts at 0 with room for early times."""
    axes.set_xscale("function", functions=(np.log1p, np.expm1))
    ticks = [0.0, *(float(10**power) for power in range(-1, 6) if 10**power <= times[-1])]
    axes.set(
        xlim=(0, times[-1]),
        xlabel="time",
        xticks=[tick for tick in ticks if tick in (0.0, 1.0) or tick >= 10 or times[-1] < 10],
    )
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
