"""Match the positions of a mask with those of the intended mask, even where rows are wrong.

Both masks are coloured together, starting from identities (input, position id, kind). A colour is split by rows as in
colour refinement, with one difference: parts that occur in both masks get colours of their own, and what occurs in one
mask only keeps the old colour. So a position with a wrong row is distinguished from others by its identity alone, keeps
a common colour with the position that it should be, and does not disturb those that attend to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.subject.subject import Subject
from masksynth.tasks import Position
from masksynth.tasks.canonical import canonical
from masksynth.verify.colour_refinement import draw, first_colours, levels, ranks, row_sums
from masksynth.verify.mask_refinement import stable

ROUNDS = 200
"""Maximum number of rounds of splitting; each takes O(T + N log N)."""
PAIRS = 20_000
"""Maximum number of comparisons, one by one, of positions that have the same colour."""


class Matched(NamedTuple):
    """Positions of a mask, matched with those of the intended mask.

    Parameters
    ----------
    classes : (M,) int64
        Class of each intended position, 0, 1, ...; copies share one.
    class_of_position : (N,) int64
        Class of each position of the subject, -1 where it has none.
    complete : bool
        Whether every position was matched before a limit (``ROUNDS``, ``PAIRS``) was reached.
    """

    classes: Int64Array
    class_of_position: Int64Array
    complete: bool

    def positions_of(self, number: int | np.integer[Any]) -> list[int]:
        """Return the positions of the subject in a class, ascending."""
        positions: list[int] = np.flatnonzero(self.class_of_position == number).tolist()
        return positions

    def first_intended(self) -> Int64Array:
        """Return the first intended position of each class."""
        first = np.zeros(int(self.classes.max(initial=-1)) + 1, np.int64)
        first[self.classes[::-1]] = np.arange(len(self.classes))[::-1]  # the last assignment wins
        return first


def code_both_identities(subject: Subject, intended: Sequence[Position]) -> Int64Array:
    """Return integer codes of the identities of the subject's positions, then of the intended ones.

    An identity is the input and, where the subject has them, the position id and the kind.

    Raises
    ------
    InvalidInstance
        If the subject's inputs are not known.
    """
    if subject.inputs is None:
        raise InvalidInstance("the inputs are not known", "$.inputs", "give them with --tokens")
    columns: list[list[Any]] = [[canonical(value) for value in (*subject.inputs, *(item.input for item in intended))]]
    if subject.positions is not None:
        columns.append([*subject.positions.tolist(), *(item.position for item in intended)])
    if subject.kinds is not None:
        columns.append([*subject.kinds, *(item.kind for item in intended)])
    return first_colours(zip(*columns, strict=True))


def disjoint_union(left: Mask, right: Mask) -> Mask:
    """Return the mask over the positions of both, in which neither attends to the other.

    Parameters
    ----------
    left, right : Mask
        With equally many tables.

    Examples
    --------
    >>> lower = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> print(disjoint_union(lower, lower))
    ■ · · ·
    ■ ■ · ·
    · · ■ ·
    · · ■ ■
    """
    offsets, starts, ends, count = [], [], [], 0
    for table in range(left.tables):
        parts = []
        for mask, first in ((left, 0), (right, left.size)):
            offset = mask.row_offset[table]
            entries = slice(int(offset[0]), int(offset[-1]))
            starts.append(mask.key_start[entries].astype(np.int64) + first)
            ends.append(mask.key_end[entries].astype(np.int64) + first)
            parts.append(offset - offset[0] + count)
            count += len(starts[-1])
        offsets.append(np.concatenate([parts[0], parts[1][1:]]))
    return Mask(np.stack(offsets), np.concatenate(starts).astype(np.int32), np.concatenate(ends).astype(np.int32))


def draw_words(*masks: Mask) -> UInt64Array:
    """Return two random words for each colour that the masks can have, seeded by the masks."""
    count = 2 * sum(mask.size for mask in masks) + 2
    return draw(count, *(part.tobytes() for mask in masks for part in (mask.row_offset, mask.key_start, mask.key_end)))


def colour_values(subject: Subject, intended: Mask, identity: Int64Array, layers: int | None) -> Int64Array:
    """Return colours of all positions, the subject's first; equal iff they hold equal values after the layers.

    Parameters
    ----------
    subject : Subject
    intended : Mask
    identity : (N + M,) int64
        Codes of the identities, the subject's first.
    layers : int, optional
        None: after any number of layers.
    """
    words = draw_words(subject.mask, intended)
    if layers is None:
        return stable(identity, disjoint_union(subject.mask, intended), words)
    return levels(identity, [subject.mask, intended], words, layers)[-1]


def match_positions(subject: Subject, intended: Mask, identity: Int64Array) -> Matched:
    """Find the class of intended positions that each position of the subject belongs to.

    Parameters
    ----------
    subject : Subject
    intended : Mask
    identity : (N + M,) int64
        Codes of the identities, the subject's first.

    Examples
    --------
    >>> mask, wrong = (Mask.from_intervals([[((0, 1),), ((0, 2),), (row,)]]) for row in ((0, 3), (2, 3)))
    >>> subject = Subject(wrong, "wrong", inputs=("a", "b", "c"))
    >>> match_positions(subject, mask, np.array([0, 1, 2, 0, 1, 2])).class_of_position.tolist()
    [0, 1, 2]
    """
    size, words = subject.size, draw_words(subject.mask, intended)
    colour, settled = split_colours(subject.mask, intended, identity, words)
    classes = stable(ranks(identity[size:]), intended, words)
    candidates = _classes_of_colours(colour[size:], classes)
    colour_here = colour[:size]
    single = {number: options[0] for number, options in candidates.items() if len(options) == 1}
    class_of_colour = np.full(int(colour.max(initial=-1)) + 1, -1, np.int64)
    class_of_colour[list(single)] = list(single.values())
    class_of_position = class_of_colour[colour_here]
    groups = [
        (np.flatnonzero(colour_here == number).tolist(), options, True)
        for number, options in candidates.items()
        if len(options) > 1
    ]
    unmatched = class_of_position < 0
    groups += [(*group, False) for group in _group_by_identity(unmatched, ranks(identity), classes) if group[1]]
    nonempty = [group for group in groups if group[0]]
    stopped = _assign_closest(subject.mask, intended, colour, classes, class_of_position, nonempty)
    return Matched(classes, class_of_position, settled and not stopped)


def _group_by_identity(
    unmatched: BoolArray, identity: Int64Array, classes: Int64Array
) -> list[tuple[list[int], list[int]]]:
    """Return the unmatched positions by identity, each group with the classes of that identity."""
    candidates = _classes_of_colours(identity[len(unmatched) :], classes)
    positions: dict[int, list[int]] = {}
    for position in np.flatnonzero(unmatched).tolist():
        positions.setdefault(int(identity[position]), []).append(position)
    return [(group, candidates.get(code, [])) for code, group in positions.items()]


def split_colours(left: Mask, right: Mask, colour: Int64Array, words: UInt64Array) -> tuple[Int64Array, bool]:
    """Split colours by rows until nothing changes; return them and whether that state was reached within ``ROUNDS``.

    Parameters
    ----------
    left, right : Mask
    colour : (N + M,) int64
        Initial colours, those of ``left`` first.
    words : (colours, 2) uint64
        Random words, one pair per colour.
    """
    colour, previous = ranks(colour), -1
    for _ in range(ROUNDS):
        if (count := int(colour.max(initial=-1))) == previous:
            return colour, True
        previous = count
        sums = [
            np.concatenate(
                [
                    row_sums(mask, table, words[part])
                    for mask, part in ((left, colour[: left.size]), (right, colour[left.size :]))
                ]
            )
            for table in range(left.tables)
        ]
        part = ranks(colour, *np.concatenate(sums, axis=1).T)  # the ordinary refinement
        common = np.intersect1d(part[: left.size], part[left.size :])
        colour = ranks(colour, np.where(np.isin(part, common), part, -1))  # parts of one mask only stay together
    return colour, False


def _classes_of_colours(colour: Int64Array, classes: Int64Array) -> dict[int, list[int]]:
    """Return the intended classes of each colour, ascending."""
    options: dict[int, list[int]] = {}
    pairs = np.unique(np.column_stack([colour, classes]), axis=0) if len(colour) else np.zeros((0, 2), np.int64)
    for code, number in pairs.tolist():
        options.setdefault(code, []).append(number)
    return options


Group = tuple[list[int], list[int], bool]
"""(positions, classes to choose from, whether each class is used once before any is used twice)."""


def _assign_closest(
    mask: Mask,
    intended: Mask,
    colour: Int64Array,
    classes: Int64Array,
    class_of_position: Int64Array,
    groups: list[Group],
) -> bool:
    """Give each position of a group the class whose row differs least, in place; return whether a limit ended this."""
    budget = PAIRS
    for positions, numbers, once in groups:
        budget -= len(positions) * len(numbers)
        if budget < 0:
            return True
        first = {number: int(np.flatnonzero(classes == number)[0]) for number in numbers}
        open_positions = [query for query in positions if class_of_position[query] < 0]
        costs = sorted(
            (_count_differences(mask, query, intended, example, colour), number, query)
            for query in open_positions
            for number, example in first.items()
        )
        unused = set(numbers) if once else set()
        for _, number, query in costs:
            if class_of_position[query] < 0 and number in unused:
                class_of_position[query] = number
                unused.discard(number)
        for _, number, query in costs:
            if class_of_position[query] < 0:
                class_of_position[query] = number
    return False


def _count_differences(left: Mask, query: int, right: Mask, other: int, colour: Int64Array) -> int:
    """Return in how many keys, compared by colour as multisets, two rows differ, over all tables."""
    total = 0
    for table in range(left.tables):
        keys, other_keys = colour[left.row(query, table)], colour[left.size + right.row(other, table)]
        _, code = np.unique(np.concatenate([keys, other_keys]), return_inverse=True)
        count = np.bincount(code[: len(keys)], minlength=code.max(initial=-1) + 1)
        total += int(np.abs(count - np.bincount(code[len(keys) :], minlength=len(count))).sum())
    return total
