"""Which position of a mask stands for which position of the intended mask, faults and all.

Both masks are coloured together, beginning with identities. A colour is split by rows as in colour refinement, with one difference: parts
that occur on both sides get colours of their own, and what occurs on one side only stays together under the old colour. So a position
whose row is wrong is told from the others by its identity alone, keeps one colour with the position that it should be, and nothing that
sees it is thrown off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.subject.subject import Subject
from masksynth.tasks import Position
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import draw, first_colours, levels, ranks, row_sums
from masksynth.verify.mask_refinement import stable

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
ROUNDS = 200
"""Most rounds of splitting; each takes O(T + N log N)."""
PAIRS = 20_000
"""Most comparisons, one by one, of positions that colours do not tell apart."""


class Matched(NamedTuple):
    """A mask beside the intended one.

    Parameters
    ----------
    classes : (M,) int64
        Class of each intended position, 0, 1, ...; copies share one.
    home : (N,) int64
        Class of each position of the subject, -1 where it has none.
    complete : bool
        Whether no limit (``ROUNDS``, ``PAIRS``) left positions unplaced.
    """

    classes: Ints
    home: Ints
    complete: bool


def identities(subject: Subject, intended: Sequence[Position]) -> Ints:
    """Numbers of the identities of the subject's, then of the intended positions, by what is known of the subject.

    Raises
    ------
    InvalidInstance
        If the subject's inputs are not known.
    """
    if subject.inputs is None:
        raise InvalidInstance("the inputs are not known", "$.inputs", "give them with --tokens")
    columns: list[list[Any]] = [[canonical(value) for value in (*subject.inputs, *(place.input for place in intended))]]
    if subject.positions is not None:
        columns.append([*subject.positions.tolist(), *(place.position for place in intended)])
    if subject.kinds is not None:
        columns.append([*subject.kinds, *(place.kind for place in intended)])
    return first_colours(zip(*columns, strict=True))


def side_by_side(left: Mask, right: Mask) -> Mask:
    """One mask after the other, neither seeing the other.

    Examples
    --------
    >>> one = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> print(side_by_side(one, one))
    ■ · · ·
    ■ ■ · ·
    · · ■ ·
    · · ■ ■
    """
    offsets, starts, ends, done = [], [], [], 0
    for table in range(left.tables):
        parts = []
        for mask, first in ((left, 0), (right, left.size)):
            offset = mask.row_offset[table]
            part = slice(int(offset[0]), int(offset[-1]))
            starts.append(mask.key_start[part].astype(np.int64) + first)
            ends.append(mask.key_end[part].astype(np.int64) + first)
            parts.append(offset - offset[0] + done)
            done += len(starts[-1])
        offsets.append(np.concatenate([parts[0], parts[1][1:]]))
    return Mask(np.stack(offsets), np.concatenate(starts).astype(np.int32), np.concatenate(ends).astype(np.int32))


def words_for(*masks: Mask) -> Words:
    """Two random words for as many colours as the masks can have, drawn from the masks."""
    count = 2 * sum(mask.size for mask in masks) + 2
    return draw(count, *(part.tobytes() for mask in masks for part in (mask.row_offset, mask.key_start, mask.key_end)))


def same_values(subject: Subject, intended: Mask, identity: Ints, layers: int | None) -> Ints:
    """Colours of all positions, subject first: equal iff they hold equal values after the layers (None: after any number)."""
    words = words_for(subject.mask, intended)
    if layers is None:
        return stable(identity, side_by_side(subject.mask, intended), words)
    return levels(identity, [subject.mask, intended], words, layers)[-1]


def match(subject: Subject, intended: Mask, identity: Ints) -> Matched:
    """Find the class of intended positions that each position of the subject stands for.

    Examples
    --------
    >>> mask, wrong = (Mask.from_intervals([[((0, 1),), ((0, 2),), (row,)]]) for row in ((0, 3), (2, 3)))
    >>> subject = Subject(wrong, "wrong", inputs=("a", "b", "c"))
    >>> match(subject, mask, np.array([0, 1, 2, 0, 1, 2])).home.tolist()
    [0, 1, 2]
    """
    size, words = subject.size, words_for(subject.mask, intended)
    colour, settled = split_colours(subject.mask, intended, identity, words)
    classes = stable(ranks(identity[size:]), intended, words)
    home = np.full(size, -1, np.int64)
    names = _classes_of_colours(colour[size:], classes)
    mine = colour[:size]
    single = {own: found[0] for own, found in names.items() if len(found) == 1}
    lookup = np.full(int(colour.max(initial=-1)) + 1, -1, np.int64)
    lookup[list(single)] = list(single.values())
    home = lookup[mine]
    groups = [(np.flatnonzero(mine == own).tolist(), found, True) for own, found in names.items() if len(found) > 1]
    groups += [
        (here, found, False) for here, found in _strays(home, lookup[mine] < 0, ranks(identity), size, classes) if found
    ]
    ended = _closest(subject.mask, intended, colour, classes, home, [group for group in groups if group[0]])
    return Matched(classes, home, settled and not ended)


def _strays(
    home: Ints, open_: NDArray[np.bool_], identity: Ints, size: int, classes: Ints
) -> list[tuple[list[int], list[int]]]:
    """Positions whose rows fit no class, with the classes of their identity."""
    known = _classes_of_colours(identity[size:], classes)
    found: dict[int, list[int]] = {}
    for place in np.flatnonzero(open_ & (home < 0)).tolist():
        found.setdefault(int(identity[place]), []).append(place)
    return [(here, known.get(own, [])) for own, here in found.items()]


def split_colours(left: Mask, right: Mask, colour: Ints, words: Words) -> tuple[Ints, bool]:
    """Split colours by rows until nothing changes; return them and whether that came to an end."""
    colour, count = ranks(colour), -1
    for _ in range(ROUNDS):
        if (now := int(colour.max(initial=-1))) == count:
            return colour, True
        count = now
        sums = [
            np.concatenate(
                [
                    row_sums(mask, table, words[part])
                    for mask, part in ((left, colour[: left.size]), (right, colour[left.size :]))
                ]
            )
            for table in range(left.tables)
        ]
        part = ranks(colour, *np.concatenate(sums, axis=1).T)
        both = np.intersect1d(part[: left.size], part[left.size :])
        colour = ranks(colour, np.where(np.isin(part, both), part, -1))
    return colour, False


def _classes_of_colours(colour: Ints, classes: Ints) -> dict[int, list[int]]:
    """The intended classes of each colour, rising."""
    found: dict[int, list[int]] = {}
    pairs = np.unique(np.column_stack([colour, classes]), axis=0) if len(colour) else np.zeros((0, 2), np.int64)
    for own, number in pairs.tolist():
        found.setdefault(own, []).append(number)
    return found


Group = tuple[list[int], list[int], bool]


def _closest(mask: Mask, intended: Mask, colour: Ints, classes: Ints, home: Ints, groups: list[Group]) -> bool:
    """Among several classes each position takes the one whose row differs least; whether a limit ended this.

    A group is (positions, classes, whether every class should be taken once before any is taken twice).
    """
    left = PAIRS
    for here, numbers, once in groups:
        left -= len(here) * len(numbers)
        if left < 0:
            return True
        first = {number: int(np.flatnonzero(classes == number)[0]) for number in numbers}
        here = [q for q in here if home[q] < 0]
        costs = sorted(
            (_difference(mask, q, intended, at, colour), number, q) for q in here for number, at in first.items()
        )
        free = set(numbers) if once else set()
        for _, number, q in costs:
            if home[q] < 0 and number in free:
                home[q] = number
                free.discard(number)
        for _, number, q in costs:
            if home[q] < 0:
                home[q] = number
    return False


def _difference(left: Mask, query: int, right: Mask, other: int, colour: Ints) -> int:
    """In how many keys, by colour, two rows differ, over all tables."""
    total = 0
    for table in range(left.tables):
        mine, theirs = colour[left.row(query, table)], colour[left.size + right.row(other, table)]
        _, place = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
        count = np.bincount(place[: len(mine)], minlength=place.max(initial=-1) + 1)
        total += int(np.abs(count - np.bincount(place[len(mine) :], minlength=len(count))).sum())
    return total
