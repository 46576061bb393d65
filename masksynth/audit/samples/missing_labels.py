"""Labels that a mask lacks, found by the class of the position that should predict them or by their value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from masksynth.audit.samples.compare_labels import ClassLabel


class MissingLabels:
    """A multiset of (class, label), from which labels are taken once they are explained.

    Parameters
    ----------
    count : mapping of (int, int) to int
        (class, label) -> how many are missing.

    Examples
    --------
    >>> missing = MissingLabels({(0, 7): 1, (2, 7): 2})
    >>> missing.take_of_class(0), missing.take_of_class(0), missing.take_of_value(7), missing.total()
    ((0, 7), None, (2, 7), 1)
    """

    def __init__(self, count: Mapping[ClassLabel, int]) -> None:
        self._count = dict(count)
        self._by_class: dict[int, list[ClassLabel]] = {}
        self._by_value: dict[int, list[ClassLabel]] = {}
        for pair in reversed(self._count):  # the first ones are taken first, from the end of a list
            self._by_class.setdefault(pair[0], []).append(pair)
            self._by_value.setdefault(pair[1], []).append(pair)

    def total(self) -> int:
        """Return the number of missing labels."""
        return sum(self._count.values())

    def take_of_class(self, number: int) -> ClassLabel | None:
        """Remove one label that a class lacks and return it, None if it lacks none."""
        return self._take(self._by_class.get(number, []))

    def take_of_value(self, value: int) -> ClassLabel | None:
        """Remove one missing label of this value and return it, None if there is none."""
        return self._take(self._by_value.get(value, []))

    def remove(self, pair: ClassLabel) -> None:
        """Remove all labels of a class and value."""
        self._count.pop(pair, None)

    def remove_all(self) -> Iterator[tuple[ClassLabel, int]]:
        """Remove labels one after another; yield each (class, label) and how many were missing."""
        for pair in list(self._count):
            yield pair, self._count.pop(pair)

    def _take(self, pairs: list[ClassLabel]) -> ClassLabel | None:
        """Remove one of ``pairs`` and return it; None if none of them is missing any more."""
        while pairs and pairs[-1] not in self._count:
            pairs.pop()
        if not pairs:
            return None
        self._count[pairs[-1]] -= 1
        if not self._count[pairs[-1]]:
            del self._count[pairs[-1]]
        return pairs[-1]
