"""Masks for each layer reach unmodified transformers models, and `check_model` sees it if they do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from masksynth.contracts.families import leave_one_out, windows
from masksynth.discover.as_answer import to_merged
from masksynth.discover.constructions import direct
from masksynth.discover.structure import Reads, Structure
from masksynth.errors import WrongAnswer
from masksynth.torch import (
    WrongModel,
    batch_of,
    check_model,
    layer_masks,
    self_test,
    structure_inputs,
    use_registered_attention,
)

N, REACH = 12, (1, 4, 12)
SHAPE = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}


def cyclic_hole():
    """Return n positions that each embed a token and predict the next one from both sides, by the definition."""
    contracts = leave_one_out(n=N, layers=3)
    contracts = replace(contracts, targets=tuple(replace(target, place="any") for target in contracts.targets))
    line = np.abs(np.arange(N)[:, None] - np.arange(N))
    circle, embeds = np.minimum(line, N - line), (np.arange(N) - 1) % N
    first = (circle[:, embeds] > 0) & (circle[:, embeds] <= REACH[0])
    second = (circle > REACH[0]) & (circle <= REACH[1] - REACH[0])
    reads = tuple(Reads.of_pairs(*np.nonzero(table), N) for table in (first, second, circle > REACH[1]))
    return contracts, to_merged(Structure(embeds, reads, np.arange(N)), contracts)[1]


def make(name, attention="sdpa"):
    """Return an unmodified model of three layers."""
    config = getattr(transformers, name.removesuffix("ForMaskedLM").removesuffix("ForCausalLM") + "Config")
    windows = {"global_attn_every_n_layers": 2, "local_attention": 4}
    more = SPECIAL | {
        "ModernBertForMaskedLM": windows,
        "Qwen3ForCausalLM": {"num_key_value_heads": 2, "head_dim": 8},
    }.get(name, {})
    torch.manual_seed(0)
    model = getattr(transformers, name)(config(**SHAPE, **more, attn_implementation=attention)).double().eval()
    return use_registered_attention(model)


@pytest.mark.parametrize("name", ["BertForMaskedLM", "ModernBertForMaskedLM", "LlamaForCausalLM", "Qwen3ForCausalLM"])
def test_no_prediction_depends_on_its_own_token(name):
    contracts, merged = cyclic_hole()
    inputs, model = structure_inputs(contracts, merged), make(name)
    embedded = {}
    model.get_input_embeddings().register_forward_hook(
        lambda module, given, out: embedded.setdefault("states", out.detach().requires_grad_())
    )
    tokens = inputs.embed(torch.randint(3, 39, (1, N)), 39)
    logits = model(input_ids=tokens, position_ids=inputs.position_ids[None], attention_mask=inputs.masks).logits
    for label, position in zip(inputs.label.tolist(), inputs.target.tolist(), strict=True):
        (gradient,) = torch.autograd.grad(logits[0, position, 3], embedded["states"], retain_graph=True)
        moved = gradient[0].abs().sum(dim=-1)
        assert moved[inputs.element == label].max() == 0
        assert moved[inputs.element != label].min() > 1e-8


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_check_of_models_knows_the_masks_of_layers(attention):
    _, merged = cyclic_hole()
    model, batch = make("BertForMaskedLM", attention), batch_of(merged)
    check_model(model, batch, layers=3, probes=N)
    tokens = torch.arange(N)[None]
    given = {"input_ids": tokens, "position_ids": batch.position_ids[None]}
    right = layer_masks(batch, attention, torch.float64)
    for wrong in (right.flip(1), right[:, :1], right[:, 1:2], right[:, [1, 0, 2]]):
        with pytest.raises(WrongModel):
            check_model(model, batch, inputs=dict(given, attention_mask=wrong), layers=3, probes=N)


def mix_all(module, given, out):
    """Add the mean over all positions to the states: a layer that mixes positions without the mask."""
    states = out[0] if isinstance(out, tuple) else out
    mixed = states + states.mean(dim=1, keepdim=True)
    return (mixed, *out[1:]) if isinstance(out, tuple) else mixed


@pytest.mark.parametrize("name", ["BertForMaskedLM", "LlamaForCausalLM"])
def test_a_prediction_needs_only_the_positions_that_it_depends_on(name):
    contracts = windows(n=9, w=3, layers=3)
    batch, model = batch_of(to_merged(direct(contracts), contracts)[1]), make(name)
    assert self_test(model, batch, samples=6)
    layer = model.model.layers[1] if name.startswith("Llama") else model.bert.encoder.layer[1]
    layer.register_forward_hook(mix_all)
    with pytest.raises(WrongAnswer, match="run alone"):
        self_test(model, batch, samples=6)
