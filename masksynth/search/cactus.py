"""Cactus plots: how many instances are proved within a time, one curve for each backend.

Equal results have equal pictures, byte for byte. matplotlib is imported when one is drawn.
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
"""Most steps of a curve; one with more is drawn at this many times, exactly at each."""
SHORTEST = 0.001


def write_cactus(path: str | Path, summaries: Iterable[Summary], force: bool = False) -> Path:
    """Draw a batch: for every backend, how many instances it proved within a time; the best is named first.

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
    best = sorted(summaries, key=lambda found: (-found.proved, found.total, found.backend))
    curves = {found.backend: found.proved_seconds for found in best}
    cases = {found.backend: found.instances for found in best}
    return draw_cactus(path, curves, cases, max((found.most for found in best), default=1.0), force=force)


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
    """Draw curves: seconds of the proved ones by method, ascending, of so many ``cases``.

    Parameters
    ----------
    path : path
    curves : mapping of str to (n,) seconds
    cases : mapping of str to int
        What each method was given.
    limit, shortest : float
        Right and left end of the axis [default on the left: a power of ten under the shortest time, at least a
        millisecond].
    clock : str
        Which seconds they are.
    dashed : int
        So many methods at the start are drawn dashed, as those that the others are compared with.
    force : bool

    Raises
    ------
    InvalidInstance, Unsupported, MasksynthError
        As `write_cactus`.
    """
    from masksynth.draw.paper import drawing
    from masksynth.draw.pictures import check_picture, write_figure

    place = check_picture(path, force)
    seconds = {method: np.sort(np.asarray(times, dtype=np.float64)) for method, times in curves.items()}
    left = _left(seconds.values()) if shortest is None else shortest
    with drawing():
        figure = _figure(seconds, cases, left, max(limit, 10 * left), clock, dashed)
        return write_figure(figure, place, "Instances proved against seconds", force)


def _left(curves: Iterable[NDArray[np.float64]]) -> float:
    first = min((times[0] for times in curves if len(times)), default=SHORTEST)
    return float(10 ** np.floor(np.log10(max(first, SHORTEST))))


def steps(seconds: NDArray[np.float64], left: float, right: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times and how many ended by then, from ``left`` to ``right``.

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


def _style(place: int, dashed: int) -> dict[str, Any]:
    if place < dashed:
        return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[1 + place % (len(DASHES) - 1)]}
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[(place // len(COLOURS)) % len(DASHES)]}


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
        axes.step(*steps(times, left, right), where="post", linewidth=1.2, **_style(place, dashed))[0]
        for place, times in enumerate(seconds.values())
    ]
    axes.set(xscale="log", xlim=(left, right), ylim=(0, max(1.04 * most, 1)))
    axes.set(xlabel=f"{clock} for one instance", ylabel=_counted(list(cases.values())))
    axes.xaxis.set_major_formatter(lambda second, _: f"{second:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if seconds:
        labels = [_label(method, len(times), cases) for method, times in seconds.items()]
        figure.legend(curves, labels, loc="outside right upper", frameon=False)
    return figure


def _counted(cases: Sequence[int]) -> str:
    return f"proved, of {cases[0]} instances" if len(set(cases)) == 1 else "proved instances"
