"""The criterion: decide whether a merged task of any origin is minimal, with a witness when it is not.

A merged task is minimal iff (a) every task *maps* to it: identities are preserved and, class by class, every node's row
has as many keys as the row of its position; (b) every class is hit by some task; (c) every class has exactly max(1,
largest multiplicity in a task's row) positions. Where no task contains two equivalent nodes this is literally the
criterion of arXiv 2606.09951: down-closed images, every position in some image, no two equivalent positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.errors import check_type
from masksynth.merge.disjoint_union import Rows, Union, live_union, read_rows
from masksynth.merge.refine import refine
from masksynth.tasks import MergedTask, TaskFamily
from masksynth.tasks.canonical import canonical


@dataclass(frozen=True)
class Verdict:
    """Whether the criterion holds, and if not, which part fails where.

    Parameters
    ----------
    minimal : bool
    fault : str
        Empty, ``maps`` (a position attends to something it should not, or does not to something it should), ``hit`` (no
        task needs a position) or ``copies`` (too many or too few equivalent positions).
    reason : str
        One sentence.
    positions : tuple of int
        The positions concerned.
    """

    minimal: bool
    fault: str = ""
    reason: str = ""
    positions: tuple[int, ...] = ()


def criterion(family: TaskFamily, merged: MergedTask) -> Verdict:
    """Decide whether a merged task with given embeddings is minimal at any depth.

    Rows are listed in full, so this is for small and medium sizes.

    Raises
    ------
    InvalidInstance
        If an argument is of another type.
    Unsupported
        If the rows have too many entries.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge_classes, merge_family
    >>> family = catalog.causal_lm(n=3).family
    >>> criterion(family, merge_family(family)).minimal
    True
    >>> criterion(family, merge_classes(family, [0, 1, 2])).reason
    'positions 0 and 1 (input "w0", position id 0) are equivalent, and no row of a task needs 2 of them'
    """
    check_type(family, TaskFamily)
    check_type(merged, MergedTask)
    union = live_union(family)
    identity, rows = _join_merged_task(union, read_rows(union, compress=False), merged)
    row_lengths = [tuple(len(rows.rows[row]) for row in read) for read in zip(*rows.refs, strict=True)]
    colour = refine(list(zip(identity, row_lengths, strict=True)), rows.rows, rows.refs)
    positions = []
    for live in range(len(union.task)):
        task, node = union.task_and_node(live)
        positions.append(merged.embeddings.get(task.name, {}).get(node.name, -1))
    unmapped = _find_unmapped(union, colour, positions, rows, merged)
    return unmapped or _find_wrong_count(union, colour, rows, merged) or Verdict(True)


def _join_merged_task(union: Union, rows: Rows, merged: MergedTask) -> tuple[list[int], Rows]:
    """Return identities and rows of the tasks together with the merged task, whose positions follow the live nodes."""
    count = len(union.task)
    codes = {union.task_and_node(live)[1].identity: union.identity[live] for live in range(count)}
    identity = [
        codes.setdefault((canonical(position.input), position.position, position.kind), len(codes))
        for position in merged.positions
    ]
    all_rows = list(rows.rows)
    refs = []
    for table, read in enumerate(rows.refs):
        refs.append([*read, *range(len(all_rows), len(all_rows) + len(identity))])
        all_rows += [[count + key for key in merged.mask.row(query, table).tolist()] for query in range(len(identity))]
    return [*union.identity, *identity], Rows(all_rows, refs, [])


def _find_unmapped(
    union: Union, colour: Sequence[int], positions: Sequence[int], rows: Rows, merged: MergedTask
) -> Verdict | None:
    """Check (a); name the first live node whose position is missing or not equivalent, and a wrong key."""
    count = len(union.task)
    for live, position in enumerate(positions):
        task, node = union.task_and_node(live)
        name = f"node {node.name!r} of task {task.name!r}"
        if not 0 <= position < len(merged.positions):
            return Verdict(False, "maps", f"{name} has no position")
        if colour[live] != colour[count + position]:
            return Verdict(False, "maps", f"{name} {_describe(union, colour, positions, rows, live)}", (position,))
    return None


def _describe(union: Union, colour: Sequence[int], positions: Sequence[int], rows: Rows, live: int) -> str:
    """Describe how the row of a live node differs from that of its position."""
    count = len(union.task)
    position = positions[live]
    for table in rows.refs:
        expected = Counter(count + positions[key] for key in rows.rows[table[live]])
        actual = Counter(rows.rows[table[count + position]])
        # a surplus key only counts if no missing key has the same colour: equivalent positions may replace each other
        if extra := sorted(
            key - count for key in actual - expected if colour[key] not in {colour[k] for k in expected - actual}
        ):
            return f"is at position {position}, which attends to position {extra[0]} and should not"
        if missing := sorted(
            key - count for key in expected - actual if colour[key] not in {colour[k] for k in actual - expected}
        ):
            return f"is at position {position}, which does not attend to position {missing[0]} and should"
    return f"is at position {position}, which differs in identity or upstream"


def _find_wrong_count(union: Union, colour: Sequence[int], rows: Rows, merged: MergedTask) -> Verdict | None:
    """Check (b) and (c); name a class that no task hits, or that has too many or too few positions."""
    count = len(union.task)
    needed: dict[int, int] = dict.fromkeys(colour[:count], 1)
    for table in rows.refs:
        for live in range(count):
            for number, multiplicity in Counter(colour[key] for key in rows.rows[table[live]]).items():
                needed[number] = max(needed[number], multiplicity)
    positions_of: dict[int, list[int]] = {}
    for position in range(len(merged.positions)):
        positions_of.setdefault(colour[count + position], []).append(position)
    for number, positions in positions_of.items():
        first = merged.positions[positions[0]]
        shown = f"(input {canonical(first.input)}, position id {first.position})"
        if number not in needed:
            return Verdict(False, "hit", f"position {positions[0]} {shown} is needed by no task", (positions[0],))
        least = needed[number]
        if len(positions) > least:
            pair = positions[least - 1], positions[least]
            both = f"positions {pair[0]} and {pair[1]} {shown}"
            return Verdict(
                False, "copies", f"{both} are equivalent, and no row of a task needs {least + 1} of them", pair
            )
        if len(positions) < least:
            fact = f"position {positions[0]} {shown} has {len(positions)} copies, and a row of a task needs {least}"
            return Verdict(False, "copies", fact, tuple(positions))
    return None
