"""Hasse diagrams as boxes and edges: one box a class of positions, long chains drawn as one box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from masksynth.draw.names import cut, position_names, printable, text_of
from masksynth.draw.owners import NOBODY, SHARED, Owners, owners
from masksynth.errors import Unsupported
from masksynth.export.row_intervals import Ints
from masksynth.statistics import Hasse, convergence, hasse

if TYPE_CHECKING:
    from masksynth.audit import Subject

CONTRACT_ABOVE = 40
"""More classes than this, and chains are drawn as one box each."""
MOST_BOXES = 200
"""Most boxes of a diagram."""
NAME = 20
"""Most columns of the name of a position, and of a label that it predicts."""
PREDICTS = "⇒"
LISTED = 4
"""Most members of a class that are named."""


@dataclass(frozen=True)
class Box:
    """A class of positions, or a chain of classes, bottom-up.

    Parameters
    ----------
    label : str
        The names of its positions and, unless it is a chain, what they predict.
    positions : tuple of int
    chain : bool
        Whether it stands for a chain of several classes.
    owner : int
        An index into the tasks, ``SHARED`` or ``NOBODY``.
    predicts : bool
        Whether a label stands at one of the positions.
    height : int
        Most boxes of a chain strictly below.
    """

    label: str
    positions: tuple[int, ...]
    chain: bool
    owner: int
    predicts: bool
    height: int


@dataclass(frozen=True)
class Diagram:
    """Boxes, and the covers among them as (upper, lower): information flows from the lower to the upper."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]
    tasks: tuple[str, ...]
    contracted: bool


def diagram(subject: Subject, contract: bool | None = None) -> Diagram:
    """The Hasse diagram of a mask at any depth.

    Parameters
    ----------
    subject : Subject
    contract : bool, optional
        Draw chains of classes with the same owner as one box [default: iff there are more than ``CONTRACT_ABOVE`` classes].

    Raises
    ------
    Unsupported
        If more than ``MOST_BOXES`` boxes are left, or the flow falls into too many intervals.
    """
    flow = convergence(subject.mask).flow
    found, whose = hasse(flow), owners(subject, flow)
    count = len(found.leaders)
    group = (
        _chains(found, whose) if (contract if contract is not None else count > CONTRACT_ABOVE) else np.arange(count)
    )
    heads, box_of = np.unique(group, return_inverse=True)
    if len(heads) > MOST_BOXES:
        fact = f"a Hasse diagram of {len(heads):,} boxes (more than {MOST_BOXES})"
        raise Unsupported(f"{fact}; draw --what blocks, or read the numbers with inspect")
    names, labels = position_names(subject, NAME), _predicted(subject)
    box = box_of[found.of]
    bottom_up = np.lexsort((np.arange(subject.size), found.heights[found.of], box))
    parts = np.split(bottom_up, np.bincount(box, minlength=len(heads)).cumsum()[:-1])
    ends = np.stack([box_of[found.upper], box_of[found.lower]], axis=1)
    edges = [(q, k) for q, k in np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).tolist()]
    heights = _heights(len(heads), edges)
    boxes = tuple(_box(found, whose, names, labels, part, heights[number]) for number, part in enumerate(parts))
    title = f"Hasse diagram: {printable(subject.name)}" if subject.name else "Hasse diagram"
    return Diagram(title, boxes, tuple(edges), whose.tasks, count > len(heads))


def _class_owner(found: Hasse, whose: Owners) -> Ints:
    """The owner of all positions of a class; several owners share it."""
    count = len(found.leaders)
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(low, found.of, whose.of)
    np.maximum.at(high, found.of, whose.of)
    return np.where(low == high, low, SHARED)


def _chains(found: Hasse, whose: Owners) -> Ints:
    """The lowest class of the chain of each class: it is linked to the one below if neither has another neighbour there."""
    count = len(found.leaders)
    owner = _class_owner(found, whose)
    below, above = np.bincount(found.upper, minlength=count), np.bincount(found.lower, minlength=count)
    linked = (below[found.upper] == 1) & (above[found.lower] == 1) & (owner[found.upper] == owner[found.lower])
    head = np.arange(count)
    head[found.upper[linked]] = found.lower[linked]
    while (further := head[head]).tolist() != head.tolist():
        head = further
    return head


def _predicted(subject: Subject) -> Mapping[int, Sequence[str]]:
    """The distinct labels of each position that predicts, in order of first use."""
    found: dict[int, dict[str, None]] = {}
    if subject.labels is not None:
        for place, value in zip(subject.labels.position.tolist(), subject.labels.value, strict=True):
            found.setdefault(place, {})[text_of(value)] = None
    return {place: list(values) for place, values in found.items()}


def _box(
    found: Hasse,
    whose: Owners,
    names: tuple[str, ...],
    labels: Mapping[int, Sequence[str]],
    positions: Ints,
    height: int,
) -> Box:
    mine = np.unique(whose.of[positions])
    owner = int(mine[0]) if len(mine) == 1 else SHARED if len(whose.tasks) else NOBODY
    chain = len(np.unique(found.of[positions])) > 1
    label = _label([names[place] for place in positions.tolist()], chain)
    told = list(dict.fromkeys(text for place in positions.tolist() for text in labels.get(place, ())))
    if told and not chain:
        label += f" {PREDICTS} {', '.join(cut(text, NAME) for text in told[:2])}" + (
            f" +{len(told) - 2}" if len(told) > 2 else ""
        )
    return Box(label, tuple(positions.tolist()), chain, owner, bool(whose.predicts[positions].any()), height)


def _label(names: list[str], chain: bool) -> str:
    """``a, b +3`` for a class; ``a … z (26)`` for a chain."""
    if chain and len(names) > 2:
        return f"{names[0]} … {names[-1]} ({len(names)})"
    rest = len(names) - LISTED
    return (" → " if chain else ", ").join(names[:LISTED]) + (f" +{rest}" if rest > 0 else "")


def _heights(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Longest chains below, in the order of a topological sort."""
    lower: list[list[int]] = [[] for _ in range(count)]
    for q, k in edges:
        lower[q].append(k)
    heights, waiting = [-1] * count, list(range(count))
    while waiting:
        here = waiting[-1]
        open_ = [k for k in lower[here] if heights[k] < 0]
        if heights[here] < 0 and open_:
            waiting += open_
            continue
        heights[here] = max((heights[k] for k in lower[here]), default=-1) + 1
        waiting.pop()
    return heights
