"""Check rows and positions without a task: empty rows, rows without themselves, dead and duplicate positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.finding_text import list_names
from masksynth.audit.layer_reach import reachable_from, tables_used
from masksynth.audit.match_positions import draw_words
from masksynth.mask.algebra import attends_to_self, select_table
from masksynth.mask.intervals import count_covering, row_intervals
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.subject.subject import Subject
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import first_colours, most_in_a_row
from masksynth.verify.mask_refinement import stable

LIST_LIMIT = 100
"""Maximum number of positions in a witness."""


class Size(NamedTuple):
    """Count positions; those that are not dead, duplicate or needed are padding.

    Parameters
    ----------
    positions : int
        All positions of the mask.
    dead : int
        Positions that no label depends on.
    duplicates : int
        Positions that merge with an equal one.
    minimal : int
        Positions of the minimal equivalent mask.
    """

    positions: int
    dead: int
    duplicates: int
    minimal: int

    @property
    def exact(self) -> bool:
        """Whether ``minimal`` is the least number of positions; if not, it is an upper bound."""
        return True

    def record(self) -> dict[str, int | bool]:
        """Return the counts as plain JSON values."""
        return {**self._asdict(), "exact": self.exact}


class SizeAtMost(Size):
    """Count positions at a finite depth, where positions may hold equal values that differ at a greater depth."""

    @property
    def exact(self) -> bool:
        """Return False: ``minimal`` is an upper bound."""
        return False


def find_live_positions(subject: Subject) -> BoolArray:
    """Return the positions that some label depends on, or all but padding where labels are not known.

    Takes O(N + T) for each layer that adds positions.
    """
    if subject.labels is None:
        return np.ones(subject.size, bool) if subject.padding is None else ~subject.padding
    return reachable_from(subject.mask, subject.labels.position, subject.layers)


def find_empty_rows(subject: Subject, live: BoolArray) -> Iterator[Finding]:
    """Yield MS005: softmax over no key is undefined, or, with a finite minus infinity, attends to all keys. O(N)."""
    for table in tables_used(subject.mask, subject.layers):
        for query in np.flatnonzero(np.diff(subject.mask.row_offset[table]) == 0).tolist():
            where = f" in table {table}" if subject.mask.tables > 1 else ""
            finite = subject.forbidden is not None
            consequence = "it attends to all keys equally" if finite else "softmax over no key is undefined"
            message = f"row {subject.token(query)} is empty{where}: {consequence}"
            message += "" if live[query] else "; no label depends on it"
            severity = "error" if live[query] else "warning"
            yield Finding("MS005", severity, query, {"table": table}, "let it attend at least to itself", message)


def find_rows_without_self(subject: Subject, live: BoolArray, expected: BoolArray | None) -> Iterator[Finding]:
    """Yield MS006 for rows, not empty, that lack their own position. O(T log T).

    Parameters
    ----------
    subject : Subject
    live : (N,) bool
        Positions that some label depends on; others are not reported.
    expected : (P, N) bool, optional
        Whether the family lets the position attend to itself, per table; only departures from it are reported. Without
        a family a position that no other attends to, a query stream, gets a note, and any other a warning: what it adds
        to others is computed without itself.
    """
    for table in tables_used(subject.mask, subject.layers):
        nonempty = np.diff(subject.mask.row_offset[table]) > 0
        lacking = ~attends_to_self(select_table(subject.mask, table)) & nonempty & live
        if expected is not None:
            lacking &= expected[table]
        has_reader = count_covering(row_intervals(subject.mask, table), subject.size) > 0
        for query in np.flatnonzero(lacking).tolist():
            is_stream = expected is None and not has_reader[query]
            where = f" in table {table}" if subject.mask.tables > 1 else ""
            message = f"position {subject.token(query)} does not attend to itself{where}"
            message += ", and no other position attends to it" if is_stream else ""
            remedy = "let it attend to itself, unless it is a query stream that only predicts"
            witness = {"table": table, "read_by_others": not is_stream}
            yield Finding("MS006", "note" if is_stream else "warning", query, witness, remedy, message)


def _is_dead(subject: Subject, live: BoolArray) -> BoolArray:
    """Return the positions that no label depends on and that are not padding."""
    return ~live if subject.padding is None else ~live & ~subject.padding


def find_dead_positions(subject: Subject, live: BoolArray) -> Iterator[Finding]:
    """Yield MS007 for positions that are computed although no label depends on them."""
    for query in np.flatnonzero(_is_dead(subject, live)).tolist():
        message = f"no label depends on position {subject.token(query)}"
        remedy = "drop it, or give it the label that it lacks"
        yield Finding("MS007", "warning", query, {"layers": subject.layers}, remedy, message)


def code_identities(subject: Subject) -> Int64Array | None:
    """Return integer codes of (input, position id, kind) per position; None without inputs or position ids.

    Without kinds all positions have the same kind.
    """
    if subject.inputs is None or subject.positions is None:
        return None
    kinds = subject.kinds or ("",) * subject.size
    return first_colours(zip(map(canonical, subject.inputs), subject.positions.tolist(), kinds, strict=True))


def find_value_classes(subject: Subject) -> Int64Array | None:
    """Return the class of each position: equal classes hold equal values at every layer.

    Colour refinement, near-linear.
    None for a sparse answer, whose rows represent the flow through them, copies included.
    """
    identity = None if subject.sparse else code_identities(subject)
    return None if identity is None else stable(identity, subject.mask, draw_words(subject.mask))


def count_needed_copies(subject: Subject, classes: Int64Array, live: BoolArray) -> Int64Array:
    """Return for each class the largest number of its members in the row of a live position, and at least 1."""
    size = np.bincount(classes[live], minlength=int(classes.max(initial=-1)) + 1)
    needed = np.ones(len(size), np.int64)
    queries = np.flatnonzero(live)
    for table in range(subject.mask.tables):
        if len(size) and (size > 1).any():
            most = most_in_a_row(subject.mask, table, queries, classes, np.maximum(size, 1))
            needed = np.maximum(needed, most)
    return needed


def find_duplicates(subject: Subject, live: BoolArray, classes: Int64Array | None) -> Iterator[Finding]:
    """Yield MS008 for live positions of one class, of which there are more than any row contains.

    The finding is a note where groups of samples, or labels of their own, keep the positions apart.
    """
    if classes is None:
        return
    needed_of_class, members = count_needed_copies(subject, classes, live), np.flatnonzero(live)
    order = members[np.argsort(classes[members], kind="stable")]
    _, first, count = np.unique(classes[order], return_index=True, return_counts=True)
    for begin, size in zip(first.tolist(), count.tolist(), strict=True):
        needed = int(needed_of_class[classes[order[begin]]])
        if size <= needed:
            continue
        copies = order[begin : begin + size].tolist()
        reason, remedy = _why_apart(subject, copies, needed)
        names = list_names(list(map(str, copies)), limit=4)
        message = f"positions {names} have the same identity {subject.token(copies[0])} and equal rows; {needed} needed"
        message += f"; {reason}" if reason else ""
        witness = {"positions": copies[:LIST_LIMIT], "count": size, "needed": needed}
        yield Finding("MS008", "note" if reason else "warning", copies[needed], witness, remedy, message)


def _why_apart(subject: Subject, copies: list[int], needed: int) -> tuple[str, str]:
    """Return why equal positions are kept apart on purpose, empty if they are not, and how to merge them."""
    if subject.layout != "loss-edges":
        return f"layout {subject.layout} has one label for each position", "pack with --layout loss-edges"
    if subject.groups is not None and int(np.bincount(subject.groups[copies]).max()) <= needed:
        return "they are in different groups", "put the samples into one group"
    return "", "keep one and give it all their labels, as loss edges"


def measure_size(subject: Subject, live: BoolArray, classes: Int64Array | None) -> Size | None:
    """Return the size of the minimal equivalent: dead positions dropped, equal ones merged, copies in a row kept."""
    if classes is None or subject.labels is None:
        return None
    count = np.bincount(classes[live], minlength=int(classes.max(initial=-1)) + 1)
    minimal = int(count_needed_copies(subject, classes, live)[count > 0].sum())
    dead = int(_is_dead(subject, live).sum())
    counts = subject.size, dead, int(live.sum()) - minimal, minimal
    return Size(*counts) if subject.layers is None else SizeAtMost(*counts)
