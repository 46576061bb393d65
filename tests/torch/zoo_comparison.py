"""Compare training on a merged batch with the model's own runs of the separate samples."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.overrides import TorchFunctionMode

from masksynth import pack_batches
from masksynth.errors import Unsupported
from masksynth.torch import Architecture, Collator, packed_loss
from tests.torch import trie
from tests.torch.model_zoo import ENCODERS, EXACT, MIXING, RESERVED, VOCABULARY, make_model
from tests.torch.models import furthest, gradients

TOLERANCE = 1e-11
"""Of ``Apart``, where what models cast to float32 is kept in float64."""


class Apart(NamedTuple):
    """Differences between merged and separate training, each relative to the largest value of the separate run.

    Parameters
    ----------
    terms : float
        Of the log-probabilities of the labels.
    gradients : float
        Of the gradients of all parameters.
    """

    terms: float
    gradients: float


class DoublePrecision(TorchFunctionMode):
    """Within it, what a model casts to float32 (norms, softmax, rotary tables) stays in float64.

    Otherwise gradients of merged and separate runs agree to float32's rounding only: their sums have another order.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.float:
            func = Tensor.double
        args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        kwargs = {name: torch.float64 if value is torch.float32 else value for name, value in kwargs.items()}
        return func(*args, **kwargs)


class Outcome(NamedTuple):
    """What became of a model of the zoo.

    Parameters
    ----------
    architecture : Architecture or None
        Its record, unless it is refused.
    refusal : str or None
        The message.
    apart : Apart or None
        Merged against separate training, unless it is refused.
    """

    architecture: Architecture | None
    refusal: str | None
    apart: Apart | None

    @property
    def verdict(self) -> str:
        """Return "exact", the difference, or "refused"."""
        if self.apart is None:
            return "refused"
        return "exact" if max(self.apart) < TOLERANCE else f"differs by {max(self.apart):.1e}"


@cache
def compare_entry(name: str, attention: str) -> Outcome:
    """Return what becomes of a model of the zoo with the samples of its kind; each is run once."""
    model = make_model({**EXACT, **MIXING, **ENCODERS}[name], attention)
    samples = masked_samples() if name in ENCODERS else zoo_samples()
    packed = next(pack_batches(samples)) if name in ENCODERS else trie.packed(samples)
    try:
        collator = Collator(model=model)
    except Unsupported as error:
        return Outcome(None, str(error), None)
    return Outcome(collator.architecture, None, compare_training(model, collator(packed), samples))


def zoo_samples(seed: int = 0, vocabulary: int = VOCABULARY, prompt: int = 9) -> list[dict[str, Any]]:
    """Return two groups of three samples of 17 to 24 tokens that share a prompt, and two of them four tokens more.

    Windows of 5 and chunks of 8 end inside prompts, at branchings and inside answers. In the second group a part of the
    shared prompt is trained too.
    """
    random = np.random.default_rng(seed)
    samples = []
    for group in range(2):
        question = random.integers(RESERVED, vocabulary, prompt + 2 * group).tolist()
        begun = random.integers(RESERVED, vocabulary, 4).tolist()
        for number in range(3):
            tail = random.integers(RESERVED, vocabulary, int(random.integers(7, 10))).tolist()
            text = (begun if number else []) + tail
            sample = trie.sample(f"{group}/{number}", f"q{group}", question, text, 0.5 + number)
            if group:
                sample["labels"][6 : len(question)] = question[6:]
            samples.append(sample)
    return samples


def own_logprobs(model: torch.nn.Module, samples: list[dict[str, Any]]) -> list[Tensor]:
    """Return the log-probabilities of each sample's labels; it is run alone, with no mask or positions of ours."""
    logprobs = []
    for sample in samples:
        logits = model(input_ids=torch.tensor([sample["input_ids"]]), use_cache=False).logits[0]
        trained = torch.tensor([i for i, label in enumerate(sample["labels"]) if label != trie.IGNORED])
        labels = torch.tensor(sample["labels"])[trained]
        shift = 0 if any(segment.get("predict") == "self" for segment in sample.get("segments", ())) else 1
        logprobs.append(log_softmax(logits.double(), -1)[trained - shift, labels])
    return logprobs


def compare_training(
    model: torch.nn.Module, batch: Any, samples: list[dict[str, Any]], backward: bool = True, keep_double: bool = True
) -> Apart:
    """Return how far the batch's weighted log-probabilities and their gradients are from the separate samples'."""
    with torch.set_grad_enabled(backward), DoublePrecision() if keep_double else nullcontext():
        merged = packed_loss(model(**batch.model_inputs).logits, batch, "none")
        parts = own_logprobs(model, samples)
        separate = torch.cat([-s.get("weight", 1.0) * part for s, part in zip(samples, parts, strict=True)])
        terms = relative(merged.detach(), separate.detach())
        if not backward:
            return Apart(terms, 0.0)
        ours, theirs = gradients(model, merged.sum()), gradients(model, separate.sum())
    scale = max(gradient.abs().max().item() for gradient in theirs)
    return Apart(terms, furthest(ours, theirs) / scale)


def relative(a: Tensor, b: Tensor) -> float:
    """Return the largest difference as a part of the largest value of ``b``."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def masked_samples(seed: int = 0) -> list[dict[str, Any]]:
    """Return four samples of 9 to 14 tokens, two equal; every token sees all others, some are predicted."""
    random = np.random.default_rng(seed)
    samples = []
    for number in range(3):
        ids = random.integers(RESERVED, VOCABULARY, 14 - 2 * number).tolist()
        labels = [int(token) if random.random() < 0.4 else trie.IGNORED for token in random.integers(3, 60, len(ids))]
        segments = [{"length": len(ids), "within": "full", "predict": "self"}]
        samples.append({"id": number, "group": "g", "input_ids": ids, "labels": labels, "segments": segments})
    return [*samples, {**samples[1], "id": 3, "weight": 0.5}]


def document_samples(seed: int = 0) -> list[dict[str, Any]]:
    """Return three samples: a document that sees itself, a question that sees both; two have one document."""
    random = np.random.default_rng(seed)
    documents = [random.integers(RESERVED, VOCABULARY, 9).tolist() for _ in range(2)]
    samples = []
    for number, document in enumerate((documents[0], documents[0], documents[1])):
        question = random.integers(RESERVED, VOCABULARY, 7 + number).tolist()
        labels = [trie.IGNORED] * len(document) + question
        segments = [
            {"length": len(document), "within": "full", "predict": "self"},
            {"length": len(question), "within": "full", "predict": "self", "sees": [0]},
        ]
        ids = document + question
        samples.append({"id": number, "group": "g", "input_ids": ids, "labels": labels, "segments": segments})
    return samples


def visibility(sample: dict[str, Any]) -> Tensor:
    """Return which tokens of a sample see which, ``[n, n]``, from its segments, one after another."""
    segments = sample["segments"]
    ends = np.cumsum([segment["length"] for segment in segments])
    seen = torch.zeros(len(sample["input_ids"]), len(sample["input_ids"]), dtype=torch.bool)
    for number, (segment, end) in enumerate(zip(segments, ends, strict=True)):
        rows = slice(end - segment["length"], end)
        for other in (number, *segment.get("sees", ())):
            seen[rows, ends[other] - segments[other]["length"] : ends[other]] = True
    return seen
