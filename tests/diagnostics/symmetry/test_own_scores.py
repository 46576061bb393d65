"""Queries and keys that are read from a checkpoint, against the scores that the model itself computes, in float64.

Positions are all 0, where a rotary embedding turns nothing; biases are 0; scores are products before the scale.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from masksynth.diagnostics.symmetry import diagnose_weights
from masksynth.diagnostics.symmetry.attention_parts import read_parts
from masksynth.diagnostics.symmetry.checkpoint_layout import attentions
from masksynth.diagnostics.symmetry.torch_weights import diagnose_module, make_symmetric, store_of_module
from masksynth.diagnostics.symmetry.weight_store import open_checkpoint
from masksynth.errors import InvalidInstance
from tests.diagnostics.symmetry import dense

N = 5
WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
MLP = {"intermediate_size": 24}
FALCON = {"alibi": False, "bias": False, **WIDE}
LATENT = {
    "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 5, "kv_lora_rank": 12, "num_key_value_heads": 4, **WIDE,
    **MLP,
}  # fmt: skip
RECORDED: list[torch.Tensor] = []
STATES: list[tuple[torch.Tensor, torch.Tensor]] = []


def record(module, query, key, value, attention_mask, **options):
    """Attention that keeps the products of queries and keys, (H, N, N)."""
    STATES.append((query[0].detach(), key[0].detach()))
    group = query.shape[1] // key.shape[1]
    RECORDED.append((query @ key.repeat_interleave(group, 1).transpose(2, 3))[0].detach())
    width = value.shape[-1]
    return query.new_zeros(1, N, query.shape[1], width), None


transformers.AttentionInterface.register("record", record)
transformers.AttentionMaskInterface.register("record", lambda *arguments, **options: None)
MODELS = {
    "GPT-NeoX": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**WIDE, **MLP)),
    "Phi-3": lambda: transformers.Phi3ForCausalLM(
        transformers.Phi3Config(**WIDE, **MLP, num_key_value_heads=2, pad_token_id=0)
    ),
    "Persimmon": lambda: transformers.PersimmonForCausalLM(
        transformers.PersimmonConfig(**WIDE, **MLP, qk_layernorm=False)
    ),
    "GPT-BigCode, one key": lambda: transformers.GPTBigCodeForCausalLM(
        transformers.GPTBigCodeConfig(n_embd=32, n_layer=2, n_head=4, n_positions=16, vocab_size=50, multi_query=True)
    ),
    "GPT-BigCode": lambda: transformers.GPTBigCodeForCausalLM(
        transformers.GPTBigCodeConfig(n_embd=32, n_layer=2, n_head=4, n_positions=16, vocab_size=50, multi_query=False)
    ),
    "Llama, grouped": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**WIDE, **MLP, num_key_value_heads=2)
    ),
}
OTHERS = {
    "BLOOM": (
        lambda: transformers.BloomForCausalLM(
            transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=50)
        ),
        lambda module, states: module._reshape(module.query_key_value(states))[:2],
    ),
    "Falcon, one key": (
        lambda: transformers.FalconForCausalLM(transformers.FalconConfig(**FALCON, multi_query=True)),
        lambda module, states: module._split_heads(module.query_key_value(states))[:2],
    ),
    "Falcon, heads": (
        lambda: transformers.FalconForCausalLM(transformers.FalconConfig(**FALCON, multi_query=False)),
        lambda module, states: module._split_heads(module.query_key_value(states))[:2],
    ),
    "Falcon, groups": (
        lambda: transformers.FalconForCausalLM(
            transformers.FalconConfig(**FALCON, new_decoder_architecture=True, num_kv_heads=2)
        ),
        lambda module, states: module._split_heads(module.query_key_value(states))[:2],
    ),
}


def filled(model):
    """Return the model in float64 with random weights, zero biases, in evaluation."""
    torch.manual_seed(3)
    model = model.double().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.zero_()
            else:
                value.copy_(torch.randn_like(value) * (0.5 + torch.rand_like(value)))
    return model


@contextmanager
def inputs(model, names):
    """Collect the inputs of modules by name, (N, d)."""
    seen, handles = {}, []
    for name in names:
        module = model.get_submodule(name)
        handles.append(
            module.register_forward_pre_hook(
                lambda _, given, name=name: seen.__setitem__(name, given[0][0].detach().reshape(N, -1))
            )
        )
    yield seen
    for handle in handles:
        handle.remove()


def run(model, names):
    """Return the scores that the model computes in each layer, and the states that the named tensors read."""
    RECORDED.clear()
    STATES.clear()
    model.set_attn_implementation("record")
    with inputs(model, names) as seen, torch.no_grad():
        zeros = torch.zeros(1, N, dtype=torch.int64)
        model(input_ids=torch.arange(1, N + 1)[None], position_ids=zeros, use_cache=False)
    return list(RECORDED), seen


def products(layer, store, states):
    query, key = read_parts(store, layer)
    return np.stack([states @ head @ states.T for head in dense.heads(query, key, layer.heads, layer.key_heads)])


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_model(name):
    model = filled(MODELS[name]())
    store = store_of_module(model)
    layers = attentions(store)
    assert len(layers) == 2
    own, seen = run(model, [layer.query.name.removesuffix(".weight") for layer in layers])
    for layer, scores in zip(layers, own, strict=True):
        states = seen[layer.query.name.removesuffix(".weight")].numpy()
        assert np.allclose(products(layer, store, states), scores.numpy(), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", OTHERS)
def test_scores_are_those_of_the_models_own_split(name):
    """Models that compute attention themselves: their function that splits queries and keys gives the scores."""
    build, split = OTHERS[name]
    model = filled(build())
    store = store_of_module(model)
    states = torch.randn(1, N, 32, dtype=torch.float64)
    for layer in attentions(store):
        module = model.get_submodule(layer.query.name.removesuffix(".query_key_value.weight"))
        query, key = split(module, states)
        query, key = (
            part if part.shape[1] in (1, 4) and part.shape[2] == N else part.transpose(1, 2) for part in (query, key)
        )
        scores = (query @ key.transpose(2, 3))[0].detach().numpy()
        assert np.allclose(products(layer, store, states[0].numpy()), scores, rtol=1e-10, atol=1e-9)


def test_codegen_has_four_blocks_of_queries_values_and_keys():
    config = transformers.CodeGenConfig(n_embd=32, n_layer=1, n_head=4, n_positions=16, rotary_dim=4, vocab_size=50)
    model = filled(transformers.CodeGenForCausalLM(config))
    store = store_of_module(model)
    (layer,) = attentions(store)
    kept = []
    attention = model.transformer.h[0].attn
    own = attention._attn
    attention._attn = lambda query, key, *rest: (kept.append(query @ key.transpose(2, 3)), own(query, key, *rest))[1]
    with inputs(model, [layer.query.name.removesuffix(".weight")]) as seen, torch.no_grad():
        model(input_ids=torch.arange(1, N + 1)[None], position_ids=torch.zeros(1, N, dtype=torch.int64))
    (states,) = seen.values()
    assert np.allclose(products(layer, store, states.numpy()), kept[0][0].numpy(), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "rank"),
    [
        ("DeepseekV2", None),
        ("DeepseekV3", None),
        *((kind, 10) for kind in ("DeepseekV2", "DeepseekV3", "MiniCPM3", "Youtu", "Glm4MoeLite", "Mistral4")),
    ],
)
def test_latent_attention_is_the_part_without_positions(kind, rank):
    """Up to the root mean square of each token's latent state, which is a positive number."""
    experts = {"first_k_dense_replace": 2, "n_routed_experts": 4, "n_group": 1, "topk_group": 1}
    if kind == "Glm4MoeLite":
        experts["mlp_layer_types"] = ["dense", "dense"]
    config = getattr(transformers, f"{kind}Config")(**LATENT, q_lora_rank=rank, **experts)
    model = filled(getattr(transformers, f"{kind}ForCausalLM")(config))
    store = store_of_module(model)
    layers = attentions(store)
    assert [(layer.kind, layer.heads) for layer in layers] == [("DeepSeek", 4)] * 2
    _, seen = run(model, [f"{layer.name}.kv_a_proj_with_mqa" for layer in layers])
    for layer, (query, key) in zip(layers, STATES, strict=True):
        module, states = model.get_submodule(layer.name), seen[f"{layer.name}.kv_a_proj_with_mqa"]
        scale = root_mean_square(module.kv_a_layernorm, module.kv_a_proj_with_mqa(states)[:, :12])[None]
        if rank is not None:
            scale = scale * root_mean_square(module.q_a_layernorm, module.q_a_proj(states))[:, None]
        scores = (query[..., :6] @ key[..., :6].transpose(1, 2) * scale).detach().numpy()
        written = products(layer, store, states.numpy())
        assert np.abs(written - scores).max() < 1e-6 * np.abs(scores).max()  # the module's norm computes in float32
    assert any("latent attention" in note for note in diagnose_module(model).notes)
    with pytest.raises(InvalidInstance, match="products of two weights, and neither can be set alone"):
        make_symmetric(model)


def root_mean_square(norm, latent):
    """What a norm divides each latent state by, (N,)."""
    return (latent.pow(2).mean(1) + norm.variance_epsilon).sqrt()


def test_torch_attention_and_vit_blocks_are_stacked():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(12, 3, bias=False, batch_first=True).double()
    query, key = (attention.in_proj_weight[start : start + 12].detach().numpy().T for start in (0, 12))
    for name in ("blocks.0.attn.qkv.weight", "encoder.layers.0.self_attn.in_proj_weight"):
        found = diagnose_weights({name: attention.in_proj_weight.detach().numpy()}, config={"num_heads": 3})
        assert found.layers[0].symmetry == pytest.approx(dense.symmetry(query @ key.T), abs=1e-12)
        assert found.layers[0].heads == 3
    crossed = nn.TransformerDecoderLayer(12, 3, 8, bias=False)
    assert [layer.name for layer in diagnose_module(crossed).layers] == ["self_attn"]


def test_internlm2_is_stored_by_group():
    """[G, H/G + 2, d_h]: its modelling code is remote; this is its rearrangement "(h gs d)", gs = 2 + groups."""
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(2, 2, 4, 16)), rng.normal(size=(2, 1, 4, 16)), rng.normal(size=(2, 1, 4, 16))
    stored = np.concatenate([query, key, value], axis=1).reshape(-1, 16)
    config = {"model_type": "internlm2", "num_attention_heads": 4, "num_key_value_heads": 2}
    found = diagnose_weights({"model.layers.0.attention.wqkv.weight": stored}, config=config).layers[0]
    whole = dense.heads(query.reshape(16, 16).T, key.reshape(8, 16).T, 4, 2)
    assert found.head_symmetry == pytest.approx([dense.symmetry(one) for one in whole], abs=1e-12)


@pytest.mark.parametrize(
    ("arrays", "config", "fact"),
    [
        ({"h.0.query_key_value.weight": (36, 12)}, {}, "of a model that config.json does not name, whose order"),
        ({"h.0.query_key_value.weight": (36, 12)}, {"model_type": "chatglm"}, "model_type 'chatglm', whose order"),
        ({"h.0.query_key_value.weight": (36, 12)}, {"model_type": "bloom"}, "number of heads, which decides its order"),
        (
            {"h.0.query_key_value.weight": (35, 12)},
            {"model_type": "bloom", "n_head": 3},
            r"\[35, 12\], which does not hold the queries, keys and values of 3 heads",
        ),
        ({"h.0.kv_b_proj.weight": (36, 12)}, {"model_type": "new"}, "is latent attention of model_type 'new'"),
        ({"h.0.kv_b_proj.weight": (36, 12)}, {"model_type": "deepseek_v3"}, "kv_a_proj_with_mqa.weight: is missing"),
    ],
)
def test_unknown_orders_are_refused_by_name(arrays, config, fact):
    with pytest.raises(InvalidInstance, match=fact):
        diagnose_weights({name: np.ones(shape) for name, shape in arrays.items()}, config=config)


def test_saved_latent_and_fused_models_are_read_as_in_memory(tmp_path):
    model = MODELS["GPT-NeoX"]()
    model.save_pretrained(tmp_path)
    assert diagnose_weights(open_checkpoint(tmp_path)).symmetry == diagnose_module(model).symmetry
