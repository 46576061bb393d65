"""Batches made for a model: losses and gradients are those of the model's own run of each separate sample."""

from __future__ import annotations

import pytest

from masksynth.pack.packing import pack_batches
from masksynth.torch import Collator, packed_loss, use_registered_attention
from tests.torch import trie
from tests.torch.architectures import build, compare

SAMPLES = trie.rollouts(groups=2, answers=3, prompt=11, answer=9)
TIGHT = 1e-5
"""Rotary tables are float32 in every model, so losses in float64 agree to about 1e-6."""

DECODERS = {
    "gemma3": ("gemma3", {"sliding_window": 5, "head_dim": 8, "num_hidden_layers": 6}),
    "gemma2": ("gemma2", {"sliding_window": 5, "head_dim": 8, "attn_logit_softcapping": 3.0}),
    "mistral with a window": ("mistral", {"sliding_window": 5}),
    "mistral without": ("mistral", {"sliding_window": None}),
    "qwen2 with windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2}),
    "qwen2 without": ("qwen2", {"use_sliding_window": False, "sliding_window": 5}),
    "llama 4": ("llama4", {"attention_chunk_size": 5, "head_dim": 8, "intermediate_size_mlp": 32, "num_local_experts": 2}),
    "gpt-oss": ("gpt_oss", {"sliding_window": 5, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}),
}
ONLY_EAGER = ("gpt-oss", "gemma2")


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name, kind):
    architecture, changes = DECODERS[name]
    kind = "eager" if name in ONLY_EAGER else kind
    model = build(architecture, kind, **changes)
    [source] = pack_batches(SAMPLES)
    batch = Collator(model=model)([source])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, SAMPLES, terms)) < TIGHT


@pytest.mark.parametrize("name", ["gemma3", "mistral with a window", "llama 4"])
def test_the_stored_rows_alone_are_wrong(name):
    """What the batch said before it knew the model: each layer with the whole row."""
    architecture, changes = DECODERS[name]
    model = build(architecture, **changes)
    [source] = pack_batches(SAMPLES)
    batch = Collator("sdpa")([source])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, SAMPLES, terms)) > 1e-3


@pytest.mark.parametrize("name", ["mistral with a window", "gemma3", "qwen2 with windows", "gpt-oss", "gemma2"])
def test_registered_attention(name):
    architecture, changes = DECODERS[name]
    model = build(architecture, "eager", **changes)
    [source] = pack_batches(SAMPLES)
    batch = Collator(model=use_registered_attention(model))([source])
    assert batch.mask_argument == "registered"
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, SAMPLES, terms)) < TIGHT
