"""Find the tasks that use each position, and the positions that predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from masksynth.draw.display_names import text_of
from masksynth.mask import Mask
from masksynth.mask.intervals import build_mask, coalesce, gather_rows, row_intervals
from masksynth.mask.typing import BoolArray, Int64Array

if TYPE_CHECKING:
    from masksynth.subject.subject import Subject

SEVERAL_TASKS, NO_TASK = -1, -2


@dataclass(frozen=True)
class PositionTasks:
    """The task that each position belongs to.

    Parameters
    ----------
    names : tuple of str
        Names of the tasks.
    of : (N,) int64
        An index into ``names``; ``SEVERAL_TASKS`` or ``NO_TASK``.
    count : (N,) int64
        Number of tasks that use the position.
    predicts : (N,) bool
        Whether the position predicts a label.
    """

    names: tuple[str, ...]
    of: Int64Array
    count: Int64Array
    predicts: BoolArray


def position_tasks(subject: Subject, flow: Mask) -> PositionTasks:
    """Return the tasks that use each position: by an answer's embeddings, else those whose labels see it at any depth.

    Parameters
    ----------
    subject : Subject
    flow : Mask
        Which position reaches which through any number of layers.
    """
    size, labels = subject.size, subject.labels
    predicts = np.zeros(size, bool)
    if labels is not None:
        predicts[labels.position] = True
    if subject.embeddings is not None:
        names = tuple(map(text_of, subject.embeddings))
        pairs = {
            (task, position) for task, nodes in enumerate(subject.embeddings.values()) for position in nodes.values()
        }
        task, position = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        return _count_tasks(names, task, position, position + 1, predicts)
    if labels is None or not labels.tasks:
        return PositionTasks((), np.full(size, NO_TASK), np.zeros(size, np.int64), predicts)
    names = tuple(map(text_of, labels.tasks))
    seen = _positions_of_tasks(flow, labels.position, labels.task, max(size, len(names)))
    return _count_tasks(names, *row_intervals(seen), predicts)


def _positions_of_tasks(flow: Mask, position: Int64Array, task: Int64Array, size: int) -> Mask:
    """Return the mask whose row t holds all positions that the labels of task t see."""
    index, start, end = gather_rows(flow, position)
    return build_mask(coalesce((task[index], start, end)), size)


def _count_tasks(
    names: tuple[str, ...], task: Int64Array, start: Int64Array, end: Int64Array, predicts: BoolArray
) -> PositionTasks:
    """Count the tasks of each position, where task ``task[i]`` uses the positions ``start[i] .. end[i] - 1``."""
    size = len(predicts)
    sums = [np.zeros(size + 1, np.int64) for _ in range(2)]
    for total, weight in zip(sums, (np.ones_like(task), task), strict=True):
        np.add.at(total, start, weight)
        np.subtract.at(total, end, weight)
    # the sum of the indices of a position's tasks is the index itself where there is one task
    count, index = (total.cumsum()[:size] for total in sums)
    return PositionTasks(
        names, np.where(count == 1, index, np.where(count > 1, SEVERAL_TASKS, NO_TASK)), count, predicts
    )
