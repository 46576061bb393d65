"""Formats read by their definitions, pair by pair: slow, and without masksynth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def form(name, arrays, size):
    """A form of a mask_mod, entry by entry."""
    q, k = np.indices((size, size))
    dense = np.zeros((size, size), bool)
    for i in range(len(arrays) // 2):
        if name == "row intervals":
            dense |= (arrays[f"lo_{i}"][q] <= k) & (k < arrays[f"hi_{i}"][q])
        elif name == "column intervals":
            dense |= (arrays[f"lo_{i}"][k] <= q) & (q < arrays[f"hi_{i}"][k])
        elif name == "ranks in chains":
            dense |= arrays[f"rank_{i}"][k] < arrays[f"limit_{i}"][q]
    if name == "ranks in chains":
        dense |= arrays["own"][k] == q
    if name == "bit-packed lookup":
        dense = (arrays["bits"][arrays["line"][q] + k // 32] >> (k % 32)) & 1 == 1
    if name == "bit-packed lookup by blocks":
        block = arrays["number"][arrays["line"][q // 128] + k // 128]
        dense = (arrays["bits"][block * 512 + q % 128 * 4 + k % 128 // 32] >> (k % 32)) & 1 == 1
    return dense


def flashmask(bounds, causal):
    """PaddlePaddle's description: which rows are forbidden to each key."""
    _, _, size, count = bounds.shape
    dense = np.ones((size, size), bool)
    for key, bound in enumerate(bounds[0, 0].tolist()):
        if causal:
            dense[:key, key] = False
            dense[bound[0] : bound[1] if count == 2 else size, key] = False
        elif count == 2:
            dense[bound[0] :, key] = False
            dense[: bound[1], key] = False
        else:
            dense[bound[0] : bound[1], key] = False
            dense[bound[2] : bound[3], key] = False
    return dense


def slices(q_ranges, k_ranges, kinds, size):
    """How many slices allow each pair, by MagiAttention's rules."""
    times = np.zeros((size, size), int)
    for (q0, q1), (k0, k1), kind in zip(q_ranges.tolist(), k_ranges.tolist(), kinds.tolist(), strict=True):
        for q in range(q0, q1):
            for k in range(k0, k1):
                upper, lower = k - k1 <= q - q1, k - k0 >= q - q0
                times[q, k] += (True, upper, lower, upper and lower)[kind]
    return times


def documents(cu_seqlens, causal, size):
    dense = np.zeros((size, size), bool)
    for start, end in pairwise(cu_seqlens.tolist()):
        dense[start:end, start:end] = True
    return np.tril(dense) if causal else dense


def bits(packed, size):
    """Bit q N + k, the lowest of a byte first."""
    return np.array(
        [[packed[(q * size + k) // 8] >> ((q * size + k) % 8) & 1 for k in range(size)] for q in range(size)], bool
    )
