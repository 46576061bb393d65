"""Tiny random models of Hugging Face transformers, as data: a class, and how its config differs from a common one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

VOCABULARY = 60
RESERVED = 3
"""Token ids below it are special in some class (padding, beginning, end): samples do not use them."""
WINDOW, CHUNK = 5, 8
SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    **SPECIAL,
}
GPT = {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 16, "n_layer": 3, "n_head": 4, "initializer_range": 0.3}
GPT |= SPECIAL
BOTH, EAGER = ("sdpa", "eager"), ("eager",)


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Parameters
    ----------
    model : str
        A class of transformers.
    settings : mapping
        Of its config, over ``base``.
    base : mapping
        ``SIZES``, or ``GPT`` where a config has GPT-2's words.
    attention : tuple of str
        The implementations that the class accepts.
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=lambda: SIZES)
    attention: tuple[str, ...] = BOTH

    def with_settings(self, **settings: Any) -> Entry:
        """Return the entry with further settings."""
        return Entry(self.model, {**self.settings, **settings}, self.base, self.attention)


def layer_types(*kinds: str) -> dict[str, Any]:
    """Return the settings of a model with these layers."""
    return {"layer_types": list(kinds), "num_hidden_layers": len(kinds)}


WINDOWS = {"sliding_window": WINDOW, **layer_types("sliding_attention", "full_attention", "sliding_attention")}
USED_WINDOWS = {"use_sliding_window": True, **WINDOWS}
LATER_WINDOWS = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
HEAD = {"head_dim": 4}
EXPERTS = {"experts_implementation": "eager", "num_experts_per_tok": 2}  # grouped products know no float64
LOCAL = {"num_local_experts": 4, **EXPERTS}
ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 12, "first_k_dense_replace": 1}
ROUTED |= {"n_group": 1, "topk_group": 1, **EXPERTS}
LATENT = {"num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 12, "v_head_dim": 4, **HEAD, **ROUTED}
LATENT |= {"qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
SHARED = {"num_experts": 4, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 12, **EXPERTS}
HALF_WINDOW = {"local_attention": 2 * WINDOW}  # half of it is seen on each side
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "pad_token_id": 0}
INDEXED = {**LATENT, "index_head_dim": 8, "index_n_heads": 16, "index_topk": 4}
NO_DROPOUT = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
UNDROPPED = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CODE = {"residual_dropout": 0.0, "embedding_dropout": 0.0}
CHUNKS = {"attention_chunk_size": CHUNK, "no_rope_layers": [1, 0, 1], **HEAD}
CHUNKS |= layer_types("chunked_attention", "full_attention", "chunked_attention")
CHUNKS |= {"intermediate_size_mlp": 24, "moe_layers": [1], **LOCAL, "num_experts_per_tok": 1}
LOCAL_GPT = {
    "num_hidden_layers": 4,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 2]],
    "window_size": WINDOW,
}
LOCAL_GPT |= {"attention_dropout": 0.0, "embed_dropout": 0.0, "resid_dropout": 0.0}
SHARED_KEYS = {**HEAD, "sliding_window": WINDOW, "num_kv_shared_layers": 2, "vocab_size_per_layer_input": VOCABULARY}
SHARED_KEYS |= {"hidden_size_per_layer_input": 8}
SHARED_KEYS |= layer_types(*["sliding_attention", "full_attention"] * 2)

EXACT = {
    "Llama": Entry("LlamaForCausalLM"),
    "XLM-RoBERTa decoder": Entry("XLMRobertaForCausalLM", {**UNDROPPED, "is_decoder": True, "pad_token_id": 1}),
    "CodeGen": Entry("CodeGenForCausalLM", {"rotary_dim": 4, **NO_DROPOUT}, GPT, EAGER),
    "Beam, windows": Entry("BeamForCausalLM", {**HEAD, **ROUTED, **WINDOWS}),
    "Mistral": Entry("MistralForCausalLM", {"sliding_window": None}),
    "Mistral, window": Entry("MistralForCausalLM", {"sliding_window": WINDOW}),
    "Mixtral": Entry("MixtralForCausalLM", LOCAL),
    "Mixtral, window": Entry("MixtralForCausalLM", {"sliding_window": WINDOW, **LOCAL}),
    "Qwen2": Entry("Qwen2ForCausalLM"),
    "Qwen2, windows": Entry("Qwen2ForCausalLM", LATER_WINDOWS),
    "Qwen2, unused window": Entry("Qwen2ForCausalLM", {**LATER_WINDOWS, "use_sliding_window": False}),
    "Qwen2-MoE": Entry("Qwen2MoeForCausalLM", SHARED),
    "Qwen2-MoE, windows": Entry("Qwen2MoeForCausalLM", {**SHARED, **LATER_WINDOWS}),
    "Qwen3": Entry("Qwen3ForCausalLM", HEAD),
    "Qwen3, windows": Entry("Qwen3ForCausalLM", {**HEAD, **LATER_WINDOWS}),
    "Qwen3-MoE": Entry("Qwen3MoeForCausalLM", {"num_experts": 4, "moe_intermediate_size": 12, **HEAD, **EXPERTS}),
    "Gemma": Entry("GemmaForCausalLM", HEAD),
    "Gemma 2, windows": Entry("Gemma2ForCausalLM", {**HEAD, "query_pre_attn_scalar": 4, **WINDOWS}, attention=EAGER),
    "Gemma 3, windows": Entry("Gemma3ForCausalLM", {**HEAD, "query_pre_attn_scalar": 4, **WINDOWS}),
    "Gemma 3n, windows": Entry("Gemma3nForCausalLM", {**SHARED_KEYS, "laurel_rank": 4, "altup_num_inputs": 2}),
    "Gemma 4, windows": Entry("Gemma4ForCausalLM", {**SHARED_KEYS, "global_head_dim": 8}),
    "Phi": Entry("PhiForCausalLM"),
    "Phi-3": Entry("Phi3ForCausalLM", {"sliding_window": None, "pad_token_id": 0}),
    "Phi-3, window": Entry("Phi3ForCausalLM", {"sliding_window": WINDOW, "pad_token_id": 0}),
    "GPT-2": Entry("GPT2LMHeadModel", NO_DROPOUT, GPT),
    "GPT-NeoX": Entry("GPTNeoXForCausalLM", {"hidden_dropout": 0.0, "attention_dropout": 0.0}),
    "GPT-J": Entry("GPTJForCausalLM", {"rotary_dim": 4, **NO_DROPOUT}, GPT, EAGER),
    "SmolLM3": Entry("SmolLM3ForCausalLM", {"no_rope_layers": [1, 0, 1]}),
    "SmolLM3, windows": Entry("SmolLM3ForCausalLM", {"no_rope_layers": [1, 0, 1], **USED_WINDOWS}),
    "Granite": Entry("GraniteForCausalLM"),
    "GraniteMoE": Entry("GraniteMoeForCausalLM", LOCAL),
    "DeepSeek-V2": Entry("DeepseekV2ForCausalLM", LATENT),
    "DeepSeek-V3": Entry("DeepseekV3ForCausalLM", {**LATENT, "n_group": 2}),
    "GLM-4": Entry("Glm4ForCausalLM", HEAD),
    "GLM-4 MoE": Entry("Glm4MoeForCausalLM", {**HEAD, **ROUTED}),
    "Llama 4, chunks": Entry("Llama4ForCausalLM", CHUNKS),
    "OLMo": Entry("OlmoForCausalLM"),
    "OLMo 2": Entry("Olmo2ForCausalLM"),
    "OLMo 3, windows": Entry("Olmo3ForCausalLM", WINDOWS),
    "OLMoE": Entry("OlmoeForCausalLM", {"num_experts": 4, **EXPERTS}),
    "Cohere": Entry("CohereForCausalLM", {"logit_scale": 1.0}),
    "Cohere 2, windows": Entry("Cohere2ForCausalLM", {"logit_scale": 1.0, **WINDOWS}),
    "StableLM": Entry("StableLmForCausalLM"),
    "Starcoder2": Entry("Starcoder2ForCausalLM", CODE),
    "Starcoder2, window": Entry("Starcoder2ForCausalLM", {"sliding_window": WINDOW, **CODE}),
    "GPT-OSS, windows and sinks": Entry("GptOssForCausalLM", {**HEAD, **WINDOWS, **LOCAL}, attention=EAGER),
    "EXAONE 4, windows": Entry("Exaone4ForCausalLM", {"sliding_window_pattern": "LLG", **WINDOWS}),
    "Ministral, windows": Entry("MinistralForCausalLM", {**HEAD, **WINDOWS}),
    "Apertus": Entry("ApertusForCausalLM"),
    "Arcee": Entry("ArceeForCausalLM"),
    "Nemotron": Entry("NemotronForCausalLM"),
    "Helium": Entry("HeliumForCausalLM", HEAD),
    "Seed-OSS": Entry("SeedOssForCausalLM", {**HEAD, "attention_dropout": 0.0, "residual_dropout": 0.0}),
    "ERNIE 4.5": Entry("Ernie4_5ForCausalLM", HEAD),
    "dots1, windows": Entry("Dots1ForCausalLM", {**HEAD, **ROUTED, **WINDOWS}),
    "OPT": Entry("OPTForCausalLM", {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.0, "pad_token_id": 1}),
    "Falcon": Entry("FalconForCausalLM", {"alibi": False, "num_kv_heads": 2, "new_decoder_architecture": True}),
    "ModernBERT decoder, windows": Entry("ModernBertDecoderForCausalLM", {**HALF_WINDOW, **WINDOWS, **TOKENS}),
}
"""Models whose layers mix positions through masked attention alone."""

LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 4, "linear_value_head_dim": 4}
LINEAR_LAYERS = layer_types("linear_attention", "full_attention")
LINEAR |= LINEAR_LAYERS
CONVOLUTIONS = layer_types("conv", "full_attention", "conv")
SCAN = {"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 4, "mamba_chunk_size": 8}
PERIODS = {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
PERIODS |= {"num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4, "experts_implementation": "eager"}
DECODER = {
    "d_model": 16,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 24,
    "dropout": 0.0,
    "pad_token_id": 1,
}
DECODER |= {
    "is_decoder": True,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "activation_dropout": 0.0,
}
LANGUAGES = {"vocab_size": VOCABULARY, "emb_dim": 16, "n_layers": 2, "n_heads": 4, "n_langs": 1, "causal": True}
LANGUAGES |= {"dropout": 0.0, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GATED = {"block_types": ["recurrent", "attention"], "num_hidden_layers": 2, "attention_window_size": WINDOW}
MIXING = {
    "DeepSeek-V3.2, indexed layers": Entry("DeepseekV32ForCausalLM", INDEXED),
    "BART decoder": Entry("BartForCausalLM", DECODER),
    "Qwen3-Next": Entry("Qwen3NextForCausalLM", {**HEAD, **LINEAR, **SHARED}),
    "Qwen3.5": Entry("Qwen3_5ForCausalLM", {"head_dim": 8, **LINEAR}),
    "LFM2": Entry("Lfm2ForCausalLM", {"block_auto_adjust_ff_dim": False, **CONVOLUTIONS}),
    "Mamba": Entry("MambaForCausalLM", {"state_size": 4, "time_step_rank": 4}, attention=EAGER),
    "Mamba 2": Entry(
        "Mamba2ForCausalLM",
        {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
        attention=EAGER,
    ),
    "Falcon-H1": Entry("FalconH1ForCausalLM", {"mamba_d_ssm": 32, **SCAN}),
    "Jamba": Entry("JambaForCausalLM", {**PERIODS, "num_hidden_layers": 2}),
    "Bamba": Entry("BambaForCausalLM", {"attn_layer_indices": [1], **SCAN}),
    "RecurrentGemma": Entry("RecurrentGemmaForCausalLM", {**GATED, "lru_width": 16, **HEAD}),
    "MiniMax": Entry("MiniMaxForCausalLM", {"block_size": 8, **LOCAL, **LINEAR_LAYERS}),
    "RWKV": Entry("RwkvForCausalLM", {"attention_hidden_size": 16, "context_length": 64}, attention=EAGER),
    "MPT": Entry(
        "MptForCausalLM",
        {"d_model": 16, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "expansion_ratio": 2},
        attention=EAGER,
    ),
    "GPT-Neo, local layers": Entry("GPTNeoForCausalLM", LOCAL_GPT, attention=EAGER),
    "Bloom": Entry("BloomForCausalLM", {"n_layer": 2, "n_head": 4}, attention=EAGER),
    "Falcon, ALiBi": Entry("FalconForCausalLM", {"alibi": True, "new_decoder_architecture": False}),
    "XLM": Entry("XLMWithLMHeadModel", LANGUAGES, {}, EAGER),
    "xLSTM": Entry("xLSTMForCausalLM", {"num_heads": 4, "qk_dim_factor": 1.0}, attention=EAGER),
}
"""Models that mix positions without a mask, count positions by their place in it, or choose keys themselves."""

MODERN = {**HALF_WINDOW, **TOKENS}
ENCODERS = {
    "BERT": Entry("BertForMaskedLM", {**UNDROPPED, "pad_token_id": 0}),
    "RoBERTa": Entry("RobertaForMaskedLM", {**UNDROPPED, "pad_token_id": 1}),
    "ModernBERT, windows": Entry(
        "ModernBertForMaskedLM", {**MODERN, **layer_types("sliding_attention", "full_attention", "sliding_attention")}
    ),
}
"""Models whose own run lets every token see all others."""


FLEX = (
    "Llama",
    "Mistral, window",
    "Mixtral",
    "Qwen2, windows",
    "Qwen3, windows",
    "Qwen3-MoE",
    "Gemma 3, windows",
    "Llama 4, chunks",
    "SmolLM3",
    "OLMo 3, windows",
    "Cohere 2, windows",
    "EXAONE 4, windows",
)
"""Those that are run with FlexAttention too: their heads have one shape, so that one compiled kernel serves all."""


def make_model(entry: Entry, attention: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.nn.Module:
    """Return the random model of an entry, in evaluation mode; every parameter is drawn, also biases and sinks."""
    cls = getattr(transformers, entry.model)
    config = cls.config_class(**{**entry.base, **entry.settings})
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = cls(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases, gains of norms, sinks, decays: otherwise 0 or 1
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model
