"""Describe what is wrong with a model as findings, in terms of positions, inputs and paths of the mask."""

from __future__ import annotations

import numpy as np

from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.compare_values import ValueComparison
from masksynth.torch.model_check.dependence_faults import (
    Leak,
    find_largest_leak,
    find_pairs_without_gradient,
    find_unaffected_pairs,
)
from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.mask_ablation import UnusedPair
from masksynth.torch.model_check.mask_flow import depth, shortest_path
from masksynth.torch.model_check.model_report import ModelFinding
from masksynth.torch.model_check.packed_arrays import describe_position
from masksynth.torch.training_batch import TrainingBatch

KEEP_MASK = "keep the mask as it is on its way to the attention"


def find_unreadable(observed: Dependence, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    """Return findings that make others impossible: outputs that are not numbers, inputs that are not read."""
    findings = []
    if len(wrong := np.flatnonzero(~observed.judged)):
        first = int(wrong[0])
        message = f"{len(wrong)} outputs are not numbers, the first at {_name_position(batch, first)}"
        remedy = "give every row a key: softmax over nothing is NaN"
        findings.append(ModelFinding("not a number", first, None, (), float("inf"), len(wrong), message, remedy))
    if len(observed.keys) and not observed.evidence.columns.any() and not observed.evidence.rows.any():
        message = f"no output moves with {observed.box.name}"
        remedy = "pass inputs that the model reads, under the name it reads them by"
        findings.append(ModelFinding("no input", 0, None, (), 0.0, 0, message, remedy))
    return findings


def find_leaks(observed: Dependence, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    """Return the largest leak as a finding, in a list; an empty list without a leak."""
    leak = find_largest_leak(observed)
    return [] if leak is None else [_describe_leak(observed, batch, leak)]


def find_absent(observed: Dependence, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    """Return findings of context and gradients that the mask allows and the model does not have."""
    findings = []
    if missing := find_unaffected_pairs(observed):
        findings.append(_describe_missing(observed, batch, missing))
    if blocked := find_pairs_without_gradient(observed):
        query, key = blocked[0]
        output, source = _name_position(batch, query), _name_position(batch, key)
        message = f"the output at {output} moves with the input at {source}, but has no gradient at it"
        path = shortest_path(observed.mask, query, key, observed.layers)
        remedy = "look for detach() or no_grad() in the model"
        findings.append(ModelFinding("no gradient", query, key, path, 0.0, len(blocked), message, remedy))
    return findings


def describe_values(batch: Batch | TrainingBatch, values: ValueComparison) -> ModelFinding:
    """Return the finding of outputs that are not those under the right masks."""
    position = values.position or 0
    where = _name_position(batch, position)
    message = (
        f"the output at {where} differs by {values.differs:.3g} from that of the model under the mask of each layer"
    )
    remedy = values.fault.remedy if values.fault is not None else "follow the mask of each layer through the stack"
    return ModelFinding("values", position, None, (), values.differs, 1, message, remedy)


def describe_unused(batch: Batch | TrainingBatch, pair: UnusedPair) -> ModelFinding:
    """Return the finding of a pair of a mask whose removal moves nothing."""
    output, key = _name_position(batch, pair.query), _name_position(batch, pair.key)
    message = f"the output at {output} does not move when the key {key} is removed from its row of {pair.table}"
    remedy = "look for what cuts the mask on its way, such as a window of the model's own"
    return ModelFinding("values", pair.query, pair.key, (), 0.0, 1, message, remedy)


def describe_equal_flow(removed: int) -> str:
    """Return that masks of equal flow are not distinguished, and how many pairs of masks were removed."""
    ablated = f"; {removed} pairs of the masks in the call were removed, and each is used" if removed else ""
    return f"masks that let the same inputs reach the same outputs{ablated}"


def _describe_leak(observed: Dependence, batch: Batch | TrainingBatch, leak: Leak) -> ModelFinding:
    query, key, moved, pairs = leak
    needed = depth(observed.mask, query, key)
    why = "the mask has no path between them"
    if needed is not None:
        path = " -> ".join(map(str, shortest_path(observed.mask, query, key, None)))
        why = f"the path {path} takes {needed} layers, the model has {observed.layers}"
    output, source = _name_position(batch, query), _name_position(batch, key)
    what = f"the output at {output} moved by {moved:.3g} when the input at {source} was changed"
    if not moved:  # rounded away, as half precision does; the gradient shows it
        what = f"the output at {output} has a gradient other than 0 at the input at {source}"
    message = f"{what}; {why}{_count_others(pairs)}"
    return ModelFinding("leak", query, key, (), moved, pairs, message, KEEP_MASK)


def _describe_missing(observed: Dependence, batch: Batch | TrainingBatch, pairs: list[tuple[int, int]]) -> ModelFinding:
    query, key = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    path = shortest_path(observed.mask, query, key, observed.layers)
    allowed = "which the mask allows"
    if len(path) > 2:
        allowed = f"although the mask has the path {' -> '.join(map(str, path))}"
    output, source = _name_position(batch, query), _name_position(batch, key)
    message = f"the output at {output} does not depend on the input at {source}, {allowed}{_count_others(len(pairs))}"
    return ModelFinding("missing context", query, key, path, 0.0, len(pairs), message, KEEP_MASK)


def _count_others(pairs: int) -> str:
    return f" (and {pairs - 1} other pair{'s' * (pairs != 2)})" if pairs > 1 else ""


def _name_position(batch: Batch | TrainingBatch, position: int) -> str:
    if isinstance(batch, TrainingBatch):
        return describe_position(batch.source, position)
    text = repr(batch.inputs[position])
    return f"position {position} ({text if len(text) <= 24 else text[:21] + '...'})"
