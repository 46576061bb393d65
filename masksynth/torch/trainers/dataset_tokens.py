"""Read the token ids of a data set's rows, by which rows are put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int64Array

COLUMNS = (("input_ids",), ("prompt_ids", "chosen_ids"), ("prompt_ids", "completion_ids"), ("chosen_ids",))
"""Columns that begin the sequences of a row, as transformers and TRL (SFT; DPO; KTO; Reward) name them."""


def token_columns(dataset: Any) -> tuple[str, ...] | None:
    """Return the columns whose token ids, joined, begin the sequences of a row; None if rows have no token ids.

    Parameters
    ----------
    dataset : datasets.Dataset or sequence
        With at least one row.
    """
    names = set(column_names(dataset))
    return next((columns for columns in COLUMNS if names.issuperset(columns)), None)


def column_names(dataset: Any) -> list[str]:
    """Return the names of the columns of a ``datasets.Dataset``, or those of the first row of another data set."""
    if is_arrow(dataset):
        return list(dataset.column_names)
    row = dataset[0]
    return list(row.keys()) if hasattr(row, "keys") else []  # a BatchEncoding is not a Mapping of the abc's


def is_stored(dataset: Any) -> bool:
    """Return whether the rows are stored, so that reading one neither takes long nor draws random numbers."""
    return is_arrow(dataset) or isinstance(dataset, Sequence)


def is_arrow(dataset: Any) -> bool:
    """Return whether a data set is a ``datasets.Dataset``."""
    return hasattr(dataset, "select_columns") and hasattr(dataset, "with_format")


def read_tokens(
    dataset: Any, columns: Sequence[str], rows: Iterable[int] | None = None
) -> tuple[Int64Array, Int64Array]:
    """Return the lengths of some rows, by default of all, and their token ids, row after row.

    Parameters
    ----------
    dataset : datasets.Dataset or map-style data set
    columns : sequence of str
        As from `token_columns`.
    rows : iterable of int, optional
        Their indices.

    Examples
    --------
    >>> lengths, tokens = read_tokens([{"prompt_ids": [5], "chosen_ids": [6, 7]}] * 2, ("prompt_ids", "chosen_ids"))
    >>> lengths.tolist(), tokens.tolist()
    ([3, 3], [5, 6, 7, 5, 6, 7])
    """
    indices = list(range(len(dataset)) if rows is None else rows)
    if is_arrow(dataset):
        table = dataset.select_columns(list(columns)).with_format("arrow")
        part = table[:] if rows is None else table[indices]
        return _join([_read_lists(part.column(name)) for name in columns])
    read: list[list[Any]] = [[] for _ in columns]
    for index in indices:
        row = dataset[index]
        for values, name in zip(read, columns, strict=True):
            values.append(np.asarray(row[name], np.int64).ravel())
    none = [np.zeros(0, np.int64)]
    return _join([(np.array([*map(len, part)], np.int64), np.concatenate(none + part)) for part in read])


def _read_lists(column: Any) -> tuple[Int64Array, Int64Array]:
    """Return the lengths and the values of an Arrow column of lists."""
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    none = np.zeros(0, np.int64)
    lengths = [chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for chunk in chunks]
    values = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate([none, *lengths]).astype(np.int64), np.concatenate([none, *values]).astype(np.int64)


def _join(parts: Sequence[tuple[Int64Array, Int64Array]]) -> tuple[Int64Array, Int64Array]:
    """Return the rows of several columns, joined one after another in each row."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.array([length for length, _ in parts])
    offset = indptr(lengths.sum(0))
    tokens = np.empty(int(offset[-1]), np.int64)
    before = offset[:-1].copy()  # where the next column of each row begins
    for length, values in parts:
        tokens[repeat_ranges(before, length)] = values
        before += length
    return lengths.sum(0), tokens
