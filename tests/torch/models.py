"""Small random causal language models of Hugging Face transformers, and training them sample by sample."""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 40


def gpt2(kind="sdpa", seed=0, places=128):
    """In float64: its layer norm and softmax stay there, so that agreement is exact."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=places,
        n_embd=16,
        n_layer=3,
        n_head=2,
        attn_implementation=kind,
        initializer_range=0.3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(seed)
    return GPT2LMHeadModel(config).double()


def rotary(name="llama", kind="sdpa", seed=0):
    """Llama or Qwen in float32, where their norms compute anyway; rotary positions, grouped keys."""
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen": (Qwen2Config, Qwen2ForCausalLM)}[name]
    torch.manual_seed(seed)
    return model(
        config(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            attn_implementation=kind,
            initializer_range=0.2,
            use_cache=False,
        )
    )


def separate_logprobs(model, samples):
    """For each sample run alone, without any mask of ours, the log-probabilities of its labels."""
    found = []
    for one in samples:
        logits = model(input_ids=torch.tensor([one["input_ids"]])).logits[0]
        trained = [i for i, label in enumerate(one["labels"]) if label != -100]
        labels = torch.tensor([one["labels"][i] for i in trained])
        found.append(log_softmax(logits, -1)[torch.tensor(trained) - 1, labels])
    return found


def separate_loss(model, samples):
    return -sum(
        one["weight"] * terms.sum() for one, terms in zip(samples, separate_logprobs(model, samples), strict=True)
    )


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def furthest(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))
