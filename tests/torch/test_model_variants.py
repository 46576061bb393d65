"""Other windows, other samples and other ways to batch: merged training stays separate training."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from masksynth import pack_batches
from masksynth.errors import Unsupported
from masksynth.torch import Collator, architecture_of_config, packed_loss, read_architecture, use_registered_attention
from tests.torch import trie
from tests.torch.model_zoo import ENCODERS, EXACT, MIXING, RESERVED, VOCABULARY, WINDOW, make_model
from tests.torch.models import furthest, gradients
from tests.torch.zoo_comparison import (
    TOLERANCE,
    DoublePrecision,
    compare_training,
    document_samples,
    masked_samples,
    relative,
    visibility,
    zoo_samples,
)

SAMPLES = zoo_samples()
CAST = 1e-5
"""Rounding of casts to float32."""
LONGEST = max(len(sample["input_ids"]) for sample in SAMPLES)
SIZES = {
    "Mistral, window": "sliding_window",
    "Gemma 3, windows": "sliding_window",
    "Llama 4, chunks": "attention_chunk_size",
    "GPT-OSS, windows and sinks": "sliding_window",
}


def apart(model, samples, *packed, **settings):
    batch = Collator(model=model, **settings)(list(packed) or trie.packed(samples))
    return max(compare_training(model, batch, samples))


@pytest.mark.parametrize("size", [1, 2, 7, LONGEST - 1, LONGEST, LONGEST + 1, 1000])
@pytest.mark.parametrize("name", SIZES)
def test_other_windows_and_chunks(name, size):
    """From a token that sees only itself to windows that end beyond every sample."""
    model = make_model(EXACT[name].with_settings(**{SIZES[name]: size}), EXACT[name].attention[0])
    assert apart(model, SAMPLES) < TOLERANCE


@pytest.mark.parametrize("half", [0, 1, 2, 6, 20])
def test_other_windows_of_an_encoder(half):
    entry, samples = ENCODERS["ModernBERT, windows"], masked_samples()
    model = make_model(entry.with_settings(local_attention=2 * half), "sdpa")
    assert apart(model, samples, *pack_batches(samples)) < TOLERANCE


JOINED = ["Mistral, window", "Gemma 3, windows", "Llama 4, chunks", "GPT-2", "ModernBERT, windows"]


@pytest.mark.parametrize("name", JOINED)
def test_several_batches_and_filling(name):
    """Batches laid end to end see nothing of one another; filling sees itself only."""
    entry = {**EXACT, **ENCODERS}[name]
    samples = masked_samples() if name in ENCODERS else SAMPLES
    for settings in ({}, {"multiple": 16}, {"multiple": 128}):
        half = len(samples) // 2
        packed = [batch for part in (samples[:half], samples[half:]) for batch in pack_batches(part)]
        model = make_model(entry.with_settings(max_position_embeddings=256) if name != "GPT-2" else entry, "sdpa")
        assert apart(model, samples, *packed, **settings) < TOLERANCE


SHORT = [
    trie.sample("two", "g", [11], [12]),
    trie.sample("three", "g", [11], [12, 13]),
    trie.sample("another two", "g", [11], [14], 2.0),
    trie.sample("one", "g", [15], []),
    trie.sample("other", "h", [11], [12]),
]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("name", ["Llama", "Mistral, window", "Gemma 3, windows", "Llama 4, chunks", "Mixtral, window"])
def test_samples_of_one_to_three_tokens(name, merge):
    """One token trains nothing, two have one live position."""
    model = make_model(EXACT[name], "sdpa")
    [packed] = pack_batches(SHORT)
    assert apart(model, [sample for sample in SHORT if sample["id"] != "one"], packed, merge=merge) < TOLERANCE


@pytest.mark.parametrize("seed", range(6))
def test_random_samples(seed):
    """Random trees, packed by ``pack_batches``, with random windows, in a model of three kinds of layers."""
    random = np.random.default_rng(seed)
    samples = []
    for number in range(7):
        old = samples[random.integers(len(samples))]["input_ids"] if samples and random.random() < 0.8 else []
        prompt = [
            *old[: random.integers(len(old) + 1)],
            *random.integers(RESERVED, VOCABULARY, 1 + random.integers(4)).tolist(),
        ]
        answer = random.integers(RESERVED, VOCABULARY, 1 + random.integers(12)).tolist()
        samples.append(trie.sample(str(number), str(random.integers(2)), prompt, answer, float(random.integers(1, 4))))
    settings = {"sliding_window": int(random.integers(1, 9)), "max_position_embeddings": 256}
    model = make_model(EXACT["Gemma 3, windows"].with_settings(**settings), "sdpa")
    assert apart(model, samples, *pack_batches(samples)) < TOLERANCE
    assert apart(model, samples, *pack_batches(samples), merge=False) < TOLERANCE


REGISTERED = [
    "Llama",
    "Mistral, window",
    "Qwen2, windows",
    "Gemma 3, windows",
    "Llama 4, chunks",
    "GPT-2",
    "Mixtral, window",
]


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", REGISTERED)
def test_one_mask_for_each_layer_of_a_registered_attention(name, kind):
    model = use_registered_attention(make_model(EXACT[name], kind))
    assert apart(model, SAMPLES) < TOLERANCE


@pytest.mark.parametrize("name", [*EXACT, *MIXING])
def test_the_config_says_the_same(name):
    """Without weights, the record is that of the loaded model, or both are refused."""
    entry = {**EXACT, **MIXING}[name]
    model = make_model(entry, entry.attention[0], torch.float32)
    if name in MIXING:
        with pytest.raises(Unsupported, match=entry.model):
            architecture_of_config(model.config, entry.attention[0])
    else:
        assert architecture_of_config(model.config, entry.attention[0]) == read_architecture(model)


@pytest.mark.parametrize("name", ["Llama", "Gemma 3, windows", "Mixtral, window", "Llama 4, chunks"])
def test_gradient_checkpointing(name):
    """Layers that are run again in the backward pass get the same masks; the run keeps its casts to float32."""
    model = make_model(EXACT[name], "sdpa").train()
    model.activation_checkpointing_enable()
    batch = Collator(model=model)(trie.packed(SAMPLES))
    assert max(compare_training(model, batch, SAMPLES, keep_double=False)) < CAST


class Mixing(torch.nn.Module):
    """Adds a part of the mean over all positions."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, states):
        return states + self.part * states.mean(1, keepdim=True)


def test_mixing_is_told_from_rounding():
    """Models in float64 cast to float32 inside, where other rows of an expert's product round otherwise."""
    model = make_model(EXACT["Llama"], "sdpa")
    plain = model.model.layers[1].mlp
    model.model.layers[1].mlp = torch.nn.Sequential(plain, Mixing(1e-8))
    assert read_architecture(model) == read_architecture(make_model(EXACT["Llama"], "sdpa"))
    model.model.layers[1].mlp = torch.nn.Sequential(plain, Mixing(1e-4))
    with pytest.raises(Unsupported, match=r"layer 1 .* of LlamaForCausalLM mixes positions"):
        read_architecture(model)


def own_masked_loss(model, entry, sample):
    """The loss of a sample run alone, under the visibility of its segments, cut to the model's windows by index."""
    seen = visibility(sample)
    index = torch.arange(len(seen))
    near = (index[:, None] - index[None]).abs() <= WINDOW
    additive = {
        name: torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~allowed, float("-inf"))[None, None]
        for name, allowed in (("full_attention", seen), ("sliding_attention", seen & near))
    }
    mask = additive if "layer_types" in entry.settings else additive["full_attention"]
    logits = model(input_ids=torch.tensor([sample["input_ids"]]), attention_mask=mask).logits[0]
    labels = torch.tensor(sample["labels"])
    trained = torch.nonzero(labels != trie.IGNORED)[:, 0]
    return -log_softmax(logits, -1)[trained, labels[trained]].sum()


@pytest.mark.parametrize("name", ENCODERS)
def test_documents_shared_by_questions(name):
    """Segments: each sample alone runs under a mask of its own, made here pair by pair."""
    entry, samples = ENCODERS[name], document_samples()
    model = make_model(entry, "eager")
    [packed] = pack_batches(samples)
    assert packed.positions < sum(len(sample["input_ids"]) for sample in samples)
    batch = Collator(model=model)(packed)
    with DoublePrecision():
        merged = packed_loss(model(**batch.model_inputs).logits, batch)
        separate = sum(own_masked_loss(model, entry, sample) for sample in samples)
    assert relative(merged, separate) < TOLERANCE
    assert furthest(gradients(model, merged), gradients(model, separate)) < 1e-9


def test_dropout_warns_once():
    model = make_model(EXACT["GPT-2"].with_settings(attn_pdrop=0.1, resid_pdrop=0.1), "sdpa")
    with pytest.warns(UserWarning, match=r"attn.* of GPT2LMHeadModel is 0\.1: .*one draw") as caught:
        collator = Collator(model=model)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collator(trie.packed(SAMPLES))
        Collator(model=make_model(EXACT["GPT-2"], "sdpa"))


def test_dropout_gives_shared_positions_one_draw():
    """Why it warns: two equal samples, merged, have equal log-probabilities; alone, they have two draws."""
    model = make_model(EXACT["GPT-2"].with_settings(resid_pdrop=0.5), "sdpa")
    with pytest.warns(UserWarning, match="one draw"):
        collator = Collator(model=model)
    twins = [trie.sample(name, "g", [7, 8, 9], [10, 11, 12]) for name in "ab"]
    model.train()
    merged = collator(trie.packed(twins))
    terms = packed_loss(model(**merged.model_inputs).logits, merged, "none")
    assert torch.equal(terms[:3], terms[3:])
    inputs = {"input_ids": torch.tensor([[7, 8, 9, 10, 11]]), "use_cache": False}
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)
