"""Merged training of real models is separate training: logits, loss, gradients, each kind of attention.

What goes wrong otherwise.
"""

from __future__ import annotations

import pytest
import torch

from masksynth.torch import Collator, packed_loss
from tests.torch import trie
from tests.torch.models import furthest, gpt2, gradients, rotary, separate_logprobs, separate_loss

DATA = {"rollouts": trie.rollouts(), "calls": trie.calls(), "pairs": trie.pairs()}
EXACT, SINGLE, SEEN = 1e-11, 2e-5, 1e-3


def compared(model, samples, batch):
    """Largest differences of label log-probabilities, loss and gradients, relative to the largest value of each."""
    logits = model(**batch.model_inputs).logits
    terms = packed_loss(logits, batch, "none")
    alone = separate_logprobs(model, samples)
    expected = torch.cat([-one["weight"] * part for one, part in zip(samples, alone, strict=True)])
    ours, theirs = gradients(model, terms.sum()), gradients(model, separate_loss(model, samples))
    scale = max(gradient.abs().max().item() for gradient in theirs)
    return (
        (terms - expected).abs().max().item(),
        abs(1 - (terms.sum() / expected.sum()).item()),
        furthest(ours, theirs) / scale,
    )


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DATA)
def test_gpt2_in_double_precision(name, kind):
    batch = Collator(kind, dtype=torch.float64)(trie.packed(DATA[name]))
    assert max(compared(gpt2(kind), DATA[name], batch)) < EXACT


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "qwen"])
def test_rotary_models(name, kind):
    batch = Collator(kind)(trie.packed(DATA["rollouts"]))
    assert max(compared(rotary(name, kind), DATA["rollouts"], batch)) < SINGLE


def test_batches_laid_end_to_end_do_not_see_one_another():
    samples = [one for data in DATA.values() for one in data]
    batch = Collator()([trie.packed(data) for data in bare(DATA.values())])
    assert len(batch.samples) == len(samples)
    assert max(compared(gpt2(), samples, batch)) < EXACT


def bare(data):
    """The samples without token fields, so that batches of all data join."""
    return [[{k: v for k, v in one.items() if k not in trie.FIELDS} for one in samples] for samples in data]


def test_logits_at_labelled_positions_only():
    """Hugging Face models compute the requested rows; the loss takes them as they are."""
    batch, model = Collator()(trie.packed(DATA["calls"])), gpt2()
    everything = packed_loss(model(**batch.model_inputs).logits, batch)
    rows = model(**batch.model_inputs, logits_to_keep=batch.loss_place).logits
    assert rows.shape[1] == len(batch.loss_place) < len(batch.input_ids)
    assert (packed_loss(rows, batch) - everything).abs() < EXACT
    assert furthest(gradients(model, packed_loss(rows, batch)), gradients(model, everything)) < EXACT


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_flex_without_gradients():
    """Compiled FlexAttention has no backward pass on a CPU; forward it reads the BlockMask."""
    torch._dynamo.reset()  # a second length makes torch's CPU code generator fail
    batch = Collator("flex")(trie.packed(DATA["rollouts"]))
    with torch.no_grad():
        found = packed_loss(rotary("llama", "flex_attention")(**batch.model_inputs).logits, batch, "none")
        alone = separate_logprobs(rotary("llama"), DATA["rollouts"])
    expected = torch.cat([-one["weight"] * part for one, part in zip(DATA["rollouts"], alone, strict=True)])
    assert (found - expected).abs().max() < SINGLE


WRONG = {
    "no position ids": lambda inputs: {**inputs, "position_ids": None},
    "no mask": lambda inputs: {**inputs, "attention_mask": None},
    "causal over the merged order": lambda inputs: {**inputs, "attention_mask": None, "position_ids": None},
    "everything seen": lambda inputs: {**inputs, "attention_mask": inputs["attention_mask"] | True},
}


@pytest.mark.parametrize("name", WRONG)
def test_the_comparison_sees_what_goes_wrong(name):
    batch, model = Collator()(trie.packed(DATA["rollouts"])), gpt2()
    logits = model(**WRONG[name](batch.model_inputs)).logits
    assert (packed_loss(logits, batch) - separate_loss(model, DATA["rollouts"])).abs() > SEEN


def test_shifted_labels_are_another_loss():
    """Why there are loss edges: the next position is another branch's token.

    And a position before a branch has several labels.
    """
    batch, model = Collator()(trie.packed([{**one, "weight": 1.0} for one in DATA["rollouts"]])), gpt2()
    labels = torch.full_like(batch.input_ids, -100)
    inside = batch.loss_place[batch.loss_place + 1 < len(labels)] + 1
    labels[inside] = batch.input_ids[inside]
    shifted = model(**batch.model_inputs, labels=labels[None]).loss
    assert (packed_loss(model(**batch.model_inputs).logits, batch, "mean") - shifted).abs() > SEEN
