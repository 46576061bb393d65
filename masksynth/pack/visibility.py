"""Segments: which tokens of its sample each token of a sample that is not simply causal attends to.

A sample's tokens are cut into consecutive segments. Each token of segment j attends to every token of the segments that
j ``sees`` (all of them earlier), and within its own segment

* ``causal``: to the tokens up to and including itself,
* ``full``: to all tokens,
* ``self``: to itself alone.

Rows are literal: what a seen segment sees is not seen through it. Position ids count from ``position``, the id of the
segment's first token (default: its index in the sample), unless the sample gives ``position_ids``. A trained label is
predicted by the token before it in the segment (``predict: "next"``; the segment's first label by the last token of
segment ``after``, by default the segment before), or by its own token (``predict: "self"``, for mask tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from masksynth.errors import InvalidInstance

CAUSAL, FULL, SELF = "causal", "full", "self"
TOP = 2**31 - 1


class Segment(NamedTuple):
    """Consecutive tokens of a sample with one rule of visibility.

    Parameters
    ----------
    start, length : int
        Its tokens are ``start, ..., start + length - 1`` of the sample.
    sees : tuple of int
        Indices of the earlier segments that its tokens attend to, ascending.
    within : str
        ``causal``, ``full`` or ``self``.
    position : int
        The position id of its first token.
    predict : str
        ``next`` or ``self``.
    after : int
        The segment whose last token predicts the first label; -1 for none.
    """

    start: int
    length: int
    sees: tuple[int, ...]
    within: str
    position: int
    predict: str
    after: int


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    length: int
    sees: list[int | tuple[int, int]] | None = None
    within: Literal["causal", "full", "self"] | None = None
    position: int | None = None
    predict: Literal["next", "self"] | None = None
    after: int | None = None


def segments_of(given: Any, tokens: int, place: str = "") -> tuple[Segment, ...]:
    """Check the segments of a sample, as given in JSON, and return them.

    Parameters
    ----------
    given : list of objects
        ``{"length": n, "sees": [0, [2, 5]], "within": "full", "position": 7, "predict": "self", "after": 0}``; only
        ``length`` is required; a pair in ``sees`` is a half-open range of segments.
    tokens : int
        Number of tokens of the sample.
    place : str
        Where the sample was read (``file:line``), for messages.

    Raises
    ------
    InvalidInstance
        If the lengths do not add up, or a segment sees or follows one that is not earlier.

    Examples
    --------
    >>> document, question = segments_of([{"length": 3}, {"length": 2, "sees": [0]}], 5)
    >>> question.start, question.sees, question.position, question.after
    (3, (0,), 3, 0)
    """
    try:
        rows = msgspec.convert(given, list[_Given])
    except msgspec.ValidationError as error:
        raise InvalidInstance(str(error), "$.segments", 'give [{"length": ..., "sees": [...]}, ...]', place) from None
    result: list[Segment] = []
    start = 0
    for number, row in enumerate(rows):
        path = f"$.segments[{number}]"
        if row.length < 0:
            raise InvalidInstance(f"length {row.length} is negative", path, "give the number of tokens", place)
        position = start if row.position is None else row.position
        if not 0 <= position <= TOP - row.length:
            fact = f"positions from {position} on leave 0..{TOP}"
            raise InvalidInstance(fact, f"{path}.position", "give the position id of the first token", place)
        after = number - 1 if row.after is None else row.after
        kind = (row.within or CAUSAL, position, row.predict or "next", after)
        if not -1 <= after < number:
            raise InvalidInstance(
                f"after {after} is not an earlier segment", path, f"name one of 0..{number - 1}", place
            )
        result.append(Segment(start, row.length, _expand_ranges(row.sees or (), number, path, place), *kind))
        start += row.length
    if start != tokens:
        raise InvalidInstance(
            f"expected {tokens} tokens in all, as in input_ids, got {start}",
            "$.segments",
            "make the lengths add up",
            place,
        )
    return tuple(result)


def describe_segments(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Return segments as JSON values that `segments_of` reads."""
    names = ("length", "within", "position", "predict", "after")
    return [{"sees": _ranges(segment.sees), **{name: getattr(segment, name) for name in names}} for segment in segments]


def _ranges(sees: Sequence[int]) -> list[int | list[int]]:
    """Return ascending numbers, with half-open ranges for three or more consecutive ones."""
    result: list[int | list[int]] = []
    for number in sees:
        last = result[-1] if result else None
        if isinstance(last, list) and last[1] == number:
            last[1] += 1  # continues the range
        elif len(result) > 1 and result[-2:] == [number - 2, number - 1]:
            result[-2:] = [[number - 2, number + 1]]  # the third in a row: a range begins
        else:
            result.append(number)
    return result


def _expand_ranges(sees: Sequence[int | tuple[int, int]], number: int, path: str, place: str) -> tuple[int, ...]:
    """Return the segments that segment ``number`` sees, ascending; raise if one is not earlier."""
    seen: set[int] = set()
    for item in sees:
        low, high = (item, item + 1) if isinstance(item, int) else item
        if not 0 <= low <= high <= number:
            raise InvalidInstance(
                f"sees {item} is not an earlier segment", f"{path}.sees", f"name segments of 0..{number - 1}", place
            )
        seen.update(range(low, high))
    return tuple(sorted(seen))
