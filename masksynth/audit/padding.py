"""Find rows that attend to padding, and labels that padding predicts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import list_names
from masksynth.audit.layer_reach import tables_used
from masksynth.mask.typing import BoolArray
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import row_sums

FINDING_LIMIT = 1000
"""Maximum number of rows, and of labels, that are reported one by one."""
KEY_LIMIT = 20
"""Maximum number of keys in a witness."""


def find_padding_faults(subject: Subject, live: BoolArray) -> Iterator[Finding]:
    """Yield MS020 for rows of other positions that contain padding, and for labels that padding predicts. O(N + T).

    Parameters
    ----------
    subject : Subject
    live : (N,) bool
        Positions that some label depends on: their rows are errors, others are warnings.
    """
    if subject.padding is None:
        return
    for table in tables_used(subject.mask, subject.layers):
        yield from _rows_with_padding(subject, subject.padding, live, table)
    if subject.labels is None:
        return
    labels = np.flatnonzero(subject.padding[subject.labels.position])
    for label in labels[:FINDING_LIMIT].tolist():
        position, value = int(subject.labels.position[label]), subject.labels.value[label]
        message = f"padding at position {subject.token(position)} predicts a label: {value!r}"
        remedy = "remove the label: padding is not trained"
        yield Finding("MS020", "error", position, {"label": value}, remedy, message)
    if len(labels) > FINDING_LIMIT:
        message = f"{len(labels) - FINDING_LIMIT} more labels are predicted by padding; {FINDING_LIMIT} are reported"
        witness = {"codes": ["MS020"], "labels": len(labels)}
        position = int(subject.labels.position[labels[FINDING_LIMIT]])
        yield Finding("MS014", "note", position, witness, "remove all labels of padding", message)


def _rows_with_padding(subject: Subject, padding: BoolArray, live: BoolArray, table: int) -> Iterator[Finding]:
    padding_keys = row_sums(subject.mask, table, padding.astype(np.int64))  # number of padding keys per row
    wrong = np.flatnonzero((padding_keys > 0) & ~padding)
    where = {"table": table} if subject.mask.tables > 1 else {}
    for query in wrong[:FINDING_LIMIT].tolist():
        keys = subject.mask.row(query, table)
        keys = keys[padding[keys]]
        names = list_names([subject.token(key) for key in keys[:3].tolist()], len(keys))
        message = f"position {subject.token(query)} attends to padding: {names}"
        message += "" if live[query] else "; no label depends on it"
        message += f" (one of {len(wrong)} rows)" if len(wrong) > 1 else ""
        witness = {"keys": keys[:KEY_LIMIT].tolist(), "count": len(keys), **where}
        severity = "error" if live[query] else "warning"
        yield Finding("MS020", severity, query, witness, "forbid padding in its row", message)
    if len(wrong) > FINDING_LIMIT:
        message = f"{len(wrong) - FINDING_LIMIT} more rows attend to padding; {FINDING_LIMIT} are reported"
        witness = {"codes": ["MS020"], "rows": len(wrong)}
        yield Finding("MS014", "note", int(wrong[FINDING_LIMIT]), witness, "forbid padding in all rows", message)
