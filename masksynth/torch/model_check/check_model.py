"""Does this model use this mask? Asked of the model itself, called as its user calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.black_box import BlackBox, inputs_of_batch
from masksynth.torch.model_check.checked_model import Subject, subject_of
from masksynth.torch.model_check.collating import check_merged
from masksynth.torch.model_check.compare_values import ValueComparison, compare_values
from masksynth.torch.model_check.comparison import Model, tolerance_of
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.model_check.expected_dependence import words_of
from masksynth.torch.model_check.forced_masks import force_torch_model, force_transformers_model
from masksynth.torch.model_check.given_masks import UnusedPair, find_unused_pair
from masksynth.torch.model_check.input_dependence import Look, blocked, flattened, leaks, look, silent, without_rounding
from masksynth.torch.model_check.known_failures import Diagnosis, diagnose
from masksynth.torch.model_check.layer_faults import faults_of_other_flow
from masksynth.torch.model_check.layer_flow import depth, hops
from masksynth.torch.model_check.lone_values import LoneDifference, compare_lone_samples
from masksynth.torch.model_check.other_calls import Cause, cause
from masksynth.torch.model_check.position_ids import positions_wrong, why_no_twins
from masksynth.torch.model_check.position_values import position_ids_wrong
from masksynth.torch.model_check.transformers_models import OTHER_TOKENS, check_tokens, record_calls, the_call
from masksynth.torch.model_check.unmasked_layers import unmasked_layers
from masksynth.torch.training_batch import TrainingBatch

OF_MASK = ("leak", "missing context")
"""Kinds of findings that a diagnosis explains."""


@dataclass(frozen=True)
class ModelFinding:
    """Where a model does not do what the mask says.

    Parameters
    ----------
    kind : {"leak", "missing context", "no gradient", "values", "positions", "not a number", "no input"}
    position : int
        The query: whose output it shows in.
    key : int or None
        The other position: whose input was changed, or which should have the same output.
    path : tuple of int
        The way from key to query that the mask allows, one hop for each layer; () if it allows none.
    moved : float
        By how much the output moved (for ``positions``: differs).
    pairs : int
        In how many of the pairs (query, key) that were looked at it shows.
    message, remedy : str
    """

    kind: str
    position: int
    key: int | None
    path: tuple[int, ...]
    moved: float
    pairs: int
    message: str
    remedy: str

    def record(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return {**self.__dict__, "path": list(self.path)}


@dataclass(frozen=True)
class ModelReport:
    """What ``check_model`` looked at and found.

    Parameters
    ----------
    findings : tuple of ModelFinding
    diagnosis : Diagnosis or None
        Which known failure moves the same outputs, or has the same values; None without a leak, missing context or values.
    cause : Cause or None
        What of the call makes it so (``words``, ``remedy``), where trying other arguments shows it.
    layers : int or None
        Through how many layers the mask was followed; None: any number.
    keys, queries : int
        How many inputs were changed, and how many outputs were looked through.
    noise : float
        How much two equal runs differ.
    no_gradients : str
        Why no gradients were taken; empty if they were.
    told_apart : tuple of str
        Failures of equal flow that were told apart by values: under them the outputs would be other ones.
    not_told_apart : tuple of str
        What could not be told from a right call, and why: where it matters, check another batch.
    no_values : str
        Why the outputs were not compared with those under the right masks; empty if they were.
    samples_alone : int
        How many samples of a packed batch were run alone by the model itself, with equal outputs.
    """

    findings: tuple[ModelFinding, ...]
    diagnosis: Diagnosis | None
    cause: Cause | None
    layers: int | None
    keys: int
    queries: int
    noise: float
    no_gradients: str
    told_apart: tuple[str, ...] = ()
    not_told_apart: tuple[str, ...] = ()
    no_values: str = "not asked for"
    samples_alone: int = 0

    def __str__(self) -> str:
        """Findings, diagnosis and remedy, one a line."""
        through = "any number of layers" if self.layers is None else f"{self.layers} layer{'s' * (self.layers != 1)}"
        way = f"no gradients: {self.no_gradients}" if self.no_gradients else "by gradients"
        lines = [f"{self.keys} inputs changed, {self.queries} outputs looked through ({way}), {through}"]
        lines += [f"{finding.kind}: {finding.message}" for finding in self.findings] or self._passed()
        if self.diagnosis is not None:
            lines += [f"looks {self.diagnosis.words}" if self.diagnosis.name != "unknown" else self.diagnosis.words]
        lines += [f"because {self.cause.words}"] if self.cause else []
        lines += [f"remedy: {self.remedy}"] if self.remedy else []
        return "\n".join(lines)

    def _passed(self) -> list[str]:
        """Return what was told apart and what was not; that the model uses the mask is said only of what was."""
        lines = [f"told apart by values: {', '.join(self.told_apart)}"] if self.told_apart else []
        lines += [f"not told apart: {each}" for each in self.not_told_apart]
        if self.no_values:
            alone = (
                [f"outputs of {self.samples_alone} samples are those of the samples alone"]
                if self.samples_alone
                else []
            )
            lines += [f"values not compared with those under the right masks: {self.no_values}", *alone]
            return [*lines, "outputs depend on the inputs that the mask allows, and on no others"]
        return [*lines, "the model uses the mask"]

    @property
    def remedy(self) -> str:
        """What to do about the first finding."""
        if self.cause is not None:
            return self.cause.remedy
        if self.findings and self.findings[0].kind in (*OF_MASK, "values") and self.diagnosis is not None:
            return self.diagnosis.remedy
        return self.findings[0].remedy if self.findings else ""


class WrongModel(WrongAnswer):
    """A model that does not use the mask as it stands; ``report`` has all findings.

    Parameters
    ----------
    report : ModelReport
    """

    def __init__(self, report: ModelReport) -> None:
        self.report = report
        first = report.findings[0]
        parts = [
            first.message,
            report.diagnosis.words if report.diagnosis else "",
            f"because {report.cause.words}" if report.cause else "",
        ]
        super().__init__(first.kind, "; ".join(part for part in [*parts, report.remedy] if part))
        self.path = tuple(map(str, first.path))

    def __reduce__(self) -> Any:
        return WrongModel, (self.report,)


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

    1. ``probes`` inputs are changed, one at a time. Output q may move only if the mask has a way from the changed
       position to q, through the given number of layers, each of which also keeps a position's own state.
    2. Of ``probes`` outputs the gradients at all embeddings are taken, as far as the token ids go through an
       ``nn.Embedding`` or ``inputs_embeds`` are passed: exactly 0 where there is no way. Without gradients, all inputs
       without a way are changed at once.
    3. Where the mask allows a pair in one layer (with gradients and a known number of layers: where anything flows
       through them), the output has to move, or a gradient to flow; if neither does, both are tried again with
       attention made flat, since a sharp softmax rounds weights to 0.
    4. Many masks have one flow. The transformers model within the callable (or any model that calls torch's
       ``scaled_dot_product_attention``) is run again with the right mask forced upon each layer: its outputs have to be
       those of the call. It is run under masks with windows dropped or off by one, tables swapped or in other layers as
       well; those with other outputs are told apart, and the report lists those that this batch does not tell apart.
       For a packed batch the model's own windows and layer types say what is right; two of its samples are run alone by
       the model itself. Elsewhere single pairs of the masks in the call are removed: the outputs have to move.
    5. Position ids: those in ``inputs`` are compared with the batch's, left out ones are tried, and twins (same
       position id, same context) are given the same input: their outputs have to be equal.

    What moved is compared with known failures (causal, no mask, documents cut at position ids, off by one, ...), and
    the arguments of the call are varied, to name the cause. With ``probes`` at least N every pair is looked at.

    Parameters
    ----------
    model : callable
        Gives outputs [N, V] or [1, N, V], or an object with ``logits`` or ``last_hidden_state``.
    batch : Batch or TrainingBatch
        An answer (``load``) or a packed batch (``Collator``).
    inputs : mapping, optional
        The keyword arguments of the call: token ids as ``input_ids`` or ``tokens``, or ``inputs_embeds``, and whatever
        else the model gets. By default those of a Hugging Face causal LM: ``batch.model_inputs``; for an answer, ids by
        order of appearance, position ids and the mask in the type that ``model.config`` names.
    layers : int, optional
        How many layers the model has; by default as its ``config`` says, else any number.
    probes, seed : int
    gradients : bool

    Raises
    ------
    WrongModel
        A WrongAnswer whose ``report`` holds the findings.
    InvalidInstance
        If the outputs or inputs are not one row per position, or two equal runs differ.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> from masksynth.torch import batch_of
    >>> batch, table = batch_of(merge(catalog.agent_trie())), torch.randn(9, 9, generator=torch.Generator().manual_seed(0))
    >>> def model(input_ids, position_ids, attention_mask, use_cache):
    ...     return attention_mask[0, 0].float() @ table[input_ids[0]]
    >>> report = check_model(model, batch, layers=1)
    >>> report.keys, report.queries, report.findings
    (5, 5, ())
    >>> print(report.no_values)
    no transformers model is called with the sequence, and the model does not call scaled_dot_product_attention
    >>> check_model(lambda attention_mask, **others: model(attention_mask=attention_mask.tril() | True, **others), batch, layers=1)
    Traceback (most recent call last):
    WrongModel: leak: the output at position 0 ... as if no mask: every position sees every other; because attention_mask ...
    """
    if not isinstance(batch, Batch):
        check_merged(batch)
    position_ids = batch.position_ids
    size = batch.rows.size if isinstance(batch, Batch) else batch.source.positions
    if layers is not None and layers < 1:
        raise InvalidInstance(f"a model of {layers} layers", "", "give a positive number, or None if it is not known")
    box = BlackBox(model, inputs_of_batch(model, batch) if inputs is None else inputs, size)
    with evaluating(model):
        _, calls = record_calls(box.run, size)
        training = any(call.training for call in calls)
        with evaluating(*(call.model for call in calls)):
            _, calls = record_calls(box.run, size) if training else (None, calls)
            call = the_call(calls)
            subject = subject_of(batch, check_tokens(call, box.given) if box.tokens else call)
            layers = _configured(model, "num_hidden_layers") if layers is None else layers
            layers = subject.layers if layers is None else layers
            keys, queries = _probes(position_ids, probes, seed)
            seen = without_rounding(look(box, subject.mask, layers, keys, queries, seed, gradients))
            report = _report(seen, subject, _configured(model, "sliding_window"), seed)
    if report.findings:
        raise WrongModel(report)
    return report


def _report(seen: Look, subject: Subject, window: int | None, seed: int) -> ModelReport:
    batch, position_ids = subject.batch, subject.batch.position_ids
    findings = _unreadable(seen, batch)
    readable = not any(each.kind == "no input" for each in findings)
    if seen.judged.any() and readable:
        findings += _leaks(seen, batch)
        if absent := _absent(seen, batch):
            seen = flattened(seen, seed)
            absent = _absent(seen, batch)
        findings += absent
    values = (
        _compare_values(seen, subject)
        if seen.judged.any() and readable
        else ValueComparison(why_not="the outputs tell nothing")
    )
    if values.position is not None and not any(each.kind in OF_MASK for each in findings):
        findings.append(_other_values(batch, values))
    not_told_apart = list(values.not_told_apart)
    if not findings and values.why_not:
        unused, removed = find_unused_pair(seen, np.random.default_rng(seed))
        findings += [_unused(batch, unused)] if unused is not None else []
        not_told_apart.append(_of_equal_flow(removed))
    watched = not isinstance(subject.call, str)
    positions = positions_wrong(seen, batch, not findings, watched) if readable else None
    if positions is None and not findings and not watched:
        not_told_apart += filter(None, [why_no_twins(seen, batch)])
    if positions is None and not findings and not values.why_not:
        positions, untold = position_ids_wrong(subject, seen.tolerance, seen.least)
        not_told_apart += untold
    if positions is not None:
        query, key, differs, message, remedy = positions
        if key is not None and not isinstance(subject.call, str) and "position_ids" not in subject.call.inputs:
            message += "; the model within is called without position_ids"
        findings.append(ModelFinding("positions", query, key, (), differs, 1, message, remedy))
    alone = compare_lone_samples(subject) if not findings else 0
    if isinstance(alone, LoneDifference):
        findings.append(ModelFinding("values", alone.position, None, (), alone.moved, 1, alone.message, alone.remedy))
        alone = 0
    if isinstance(subject.architecture, str) and subject.architecture:
        not_told_apart.append(f"windows of the model, which is not understood: {subject.architecture}")
    diagnosis = None
    if any(each.kind in OF_MASK for each in findings):
        diagnosis = diagnose(seen.mask, position_ids.cpu().numpy(), seen.evidence, seen.layers, window)
    if values.fault is not None:
        diagnosis = Diagnosis(values.fault.name, values.fault.likeness, values.fault.remedy)
    unexplained = any(each.kind in (*OF_MASK, "positions") for each in findings) or (findings and values.why_not)
    why = unmasked_layers(subject) if unexplained and readable else None
    clear = values.differs > seen.tolerance or any(
        each.kind in OF_MASK for each in findings
    )  # else any argument "repairs" it
    if why is None and diagnosis is not None and clear:
        why = cause(seen, diagnosis)
    return ModelReport(
        findings=tuple(findings),
        diagnosis=diagnosis,
        cause=why,
        layers=seen.layers,
        keys=len(seen.keys),
        queries=len(seen.queries),
        noise=seen.noise,
        no_gradients=seen.why_not,
        told_apart=values.told_apart,
        not_told_apart=tuple(not_told_apart),
        no_values=values.why_not,
        samples_alone=alone,
    )


def _compare_values(seen: Look, subject: Subject) -> ValueComparison:
    """Return how the outputs compare with those of runs under known masks.

    These are runs of the transformers model within, else of the callable.
    """
    call = subject.call
    if call == OTHER_TOKENS:
        return ValueComparison(why_not=OTHER_TOKENS)
    outputs = seen.base if isinstance(call, str) else call.outputs
    right = subject.right
    others = faults_of_other_flow(right, subject.batch.position_ids.cpu().numpy(), subject.padding)
    precision = outputs.dtype if isinstance(call, str) else call.dtype
    tolerance = tolerance_of(outputs[outputs.isfinite().all(-1)].to(precision)) + seen.least
    ways = [] if isinstance(call, str) else [force_transformers_model(call)]
    plainly = (seen.box.model, seen.box.inputs) if isinstance(call, str) else (call.model, call.inputs)
    ways.append(force_torch_model(*plainly, seen.mask.size))
    found = compare_values(outputs, ways[0], right, others, tolerance, seen.layers)
    if found.why_not and len(ways) > 1:  # a class with attention code of its own may call torch's all the same
        again = compare_values(outputs, ways[1], right, others, tolerance, seen.layers)
        return again if not again.why_not else found
    return replace(found, why_not=f"{call}, and {found.why_not}") if found.why_not and isinstance(call, str) else found


def _other_values(batch: Batch | TrainingBatch, values: ValueComparison) -> ModelFinding:
    at = values.position or 0
    fact = f"the output at {_words(batch, at)} differs by {values.differs:.3g} from that of the model under the mask of each layer"
    remedy = values.fault.remedy if values.fault is not None else "follow the mask of each layer through the stack"
    return ModelFinding("values", at, None, (), values.differs, 1, fact, remedy)


def _unused(batch: Batch | TrainingBatch, pair: UnusedPair) -> ModelFinding:
    fact = f"the output at {_words(batch, pair.query)} stays when the key {_words(batch, pair.key)} is removed from its row of {pair.table}"
    remedy = "look what cuts the mask on its way, such as a window of the model's own"
    return ModelFinding("values", pair.query, pair.key, (), 0.0, 1, fact, remedy)


def _of_equal_flow(removed: int) -> str:
    seen = f"; {removed} pairs of the masks in the call were removed, and each is used" if removed else ""
    return f"masks that let the same inputs reach the same outputs{seen}"


def _unreadable(seen: Look, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    found = []
    if len(wrong := np.flatnonzero(~seen.judged)):
        message = f"{len(wrong)} outputs are not numbers, the first at {_words(batch, int(wrong[0]))}"
        remedy = "let every row see a key: softmax over nothing is NaN"
        found.append(ModelFinding("not a number", int(wrong[0]), None, (), float("inf"), len(wrong), message, remedy))
    if len(seen.keys) and not seen.evidence.columns.any() and not seen.evidence.rows.any():
        remedy = "pass inputs that the model reads, under the name it reads them by"
        found.append(ModelFinding("no input", 0, None, (), 0.0, 0, f"no output moves with {seen.box.name}", remedy))
    return found


def _leaks(seen: Look, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    worst = leaks(seen)
    return [] if worst is None else [_leak(seen, batch, *worst)]


def _absent(seen: Look, batch: Batch | TrainingBatch) -> list[ModelFinding]:
    found = []
    if missing := silent(seen):
        found.append(_missing(seen, batch, missing))
    if stopped := blocked(seen):
        query, key = stopped[0]
        message = f"the output at {_words(batch, query)} moves with the input at {_words(batch, key)}, but has no gradient at it"
        way = hops(seen.mask, query, key, seen.layers)
        found.append(
            ModelFinding(
                "no gradient", query, key, way, 0.0, len(stopped), message, "look for detach() or no_grad() on the way"
            )
        )
    return found


def _leak(seen: Look, batch: Batch | TrainingBatch, query: int, key: int, moved: float, pairs: int) -> ModelFinding:
    needed = depth(seen.mask, query, key)
    why = "the mask has no path between them"
    if needed is not None:
        path = " -> ".join(map(str, hops(seen.mask, query, key, None)))
        why = f"the path {path} takes {needed} layers, the model has {seen.layers}"
    what = (
        f"the output at {_words(batch, query)} moved by {moved:.3g} when the input at {_words(batch, key)} was changed"
    )
    if not moved:  # rounded away, as half precision does; the gradient shows it
        what = f"the output at {_words(batch, query)} has a gradient other than 0 at the input at {_words(batch, key)}"
    message = f"{what}; {why}{_others(pairs)}"
    return ModelFinding(
        "leak", query, key, (), moved, pairs, message, "keep the mask as it is on its way to the attention"
    )


def _missing(seen: Look, batch: Batch | TrainingBatch, pairs: list[tuple[int, int]]) -> ModelFinding:
    query, key = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    way = hops(seen.mask, query, key, seen.layers)
    how = (
        "which the mask allows"
        if len(way) < 3
        else f"which the mask lets flow there along {' -> '.join(map(str, way))}"
    )
    message = f"the output at {_words(batch, query)} does not depend on the input at {_words(batch, key)}, {how}{_others(len(pairs))}"
    return ModelFinding(
        "missing context",
        query,
        key,
        way,
        0.0,
        len(pairs),
        message,
        "keep the mask as it is on its way to the attention",
    )


def _others(pairs: int) -> str:
    return f" (and {pairs - 1} other pair{'s' * (pairs != 2)})" if pairs > 1 else ""


def _words(batch: Batch | TrainingBatch, position: int) -> str:
    if isinstance(batch, TrainingBatch):
        return words_of(batch.source, position)
    text = repr(batch.inputs[position])
    return f"position {position} ({text if len(text) <= 24 else text[:21] + '...'})"


def _probes(position_ids: Tensor, probes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return inputs to change and outputs to look through, half of them where masks go wrong: beside steps of position ids."""
    ids, random = position_ids.cpu().numpy(), np.random.default_rng(seed)
    steps = np.flatnonzero(np.diff(ids) != 1)
    steps = np.unique(np.concatenate([steps, steps + 1, [0, len(ids) - 1] if len(ids) else []]).astype(np.int64))
    chosen = []
    for _ in range(2):
        some = random.permutation(steps)[: probes // 2]
        rest = random.permutation(np.setdiff1d(np.arange(len(ids)), some))[: max(0, probes - len(some))]
        chosen.append(np.sort(np.concatenate([some, rest])))
    return chosen[0], chosen[1]


def _configured(model: Model, name: str) -> int | None:
    """A positive number of the model's configuration, within wrappers that keep it as ``module``."""
    while not hasattr(model, "config") and isinstance(inner := getattr(model, "module", None), torch.nn.Module):
        model = inner
    found = getattr(getattr(model, "config", None), name, None)
    return found if isinstance(found, int) and found > 0 else None
