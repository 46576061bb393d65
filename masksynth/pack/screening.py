"""Check the samples of a run as a stream: repeated ids, and labels that are already shifted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.name_hashes import SeenNames
from masksynth.pack.sample_columns import IGNORED, SampleTable, restore_first_labels, slice_samples
from masksynth.pack.table_parts import Part, load_part
from masksynth.tasks.canonical import shown

FIRST = 1000
"""Number of samples of a run from which shifted labels are recognized."""


def refuse_repeated_ids(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts; 8 bytes are kept for each id.

    Raises
    ------
    InvalidInstance
        Naming the second sample of an id.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> from masksynth.pack.table_parts import part_of
    >>> rows = [{"id": "a", "input_ids": [], "labels": []}] * 2
    >>> list(refuse_repeated_ids(map(part_of, tables_of(rows))))
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: samples:2: $.id: 'a' is the id of an earlier sample; give each its own, or none
    """
    seen = SeenNames()
    for part in parts:
        in_part: set[tuple[type, str | int]] = set()
        again = seen.add(part.ids)
        for sample, name in enumerate(part.ids):
            if again[sample] or (type(name), name) in in_part:
                fact = f"{shown(name)} is the id of an earlier sample"
                raise InvalidInstance(fact, "$.id", "give each its own, or none", load_part(part).place[sample])
            in_part.add((type(name), name))
        yield part


class LabelCounts(NamedTuple):
    """Number of trained labels that have a next token, and how many of them equal that token's id, or their own."""

    trained: int
    next: int
    own: int

    def plus(self, other: LabelCounts) -> LabelCounts:
        """Return the sums."""
        return LabelCounts(self.trained + other.trained, self.next + other.next, self.own + other.own)

    @property
    def shifted(self) -> bool:
        """Whether more than 99 % equal the next token and less than half equal their own."""
        return 100 * self.next > 99 * self.trained and 2 * self.own < self.trained


def count_labels(table: SampleTable) -> LabelCounts:
    """Count the labels that equal the next token and those that equal their own, as they were given.

    Labels of segments that predict themselves are left out, and so is the last token of a sample or segment.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> [table] = tables_of([{"input_ids": [5, 6, 7, 8], "labels": [6, 7, 8, -100]}])
    >>> count_labels(table)
    LabelCounts(trained=3, next=3, own=0)
    """
    labels = restore_first_labels(table)
    counted = labels != IGNORED
    counted[table.offset[1:][np.diff(table.offset) > 0] - 1] = False  # the last token of each sample
    for sample, segments in enumerate(table.segments):
        for segment in segments or ():
            start = int(table.offset[sample]) + segment.start
            end = start + segment.length
            counted[start if segment.predict == "self" else max(start, end - 1) : end] = False
    chosen = np.flatnonzero(counted)
    following, own = table.tokens[chosen + 1] == labels[chosen], table.tokens[chosen] == labels[chosen]
    return LabelCounts(len(chosen), int(following.sum()), int(own.sum()))


def refuse_shifted_labels(parts: Iterable[Part], first: int = FIRST) -> Iterator[Part]:
    """Yield the parts, and compare the labels of the run's first samples with their tokens.

    The check takes place as soon as ``first`` samples have been read, or at the end of the run; only three counters are
    kept.

    Parameters
    ----------
    parts : iterable of Part
    first : int

    Raises
    ------
    InvalidInstance
        If more than 99 % of the trained labels equal the next token and less than half their own.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> from masksynth.pack.table_parts import part_of
    >>> rows = [{"input_ids": [7] * 20, "labels": [7] * 20}]
    >>> len(list(refuse_shifted_labels(map(part_of, tables_of(rows)))))
    1
    """
    counts, samples = LabelCounts(0, 0, 0), 0
    begun = ""
    for part in parts:
        if samples < first:
            table = load_part(part)
            begun = begun or table.place[0]
            counts = counts.plus(count_labels(slice_samples(table, 0, min(len(table), first - samples))))
            samples += len(table)
            if samples >= first:
                _check_counts(counts, first, begun)
        yield part
    if samples < first:
        _check_counts(counts, samples, begun)


def _check_counts(counts: LabelCounts, samples: int, place: str) -> None:
    """Raise if the labels of the first ``samples`` samples were shifted."""
    if counts.shifted:
        read = "1 sample" if samples == 1 else f"{samples:,} samples"
        fact = (
            f"labels are already shifted: in the first {read} from here, {counts.next} of {counts.trained} "
            f"trained labels equal the next token, {counts.own} their own"
        )
        remedy = "do not shift them: labels[i] is input_ids[i] where it is trained, and the token at i - 1 predicts it"
        raise InvalidInstance(fact, "$.labels", remedy, place)
