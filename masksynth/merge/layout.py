"""Positions of the classes: how many each needs, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from masksynth.merge.disjoint_union import Rows
from masksynth.merge.position_order import heavy_paths


@dataclass(frozen=True)
class Layout:
    """Positions of the classes: class c has the positions ``start[c] .. start[c] + copies[c] - 1``.

    Parameters
    ----------
    start, copies : list of int
        First position and number of positions of each class.
    first : list of int
        First live node of each class.
    """

    start: list[int]
    copies: list[int]
    first: list[int]

    @property
    def size(self) -> int:
        """Number of positions."""
        return sum(self.copies)


def assign_positions(classes: Sequence[int], rows: Rows) -> Layout:
    """Give class c max(1, most members of c in one row) positions, the fewest that its readers can count.

    Closed families are ordered along heavy paths (`masksynth.merge.position_order`), others by first appearance; the
    copies of a class are adjacent.

    Parameters
    ----------
    classes : sequence of n ints
        Classes of the live nodes, numbered by first appearance.
    rows : Rows
        Its row objects show every multiplicity, compressed or not: members of one class share a component or an
        explicit row.

    Examples
    --------
    >>> assign_positions([0, 0, 1], Rows([[0, 1], [0, 1, 2]], [[0, 0, 1]], []))
    Layout(start=[0, 2], copies=[2, 1], first=[0, 2])
    """
    copies = [1] * (max(classes, default=-1) + 1)
    first = [-1] * len(copies)
    for live in range(len(classes) - 1, -1, -1):
        first[classes[live]] = live
    for row in rows.rows:
        classes_of_row = [classes[key] for key in row] if len(row) > 1 else []
        if len(set(classes_of_row)) < len(classes_of_row):
            for number, count in Counter(classes_of_row).items():
                copies[number] = max(copies[number], count)
    start = [0] * len(copies)
    position = 0
    for number in _order_classes(classes, rows, first, copies):
        start[number] = position
        position += copies[number]
    return Layout(start, copies, first)


def _order_classes(classes: Sequence[int], rows: Rows, first: Sequence[int], copies: Sequence[int]) -> list[int]:
    """Return the classes in the order of their positions; classes of one component are adjacent."""
    if not rows.compressed:
        return list(range(len(first)))
    by_component: dict[int, list[int]] = {}
    for number, live in enumerate(first):
        by_component.setdefault(rows.refs[0][live], []).append(number)
    groups = list(by_component.values())
    group_of = {number: group for group, members in enumerate(groups) for number in members}
    live_of_group = [first[members[0]] for members in groups]
    parent = [group_of[classes[rows.tail[live]]] if rows.tail[live] >= 0 else -1 for live in live_of_group]
    weight = [sum(copies[number] for number in members) for members in groups]
    depth = [rows.size[live][0] for live in live_of_group]  # the length of the dense row grows along the forest
    return [number for group in heavy_paths(parent, weight, depth) for number in groups[group]]
