"""Check whether a model uses a mask, by calling it as its user calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Int64Array
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.black_box import BlackBox, default_inputs
from masksynth.torch.model_check.changed_arguments import Cause, find_cause
from masksynth.torch.model_check.checked_call import CheckedCall, check_call
from masksynth.torch.model_check.compare_outputs import Model
from masksynth.torch.model_check.compare_values import ValueComparison, compare_call
from masksynth.torch.model_check.dependence_faults import drop_rounding
from masksynth.torch.model_check.describe_findings import (
    describe_equal_flow,
    describe_unused,
    describe_values,
    find_absent,
    find_leaks,
    find_unreadable,
)
from masksynth.torch.model_check.expected_masks import check_training_batch
from masksynth.torch.model_check.input_dependence import (
    Dependence,
    measure_dependence,
    measure_with_uniform_attention,
)
from masksynth.torch.model_check.known_failures import Diagnosis, diagnose
from masksynth.torch.model_check.mask_ablation import find_unused_pair
from masksynth.torch.model_check.model_report import OF_MASK, ModelFinding, ModelReport, WrongModel
from masksynth.torch.model_check.position_ids import check_position_ids
from masksynth.torch.model_check.separate_runs import SeparateDifference, compare_separate_runs
from masksynth.torch.model_check.transformers_models import check_tokens, record_calls, select_call
from masksynth.torch.model_check.unmasked_layers import find_unmasked_layers
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.training_batch import TrainingBatch


def check_model(
    model: Model,
    batch: Batch | TrainingBatch,
    *,
    inputs: Mapping[str, Any] | None = None,
    layers: int | None = None,
    probes: int = 16,
    seed: int = 0,
    gradients: bool = True,
) -> ModelReport:
    """Check that the outputs of a model depend on those inputs that the mask of a batch allows, and on no others.

    The model is a black box, called as ``model(**inputs)``: pass what training calls, with its wrappers, its mask and
    its arguments.

    1. ``probes`` inputs are changed, one at a time. Output q may move only if the mask has a path from the changed
       position to q, through the given number of layers, each of which also keeps a position's own state.
    2. The gradients of ``probes`` outputs at all embeddings are taken, if the token ids go through an ``nn.Embedding``
       or ``inputs_embeds`` are passed: exactly 0 where there is no path. Without gradients, all inputs without a path
       are changed at once.
    3. Where the mask allows a pair in one layer (with gradients and a known number of layers: where the mask has any
       path through them), the output has to move, or a gradient to flow; if neither does, both are tried again under
       nearly uniform attention, since a sharp softmax rounds weights to 0.
    4. Different masks can have the same flow. The transformers model inside the callable (or any model that calls
       torch's ``scaled_dot_product_attention``) is run again with the right mask forced upon each layer: its outputs
       have to be those of the call. It is also run under masks with windows dropped or off by one, tables swapped or in
       other layers; the report lists those that this batch does not distinguish. For a packed batch the model's own
       windows and layer types define the right masks, and the model also runs two samples alone. Otherwise single pairs
       of the masks in the call are removed: the outputs have to move.
    5. Position ids: those in ``inputs`` are compared with the batch's; if they are missing, the batch's are tried; and
       interchangeable positions (same position id, same context) are given the same input: their outputs have to be
       equal.

    What moved is compared with known failures (causal, no mask, documents cut at position ids, off by one, ...), and
    the arguments of the call are varied, to name the cause. With ``probes`` of at least N every pair is tested.

    Parameters
    ----------
    model : callable
        Returns outputs [N, V] or [1, N, V], or an object with ``logits`` or ``last_hidden_state``.
    batch : Batch or TrainingBatch
        An answer (``load``) or a packed batch (``Collator``).
    inputs : mapping, optional
        The keyword arguments of the call: token ids as ``input_ids`` or ``tokens``, or ``inputs_embeds``, and whatever
        else the model gets. By default ``batch.model_inputs``; for an answer without a vocabulary, token ids by order
        of appearance, position ids and the mask in the type that ``model.config`` names.
    layers : int, optional
        Number of layers of the model; by default that of its ``config``, else any number.
    probes : int
        Number of inputs and of outputs to test.
    seed : int
        Seed of the random choices.
    gradients : bool
        Whether to take gradients.

    Raises
    ------
    WrongModel
        A WrongAnswer whose ``report`` holds the findings.
    InvalidInstance
        If the batch is of another kind, the outputs or inputs are not one row per position, or two equal runs differ.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> from masksynth.torch import batch_of
    >>> batch = batch_of(merge(catalog.agent_trie()))
    >>> table = torch.randn(9, 9, generator=torch.Generator().manual_seed(0))
    >>> def model(input_ids, position_ids, attention_mask, use_cache):
    ...     return attention_mask[0, 0].float() @ table[input_ids[0]]
    >>> report = check_model(model, batch, layers=1)
    >>> report.keys, report.queries, report.findings
    (5, 5, ())
    >>> print(report.no_values)
    no transformers model is called with the sequence, and the model does not call scaled_dot_product_attention
    >>> def ignoring(attention_mask, **others):
    ...     return model(attention_mask=attention_mask | True, **others)
    >>> check_model(ignoring, batch, layers=1)
    Traceback (most recent call last):
    WrongModel: leak: the output at position 0 ... as if no mask: every position sees every other; because ...
    """
    if not isinstance(batch, Batch):
        check_training_batch(batch)
    if layers is not None and layers < 1:
        raise InvalidInstance(f"layers: expected a positive number or None, got {layers}", "")
    size = len(batch.position_ids)
    box = BlackBox(model, default_inputs(model, batch) if inputs is None else inputs, size)
    with evaluating(model):
        _, calls = record_calls(box.run, size)
        training = any(call.training for call in calls)
        with evaluating(*(call.model for call in calls)):
            if training:  # a model inside the callable has changed its mode: run it again
                _, calls = record_calls(box.run, size)
            call = select_call(calls)
            checked = check_call(batch, check_tokens(call, box.given) if box.tokens else call)
            if layers is None:
                layers = _read_config(model, "num_hidden_layers") or checked.layers
            keys, queries = _choose_probes(batch.position_ids, probes, seed)
            observed = measure_dependence(box, checked.mask, layers, keys, queries, seed, gradients)
            report = _report(drop_rounding(observed), checked, _read_config(model, "sliding_window"), seed)
    if report.findings:
        raise WrongModel(report)
    return report


def _report(observed: Dependence, checked: CheckedCall, window: int | None, seed: int) -> ModelReport:
    """Collect findings from dependence to values to position ids to separate runs, and explain them."""
    batch = checked.batch
    findings = find_unreadable(observed, batch)
    readable = not any(finding.kind == "no input" for finding in findings)
    values = ValueComparison(why_not="the outputs are not comparable")
    if readable and observed.judged.any():
        found, observed = _check_dependence(observed, batch, seed)
        findings += found
        values = compare_call(observed, checked)
    found, undecided = _check_values(observed, checked, values, findings, seed)
    findings += found
    if readable:
        found, undecided_ids = check_position_ids(observed, checked, values, passed=not findings)
        findings += found
        undecided += undecided_ids
    separate = compare_separate_runs(checked) if not findings else 0
    if isinstance(separate, SeparateDifference):
        findings.append(separate.finding())
    if isinstance(checked.architecture, str) and checked.architecture:
        undecided.append(f"windows of the model, which is not understood: {checked.architecture}")
    diagnosis = _diagnose(observed, checked, values, findings, window)
    return ModelReport(
        findings=tuple(findings),
        diagnosis=diagnosis,
        cause=_find_cause(observed, checked, values, findings, diagnosis) if readable else None,
        layers=observed.layers,
        keys=len(observed.keys),
        queries=len(observed.queries),
        noise=observed.noise,
        no_gradients=observed.why_not,
        told_apart=values.told_apart,
        not_told_apart=tuple(undecided),
        no_values=values.why_not,
        samples_alone=separate if isinstance(separate, int) else 0,
    )


def _check_dependence(
    observed: Dependence, batch: Batch | TrainingBatch, seed: int
) -> tuple[list[ModelFinding], Dependence]:
    """Return findings of dependence, and what was observed: under uniform attention too if context is missing."""
    findings = find_leaks(observed, batch)
    if absent := find_absent(observed, batch):
        observed = measure_with_uniform_attention(observed, seed)
        absent = find_absent(observed, batch)
    return findings + absent, observed


def _check_values(
    observed: Dependence, checked: CheckedCall, values: ValueComparison, findings: list[ModelFinding], seed: int
) -> tuple[list[ModelFinding], list[str]]:
    """Return findings of values, and what values do not distinguish on this batch."""
    undecided = list(values.not_told_apart)
    explained = any(finding.kind in OF_MASK for finding in findings)
    if values.position is not None and not explained:
        return [describe_values(checked.batch, values)], undecided
    if findings or not values.why_not:
        return [], undecided
    unused, removed = find_unused_pair(observed, np.random.default_rng(seed))
    undecided.append(describe_equal_flow(removed))
    return [describe_unused(checked.batch, unused)] if unused is not None else [], undecided


def _diagnose(
    observed: Dependence,
    checked: CheckedCall,
    values: ValueComparison,
    findings: list[ModelFinding],
    window: int | None,
) -> Diagnosis | None:
    """Return the known failure that explains the findings: by values if they name one, else by dependence."""
    if values.fault is not None:
        return Diagnosis(values.fault.name, values.fault.likeness, values.fault.remedy)
    if any(finding.kind in OF_MASK for finding in findings):
        position_ids = checked.batch.position_ids.cpu().numpy()
        return diagnose(observed.mask, position_ids, observed.evidence, observed.layers, window)
    return None


def _find_cause(
    observed: Dependence,
    checked: CheckedCall,
    values: ValueComparison,
    findings: list[ModelFinding],
    diagnosis: Diagnosis | None,
) -> Cause | None:
    """Return why the model goes wrong: layers that mix without a mask, else an argument of the call."""
    unexplained = any(finding.kind in (*OF_MASK, "positions") for finding in findings)
    if unexplained or (findings and values.why_not):
        cause = find_unmasked_layers(checked)
        if cause is not None:
            return cause
    # a small difference of values would be "repaired" by any argument
    clear = values.differs > observed.tolerance or any(finding.kind in OF_MASK for finding in findings)
    return find_cause(observed, diagnosis) if diagnosis is not None and clear else None


def _choose_probes(position_ids: Tensor, probes: int, seed: int) -> tuple[Int64Array, Int64Array]:
    """Return inputs to change and outputs to test, half of them next to jumps of position ids, where masks go wrong."""
    ids, random = position_ids.cpu().numpy(), np.random.default_rng(seed)
    jumps = np.flatnonzero(np.diff(ids) != 1)
    jumps = np.unique(np.concatenate([jumps, jumps + 1, [0, len(ids) - 1] if len(ids) else []]).astype(np.int64))
    chosen = []
    for _ in range(2):
        near = random.permutation(jumps)[: probes // 2]
        rest = random.permutation(np.setdiff1d(np.arange(len(ids)), near))[: max(0, probes - len(near))]
        chosen.append(np.sort(np.concatenate([near, rest])))
    return chosen[0], chosen[1]


def _read_config(model: Model, name: str) -> int | None:
    """Return a positive number of the model's config, looking into wrappers that hold it as ``module``."""
    while not hasattr(model, "config") and isinstance(inner := getattr(model, "module", None), torch.nn.Module):
        model = inner
    value = getattr(getattr(model, "config", None), name, None)
    return value if isinstance(value, int) and value > 0 else None
