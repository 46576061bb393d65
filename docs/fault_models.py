"""Models and batches in which ``planted_faults.py`` plants faults: tiny and random, of the classes of transformers."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import transformers

from masksynth.mask import Mask
from masksynth.pack import PackedBatch

WINDOW, VOCABULARY = 5, 40
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT = {"vocab_size": VOCABULARY, "n_positions": 256, "n_embd": 32, "n_layer": 3, "n_head": 4, "initializer_range": 0.3}
GPT |= {"bos_token_id": None, "eos_token_id": None}
SLIDING, FULL, CHUNKED = "sliding_attention", "full_attention", "chunked_attention"
EXPERTS = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaForCausalLM", SHAPE),
    "GPT-2": ("GPT2LMHeadModel", GPT),
    "Mistral": ("MistralForCausalLM", {**SHAPE, "sliding_window": WINDOW}),
    "Qwen2": (
        "Qwen2ForCausalLM",
        {**SHAPE, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "Gemma 3": (
        "Gemma3ForCausalLM",
        {**SHAPE, "head_dim": 8, "sliding_window": WINDOW, "layer_types": [SLIDING, FULL, SLIDING]},
    ),
    "Llama 4": (
        "Llama4ForCausalLM",
        {
            **SHAPE,
            "head_dim": 8,
            "attention_chunk_size": WINDOW,
            "layer_types": [CHUNKED, FULL, CHUNKED],
            "no_rope_layers": [1, 0, 1],
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
        },
    ),
    "ModernBERT": (
        "ModernBertForMaskedLM",
        {
            **SHAPE,
            **TOKENS,
            "local_attention": 2 * (WINDOW - 1),
            "global_attn_every_n_layers": 2,
            "initializer_cutoff_factor": 2.0,
        },
    ),
    "Qwen2-VL": (
        "Qwen2VLTextModel",
        {**SHAPE, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}},
    ),
    "GPT-OSS": (
        "GptOssForCausalLM",
        {
            **SHAPE,
            "head_dim": 8,
            "sliding_window": WINDOW,
            "layer_types": [SLIDING, FULL, SLIDING],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "LFM2": ("Lfm2ForCausalLM", {**SHAPE, "layer_types": ["conv", FULL, "conv"]}),
    "Qwen3-Next": (
        "Qwen3NextForCausalLM",
        {**SHAPE, **EXPERTS, **LINEAR, "head_dim": 8, "layer_types": ["linear_attention", FULL, FULL]},
    ),
    "MPT": (
        "MptForCausalLM",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 3,
            "vocab_size": VOCABULARY,
            "max_seq_len": 256,
            "initializer_range": 0.3,
        },
    ),
    "RWKV": (
        "RwkvForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "attention_hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
        },
    ),
}
PLAIN, WINDOWED, TYPED = (
    ("Llama", "GPT-2"),
    ("Mistral", "Qwen2", "Gemma 3", "Llama 4", "GPT-OSS", "ModernBERT"),
    ("Qwen2", "Gemma 3", "Llama 4", "GPT-OSS"),
)
TWO_KINDS = (*TYPED, "ModernBERT")
MERGED = (*PLAIN, *WINDOWED, "Qwen2-VL")
EAGER = ("GPT-OSS", "MPT", "RWKV")
UNMASKED = ("LFM2", "Qwen3-Next", "MPT", "RWKV")


def build(name: str, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Any:
    """Return the model of a name, with sdpa attention where the class has it."""
    kind, settings = MODELS[name]
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    config = model_class.config_class(**settings)
    for key in ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "embedding_dropout", "mlp_dropout"):
        if hasattr(config, key):
            setattr(config, key, dropout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attention = "eager" if name in EAGER else "sdpa"
        model = model_class._from_config(config, attn_implementation=attention)
        for parameter in model.parameters():  # some classes draw next to nothing
            if parameter.dim() > 1 and float(parameter.detach().std()) < 0.05:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.to(dtype).eval()


def source_of(
    causal: bool = True, prompt: int = 9, answers: tuple[int, ...] = (7, 4, 6), keys: bool = False
) -> PackedBatch:
    """Return a merged batch of samples that share a prompt, or (not causal) of samples side by side.

    Adjacent documents see themselves completely.
    """
    random = np.random.default_rng(0)
    shared = prompt if causal else 0
    sizes = answers if causal else tuple(prompt + size for size in answers)
    begin = shared + np.cumsum([0, *sizes])
    rows: list[list[tuple[int, int]]] = [[(0, end + 1)] for end in range(shared)]
    position_ids, samples = list(range(shared)), []
    for first, last in pairwise(begin):
        for end in range(first, last):
            before = [(0, shared)] if shared else []
            own = (int(first), int(end) + 1) if causal else (int(first), int(last))
            rows.append([(0, own[1])] if before and own[0] == shared else [*before, own])
        position_ids += range(shared, shared + int(last - first))
        samples.append(np.append(np.arange(shared), np.arange(first, last)))
    size, count = len(position_ids), len(samples)
    ids = random.integers(4, VOCABULARY, size)
    places = np.array(position_ids)
    further = {"position_ids_1": places // 3, "position_ids_2": places % 3} if keys else {}
    return PackedBatch(
        samples=tuple(f"answer {number}" for number in range(count)),
        input_ids=ids,
        position_ids=places,
        mask=Mask.from_intervals([[tuple(row) for row in rows]]),
        loss_position=np.array([sample[-1] for sample in samples]),
        loss_label=random.integers(4, VOCABULARY, count),
        loss_sample=np.arange(count),
        loss_weight=np.ones(count),
        sample_offset=np.cumsum([0, *(len(sample) for sample in samples)]),
        sample_position=np.concatenate(samples),
        sample_weight=np.ones(count),
        loss_index=np.array([len(sample) for sample in samples]),
        dead_offset=np.arange(count + 1),
        dead_index=np.array([len(sample) for sample in samples]),
        dead_token=random.integers(4, VOCABULARY, count),
        keys=further,
    )
