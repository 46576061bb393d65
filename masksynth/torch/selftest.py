"""Does this model, called with this batch, train the samples and nothing else? Asked of the model itself, without knowing its insides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export.blocks import check_blocks
from masksynth.pack.batch import PackedBatch
from masksynth.torch.attention import lists_of
from masksynth.torch.edges import CHUNK
from masksynth.torch.flow import outputs_of
from masksynth.torch.joining import filled, without_samples
from masksynth.torch.packed import Collator, TrainingBatch
from masksynth.torch.sight import causal_mask, check_edges, check_rows, within, words_of

Model = Callable[..., Any]
IMPLEMENTATION = {"sdpa": "sdpa", "eager": "eager", "flex": "flex_attention"}
RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""By how much of the largest logit merged and separate logits may differ."""


class SelfTest(NamedTuple):
    """What a passed test compared.

    Parameters
    ----------
    forbidden : float
        The largest movement of an output that had to stay; 0 on deterministic kernels.
    apart : float
        The largest difference between merged and separate logits.
    probes, samples : int
        How many sets of tokens were changed, and how many samples were run separately.
    """

    forbidden: float
    apart: float
    probes: int
    samples: int


def self_test(
    model: Model,
    batch: TrainingBatch,
    samples: int = 4,
    probes: int = 4,
    seed: int = 0,
    visible: Literal["causal", "mask"] = "causal",
    tolerance: float | None = None,
) -> SelfTest:
    """Check that the model computes on the batch what it computes on the samples.

    1. The arrays: every row of a sample allows exactly the sample's tokens up to itself, and every label belongs to the token before it
       (``visible="causal"``); a BlockMask's lists are right; a Hugging Face model has the attention for which the batch was made.
    2. Isolation: a token is changed, and then everything outside a sample (outside its first tokens). Only outputs that the mask lets
       depend on the change, through any number of layers, may move.
    3. Equality: the logits at all live tokens of some samples equal those of the sample run alone.

    Runs without gradients and in evaluation mode, about 2 + probes + 2 samples forward passes.

    Parameters
    ----------
    model : callable
        Takes the keywords of ``batch.model_inputs``; returns logits ``[1, N, V]`` or ``[N, V]`` or something with ``.logits``. All that
        stands between the batch and the logits should be part of it.
    batch : TrainingBatch
        On the model's device.
    samples, probes : int
        How many samples to run separately, and how many single tokens to change.
    seed : int
    visible : {"causal", "mask"}
        What a sample sees when run alone: all its tokens before, or (samples with their own visibility) what the mask says. With "mask",
        context that the mask lacks is not noticed.
    tolerance : float, optional
        Largest allowed difference of logits in 3, as a part of the largest logit; by default 1e-9 in float64, 1e-4 in float32, 1e-2 in
        float16, 5e-2 in bfloat16.

    Raises
    ------
    WrongAnswer
        With a witness: which output moved or differs, and why it must not.
    InvalidInstance
        If the outputs are not one row of logits per position.

    Examples
    --------
    >>> from masksynth.torch.joining import example_batch
    >>> batch, table = Collator()([example_batch()]), torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    >>> def model(input_ids, position_ids, attention_mask, use_cache):
    ...     return torch.einsum("qk,kv->qv", attention_mask[0, 0].float(), table[input_ids[0]])
    >>> self_test(model, batch).forbidden
    0.0
    >>> self_test(lambda attention_mask, **inputs: model(attention_mask=attention_mask | True, **inputs), batch)
    Traceback (most recent call last):
    WrongAnswer: leak: the logits at position 0 (token 0 of sample 'a') moved by 1.93 when the token at position 2 was changed ...
    """
    if visible not in ("causal", "mask"):
        raise InvalidInstance(f"visible {visible!r} is unknown", "", 'use "causal" or "mask"')
    _check_arrays(batch, visible)
    _check_kind(model, batch)
    random = np.random.default_rng(seed)
    offset = batch.source.sample_offset
    chosen = random.permutation(np.flatnonzero(np.diff(offset)))[:samples].tolist()
    with torch.no_grad(), evaluating(model):
        logits = _logits(model, batch.model_inputs, batch.source.positions)
        moved = [_isolated(model, batch, logits, which) for which in _changes(batch.source, chosen, probes, visible, random)]
        apart = [_equal(model, batch, logits, sample, visible, tolerance) for sample in chosen]
    if moved and not any(some for _, some in moved):
        raise WrongAnswer("self test", "no output moved when tokens were changed: the model does not read input_ids")
    return SelfTest(max((most for most, _ in moved), default=0.0), max(apart, default=0.0), len(moved), len(apart))


def _check_arrays(batch: TrainingBatch, visible: str) -> None:
    source = batch.source
    if isinstance(mask := batch.attention_mask, BlockMask):
        check_blocks(source.mask, lists_of(mask), 0, batch.block_size)
    if visible == "causal":
        check_rows(source)
        check_edges(source)


def _check_kind(model: Model, batch: TrainingBatch) -> None:
    found = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if found is not None and found != IMPLEMENTATION[batch.attention]:
        remedy = f"load the model with attn_implementation={IMPLEMENTATION[batch.attention]!r}"
        raise WrongAnswer("attention", f"the batch was made for {batch.attention}, the model runs {found!r}; {remedy} or collate anew")


def _changes(source: PackedBatch, chosen: list[int], probes: int, visible: str, random: np.random.Generator) -> list[NDArray[np.bool_]]:
    """The sets of positions to change: single ones, and all but a sample, or but the first tokens of one."""
    found = [np.arange(source.positions) == p for p in random.permutation(source.positions)[:probes]]
    for sample in chosen:
        tokens = source.sample_position[source.sample_offset[sample] : source.sample_offset[sample + 1]]
        kept = tokens[: random.integers(1, len(tokens) + 1)] if visible == "causal" else tokens
        found.append(~np.isin(np.arange(source.positions), kept))
    return [which for which in found if which.any()]


def _isolated(model: Model, batch: TrainingBatch, logits: Tensor, which: NDArray[np.bool_]) -> tuple[float, bool]:
    """(largest movement where nothing may move, whether anything moved) after changing the tokens of a set of positions."""
    source, may = batch.source, outputs_of(batch.source.mask, which, None)
    inputs = batch.model_inputs
    other = inputs["input_ids"].clone()
    other[0, torch.from_numpy(np.flatnonzero(which)).to(other.device)] = _others(batch.input_ids, logits.shape[-1])[
        torch.from_numpy(which).to(other.device)
    ]
    moved = distance(_logits(model, {**inputs, "input_ids": other}, source.positions), logits)
    forbidden = np.where(may, 0.0, moved)
    if forbidden.max() > 0 and forbidden.max() > 4 * _noise(model, batch, logits):
        at = int(np.argmax(forbidden))
        single = int(np.flatnonzero(which)[0]) if which.sum() == 1 else None
        what = (
            f"the token at {words_of(source, single)} was" if single is not None else f"{int(which.sum())} tokens that it must not see were"
        )
        raise WrongAnswer("leak", f"the logits at {words_of(source, at)} moved by {forbidden[at]:.3g} when {what} changed")
    return float(forbidden.max()), bool(moved.max() > 0)


def _equal(model: Model, batch: TrainingBatch, logits: Tensor, sample: int, visible: str, tolerance: float | None) -> float:
    """Largest difference between the merged logits of a sample's live tokens and those of the sample alone."""
    source = batch.source
    tokens = source.sample_position[source.sample_offset[sample] : source.sample_offset[sample + 1]]
    tokens = tokens if visible == "causal" else np.unique(tokens)
    inputs = _alone(model, batch, tokens, visible)
    alone = _logits(model, inputs, inputs["input_ids"].shape[1])[: len(tokens)]
    apart = distance(alone, logits[torch.from_numpy(tokens).to(logits.device)])
    scale = max(1.0, float(alone.abs().max()))
    at = int(np.argmax(apart))
    if not apart[at] <= (RELATIVE[logits.dtype] if tolerance is None else tolerance) * scale:
        fact = f"the logits at {words_of(source, int(tokens[at]), int(source.sample_offset[sample]) + at if visible == 'causal' else None)}"
        raise WrongAnswer("logits", f"{fact} differ by {apart[at]:.3g} from those of the sample alone (largest logit {scale:.3g})")
    return float(apart[at])


def _alone(model: Model, batch: TrainingBatch, tokens: NDArray[np.int64], visible: str) -> dict[str, Any]:
    """The inputs of one sample. A Hugging Face model gets no mask of ours where its own default is the truth.

    For flex the sample is filled up to N positions, each of which sees itself, so that the compiled kernel serves both.
    """
    source, size = batch.source, len(tokens)
    positions = source.position_ids[tokens]
    if visible == "causal" and batch.attention != "flex" and hasattr(model, "config") and np.array_equal(positions, np.arange(size)):
        return {"input_ids": torch.from_numpy(source.input_ids[tokens]).to(batch.device)[None], "use_cache": False}
    own = causal_mask(size) if visible == "causal" else within(source.mask, tokens)
    spare = source.positions - size if batch.attention == "flex" else 0
    tokens_only = replace(without_samples(source), input_ids=source.input_ids[tokens], position_ids=positions, mask=own, keys={})
    return Collator(batch.attention, batch.dtype, batch.block_size)(filled(tokens_only, spare)).to(batch.device).model_inputs


def _logits(model: Model, inputs: dict[str, Any], size: int) -> Tensor:
    found = model(**inputs)
    logits = getattr(found, "logits", found)
    if not isinstance(logits, Tensor) or tuple(logits.shape[:-1]) not in ((size,), (1, size)):
        what = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InvalidInstance(f"the model returns {what}, the sequence has {size} positions", "", f"return logits [1, {size}, V]")
    return logits.reshape(size, -1)


def _others(tokens: Tensor, classes: int) -> Tensor:
    """For each token a different one, of the batch's own tokens where it has two."""
    used, slot = torch.unique(tokens, return_inverse=True)
    return used[(slot + 1) % len(used)] if len(used) > 1 else (tokens + 1) % classes


def distance(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """The largest difference in each row; a NaN on one side only counts as infinite."""
    rows = max(1, CHUNK // max(1, a.shape[-1]))
    parts = [_apart(a[i : i + rows], b[i : i + rows]) for i in range(0, len(a), rows)]
    result: NDArray[np.float64] = torch.cat(parts).cpu().numpy()
    return result


def _apart(a: Tensor, b: Tensor) -> Tensor:
    apart = (a.double() - b.double()).abs()
    apart[a == b] = 0
    return apart.nan_to_num(nan=float("inf")).amax(-1)


def _noise(model: Model, batch: TrainingBatch, logits: Tensor) -> float:
    """How much the outputs differ between two equal runs."""
    return float(distance(_logits(model, batch.model_inputs, batch.source.positions), logits).max())


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode; afterwards every module is in the mode that it was in."""
    modules = list(model.modules()) if isinstance(model, torch.nn.Module) else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training
