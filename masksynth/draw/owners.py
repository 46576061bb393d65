"""Whose position it is: which tasks use each position, and which positions predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masksynth.draw.names import text_of
from masksynth.export.row_intervals import Ints, rows_of
from masksynth.mask import Mask
from masksynth.mask.intervals import build_mask, coalesce, gather_rows

if TYPE_CHECKING:
    from masksynth.audit import Subject

SHARED, NOBODY = -1, -2


@dataclass(frozen=True)
class Owners:
    """Which task each position belongs to.

    Parameters
    ----------
    tasks : tuple of str
        Their names.
    of : (N,) int64
        An index into ``tasks``; ``SHARED`` for a position of several, ``NOBODY`` for one of none.
    count : (N,) int64
        Of how many.
    predicts : (N,) bool
        Whether a label stands there.
    """

    tasks: tuple[str, ...]
    of: Ints
    count: Ints
    predicts: NDArray[np.bool_]


def owners(subject: Subject, flow: Mask) -> Owners:
    """Whose positions they are: what an answer says, else what the labels of each task see at any depth.

    Parameters
    ----------
    subject : Subject
    flow : Mask
        What reaches what through any number of layers.
    """
    size, labels = subject.size, subject.labels
    predicts = np.zeros(size, bool)
    if labels is not None:
        predicts[labels.position] = True
    if subject.embeddings is not None:
        tasks = tuple(subject.embeddings)
        pairs = {(task, place) for task, nodes in enumerate(subject.embeddings.values()) for place in nodes.values()}
        task, place = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        return _owned(tuple(map(text_of, tasks)), task, place, place + 1, predicts)
    if labels is None or not labels.tasks:
        return Owners((), np.full(size, NOBODY), np.zeros(size, np.int64), predicts)
    tasks_ = tuple(map(text_of, labels.tasks))
    seen = _seen(flow, labels.position, labels.task, max(size, len(tasks_)))
    return _owned(tasks_, *rows_of(seen), predicts)


def _seen(flow: Mask, position: Ints, task: Ints, size: int) -> Mask:
    """Row t: all that the labels of task t see."""
    index, start, end = gather_rows(flow, position)
    return build_mask(coalesce((task[index], start, end)), size)


def _owned(tasks: tuple[str, ...], task: Ints, start: Ints, end: Ints, predicts: NDArray[np.bool_]) -> Owners:
    """Each position's number of tasks, and the sum of their indices, which is the task where there is one."""
    size = len(predicts)
    sums = [np.zeros(size + 1, np.int64) for _ in range(2)]
    for total, weight in zip(sums, (np.ones_like(task), task), strict=True):
        np.add.at(total, start, weight)
        np.subtract.at(total, end, weight)
    count, index = (total.cumsum()[:size] for total in sums)
    return Owners(tasks, np.where(count == 1, index, np.where(count > 1, SHARED, NOBODY)), count, predicts)
