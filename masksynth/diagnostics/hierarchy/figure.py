"""Draw a hierarchy: the blocks of its tree over the attention matrix, and the divergence of every position.

It is drawn from the record alone; equal records have equal pictures. matplotlib is imported when one is drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.draw.display_names import printable
from masksynth.draw.paper import FONT, LINE, drawing, fitted
from masksynth.draw.pictures import check_picture, write_figure
from masksynth.mask.typing import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from masksynth.diagnostics.hierarchy import Hierarchy

DEPTHS = ("#c5e1f9", "#a9d3f7", "#90caf9", "#64b5f6", "#42a5f5", "#1e88e5", "#1565c0", "#0d47a1")
"""Blocks of siblings at depth 1, 2, ...: the deeper, the darker."""
VECTORS = 256
"""Cells of one kind above which they are drawn as dots, so that files stay small."""
SIDE = 300.0
"""Points of the matrix."""


def write_hierarchy_figure(path: str | Path, result: Hierarchy, force: bool = False) -> Path:
    """Draw a diagnosis to FILE.svg, .png or .pdf.

    Raises
    ------
    InvalidInstance, Unsupported
        As `masksynth.draw.pictures.check_picture`.
    MasksynthError
        If the disk refuses.
    """
    target = check_picture(path, force)
    with drawing():
        return write_figure(hierarchy_figure(result), target, title_of(result), force)


def title_of(result: Hierarchy) -> str:
    """Return the title of the picture, in one line."""
    return f"hierarchy: {printable(result.name)}"


def subtitle_of(result: Hierarchy) -> str:
    """Return the size of the tree and its rules of attention, as text."""
    sees = (
        "left siblings"
        if result.causal
        else "siblings"
        if result.mask_pairs is None
        else "siblings that the mask allows"
    )
    itself = "and themselves" if result.included else "but not themselves"
    return f"{result.positions:,} positions, {result.families:,} families, depth {result.depth}; see {sees} {itself}"


def hierarchy_figure(result: Hierarchy) -> Figure:
    """Return the picture as a matplotlib figure; call it inside ``drawing()``."""
    from matplotlib.figure import Figure

    wide, tall = SIDE + 90.0, SIDE + 195.0
    figure = Figure((wide / 72, tall / 72), dpi=72, facecolor="white")
    left, width = 50.0 / wide, SIDE / wide
    title = fitted(title_of(result), SIDE + 30, FONT + 1, "bold")
    figure.text(
        left, 1 - 10 / tall, title, fontsize=FONT + 1, weight="bold", va="center", parse_math=False, gid="title"
    )
    figure.text(
        left, 1 - 22 / tall, subtitle_of(result), fontsize=FONT - 1, va="center", parse_math=False, gid="subtitle"
    )
    matrix = figure.add_axes((left, 1 - (44 + SIDE) / tall, width, SIDE / tall))
    _matrix(matrix, result)
    rows = figure.add_axes((left, 50 / tall, width, 80 / tall))
    _rows(rows, result)
    return figure


def _matrix(axes: Axes, result: Hierarchy) -> None:
    """Draw every usable block in the shade of its depth.

    Leaves are dark where they attend to themselves, areas too fine to draw are hatched.
    """
    from matplotlib.patches import Rectangle

    size = result.positions
    axes.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    axes.tick_params(labelsize=FONT - 1, length=2, color=LINE)
    axes.set_ylabel("query, in the order of the leaves", fontsize=FONT)
    axes.xaxis.tick_top()
    for depth in sorted({block[0] for block in result.blocks}):
        blocks = [Rectangle((key, row), keys, rows) for at, row, rows, key, keys in result.blocks if at == depth]
        colour = DEPTHS[min(depth, len(DEPTHS)) - 1]
        _cells(axes, blocks, f"depth-{depth}", facecolor=colour, edgecolor="white", linewidth=0.3)
    ends = (*result.parts[1:], size)
    squares = [(low, high - low) for low, high in zip(result.parts, ends, strict=True)]
    leaves = [Rectangle((low, low), 1, 1) for low, wide in squares if wide == 1]
    deeper = [Rectangle((low, low), wide, wide) for low, wide in squares if wide > 1]
    _cells(
        axes, leaves, "leaves", facecolor="#263238" if result.included else "white", edgecolor="#b0bec5", linewidth=0.2
    )
    _cells(axes, deeper, "deeper", facecolor="#eceff1", edgecolor="#607d8b", linewidth=0.4, hatch="////")


def _cells(axes: Axes, cells: list[Any], gid: str, **style: Any) -> None:
    from matplotlib.collections import PatchCollection

    if cells:
        drawn = PatchCollection(cells, gid=gid, **style)
        drawn.set_rasterized(len(cells) > VECTORS)
        axes.add_collection(drawn)


def _rows(axes: Axes, result: Hierarchy) -> None:
    """Draw the divergence of each position, or why there is none."""
    values = np.array([np.nan if row is None else row for row in result.kl_rows], float)
    axes.tick_params(labelsize=FONT - 1, length=2, color=LINE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(0, result.positions)
    axes.set_xlabel("position", fontsize=FONT)
    axes.set_ylabel("KL, nats", fontsize=FONT)
    if not len(values) or np.isnan(values).all():
        reason = result.skipped or "every row is empty"
        axes.text(0.5, 0.5, reason[:70], transform=axes.transAxes, ha="center", va="center", fontsize=FONT, gid="none")
        return
    x, y = reduced(values)
    axes.plot(x, y, drawstyle="steps-post", color="#0072b2", linewidth=0.9, gid="kl")
    axes.axhline(float(np.nanmean(values)), color="#d55e00", linewidth=0.8, linestyle="--", gid="mean")
    axes.set_ylim(0, float(np.nanmax(values)) * 1.1 or 1.0)


def reduced(values: Float64Array, most: int = 512) -> tuple[Float64Array, Float64Array]:
    """Return at most so many points: the means of equal ranges of positions.

    Examples
    --------
    >>> [part.tolist() for part in reduced(np.array([1.0, 3.0, 5.0, 7.0]), most=2)]
    [[0.0, 2.0, 4.0], [2.0, 6.0, 6.0]]
    """
    step = -(-len(values) // most)
    padded = np.pad(values, (0, -len(values) % step), constant_values=np.nan).reshape(-1, step)
    known = ~np.isnan(padded)
    means = np.where(
        known.any(axis=1), np.where(known, padded, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan
    )
    places = np.append(np.arange(len(means)) * step, len(values)).astype(float)
    return places, np.append(means, means[-1])
