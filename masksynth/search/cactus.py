"""Cactus plots: how many instances are proved within a time, one curve per backend.

Equal results give equal files, byte for byte. matplotlib is imported only when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masksynth.search.summary import Summary
from masksynth.tasks.canonical import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Okabe and Ito's colours without yellow, which is too light for a line."""
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1)))
STEPS = 1000
"""Maximum number of steps of a curve; a curve with more is sampled at this many times."""
SHORTEST = 0.001


def write_cactus(path: str | Path, summaries: Iterable[Summary], force: bool = False) -> Path:
    """Draw a batch: for each backend, how many instances it proved within a time; the best is listed first.

    A point (t, n) of a curve: n lines are proved (OPTIMAL or INFEASIBLE) and took at most t seconds each.

    Parameters
    ----------
    path : path
        Ends in .svg, .png or .pdf.
    summaries : iterable of Summary
        From ``summary``.
    force : bool
        Replace a file that is there.

    Raises
    ------
    InvalidInstance, Unsupported
        As `masksynth.draw.pictures.check_picture`.
    MasksynthError
        If the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> from masksynth.search import Result
    >>> from masksynth.search.summary import summary
    >>> done = Result("a", "00", "cpsat", None, False, "INFEASIBLE", {}, "cpsat", 0.5, None, {}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cactus(f"{folder}/plot.svg", summary([done])).name
    'plot.svg'
    """
    best = sorted(summaries, key=lambda row: (-row.proved, row.total, row.backend))
    curves = {row.backend: row.proved_seconds for row in best}
    cases = {row.backend: row.instances for row in best}
    return draw_cactus(path, curves, cases, max((row.most for row in best), default=1.0), force=force)


def draw_cactus(
    path: str | Path,
    curves: Mapping[str, ArrayLike],
    cases: Mapping[str, int],
    limit: float,
    *,
    shortest: float | None = None,
    clock: str = "seconds",
    dashed: int = 0,
    force: bool = False,
) -> Path:
    """Draw one curve per method from the times of its proved instances.

    Parameters
    ----------
    path : path
    curves : mapping of str to (n,) seconds
    cases : mapping of str to int
        Number of instances of each method.
    limit, shortest : float
        Right and left end of the axis [default on the left: a power of ten under the shortest time, at least a
        millisecond].
    clock : str
        Label of the time axis.
    dashed : int
        Number of methods at the start that are drawn dashed, as baselines.
    force : bool

    Raises
    ------
    InvalidInstance, Unsupported, MasksynthError
        As `write_cactus`.
    """
    from masksynth.draw.paper import drawing
    from masksynth.draw.pictures import check_picture, write_figure

    target = check_picture(path, force)
    seconds = {method: np.sort(np.asarray(times, dtype=np.float64)) for method, times in curves.items()}
    left = _left_end(seconds.values()) if shortest is None else shortest
    with drawing():
        figure = _figure(seconds, cases, left, max(limit, 10 * left), clock, dashed)
        return write_figure(figure, target, "Instances proved against seconds", force)


def _left_end(curves: Iterable[NDArray[np.float64]]) -> float:
    first = min((times[0] for times in curves if len(times)), default=SHORTEST)
    return float(10 ** np.floor(np.log10(max(first, SHORTEST))))


def steps(seconds: NDArray[np.float64], left: float, right: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return times from ``left`` to ``right``, and how many instances ended by each.

    Examples
    --------
    >>> times, counts = steps(np.array([0.5, 2.0, 2.0]), 0.1, 10.0)
    >>> times.tolist(), counts.tolist()
    ([0.1, 0.5, 2.0, 10.0], [0, 1, 3, 3])
    """
    inner = np.unique(np.clip(seconds, left, right))
    if len(inner) > STEPS:
        inner = np.geomspace(left, right, STEPS)
    times = np.concatenate([[left], inner, [right]])
    counts = np.searchsorted(np.clip(seconds, left, right), times, side="right")
    counts[0] = 0
    return times, counts


def _style(index: int, dashed: int) -> dict[str, Any]:
    if index < dashed:
        return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[1 + index % (len(DASHES) - 1)]}
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[(index // len(COLOURS)) % len(DASHES)]}


def _label(method: str, proved: int, cases: Mapping[str, int]) -> str:
    name = printable(method)
    name = name if len(name) <= 32 else f"{name[:29]}..."
    return f"{name} ({proved})" if len(set(cases.values())) <= 1 else f"{name} ({proved} of {cases[method]})"


def _figure(
    seconds: Mapping[str, NDArray[np.float64]],
    cases: Mapping[str, int],
    left: float,
    right: float,
    clock: str,
    dashed: int,
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullFormatter

    figure = Figure((8, max(4.2, 0.17 * len(seconds) + 0.4)), dpi=72, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    most = max(cases.values(), default=0)
    axes.axhline(most, color="0.8", linewidth=0.8, zorder=0)
    curves = [
        axes.step(*steps(times, left, right), where="post", linewidth=1.2, **_style(index, dashed))[0]
        for index, times in enumerate(seconds.values())
    ]
    axes.set(xscale="log", xlim=(left, right), ylim=(0, max(1.04 * most, 1)))
    axes.set(xlabel=f"{clock} for one instance", ylabel=_count_label(list(cases.values())))
    axes.xaxis.set_major_formatter(lambda second, _: f"{second:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if seconds:
        labels = [_label(method, len(times), cases) for method, times in seconds.items()]
        figure.legend(curves, labels, loc="outside right upper", frameon=False)
    return figure


def _count_label(cases: Sequence[int]) -> str:
    return f"proved, of {cases[0]} instances" if len(set(cases)) == 1 else "proved instances"
