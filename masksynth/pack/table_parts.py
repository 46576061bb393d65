"""Parts of tables: what a run has to know of samples whose arrays may be elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.pack.sample_columns import SampleTable, join, select, slice_samples


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
    content : SampleTable or bytes
        The table, or the result of `pack_table`.
    chosen : (S,) int64
        Indices of the samples in the table, ascending.
    """

    ids: tuple[Any, ...]
    groups: tuple[Any, ...]
    lengths: Int64Array
    keys: tuple[str, ...]
    content: SampleTable | bytes
    chosen: Int64Array

    def __len__(self) -> int:
        return len(self.ids)


def part_of(table: SampleTable, stored: bool = False) -> Part:
    """Return all samples of a table; as bytes that are sent to other processes if they are to be ``stored``.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> [table] = tables_of({"id": name, "input_ids": [5, 6], "labels": [5, 6]} for name in "abc")
    >>> part = choose(part_of(table, stored=True), [1, 2])
    >>> part.ids, load_part(part).ids, load_part(part).tokens.tolist()
    (('b', 'c'), ('b', 'c'), [5, 6, 5, 6])
    """
    content = store_table(table) if stored else table
    everything = np.arange(len(table), dtype=np.int64)
    return Part(table.ids, table.groups, np.diff(table.offset), tuple(table.keys), content, everything)


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
    table = part.content if isinstance(part.content, SampleTable) else restore_table(part.content)
    chosen = part.chosen
    if len(chosen) == len(table):
        return table
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1:  # consecutive, since they ascend
        return slice_samples(table, int(chosen[0]), int(chosen[-1]) + 1)
    return select(table, chosen)


def join_parts(parts: Iterable[Part]) -> SampleTable:
    """Return the table of the samples of several parts, one after another."""
    return join([load_part(part) for part in parts])


def store_table(table: SampleTable) -> bytes:
    """Return a table as bytes; tokens and labels, which are below 2^31, take 4 bytes each."""
    return pickle.dumps(
        replace(table, tokens=table.tokens.astype(np.int32), labels=table.labels.astype(np.int32)),  # type: ignore[arg-type]
        protocol=pickle.HIGHEST_PROTOCOL,
    )


def restore_table(content: bytes) -> SampleTable:
    """Return the table of `store_table`."""
    table: SampleTable = pickle.loads(content)
    return replace(table, tokens=table.tokens.astype(np.int64), labels=table.labels.astype(np.int64))
