"""The criterion: when a merged task of any origin is minimal, with a witness when it is not.

A merged task is minimal iff (a) every task *maps* to it: identities are kept and, class by class, every node's row holds as many keys as
its position's row; (b) every class is hit by some task; (c) every class has exactly max(1, largest multiplicity in a task's row) positions.
Where no task holds two equivalent nodes this is the criterion of arXiv 2606.09951 word for word: down-closed images, every position in
some image, no two equivalent positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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
        Empty, ``maps`` (something flows in that should not, or is missing), ``hit`` (a position that no task needs) or ``copies`` (two
        equivalent positions, one of them too many, or too few).
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
    """Decide minimality at any depth of a merged task whose embeddings are given; rows are written out, so small and medium sizes.

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
    union = live_union(family)
    count = len(union.task)
    identity, rows = _joint(union, read_rows(union, compress=False), merged)
    colour = refine(list(zip(identity, _lengths(rows), strict=True)), rows.rows, rows.refs)
    place = [merged.embeddings.get(union.at(u)[0].name, {}).get(union.at(u)[1].name, -1) for u in range(count)]
    return _unmapped(union, colour, place, rows, merged) or _miscounted(union, colour, rows, merged) or Verdict(True)


def _joint(union: Union, rows: Rows, merged: MergedTask) -> tuple[list[int], Rows]:
    """The disjoint union of the tasks and the merged task; its positions follow the live nodes."""
    count = len(union.task)
    numbers = {union.at(live)[1].identity: union.identity[live] for live in range(count)}
    extra = [numbers.setdefault((canonical(at.input), at.position, at.kind), len(numbers)) for at in merged.positions]
    written = list(rows.rows)
    refs = []
    for table, places in enumerate(rows.refs):
        refs.append([*places, *range(len(written), len(written) + len(extra))])
        written += [[count + key for key in merged.mask.row(q, table).tolist()] for q in range(len(extra))]
    return [*union.identity, *extra], Rows(written, refs, [])


def _lengths(rows: Rows) -> list[tuple[int, ...]]:
    return [tuple(len(rows.rows[row]) for row in places) for places in zip(*rows.refs, strict=True)]


def _unmapped(
    union: Union, colour: Sequence[int], place: Sequence[int], rows: Rows, merged: MergedTask
) -> Verdict | None:
    """(a): the first live node whose position is missing or inequivalent, and what flows in or is missing there."""
    count = len(union.task)
    for live, position in enumerate(place):
        task, node = union.at(live)
        where = f"node {node.name!r} of task {task.name!r}"
        if not 0 <= position < len(merged.positions):
            return Verdict(False, "maps", f"{where} has no position")
        if colour[live] != colour[count + position]:
            return Verdict(False, "maps", f"{where} {_difference(union, colour, place, rows, live)}", (position,))
    return None


def _difference(union: Union, colour: Sequence[int], place: Sequence[int], rows: Rows, live: int) -> str:
    count = len(union.task)
    position = place[live]
    for table in rows.refs:
        wanted = Counter(count + place[key] for key in rows.rows[table[live]])
        found = Counter(rows.rows[table[count + position]])
        if extra := sorted(
            key - count for key in found - wanted if colour[key] not in {colour[k] for k in wanted - found}
        ):
            return f"stands at position {position}, into which position {extra[0]} flows and should not"
        if lost := sorted(
            key - count for key in wanted - found if colour[key] not in {colour[k] for k in found - wanted}
        ):
            return f"stands at position {position}, which does not attend to position {lost[0]} as it should"
    return f"stands at position {position}, which differs in identity or upstream"


def _miscounted(union: Union, colour: Sequence[int], rows: Rows, merged: MergedTask) -> Verdict | None:
    """(b) and (c): a class that no task hits, or that has too many or too few positions."""
    count = len(union.task)
    need: dict[int, int] = dict.fromkeys(colour[:count], 1)
    for table in rows.refs:
        for live in range(count):
            for own, number in Counter(colour[key] for key in rows.rows[table[live]]).items():
                need[own] = max(need[own], number)
    held: dict[int, list[int]] = {}
    for position in range(len(merged.positions)):
        held.setdefault(colour[count + position], []).append(position)
    for own, positions in held.items():
        at = merged.positions[positions[0]]
        shown = f"(input {canonical(at.input)}, position id {at.position})"
        if own not in need:
            return Verdict(False, "hit", f"position {positions[0]} {shown} is needed by no task", (positions[0],))
        if len(positions) > need[own]:
            pair = positions[need[own] - 1], positions[need[own]]
            fact = f"positions {pair[0]} and {pair[1]} {shown} are equivalent, and no row of a task needs {need[own] + 1} of them"
            return Verdict(False, "copies", fact, pair)
        if len(positions) < need[own]:
            fact = f"position {positions[0]} {shown} stands for {need[own]} keys of one row, but has only {len(positions)} copies"
            return Verdict(False, "copies", fact, tuple(positions))
    return None
