"""Parts of tables: what a run has to know of samples whose arrays may be elsewhere."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.pack.sample_columns import SampleTable, join, select, slice_samples


@dataclass(frozen=True, eq=False)
class Stored:
    """A file in which a table or a text waits for its worker."""

    path: str


Content = SampleTable | bytes | Stored
Store = Callable[[SampleTable], Content]


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a table, in their order.

    Parameters
    ----------
    ids, groups : tuple of S
    lengths : (S,) int64
        Number of tokens of each sample.
    keys : tuple of str
        Parts of a token's identity that some sample of the table gives.
    content : SampleTable, bytes or Stored
        The table, or where it is stored.
    chosen : (S,) int64
        Indices of the samples in the table, ascending.
    """

    ids: tuple[Any, ...]
    groups: tuple[Any, ...]
    lengths: Int64Array
    keys: tuple[str, ...]
    content: Content
    chosen: Int64Array

    def __len__(self) -> int:
        return len(self.ids)


def keep_table(table: SampleTable) -> SampleTable:
    """Return the table itself, for a run in one process."""
    return table


def part_of(table: SampleTable, store: Store = keep_table) -> Part:
    """Return all samples of a table, its arrays stored in one of three ways.

    Parameters
    ----------
    table : SampleTable
    store : callable
        `keep_table`, `store_bytes`, or `store_file` with a folder.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> [table] = tables_of({"id": name, "input_ids": [5, 6], "labels": [5, 6]} for name in "abc")
    >>> part = choose(part_of(table, store_bytes), [1, 2])
    >>> part.ids, load_part(part).ids, load_part(part).tokens.tolist()
    (('b', 'c'), ('b', 'c'), [5, 6, 5, 6])
    """
    everything = np.arange(len(table), dtype=np.int64)
    return Part(table.ids, table.groups, np.diff(table.offset), tuple(table.keys), store(table), everything)


def choose(part: Part, which: Sequence[int] | Int64Array) -> Part:
    """Return the samples of a part with the given indices, in that order."""
    indices = np.asarray(which, np.int64)
    picked = indices.tolist()
    return replace(
        part,
        ids=tuple(part.ids[i] for i in picked),
        groups=tuple(part.groups[i] for i in picked),
        lengths=part.lengths[indices],
        chosen=part.chosen[indices],
    )


def load_part(part: Part) -> SampleTable:
    """Return the table of a part's samples."""
    return _widen(_load(part))


def _load(part: Part) -> SampleTable:
    table = _restore(part.content)
    chosen = part.chosen
    if len(chosen) == len(table):
        return table
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1:  # consecutive, since they ascend
        return slice_samples(table, int(chosen[0]), int(chosen[-1]) + 1)
    return select(table, chosen)


def join_parts(parts: Iterable[Part]) -> SampleTable:
    """Return the table of the samples of several parts, one after another."""
    return _widen(join([_load(part) for part in parts]))


def store_bytes(table: SampleTable) -> bytes:
    """Return a table as bytes, for workers of other machines."""
    return pickle.dumps(_narrow(table), pickle.HIGHEST_PROTOCOL)


def store_file(folder: str, table: SampleTable) -> Stored:
    """Write a table to a new file of a folder, for workers of this machine; an OSError names the file."""
    return _write_new(folder, lambda file: pickle.dump(_narrow(table), file, pickle.HIGHEST_PROTOCOL))


def store_text(folder: str, text: bytes) -> Stored:
    """Write a text to a new file of a folder, which is faster than a pipe; an OSError names the file.

    The file is removed as soon as nothing in this process refers to the result.
    """
    stored = _write_new(folder, lambda file: file.write(text))
    weakref.finalize(stored, _remove, stored.path)
    return stored


def load_text(text: bytes | Stored) -> bytes:
    """Return a text that may be stored."""
    return Path(text.path).read_bytes() if isinstance(text, Stored) else text


def _write_new(folder: str, write: Callable[[IO[bytes]], Any]) -> Stored:
    path = os.path.join(folder, token_hex(8))
    try:
        with open(path, "wb") as file:
            write(file)
    except OSError as error:  # a write does not know the name of its file
        raise OSError(error.errno, error.strerror, path) from error
    return Stored(path)


def remove_with(part: Part) -> Part:
    """Return the part; the file of its table is removed as soon as nothing in this process refers to it."""
    if isinstance(part.content, Stored):
        weakref.finalize(part.content, _remove, part.content.path)
    return part


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _narrow(table: SampleTable) -> SampleTable:
    """Return a table whose tokens and labels, which are below 2^31, take 4 bytes each."""
    return replace(table, tokens=table.tokens.astype(np.int32), labels=table.labels.astype(np.int32))


def _restore(content: Content) -> SampleTable:
    if isinstance(content, SampleTable):
        return content
    if isinstance(content, bytes):
        table: SampleTable = pickle.loads(content)
    else:
        with open(content.path, "rb") as file:
            table = pickle.load(file)
    return table


def _widen(table: SampleTable) -> SampleTable:
    """Return a table with tokens and labels of 8 bytes each again."""
    if table.tokens.dtype == table.labels.dtype == np.int64:
        return table
    return replace(table, tokens=table.tokens.astype(np.int64), labels=table.labels.astype(np.int64))
