"""Pictures of masks as tables of cells: one cell for each pair, or for each block of pairs where the mask is large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from masksynth.draw.display_names import position_names, printable
from masksynth.draw.position_tasks import PositionTasks, position_tasks
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.mask.algebra import check_same_size, difference, intersection, select_table
from masksynth.mask.block_runs import block_pairs
from masksynth.mask.typing import BoolArray, Int8Array
from masksynth.statistics import convergence, count_updates, flow_after
from masksynth.statistics.updates import layers_of_table

if TYPE_CHECKING:
    from masksynth.subject.subject import Subject

NAME = 24
"""Maximum number of columns of the name of a position."""

LARGEST_EXACT = 64
"""Largest mask of which every pair is drawn."""
MOST_CELLS = 256
"""Maximum number of rows of blocks in a picture."""
MOST_PANELS = 6
"""Maximum number of tables of a pattern, or steps of a flow, in one picture."""

KINDS = ("empty", "allowed", "full", "partial", "first", "second", "changed", "earlier", "read-only")
"""Kinds of cells. ``first``, ``second``: in one of two masks; ``changed``: a block with pairs of both; ``earlier``:
reached after fewer layers; ``read-only``: on the diagonal, a position that is not updated."""
EMPTY, ALLOWED, FULL, PARTIAL, FIRST, SECOND, CHANGED, EARLIER, READ_ONLY = range(len(KINDS))


@dataclass(frozen=True)
class Panel:
    """A table of cells: rows are queries, columns are keys, values are indices into ``KINDS``."""

    title: str
    cells: Int8Array


@dataclass(frozen=True)
class Picture:
    """One or more tables of cells over the same positions.

    Parameters
    ----------
    title : str
    panels : tuple of Panel
    unit : int
        Number of positions that a cell spans.
    size : int
        N, the number of positions.
    names : tuple of str
        Names of the positions; empty for blocks.
    tasks : PositionTasks or None
        Tasks of the positions; None for blocks.
    legend : tuple of (kind, text)
    grid : int
        Size of the blocks drawn over single pairs; 0 for none.
    """

    title: str
    panels: tuple[Panel, ...]
    unit: int
    size: int
    names: tuple[str, ...]
    tasks: PositionTasks | None
    legend: tuple[tuple[int, str], ...]
    grid: int = 0


def mask_picture(subject: Subject, block_size: int | None = None, largest: int = LARGEST_EXACT) -> Picture:
    """Return the picture of every pair of a mask, with blocks of a given size over it.

    For a mask of more than ``largest`` positions only blocks are shown.

    Raises
    ------
    Unsupported
        If there are more than ``MOST_CELLS`` rows of blocks.
    """
    if subject.size > largest:
        return block_picture(subject, block_size, largest)
    panels = _tables(subject.mask, lambda table: table.dense().astype(np.int8) * ALLOWED)
    legend: tuple[tuple[int, str], ...] = ((ALLOWED, "row attends to column"),)
    if subject.updated is not None:
        for table, panel in enumerate(panels):
            _mark_read_only(panel.cells, layers_of_table(subject.updated, table, subject.mask.tables))
        if any((panel.cells == READ_ONLY).any() for panel in panels):
            legend = (*legend, (READ_ONLY, "not updated, at most read"))
    return _exact(subject, _title(subject, "mask"), panels, legend, block_size or 0)


def _mark_read_only(cells: Int8Array, updated: BoolArray) -> None:
    """Mark the diagonal of positions that none of the layers of a panel updates."""
    if len(updated):
        row = np.flatnonzero(~updated.any(axis=0))
        cells[row, row] = READ_ONLY


def block_picture(subject: Subject, block_size: int | None = None, largest: int = LARGEST_EXACT) -> Picture:
    """Return the picture of the blocks of a mask: full, partial or empty.

    Raises
    ------
    Unsupported
        If there are more than ``MOST_CELLS`` rows of blocks.
    """
    unit = _unit(subject.size, block_size, largest)
    panels = _tables(subject.mask, lambda table: block_states(table, unit))
    title = _title(subject, "mask")
    if subject.updated is not None:
        title += f", {count_updates(subject.updated).read_only:,} of {subject.size:,} positions only read"
    return _blocks(subject, title, panels, unit)


def diff_picture(
    subject: Subject, other: Subject, block_size: int | None = None, largest: int = LARGEST_EXACT
) -> Picture:
    """Return the picture of the pairs that only one of two masks allows.

    Raises
    ------
    InvalidInstance
        If the masks differ in length.
    Unsupported
        If there are more than ``MOST_CELLS`` rows of blocks.
    """
    check_same_size(subject.mask, other.mask)
    exact = subject.size <= largest
    unit = 1 if exact else _unit(subject.size, block_size, largest)
    count = int(np.lcm(subject.mask.tables, other.mask.tables))
    panels = []
    for table in range(min(count, MOST_PANELS)):
        ours, theirs = (select_table(mask, table % mask.tables) for mask in (subject.mask, other.mask))
        panels.append(Panel(_panel_title("table", table, count), _differences(ours, theirs, unit)))
    first, second = printable(subject.name) or "the first", printable(other.name) or "the second"
    some = "" if exact else "some "
    legend = [(ALLOWED, "in both"), (FIRST, f"{some}only in {first}"), (SECOND, f"{some}only in {second}")]
    title = f"{first} compared with {second}" + ("" if exact else f", blocks of {unit}")
    if exact:
        return _exact(subject, title, tuple(panels), tuple(legend), block_size or 0)
    legend += [(CHANGED, "some only in each")] if any((panel.cells == CHANGED).any() for panel in panels) else []
    return Picture(title, tuple(panels), unit, subject.size, (), None, tuple(legend))


def flow_picture(
    subject: Subject, layers: int | None = None, block_size: int | None = None, largest: int = LARGEST_EXACT
) -> Picture:
    """Return the picture of what is reached after 1, 2, ..., L layers; without L, up to convergence.

    At most ``MOST_PANELS`` steps are shown: 1, 2, 4, ... and the last, where there are more.

    Raises
    ------
    InvalidInstance
        If the number of layers is not positive.
    Unsupported
        If the flow falls into too many intervals, or there are more than ``MOST_CELLS`` rows of blocks.
    """
    depth = max(convergence(subject.mask).depth, 1) if layers is None else layers
    if isinstance(depth, bool) or depth < 1:
        raise InvalidInstance(f"layers: expected a positive number, got {depth}", "")
    exact = subject.size <= largest
    unit = 1 if exact else _unit(subject.size, block_size, largest)
    panels, before = list[Panel](), None
    for step in steps(depth):
        flow = flow_after(subject.mask, step)
        cells = flow.dense().astype(np.int8) * ALLOWED if exact else block_states(flow, unit)
        if exact and before is not None:
            cells[before > 0] = EARLIER
        panels.append(Panel(f"{step} layer{'' if step == 1 else 's'}", cells))
        before = cells
    title = _title(subject, "what is reached")
    if exact:
        legend = ((ALLOWED, "reached by now"), (EARLIER, "reached in an earlier picture"))[: 1 + (len(panels) > 1)]
        return _exact(subject, title, tuple(panels), legend, 0)
    return _blocks(subject, title, tuple(panels), unit)


def steps(depth: int) -> list[int]:
    """Return the numbers of layers after which the flow is shown.

    Examples
    --------
    >>> steps(3), steps(100)
    ([1, 2, 3], [1, 2, 4, 8, 16, 100])
    >>> steps(8)
    [1, 2, 4, 8]
    """
    if depth <= MOST_PANELS:
        return list(range(1, depth + 1))
    return [2**power for power in range(MOST_PANELS - 1) if 2**power < depth] + [depth]


def block_states(mask: Mask, unit: int, table: int = 0) -> Int8Array:
    """Return (R, R) ``FULL``, ``PARTIAL`` or ``EMPTY``, for each block of ``unit`` x ``unit`` pairs.

    Examples
    --------
    >>> block_states(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 2).tolist()
    [[3, 0], [2, 3]]
    """
    pairs = block_pairs(mask, table, unit, unit)
    return np.select([pairs == unit * unit, pairs > 0], [np.int8(FULL), np.int8(PARTIAL)], np.int8(EMPTY))


def runs(row: Int8Array) -> list[tuple[int, int, int]]:
    """Return (start, end, kind) of each run of equal cells that are not empty.

    Examples
    --------
    >>> runs(np.array([1, 1, 0, 3], np.int8))
    [(0, 2, 1), (3, 4, 3)]
    """
    bounds = np.flatnonzero(np.diff(row, prepend=-1, append=-1)).tolist()
    return [(start, end, int(row[start])) for start, end in pairwise(bounds) if row[start] != EMPTY]


def _title(subject: Subject, what: str) -> str:
    return f"{what}: {printable(subject.name)}" if subject.name else what


def _panel_title(word: str, number: int, count: int) -> str:
    return "" if count == 1 else f"{word} {number} of {count}"


def _tables(mask: Mask, cells: Callable[[Mask], Int8Array]) -> tuple[Panel, ...]:
    count = mask.tables
    return tuple(
        Panel(_panel_title("table", table, count), cells(select_table(mask, table)))
        for table in range(min(count, MOST_PANELS))
    )


def _exact(
    subject: Subject, title: str, panels: Sequence[Panel], legend: tuple[tuple[int, str], ...], grid: int
) -> Picture:
    if grid < 0:
        raise InvalidInstance(f"block size: expected a positive number, got {grid}", "")
    tasks = position_tasks(subject, convergence(subject.mask).flow)
    return Picture(title, tuple(panels), 1, subject.size, position_names(subject, NAME), tasks, legend, grid)


def _blocks(subject: Subject, title: str, panels: tuple[Panel, ...], unit: int) -> Picture:
    legend = ((FULL, "full block"), (PARTIAL, "partial block"))
    return Picture(f"{title}, blocks of {unit}", panels, unit, subject.size, (), None, legend)


def _unit(size: int, block_size: int | None, largest: int) -> int:
    """Return the block size: as given, else the power of two that makes at most ``largest`` rows of blocks."""
    if block_size is None:
        return 1 << max(-(-size // largest) - 1, 0).bit_length()
    if isinstance(block_size, bool) or block_size < 1:
        raise InvalidInstance(f"block size: expected a positive number, got {block_size}", "")
    if -(-size // block_size) > MOST_CELLS:
        least = -(-size // MOST_CELLS)
        raise Unsupported(
            f"{size:,} positions in blocks of {block_size} are more than {MOST_CELLS} rows; "
            f"choose blocks of at least {least}"
        )
    return block_size


def _differences(ours: Mask, theirs: Mask, unit: int) -> Int8Array:
    """Compare two masks cell by cell; a block counts as different if any of its pairs is in one mask only."""
    both, first, second = intersection(ours, theirs), difference(ours, theirs), difference(theirs, ours)
    in_both, in_first, in_second = (block_states(mask, unit) > 0 for mask in (both, first, second))
    conditions = [in_first & in_second, in_first, in_second, in_both]
    cells = np.select(conditions, [CHANGED, FIRST, SECOND, ALLOWED], EMPTY)
    return cells.astype(np.int8)
