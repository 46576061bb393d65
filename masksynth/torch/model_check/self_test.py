"""Check that a model, called with a batch, trains the samples and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.blocks import check_blocks
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.torch.mask_tensors import lists_of
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.beyond_window import NO_WINDOW, compare_long_sample, compare_other_windows
from masksynth.torch.model_check.checked_call import check_call
from masksynth.torch.model_check.compare_outputs import Model, row_distances
from masksynth.torch.model_check.expected_masks import check_training_batch
from masksynth.torch.model_check.forced_position_ids import compare_position_ids, have_same_ids
from masksynth.torch.model_check.packed_arrays import check_loss_edges, check_sample_rows
from masksynth.torch.model_check.self_test_call import Reference, SelfTestCall, call_model
from masksynth.torch.model_check.self_test_result import SelfTest
from masksynth.torch.model_check.separate_logits import compare_sample
from masksynth.torch.model_check.separate_predictions import compare_predictions
from masksynth.torch.model_check.separate_samples import choose_samples, positions_of_sample
from masksynth.torch.model_check.token_isolation import check_derivatives, check_isolation, choose_changes
from masksynth.torch.model_check.transformers_models import record_calls
from masksynth.torch.models.architecture import IMPLEMENTATIONS, REGISTERED, Architecture
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.reach import Reach
from masksynth.torch.training_batch import TrainingBatch

NO_CONTEXT = "context"


def self_test(
    model: Model,
    batch: TrainingBatch | Batch,
    samples: int = 4,
    probes: int = 4,
    seed: int = 0,
    visible: Literal["causal", "mask"] = "causal",
    tolerance: float | None = None,
    reference: nn.Module | Reference | None = None,
) -> SelfTest:
    """Check that the model computes on the batch what it computes on the samples.

    1. The arrays: every row of a sample allows exactly the sample's tokens up to itself, and every label belongs to the
       token before it (``visible="causal"``); the lists of a BlockMask match the mask; a Hugging Face model has the
       attention for which the batch was made.
    2. Isolation: a token is changed, and then everything outside a sample (outside its first tokens). Only outputs that
       the mask lets depend on the change, through any number of layers, may move. The derivative of a sample's outputs
       by the embeddings of tokens outside it is exactly 0: in half precision values alone do not distinguish a leak
       from rounding.
    3. Equality: the logits at all live tokens of some samples equal those of the sample run alone, by the model's own
       masks and without ours. Among them are those that end last in the merged order. If the model has a window or
       chunks and no sample is longer, two longer ones are made of the batch's tokens, or the model is run with a
       shorter window.

    Calls are recorded by hooks, so wrappers, closures, adapters and parallel modules make no difference. If no
    transformers model is called, there is nothing to run alone: pass ``reference``, or the result says "not compared"
    and is false. Runs in evaluation mode, about 4 + probes + 2 samples forward passes and a backward pass for each
    sample.

    Parameters
    ----------
    model : callable
        Takes the keywords of ``batch.model_inputs``; returns logits ``[1, N, V]`` or ``[N, V]`` or an object with
        ``.logits``. It should include everything between the batch and the logits.
    batch : TrainingBatch or Batch
        On the model's device. Of an answer (``Batch``), also one with a mask per layer, ``samples`` predictions are
        compared with runs of the positions that they depend on alone; the other arguments do not matter.
    samples, probes : int
        Number of samples to run separately, and of single tokens to change.
    seed : int
        Seed of the random choices.
    visible : {"causal", "mask"}
        What the tokens of a sample attend to when it is run alone: all tokens before, or (samples with their own
        visibility) what the mask allows. With "mask", context that the mask lacks is not noticed.
    tolerance : float, optional
        Largest difference of logits in 3, relative to the largest logit; by default 1e-9 in float64, 1e-4 in float32,
        1e-2 in float16, 5e-2 in bfloat16.
    reference : transformers model or callable, optional
        What a sample alone should give: a transformers model, or ``reference(input_ids, position_ids)`` with ``[1, n]``
        ids (``[D, 1, n]`` position ids if the batch has several dimensions), which returns logits like ``model``. By
        default the transformers model that ``model`` calls.

    Raises
    ------
    WrongAnswer
        With a witness: which output moved or differs, and why it must not.
    InvalidInstance
        If the batch is of another kind, the outputs are not one row of logits per position, or two equal runs differ.

    Examples
    --------
    >>> from masksynth.torch.collator import Collator
    >>> from masksynth.torch.join_batches import example_batch
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
        raise InvalidInstance(f"visible: expected 'causal' or 'mask', got {visible!r}", "")
    if isinstance(batch, Batch):
        return compare_predictions(model, batch, samples, seed, tolerance)
    check_training_batch(batch)
    if reference is not None and (isinstance(reference, type) or not callable(reference)):
        got = reference.__name__ if isinstance(reference, type) else type(reference).__name__
        remedy = "pass a model, or reference(input_ids, position_ids)"
        raise InvalidInstance(f"expected a callable as reference, got {got}", "", remedy)
    if batch.attention == "flex":
        _check_block_lists(batch)
    if visible == "causal":
        check_sample_rows(batch.source)
        check_loss_edges(batch.source)
    _check_attention(model, batch)
    with torch.no_grad(), evaluating(model, reference):
        _, calls = record_calls(lambda: model(**batch.model_inputs), batch.source.positions)
        with evaluating(*(call.model for call in calls)):
            tested = call_model(model, batch, visible, tolerance, reference)
            try:
                return _test(tested, samples, probes, np.random.default_rng(seed))
            except WrongAnswer as error:
                if hint := _explain_by_record(tested):
                    raise WrongAnswer(error.requirement, f"{error.fact}; {hint}") from None
                raise


def _test(tested: SelfTestCall, samples: int, probes: int, random: np.random.Generator) -> SelfTest:
    """Test isolation, then equality, then what equality distinguishes."""
    source = tested.source
    chosen = choose_samples(source, samples, random)
    changes = choose_changes(source, chosen, probes, tested.visible, random)
    movements = [check_isolation(tested, changed) for changed in changes]
    if movements and not any(moved for _, moved in movements):
        raise WrongAnswer("self test", "no output moved when tokens were changed: the model does not read input_ids")
    results = {sample: compare_sample(tested, sample) for sample in chosen}
    no_derivative = check_derivatives(tested, chosen, random)
    lengths = {s: len(positions_of_sample(source, s)) for s, result in results.items() if not result.why_not}
    reasons = [result.why_not for result in results.values() if result.why_not]
    reach = _check_reach(tested, lengths)
    if lengths:
        _check_position_ids(tested)
    reasons += reach.why_not
    ids = tested.position_ids
    if ids.dim() == 3 and bool((ids == ids[:1]).all()):
        reasons += [f"{len(ids)} dimensions of position ids: on this batch all are equal"]
    refused = isinstance(tested.architecture, str) and tested.architecture != ""
    if refused:
        reasons += [f"windows of the model, which is not understood: {tested.architecture}"]
    return SelfTest(
        forbidden=max((forbidden for forbidden, _ in movements), default=0.0),
        apart=max((result.apart for result in results.values()), default=0.0),
        probes=len(movements),
        samples=len(chosen),
        compared=len(lengths) + reach.more,
        longest=reach.longest,
        window=reach.window,
        not_compared=tuple(dict.fromkeys([*reasons, *reach.undecided, *no_derivative])),
        understood=not refused,
        derivative=not no_derivative,
        telling=not any(item.startswith((NO_CONTEXT, NO_WINDOW)) for item in reach.undecided),
    )


class _CheckedReach(NamedTuple):
    """What was seen of the window of a model.

    Parameters
    ----------
    longest : int
        Tokens of the longest sample that was compared.
    window : int or None
        Smallest window of the model.
    more : int
        Number of samples that were made for the comparison.
    undecided, why_not : sequence of str
        What the comparison does not distinguish, and why something was not compared.
    """

    longest: int
    window: int | None
    more: int = 0
    undecided: Sequence[str] = ()
    why_not: Sequence[str] = ()


def _check_reach(tested: SelfTestCall, lengths: Mapping[int, int]) -> _CheckedReach:
    """Compare the longest sample under other contexts and windows, or a longer one if it fits into the window."""
    window = tested.window
    if not lengths:
        return _CheckedReach(0, window)
    sample = max(lengths, key=lambda sample: lengths[sample])
    longest, undecided = lengths[sample], [*_check_context(tested, sample)]
    if window is None:
        return _CheckedReach(longest, window, undecided=undecided)
    if longest > window:
        return _CheckedReach(longest, window, undecided=[*undecided, *compare_other_windows(tested, sample)])
    long = compare_long_sample(tested)
    why_not = [long.why_not] if long.why_not else []
    undecided += long.undecided
    return _CheckedReach(max(longest, long.tokens), long.window, int(bool(long.tokens)), undecided, why_not)


def _explain_by_record(tested: SelfTestCall) -> str:
    """Return why the model's record suggests that it is wrong; empty if it does not."""
    if isinstance(tested.architecture, str):
        return tested.architecture
    if tested.visible == "causal" and not tested.architecture.causal:
        fact = f"the masks of {tested.architecture.model} are bidirectional"
        return f'{fact}: pass visible="mask" if those of the samples are meant to be'
    return ""


def _check_block_lists(batch: TrainingBatch) -> None:
    """Check the lists of a BlockMask, or of each in a mapping, against the rows of its table."""
    masks = batch.attention_mask
    if isinstance(masks, BlockMask) and len(batch.tables) < 2:
        masks = {"": masks}
    if isinstance(masks, Mapping):
        default = next(iter(batch.tables.values()), Reach())
        for name, mask in masks.items():
            check_blocks(batch.cut(batch.tables.get(name, default)), lists_of(mask), 0, batch.block_size)


def _check_attention(model: Model, batch: TrainingBatch) -> None:
    """Check that the model runs the attention for which the batch was made."""
    name = getattr(getattr(model, "config", None), "_attn_implementation", None)
    name = name.removeprefix(REGISTERED) if isinstance(name, str) else name
    if name is not None and name != IMPLEMENTATIONS.get(batch.attention, batch.attention):
        fact = f"the batch was made for {batch.attention}, the model runs {name!r}"
        load = f"load the model with attn_implementation={IMPLEMENTATIONS.get(batch.attention)!r}"
        remedy = f"{'call use_varlen_attention(model)' if batch.attention == 'varlen' else load} or collate again"
        raise WrongAnswer("attention", f"{fact}; {remedy}")


def _check_position_ids(tested: SelfTestCall) -> None:
    """Check the position ids that the transformers model inside is given, even if logits move by less than rounding."""
    if isinstance(tested.call, str) or tested.source.positions > MAX_DENSE:
        return
    called = tested.call.inputs.get("position_ids")
    first = tested.architecture.first_position if isinstance(tested.architecture, Architecture) else 0
    if called is not None and have_same_ids(called, tested.position_ids + first):
        return
    tolerance = tested.tolerance_in(tested.call.outputs, tested.call.dtype)
    fault, _ = compare_position_ids(check_call(tested.batch, tested.call), tolerance, 4 * tested.noise)
    if fault is not None:
        raise WrongAnswer("positions", f"{fault.message}; {fault.remedy}")


def _check_context(tested: SelfTestCall, sample: int) -> list[str]:
    """Return that the logits of a sample do not show whether it has its context, in a list; an empty list if they do.

    All its tokens but the last are changed: the last token's logits have to move by more than the tolerance.
    """
    positions = positions_of_sample(tested.source, sample)
    context = np.setdiff1d(positions[:-1], positions[-1:])
    if not len(context):
        return []
    index = torch.from_numpy(context).to(tested.batch.device)
    moved = row_distances(tested.run(input_ids=tested.change_tokens(index)), tested.logits)[positions[-1]]
    allowed = tested.tolerance_in(tested.logits, tested.precision(tested.logits))
    if moved > allowed:
        return []
    fact = f"with other tokens before it the last token's logits move by {moved:.3g} only"
    return [f"{NO_CONTEXT}: {fact}, and {allowed:.3g} may be rounding"]
