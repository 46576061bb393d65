"""Check what trainers and kernels derive from a mask: document boundaries, additive masks, block lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.errors import WrongAnswer
from masksynth.export.blocks import check_blocks
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray
from masksynth.subject.subject import Subject


def find_broken_heuristics(subject: Subject) -> Iterator[Finding]:
    """Yield MS010 where documents guessed from position ids would cut pairs that the mask allows. O(T).

    transformers begins a document at every step of the position ids other than +1; torchtitan and TRL at every position
    id 0.
    """
    if subject.positions is None or subject.size == 0:
        return
    begins = np.append(True, np.diff(subject.positions) != 1)
    yield from _first_cut_pair(subject, begins, "transformers begins", "a step of the position ids other than +1")
    yield from _first_cut_pair(subject, subject.positions == 0, "torchtitan and TRL begin", "position id 0")


def _first_cut_pair(subject: Subject, begins: BoolArray, who_begins: str, rule: str) -> Iterator[Finding]:
    """Yield a finding for the first allowed pair of two documents, where documents start at ``begins``."""
    document = np.cumsum(begins)
    for table in range(subject.mask.tables):
        query, start, end = row_intervals(subject.mask, table)
        cut = (document[start] != document[query]) | (document[end - 1] != document[query])
        if subject.padding is not None:  # rows of padding do not matter
            cut &= ~subject.padding[query]
        if not cut.any():
            continue
        interval = int(cut.argmax())
        row, first = int(query[interval]), int(start[interval])
        key = first if document[first] != document[row] else int(end[interval]) - 1
        count = int(document[-1] - document[0]) + 1
        witness = {
            "rule": rule,
            "used_by": who_begins.rpartition(" ")[0],
            "documents": count,
            "query": row,
            "key": key,
            "table": table,
            "rows_cut": len(np.unique(query[cut])),
        }
        message = f"{who_begins} a document at {rule}: {count} documents, and row {row} would lose key {key}"
        remedy = "pass the mask itself; do not let it be derived from position ids"
        yield Finding("MS010", "note", row, witness, remedy, message)
        return


def find_finite_infinity(subject: Subject) -> Iterator[Finding]:
    """Yield MS011 for an additive mask that forbids by a finite number.

    The lowest finite number of the type is what transformers uses: a note, unless a row is empty, which then attends to
    all keys equally. Any other number is a warning: it is added to the score, so it forbids only while scores are far
    above it.
    """
    value = subject.forbidden
    if value is None:
        return
    lowest = value == float(np.finfo(np.dtype(subject.dtype)).min)
    empty = np.flatnonzero((np.diff(subject.mask.row_offset, axis=1) == 0).any(axis=0))
    fact = f"the mask forbids by {value:g} in {subject.dtype}, not by minus infinity"
    severity = "warning"
    if lowest and not len(empty):
        consequence = "a sum with another mask overflows to minus infinity, and an empty row would attend to all keys"
        severity = "note"
    elif len(empty):
        consequence = f"its {len(empty)} empty rows attend to all keys equally, row {int(empty[0])} first"
    else:
        consequence = "a key whose score is higher by as much is not forbidden"
    witness = {"value": value, "dtype": subject.dtype, "lowest": bool(lowest), "empty_rows": len(empty)}
    row = int(empty[0]) if len(empty) else None
    remedy = "store a bool mask, or minus infinity where no row is empty"
    yield Finding("MS011", severity, row, witness, remedy, f"{fact}: {consequence}")


def find_wrong_blocks(subject: Subject) -> Iterator[Finding]:
    """Yield MS012 for block lists under which a kernel computes another mask. O(T + blocks)."""
    if subject.blocks is None:
        return
    lists, size = subject.blocks
    for table in range(subject.mask.tables):
        try:
            check_blocks(subject.mask, lists, table, size)
        except WrongAnswer as error:
            witness = {"table": table, "block_size": list(size), "fault": error.fact}
            remedy = "build the lists from this mask: masksynth export --to blocks"
            yield Finding("MS012", "error", None, witness, remedy, str(error))
