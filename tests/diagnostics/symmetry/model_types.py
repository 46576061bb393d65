"""What is read from tiny models of any type of transformers, against the products that the model multiplies itself.

python -m tests.diagnostics.symmetry.model_types [TYPE ...]

tries the named types, or all, which takes some minutes, and prints what became of each. A model is built with random
weights in float64, saved and read. While it runs, all products of two matrices that are square are caught; queries and
keys have no biases, norms and rotations. Each layer that is read has to give one of these products from the states that
its query weights have read.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
import warnings
from collections import Counter
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from masksynth.diagnostics.symmetry.attention_parts import read_parts
from masksynth.diagnostics.symmetry.checkpoint_layout import attentions
from masksynth.diagnostics.symmetry.weight_store import open_checkpoint
from masksynth.errors import InvalidInstance
from tests.diagnostics.symmetry import dense

N, VOCABULARY, LARGEST = 7, 64, 20_000_000
SIZES = {
    32: "hidden_size d_model n_embd dim embed_dim embedding_size encoder_hidden_size word_embed_proj_dim",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads patch_size "
    "num_local_experts num_experts n_routed_experts num_key_value_heads num_kv_heads qk_rope_head_dim",
    24: "intermediate_size n_inner ffn_dim d_ff encoder_ffn_dim decoder_ffn_dim hidden_dim moe_intermediate_size",
    8: "head_dim d_kv",
    VOCABULARY: "vocab_size max_position_embeddings n_positions n_ctx",
    16: "q_lora_rank image_size projection_dim",
    12: "kv_lora_rank",
    6: "qk_nope_head_dim",
    5: "v_head_dim",
}
SMALL = {name: size for size, names in SIZES.items() for name in names.split()}
NORMS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm", "query_layernorm", "key_layernorm", "qk_norm")
TABLES = (modeling_auto.MODEL_MAPPING, modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING)


class Outcome(NamedTuple):
    """right, wrong, refused, or why a type was not compared; with details."""

    kind: str
    detail: str = ""


class Products(TorchDispatchMode):
    """Catch the products of two stacks of matrices that are square, (B, n, n)."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = str(function)
        if "bmm" in name and result.ndim == 3 and result.shape[1] == result.shape[2] > 1:
            left, right = args[1:3] if "baddbmm" in name else args[:2]
            self.found.append((left @ right).detach().numpy().copy())
        return result


def tiny(kind, **other):
    """Return a config of small sizes, also in the configs that it contains."""
    base = kind()
    chosen = {}
    for name, value in vars(base).items():
        if isinstance(value, transformers.PreTrainedConfig):
            chosen[name] = tiny(type(value)).to_dict()
        elif name in SMALL and type(value) is int:
            chosen[name] = SMALL[name]
        elif name.endswith("token_id") and value is not None:
            chosen[name] = 2
        elif "drop" in name and type(value) in (int, float):
            chosen[name] = type(value)(0)
    return kind(**{**chosen, **other})


def prepared(model):
    """Return the model in float64 with random weights, without biases, norms and rotations of queries and keys."""
    torch.manual_seed(3)
    model = model.double().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.randn_like(value) * 0.2 if value.ndim > 1 else 0.5 + torch.rand_like(value))
            if "bias" in name.rpartition(".")[2]:
                value.zero_()
            if name.endswith("kv_a_proj_with_mqa.weight"):
                value[SMALL["kv_lora_rank"] :] = 0  # the rotary part of latent attention, which is not scored
    for name, _ in list(model.named_modules()):
        parent, _, last = name.rpartition(".")
        if last in NORMS:
            setattr(model.get_submodule(parent), last, nn.Identity())
    return model


def without_rotation():
    """Return what to put back after replacing each function that rotates queries and keys by one that does not."""
    saved = []
    for name, module in list(sys.modules.items()):
        for key, value in list(vars(module).items()) if name.startswith("transformers.models.") else ():
            if inspect.isfunction(value) and "apply_rotary" in key:
                saved.append((module, key, value))
                setattr(module, key, _same)
    return saved


def _same(query, key=None, *rest, **options):
    return (query, key) if torch.is_tensor(key) and key.shape[-2:] == query.shape[-2:] else query


def compare(name):
    """Return what became of a type of model."""
    try:
        config = tiny(CONFIG_MAPPING[name])
        table = next((table for table in TABLES if type(config) in table), None)
        if table is None:
            return Outcome("no model")
        config._attn_implementation = config._experts_implementation = "eager"
        with torch.device("meta"):
            size = sum(value.numel() for value in table[type(config)](config).parameters())
        if size > LARGEST:
            return Outcome("too large", f"{size:,}")
        model = prepared(table[type(config)](config))
    except Exception as error:  # whatever a config of small sizes does to one of 800 types
        return Outcome("not built", f"{type(error).__name__}: {error}")
    saved = without_rotation()
    try:
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            store = open_checkpoint(folder)
            layers = [(layer, *read_parts(store, layer)) for layer in attentions(store)]
            inner = [store.read(_innermost(layer.query).name) for layer, _, _ in layers]
        return _run(model, layers, inner)
    except InvalidInstance as refusal:
        return Outcome("refused", str(refusal).replace(folder, "F"))
    finally:
        for module, key, value in saved:
            setattr(module, key, value)


def _innermost(part):
    return part if part.inner is None else _innermost(part.inner)


def _run(model, layers, inner):
    """Run the model and compare each layer with the products that were caught."""
    states = {}
    for index, tensor in enumerate(inner):
        owner = next((name for name, value in model.named_parameters() if _equal(value, tensor)), None)
        if owner is None:
            return Outcome("not found", layers[index][0].name)
        owner = model.get_submodule(owner.rpartition(".")[0])
        owner.register_forward_pre_hook(partial(_keep, states, index), with_kwargs=True)
    products = Products()
    try:
        with products, torch.no_grad():
            model(**_inputs(model))
    except Exception as error:  # models want inputs of many kinds
        return Outcome("not run", f"{type(error).__name__}: {error}")
    states = {index: read for index, read in states.items() if read.size > read.shape[-1]}  # one token has no order
    found = [
        index in states and any(_agree(layer, query, key, states[index], own) for own in products.found)
        for index, (layer, query, key) in enumerate(layers)
    ]
    unread = sum(index not in states for index in range(len(layers)))
    kinds = ", ".join(sorted({layer.kind for layer, _, _ in layers}))
    if not any(found):
        return Outcome("wrong" if unread < len(layers) else "not run", kinds)
    return Outcome("right" if all(found) else "in part" if unread == found.count(False) else "wrong", kinds)


def _keep(states, index, _, given, named):
    read = next(value for value in (*given, *named.values()) if torch.is_tensor(value) and value.is_floating_point())
    states.setdefault(index, read.detach().clone().numpy())


def _equal(value, tensor):
    return tuple(value.shape) == tensor.shape and np.array_equal(value.detach().numpy(), tensor)


def _inputs(model):
    wanted = inspect.signature(model.forward).parameters
    given = {}
    if "input_ids" in wanted:
        given["input_ids"] = torch.arange(3, 3 + N)[None]
    if "decoder_input_ids" in wanted:
        given["decoder_input_ids"] = torch.arange(3, 3 + N)[None].flip(1)
    if "pixel_values" in wanted:
        given["pixel_values"] = torch.randn(1, 3, 16, 16, dtype=torch.double)
    return given


def _agree(layer, query, key, states, own):
    """Return whether products are those of W_q and W_k up to a positive factor, in latent attention one a token."""
    read = states.reshape(-1, *states.shape[-2:]) if states.ndim < 4 else states.reshape(len(states), -1, len(query))
    read = read.swapaxes(0, 1) if read.shape[1] == 1 else read
    if not layer.heads and own.shape[1] == read.shape[1]:
        own = own.reshape(len(read), -1, *own.shape[1:]).sum(1)  # heads that are not known are scored as one
    pairs = dense.heads(query, key, layer.heads or 1, layer.key_heads or 1)
    expected = np.stack([read @ head @ read.swapaxes(1, 2) for head in pairs], axis=1).reshape(-1, *[read.shape[1]] * 2)
    if own.shape != expected.shape:
        return False
    if layer.key.inner is not None:
        ratio = own / expected
        logs = np.log(np.abs(ratio))
        mixed = logs - logs.mean(2, keepdims=True) - logs.mean(1, keepdims=True) + logs.mean((1, 2), keepdims=True)
        return bool((ratio > 0).all() and np.abs(mixed).max() < 1e-4)  # norms of latent states are float32
    factor = np.vdot(expected, own) / np.vdot(expected, expected)
    return factor > 0 and np.abs(own - factor * expected).max() < 1e-6 * np.abs(own).max()


def main(names):
    """Print what became of each type, and how many there are of each kind."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    counts = Counter()
    for name in names or sorted(CONFIG_MAPPING):
        outcome = compare(name)
        counts[outcome.kind] += 1
        print(f"{name}: {outcome.kind}: {outcome.detail}".replace("\n", " ")[:200], flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
