"""Check position ids: those of the call, and interchangeable positions, which only their inputs distinguish."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums, segment_sums
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import Int64Array
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.checked_call import CheckedCall
from masksynth.torch.model_check.compare_outputs import row_distances
from masksynth.torch.model_check.compare_values import ValueComparison
from masksynth.torch.model_check.forced_position_ids import REMEDY, PositionFault, compare_position_ids
from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.model_report import ModelFinding
from masksynth.torch.training_batch import TrainingBatch


def check_position_ids(
    observed: Dependence, checked: CheckedCall, values: ValueComparison, passed: bool
) -> tuple[list[ModelFinding], list[str]]:
    """Return findings of position ids, and what about them this batch cannot decide.

    Parameters
    ----------
    observed : Dependence
    checked : CheckedCall
    values : ValueComparison
    passed : bool
        Whether there are no other findings.
    """
    watched, undecided = not isinstance(checked.call, str), list[str]()
    fault = find_wrong_positions(observed, checked.batch, passed, watched)
    if fault is None and passed and not watched:
        undecided += filter(None, [explain_no_interchangeable(observed, checked.batch)])
    if fault is None and passed and not values.why_not:
        fault, undecided_ids = compare_position_ids(checked, observed.tolerance, observed.least)
        undecided += undecided_ids
    if fault is None:
        return [], undecided
    message = fault.message
    if fault.other is not None and not isinstance(checked.call, str) and "position_ids" not in checked.call.inputs:
        message += "; the model inside is called without position_ids"
    finding = ModelFinding("positions", fault.query, fault.other, (), fault.moved, 1, message, fault.remedy)
    return [finding], undecided


def find_wrong_positions(
    observed: Dependence, batch: Batch | TrainingBatch, passed: bool, watched: bool
) -> PositionFault | None:
    """Return a fault if the model has other position ids than the batch.

    Position ids of the call may get lost inside the callable: interchangeable positions show that, if the model inside
    is not ``watched`` as it is called.
    """
    right = batch.position_ids
    called = observed.box.inputs.get("position_ids")
    if isinstance(called, Tensor) and called.numel() == len(right):
        fault = _compare_called_ids(observed, called.reshape(-1), right, called.shape)
        interchange = passed and not watched
    else:
        fault = _try_batch_ids(observed, right) if called is None else None
        interchange = passed
    return _interchange(observed, batch) if fault is None and interchange else fault


def explain_no_interchangeable(observed: Dependence, batch: Batch | TrainingBatch) -> str:
    """Return why no position is interchangeable with another; empty if some are, or ids are 0, 1, ... as by default."""
    ids = batch.position_ids
    default = bool((ids == torch.arange(len(ids), device=ids.device)).all())
    if default or find_interchangeable(observed.mask, *_identities(batch)):
        return ""
    return "position ids: on this batch no two positions have one position id and one context"


def _compare_called_ids(observed: Dependence, called: Tensor, right: Tensor, shape: torch.Size) -> PositionFault | None:
    shift = called - right.to(called.device)
    if not (shift != shift[0]).any():
        return None  # counted from another number
    position = int((shift != shift[0]).nonzero()[0])
    other = observed.box.try_run(position_ids=right.to(called).reshape(shape))
    query, moved = _find_farthest(observed, other)
    if query is None:
        return None
    fact = f"position_ids[{position}] is {int(called[position])}, the batch has {int(right[position])}"
    return PositionFault(query, None, moved, f"{fact}; outputs move by {moved:.3g}", REMEDY)


def _try_batch_ids(observed: Dependence, right: Tensor) -> PositionFault | None:
    given = observed.box.given
    shape = given.shape[: given.dim() - (not observed.box.tokens)]
    query, moved = _find_farthest(observed, observed.box.try_run(position_ids=right.to(given.device).reshape(shape)))
    if query is None:
        return None
    message = f"the call has no position_ids; with the batch's, the output at position {query} moves by {moved:.3g}"
    return PositionFault(query, None, moved, message, REMEDY)


def _find_farthest(observed: Dependence, other: Tensor | None) -> tuple[int | None, float]:
    """Return the output that differs most between two runs, and by how much; (None, 0) if none differs."""
    if other is None or not observed.differs(other).any():
        return None, 0.0
    moved = np.where(observed.differs(other), row_distances(other, observed.base), 0)
    return int(np.argmax(moved)), float(moved.max())


def _interchange(observed: Dependence, batch: Batch | TrainingBatch) -> PositionFault | None:
    """Give interchangeable positions one input, and return a fault if their outputs differ."""
    groups = find_interchangeable(observed.mask, *_identities(batch))
    if not groups:
        return None
    outputs = observed.box.run_with_equal_inputs(groups)
    differences = [_differ_within(outputs, group) for group in groups]
    worst = max(range(len(groups)), key=lambda number: differences[number][1])
    member, moved = differences[worst]
    if not moved > observed.tolerance:
        return None
    first, other = int(groups[worst][0]), int(groups[worst][member])
    position_id = int(batch.position_ids[first])
    fact = f"positions {first} and {other} have position id {position_id}, one context and, in this run, one input"
    message = (
        f"{fact}, but their outputs differ by {moved:.3g}; as if position ids were not passed, or a row lacks itself"
    )
    return PositionFault(other, first, moved, message, REMEDY)


def _differ_within(outputs: Tensor, group: Int64Array) -> tuple[int, float]:
    """Return which member of a group differs most from the first, and by how much."""
    rows = outputs[torch.from_numpy(group).to(outputs.device)]
    difference = row_distances(rows, rows[:1].expand_as(rows))
    return int(np.argmax(difference)), float(difference.max())


def _identities(batch: Batch | TrainingBatch) -> list[Int64Array]:
    """Return what distinguishes positions besides their inputs and rows: position ids, kinds, keys."""
    parts = [batch.position_ids.cpu().numpy()]
    if isinstance(batch, Batch):
        kinds = np.array(batch.kinds, dtype=object).astype(str)
        return [*parts, np.unique(kinds, return_inverse=True)[1]]
    return [*parts, *(values.cpu().numpy() for values in batch.keys.values())]


def find_interchangeable(mask: Mask, *identity: Int64Array) -> list[Int64Array]:
    """Return groups of positions with equal identities and, themselves left out, equal rows in every table.

    Rows are compared by sums of random 64-bit words, in O(N + T).

    Parameters
    ----------
    mask : Mask
    *identity : (N,) int64 arrays
        Position ids, and what else distinguishes positions.

    Examples
    --------
    >>> branches = Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]])
    >>> find_interchangeable(branches, np.array([0, 1, 1]))
    [array([1, 2])]
    """
    word = np.random.default_rng(0).integers(0, 2**64, mask.size, np.uint64)
    words_before = prefix_sums(word)  # sums wrap around modulo 2^64, and so do their differences
    parts = [*identity]
    for table in range(mask.tables):
        query, start, end = row_intervals(mask, table)
        row = segment_sums(words_before[end] - words_before[start], mask.row_offset[table] - mask.row_offset[table, 0])
        has_self = np.bincount(query[(start <= query) & (query < end)], minlength=mask.size).astype(bool)
        parts += [np.where(has_self, row - word, row).view(np.int64), has_self.astype(np.int64)]
    _, group = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")  # positions of one group together
    edges = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    return [members for members in np.split(order, edges) if len(members) > 1]
