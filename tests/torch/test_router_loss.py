"""The auxiliary loss of a mixture of experts over a merged batch is the one over the separate samples."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

from masksynth.torch import Collator, packed_loss, use_registered_attention
from masksynth.torch.join_batches import without_samples
from masksynth.torch.token_weights import count_samples, weigh_tokens
from tests.torch import trie
from tests.torch.model_zoo import EXACT, make_model
from tests.torch.models import furthest, gradients
from tests.torch.zoo_comparison import TOLERANCE, DoublePrecision, zoo_samples

ROUTED = {
    name: EXACT[name]
    for name in (
        "Mixtral",
        "Mixtral, window",
        "Qwen2-MoE, windows",
        "Qwen3-MoE",
        "GraniteMoE",
        "OLMoE",
        "GPT-OSS, windows and sinks",
    )
}
COEFFICIENT = 0.3


def padded_rows(samples):
    """The live tokens of each sample in a row, with their two-dimensional mask."""
    rows = [sample["input_ids"][: trie.live(sample)] for sample in samples]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "use_cache": False}


def losses(model, batch, inputs):
    """The auxiliary loss of a call, its gradients with those of the language-model loss, and of the rows' own run."""
    with DoublePrecision():
        output = model(**batch.model_inputs, output_router_logits=True)
        total = packed_loss(output.logits, batch) + COEFFICIENT * output.aux_loss
        own = model(**inputs, output_router_logits=True).aux_loss
        alone = packed_loss(model(**batch.model_inputs).logits, batch) + COEFFICIENT * own
    return output.aux_loss, own, gradients(model, total), gradients(model, alone)


@pytest.mark.parametrize("name", ROUTED)
def test_counts_each_token_of_each_sample(name):
    samples = zoo_samples()
    for kind in ROUTED[name].attention:
        model = make_model(ROUTED[name], kind)
        batch = Collator(model=model)(trie.packed(samples))
        ours, own, gradient, expected = losses(model, batch, padded_rows(samples))
        assert abs(ours - own) < TOLERANCE
        assert furthest(gradient, expected) < TOLERANCE * max(part.abs().max() for part in expected)


def test_merged_positions_counted_once_would_be_another_loss():
    """Why the positions are weighted."""
    samples, model = zoo_samples(), make_model(EXACT["Mixtral"], "sdpa")
    batch = Collator(model=model)(trie.packed(samples))
    once = {**batch.model_inputs, "attention_mask": weigh_tokens(batch.attention_mask, torch.ones(69))}
    own = model(**padded_rows(samples), output_router_logits=True).aux_loss
    assert abs(model(**once, output_router_logits=True).aux_loss - own) > 1e-3


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_a_registered_attention_has_it_too(kind):
    samples = zoo_samples()
    model = use_registered_attention(make_model(EXACT["Qwen2-MoE, windows"], kind))
    batch = Collator(model=model)(trie.packed(samples))
    ours, own, gradient, expected = losses(model, batch, padded_rows(samples))
    assert abs(ours - own) < TOLERANCE
    assert furthest(gradient, expected) < TOLERANCE * max(part.abs().max() for part in expected)


def test_the_configs_own_switch():
    """As trainers turn it on."""
    samples = zoo_samples()
    model = make_model(EXACT["Qwen3-MoE"].with_settings(output_router_logits=True), "sdpa")
    batch = Collator(model=model)(trie.packed(samples))
    assert abs(model(**batch.model_inputs).aux_loss - model(**padded_rows(samples)).aux_loss) < 1e-6


def test_filling_and_several_batches():
    """Positions that only fill the sequence count nothing; batches laid end to end count as their union."""
    samples = zoo_samples()
    model = make_model(EXACT["OLMoE"], "sdpa")
    batch = Collator(model=model, multiple=32)([trie.packed(samples[:3]), trie.packed(samples[3:])])
    assert len(batch.input_ids) == 96
    ours, own, *_ = losses(model, batch, padded_rows(samples))
    assert abs(ours - own) < TOLERANCE


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_one_sample_a_row_has_it_too(kind):
    samples = zoo_samples()
    model = make_model(EXACT["GraniteMoE"], kind)
    ours, own, *_ = losses(model, Collator(model=model, merge=False)(trie.packed(samples)), padded_rows(samples))
    assert abs(ours - own) < TOLERANCE


@pytest.mark.parametrize("merge", [True, False])
def test_a_silent_batch_has_a_finite_one(merge):
    """A mean over no token would be NaN, and reach the gradients of every rank."""
    model = make_model(EXACT["Mixtral"], "sdpa")
    batch = Collator(model=model, merge=merge)(without_samples(trie.packed(zoo_samples())))
    output = model(**batch.model_inputs, output_router_logits=True)
    assert packed_loss(output.logits, batch) == 0
    assert torch.isfinite(output.aux_loss)


def test_dense_models_get_plain_masks():
    model = make_model(EXACT["Llama"], "sdpa")
    batch = Collator(model=model)(trie.packed(zoo_samples()))
    assert type(batch.model_inputs["attention_mask"]) is torch.Tensor


def test_the_weighted_mask_is_a_mask():
    """All that is computed from it is plain; the batch travels without it."""
    mask = torch.tril(torch.ones(1, 1, 3, 3)).bool()
    weighted = weigh_tokens(mask, torch.tensor([3, 1, 2]))
    assert type(mask) is torch.Tensor
    assert type(weighted[:, :1]) is type(~weighted) is type(weighted.to(torch.float64)) is torch.Tensor
    assert torch.equal(weighted.reshape(9), mask.reshape(9))
    assert weighted.reshape(-1).tolist() == [3, 1, 2]
    batch = Collator(model=make_model(EXACT["Mixtral"], "sdpa"))(trie.packed(zoo_samples()))
    assert batch.model_inputs["attention_mask"].reshape(-1).sum() == sum(trie.live(one) for one in zoo_samples())
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again.model_inputs["attention_mask"].reshape(-1), count_samples(batch.source))


def test_counts():
    batch = trie.packed(zoo_samples())
    samples = [batch.sample_position[a:b].tolist() for a, b in pairwise(batch.sample_offset)]
    expected = [sum(position in sample for sample in samples) for position in range(batch.positions)]
    assert count_samples(batch).tolist() == expected
    assert np.sum(expected) == len(batch.sample_position)
