"""Position ids, asked of the model: twins are positions that only their own input can tell apart."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masksynth.mask import Mask
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.comparison import distance
from masksynth.torch.model_check.expected_dependence import running_sums
from masksynth.torch.model_check.input_dependence import Look
from masksynth.torch.training_batch import TrainingBatch

Wrong = tuple[int, int | None, float, str, str]
REMEDY = "pass position_ids=batch.position_ids[None]: merged positions branch, and no stack can guess them"


def positions_wrong(seen: Look, batch: Batch | TrainingBatch, twins: bool, watched: bool) -> Wrong | None:
    """(query, other position, difference, message, remedy) if the model has other position ids than the batch; else None.

    Position ids of the call may get lost within the callable: twins show that, where the model within is not
    ``watched`` as it is called.
    """
    due = batch.position_ids
    given = seen.box.inputs.get("position_ids")
    if isinstance(given, Tensor) and given.numel() == len(due):
        found = _other_ids(seen, given.reshape(-1), due, given.shape)
        twins &= not watched
    else:
        found = _left_out(seen, due) if given is None else None
    return _unlike(seen, batch) if found is None and twins else found


def why_no_twins(seen: Look, batch: Batch | TrainingBatch) -> str:
    """Return why twins tell nothing of the position ids; empty where they do, or where ids are 0, 1, ... as any stack has them."""
    ids = batch.position_ids
    if bool((ids == torch.arange(len(ids), device=ids.device)).all()) or twin_groups(seen.mask, *_identity(batch)):
        return ""
    return "position ids: on this batch no two positions have one position id and one context"


def _other_ids(seen: Look, given: Tensor, due: Tensor, shape: torch.Size) -> Wrong | None:
    apart = given - due.to(given.device)
    if not (apart != apart[0]).any():
        return None  # counted from another number
    at = int((apart != apart[0]).nonzero()[0])
    other = seen.box.accepts(position_ids=due.to(given).reshape(shape))
    query, moved = _furthest(seen, other)
    if query is None:
        return None
    return (
        query,
        None,
        moved,
        f"position_ids[{at}] is {int(given[at])}, the batch has {int(due[at])}; outputs move by {moved:.3g}",
        REMEDY,
    )


def _left_out(seen: Look, due: Tensor) -> Wrong | None:
    shape = seen.box.given.shape[: seen.box.given.dim() - (not seen.box.tokens)]
    query, moved = _furthest(seen, seen.box.accepts(position_ids=due.to(seen.box.given.device).reshape(shape)))
    if query is None:
        return None
    message = f"the call has no position_ids; with the batch's, the output at position {query} moves by {moved:.3g}"
    return query, None, moved, message, REMEDY


def _furthest(seen: Look, other: Tensor | None) -> tuple[int | None, float]:
    if other is None or not seen.differs(other).any():
        return None, 0.0
    moved = np.where(seen.differs(other), distance(other, seen.base), 0)
    return int(np.argmax(moved)), float(moved.max())


def _unlike(seen: Look, batch: Batch | TrainingBatch) -> Wrong | None:
    groups = twin_groups(seen.mask, *_identity(batch))
    if not groups:
        return None
    outputs = seen.box.alike(groups)
    worst = max(((_apart(outputs, group), group) for group in groups), key=lambda pair: pair[0][1])
    (at, differs), group = worst
    if not differs > seen.tolerance:
        return None
    first, other = int(group[0]), int(group[at])
    place = int(batch.position_ids[first])
    which = f"positions {first} and {other} have position id {place}, one context and, for this test, one input"
    way = "as if position ids were not passed, or a row lacks itself"
    return other, first, differs, f"{which}, but outputs {differs:.3g} apart; {way}", REMEDY


def _apart(outputs: Tensor, group: NDArray[np.int64]) -> tuple[int, float]:
    """Which of a group is furthest from its first, and how far."""
    rows = outputs[torch.from_numpy(group).to(outputs.device)]
    found = distance(rows, rows[:1].expand_as(rows))
    return int(np.argmax(found)), float(found.max())


def _identity(batch: Batch | TrainingBatch) -> list[NDArray[np.int64]]:
    """What tells positions apart besides their inputs and rows."""
    parts = [batch.position_ids.cpu().numpy()]
    if isinstance(batch, Batch):
        return [*parts, np.unique(np.array(batch.kinds, dtype=object).astype(str), return_inverse=True)[1]]
    return [*parts, *(values.cpu().numpy() for values in batch.keys.values())]


def twin_groups(mask: Mask, *identity: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups of positions with equal identities and, themselves left out, equal rows in every table.

    Rows are compared by sums of random 64-bit words, in O(N + T).

    Examples
    --------
    >>> branches = Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])
    >>> twin_groups(branches, np.array([0, 1, 1]))
    [array([1, 2])]
    """
    word = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    parts = [*identity]
    for table in range(mask.tables):
        own = np.repeat(np.arange(mask.size), np.diff(mask.row_offset[table]))
        part = slice(int(mask.row_offset[table, 0]), int(mask.row_offset[table, -1]))
        start, end = mask.key_start[part], mask.key_end[part]
        held = running_sums(word)
        sums = running_sums(held[end] - held[start])
        offset = mask.row_offset[table] - mask.row_offset[table, 0]
        itself = np.bincount(own[(start <= own) & (own < end)], minlength=mask.size).astype(bool)
        row = sums[offset[1:]] - sums[offset[:-1]]
        parts += [np.where(itself, row - word, row).view(np.int64), itself.astype(np.int64)]
    _, group = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    edges = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    return [part for part in np.split(order, edges) if len(part) > 1]
