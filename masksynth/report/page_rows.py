"""Rows of the page: one for each position, or for each row of blocks of a large mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masksynth.draw import display_names
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.block_runs import block_runs
from masksynth.mask.intervals import build_mask
from masksynth.report.hasse_data import flat_rows, hasse_data
from masksynth.report.merge_reasons import position_occupants
from masksynth.report.page_text import LONG, SHORT, Names, count, text_of
from masksynth.subject.subject import Subject

MOST_POSITIONS = 400
"""Maximum number of positions that are shown one by one."""
MOST_BLOCKS = 256
"""Maximum number of rows of blocks."""
MOST_BLOCK_TABLES = 8
"""Maximum number of tables of a layer pattern that are shown in blocks."""
MOST_LISTED = 20_000
"""Maximum number of nodes, and of labels, that are listed over all positions."""
NAME = 40
"""Maximum number of columns of an input in the diagram and in the rows of the mask."""
MOST_INTERVALS = 250_000
"""Maximum number of row intervals over all tables; further tables are left out."""


def page_rows(subject: Subject, names: Names, checked: bool = False) -> dict[str, Any]:
    """Return what the page shows row by row, as JSON values.

    A unit is a position, or above ``MOST_POSITIONS`` positions a row of at most ``MOST_BLOCKS`` blocks of step x step
    pairs.

    Parameters
    ----------
    subject : Subject
    names : Names
        Collects the names of tasks.
    checked : bool
        As for ``position_occupants``.

    Returns
    -------
    dict
        ``step``: positions in a unit; ``units``: facts of each; ``tables``: for each table the rows of all units as
        {"full": [start, end, ...], "part": [start, end, ...]}, in units; ``left_out``: number of tables not shown;
        ``diagram``: as ``hasse_data``.

    Examples
    --------
    >>> rows = page_rows(Subject(Mask.from_intervals([[((0, q + 1),) for q in range(512)]]), "causal"), Names())
    >>> rows["step"], rows["units"][1]["name"], rows["tables"][0][2], rows["left_out"]
    (2, '2 to 3', {'full': [0, 2], 'part': [2, 3]}, 0)
    """
    if subject.size <= MOST_POSITIONS:
        return _position_rows(subject, names, checked)
    step = -(-subject.size // MOST_BLOCKS)
    blocks = f"the mask is drawn in blocks of {step} x {step} pairs"
    shown = min(subject.mask.tables, MOST_BLOCK_TABLES)
    return {
        "step": step,
        "units": [_block(subject.size, step, row, labels) for row, labels in enumerate(_count_labels(subject, step))],
        "tables": [block_rows(subject.mask, table, step) for table in range(shown)],
        "left_out": subject.mask.tables - shown,
        "diagram": {"note": f"{count(subject.size, 'position')} are too many for a diagram; {blocks}."},
    }


def _position_rows(subject: Subject, names: Names, checked: bool) -> dict[str, Any]:
    most = max(MOST_LISTED // max(subject.size, 1), 4)
    labels, occupants = _labels(subject, names, most), position_occupants(subject, checked)
    units: list[dict[str, Any]] = []
    for position in range(subject.size):
        nodes = occupants[position].nodes
        unit = {
            "name": str(position),
            "why": occupants[position].why,
            "labels": labels[position][0],
            "labels_total": labels[position][1],
            "nodes": [[names.number(task), text_of(node, SHORT)] for task, node in nodes[:most]],
            "nodes_total": len(nodes),
        }
        units.append(unit | _identity(subject, position))
    shown = _count_shown_tables(subject.mask)
    tables = (select_table(subject.mask, number) for number in range(shown))
    return {
        "step": 1,
        "units": units,
        "tables": [[{"full": row, "part": []} for row in flat_rows(table)] for table in tables],
        "left_out": subject.mask.tables - shown,
        "diagram": hasse_data(subject, [unit.get("short", "") for unit in units]),
    }


def _identity(subject: Subject, position: int) -> dict[str, Any]:
    """Return what is known of a position: ``input`` and its ``short`` form, position ``id``, ``kind``, ``updated``."""
    facts: dict[str, Any] = {}
    if subject.inputs is not None:
        facts["input"] = text_of(subject.inputs[position], LONG)
        facts["short"] = display_names.cut(display_names.text_of(subject.inputs[position]), NAME)
    if subject.positions is not None:
        facts["id"] = int(subject.positions[position])
    if subject.kinds is not None:
        facts["kind"] = text_of(subject.kinds[position], SHORT)
    if subject.updated is not None:
        facts["updated"] = _updated_text(subject.updated[:, position].tolist())
    return facts


def _updated_text(updated: Sequence[bool]) -> str:
    """Return in words in which layers a position is updated.

    Examples
    --------
    >>> _updated_text([False, True, True]), _updated_text([False, False]), _updated_text([True])
    ('in layers 2, 3', 'never: only read', 'in every layer')
    """
    layers = [str(number) for number, is_updated in enumerate(updated, start=1) if is_updated]
    if not layers:
        return "never: only read"
    if len(layers) == len(updated):
        return "in every layer"
    return text_of(f"in layer{'s' * (len(layers) > 1)} {', '.join(layers)}", LONG)


def _labels(subject: Subject, names: Names, most: int) -> list[tuple[list[list[Any]], int]]:
    """Return for each position its first labels as [label, weight, task or -1], and the number of all its labels."""
    listed: list[list[list[Any]]] = [[] for _ in range(subject.size)]
    totals = [0] * subject.size
    labels = subject.labels
    if labels is not None:
        for edge, position in enumerate(labels.position.tolist()):
            totals[position] += 1
            if totals[position] > most:
                continue
            task = int(labels.task[edge])
            name = names.number(str(labels.tasks[task])) if 0 <= task < len(labels.tasks) else -1
            weight = text_of(float(labels.weight[edge]))
            listed[position].append([text_of(labels.value[edge], SHORT), weight, name])
    return list(zip(listed, totals, strict=True))


def _count_shown_tables(mask: Mask) -> int:
    """Return how many tables, from the first on, fit into ``MOST_INTERVALS``; at least one."""
    ends = mask.row_offset[:, -1]
    return max(int((ends <= MOST_INTERVALS).sum()), 1)


def block_rows(mask: Mask, table: int, step: int) -> list[dict[str, list[int]]]:
    """Return the rows of blocks of one table: full and partial blocks as intervals.

    Examples
    --------
    >>> block_rows(Mask.from_dense(np.tril(np.ones((4, 4), bool))), 0, 2)
    [{'full': [], 'part': [0, 1]}, {'full': [0, 1], 'part': [1, 2]}]
    """
    runs, rows = block_runs(mask, table, step, step), -(-mask.size // step)
    is_full = runs.pairs == step * step
    full, partial = (flat_rows(build_mask(runs.select(chosen), rows)) for chosen in (is_full, ~is_full))
    return [{"full": full_row, "part": part_row} for full_row, part_row in zip(full, partial, strict=True)]


def _count_labels(subject: Subject, step: int) -> Sequence[int]:
    """Return how many labels belong to each row of blocks."""
    rows = -(-subject.size // step)
    row = np.zeros(0, np.int64) if subject.labels is None else subject.labels.position // step
    counts: list[int] = np.bincount(row, minlength=rows).tolist()
    return counts


def _block(size: int, step: int, row: int, labels: int) -> dict[str, Any]:
    return {
        "name": f"{row * step} to {min((row + 1) * step, size) - 1}",
        "labels": [],
        "labels_total": labels,
        "nodes": [],
        "nodes_total": 0,
    }
