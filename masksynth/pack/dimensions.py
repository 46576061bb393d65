"""Position ids of several dimensions: of D lists the first are a sample's ``position_ids``, the others further keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.pack.samples import FURTHER

Row = tuple[str, Mapping[str, Any]]


def split_dimensions(rows: Sequence[Row], key_fields: Sequence[str]) -> tuple[Sequence[Row], Sequence[str]]:
    """Return samples whose ``position_ids`` are flat lists, and the key fields with those of the further dimensions.

    Where some sample of the block has D lists, a sample with one list, or none, has D equal ones: so models read text.

    Parameters
    ----------
    rows : sequence of (str, mapping)
        (place, sample).
    key_fields : sequence of str

    Raises
    ------
    InvalidInstance
        If samples differ in D, or a sample with segments has no position ids.

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
        if count not in (0, most):
            fact = f"{count} lists, but another sample has {most}"
            remedy = "give one list for each dimension, as many in every sample"
            raise InvalidInstance(fact, "$.position_ids", remedy, place)
    names = tuple(f"{FURTHER}{number}" for number in range(1, most))
    split = [
        (place, {**sample, **dict(zip(("position_ids", *names), _lists(place, sample, most, count), strict=True))})
        for (place, sample), count in zip(rows, counts, strict=True)
    ]
    return split, (*key_fields, *names)


def further_dimensions(keys: Collection[str]) -> tuple[str, ...]:
    """Return the keys that are further dimensions of ``position_ids``, in order.

    Examples
    --------
    >>> further_dimensions(["kinds", "position_ids_2", "position_ids_1"])
    ('position_ids_1', 'position_ids_2')
    """
    ends = (key.removeprefix(FURTHER) for key in keys if key.startswith(FURTHER))
    return tuple(f"{FURTHER}{number}" for number in sorted(int(end) for end in ends if end.isdigit()))


def join_dimensions(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the sample with ``position_ids`` as D lists, from its further keys.

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


def _lists(place: str, sample: Mapping[str, Any], most: int, count: int) -> list[Any]:
    """Return the D lists of a sample; equal ones where it has one list or none."""
    given = sample.get("position_ids")
    if count:
        return list(given)  # type: ignore[arg-type]  # D lists
    if given is not None:
        return [given] * most
    if sample.get("segments") is not None:
        fact = f"no position_ids, but other samples have {most} dimensions of them"
        raise InvalidInstance(fact, "$.segments", "give position_ids to samples with segments too", place)
    tokens = sample.get("input_ids")
    size = 0 if tokens is None else len(tokens)
    mask = sample.get("attention_mask")
    if mask is None:
        return [np.arange(size)] * most
    return [np.maximum(np.cumsum(np.asarray(mask, np.int64)) - 1, 0)] * most  # pads are dropped later
