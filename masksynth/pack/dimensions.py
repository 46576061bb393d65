"""Position ids of D dimensions: the first list is a sample's ``position_ids``, the others are additional keys."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.sample_columns import FURTHER
from masksynth.pack.table_parts import Part, load_part

Row = tuple[str, Mapping[str, Any]]
SAME_COUNT = "give one list for each dimension, as many in every sample"
"""Remedy for samples that differ in the dimensions of their position ids."""


def split_dimensions(rows: Sequence[Row], key_fields: Sequence[str]) -> tuple[Sequence[Row], Sequence[str]]:
    """Return samples whose ``position_ids`` are flat lists, and the key fields with those of the additional dimensions.

    A sample with one list, or none, has the same position ids in each dimension, as models have for text; `assemble`
    fills them in.

    Parameters
    ----------
    rows : sequence of (str, mapping)
        (place, sample).
    key_fields : sequence of str

    Raises
    ------
    InvalidInstance
        If samples differ in D.

    Examples
    --------
    >>> sample = {"input_ids": [5, 6], "position_ids": [[0, 1], [0, 2], [0, 3]]}
    >>> rows, names = split_dimensions([("line 1", sample)], ["position_ids"])
    >>> names, rows[0][1]["position_ids"], rows[0][1]["position_ids_2"]
    (('position_ids', 'position_ids_1', 'position_ids_2'), [0, 1], [0, 3])
    """
    if "position_ids" not in key_fields:
        return rows, key_fields
    counts = [_dimensions(sample) for _, sample in rows]
    most = max(counts, default=0)
    if most == 0:
        return rows, key_fields
    for (place, _), count in zip(rows, counts, strict=True):
        if count not in (0, 1, most):
            raise InvalidInstance(f"{count} lists, but another sample has {most}", "$.position_ids", SAME_COUNT, place)
    names = tuple(f"{FURTHER}{number}" for number in range(1, most))
    new = tuple(name for name in names if name not in key_fields)
    absent = dict.fromkeys(new)
    split = []
    for (place, sample), count in zip(rows, counts, strict=True):
        lists = dict(zip(("position_ids", *names), sample["position_ids"], strict=False)) if count else {}
        for name in lists.keys() - {"position_ids", *new}:
            if sample.get(name) is not None:
                raise InvalidInstance(f"position_ids has {count} lists, too", f"$.{name}", "give one of the two", place)
        split.append((place, {**sample, **absent, **lists}))
    return split, (*key_fields, *new)


@contextmanager
def naming_given_lists(rows: Sequence[Row]) -> Iterator[None]:
    """Let errors name a list of position ids as its sample has it: ``$.position_ids[1]`` is the second of D lists.

    Parameters
    ----------
    rows : sequence of (str, mapping)
        (place, sample), as they were before `split_dimensions`.

    Examples
    --------
    >>> with naming_given_lists([("line 1", {"position_ids": [[0, 1], [0, -1]]})]):
    ...     raise InvalidInstance("-1 is negative", "$.position_ids_1[1]", "", "line 1")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: line 1: $.position_ids[1][1]: -1 is negative
    """
    try:
        yield
    except InvalidInstance as error:
        path = re.fullmatch(rf"\$\.position_ids(?:{FURTHER[-1]}(\d+))?(\[\d+\])?", error.path)
        count = next((_dimensions(sample) for place, sample in rows if place == error.source), 0)
        if path is None or int(path[1] or 0) >= count:
            raise
        given = f"$.position_ids[{path[1] or 0}]{path[2] or ''}"
        raise InvalidInstance(error.fact, given, error.remedy, error.source) from None


def further_dimensions(keys: Collection[str]) -> tuple[str, ...]:
    """Return the keys that are additional dimensions of ``position_ids``, in order.

    Examples
    --------
    >>> further_dimensions(["kinds", "position_ids_2", "position_ids_1"])
    ('position_ids_1', 'position_ids_2')
    """
    ends = (key.removeprefix(FURTHER) for key in keys if key.startswith(FURTHER))
    return tuple(f"{FURTHER}{number}" for number in sorted(int(end) for end in ends if end.isdigit()))


def refuse_other_dimensions(parts: Iterable[Part], key_fields: Sequence[str]) -> Iterator[Part]:
    """Yield the parts of a run; samples of one part have been compared by `split_dimensions`.

    Parameters
    ----------
    parts : iterable of Part
    key_fields : sequence of str
        Keys that were requested by name, which each sample may have or lack.

    Raises
    ------
    InvalidInstance
        If the samples of two parts differ in D.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> from masksynth.pack.table_parts import part_of
    >>> tables = tables_of([{"input_ids": [5], "labels": [5], "position_ids": [[0], [0]]}])
    >>> len(list(refuse_other_dimensions(map(part_of, tables), [])))
    1
    """
    known = 0
    for part in parts:
        further = len(set(further_dimensions(part.keys)) - set(key_fields))
        if further and known and further != known:
            fact = f"from here on samples have {further + 1} lists, others {known + 1}"
            raise InvalidInstance(fact, "$.position_ids", SAME_COUNT, load_part(part).place[0])
        known = known or further
        yield part


def join_dimensions(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the sample with ``position_ids`` as D lists, from its additional keys.

    Examples
    --------
    >>> join_dimensions({"position_ids": [0, 1], "position_ids_1": [0, 2]})
    {'position_ids': [[0, 1], [0, 2]]}
    """
    names = further_dimensions(sample)
    if not names:
        return sample
    size = len(sample[names[0]])
    lists = [sample.get("position_ids", list(range(size))), *(sample[name] for name in names)]
    return {**{key: value for key, value in sample.items() if key not in names}, "position_ids": lists}


def _dimensions(sample: Any) -> int:
    """Return D where a sample's position ids are D lists, 0 where they are flat or missing."""
    given = sample.get("position_ids") if isinstance(sample, Mapping) else None
    if given is None:
        return 0
    if getattr(given, "ndim", 1) == 2:
        return len(given)
    if not isinstance(given, (list, tuple)):
        return 0
    return len(given) if all(isinstance(part, (list, tuple, np.ndarray)) for part in given) else 0
