"""Position ids of elements and targets: numbers, or coordinates that are numbered in lexicographic order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical_texts


class PositionIds(NamedTuple):
    """Position ids of elements and targets; where there are coordinates, id p stands for ``coordinates[p]``."""

    elements: tuple[int, ...]
    targets: tuple[int, ...]
    coordinates: tuple[tuple[int, ...], ...]


def number_positions(
    given: Any, of_targets: Sequence[Any], values: Sequence[Any], labels: Sequence[Any]
) -> PositionIds:
    """Return the position ids of elements and targets.

    Parameters
    ----------
    given : list of int or of list of int, int, or UNSET
        Position ids of the elements; one number is that of all; by default that of each is its index.
    of_targets : sequence of int, list of int or UNSET
        Those of the targets; by default that of the element that equals the label, otherwise the target's index.
    values, labels : sequence of JSON values
        Elements, and labels of the targets; no labels: each element is a target, at its position.

    Raises
    ------
    InvalidInstance
        Unless there is one for each element, and all have the same number of dimensions.

    Examples
    --------
    >>> number_positions([[1, 0], [0, 2]], [UNSET, [0, 0]], ("a", "b"), ("b", "mean"))
    PositionIds(elements=(2, 1), targets=(1, 0), coordinates=((0, 0), (0, 2), (1, 0)))
    """
    each = [given] * len(values) if type(given) is int else given
    positions: list[Any] = list(range(len(values))) if given is UNSET else each
    if len(positions) != len(values):
        fact = f"{len(positions)} positions for {len(values)} elements"
        raise InvalidInstance(fact, "$.element_positions", "give one for each element, or leave them out")
    placed = list(of_targets) if labels else list(positions)
    if UNSET in placed:
        position_of = dict(zip(canonical_texts(values), positions, strict=True))
        defaults = [position_of.get(text, index) for index, text in enumerate(canonical_texts(labels))]
        placed = [default if item is UNSET else item for item, default in zip(placed, defaults, strict=True)]
    if not any(isinstance(item, list) for item in (*positions, *placed)):
        return PositionIds(tuple(positions), tuple(placed), ())
    _check_dimensions(positions, placed)
    coordinates = sorted({*map(tuple, positions), *map(tuple, placed)})
    number = {point: index for index, point in enumerate(coordinates)}
    elements, targets = (tuple(number[tuple(item)] for item in listed) for listed in (positions, placed))
    return PositionIds(elements, targets, tuple(coordinates))


def _check_dimensions(positions: Sequence[Any], placed: Sequence[Any]) -> None:
    """Raise InvalidInstance unless all position ids are lists of one length."""
    first: int | None = None
    for path, item in _with_paths(positions, placed):
        if not isinstance(item, list):
            fact = f"position {item} is a number, and others are lists"
            raise InvalidInstance(fact, path, "give a list of coordinates for each element and target")
        first = len(item) if first is None else first
        if len(item) != first:
            fact = f"{len(item)} coordinates, where $.element_positions[0] has {first}"
            raise InvalidInstance(fact, path, "give equally many coordinates for each element and target")


def _with_paths(positions: Sequence[Any], placed: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(positions):
        yield f"$.element_positions[{index}]", item
    for index, item in enumerate(placed):
        yield f"$.targets[{index}].position", item
