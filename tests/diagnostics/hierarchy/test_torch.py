"""Hierarchical attention in torch: compared with numpy, its gradients, padding and heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from masksynth.diagnostics.hierarchy import hierarchical_attention as reference
from masksynth.diagnostics.hierarchy import lists_of_tree, sight_of, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_attention import HierarchicalAttention, hierarchical_attention, plan_of
from masksynth.errors import InvalidInstance
from tests.diagnostics.hierarchy.trees import normal, random_tree
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture

TREES = [tree_of_lists(t) for t in ([[0, 1], [2, [3, 4]], 5], [[0], [1, 2]], [0, 1, 2], [[[0]]])]


def pruned(tree, keep):
    """The tree without some positions, the others numbered anew."""
    number = np.cumsum(keep) - 1

    def kept(node):
        if isinstance(node, int):
            return int(number[node]) if keep[node] else None
        return [one for one in map(kept, node) if one is not None] or None

    return tree_of_lists(kept(lists_of_tree(tree)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("included", [False, True])
def test_equal_to_numpy_for_every_batch_row_and_grouped_head(included, causal):
    random = np.random.default_rng(included + 2 * causal)
    for trial in range(40):
        tree = random_tree(random, int(random.integers(1, 12)), ordered=causal)
        shared = 1 + trial % 2
        q, k, v = (
            normal(random, 2, 2 * shared, tree.size, 3),
            normal(random, 2, 2, tree.size, 3),
            normal(random, 2, 2, tree.size, 2),
        )
        eps = normal(random, tree.nodes, 2) if trial % 3 else None
        parts = None if eps is None else [torch.tensor(eps[low:high]) for low, high in tree.levels[1:]]
        found = hierarchical_attention(tree, *map(torch.tensor, (q, k, v)), included=included, causal=causal, eps=parts)
        for row in range(2):
            for head in range(2 * shared):
                key = head // shared
                sight = sight_of(tree, included=included, causal=causal)
                want = reference(tree, q[row, head], k[row, key], v[row, key], eps=eps, sight=sight)
                assert np.abs(found[row, head].numpy() - want).max() < 1e-12


def test_padding_is_taken_out_of_the_tree():
    random = np.random.default_rng(5)
    for trial in range(40):
        tree = random_tree(random, int(random.integers(2, 12)))
        keep = random.random((2, tree.size)) < 0.6
        keep[:, 0] = True
        q, k, v = normal(random, 3, 2, 2, tree.size, 3)
        found = hierarchical_attention(
            tree, *map(torch.tensor, (q, k, v)), included=bool(trial % 2), padding=torch.tensor(keep)
        ).numpy()
        for row in range(2):
            real = keep[row]
            small = pruned(tree, real)
            for head in range(2):
                parts = (x[row, head][real] for x in (q, k, v))
                want = reference(small, *parts, sight=sight_of(small, included=bool(trial % 2)))
                assert np.abs(found[row, head][real] - want).max() < 1e-12
                assert (found[row, head][~real] == 0).all()


@pytest.mark.parametrize("tree", TREES, ids=["uneven", "single", "flat", "chain"])
@pytest.mark.parametrize(
    ("included", "causal", "padded"),
    [(False, False, False), (True, True, False), (False, True, True), (True, False, True)],
)
def test_gradients_are_right_and_never_nan(tree, included, causal, padded):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, heads, tree.size, 2, dtype=torch.float64, requires_grad=True) for heads in (2, 1, 1))
    padding = torch.arange(tree.size)[None] > 0 if padded else None
    plan = plan_of(tree)
    assert gradcheck(
        lambda *x: hierarchical_attention(plan, *x, included=bool(included), causal=bool(causal), padding=padding),
        (q, k, v),
    )
    hierarchical_attention(plan, 1e4 * q, k, v, included=included, causal=causal, padding=padding).sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_a_layer_trains_with_embeddings_of_places():
    torch.manual_seed(0)
    layer = HierarchicalAttention(windows(16, (2, 4)), width=8, heads=2, places=3)
    x = torch.randn(4, 16, 8)
    want = x.roll(1, dims=1)
    optimiser = torch.optim.Adam(layer.parameters(), 0.02)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (layer(x) - want).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(one.weight.grad.abs().sum() > 0 for one in layer.embeddings)
    with pytest.raises(InvalidInstance, match="multiple"):
        HierarchicalAttention(windows(4), width=8, heads=3)


def test_shapes_that_do_not_fit_are_refused():
    x = torch.zeros(1, 2, 4, 3)
    for tree, q, k, v, options, said in (
        (windows(5), x, x, x, {}, "5 positions of the tree"),
        (windows(4), x, x[..., :2], x, {}, "one d"),
        (windows(4), torch.zeros(1, 3, 4, 3), x, x, {}, "share"),
        (windows(4), x, x, x, {"padding": torch.ones(4)}, "padding"),
        (tree_of_lists([1, 0, 3, 2]), x, x, x, {"causal": True}, "order"),
        (windows(4, (2,)), x, x, x, {"eps": []}, "rows, one for each depth"),
        (windows(4, (2,)), x, x, x, {"eps": [torch.zeros(2, 1), torch.zeros(3, 1)]}, "rows, one for each depth"),
        (windows(4), x, x, x, {"scale": float("nan")}, "expected a finite scale, got nan"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            hierarchical_attention(tree, q, k, v, **options)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_counts_leaves_beyond_its_own_numbers(kind):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 1, 2**17, 4).to(kind)
    plan = plan_of(windows(2**17, (64, 64)))
    found = hierarchical_attention(plan, q, k, v)
    assert found.dtype == kind
    want = hierarchical_attention(plan, q.double(), k.double(), v.double())
    assert (found.double() - want).abs().max() < 2 * torch.finfo(kind).eps * want.abs().max()
