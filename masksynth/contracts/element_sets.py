"""Subsets of the elements as rows of packed bits, from functions of the index and from lists of elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from masksynth.contracts.model import MAX_CONTRACT_BITS, MAX_ELEMENTS
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.tasks.canonical import canonical_texts, shown

CHUNK = 1 << 24
"""Entries of a block of rows that is written as bools before it is packed."""


def check_contract_size(targets: int, elements: int, path: str = "$.elements") -> None:
    """Raise InvalidInstance, before anything is allocated, if contracts would be too large.

    Examples
    --------
    >>> check_contract_size(100_000, 100_000)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.elements: 100000 targets of 100000 elements make 10000000000 pairs, more than
    1073741824; give fewer elements or targets
    """
    if elements > MAX_ELEMENTS:
        raise InvalidInstance(f"{elements} elements, more than {MAX_ELEMENTS}", path, "give fewer elements")
    if targets * elements > MAX_CONTRACT_BITS:
        fact = (
            f"{targets} targets of {elements} elements make {targets * elements} pairs, more than {MAX_CONTRACT_BITS}"
        )
        raise InvalidInstance(fact, path, "give fewer elements or targets")


def pack(relation: BoolArray) -> UInt64Array:
    """Return the rows of a (T, n) bool array as (T, ceil(n / 64)) words; bit k % 64 of word k / 64 is column k.

    Examples
    --------
    >>> pack(np.eye(3, dtype=bool)).tolist()
    [[1], [2], [4]]
    """
    rows, columns = relation.shape
    octets = np.zeros((rows, -(-columns // 64) * 8), np.uint8)
    octets[:, : -(-columns // 8)] = np.packbits(relation, axis=1, bitorder="little")
    return octets.view(np.uint64)


def unpack(words: UInt64Array, columns: int) -> BoolArray:
    """Return the (T, n) bool array whose packed rows are given: the inverse of ``pack``."""
    return np.unpackbits(words.view(np.uint8), axis=1, count=columns, bitorder="little").view(np.bool_)


def packed_rows(rows: int, columns: int, members: Callable[[Int64Array], BoolArray]) -> UInt64Array:
    """Return packed rows of a relation that is computed a block of rows at a time.

    Parameters
    ----------
    rows, columns : int
    members : callable
        Takes the indices of some rows, (r, 1) int64, and returns (r, columns) bool.

    Examples
    --------
    >>> packed_rows(3, 3, lambda row: np.arange(3) < row).tolist()
    [[0], [1], [3]]
    """
    words = np.empty((rows, -(-columns // 64)), np.uint64)
    step = max(1, CHUNK // max(columns, 1))
    for first in range(0, rows, step):
        block = np.arange(first, min(first + step, rows))[:, None]
        words[first : first + step] = pack(np.broadcast_to(members(block), (len(block), columns)))
    return words


def complement(words: UInt64Array, columns: int) -> UInt64Array:
    """Return the complements of packed subsets of ``range(columns)``."""
    return ~words & pack(np.ones((1, columns), bool))


def count_members(words: UInt64Array) -> Int64Array:
    """Return the number of set bits of each packed row.

    Examples
    --------
    >>> count_members(np.array([[5, 1], [0, 0]], np.uint64)).tolist()
    [3, 0]
    """
    counts = np.zeros(len(words), np.int64)
    step = max(1, CHUNK // max(words.shape[1] * 64, 1))
    for first in range(0, len(words), step):
        octets = np.ascontiguousarray(words[first : first + step]).view(np.uint8)
        counts[first : first + step] = np.unpackbits(octets, axis=1).sum(axis=1, dtype=np.int64)
    return counts


class ElementIndex:
    """Indices of elements by value.

    Parameters
    ----------
    values : sequence of JSON values
        The elements; distinct by canonical text.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.count = len(values)
        self._is_range = values == tuple(range(self.count)) and {*map(type, values)} <= {int}
        self._index: dict[str, int] | None = None
        self._values = values

    def find(self, listed: Sequence[Any], path: str) -> Int64Array:
        """Return the indices of the elements in a list, in its order.

        Raises
        ------
        InvalidInstance
            For a value that is not an element, or one that is listed twice.
        """
        if self._is_range and {*map(type, listed)} <= {int}:
            bounds = (min(listed, default=0), max(listed, default=0))
            if bounds[0] >= 0 and bounds[1] < self.count:
                return self._check_distinct(np.array(listed, np.int64), listed, path)
        if self._index is None:
            self._index = {text: number for number, text in enumerate(canonical_texts(self._values))}
        numbers = np.array([self._index.get(text, -1) for text in canonical_texts(listed)], np.int64)
        if (unknown := numbers < 0).any():
            position = int(unknown.argmax())
            fact = f"{shown(listed[position])} is not an element"
            raise InvalidInstance(fact, f"{path}[{position}]", self._remedy())
        return self._check_distinct(numbers, listed, path)

    def _remedy(self) -> str:
        return f"use 0 to {self.count - 1}" if self._is_range else "use one of elements, with its type"

    @staticmethod
    def _check_distinct(numbers: Int64Array, listed: Sequence[Any], path: str) -> Int64Array:
        if len(np.unique(numbers)) < len(numbers):
            order = np.argsort(numbers, kind="stable")
            position = int(order[1:][np.diff(numbers[order]) == 0].min())
            raise InvalidInstance(f"{shown(listed[position])} is listed twice", f"{path}[{position}]", "list it once")
        return numbers


def rows_of_lists(lists: Sequence[Int64Array], columns: int) -> UInt64Array:
    """Return packed rows of lists of indices.

    Examples
    --------
    >>> rows_of_lists([np.array([0, 2]), np.array([], np.int64)], 3).tolist()
    [[5], [0]]
    """
    words = np.zeros((len(lists), -(-columns // 64)), np.uint64)
    row = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    column = np.concatenate([np.empty(0, np.int64), *lists])
    bits = np.uint64(1) << (column % 64).astype(np.uint64)
    np.bitwise_or.at(words, (row, column // 64), bits)
    return words
