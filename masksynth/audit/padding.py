"""Padding: positions that nothing may see."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Bools, tables_used
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import row_sums

TOLD = 1000
"""Most rows that are written out."""
LISTED = 20


def padding_findings(subject: Subject, live: Bools) -> Iterator[Finding]:
    """MS020: rows of other positions that hold padding, and labels that padding predicts. O(N + T)."""
    if subject.padding is None:
        return
    for table in tables_used(subject.mask, subject.layers):
        held = row_sums(subject.mask, table, subject.padding.astype(np.int64))
        wrong = np.flatnonzero((held > 0) & ~subject.padding)
        where = {"table": table} if subject.mask.tables > 1 else {}
        for query in wrong[:TOLD].tolist():
            keys = subject.mask.row(query, table)
            keys = keys[subject.padding[keys]]
            names = ", ".join(subject.token(key) for key in keys[:3].tolist()) + (
                f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            )
            message = f"position {subject.token(query)} sees padding: {names}" + (
                "" if live[query] else "; no label depends on it"
            )
            if len(wrong) > 1:
                message += f" ({len(wrong)} rows do)"
            witness = {"keys": keys[:LISTED].tolist(), "count": len(keys), **where}
            yield Finding(
                "MS020", "error" if live[query] else "warning", query, witness, "forbid padding in its row", message
            )
        if len(wrong) > TOLD:
            message = f"{len(wrong) - TOLD} more rows see padding; {TOLD} are written out"
            yield Finding(
                "MS014",
                "note",
                int(wrong[TOLD]),
                {"codes": ["MS020"], "rows": len(wrong)},
                "forbid padding in all rows",
                message,
            )
    if subject.labels is None:
        return
    padded = np.flatnonzero(subject.padding[subject.labels.position])
    for edge in padded[:TOLD].tolist():
        at = int(subject.labels.position[edge])
        message = f"padding at position {subject.token(at)} predicts a label: {subject.labels.value[edge]!r}"
        witness = {"label": subject.labels.value[edge]}
        yield Finding("MS020", "error", at, witness, "remove the label: nothing is trained on padding", message)
    if len(padded) > TOLD:
        message = f"{len(padded) - TOLD} more labels stand at padding; {TOLD} are written out"
        witness = {"codes": ["MS020"], "labels": len(padded)}
        at = int(subject.labels.position[padded[TOLD]])
        yield Finding("MS014", "note", at, witness, "remove all labels of padding", message)
