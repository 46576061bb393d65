"""Merged training of every model of the zoo is separate training, or the model is refused by the name of its layer."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from masksynth.torch import Collator
from tests.torch import trie
from tests.torch.model_zoo import ENCODERS, EXACT, FLEX, MIXING, make_model
from tests.torch.zoo_comparison import (
    TOLERANCE,
    compare_entry,
    compare_training,
    own_logprobs,
    relative,
    zoo_samples,
)

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("models", ROOT / "docs/models.py")
pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pages)

CASES = [(name, kind) for name, entry in {**EXACT, **ENCODERS}.items() for kind in entry.attention]
LIMITED = [name for name in EXACT if ("window" in name and "unused" not in name) or "chunk" in name]
CAST, CAST_GRADIENTS, SEEN = 1e-6, 1e-5, 1e-2
SINGLE = 2e-5


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_loss_and_gradients_of_the_separate_samples(name, kind):
    outcome = compare_entry(name, kind)
    assert outcome.refusal is None
    assert max(outcome.apart) < TOLERANCE


@pytest.mark.parametrize("name", ["Llama", "Gemma 3, windows", "DeepSeek-V3", "Llama 4, chunks"])
def test_with_the_models_own_casts_to_float32(name):
    """Rotary tables, norms and softmax in float32, as they are: equal to its rounding."""
    model, samples = make_model(EXACT[name], "eager"), zoo_samples()
    apart = compare_training(model, Collator(model=model)(trie.packed(samples)), samples, keep_double=False)
    assert apart.terms < CAST
    assert apart.gradients < CAST_GRADIENTS


@pytest.mark.parametrize("name", LIMITED)
def test_one_mask_for_all_layers_is_another_function(name):
    """What a batch without the model was: the comparison sees windows and chunks."""
    entry, samples = EXACT[name], zoo_samples()
    model = make_model(entry, entry.attention[0])
    batch = Collator(entry.attention[0], dtype=torch.float64)(trie.packed(samples))
    assert compare_training(model, batch, samples, backward=False).terms > SEEN


@pytest.mark.parametrize("name", MIXING)
def test_refused_by_the_name_of_its_layer(name):
    for kind in MIXING[name].attention:
        refusal = compare_entry(name, kind).refusal
        assert refusal is not None
        assert "\n" not in refusal
        assert MIXING[name].model in refusal
        assert "merge=False" in refusal


LAYERS = {
    "Qwen3-Next": "layer 0 (Qwen3NextGatedDeltaNet, layer type 'linear_attention')",
    "Qwen3.5": "layer 0 (Qwen3_5GatedDeltaNet, layer type 'linear_attention')",
    "LFM2": "layer 0 (Lfm2ShortConv, layer type 'conv')",
    "Falcon-H1": "layer 0 (FalconH1Mixer, layer type 'hybrid')",
    "Jamba": "layer 0 (JambaMambaMixer, layer type 'linear_attention')",
    "RecurrentGemma": "layer 0 (RecurrentGemmaRecurrentBlock, layer type 'linear_attention')",
    "MiniMax": "layer 0 (MiniMaxLightningAttention, layer type 'linear_attention')",
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_and_type_are_named(name):
    assert LAYERS[name] in compare_entry(name, "sdpa").refusal


@pytest.mark.parametrize("name", [*MIXING, "Llama", "Gemma 3, windows", "Llama 4, chunks", "GPT-2", "Mixtral, window"])
def test_one_sample_a_row_has_the_same_loss(name):
    """The fallback, for refused models and others; RWKV's backward pass fails by itself."""
    entry, samples = {**MIXING, **EXACT}[name], zoo_samples()
    model = make_model(entry, entry.attention[0])
    batch = Collator(model=model, merge=False)(trie.packed(samples))
    assert batch.model_inputs["input_ids"].shape == (6, 22)  # the last token of a sample predicts nothing
    assert batch.model_inputs["attention_mask"].shape == (6, 22)
    assert max(compare_training(model, batch, samples, backward=name != "RWKV")) < TOLERANCE


@pytest.mark.slow
def test_flex():
    """In float32, without gradients; a process of its own, since a second length makes torch's code generator fail."""
    command = [sys.executable, "-m", "tests.torch.flex_zoo", *FLEX]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == list(FLEX)
    assert max(found.values()) < SINGLE, found


HALF = ["Llama", "Mistral, window", "Qwen3-MoE", "Gemma 3, windows", "GPT-2", "Llama 4, chunks", "DeepSeek-V3"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", HALF)
def test_half_precision(name, dtype):
    """Rounding aside: as near to the values in float64 as the separate samples in the same precision are."""
    entry, samples = EXACT[name], zoo_samples()
    exact = torch.cat(own_logprobs(make_model(entry, "eager"), samples))
    for kind in entry.attention:
        model = make_model(entry, kind, dtype)
        collator = Collator(model=model)
        assert collator.dtype == dtype
        merged = -compare_terms(model, collator(trie.packed(samples)), samples)
        separate = torch.cat(own_logprobs(model, samples))
        assert relative(merged, exact) < max(2 * relative(separate, exact), torch.finfo(dtype).eps)


def compare_terms(model, batch, samples):
    from masksynth.torch import packed_loss

    weights = torch.tensor([samples[s]["weight"] for s in batch.source.loss_sample])
    with torch.no_grad():
        return packed_loss(model(**batch.model_inputs).logits, batch, "none").double() / weights


def test_the_page_is_a_run():
    rows = {name: pages.entry_row(name) for name in {**EXACT, **ENCODERS, **MIXING}}
    assert pages.page(rows) == pages.PAGE.read_text(encoding="utf-8"), "run python docs/models.py"


def test_at_least_thirty_two_classes_are_exact():
    assert len({entry.model for entry in EXACT.values()}) >= 32
