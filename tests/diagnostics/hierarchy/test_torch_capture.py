"""Queries and keys of transformers, checked against their own attention probabilities; trees of samples in models."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel

from masksynth.diagnostics.hierarchy import diagnose_hierarchy, grid_windows, lists_of_tree, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_capture import queries_and_keys
from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers
from masksynth.errors import InvalidInstance, Unsupported
from tests.diagnostics.hierarchy.test_torch_models import bert, special
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture
from tests.torch.models import gpt2, rotary


def padded(size=9, real=6):
    tokens = torch.randint(1, 39, (2, size), generator=torch.Generator().manual_seed(0))
    padding = torch.ones(2, size, dtype=torch.long)
    padding[1, real:] = 0
    return {"input_ids": tokens, "attention_mask": padding}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [bert, gpt2, rotary], ids=["bert", "gpt2", "llama"])
def test_their_softmax_is_the_attention_of_the_model(make, attention):
    model, inputs = make().eval(), padded()
    options = {} if make is bert else {"use_cache": False}
    model.set_attn_implementation("eager")
    with torch.no_grad():
        want = model(**inputs, **options, output_attentions=True).attentions
        model.set_attn_implementation(attention)
        before = model(**inputs, **options)[0]
        found = queries_and_keys(model, **inputs, **options)
        assert torch.equal(model(**inputs, **options)[0], before)
    assert [one.layer for one in found] == list(range(len(want)))
    for one, weights in zip(found, want, strict=True):
        score = one.q @ one.k.transpose(-1, -2) / one.q.shape[-1] ** 0.5
        may = one.real[:, None, None, :].expand_as(score)
        may = may.tril() if one.causal else may
        rows = torch.where(may, score, float("-inf")).softmax(-1)
        assert one.causal == (make is not bert)
        assert ((rows - weights).abs() * one.real[:, None, :, None]).max() < 1e-5


def test_they_are_measured_by_the_diagnosis():
    (one,) = queries_and_keys(bert(), [-1], **padded())
    found = diagnose_hierarchy(windows(9, (3,)), one.q[0], one.k[0], included=True)
    assert found.heads == 4
    assert found.kl_total > 0
    flat = diagnose_hierarchy(windows(9, ()), one.q[0], one.k[0], included=True)
    assert flat.kl_total < 1e-6


def test_scores_that_are_not_dot_products_and_layers_that_are_not_there_are_refused():
    tokens = torch.randint(3, 50, (1, 8), generator=torch.Generator().manual_seed(0))
    for kind in ("softcap", "s_aux", "position_bias"):
        with pytest.raises(Unsupported, match=kind):
            queries_and_keys(special(kind), input_ids=tokens)
    with pytest.raises(InvalidInstance, match="layer 7"):
        queries_and_keys(bert(), [7], input_ids=tokens)
    with pytest.raises(Unsupported, match="interface"):
        queries_and_keys(torch.nn.Linear(2, 2), input_ids=tokens)


def test_a_model_takes_the_tree_of_each_sample():
    model, inputs = bert(), padded(6, 4)
    trees = [tree_of_lists([[0, 1], [2, 3, 4], 5]), tree_of_lists([[0, 1, 2], 3])]
    with torch.no_grad():
        with hierarchical_layers(model, [0, 2], trees):
            together = model(**inputs)[0]
        for sample, (tree, size) in enumerate(zip(trees, (6, 4), strict=True)):
            with hierarchical_layers(model, [0, 2], lambda _, tree=tree: tree):
                alone = model(input_ids=inputs["input_ids"][sample : sample + 1, :size])[0][0]
            assert (together[sample, :size] - alone).abs().max() < 1e-4 * alone.abs().max()
    holes = {**inputs, "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1]])}
    with pytest.raises(InvalidInstance, match="pad on the right"), hierarchical_layers(model, [0], trees):
        model(**holes)


def test_trees_begin_at_the_first_real_position_of_their_samples():
    model, inputs = rotary().eval(), padded(9, 6)
    trees = [windows(9, (3,)), tree_of_lists([[0, 1], [2, 3, 4], 5])]
    left = {name: table.clone() for name, table in inputs.items()}
    for table in left.values():
        table[1] = table[1].roll(3)
    with torch.no_grad(), hierarchical_layers(model, [0, 2], trees):
        right = model(**inputs)[0]
        found = model(**left)[0]
    assert (found[0] - right[0]).abs().max() < 1e-5 * right.abs().max()
    assert (found[1, 3:] - right[1, :6]).abs().max() < 1e-4 * right.abs().max()


SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
IMAGES = {**SIZES, "image_size": 12, "patch_size": 4}
ZOO = {
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},  # norms of queries and keys
    "gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 40, "attn_logit_softcapping": None},
    "granite": {"num_key_value_heads": 2, "attention_multiplier": 0.7},
    "gpt_neox": {},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "stablelm": {"num_key_value_heads": 2},
    "modernbert": {"num_hidden_layers": 3},
    "roberta": {},
    "distilbert": {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4},  # modules without an index
    "esm": {"position_embedding_type": "rotary"},
    "vit": IMAGES,
    "dinov2": IMAGES,
    "clip_vision_model": IMAGES,
    "siglip_vision_model": IMAGES,
}


def tiny(kind, **settings):
    """Return a random model with eager attention, and inputs: images, or texts with padding."""
    given = {**SIZES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3, **settings}
    config = AutoConfig.for_model(kind, **given)
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    if "image_size" in settings:
        return model, {"pixel_values": torch.randn(2, 3, 12, 12)}
    return model, {**padded(), **({"use_cache": False} if hasattr(config, "use_cache") else {})}


@pytest.mark.parametrize("kind", ZOO)
def test_queries_and_keys_are_those_of_the_model_and_a_flat_tree_changes_nothing(kind):
    model, inputs = tiny(kind, **ZOO[kind])
    with torch.no_grad():
        plain = model(**inputs, output_attentions=True)
        with hierarchical_layers(model, [0, 1], ()):
            flat = model(**inputs)[0]
    assert (flat - plain[0])[0].abs().max() < 1e-5 * plain[0].abs().max()
    for one in queries_and_keys(model, **inputs):
        score = one.q @ one.k.transpose(-1, -2) / one.q.shape[-1] ** 0.5
        may = one.real[:, None, None, :].expand_as(score)
        rows = torch.where(may.tril() if one.causal else may, score, float("-inf")).softmax(-1)
        assert ((rows - plain.attentions[one.layer]).abs() * one.real[:, None, :, None]).max() < 1e-5


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("bloom", {"n_layer": 2, "n_head": 4}, "interface"),  # position biases of its own
        ("mpt", {"d_model": 16, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2}, "interface"),
        ("falcon", {"alibi": True}, "interface"),
        ("gptj", {"n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, "interface"),
        ("deberta-v2", {}, "interface"),
        ("albert", {"embedding_size": 8}, "layer 0 of its own"),
        ("gemma2", {"head_dim": 8, "attn_logit_softcapping": 9.0}, "softcap"),
        ("gpt_oss", {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}, "s_aux"),
        ("mistral", {"sliding_window": 3}, "sliding window"),
        ("bart", {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2}, "cross-attention"),
    ],
)
def test_other_attention_is_refused_in_one_line(kind, settings, said):
    model, inputs = tiny(kind, **settings)
    with pytest.raises(Unsupported, match=said) as first:
        queries_and_keys(model, **inputs)
    with torch.no_grad(), pytest.raises(Unsupported, match=said) as second, hierarchical_layers(model, [0], ()):
        model(**inputs)
    assert all("\n" not in str(each.value) for each in (first, second))


def test_position_biases_of_an_encoder_are_refused():
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4}
    model = T5EncoderModel(T5Config(vocab_size=40, **sizes)).eval()
    with pytest.raises(Unsupported):
        queries_and_keys(model, **padded())


def test_an_image_model_has_a_tree_of_squares():
    model, images = tiny("vit", **IMAGES)
    squares = lists_of_tree(grid_windows(3, 3))
    tree = tree_of_lists([0, [[1 + pixel for pixel in square] for square in squares]])  # the class token, and patches
    with torch.no_grad():
        plain = model(**images)[0]
        with hierarchical_layers(model, [1], lambda _: tree):
            tied = model(**images)[0]
    assert torch.equal(plain.isfinite(), tied.isfinite())
    assert 1e-3 < (tied - plain).abs().max() < plain.abs().max()
