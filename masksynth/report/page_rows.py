"""What the page shows row by row: positions, or rows of blocks where there are too many positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masksynth.draw import display_names
from masksynth.export.blocks import block_lists
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.typing import BoolArray, Int32Array
from masksynth.report.hasse_data import flat_rows, hasse_data
from masksynth.report.merge_reasons import standings
from masksynth.report.page_text import LONG, SHORT, Names, count, text_of
from masksynth.subject.subject import Subject

MOST_POSITIONS = 400
"""Most positions that are shown one by one."""
MOST_BLOCKS = 256
"""Most rows of blocks."""
MOST_LISTED = 20_000
"""Most nodes, and most labels, that are listed over all positions."""
NAME = 40
"""Most columns of an input in the diagram and beside the mask."""
MOST_INTERVALS = 250_000
"""Most row intervals over all tables; further tables are left out."""


def units(subject: Subject, names: Names, checked: bool = False) -> dict[str, Any]:
    """``step`` (positions in a unit), ``units`` (facts of each), ``tables`` (rows of each) and ``diagram``, as JSON values.

    A unit is a position up to ``MOST_POSITIONS`` positions, and above that a row of blocks of step x step pairs, so
    that there are ``MOST_BLOCKS`` at most; ``checked`` is that of ``standings``. A row is {"full": [start, end, ...],
    "part": [start, end, ...]} in units.

    Examples
    --------
    >>> found = units(Subject(Mask.from_intervals([[((0, q + 1),) for q in range(512)]]), "causal"), Names())
    >>> found["step"], found["units"][1]["name"], found["tables"][0][2], found["left_out"]
    (2, '2 to 3', {'full': [0, 2], 'part': [2, 3]}, 0)
    """
    if subject.size <= MOST_POSITIONS:
        return _positions(subject, names, checked)
    step = -(-subject.size // MOST_BLOCKS)
    note = f"{count(subject.size, 'position')} are too many for a diagram; the mask is drawn in blocks of {step} x {step} pairs."
    kept = min(subject.mask.tables, 8)
    return {
        "step": step,
        "units": [_block(subject.size, step, at, held) for at, held in enumerate(_held(subject, step))],
        "tables": [block_rows(subject.mask, table, step) for table in range(kept)],
        "left_out": subject.mask.tables - kept,
        "diagram": {"note": note},
    }


def _positions(subject: Subject, names: Names, checked: bool) -> dict[str, Any]:
    each = max(MOST_LISTED // max(subject.size, 1), 4)
    labels = _labels(subject, names, each)
    here = standings(subject, checked)
    shown = []
    for place in range(subject.size):
        unit: dict[str, Any] = {
            "name": str(place),
            "why": here[place].why,
            "labels": labels[place][0],
            "labels_total": labels[place][1],
        }
        unit["nodes"] = [[names.number(task), text_of(node, SHORT)] for task, node in here[place].nodes[:each]]
        unit["nodes_total"] = len(here[place].nodes)
        shown.append(unit | _identity(subject, place))
    kept = _tables_kept(subject.mask)
    tables = [[{"full": row, "part": []} for row in flat_rows(select_table(subject.mask, number))] for number in range(kept)]
    return {
        "step": 1,
        "units": shown,
        "tables": tables,
        "left_out": subject.mask.tables - kept,
        "diagram": hasse_data(subject, [unit.get("short", "") for unit in shown]),
    }


def _identity(subject: Subject, place: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if subject.inputs is not None:
        found["input"] = text_of(subject.inputs[place], LONG)
        found["short"] = display_names.cut(display_names.text_of(subject.inputs[place]), NAME)
    if subject.positions is not None:
        found["id"] = int(subject.positions[place])
    if subject.kinds is not None:
        found["kind"] = text_of(subject.kinds[place], SHORT)
    return found


def _labels(subject: Subject, names: Names, each: int) -> list[tuple[list[list[Any]], int]]:
    """For each position its labels as [label, weight, task or -1], the first ``each`` of them, and how many there are."""
    found: list[tuple[list[list[Any]], int]] = [([], 0)] * subject.size
    labels = subject.labels
    if labels is None:
        return found
    for number, place in enumerate(labels.position.tolist()):
        listed, total = found[place]
        if total < each:
            task = int(labels.task[number])
            name = names.number(str(labels.tasks[task])) if 0 <= task < len(labels.tasks) else -1
            listed = [*listed, [text_of(labels.value[number], SHORT), text_of(float(labels.weight[number])), name]]
        found[place] = listed, total + 1
    return found


def _tables_kept(mask: Mask) -> int:
    """How many tables, from the first on, fit into ``MOST_INTERVALS``."""
    ends = mask.row_offset[:, -1]
    return max(int((ends <= MOST_INTERVALS).sum()), 1)


def block_rows(mask: Mask, table: int, step: int) -> list[dict[str, list[int]]]:
    """The rows of blocks of one table: which blocks are full and which partial, as intervals.

    Examples
    --------
    >>> block_rows(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 0, 2)
    [{'full': [], 'part': [0, 1]}, {'full': [0, 1], 'part': [1, 2]}]
    """
    lists = block_lists(mask, table, step)
    full = flat_rows(Mask.from_dense(_grid(lists.full_count, lists.full_index)))
    part = flat_rows(Mask.from_dense(_grid(lists.partial_count, lists.partial_index)))
    return [{"full": one, "part": two} for one, two in zip(full, part, strict=True)]


def _grid(counts: Int32Array, index: Int32Array) -> BoolArray:
    grid = np.zeros(index.shape, bool)
    np.put_along_axis(grid, index.astype(np.intp), np.arange(index.shape[1]) < counts[:, None], axis=1)
    return grid


def _held(subject: Subject, step: int) -> Sequence[int]:
    """How many labels stand in each row of blocks."""
    rows = -(-subject.size // step)
    at = np.zeros(0, np.int64) if subject.labels is None else subject.labels.position // step
    held: list[int] = np.bincount(at, minlength=rows).tolist()
    return held


def _block(size: int, step: int, at: int, labels: int) -> dict[str, Any]:
    return {
        "name": f"{at * step} to {min((at + 1) * step, size) - 1}",
        "labels": [],
        "labels_total": labels,
        "nodes": [],
        "nodes_total": 0,
    }
