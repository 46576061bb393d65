"""The masks of attention-gym, called on index tensors, equal the merged masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attn_gym.masks import causal_mask, generate_doc_mask_mod, generate_prefix_lm_mask, generate_sliding_window
from attn_gym.masks.block_diffusion import generate_block_diffusion_mask
from attn_gym.masks.jetspec import build_tree_ancestor_matrix, generate_jetspec_tree_causal_mask_mod
from attn_gym.masks.shared_prefix import generate_shared_prefix_mask_mod

from masksynth import catalog
from masksynth.merge import merge


def called(mask_mod, queries, keys):
    """``mask_mod`` on all pairs, batch and head 0."""
    zero = torch.tensor(0)
    return (
        mask_mod(zero, zero, torch.arange(queries)[:, None], torch.arange(keys)[None, :]).expand(queries, keys).numpy()
    )


def in_order(instance, *, names, task=-1):
    """The merged mask with the positions of the named nodes of one task first to last.

    ``task`` may be a list, one for each name.
    """
    merged = merge(instance)
    tasks = [instance.family.tasks[t].name for t in (task if isinstance(task, list) else [task] * len(names))]
    order = [merged.embeddings[t][name] for t, name in zip(tasks, names, strict=True)]
    assert sorted(order) == list(range(len(merged.positions)))
    return merged.mask.dense()[np.ix_(order, order)]


@pytest.mark.parametrize("n", [2, 9])
def test_causal(n):
    assert (
        in_order(catalog.causal_lm(n=n), names=[f"w{i}" for i in range(n - 1)]) == called(causal_mask, n - 1, n - 1)
    ).all()


@pytest.mark.parametrize(("n", "P"), [(5, 2), (9, 4), (6, 5)])
def test_prefix_lm(n, P):
    mask = in_order(catalog.prefix_lm(n=n, P=P), names=[f"w{i}" for i in range(n - 1)])
    assert (mask == called(generate_prefix_lm_mask(P), n - 1, n - 1)).all()


@pytest.mark.parametrize(("n", "w"), [(9, 1), (9, 3), (6, 8)])
def test_window_size_is_the_look_back(n, w):
    mask = in_order(catalog.sliding_window(n=n, w=w), names=[f"w{i}" for i in range(n - 1)], task=list(range(n - 1)))
    assert (mask == called(generate_sliding_window(w - 1), n - 1, n - 1)).all()
    if w < n - 1:
        assert (mask != called(generate_sliding_window(w), n - 1, n - 1)).any()


def test_packed_documents():
    lengths = (4, 2, 6)
    mask = in_order(
        catalog.packed_docs(lengths=lengths),
        names=[f"w{i}" for i in (0, 1, 2, 4, 6, 7, 8, 9, 10)],
        task=[0] * 3 + [1] + [2] * 5,
    )
    offsets = torch.tensor([0, 3, 4, 9])
    assert (mask == called(generate_doc_mask_mod(causal_mask, offsets), 9, 9)).all()


def test_shared_prefix():
    P, R, G = 3, 4, 3
    names = [f"w{i}" for i in range(P)] + [f"w{P + R * g + j}" for g in range(G) for j in range(R - 1)]
    mask = in_order(
        catalog.shared_prefix_group(P=P, R=R, G=G),
        names=names,
        task=[0] * P + [g for g in range(G) for _ in range(R - 1)],
    )
    offsets = torch.tensor([0, P, P + R - 1, P + 2 * (R - 1), P + 3 * (R - 1)])
    reference = generate_shared_prefix_mask_mod(offsets, torch.tensor([0, 0, 0, 0]))
    assert (mask == called(reference, len(names), len(names))).all()


@pytest.mark.parametrize(("n", "size"), [(8, 2), (6, 3), (4, 1)])
def test_block_diffusion_without_its_dead_block(n, size):
    """The reference lays out 2n positions; its last clean block feeds no prediction."""
    names = [f"x{i}" for i in range(n)] + [f"c{i}" for i in range(n - size)]
    mask = in_order(catalog.bd3lm(n=n, l=size), names=names, task=[i // size for i in range(n)] + [-1] * (n - size))
    live = 2 * n - size
    reference = called(generate_block_diffusion_mask(n, size), 2 * n, 2 * n)
    assert (mask == reference[:live, :live]).all()
    assert not reference[:live, live:].any()


def test_draft_tree():
    P, nodes = 3, [(0,), (0, 0), (0, 1), (0, 1, 0), (0, 2)]
    names = [f"w{i}" for i in range(P)] + [f"d{len(node)}" for node in nodes]
    mask = in_order(
        catalog.medusa_tree(P=P, choices=((0, 0), (0, 1, 0), (0, 2))), names=names, task=[0] * P + [0, 0, 1, 1, 2]
    )
    ancestors = build_tree_ancestor_matrix([-1, 0, 0, 2, 0], device="cpu")
    reference = called(generate_jetspec_tree_causal_mask_mod(P, ancestors), len(nodes), P + len(nodes))
    assert (mask[P:] == reference).all()
    assert not mask[:P, P:].any()
