"""What is read of a loaded model or a config, and what is refused by name."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.packing import pack_batches
from masksynth.torch import (
    Architecture,
    Collator,
    Reach,
    architecture_of_config,
    packed_loss,
    read_architecture,
    use_registered_attention,
)
from masksynth.torch.models import transformers_version
from masksynth.torch.models.architecture import KINDS, shortest_period
from tests.torch import trie
from tests.torch.architectures import NO_DROPOUT, SHAPE, build, compare

CAUSAL, WINDOW, CHUNK = Reach(), Reach(window=5), Reach(chunk=5)
LLAMA4 = {"attention_chunk_size": 5, "head_dim": 8, "intermediate_size_mlp": 32, "num_local_experts": 2}
READ = {
    "llama": ({}, "tensor", [CAUSAL] * 4),
    "mistral": ({"sliding_window": 5}, "tensor", [WINDOW] * 4),
    "qwen2": (
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3},
        "mapping",
        [CAUSAL] * 3 + [WINDOW],
    ),
    "gemma3": (
        {"sliding_window": 5, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"] * 2},
        "mapping",
        [WINDOW, CAUSAL] * 2,
    ),
    "llama4": (LLAMA4, "mapping", [CHUNK] * 3 + [CAUSAL]),
    "modernbert": (
        {"local_attention": 6},
        "mapping",
        [Reach("bidirectional"), *[Reach("bidirectional", window=3)] * 2] * 2,
    ),
    "bert": ({}, "tensor", [Reach("bidirectional")] * 4),
}


@pytest.mark.parametrize("name", READ)
def test_what_layers_see(name):
    changes, argument, layers = READ[name]
    found = read_architecture(build(name, **changes))
    assert found.mask_argument == argument
    assert list(found.layers) == layers[:4]
    assert (found.attention, found.dtype) == ("sdpa", torch.float64)
    assert found.causal is (name not in ("modernbert", "bert"))


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "gemma3", "llama4"])
def test_a_config_gives_the_same_record(name):
    changes, *_ = READ[name]
    model = build(name, dtype=torch.float32, **changes)
    assert architecture_of_config(model.config, "sdpa") == read_architecture(model)
    assert architecture_of_config(model.config, "eager").attention == "eager"


@pytest.mark.parametrize("name", ["mistral", "gemma3"])
def test_a_large_config_is_read_without_values(name):
    """Five billion parameters and more, in seconds and without memory."""
    changes, argument, _ = READ[name]
    large = {
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_hidden_layers": 30,
        "num_attention_heads": 32,
        "layer_types": None,
    }
    shape = {**SHAPE, **changes, **large, "sliding_window": 4096}
    config = type(build(name, **changes).config)(**shape)
    found = architecture_of_config(config, "flex")
    assert found.attention == "flex"
    assert found.mask_argument == argument
    assert Reach(window=4096) in found.layers
    assert len(found.layers) == 30


def test_a_large_config_of_experts():
    shape = {**SHAPE, "hidden_size": 4096, "intermediate_size": 14336, "num_local_experts": 8, "sliding_window": 64}
    found = architecture_of_config(transformers.MixtralConfig(**shape), "sdpa")
    assert set(found.layers) == {Reach(window=64)}


def test_what_a_config_does_not_show_is_refused():
    large = {"hidden_size": 4096, "intermediate_size": 16384, "intermediate_size_mlp": 16384, "head_dim": 128}
    layer = re.escape("layer 3 (Llama4TextAttention, layer type 'full_attention')")
    with pytest.raises(Unsupported, match=f"{layer}.*pass the loaded"):
        architecture_of_config(transformers.Llama4TextConfig(**{**SHAPE, **LLAMA4, **large}), "sdpa")
    shape = {**SHAPE, **NO_DROPOUT, **large, "pad_token_id": 1}
    with pytest.raises(Unsupported, match="the first position id of RobertaForCausalLM is not in its config"):
        architecture_of_config(transformers.RobertaConfig(**shape), "sdpa")
    with pytest.raises(Unsupported, match=r"transformers cannot build a model from Gemma2Config: .*does not support"):
        architecture_of_config(transformers.Gemma2Config(**SHAPE), "sdpa")


def test_the_record_travels_without_the_model():
    collate = Collator(model=build("mistral", sliding_window=5))
    again = pickle.loads(pickle.dumps(collate))
    assert again == collate
    assert again.architecture.layers == (WINDOW,) * 4
    assert len(pickle.dumps(collate)) < 2000
    [source] = pack_batches(trie.rollouts())
    batch = pickle.loads(pickle.dumps(again([source])))
    assert batch.architecture == collate.architecture
    assert batch.layer_mask == again([source]).layer_mask != source.mask


def test_layer_masks_of_a_pattern():
    changes, *_ = READ["gemma3"]
    [source] = pack_batches(trie.rollouts(answer=12))
    batch = Collator(model=build("gemma3", **changes))([source])
    assert batch.layer_mask.tables == 2
    plain = Collator("sdpa", attention_window=5)([source]).layer_mask
    assert batch.layer_mask.intervals(20, 0) == plain.intervals(20)
    assert batch.layer_mask.intervals(20, 1) == source.mask.intervals(20)


@pytest.mark.parametrize(
    ("layers", "period"),
    [("", 1), ("a", 1), ("aaaa", 1), ("abab", 2), ("aabaab", 3), ("aab", 3), ("aaba", 3)],
)
def test_shortest_period(layers, period):
    assert shortest_period(layers) == period


def test_the_model_is_as_it_was():
    model = build("gemma3", **READ["gemma3"][0]).train()
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    state = torch.random.get_rng_state()
    read_architecture(model)
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    assert sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()) == hooks
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "masksynth_trace" not in transformers.AttentionInterface._global_mapping


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_wrappers():
    model = build("mistral", sliding_window=5)
    plain = read_architecture(model)
    assert read_architecture(Wrapper(model)) == plain
    assert read_architecture(torch.compile(model)) == plain


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    for name, changes in (("llama", {}), ("gpt_oss", {"sliding_window": 5, "head_dim": 8, "num_local_experts": 4})):
        kind = "eager" if name == "gpt_oss" else "sdpa"
        found = read_architecture(build(name, kind, dtype=dtype, **changes))
        assert found.dtype == dtype


def test_other_attention_is_refused():
    model = build("llama")
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(
        Unsupported, match="'flash_attention_2' of LlamaForCausalLM does not support masks of pairs; load"
    ):
        read_architecture(model)


@pytest.mark.parametrize("what", [nn.Linear(2, 2), "gpt2", None])
def test_what_is_no_model(what):
    with pytest.raises(InvalidInstance, match="expected a transformers model, got"):
        read_architecture(what)


def test_encoders_with_decoders_are_refused():
    shape = {
        "vocab_size": 40,
        "d_model": 16,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "d_kv": 8,
        "dropout_rate": 0.0,
    }
    with pytest.raises(Unsupported, match="T5ForConditionalGeneration is an encoder-decoder"):
        read_architecture(transformers.T5ForConditionalGeneration(transformers.T5Config(**shape)))


class Shifting(transformers.LlamaForCausalLM):
    """An unlisted class, whose embeddings look at the token before."""

    def forward(self, input_ids=None, **inputs):
        embedded = self.get_input_embeddings()(input_ids)
        mixed = self.model.layers[2].mlp.down_proj.weight.new_tensor(0.1) * embedded.roll(1, 1)
        return super().forward(inputs_embeds=embedded + mixed, **inputs)


class IndexedAttention(transformers.LlamaForCausalLM):
    """An unlisted class, which counts positions instead of reading them."""

    def forward(self, input_ids=None, position_ids=None, **inputs):
        return super().forward(input_ids=input_ids, position_ids=None, **inputs)


class DoubleWindow(transformers.MistralForCausalLM):
    """An unlisted class, which changes the mask that it is given."""

    def forward(self, input_ids=None, attention_mask=None, **inputs):
        mask = attention_mask.roll(1, -1) if attention_mask.ndim == 4 else attention_mask
        return super().forward(input_ids=input_ids, attention_mask=mask, **inputs)


class ScaledOutputs(transformers.LlamaForCausalLM):
    """An unlisted class, whose outputs depend on the index of a token, after all layers."""

    def forward(self, **inputs):
        found = super().forward(**inputs)
        found.logits = found.logits * torch.arange(1, found.logits.shape[1] + 1)[:, None]
        return found


class LaterTokens(transformers.LlamaForCausalLM):
    """An unlisted class, which doubles all embeddings from the twentieth token on."""

    def forward(self, input_ids=None, **inputs):
        embedded = self.get_input_embeddings()(input_ids)
        later = torch.arange(input_ids.shape[1])[:, None] >= 20
        return super().forward(inputs_embeds=torch.where(later, embedded + 1, embedded), **inputs)


class LengthDependent(transformers.LlamaForCausalLM):
    """An unlisted class, whose embeddings depend on the length of the sequence."""

    def forward(self, input_ids=None, **inputs):
        embedded = self.get_input_embeddings()(input_ids)
        return super().forward(inputs_embeds=embedded + input_ids.shape[1] / 100, **inputs)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ScaledOutputs, "the model .ScaledOutputs. of ScaledOutputs counts positions by itself"),
        (LaterTokens, "layer 0 .LlamaAttention. of LaterTokens treats a token differently in a longer sequence"),
        (
            LengthDependent,
            "layer 0 .LlamaAttention. of LengthDependent treats a token differently in a longer sequence",
        ),
        (Shifting, "Shifting.* mixes positions without a mask"),
        (IndexedAttention, "counts positions by itself instead of reading position_ids"),
        (DoubleWindow, "layer 0 .* adds a position bias|does not pass the mask that it is given to every layer"),
    ],
)
def test_classes_that_are_not_listed(kind, words):
    config = kind.config_class(**{**SHAPE, **NO_DROPOUT}, attn_implementation="sdpa")
    with pytest.raises(Unsupported, match=words):
        read_architecture(kind(config).eval())


def test_a_registered_model_whose_layers_do_not_all_get_the_mask_is_refused():
    """The registered attention of layer 1 would be called without a mask: plain causal rows over all branches."""
    config = transformers.LlamaConfig(**{**SHAPE, **NO_DROPOUT}, attn_implementation="sdpa")
    model = use_registered_attention(transformers.LlamaForCausalLM(config).eval())
    plain = model.model.layers[1].forward
    model.model.layers[1].forward = lambda hidden, attention_mask=None, **inputs: plain(
        hidden, attention_mask=None, **inputs
    )
    with pytest.raises(Unsupported, match="LlamaForCausalLM does not pass the mask that it is given to every layer"):
        read_architecture(model)


CLOSED = {
    "GPTJ": ({"n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "n_positions": 64}, None),
    "CodeGen": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64}, None),
    "Mpt": ({"d_model": 32, "n_heads": 2, "n_layers": 2}, "layer 0 (MptAttention) of MptForCausalLM mixes positions"),
    "Bloom": (
        {"hidden_size": 32, "n_layer": 2, "n_head": 2},
        "layer 0 (BloomAttention) of BloomForCausalLM fails under a mask",
    ),
    "Rwkv": (
        {"hidden_size": 32, "num_hidden_layers": 2},
        "layer 0 (RwkvSelfAttention) of RwkvForCausalLM mixes positions",
    ),
    "GPTNeo": (
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 5,
        },
        "its config has window_size=5, which is not visible in a mask",
    ),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.filterwarnings("ignore:.*dropout")
def test_attention_that_is_the_class_s_own(name):
    shape, refusal = CLOSED[name]
    shape = {"vocab_size": 40, "bos_token_id": 1, "eos_token_id": 2, **shape}
    config = getattr(transformers, f"{name}Config")(**shape, attn_implementation="eager")
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    if refusal is None:
        assert read_architecture(model).layers == (CAUSAL, CAUSAL)
        return
    with pytest.raises(Unsupported, match=re.escape(refusal)) as caught:
        read_architecture(model)
    assert str(caught.value).endswith("use Collator(model=model, merge=False), which gives one sample per row")
    assert "\n" not in str(caught.value)


def test_dropout_warns_once_and_names_it():
    shape = {"vocab_size": 40, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, bos_token_id=1, eos_token_id=2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Collator(model=model)
    [warning] = caught
    assert "of GPT2LMHeadModel is 0.1: positions shared by samples get one draw of dropout" in str(warning.message)
    assert warning.filename == __file__


def test_positions_that_begin_behind_the_padding():
    model = build("roberta", pad_token_id=1, max_position_embeddings=64)
    assert read_architecture(model).first_position == 2


def test_rotary_frequencies_of_the_longest_sample():
    """A short sample next to one that is longer than the original length would get the long one's frequencies."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    collate = Collator(model=build("llama", max_position_embeddings=16, rope_parameters=rope))
    [short] = pack_batches([trie.sample("a", "g", [3, 4], [5, 6])])
    assert collate([short]).architecture.rope_limit == 16
    [long] = pack_batches([trie.sample("a", "g", [3, 4], [5, 6]), trie.sample("b", "g", [3, 4], list(range(20)))])
    with pytest.raises(Unsupported, match="depend on the longest sequence above 16 tokens, and sample 'b' has 22"):
        collate([long])


def test_rotary_frequencies_that_switch_once():
    """Longrope has two sets of frequencies: samples on one side of the limit are exact together."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 8}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "factor": 2.0}
    model = build("llama", rope_parameters=rope, initializer_range=0.3)
    collate = Collator(model=model)
    lengths = {"short": (3, 4), "long": (12, 20), "both": (4, 12), "edge": (9, 9)}
    for name, sizes in lengths.items():
        samples = [trie.sample(i, "g", [3, 4], [*range(5, 3 + size)], weight=1.0) for i, size in enumerate(sizes)]
        [source] = pack_batches(samples)
        if name in ("both", "edge"):
            with pytest.raises(Unsupported, match="depend on the longest sequence above 8 tokens"):
                collate([source])
            continue
        batch = collate([source])
        terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
        assert max(compare(model, samples, terms)) < 1e-5


def test_layers_that_count_positions_are_exact_up_to_a_length():
    [source] = pack_batches(trie.rollouts())
    record = read_architecture(build("llama4", **LLAMA4))
    assert record.position_limit == 4096  # temperature tuning begins at 8,192
    with pytest.raises(Unsupported, match="counts positions by itself"):
        read_architecture(build("llama4", floor_scale=4, **LLAMA4))
    few = Architecture(**{**vars(record), "position_limit": 8})
    with pytest.raises(Unsupported, match=r"positions by itself: expected at most 8, got .*; pack with --max-length 8"):
        Collator(architecture=few)([source])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": "eager"}, "attention 'eager' for a model that runs 'sdpa'"),
        ({"dtype": torch.bfloat16}, "masks of torch.bfloat16 for a model of torch.float64"),
        ({"attention_window": 4}, "model and attention_window both define the masks of the layers"),
        ({"config": transformers.LlamaConfig()}, "model and config both define the masks of the layers"),
    ],
)
def test_options_that_contradict_the_model(options, words):
    with pytest.raises(InvalidInstance, match=words):
        Collator(model=build("llama"), **options)


def test_the_range_of_versions_is_that_of_the_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    low, high = (".".join(map(str, version)) for version in transformers_version.TRANSFORMERS)
    assert f"transformers>={low},<{high}" in project["project"]["optional-dependencies"]["hf"]


def test_the_version_is_looked_up_once(monkeypatch):
    asked = []

    def version_of(name):
        asked.append(name)
        return ".".join(map(str, transformers_version.TRANSFORMERS[0]))

    monkeypatch.setattr(transformers_version.metadata, "version", version_of)
    for _ in range(3):
        transformers_version.require_transformers()
    assert asked == ["transformers"]


def test_versions_of_transformers(monkeypatch):
    low, high = (".".join(map(str, version)) for version in transformers_version.TRANSFORMERS)
    for installed, words in (("4.57.1", "installed is 4.57.1"), ("6.0.0", "installed is 6.0.0")):
        monkeypatch.setattr(transformers_version.metadata, "version", lambda name, installed=installed: installed)
        with pytest.raises(ImportError, match=re.escape(f"needs transformers >={low},<{high}, {words}; pip install")):
            read_architecture(nn.Linear(1, 1))


def test_transformers_is_missing(monkeypatch):
    def missing(name):
        raise transformers_version.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(transformers_version.metadata, "version", missing)
    with pytest.raises(ImportError, match="which is not installed; pip install 'transformers"):
        use_registered_attention(nn.Linear(1, 1))


def test_torch_part_imports_without_transformers():
    code = (
        "import sys; sys.modules['transformers'] = None; "
        "import masksynth.torch as t; print(t.Collator('sdpa').attention)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "sdpa\n"


def test_registered_implementations_are_read_as_what_they_hand_on_to():
    model = use_registered_attention(build("mistral", sliding_window=5))
    found = read_architecture(model)
    assert (found.attention, found.mask_argument, set(found.layers)) == ("sdpa", "registered", {WINDOW})
    assert set(KINDS.values()) == {"sdpa", "eager", "flex"}


def test_a_config_that_says_its_attention():
    """The config of a loaded model knows it; bool masks would be added to the scores of eager attention."""
    assert Collator(config=build("llama", "eager").config).attention == "eager"
    assert Collator(config=transformers.LlamaConfig(**SHAPE)).attention == "sdpa"
    assert Collator("eager", torch.bfloat16, config=transformers.LlamaConfig(**SHAPE)).dtype == torch.bfloat16


def test_learned_tokens_before_the_sequence_are_refused():
    model = build("llama")
    model.active_peft_config = type("Config", (), {"is_prompt_learning": True})
    with pytest.raises(Unsupported, match="prepends learned tokens to the sequence"):
        read_architecture(model)


def test_models_without_one_output_for_each_token():
    model = transformers.BertForSequenceClassification(build("bert").config)
    with pytest.raises(
        Unsupported, match="BertForSequenceClassification fails on 11 plain tokens: has no output with one"
    ):
        read_architecture(model, merge=False)


def test_rows_in_which_pads_change_the_outputs_are_refused():
    """FNet mixes all positions of a row, pads among them, whatever the mask says."""
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "vocab_size": 40,
        "hidden_dropout_prob": 0.0,
    }
    config = transformers.FNetConfig(**sizes, pad_token_id=0)
    model = transformers.FNetForMaskedLM(config).eval()
    with pytest.raises(
        Unsupported, match=r"^FNetForMaskedLM gives a padded row other outputs than its sample alone; train"
    ):
        read_architecture(model, merge=False)


def test_rows_of_an_encoder_with_windows():
    """All layers have a window of 2: no change reaches the first token from the last, but its neighbour."""
    sizes = {
        "vocab_size": 40,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    layers = {
        "local_attention": 4,
        "layer_types": ["sliding_attention"] * 2,
        "pad_token_id": 0,
        "attn_implementation": "eager",
    }
    model = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**sizes, **layers)).eval()
    assert read_architecture(model, merge=False).kind == "bidirectional"
    with pytest.raises(
        Unsupported, match="ModernBertForMaskedLM in float64 gives NaN for pads that see no token in their window"
    ):
        read_architecture(model.double(), merge=False)


def test_a_causal_window_of_one_token_is_causal():
    """It allows what a bidirectional window of 0 does; the batch is not one of an encoder."""
    model = build("mistral", sliding_window=1)
    assert read_architecture(model).layers == (Reach(window=1),) * len(read_architecture(model).layers)


@pytest.mark.parametrize("kind", ["sdpa", "flex_attention"])
def test_rows_of_separate_samples_are_causal_or_not(kind):
    for name in ("llama", "bert"):
        record = read_architecture(build(name, kind, dtype=torch.float32), merge=False)
        assert record.kind == ("causal" if name == "llama" else "bidirectional")
        assert not record.merge
