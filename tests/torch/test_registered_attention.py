"""A mask of its own for each layer of unmodified models, decoders and encoders."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.pack.packing import pack_batches
from masksynth.torch import Collator, packed_loss, use_registered_attention
from masksynth.torch.models.registered_attention import (
    LayerBlockMask,
    attention_function,
    layer_attention,
    mask_of_layer,
    register,
)
from tests.torch import trie
from tests.torch.architectures import SHAPE, build, compare, separate_terms

MODELS = {
    "llama": {},
    "gemma3": {"sliding_window": 5, "head_dim": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    "bert": {},
    "roberta": {"pad_token_id": 1},
    "modernbert": {"local_attention": 6},
}
SIZE = 9


def run(model, masks):
    """The outputs under one table for each layer; additive masks for eager attention."""
    stacked = torch.stack(masks)[None]
    if model.config._attn_implementation.endswith("eager"):
        stacked = torch.zeros(stacked.shape, dtype=torch.float64).masked_fill_(~stacked, float("-inf"))
    ids = torch.arange(3, 3 + SIZE)[None]
    with torch.no_grad():
        return model(input_ids=ids, position_ids=torch.arange(SIZE)[None] + 2, attention_mask=stacked).logits[0]


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_one_pair_more_in_one_layer_moves_what_it_should(name, kind):
    model = use_registered_attention(build(name, kind, max_position_embeddings=64, **MODELS[name]))
    plain = torch.eye(SIZE, dtype=torch.bool)
    for layer in range(4):
        masks = [plain.clone() for _ in range(4)]
        base = run(model, masks)
        masks[layer][6, 2] = True
        if layer < 3:
            masks[layer + 1][8, 6] = True  # so that layer + 1 hands on what this one read
        moved = (run(model, masks) - base).abs().amax(-1) > 0
        assert moved.nonzero().flatten().tolist() == ([6, 8] if layer < 3 else [6])
        masks[layer][6, 2] = False
        alone = (run(model, masks) - base).abs().amax(-1) > 0
        assert alone.nonzero().flatten().tolist() == ([8] if layer < 3 else [])


@pytest.mark.parametrize("name", ["gemma3", "bert", "modernbert"])
def test_the_model_with_its_own_masks_is_as_before(name):
    plain, registered = build(name, **MODELS[name]), use_registered_attention(build(name, **MODELS[name]))
    ids = torch.arange(3, 20)[None]
    pads = torch.ones_like(ids)
    pads[0, 12:] = 0
    for mask in (None, pads):
        before, after = (model(input_ids=ids, attention_mask=mask).logits for model in (plain, registered))
        assert torch.equal(before, after)


def test_generation_goes_on_as_before():
    plain, registered = build("llama"), use_registered_attention(build("llama"))
    ids = torch.arange(3, 9)[None]
    words = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    assert plain.generate(ids, **words).equal(registered.generate(ids, **words))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_flex_hands_each_layer_its_block_mask():
    torch._dynamo.reset()  # a second length makes torch's CPU code generator fail
    samples = trie.rollouts(groups=2, answers=3, prompt=11, answer=9)
    changes = {"sliding_window": 5, "head_dim": 8, "dtype": torch.float32}
    model = use_registered_attention(build("gemma3", "flex_attention", num_hidden_layers=6, **changes))
    [source] = pack_batches(samples)
    batch = Collator(model=model)([source])
    assert isinstance(batch.attention_mask, LayerBlockMask)
    assert len(batch.attention_mask.tables) == 6
    with torch.no_grad():
        terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
        alone = separate_terms(build("gemma3", num_hidden_layers=6, **changes), samples)
    assert (terms - alone).abs().max() < 1e-4


class Layer(nn.Module):
    def __init__(self, **values):
        super().__init__()
        self.__dict__.update(values)


def test_layers_of_a_pattern():
    mask = torch.arange(3)[None, :, None, None]
    assert [int(mask_of_layer(mask, Layer(layer_idx=layer))) for layer in range(5)] == [0, 1, 2, 0, 1]
    assert mask_of_layer(mask[:, :1], Layer()).equal(mask[:, :1])
    assert mask_of_layer(None, Layer()) is None
    with pytest.raises(Unsupported, match="Layer has no layer_idx, so none of the 3 masks can be selected"):
        mask_of_layer(mask, Layer())


@pytest.mark.parametrize(("keyword", "word"), [("s_aux", "learned sinks"), ("softcap", "a soft cap")])
def test_sdpa_knows_no_sinks_and_no_soft_caps(keyword, word):
    query = torch.zeros(1, 1, 2, 4)
    with pytest.raises(Unsupported, match=f"sdpa does not support {word}"):
        layer_attention("sdpa", Layer(layer_idx=0), query, query, query, None, **{keyword: torch.ones(1)})


def test_the_window_is_not_applied_twice():
    """Some kernels would cut by the order of positions, which is not the order of any sample."""
    seen = {}

    def kernel(module, query, key, value, attention_mask, **keywords):
        seen.update(keywords)
        return value.transpose(1, 2), None

    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    query = torch.zeros(1, 1, 2, 4)
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    try:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = kernel
        layer_attention("sdpa", Layer(layer_idx=0), query, query, query, None, sliding_window=4, scaling=0.5)
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
    assert seen == {"scaling": 0.5}


def test_registering_twice_is_registering_once():
    assert register() == register() == ("masksynth_sdpa", "masksynth_eager", "masksynth_flex_attention")
    model = use_registered_attention(build("llama"))
    assert use_registered_attention(model) is model
    assert model.config._attn_implementation == "masksynth_sdpa"


def test_refusals():
    with pytest.raises(InvalidInstance, match="expected a transformers model, got Linear"):
        use_registered_attention(nn.Linear(1, 1))
    other = build("llama")
    other.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(Unsupported, match="'flash_attention_2' of LlamaForCausalLM does not support masks of pairs"):
        use_registered_attention(other)
    config = transformers.RwkvConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, attn_implementation="eager")
    with pytest.raises(Unsupported, match="RwkvForCausalLM does not use the attention interface"):
        use_registered_attention(transformers.RwkvForCausalLM(config))
    with pytest.raises(Unsupported, match="Linear has no eager attention"):
        attention_function("eager", nn.Linear(1, 1))


class OneMask(transformers.Qwen2ForCausalLM):
    """An unlisted class: windows in some layers, and no mapping of masks."""

    def forward(self, input_ids=None, attention_mask=None, **inputs):
        if isinstance(attention_mask, dict):
            raise TypeError("attention_mask is a tensor")
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, **inputs)


def test_a_class_that_takes_one_mask_for_layers_with_several():
    windows = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2}
    torch.manual_seed(0)
    model = OneMask(transformers.Qwen2Config(**{**SHAPE, **windows}, attn_implementation="sdpa")).double()
    words = r"does not take a mapping of masks by layer type; call .*use_registered_attention\(model\) first"
    with pytest.raises(Unsupported, match=words):
        Collator(model=model)
    samples = trie.rollouts(groups=2, answers=3, prompt=11, answer=9)
    [source] = pack_batches(samples)
    batch = Collator(model=use_registered_attention(model))([source])
    assert batch.attention_mask.shape[1] == 4
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    assert max(compare(model, samples, terms)) < 1e-5


@pytest.mark.parametrize(
    ("kind", "mask", "words"),
    [
        ("eager", torch.ones(1, 1, 3, 3, dtype=torch.bool), "eager attention: expected torch.float64, got torch.bool"),
        ("sdpa", torch.ones(1, 1, 3, 3, dtype=torch.int64), "expected torch.bool or torch.float64, got torch.int64"),
        ("sdpa", torch.zeros(1, 1, 3, 3), "expected torch.bool or torch.float64, got torch.float32"),
        ("sdpa", torch.ones(1, 4, 5, 5, dtype=torch.bool), r"expected \[1, P, 3, 3\], got \[1, 1, 5, 5\]"),
        ("sdpa", torch.ones(1, 1, 3, 3, dtype=torch.bool, device="meta"), "the mask is on meta, the model on cpu"),
    ],
)
def test_masks_that_would_be_read_otherwise(kind, mask, words):
    model = use_registered_attention(build("llama", kind))
    with pytest.raises(InvalidInstance, match=words) as caught:
        model(input_ids=torch.tensor([[3, 4, 5]]), attention_mask=mask)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_batch_size():
    model = use_registered_attention(build("llama"))
    mask = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    with pytest.raises(
        InvalidInstance, match=r"expected \[1, P, 3, 3\], got \[2, 1, 3, 3\]; pass batch.model_inputs of one"
    ):
        model(input_ids=torch.tensor([[5, 6, 7]]), attention_mask=mask, position_ids=torch.arange(3)[None])
