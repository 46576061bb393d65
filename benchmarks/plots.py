"""Plots of the benchmarks, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

STYLES = ("--", ":", "-.", (0, (5, 1)))
"""Dashes of the solvers that stand for comparison; ours are drawn solid."""
SHORTEST = 0.01


def cactus(path: Path, solved: Mapping[str, Sequence[float]], cases: int, limit: float) -> None:
    """Draw how many cases each method proves within a time; ``solved`` has its CPU seconds, ascending, by method.

    The first methods, one for each of ``STYLES``, are drawn dashed, the last in black.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"svg.hashsalt": "masksynth", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        for place, (method, seconds) in enumerate(solved.items()):
            dashes = STYLES[place] if place < len(STYLES) else "-"
            ends = [max(SHORTEST, second) for second in seconds]
            color = "black" if place == len(solved) - 1 else f"C{place}"
            counts = range(1, len(ends) + 1)
            axes.step([*ends, limit], [*counts, len(ends)], where="post", linestyle=dashes, color=color, label=f"{method} ({len(ends)})")
        axes.axhline(cases, color="0.8", linewidth=0.8, zorder=0)
        axes.set(xscale="log", xlim=(SHORTEST, limit), xlabel="CPU seconds for one instance", ylabel=f"proved, of {cases} instances")
        figure.legend(loc="outside right upper", frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
