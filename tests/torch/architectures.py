"""Tiny random models of many architectures, and training them sample by sample."""

from __future__ import annotations

import torch
import transformers
from torch.nn.functional import log_softmax

VOCABULARY = 40
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
    "experts_implementation": "eager",
}
NO_DROPOUT = {"attention_dropout": 0.0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def build(name, kind="sdpa", seed=0, dtype=torch.float64, **changes):
    """A random model by its name in ``CLASSES``; sinks and other parameters of zeros are made random too."""
    config_class, model_class = CLASSES[name]
    config = config_class(**{**SHAPE, **NO_DROPOUT, **changes}, attn_implementation=kind)
    torch.manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if "sinks" in part or not parameter.any():
                parameter.normal_(std=0.5)
    return model.to(dtype).eval()


def class_pair(config, model):
    return getattr(transformers, config), getattr(transformers, model)


CLASSES = {
    "gemma3": class_pair("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "mistral": class_pair("MistralConfig", "MistralForCausalLM"),
    "qwen2": class_pair("Qwen2Config", "Qwen2ForCausalLM"),
    "llama": class_pair("LlamaConfig", "LlamaForCausalLM"),
    "llama4": class_pair("Llama4TextConfig", "Llama4ForCausalLM"),
    "gpt_oss": class_pair("GptOssConfig", "GptOssForCausalLM"),
    "gemma2": class_pair("Gemma2Config", "Gemma2ForCausalLM"),
    "modernbert": class_pair("ModernBertConfig", "ModernBertForMaskedLM"),
    "bert": class_pair("BertConfig", "BertForMaskedLM"),
    "roberta": class_pair("RobertaConfig", "RobertaForMaskedLM"),
    "lfm2": class_pair("Lfm2Config", "Lfm2ForCausalLM"),
    "qwen3_next": class_pair("Qwen3NextConfig", "Qwen3NextForCausalLM"),
    "mamba": class_pair("MambaConfig", "MambaForCausalLM"),
    "qwen2_vl": class_pair("Qwen2VLTextConfig", "Qwen2VLTextModel"),
}


def separate_terms(model, samples, own="labels"):
    """For each sample, the weighted losses of its labels when it is run alone.

    Without masks or position ids of ours.
    """
    found = []
    for sample in samples:
        logits = model(input_ids=torch.tensor([sample["input_ids"]]), use_cache=False).logits[0]
        trained = [i for i, label in enumerate(sample["labels"]) if label != -100]
        rows = torch.tensor([i if sample.get("segments") else i - 1 for i in trained])
        labels = torch.tensor([sample["labels"][i] for i in trained])
        found.append(-sample.get("weight", 1.0) * log_softmax(logits, -1)[rows, labels])
    return torch.cat(found)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def compare(model, samples, terms):
    """The largest differences between merged and separate losses and gradients, relative to the largest."""
    expected = separate_terms(model, samples)
    left, right = gradients(model, terms.sum()), gradients(model, expected.sum())
    scale = max(float(part.abs().max()) for part in right)
    apart = max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))
    return float((terms.detach() - expected.detach()).abs().max()), apart / scale
