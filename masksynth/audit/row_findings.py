"""What rows and positions tell without any task: empty rows, rows without themselves, dead positions, duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.layer_reach import Bools, Ints, depended_on, sees_itself, tables_used
from masksynth.audit.match_positions import words_for
from masksynth.subject.subject import Subject
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import first_colours, most_in_a_row
from masksynth.verify.interval_sets import runs_of
from masksynth.verify.mask_refinement import stable


class Size(NamedTuple):
    """Count the positions, those that no label depends on, those that are one too many, and those that would do.

    What is none of the last three is padding.
    """

    positions: int
    dead: int
    duplicates: int
    minimal: int

    @property
    def exact(self) -> bool:
        """Whether ``minimal`` is the least number; else at most so many are needed."""
        return True

    def record(self) -> dict[str, int | bool]:
        """Return the counts as plain JSON values."""
        return {**self._asdict(), "exact": self.exact}


class SizeAtMost(Size):
    """Counts for a finite depth: positions may hold equal values after the model's layers and at no greater depth."""

    @property
    def exact(self) -> bool:
        """Return False: at most ``minimal`` positions are needed."""
        return False


def live_positions(subject: Subject) -> Bools:
    """Positions that some label depends on; all but padding where labels are not known. O(N + T) for each layer that adds any."""
    if subject.labels is None:
        return np.ones(subject.size, bool) if subject.padding is None else ~subject.padding
    return depended_on(subject.mask, subject.labels.position, subject.layers)


def empty_rows(subject: Subject, live: Bools) -> Iterator[Finding]:
    """MS005: softmax over nothing has no value, or, under a finite minus infinity, attends to everything. O(N)."""
    for table in tables_used(subject.mask, subject.layers):
        for query in np.flatnonzero(np.diff(subject.mask.row_offset[table]) == 0).tolist():
            where = f" in table {table}" if subject.mask.tables > 1 else ""
            what = "sees everything alike" if subject.forbidden is not None else "softmax over nothing has no value"
            message = f"row {subject.token(query)} is empty{where}: {what}" + (
                "" if live[query] else "; no label depends on it"
            )
            severity = "error" if live[query] else "warning"
            yield Finding("MS005", severity, query, {"table": table}, "let it attend at least to itself", message)


def rows_without_themselves(subject: Subject, live: Bools, due: Bools | None) -> Iterator[Finding]:
    """MS006: a row, not empty, that lacks its own position. O(T log T).

    Where the family is known (``due``: whether the position's row in it holds itself) only departures from it are told. Elsewhere a
    position that no other sees, a query stream, gets a note, and any other a warning: what it adds to others is computed without itself.
    """
    for table in tables_used(subject.mask, subject.layers):
        lacking = ~sees_itself(subject.mask, table) & (np.diff(subject.mask.row_offset[table]) > 0) & live
        if due is not None:
            lacking &= due[table]
        read = _readers(subject, table)
        for query in np.flatnonzero(lacking).tolist():
            stream = due is None and not read[query]
            where = f" in table {table}" if subject.mask.tables > 1 else ""
            message = f"row {subject.token(query)} does not hold itself{where}" + (
                ", and no other row holds it" if stream else ""
            )
            remedy = "let it attend to itself, unless it is a query stream that only predicts"
            yield Finding(
                "MS006",
                "note" if stream else "warning",
                query,
                {"table": table, "read_by_others": not stream},
                remedy,
                message,
            )


def _readers(subject: Subject, table: int) -> Bools:
    """Which positions some row holds."""
    rows = runs_of(subject.mask, table)
    steps = np.bincount(rows.start, minlength=subject.size + 1) - np.bincount(rows.end, minlength=subject.size + 1)
    found: Bools = steps.cumsum()[:-1] > 0
    return found


def dead_positions(subject: Subject, live: Bools) -> Iterator[Finding]:
    """MS007: positions that are computed and on which no label depends."""
    idle = ~live if subject.padding is None else ~live & ~subject.padding
    for query in np.flatnonzero(idle).tolist():
        message = f"no label depends on position {subject.token(query)}"
        yield Finding(
            "MS007",
            "warning",
            query,
            {"layers": subject.layers},
            "drop it, or give it the label that it lacks",
            message,
        )


def identity_colours(subject: Subject) -> Ints | None:
    """Equal numbers iff equal identities, as far as they are known: without kinds all are of one; None without inputs or position ids."""
    if subject.inputs is None or subject.positions is None:
        return None
    kinds = subject.kinds or ("",) * subject.size
    return first_colours(zip(map(canonical, subject.inputs), subject.positions.tolist(), kinds, strict=True))


def value_classes(subject: Subject) -> Ints | None:
    """Classes of positions that hold equal values at every layer: colour refinement on row intervals, near-linear.

    None for a sparse answer, whose rows stand for what flows through them, copies included.
    """
    identity = None if subject.sparse else identity_colours(subject)
    return None if identity is None else stable(identity, subject.mask, words_for(subject.mask))


def copies_needed(subject: Subject, classes: Ints, live: Bools) -> Ints:
    """For each class the most members in the row of a live position, and at least 1."""
    size = np.bincount(classes[live], minlength=int(classes.max(initial=-1)) + 1)
    most = np.ones(len(size), np.int64)
    queries = np.flatnonzero(live)
    for table in range(subject.mask.tables):
        if len(size) and (size > 1).any():
            most = np.maximum(most, most_in_a_row(subject.mask, table, queries, classes, np.maximum(size, 1)))
    return most


def duplicates(subject: Subject, live: Bools, classes: Ints | None) -> Iterator[Finding]:
    """MS008: live positions of one class, of which no row holds as many as there are; a note where groups of samples keep them apart."""
    if classes is None:
        return
    most, members = copies_needed(subject, classes, live), np.flatnonzero(live)
    order = members[np.argsort(classes[members], kind="stable")]
    _, first, count = np.unique(classes[order], return_index=True, return_counts=True)
    for at, size in zip(first.tolist(), count.tolist(), strict=True):
        needed = int(most[classes[order[at]]])
        if size > needed:
            here = order[at : at + size].tolist()
            apart = subject.groups is not None and int(np.bincount(subject.groups[here]).max()) <= needed
            why = "; their groups keep them apart" if apart else ""
            message = f"positions {_listed(here)} hold the same {subject.token(here[0])} and the same rows; {needed} would do{why}"
            remedy = (
                "keep one and give it all their labels, as loss edges"
                if not apart
                else "put the samples into one group"
            )
            yield Finding(
                "MS008",
                "note" if apart else "warning",
                here[needed],
                {"positions": here[:100], "count": size, "needed": needed},
                remedy,
                message,
            )


def _listed(places: list[int]) -> str:
    return ", ".join(map(str, places[:4])) + (f" and {len(places) - 4} more" if len(places) > 4 else "")


def size_of(subject: Subject, live: Bools, classes: Ints | None) -> Size | None:
    """How many positions the minimal equivalent has: dead ones dropped, equal ones merged, copies in one row counted."""
    if classes is None or subject.labels is None:
        return None
    count = np.bincount(classes[live], minlength=int(classes.max(initial=-1)) + 1)
    minimal = int(copies_needed(subject, classes, live)[count > 0].sum())
    dead = int((~live if subject.padding is None else ~live & ~subject.padding).sum())
    counts = subject.size, dead, int(live.sum()) - minimal, minimal
    return Size(*counts) if subject.layers is None else SizeAtMost(*counts)
