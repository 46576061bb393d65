"""Losses over loss edges against loops over samples: values, gradients, chunks, divisors; GRPO and DPO.

Two real ranks.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid

from masksynth.errors import InvalidInstance
from masksynth.torch import Collator, loss_divisor, packed_loss, sample_logprobs, total_weight
from masksynth.torch.loss_edges import edge_logprobs
from tests.torch import ranks, trie
from tests.torch.models import furthest, gpt2, gradients, separate_logprobs, separate_loss

ROLLOUTS, PAIRS = trie.rollouts(), trie.pairs()
BATCH = Collator()(trie.packed(ROLLOUTS))
CLASSES, EXACT = 40, 1e-11


def logits_of(dtype=torch.float64, rows=None, seed=0):
    random = torch.Generator().manual_seed(seed)
    size = len(BATCH.input_ids) if rows is None else rows
    return (3 * torch.randn(1, size, CLASSES, generator=random, dtype=torch.float64)).to(dtype).requires_grad_()


def loop(logits):
    """One cross entropy per edge."""
    return torch.stack(
        [
            weight * cross_entropy(logits[0, position], label)
            for position, label, weight in zip(BATCH.loss_position, BATCH.loss_label, BATCH.loss_weight, strict=True)
        ]
    )


@pytest.mark.parametrize("chunk", [None, 1, 7, 1000])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_terms_and_gradients(dtype, chunk):
    logits = logits_of(dtype)
    wide = logits.detach().double().requires_grad_()
    found = packed_loss(logits, BATCH, "none", chunk=chunk)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    upstream = torch.linspace(-1, 2, len(found), dtype=torch.float64)
    (found.double() * upstream).sum().backward()
    (loop(wide) * upstream).sum().backward()
    close = 1e-12 if dtype == torch.float64 else 1e-5
    assert torch.allclose(found.double(), loop(wide), rtol=close, atol=close)
    rounding = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    assert logits.grad.dtype == dtype
    assert ((logits.grad.double() - wide.grad).abs() <= rounding * (0.01 + wide.grad.abs())).all()


def test_gradcheck():
    rows = len(BATCH.loss_place)
    small = logits_of(rows=rows)
    assert torch.autograd.gradcheck(
        lambda z: edge_logprobs(z, BATCH, 5), small.detach()[..., :CLASSES].requires_grad_(), fast_mode=True
    )


def test_no_array_of_edges_times_classes():
    """Memory: many edges at one position add rows of nothing."""
    samples = [trie.sample(str(i), "g", [1, 2], [i]) for i in range(400)]
    batch = Collator()(trie.packed(samples))
    assert (len(batch.loss_place), len(batch.loss_label)) == (1, 400)
    logits = torch.randn(1, len(batch.input_ids), 50_000, requires_grad=True)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            nonlocal largest
            result = function(*arguments, **(options or {}))
            largest = max(largest, result.numel() if isinstance(result, torch.Tensor) else 0)
            return result

    with Watch():
        packed_loss(logits, batch).backward()
    assert largest <= logits.numel()


def test_reductions():
    logits = logits_of()
    total = loop(logits).sum()
    assert (packed_loss(logits, BATCH) - total).abs() < EXACT * total
    assert (packed_loss(logits, BATCH, "mean") - total / BATCH.loss_weight.sum()).abs() < EXACT
    assert (packed_loss(logits, BATCH, "mean", divisor=8.0) - total / 8).abs() < EXACT * total
    assert (packed_loss(logits[0], BATCH) - total).abs() < EXACT * total
    assert packed_loss(logits[:, BATCH.loss_place], BATCH) == packed_loss(logits, BATCH)
    assert packed_loss(torch.tensor([[[1e4, 0.0]]]).expand(1, len(BATCH.input_ids), -1), binary()).isfinite()


def binary():
    return Collator()(trie.packed([{**one, "labels": [min(label, 1) for label in one["labels"]]} for one in ROLLOUTS]))


def test_accumulation_is_one_step():
    """The divisor of several batches is their weight, not the mean of their means."""
    model = gpt2()
    batches = [Collator()(trie.packed(part)) for part in (ROLLOUTS[:3], ROLLOUTS[3:4], ROLLOUTS[4:])]
    divisor = loss_divisor(batches)
    assert divisor == total_weight(batches) == pytest.approx(sum(b.weight for b in batches))
    model.zero_grad()
    for batch in batches:
        packed_loss(model(**batch.model_inputs).logits, batch, "mean", divisor).backward()
    found = [parameter.grad.clone() for parameter in model.parameters()]
    expected = gradients(model, separate_loss(model, ROLLOUTS) / divisor)
    assert furthest(found, expected) < EXACT
    own = sum(packed_loss(model(**batch.model_inputs).logits, batch, "mean") for batch in batches) / len(batches)
    assert furthest(gradients(model, own), expected) > 1e-3


@pytest.mark.slow
def test_two_ranks_step_like_one(tmp_path):
    """Real processes, gloo and DistributedDataParallel: uneven shares, accumulation, one silent batch.

    Gradients of the complete mean.
    """
    parts = [ROLLOUTS[:2], ROLLOUTS[2:7], ROLLOUTS[7:]]
    folder = trie.folder_of(tmp_path / "packed", [trie.packed(part) for part in parts])
    found, divisor = ranks.gradients_of_ranks(folder, tmp_path / "out")
    model = gpt2()
    weight = sum(one["weight"] * sum(label != -100 for label in one["labels"]) for one in ROLLOUTS)
    expected = gradients(model, separate_loss(model, ROLLOUTS) / weight)
    assert divisor == pytest.approx(weight / 2)
    assert furthest(found, expected) < EXACT


def test_sample_logprobs():
    model = gpt2()
    found = sample_logprobs(model(**BATCH.model_inputs).logits, BATCH)
    for number, alone in enumerate(separate_logprobs(model, ROLLOUTS)):
        assert (found.token[found.offset[number] : found.offset[number + 1]] - alone).abs().max() < EXACT
        assert (found.sample[number] - alone.sum()).abs() < EXACT


def clipped(new, old, advantages, low=0.2, high=0.3):
    """The clipped surrogate of each token."""
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)


def at_labels(one, name):
    return torch.tensor([one[name][i] for i, label in enumerate(one["labels"]) if label != -100], dtype=torch.float64)


def test_grpo():
    """Mean over each sample's tokens, then over samples: merged with ``fields``, separately in a loop."""
    model = gpt2()
    token, _, offset = sample_logprobs(model(**BATCH.model_inputs).logits, BATCH)
    old = token.detach() + 0.3 * BATCH.fields["old_logprobs"]
    terms = clipped(token, old, BATCH.fields["advantages"])
    merged = (terms / offset.diff()[BATCH.loss_sample]).sum() / len(BATCH.samples)
    separate = 0.0
    for one, new in zip(ROLLOUTS, separate_logprobs(model, ROLLOUTS), strict=True):
        before = new.detach() + 0.3 * at_labels(one, "old_logprobs")
        separate = separate + clipped(new, before, at_labels(one, "advantages")).mean() / len(ROLLOUTS)
    assert (merged - separate).abs() < EXACT
    assert furthest(gradients(model, merged), gradients(model, separate)) < EXACT


def test_dpo():
    """Chosen against rejected by sample index, the reference from ``fields``."""
    model, batch = gpt2(), Collator()(trie.packed(PAIRS))
    found = sample_logprobs(model(**batch.model_inputs).logits, batch).sample
    ref = torch.zeros_like(found).index_add(0, batch.loss_sample, batch.fields["ref_logprobs"])
    chosen = [i for i, name in enumerate(batch.samples) if name.endswith("/chosen")]
    rejected = [batch.samples.index(batch.samples[i].replace("chosen", "rejected")) for i in chosen]
    gain = found - ref
    merged = -logsigmoid(0.1 * (gain[chosen] - gain[rejected])).sum()
    alone = [
        part.sum() - at_labels(one, "ref_logprobs").sum()
        for one, part in zip(PAIRS, separate_logprobs(model, PAIRS), strict=True)
    ]
    separate = -sum(logsigmoid(0.1 * (alone[i] - alone[i + 1])) for i in range(0, len(alone), 2))
    assert (merged - separate).abs() < EXACT
    assert furthest(gradients(model, merged), gradients(model, separate)) < EXACT


def test_weights_may_be_negative_and_the_loss_differentiates_through_none():
    logits = logits_of()
    policy = -(
        log_softmax(logits[0, BATCH.loss_position], -1).gather(1, BATCH.loss_label[:, None])[:, 0]
        * BATCH.fields["advantages"]
    ).sum()
    found = -(edge_logprobs(logits, BATCH) * BATCH.fields["advantages"]).sum()
    assert (found - policy).abs() < EXACT
    assert furthest(torch.autograd.grad(found, logits), torch.autograd.grad(policy, logits)) < EXACT


@pytest.mark.parametrize(
    ("logits", "options", "text"),
    [
        (torch.zeros(1, 5, 40), {}, r"logits are float32 \[1, 5, 40\], the batch has \d+ positions, \d+ with labels"),
        (torch.zeros(2, len(BATCH.input_ids), 40), {}, r"logits are float32 \[2, "),
        (torch.zeros(len(BATCH.input_ids), 40, dtype=torch.int64), {}, "logits are int64"),
        (torch.zeros(len(BATCH.input_ids), 30), {}, "label 39 is not one of the 30 classes"),
        (logits_of(), {"reduction": "avg"}, "unknown reduction 'avg'"),
        (logits_of(), {"divisor": 2.0}, "a divisor of 2.0 with reduction 'sum'"),
        (logits_of(), {"reduction": "mean", "divisor": 0.0}, "sum to 0"),
        (
            torch.zeros(len(BATCH.input_ids), 40, device="meta"),
            {},
            r"logits are on meta, the batch is on cpu; use batch.to\('meta'\)",
        ),
        (logits_of(), {"chunk": 0}, "chunk: expected a positive number of rows, got 0"),
    ],
)
def test_refusals(logits, options, text):
    with pytest.raises(InvalidInstance, match=text):
        packed_loss(logits, BATCH, **options)
