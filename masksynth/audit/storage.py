"""What trainers and kernels make of a mask: document heuristics, finite minus infinity, block lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Bools
from masksynth.errors import WrongAnswer
from masksynth.export.blocks import check_blocks
from masksynth.subject.subject import Subject
from masksynth.verify.interval_sets import runs_of


def broken_heuristics(subject: Subject) -> Iterator[Finding]:
    """MS010: rules that guess documents from position ids and would cut pairs that the mask allows. O(T).

    transformers begins a document at every step of the position ids other than +1; torchtitan and TRL at every position id 0.
    """
    if subject.positions is None or subject.size == 0:
        return
    steps = np.append(True, np.diff(subject.positions) != 1)
    yield from _cut(subject, steps, "transformers", "a step of the position ids other than +1")
    yield from _cut(subject, subject.positions == 0, "torchtitan and TRL", "position id 0")


def _cut(subject: Subject, begins: Bools, who: str, rule: str) -> Iterator[Finding]:
    document = np.cumsum(begins)
    for table in range(subject.mask.tables):
        rows = runs_of(subject.mask, table)
        query = np.repeat(np.arange(subject.size), np.diff(rows.offset))
        wrong = (document[rows.start] != document[query]) | (document[rows.end - 1] != document[query])
        if subject.padding is not None:  # what padding sees is of no account
            wrong &= ~subject.padding[query]
        if wrong.any():
            at = int(wrong.argmax())
            own, first = int(query[at]), int(rows.start[at])
            key = first if document[first] != document[own] else int(rows.end[at]) - 1
            witness = {
                "rule": rule,
                "used_by": who,
                "documents": int(document[-1] - document[0]) + 1,
                "query": own,
                "key": key,
            }
            message = f"{who} begin a document at {rule}: {witness['documents']} documents, and row {own} would lose key {key}"
            remedy = "pass the mask itself, never let it be guessed from position ids"
            yield Finding(
                "MS010",
                "note",
                own,
                {**witness, "table": table, "rows_cut": len(np.unique(query[wrong]))},
                remedy,
                message,
            )
            return


def finite_infinity(subject: Subject) -> Iterator[Finding]:
    """MS011: an additive mask that forbids by a finite number.

    The lowest finite number of the type is what transformers uses: a note, unless a row is empty, which then attends to all keys alike.
    Any other number is a warning: it is added to the score, so it forbids only where scores stay far above it.
    """
    value = subject.forbidden
    if value is None:
        return
    lowest = value == _lowest(subject.dtype)
    empty = np.flatnonzero((np.diff(subject.mask.row_offset, axis=1) == 0).any(axis=0))
    witness = {"value": value, "dtype": subject.dtype, "lowest": bool(lowest), "empty_rows": len(empty)}
    what = f"the mask forbids by {value:g} in {subject.dtype}, not by minus infinity"
    if lowest and not len(empty):
        message = f"{what}: a sum with another mask overflows to minus infinity, and an empty row would see everything"
        severity = "note"
    elif len(empty):
        message = f"{what}: its {len(empty)} empty rows see everything alike, row {int(empty[0])} first"
        severity = "warning"
    else:
        message = f"{what}: a score that is higher by as much is not forbidden"
        severity = "warning"
    where = int(empty[0]) if len(empty) else None
    yield Finding(
        "MS011", severity, where, witness, "store a bool mask, or minus infinity where no row is empty", message
    )


def _lowest(dtype: str) -> float:
    return float(np.finfo(np.dtype(dtype)).min)


def wrong_blocks(subject: Subject) -> Iterator[Finding]:
    """MS012: block lists under which a kernel computes something else than the mask. O(T + blocks)."""
    if subject.blocks is None:
        return
    lists, size = subject.blocks
    for table in range(subject.mask.tables):
        try:
            check_blocks(subject.mask, lists, table, size)
        except WrongAnswer as error:
            witness = {"table": table, "block_size": list(size), "fault": error.fact}
            yield Finding(
                "MS012",
                "error",
                None,
                witness,
                "make the lists from this mask: masksynth export --to blocks",
                str(error),
            )
