"""Check that a model, called with a batch, trains the samples and nothing else: asked of the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.blocks import check_blocks
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.pack.batch import PackedBatch
from masksynth.torch.models.architecture import IMPLEMENTATIONS, REGISTERED, Architecture
from masksynth.torch.mask_tensors import lists_of
from masksynth.torch.join_batches import filled, without_samples
from masksynth.torch.model_check.black_box import BlackBox
from masksynth.torch.model_check.checked_model import read_or_refuse, subject_of
from masksynth.torch.model_check.collating import check_merged, collate_alike, true_position_ids
from masksynth.torch.model_check.compare_values import CLOSER
from masksynth.torch.model_check.comparison import Model, distance, rows_of, tolerance_of
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.model_check.expected_dependence import causal_mask, check_edges, check_rows, within, words_of
from masksynth.torch.model_check.layer_flow import inputs_of, outputs_of
from masksynth.torch.model_check.lone_samples import (
    BEYOND,
    LoneSample,
    batch_with_long_samples,
    choose_samples,
    lone_sample,
    longest_reach,
    own_mask_is_right,
    positions_of_sample,
)
from masksynth.torch.model_check.other_windows import other_windows
from masksynth.torch.model_check.position_values import position_ids_wrong, same_ids
from masksynth.torch.model_check.transformers_models import (
    ModelCall,
    check_tokens,
    eager_instead_of_flex,
    is_transformers_model,
    own_run,
    plain_inputs,
    record_calls,
    the_call,
)
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.models.reach import Reach

NO_CONTEXT, NO_WINDOW = "context", "windows dropped"
"""What logits that hardly depend on other tokens do not tell from the right ones."""
Reference = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True, repr=False)
class SelfTest:
    """What a test compared, and what it did not; true only if samples were compared with a reference.

    Parameters
    ----------
    forbidden : float
        The largest movement of an output that had to stay; 0 on deterministic kernels.
    apart : float
        The largest difference between merged and separate logits.
    probes : int
        How many sets of tokens were changed.
    samples : int
        How many samples were looked at.
    compared : int
        How many of them, and of longer ones made for the test, were compared with the model's own run of the sample
        alone, or with ``reference``; 0: none.
    longest : int
        The tokens of the longest sample compared.
    window : int or None
        The model's longest window or chunk, in tokens, made smaller for the test where no sample can exceed it; None
        where it has none, or is not known.
    not_compared : tuple of str
        What was not compared, and why.
    understood : bool
        False where the transformers model within is one whose windows are not understood.
    derivative : bool
        Whether the derivative of the samples' outputs by tokens outside them was taken; it is exactly 0.
    telling : bool
        False where the logits compared would be the same, up to rounding, with no context or without the window.
    """

    forbidden: float
    apart: float
    probes: int
    samples: int
    compared: int
    longest: int
    window: int | None
    not_compared: tuple[str, ...]
    understood: bool = True
    derivative: bool = False
    telling: bool = True

    def __bool__(self) -> bool:
        """Whether samples were compared, one of them longer than the model's window, in a model that is understood.

        What was compared has to depend on context and window by more than rounding.
        """
        beyond = self.window is None or self.longest > self.window
        return self.compared > 0 and self.understood and self.telling and beyond

    def __str__(self) -> str:
        """Return what was compared and what was not, one a line."""
        lines = []
        if self.compared:
            lines += [
                f"{self.compared} samples compared: logits differ by at most {self.apart:.3g} from the samples alone"
            ]
            window = "" if self.window is None else f", the model's window {self.window}"
            lines += [f"longest sample compared: {self.longest} tokens{window}"]
        lines += ["derivative by tokens outside the samples: 0"] * self.derivative
        lines += [f"not compared: {each}" for each in self.not_compared]
        lines += [f"{self.probes} sets of tokens changed: the largest forbidden movement is {self.forbidden:.3g}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        missing = "".join(f", not compared: {each}" for each in self.not_compared)
        return f"SelfTest(compared={self.compared}, apart={self.apart:.3g}, forbidden={self.forbidden:.3g}{missing})"


@dataclass(frozen=True, eq=False)
class _Subject:
    """What is tested, and what stands for the truth.

    ``call`` is the call of the transformers model within, or why there is none; ``architecture`` its record, or why it
    is not understood (empty where there is no model to read).
    """

    model: Model
    batch: TrainingBatch
    visible: str
    tolerance: float | None
    reference: nn.Module | Reference | None
    logits: Tensor
    call: ModelCall | str
    architecture: Architecture | str

    @property
    def source(self) -> PackedBatch:
        return self.batch.source

    @property
    def window(self) -> int | None:
        """Return how many tokens every layer sees; None for any number."""
        return longest_reach(self.architecture.layers) if isinstance(self.architecture, Architecture) else None


def self_test(
    model: Model,
    batch: TrainingBatch,
    samples: int = 4,
    probes: int = 4,
    seed: int = 0,
    visible: Literal["causal", "mask"] = "causal",
    tolerance: float | None = None,
    reference: nn.Module | Reference | None = None,
) -> SelfTest:
    """Check that the model computes on the batch what it computes on the samples.

    1. The arrays: every row of a sample allows exactly the sample's tokens up to itself, and every label belongs to the
       token before it (``visible="causal"``); a BlockMask's lists are right; a Hugging Face model has the attention for
       which the batch was made.
    2. Isolation: a token is changed, and then everything outside a sample (outside its first tokens). Only outputs that
       the mask lets depend on the change, through any number of layers, may move. The derivative of a sample's outputs
       by the embeddings of tokens outside it is exactly 0: in half precision values alone cannot tell a leak from
       rounding.
    3. Equality: the logits at all live tokens of some samples equal those of the sample run alone, by the model's own
       masks and with none of ours. Among them are those that end last in the merged order. Where the model has a window
       or chunks and no sample is longer, two longer ones are made of the batch's tokens, or the model is run with a
       smaller window.

    Wrappers, closures, adapters and parallel modules are seen through: the transformers model within is watched as it
    is called. Where none is called, nothing knows what the model would do alone: give ``reference``, or the result says
    "not compared" and is false. Runs in evaluation mode, about 4 + probes + 2 samples forward passes and a backward
    pass for each sample.

    Parameters
    ----------
    model : callable
        Takes the keywords of ``batch.model_inputs``; returns logits ``[1, N, V]`` or ``[N, V]`` or something with
        ``.logits``. All that stands between the batch and the logits should be part of it.
    batch : TrainingBatch
        On the model's device.
    samples, probes : int
        How many samples to run separately, and how many single tokens to change.
    seed : int
    visible : {"causal", "mask"}
        What a sample sees when run alone: all its tokens before, or (samples with their own visibility) what the mask
        says. With "mask", context that the mask lacks is not noticed.
    tolerance : float, optional
        Largest allowed difference of logits in 3, as a part of the largest logit; by default 1e-9 in float64, 1e-4 in
        float32, 1e-2 in float16, 5e-2 in bfloat16.
    reference : transformers model or callable, optional
        What a sample alone should give: a transformers model, called plainly, or ``reference(input_ids, position_ids)``
        with ``[1, n]`` ids (``[D, 1, n]`` position ids where the batch has several dimensions), which returns logits
        like ``model``. By default the transformers model that ``model`` calls.

    Raises
    ------
    WrongAnswer
        With a witness: which output moved or differs, and why it must not.
    InvalidInstance
        If the outputs are not one row of logits per position, or two equal runs differ.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> from masksynth.torch.packed_dataset import Collator
    >>> batch, table = Collator()([example_batch()]), torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    >>> def model(input_ids, position_ids, attention_mask, use_cache):
    ...     return torch.einsum("qk,kv->qv", attention_mask[0, 0].float(), table[input_ids[0]])
    >>> bool(self_test(model, batch)), self_test(model, batch).compared
    (False, 0)
    >>> print(self_test(model, batch, reference=lambda input_ids, position_ids: table[input_ids[0]].cumsum(0)))
    2 samples compared: logits differ by at most 0 from the samples alone
    longest sample compared: 2 tokens
    not compared: derivative: no nn.Embedding of the token ids was found; pass inputs_embeds
    5 sets of tokens changed: the largest forbidden movement is 0
    >>> self_test(lambda attention_mask, **inputs: model(attention_mask=attention_mask | True, **inputs), batch)
    Traceback (most recent call last):
    WrongAnswer: leak: the logits at position 0 (token 0 of sample 'a') moved by 1.93 when the token at position 2 was
    changed ...
    """
    if visible not in ("causal", "mask"):
        raise InvalidInstance(f"visible {visible!r} is unknown", "", 'use "causal" or "mask"')
    check_merged(batch)
    if reference is not None and (isinstance(reference, type) or not callable(reference)):
        named = reference.__name__ if isinstance(reference, type) else type(reference).__name__
        raise InvalidInstance(
            f"expected a callable as reference, got {named}", "", "pass a model, or reference(input_ids, position_ids)"
        )
    _check_arrays(batch, visible)
    _check_kind(model, batch)
    with torch.no_grad(), evaluating(model, reference):
        _, calls = record_calls(lambda: model(**batch.model_inputs), batch.source.positions)
        with evaluating(*(call.model for call in calls)):
            subject = _subject(model, batch, visible, tolerance, reference)
            try:
                return _tested(subject, samples, probes, np.random.default_rng(seed))
            except WrongAnswer as error:
                if hint := _hint(subject):
                    raise WrongAnswer(error.requirement, f"{error.fact}; {hint}") from None
                raise


def _hint(subject: _Subject) -> str:
    """Return what of the model's record may be why it is wrong."""
    if isinstance(subject.architecture, str):
        return subject.architecture
    if subject.visible == "causal" and not subject.architecture.causal:
        return f'{subject.architecture.model} sees whole samples by itself: pass visible="mask" if these are to be seen whole'
    return ""


def _subject(
    model: Model, batch: TrainingBatch, visible: str, tolerance: float | None, reference: nn.Module | Reference | None
) -> _Subject:
    size = batch.source.positions
    result, calls = record_calls(lambda: model(**batch.model_inputs), size)
    call = check_tokens(the_call(calls), batch.input_ids)
    described = reference if is_transformers_model(reference) else None if isinstance(call, str) else call.model
    return _Subject(
        model, batch, visible, tolerance, reference, rows_of(result, size), call, read_or_refuse(described, batch)
    )


def _tested(subject: _Subject, samples: int, probes: int, random: np.random.Generator) -> SelfTest:
    source = subject.source
    chosen = choose_samples(source, samples, random)
    moved = [_isolated(subject, which) for which in _changes(source, chosen, probes, subject.visible, random)]
    if moved and not any(some for _, some in moved):
        raise WrongAnswer("self test", "no output moved when tokens were changed: the model does not read input_ids")
    apart = {sample: _equal(subject, sample) for sample in chosen}
    not_compared = _check_derivative(subject, chosen, random)
    lengths = {sample: len(positions_of_sample(source, sample)) for sample, (_, why) in apart.items() if not why}
    reasons = [why for _, why in apart.values() if why]
    longest = max(lengths.values(), default=0)
    compared, window = len(lengths), subject.window
    untold = _without_context(subject, max(lengths, key=lambda sample: lengths[sample])) if compared else []
    if window is not None and longest > window:
        untold += _under_other_windows(subject, max(lengths, key=lambda sample: lengths[sample]))
    if compared and subject.window is not None and longest <= subject.window:
        longest_made, window, why, further = _equal_beyond_the_window(subject)
        untold += further
        longest, compared = max(longest, longest_made), compared + bool(longest_made)
        reasons += [why] if why else []
    if compared:
        _check_position_ids(subject)
    ids = true_position_ids(subject.batch, subject.architecture)
    if ids.dim() == 3 and bool((ids == ids[:1]).all()):
        reasons += [f"{len(ids)} dimensions of position ids: on this batch all are equal"]
    refused = isinstance(subject.architecture, str) and subject.architecture != ""
    if refused:
        reasons += [f"windows of the model, which is not understood: {subject.architecture}"]
    return SelfTest(
        forbidden=max((most for most, _ in moved), default=0.0),
        apart=max((most for most, _ in apart.values()), default=0.0),
        probes=len(moved),
        samples=len(chosen),
        compared=compared,
        longest=longest,
        window=window,
        not_compared=tuple(dict.fromkeys([*reasons, *untold, *not_compared])),
        understood=not refused,
        derivative=not not_compared,
        telling=not any(each.startswith((NO_CONTEXT, NO_WINDOW)) for each in untold),
    )


def _check_arrays(batch: TrainingBatch, visible: str) -> None:
    source = batch.source
    if batch.attention == "flex":
        _check_block_lists(batch)
    if visible == "causal":
        check_rows(source)
        check_edges(source)


def _check_block_lists(batch: TrainingBatch) -> None:
    """Check the lists of a BlockMask against the rows of its table; of a mapping, of each."""
    given = batch.attention_mask
    if isinstance(given, BlockMask) and len(batch.tables) < 2:
        given = {"": given}
    if isinstance(given, Mapping):
        for name, mask in given.items():
            check_blocks(
                batch.cut(batch.tables.get(name, next(iter(batch.tables.values()), Reach()))),
                lists_of(mask),
                0,
                batch.block_size,
            )


def _check_kind(model: Model, batch: TrainingBatch) -> None:
    found = getattr(getattr(model, "config", None), "_attn_implementation", None)
    found = found.removeprefix(REGISTERED) if isinstance(found, str) else found
    if found is not None and found != IMPLEMENTATIONS[batch.attention]:
        remedy = f"load the model with attn_implementation={IMPLEMENTATIONS[batch.attention]!r}"
        raise WrongAnswer(
            "attention", f"the batch was made for {batch.attention}, the model runs {found!r}; {remedy} or collate anew"
        )


def _changes(
    source: PackedBatch, chosen: list[int], probes: int, visible: str, random: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Return the sets of positions to change: single ones, and all but a sample, or but the first tokens of one."""
    found = [np.arange(source.positions) == p for p in random.permutation(source.positions)[:probes]]
    for sample in chosen:
        tokens = positions_of_sample(source, sample)
        kept = tokens[: random.integers(1, len(tokens) + 1)] if visible == "causal" else tokens
        found.append(~np.isin(np.arange(source.positions), kept))
    return [which for which in found if which.any()]


def _isolated(subject: _Subject, which: NDArray[np.bool_]) -> tuple[float, bool]:
    """Return (largest forbidden movement, whether anything moved) when a set of tokens is changed."""
    source, batch, logits = subject.source, subject.batch, subject.logits
    may = outputs_of(source.mask, which, None)
    inputs = batch.model_inputs
    other = inputs["input_ids"].clone()
    other[0, torch.from_numpy(np.flatnonzero(which)).to(other.device)] = _others(batch.input_ids, logits.shape[-1])[
        torch.from_numpy(which).to(other.device)
    ]
    moved = distance(rows_of(subject.model(**{**inputs, "input_ids": other}), source.positions), logits)
    forbidden = np.where(may, 0.0, moved)
    if forbidden.max() > 0 and forbidden.max() > 4 * _noise(subject) and not _is_rounding(subject, forbidden, which):
        at = int(np.argmax(forbidden))
        single = int(np.flatnonzero(which)[0]) if which.sum() == 1 else None
        what = (
            f"the token at {words_of(source, single)} was"
            if single is not None
            else f"{int(which.sum())} tokens that it must not see were"
        )
        raise WrongAnswer(
            "leak", f"the logits at {words_of(source, at)} moved by {forbidden[at]:.3g} when {what} changed"
        )
    return float(forbidden.max()), bool(moved.max() > 0)


def _is_rounding(subject: _Subject, forbidden: NDArray[np.float64], which: NDArray[np.bool_]) -> bool:
    """Return whether outputs that had to stay moved by rounding only.

    Layers of experts compute tokens in groups, which other tokens change.

    The movement is within the tolerance, and the derivative of those outputs by the changed tokens is exactly 0.
    """
    if forbidden.max() > tolerance_of(subject.logits, subject.tolerance):
        return False
    box = BlackBox(subject.model, subject.batch.model_inputs, subject.source.positions)
    derivative = box.gradients_of_groups([np.flatnonzero(forbidden)], np.random.default_rng(0))
    return not isinstance(derivative, str) and not derivative[0, which].any()


def _check_derivative(subject: _Subject, chosen: Sequence[int], random: np.random.Generator) -> list[str]:
    """Check that each sample's outputs have no derivative by tokens outside it.

    Return why it was not taken, if it was not.
    """
    source = subject.source
    samples = [np.unique(positions_of_sample(source, sample)) for sample in chosen]
    found = BlackBox(subject.model, subject.batch.model_inputs, source.positions).gradients_of_groups(samples, random)
    if isinstance(found, str):
        return [f"derivative: {found}"]
    for sample, positions, derivative in zip(chosen, samples, found, strict=True):
        inside = np.isin(np.arange(source.positions), positions)
        if subject.visible == "mask":
            inside = inputs_of(source.mask, inside, None)
        outside = np.where(inside, 0.0, derivative)
        if outside.max() > 0:
            at = int(np.argmax(outside))
            fact = f"the logits of sample {source.samples[sample]!r} have a derivative of {outside[at]:.3g} by the token at"
            raise WrongAnswer("leak", f"{fact} {words_of(source, at)}, which is outside the sample")
    return []


def _equal(subject: _Subject, sample: int) -> tuple[float, str]:
    """Return the largest difference between the merged logits of a sample and those of the sample alone.

    The second entry says why that is not compared with the model's own run; empty if it is.
    """
    call, positions = subject.call, positions_of_sample(subject.source, sample)
    if subject.visible == "mask":
        positions = np.unique(positions)
    sequence = torch.from_numpy(subject.source.input_ids)[None].to(subject.batch.device)
    if isinstance(call, ModelCall) and subject.reference is None and _is_another_sequence(call, subject.batch):
        sequence = call.inputs[call.sequence]
    lone = lone_sample(positions, sequence, true_position_ids(subject.batch, subject.architecture))
    if subject.reference is not None:
        return _compare(subject, sample, lone, _run_reference(subject.reference, lone), subject.logits), ""
    own = not isinstance(call, str) and _own_mask_is_right(subject, positions)
    apart = 0.0
    if own:
        assert isinstance(call, ModelCall)
        alone = own_run(call.model, call, lone.tokens, lone.position_ids)
        apart = _compare(subject, sample, lone, alone, call.outputs)
        widened = subject.logits.dtype in (call.outputs.dtype, torch.float32)
        if widened and torch.equal(call.outputs.to(subject.logits.dtype), subject.logits):  # handed on as they are
            return apart, ""
    through, why = _run_callable(subject, lone, own)
    if through is None:
        return apart, why
    return max(apart, _compare(subject, sample, lone, through, subject.logits)), why


def _is_another_sequence(call: ModelCall, batch: TrainingBatch) -> bool:
    """Return whether a wrapper embeds the batch's tokens or numbers them anew before the model gets them."""
    ids = call.inputs[call.sequence]
    return call.sequence != "input_ids" or not torch.equal(ids[0], batch.input_ids.to(ids))


def _own_mask_is_right(subject: _Subject, positions: NDArray[np.int64]) -> bool:
    """Return whether the model by itself sees of a sample what the sample is to see."""
    if subject.visible == "causal":
        return True
    causal = not isinstance(subject.architecture, Architecture) or subject.architecture.causal
    return own_mask_is_right(subject.source.mask, positions, causal)


def _run_reference(reference: nn.Module | Reference, lone: LoneSample) -> Tensor:
    if is_transformers_model(reference):
        return own_run(reference, None, lone.tokens, lone.position_ids)
    size, ids = len(lone.positions), lone.position_ids
    try:
        result = reference(lone.tokens[None], ids[None] if ids.dim() == 1 else ids[:, None])
    except Exception as error:  # the code is the user's
        fact = f"reference raised {type(error).__name__}: {' '.join(str(error).split())}"
        remedy = f"it is called as reference(input_ids, position_ids) with one sample, here of {size} tokens"
        raise InvalidInstance(fact, "", remedy) from error
    try:
        return rows_of(result, size)
    except InvalidInstance as error:
        raise InvalidInstance(error.fact.replace("the model", "reference", 1), "", error.remedy) from None


def _run_callable(subject: _Subject, lone: LoneSample, own: bool) -> tuple[Tensor | None, str]:
    """Return the callable's outputs for a lone sample; None where it runs none.

    They are those with no mask if the model within has the right one by itself, else under ours.

    The second entry says why that is not compared with the model's own run; empty if it is.
    """
    if own:
        try:
            return _run_without_mask(subject, lone), ""
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
            return _run_under_our_mask(
                subject, lone
            ), "what the callable does after the model: it runs no sample without a mask"
    try:
        alone = _run_under_our_mask(subject, lone)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError) as error:
        return (
            None,
            f"with a lone sample: the model runs none of {len(lone.positions)} tokens ({type(error).__name__}); pass reference=",
        )
    if isinstance(subject.call, str):
        return alone, f"with a model's own run: {subject.call}; pass reference="
    if subject.window is None and isinstance(subject.architecture, Architecture):
        return alone, ""  # the model has no mask of its own that ours could hide
    return alone, "samples with their own visibility: the model's own masks do not know it; pass reference="


def _run_without_mask(subject: _Subject, lone: LoneSample) -> Tensor:
    assert isinstance(subject.call, ModelCall)
    inputs = {"attention_mask": None, "position_ids": None, "use_cache": False}
    inputs |= plain_inputs(
        "input_ids",
        torch.from_numpy(subject.source.input_ids[lone.positions]).to(subject.batch.device),
        lone.position_ids,
    )
    with eager_instead_of_flex(subject.call.model):
        return rows_of(subject.model(**inputs), len(lone.positions))


def _run_under_our_mask(subject: _Subject, lone: LoneSample) -> Tensor:
    """Run the callable on a lone sample as on the merged batch, under a mask of ours.

    For flex it is filled up to N positions, each of which sees itself: one compiled kernel serves both.
    """
    source, batch, tokens = subject.source, subject.batch, lone.positions
    size = len(tokens)
    own = causal_mask(size) if subject.visible == "causal" else within(source.mask, tokens)
    alone = replace(
        without_samples(source),
        input_ids=source.input_ids[tokens],
        position_ids=source.position_ids[tokens],
        mask=own,
        keys={name: values[tokens] for name, values in source.keys.items()},
    )
    spare = source.positions - size if batch.attention == "flex" else 0
    inputs = collate_alike(batch, filled(alone, spare)).model_inputs
    return rows_of(subject.model(**inputs), size + spare)[:size]


def _compare(subject: _Subject, sample: int, lone: LoneSample, alone: Tensor, merged: Tensor) -> float:
    """Return the largest difference of a sample's logits, after checking that it is rounding."""
    source = subject.source
    merged = merged[torch.from_numpy(lone.positions).to(merged.device)]
    if alone.shape != merged.shape:
        fact = f"outputs of the sample alone are {list(alone.shape)}, of the merged batch {list(merged.shape)}"
        raise InvalidInstance(fact, "", "give a reference that returns the same outputs")
    apart = distance(alone.to(merged.device), merged)
    at = int(np.argmax(apart))
    precision = _precision(subject, merged)
    if apart[at] <= tolerance_of(alone.to(precision), subject.tolerance):
        return float(apart[at])
    if tolerance_of(merged.to(precision), subject.tolerance) < (noise := _noise(subject)) < float("inf"):
        raise InvalidInstance(f"two equal runs differ by {noise:.3g}", "", "switch dropout off: model.eval()")
    which = int(source.sample_offset[sample]) + at if subject.visible == "causal" else None
    fact = f"the logits at {words_of(source, int(lone.positions[at]), which)} differ by {apart[at]:.3g}"
    scale = float(alone.abs().max())
    raise WrongAnswer("logits", f"{fact} from those of the sample alone (largest logit {scale:.3g})")


def _precision(subject: _Subject, outputs: Tensor) -> torch.dtype:
    """Return the dtype in which outputs were computed: half precision may be widened to float32, as trainers do."""
    if isinstance(subject.call, str) or outputs.dtype != torch.float32:
        return outputs.dtype
    return subject.call.dtype


def _check_position_ids(subject: _Subject) -> None:
    """Check the position ids that the transformers model within is given, where logits may move by less than rounding."""
    if isinstance(subject.call, str) or subject.source.positions > MAX_DENSE:
        return
    called = subject.call.inputs.get("position_ids")
    first = subject.architecture.first_position if isinstance(subject.architecture, Architecture) else 0
    if called is not None and same_ids(called, true_position_ids(subject.batch, subject.architecture) + first):
        return
    precision = subject.call.outputs.to(subject.call.dtype)
    wrong, _ = position_ids_wrong(
        subject_of(subject.batch, subject.call), tolerance_of(precision, subject.tolerance), 4 * _noise(subject)
    )
    if wrong is not None:
        _, _, _, fact, remedy = wrong
        raise WrongAnswer("positions", f"{fact}; {remedy}")


def _without_context(subject: _Subject, sample: int) -> list[str]:
    """Return that the logits of a sample do not tell whether it has its context, if they do not.

    All its tokens but the last are changed: the last token's logits have to move by more than they may differ.
    """
    positions = positions_of_sample(subject.source, sample)
    context = np.setdiff1d(positions[:-1], positions[-1:])
    if not len(context):
        return []
    inputs, index = subject.batch.model_inputs, torch.from_numpy(context).to(subject.batch.device)
    other = inputs["input_ids"].clone()
    other[0, index] = _others(subject.batch.input_ids, subject.logits.shape[-1])[index]
    moved = distance(
        rows_of(subject.model(**{**inputs, "input_ids": other}), subject.source.positions), subject.logits
    )[positions[-1]]
    allowed = tolerance_of(subject.logits.to(_precision(subject, subject.logits)), subject.tolerance)
    if moved > allowed:
        return []
    fact = f"with other tokens before it the last token's logits move by {moved:.3g} only"
    return [f"{NO_CONTEXT}: {fact}, and {allowed:.3g} may be rounding"]


def _under_other_windows(subject: _Subject, sample: int) -> list[str]:
    """Return which other windows the logits of a sample do not tell from the model's own, up to rounding.

    The sample, which is longer than the window, is run alone by the model with each of these windows.

    Raises
    ------
    WrongAnswer
        If the merged logits are those under another window.
    """
    call = subject.call
    if isinstance(call, str) or subject.reference is not None or subject.visible != "causal":
        return []
    positions = positions_of_sample(subject.source, sample)
    lone = lone_sample(positions, call.inputs[call.sequence], true_position_ids(subject.batch, subject.architecture))
    merged = call.outputs[torch.from_numpy(positions).to(call.outputs.device)]
    right = own_run(call.model, call, lone.tokens, lone.position_ids)
    here = float(distance(right, merged).max())
    others: dict[str, Callable[[int], int]] = {
        NO_WINDOW: lambda size: max(size, len(positions)),
        "windows one token longer": lambda size: size + 1,
        "windows one token shorter": lambda size: max(1, size - 1),
    }
    untold = []
    for words, change in others.items():
        with other_windows(call.model, change):
            if words == NO_WINDOW:
                record = read_or_refuse(call.model, subject.batch)
                if not isinstance(record, Architecture) or (longest_reach(record.layers) or len(positions)) < len(
                    positions
                ):
                    return []  # the class keeps its window elsewhere
            other = own_run(call.model, call, lone.tokens, lone.position_ids)
        effect, there = float(distance(other, right).max()), float(distance(other, merged).max())
        if there * CLOSER < here:
            fact = f"the logits of sample {subject.source.samples[sample]!r} are those of the model with its {words}"
            raise WrongAnswer("logits", f"{fact}: {there:.3g} from them, {here:.3g} from those of the sample alone")
        if effect <= tolerance_of(right.to(call.dtype), subject.tolerance) and there <= CLOSER * here:
            untold.append(f"{words}: the sample's logits differ by {effect:.3g} only, which may be rounding")
    return untold


def _equal_beyond_the_window(subject: _Subject) -> tuple[int, int, str, list[str]]:
    """Compare a sample that is longer than the window: one of the batch, one that is made, or one with a smaller window.

    Return its length, the window, no reason, and which other windows are not told apart; or (0, the window, why not,
    nothing).
    """
    source, window = subject.source, subject.window
    assert window is not None
    lengths = np.diff(source.sample_offset)
    if lengths.max() > window:
        _, why = _equal(subject, int(np.argmax(lengths)))
        if why:
            return 0, window, why, []
        return int(lengths.max()), window, "", _under_other_windows(subject, int(np.argmax(lengths)))
    if why := _why_not_made(subject, window + BEYOND):
        smaller = _equal_with_a_smaller_window(subject, int(np.argmax(lengths)))
        return smaller or (
            0,
            window,
            f"samples longer than the window of {window} tokens: the batch has none, and {why}",
            [],
        )
    made = collate_alike(subject.batch, batch_with_long_samples(source, window))
    beyond = _subject(subject.model, made, "causal", subject.tolerance, subject.reference)
    try:
        _, why = _equal(beyond, 1)
        untold = [] if why else _under_other_windows(beyond, 1)
    except WrongAnswer as error:
        fact = f"on a sample of {window + BEYOND} tokens, longer than the model's window of {window}: {error.fact}"
        raise WrongAnswer(error.requirement, fact) from None
    return (0, window, why, []) if why else (window + BEYOND, window, "", untold)


def _equal_with_a_smaller_window(subject: _Subject, sample: int) -> tuple[int, int, str, list[str]] | None:
    """Compare a sample in the model with windows that it exceeds; None where the model cannot be run so.

    The batch is collated anew for the changed model if it was made for the model, and as it is if no window was given.
    """
    length = len(positions_of_sample(subject.source, sample))
    window, batch = length - BEYOND + 1, subject.batch
    by_hand = batch.architecture is None and any(reach.limited for reach in batch.tables.values())
    if isinstance(subject.call, str) or subject.reference is not None or window < 1 or by_hand:
        return None
    with other_windows(subject.call.model, lambda size: min(size, window)):
        record = read_or_refuse(subject.call.model, batch)
        if not isinstance(record, Architecture) or longest_reach(record.layers) != window:
            return None
        made = collate_alike(
            replace(batch, architecture=record if batch.architecture is not None else None), subject.source
        )
        changed = _subject(subject.model, made, subject.visible, subject.tolerance, None)
        try:
            _, why = _equal(changed, sample)
            untold = [] if why else _under_other_windows(changed, sample)
        except WrongAnswer as error:
            fact = f"with the model's window made {window} tokens, which a sample of {length} exceeds: {error.fact}"
            raise WrongAnswer(error.requirement, fact) from None
    return None if why else (length, window, "", untold)


def _why_not_made(subject: _Subject, size: int) -> str:
    """Return why no batch of samples of so many tokens can be made; empty if it can."""
    if subject.visible != "causal" or not (
        isinstance(subject.architecture, Architecture) and subject.architecture.causal
    ):
        return "none is made of samples that are not causal"
    if subject.batch.attention != "flex" and size + BEYOND > MAX_DENSE:
        return f"a dense mask of more than {MAX_DENSE} positions is not made"
    if subject.batch.attention == "flex" and subject.batch.device.type == "cpu":
        return "compiled kernels of a CPU run one length"
    limit = (
        None if isinstance(subject.call, str) else getattr(subject.call.model.config, "max_position_embeddings", None)
    )
    return f"the model has {limit} positions" if isinstance(limit, int) and size > limit else ""


def _others(tokens: Tensor, classes: int) -> Tensor:
    """For each token a different one, of the batch's own tokens where it has two."""
    used, slot = torch.unique(tokens, return_inverse=True)
    return used[(slot + 1) % len(used)] if len(used) > 1 else (tokens + 1) % classes


def _noise(subject: _Subject) -> float:
    """Return how much the outputs differ between two equal runs."""
    again = rows_of(subject.model(**subject.batch.model_inputs), subject.source.positions)
    return float(distance(again, subject.logits).max())
