"""Masks as SVG for notebooks: single pairs, or blocks of a large mask; needs nothing but numpy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from masksynth.mask.block_runs import block_pairs

if TYPE_CHECKING:
    from masksynth.mask import Mask

MOST_NAMED, MOST_CELLS, MOST_TABLES = 48, 64, 3
"""Maximum number of positions drawn pair by pair, of rows of blocks of a larger mask, and of tables of a pattern."""
MOST_INTERVALS = 2_000_000
"""A mask of more row intervals is not drawn."""
NAME, LETTER, CELL, BLOCK, GAP = 32, 6.2, 12, 5, 14
"""Maximum number of characters of a name; pixels: of a letter, of a cell, of a block, between tables."""
INK, LINE = "#283593", "#b0bec5"


def mask_svg(mask: Mask, names: Sequence[str] = ()) -> str | None:
    """Return a picture of a mask: rows are queries, columns are keys; None if it has too many intervals.

    Up to 48 positions each allowed pair is a cell. A larger mask is drawn in at most 64 x 64 blocks, the darker the
    more of their pairs are allowed.

    Parameters
    ----------
    mask : Mask
        Of a layer pattern the first three tables are drawn.
    names : sequence of str
        Printable, one for each position; written left of the rows where each pair is drawn.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> picture = mask_svg(Mask.from_dense(np.tri(3, dtype=bool)), ["a", "b", "<c>"])
    >>> picture.count("<rect"), "&lt;c&gt;" in picture
    (4, True)
    """
    if len(mask.key_start) > MOST_INTERVALS:
        return None
    unit = 1 if mask.size <= MOST_NAMED else -(-mask.size // MOST_CELLS)
    rows, side = -(-mask.size // unit), CELL if unit == 1 else BLOCK
    shown = [name[:NAME] for name in names] if unit == 1 else []
    left = 8 + LETTER * max(map(len, shown), default=0)
    tables = min(mask.tables, MOST_TABLES)
    parts = [
        f'<text x="{left - 5:g}" y="{(row + 0.8) * side:g}" text-anchor="end" fill="currentColor">{escape(name)}</text>'
        for row, name in enumerate(shown)
    ]
    for table in range(tables):
        x = left + table * (rows * side + GAP)
        cells = _cells(mask, table, side) if unit == 1 else _blocks(mask, table, unit, side)
        frame = f'<rect width="{rows * side}" height="{rows * side}" fill="none" stroke="{LINE}"/>'
        parts.append(f'<g transform="translate({x:g} 0.5)">{cells}{frame}</g>')
    width, height = left + tables * (rows * side + GAP), rows * side + 2
    blocks = f" in blocks of {unit}" if unit > 1 else ""
    title = f"mask of {mask.size:,} positions{blocks}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" '
        f'font-family="monospace" font-size="10" role="img"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _cells(mask: Mask, table: int, side: int) -> str:
    """Return one rectangle for each interval of each row."""
    return "".join(
        f'<rect x="{start * side}" y="{query * side}" width="{(end - start) * side}" height="{side - 1}" fill="{INK}"/>'
        for query in range(mask.size)
        for start, end in mask.intervals(query, table)
    )


def _blocks(mask: Mask, table: int, unit: int, side: int) -> str:
    """Return one rectangle for each block with allowed pairs; its opacity is their share."""
    counts = block_pairs(mask, table, unit, unit)
    lengths = np.minimum(unit, mask.size - unit * np.arange(len(counts)))
    share = counts / np.outer(lengths, lengths)
    return "".join(
        f'<rect x="{column * side}" y="{row * side}" width="{side}" height="{side}" fill="{INK}" '
        f'fill-opacity="{0.15 + 0.85 * share[row, column]:.2f}"/>'
        for row, column in np.argwhere(counts).tolist()
    )
