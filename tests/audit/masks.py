"""mask_mods that a user might have, for tests of importing them."""

from __future__ import annotations

import torch
from attn_gym.masks import causal_mask, generate_doc_mask_mod, generate_prefix_lm_mask, generate_sliding_window
from attn_gym.masks.document_mask import length_to_offsets
from attn_gym.masks.shared_prefix import generate_shared_prefix_mask_mod
from torch.nn.attention.flex_attention import create_block_mask

causal = causal_mask
window = generate_sliding_window(3)
prefix = generate_prefix_lm_mask(4)
documents = generate_doc_mask_mod(causal_mask, length_to_offsets([3, 5, 4], "cpu"))
shared = generate_shared_prefix_mask_mod(length_to_offsets([3, 2, 2], "cpu"), torch.tensor([0, 0, 0]))
block_mask = create_block_mask(causal_mask, None, None, 300, 300, device="cpu")


def additive(b, h, q, k):
    return torch.where(q >= k, 0.0, float("-inf"))


def three(b, q, k):
    return q >= k


def failing(b, h, q, k):
    raise RuntimeError("no such tensor")


def everything(b, h, q, k):
    return torch.ones((), dtype=torch.bool)


number = 3
