"""Hasse diagrams as boxes and edges: one box for each class of positions, long chains contracted to one box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from masksynth.draw.display_names import cut, position_names, printable, text_of
from masksynth.draw.position_tasks import NO_TASK, SEVERAL_TASKS, PositionTasks, position_tasks
from masksynth.errors import Unsupported
from masksynth.mask.typing import Int64Array
from masksynth.statistics import Hasse, convergence, hasse

if TYPE_CHECKING:
    from masksynth.subject.subject import Subject

CONTRACT_ABOVE = 40
"""With more classes than this, chains are contracted."""
MOST_BOXES = 200
"""Maximum number of boxes of a diagram."""
NAME = 40
"""Maximum number of columns of the name of a position, and of a label that it predicts."""
PREDICTS = "⇒"
LISTED = 16
"""Maximum number of members of a class, and of labels, that are listed; of more, the first and the last are named."""


@dataclass(frozen=True)
class Box:
    """A class of positions that see each other, or a chain of classes.

    Parameters
    ----------
    names : tuple of str
        Of its positions, bottom-up; the first and the last where there are more than ``LISTED`` or it is a chain.
    labels : tuple of str
        What its positions predict; none for a chain.
    positions : tuple of int
    chain : bool
        Whether it is a contracted chain of several classes.
    task : int
        An index into the tasks, ``SEVERAL_TASKS`` or ``NO_TASK``.
    predicts : bool
        Whether one of its positions predicts a label.
    height : int
        Number of boxes in the longest chain strictly below.
    place : float
        Where it belongs from left to right: the mean position id of its positions (their mean number where there are no
        ids), and half a position more if it predicts, so that content comes before the queries about it.
    read_only : bool
        Whether none of its positions is ever updated.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    positions: tuple[int, ...]
    chain: bool
    task: int
    predicts: bool
    height: int
    place: float
    read_only: bool = False

    @property
    def name(self) -> str:
        """Its positions on one line: ``a, b`` for a class, ``a → b`` or ``a … z (26)`` for a chain."""
        if len(self.names) < len(self.positions):
            return f"{self.names[0]} … {self.names[-1]} ({len(self.positions)})"
        return (" → " if self.chain else ", ").join(self.names)

    @property
    def label(self) -> str:
        """Its positions and, after ``⇒``, what they predict."""
        return f"{self.name} {PREDICTS} {', '.join(self.labels)}" if self.labels else self.name


@dataclass(frozen=True)
class Diagram:
    """Boxes, and the covers between them as (upper, lower): information flows from the lower to the upper."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]
    tasks: tuple[str, ...]
    contracted: bool


def hasse_diagram(subject: Subject, contract: bool | None = None) -> Diagram:
    """Return the Hasse diagram of a mask at any depth.

    Parameters
    ----------
    subject : Subject
    contract : bool, optional
        Contract chains of classes that belong to the same task to one box [default: iff there are more than
        ``CONTRACT_ABOVE`` classes].

    Raises
    ------
    Unsupported
        If more than ``MOST_BOXES`` boxes are left, or the flow falls into too many intervals.
    """
    flow = convergence(subject.mask).flow
    order, tasks = hasse(flow), position_tasks(subject, flow)
    count = len(order.leaders)
    if contract is None:
        contract = count > CONTRACT_ABOVE
    heads, box_of_class = np.unique(_chain_heads(order, tasks) if contract else np.arange(count), return_inverse=True)
    if len(heads) > MOST_BOXES:
        fact = f"a Hasse diagram of {len(heads):,} boxes (more than {MOST_BOXES})"
        raise Unsupported(f"{fact}; draw --what blocks, or read the numbers with inspect")
    ends = np.stack([box_of_class[order.upper], box_of_class[order.lower]], axis=1)
    edges = [(upper, lower) for upper, lower in np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0).tolist()]
    boxes = _boxes(subject, order, tasks, box_of_class[order.of], _heights(len(heads), edges))
    title = f"Hasse diagram: {printable(subject.name)}" if subject.name else "Hasse diagram"
    return Diagram(title, boxes, tuple(edges), tasks.names, count > len(heads))


def second_stream(edges: Sequence[tuple[int, int]], predicts: Sequence[bool]) -> list[bool]:
    """Mark the boxes that begin a second stream, such as mask tokens, drawn in a column next to the content they see.

    There are two streams if a box that predicts nothing is covered both by one that does and by one that does not. The
    second stream then begins with each box that predicts and covers one that does not.

    Parameters
    ----------
    edges : sequence of (upper box, lower box)
    predicts : sequence of bool
        Whether a box predicts a label.

    Examples
    --------
    Content 0 -> 1, queries 2 about 0 and 3 about 1:

    >>> second_stream([(1, 0), (2, 0), (3, 1)], [False, False, True, True])
    [False, False, True, True]
    """
    starts = [(upper, lower) for upper, lower in edges if predicts[upper] and not predicts[lower]]
    content = {lower for upper, lower in edges if not predicts[upper] and not predicts[lower]}
    second = {upper for upper, _ in starts} if any(lower in content for _, lower in starts) else set()
    return [box in second for box in range(len(predicts))]


def _class_tasks(order: Hasse, tasks: PositionTasks) -> Int64Array:
    """Return the task of each class, ``SEVERAL_TASKS`` where its positions differ."""
    count = len(order.leaders)
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(low, order.of, tasks.of)
    np.maximum.at(high, order.of, tasks.of)
    return np.where(low == high, low, SEVERAL_TASKS)


def _chain_heads(order: Hasse, tasks: PositionTasks) -> Int64Array:
    """Return the lowest class of the chain of each class.

    A class continues the chain of the class that it covers if it covers no other, nothing else covers that one, and
    both belong to the same task.
    """
    count = len(order.leaders)
    task = _class_tasks(order, tasks)
    covered, covering = np.bincount(order.upper, minlength=count), np.bincount(order.lower, minlength=count)
    linked = (covered[order.upper] == 1) & (covering[order.lower] == 1) & (task[order.upper] == task[order.lower])
    head = np.arange(count)
    head[order.upper[linked]] = order.lower[linked]
    while not np.array_equal(further := head[head], head):  # pointer jumping: each round doubles the distance
        head = further
    return head


def _boxes(
    subject: Subject, order: Hasse, tasks: PositionTasks, box_of: Int64Array, heights: Sequence[int]
) -> tuple[Box, ...]:
    """Return the boxes; ``box_of`` gives the box of each position."""
    names, labels = position_names(subject, NAME), _predicted_labels(subject)
    ids = np.arange(subject.size) if subject.positions is None else subject.positions
    # positions sorted by box, and within a box by the height of their class
    bottom_up = np.lexsort((np.arange(subject.size), order.heights[order.of], box_of))
    members = np.split(bottom_up, np.bincount(box_of, minlength=len(heights)).cumsum()[:-1])
    boxes = []
    for positions, height in zip(members, heights, strict=True):
        chain = len(np.unique(order.of[positions])) > 1
        box_tasks = np.unique(tasks.of[positions])
        shared = SEVERAL_TASKS if tasks.names else NO_TASK
        shown = positions.tolist()
        if len(shown) > (2 if chain else LISTED):
            shown = [shown[0], shown[-1]]
        predicted = dict.fromkeys(text for position in positions.tolist() for text in labels.get(position, ()))
        boxes.append(
            Box(
                names=tuple(names[position] for position in shown),
                labels=() if chain else _shorten([cut(text, NAME) for text in predicted]),
                positions=tuple(positions.tolist()),
                chain=chain,
                task=int(box_tasks[0]) if len(box_tasks) == 1 else shared,
                predicts=bool(tasks.predicts[positions].any()),
                height=height,
                place=float(ids[positions].mean() + 0.5 * tasks.predicts[positions].any()),
                read_only=subject.updated is not None and not subject.updated[:, positions].any(),
            )
        )
    return tuple(boxes)


def _shorten(labels: list[str]) -> tuple[str, ...]:
    """Return the labels, or the first of them and how many more there are."""
    return tuple(labels if len(labels) <= LISTED else [*labels[: LISTED - 1], f"+{len(labels) - LISTED + 1}"])


def _predicted_labels(subject: Subject) -> Mapping[int, Sequence[str]]:
    """Map each position that predicts to its distinct labels, in order of first use."""
    texts: dict[int, dict[str, None]] = {}
    if subject.labels is not None:
        for position, value in zip(subject.labels.position.tolist(), subject.labels.value, strict=True):
            texts.setdefault(position, {})[text_of(value)] = None
    return {position: list(values) for position, values in texts.items()}


def _heights(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Return the length of the longest chain below each box, by depth-first search."""
    lower: list[list[int]] = [[] for _ in range(count)]
    for upper, low in edges:
        lower[upper].append(low)
    heights, stack = [-1] * count, list(range(count))
    while stack:
        box = stack[-1]
        unvisited = [low for low in lower[box] if heights[low] < 0]
        if heights[box] < 0 and unvisited:
            stack += unvisited
            continue
        heights[box] = max((heights[low] for low in lower[box]), default=-1) + 1
        stack.pop()
    return heights
