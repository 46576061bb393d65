"""Trees from files, packed batches and masks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masksynth.diagnostics.hierarchy.tree import Ints, Tree, tree_of_lists, tree_of_parents
from masksynth.errors import InvalidInstance
from masksynth.tasks.parse_json import decode_text

if TYPE_CHECKING:
    from masksynth.pack import PackedBatch

SHAPES = 'write nested lists such as [[0, 1], [2, 3]], or {"parent": [-1, 0, 0], "position": [-1, 0, 1]}'


def read_tree(path: str | Path) -> Tree:
    """The tree in a JSON file (``-``: stdin): nested lists of positions, or parents and positions of the nodes (null or -1: none).

    Raises
    ------
    InvalidInstance
        In one line with the file, the fault and what to write.
    """
    name = "<stdin>" if str(path) == "-" else str(path)
    if str(path) == "-" and (sys.stdin is None or sys.stdin.closed):
        raise InvalidInstance("stdin is closed", "", "name a file, or pipe something in", "-")
    try:
        text = sys.stdin.read() if str(path) == "-" else Path(path).read_text(encoding="utf-8")
        return tree_of_json(decode_text(text))
    except InvalidInstance as error:
        raise error.within(source=name) from None
    except RecursionError:
        raise InvalidInstance(
            "lists within lists too deep to read", "$", "give parents and positions of the nodes", name
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInstance(f"is no JSON: {error}", "", SHAPES, name) from None


def tree_of_json(value: Any) -> Tree:
    """The tree that a JSON value describes, as `read_tree` takes it.

    Examples
    --------
    >>> tree_of_json({"parent": [None, 0, 0], "position": [None, 0, 1]})
    Tree(2 positions, 1 family of at most 2, depth 1)
    """
    if isinstance(value, list):
        return tree_of_lists(value)
    if (
        not isinstance(value, dict)
        or set(value) != {"parent", "position"}
        or not all(isinstance(part, list) for part in value.values())
    ):
        raise InvalidInstance("is neither a list nor an object of parent and position", remedy=SHAPES)
    return tree_of_parents(*([-1 if one is None else one for one in value[name]] for name in ("parent", "position")))


def packed_tree(batch: PackedBatch, groups: Ints | None = None, branching: Sequence[int] = ()) -> Tree:
    """The tree of a packed batch: groups of samples, runs of positions that serve the same samples, windows, tokens.

    A shared prompt is a run of its own, and so is what one answer adds. A level with one node is left out. Leaves are in order.

    Parameters
    ----------
    batch : PackedBatch
    groups : (N,) int, optional
        The group that each position serves, as ``Subject.groups`` has it [default: one group].
    branching : sequence of int
        Windows within a run, from the tokens up [default: none].
    """
    owner = _owners(batch)
    group = np.zeros(batch.positions, np.int64) if groups is None else np.asarray(groups)
    nested = []
    for low, high in _runs(group, 0, batch.positions):
        runs = [_windowed(list(range(*run)), branching) for run in _runs(owner, low, high)]
        nested.append(_alone(runs))
    return tree_of_lists(_alone(nested))


def _owners(batch: PackedBatch) -> Ints:
    """A number for the set of samples that use each position; an unused copy belongs to the position before it."""
    sample = np.repeat(np.arange(len(batch.samples)), np.diff(batch.sample_offset))
    order = np.lexsort((sample, batch.sample_position))
    sample, place = sample[order], batch.sample_position[order]
    cut = np.searchsorted(place, np.arange(batch.positions + 1)).tolist()
    known: dict[bytes, int] = {}
    found = np.zeros(batch.positions, np.int64)
    for position, (low, high) in enumerate(pairwise(cut)):
        if low == high and position:
            found[position] = found[position - 1]
        else:
            found[position] = known.setdefault(sample[low:high].tobytes(), len(known))
    return found


def _runs(values: Ints, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges between low and high in which the values stay equal."""
    cuts = (np.flatnonzero(np.diff(values[low:high])) + low + 1).tolist()
    return zip([low, *cuts], [*cuts, high], strict=True)


def _windowed(parts: list[Any], branching: Sequence[int]) -> Any:
    for step in branching:
        if len(parts) > step:
            parts = [_alone(parts[low : low + step]) for low in range(0, len(parts), step)]
    return _alone(parts)


def _alone(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else parts
