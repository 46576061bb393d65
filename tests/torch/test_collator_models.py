"""Batches made for a model: losses and gradients are those of the model's own run of each separate sample."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import transformers
from torch.utils.data import DataLoader

from masksynth.errors import InvalidInstance, MasksynthWarning, Unsupported
from masksynth.pack.packing import pack_batches, pack_samples
from masksynth.pack.unpacking import unpack_samples
from masksynth.torch import Collator, PackedDataset, packed_loss, sample_logprobs, use_registered_attention
from tests.torch import trie
from tests.torch.architectures import SHAPE, build, compare, separate_terms

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
    "llama 4": (
        "llama4",
        {"attention_chunk_size": 5, "head_dim": 8, "intermediate_size_mlp": 32, "num_local_experts": 2},
    ),
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
    """The masks of a batch without a model: each layer with the complete row."""
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


HYBRIDS = {
    "qwen3_next": {"head_dim": 8, "num_experts": 4, "moe_intermediate_size": 16, "num_experts_per_tok": 2},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "mamba": {"num_hidden_layers": 2},
}
REFUSALS = {
    "qwen3_next": "layer 0 (Qwen3NextGatedDeltaNet, layer type 'linear_attention') of Qwen3NextForCausalLM mixes",
    "lfm2": "layer 0 (Lfm2ShortConv, layer type 'conv') of Lfm2ForCausalLM mixes positions",
    "mamba": "layer 0 (MambaMixer",
}


@pytest.mark.parametrize("name", HYBRIDS)
def test_one_sample_a_row_where_no_mask_can_be_right(name):
    model = build(name, "eager", dtype=torch.float32, **HYBRIDS[name])
    [source] = pack_batches(SAMPLES)
    with pytest.raises(Unsupported, match=re.escape(REFUSALS[name])):
        Collator(model=model)
    batch = Collator(model=model, merge=False)([source])
    assert batch.model_inputs["attention_mask"].shape == batch.model_inputs["input_ids"].shape == (6, 20)
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    apart = compare(model, SAMPLES, terms)
    assert max(apart) < 1e-3, apart


VISION = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2}


def vision_model(kind="sdpa", **changes):
    text = {
        **SHAPE,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        **changes,
    }
    config = transformers.Qwen2VLConfig(text_config=text, vision_config=VISION, attn_implementation=kind)
    torch.manual_seed(0)
    return transformers.Qwen2VLForConditionalGeneration(config).double().eval()


def image_samples():
    """Samples whose position ids jump and differ by dimension, as those of images do; they share the image."""
    random = np.random.default_rng(0)
    image = [[4, 4, 4, 4], [4, 4, 5, 5], [4, 5, 4, 5]]  # time, height, width of 2 x 2 patches behind four words
    found = []
    for number in range(3):
        size = 8 + number
        ids = [*range(3, 11), *random.integers(3, 40, size).tolist()]
        tail = list(range(6, 6 + size))
        positions = [[*range(4), *part, *tail] for part in image]
        labels = [-100] * 8 + ids[8:]
        found.append({"id": number, "group": "g", "input_ids": ids, "labels": labels, "position_ids": positions})
    return found


def separate_images(model, samples):
    terms = []
    for sample in samples:
        positions = torch.tensor(sample["position_ids"])[:, None]
        ids = torch.tensor([sample["input_ids"]])
        inputs = {"position_ids": positions, "attention_mask": torch.ones_like(ids), "use_cache": False}
        logits = model(input_ids=ids, **inputs).logits[0]
        labels = torch.tensor(sample["labels"])[8:]
        terms.append(-logits[7:-1].log_softmax(-1)[torch.arange(len(labels)), labels])
    return torch.cat(terms)


@pytest.mark.parametrize("changes", [{}, {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}])
def test_position_ids_of_three_dimensions(changes):
    model, samples = vision_model(**changes), image_samples()
    [source] = pack_batches(samples)
    batch = Collator(model=model)([source])
    assert batch.model_inputs["position_ids"].shape == (3, 1, source.positions)
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert float((terms - separate_images(model, samples)).detach().abs().max()) < TIGHT


def test_text_gives_all_dimensions_the_same_ids():
    model = vision_model()
    [source] = pack_batches(SAMPLES)
    batch = Collator(model=model)([source])
    assert batch.model_inputs["position_ids"].shape == (3, 1, source.positions)
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, SAMPLES, terms)) < TIGHT


def test_key_fields_as_dimensions_are_named_never_guessed():
    model, samples = vision_model(), image_samples()
    names = ("position_ids", "height", "width")
    named = [{**one, **dict(zip(names, one["position_ids"], strict=True))} for one in samples]
    [source] = pack_batches(named, key_fields=("height", "width"))
    with pytest.raises(InvalidInstance, match="it is not known whether height, width are among them"):
        Collator(model=model)([source])
    batch = Collator(model=model, position_keys=("height", "width"))([source])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert float((terms - separate_images(model, samples)).detach().abs().max()) < TIGHT


def test_dimensions_that_the_model_does_not_take():
    [source] = pack_batches(image_samples())
    with pytest.raises(InvalidInstance, match="takes position ids of 1 dimension, the samples have 3"):
        Collator(model=build("llama"))([source])


def whole(number, ids, labels):
    """A sample whose tokens all see one another, and which trains tokens at their own positions."""
    segments = [{"length": len(ids), "within": "full", "predict": "self"}]
    return {"id": number, "input_ids": ids, "labels": labels, "segments": segments}


def texts(seed=0):
    """Samples for encoders, of several lengths."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(4):
        ids = random.integers(3, 40, 9 + 4 * number).tolist()
        found.append(whole(number, ids, [token if i % 3 == 0 else -100 for i, token in enumerate(ids)]))
    return found


ENCODERS = {
    "bert": {},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 64},
    "modernbert": {"local_attention": 6},
}


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name, kind, merge):
    dtype = torch.float64 if merge else torch.float32  # pads are NaN in transformers' eager attention in float64
    model, samples = build(name, kind, dtype=dtype, **ENCODERS[name]), texts()
    [source] = pack_batches(samples)
    batch = Collator(model=model, merge=merge)([source])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, samples, terms)) < (TIGHT if merge else 1e-3)


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_causal_samples_for_an_encoder_warn(name):
    """Its own run is bidirectional; the samples say causal, and so it is trained."""
    collate, [source] = Collator(model=build(name)), pack_batches(SAMPLES)
    with pytest.warns(MasksynthWarning, match='samples are causal and are trained so; .* "within": "full"'):
        collate([source])


@pytest.mark.parametrize("name", ["mistral with a window", "gpt-oss"])
def test_one_sample_a_row_is_the_same_loss(name):
    architecture, changes = DECODERS[name]
    model = build(architecture, "eager", **changes)
    [source] = pack_batches(SAMPLES)
    merged, rows = Collator(model=model)([source]), Collator(model=model, merge=False, multiple=8)([source])
    left, right = (packed_loss(model(**batch.model_inputs).logits, batch, "none") for batch in (merged, rows))
    assert float((left - right).detach().abs().max()) < TIGHT
    assert rows.model_inputs["input_ids"].shape == (6, 24)
    both = [sample_logprobs(model(**batch.model_inputs).logits, batch).sample for batch in (merged, rows)]
    assert float((both[0] - both[1]).detach().abs().max()) < TIGHT


def test_rows_of_no_samples_and_of_segments():
    from masksynth.torch.join_batches import without_samples

    model = build("llama")
    [source] = pack_batches(SAMPLES)
    silent = Collator(model=model, merge=False)([without_samples(source)])
    assert packed_loss(model(**silent.model_inputs).logits, silent) == 0
    segments = [{"length": 3, "within": "full"}, {"length": 2, "sees": [0], "predict": "self"}]
    odd = {"id": "a", "input_ids": [3, 4, 5, 6, 7], "labels": [-100, -100, -100, 6, 7], "segments": segments}
    [source] = pack_batches([odd])
    with pytest.raises(Unsupported, match="sample 'a' has its own visibility"):
        Collator(model=model, merge=False)([source])


def test_attention_that_is_the_class_s_own():
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "n_positions": 64, "initializer_range": 0.3}
    shape |= {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    config = transformers.GPTJConfig(vocab_size=40, **shape, attn_implementation="eager")
    model = transformers.GPTJForCausalLM(config).double()
    [source] = pack_batches(SAMPLES)
    batch = Collator(model=model)([source])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, SAMPLES, terms)) < TIGHT


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_half_precision(kind, dtype):
    """Masks of the model's dtype; equality to the rounding of the dtype."""
    model = build("gemma3", kind, dtype=dtype, sliding_window=5, head_dim=8, num_hidden_layers=6, initializer_range=0.1)
    exact = build("gemma3", kind, sliding_window=5, head_dim=8, num_hidden_layers=6, initializer_range=0.1)
    [source] = pack_batches(SAMPLES)
    batch = Collator(model=model)([source])
    assert batch.dtype == dtype
    with torch.no_grad():
        terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
        assert float((terms - separate_terms(exact, SAMPLES)).abs().max()) < 0.3


def test_images_in_loader_workers(tmp_path):
    """Through files: D lists, packed to a folder, loaded by workers, of which none has the model."""
    lines = tmp_path / "samples.jsonl"
    lines.write_text("".join(json.dumps(sample) + "\n" for sample in image_samples()))
    pack_samples(lines, tmp_path / "packed")
    model = vision_model()
    data, collate = PackedDataset(tmp_path / "packed"), Collator(model=model)
    loader = DataLoader(data, batch_size=1, collate_fn=collate, num_workers=1)
    [batch] = list(loader)
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert float((terms - separate_images(model, image_samples())).detach().abs().max()) < TIGHT
    assert next(unpack_samples(tmp_path / "packed"))["position_ids"][1][:8] == [0, 1, 2, 3, 4, 4, 5, 5]
