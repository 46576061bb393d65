"""One tree and one mask for each sample, and causal attention without leaks, compared with explicit matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from masksynth.diagnostics.hierarchy import tree_of_lists, windows
from masksynth.diagnostics.hierarchy.dense_reference import attention_matrix, leaf_scores
from masksynth.diagnostics.hierarchy.torch_attention import (
    HierarchicalAttention,
    hierarchical_attention,
    plan_of,
    prefix_attention,
)
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.test_torch import pruned
from tests.diagnostics.hierarchy.trees import normal, random_tree
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture

NESTED = [tree_of_lists(nested) for nested in ([[0, 1], [2, [3, 4]], 5], [[0], [1, 2]], [0], [[[0, 1]], 2, [3, 4]])]


def drawn(random, trees, length, heads=2, width=3):
    return normal(random, 3, len(trees), heads, length, width)


def whole(tree, q, k, v, keep, included, allowed=None, eps=None):
    """The output of the explicit matrix on the tree without some positions, 0 in their rows."""
    small = pruned(tree, keep)
    at = np.flatnonzero(keep)
    may = None if allowed is None else allowed[np.ix_(at, at)]
    result = np.zeros((len(keep), v.shape[1]))
    result[at] = attention_matrix(small, leaf_scores(small, q[at], k[at], eps=eps), may, included) @ v[at]
    return result


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_each_sample_has_its_tree_its_mask_and_its_padding(included, causal):
    random = np.random.default_rng(2 * included + causal)
    for trial in range(8):
        sizes = random.integers(1, 10, 4)
        trees = [random_tree(random, int(size), ordered=causal) for size in sizes]
        length = int(sizes.max()) + trial % 3
        q, k, v = drawn(random, trees, length)
        masks = random.random((4, length, length)) < 0.8 if trial % 2 else None
        real = (random.random((4, length)) < 0.7) & (np.arange(length) < sizes[:, None])
        keep = real | (np.arange(length) == 0) if trial > 3 and masks is None else None
        given = None if masks is None else torch.tensor(masks)
        plan = plan_of(trees, mask=given, length=length)
        padding = None if keep is None else torch.tensor(keep)
        found = hierarchical_attention(
            plan, *map(torch.tensor, (q, k, v)), included=included, causal=causal, padding=padding
        ).numpy()
        for sample, size in enumerate(sizes):
            real = np.ones(size, bool) if keep is None else keep[sample, :size]
            allowed = np.tri(size, dtype=bool) if causal else np.ones((size, size), bool)
            allowed &= True if masks is None else masks[sample, :size, :size]
            for head in range(2):
                parts = [table[sample, head, :size] for table in (q, k, v)]
                want = whole(trees[sample], *parts, real, included, allowed)
                assert np.abs(found[sample, head, :size] - want).max() < 1e-12
                assert (found[sample, head, size:] == 0).all()


def test_masks_as_objects_equal_tensors_and_one_mask_serves_all():
    random = np.random.default_rng(3)
    tree = windows(6, (2,))
    dense = random.random((6, 6)) < 0.8
    q, k, v = map(torch.tensor, drawn(random, [tree, tree], 6))
    one = hierarchical_attention(plan_of(tree, mask=Mask.from_dense(dense)), q, k, v, included=True)
    for mask in ([Mask.from_dense(dense)] * 2, torch.tensor(dense), torch.tensor(np.stack([dense, dense]))):
        assert torch.equal(hierarchical_attention(plan_of([tree, tree], mask=mask), q, k, v, included=True), one)


def test_grouped_keys_share_the_trees_of_their_samples():
    random = np.random.default_rng(4)
    q, k, v = map(torch.tensor, drawn(random, NESTED, 7, heads=4))
    for attention in (hierarchical_attention, prefix_attention):
        found = attention(NESTED, q, k[:, :2], v[:, :2])
        want = attention(NESTED, q, k[:, :2].repeat_interleave(2, 1), v[:, :2].repeat_interleave(2, 1))
        assert (found - want).abs().max() < 1e-14


def last_rows(tree, q, k, v, keep, eps=None, allowed=True):
    """Row i of the explicit causal matrix on the tree of the real positions up to i."""
    result = np.zeros((tree.size, v.shape[1]))
    for place in np.flatnonzero(keep):
        until = keep & (np.arange(tree.size) <= place)
        result[place] = whole(tree, q, k, v, until, True, np.tri(tree.size, dtype=bool) & allowed, eps)[place]
    return result


def test_prefix_attention_is_the_last_row_on_each_tree_cut_off():
    random = np.random.default_rng(6)
    for trial in range(12):
        sizes = random.integers(1, 11, 3)
        trees = [random_tree(random, int(size), ordered=True) for size in sizes]
        length = int(sizes.max()) + trial % 2
        keep = (random.random((3, length)) < (0.7 if trial % 3 else 1)) & (np.arange(length) < sizes[:, None])
        q, k, v = drawn(random, trees, length, heads=1)
        found = prefix_attention(trees, *map(torch.tensor, (q, k, v)), padding=torch.tensor(keep)).numpy()
        for sample, size in enumerate(sizes):
            parts = [table[sample, 0, :size] for table in (q, k, v)]
            want = last_rows(trees[sample], *parts, keep[sample, :size])
            assert np.abs(found[sample, 0, :size] - want).max() < 1e-12
            assert (found[sample, 0, size:] == 0).all()


def masked_batch(random, trial):
    """Return trees of samples with padding on both sides, a mask for each, their first positions, and q, k, v."""
    sizes, start = random.integers(1, 11, 3), random.integers(0, 3, 3)
    trees = [random_tree(random, int(size), ordered=True) for size in sizes]
    length = int((sizes + start).max()) + trial % 2
    masks = random.random((3, length, length)) < (0.6, 0.9)[trial % 2]
    if trial % 3 == 0:  # documents
        document = np.sort(random.integers(0, 3, (3, length)), axis=1)
        masks = document[:, :, None] == document[:, None, :]
    return trees, masks, start, drawn(random, trees, length)


def test_prefixes_have_masks_and_padding_on_both_sides():
    random = np.random.default_rng(10)
    for trial in range(12):
        trees, masks, start, (q, k, v) = masked_batch(random, trial)
        plan = plan_of(trees, mask=torch.tensor(masks), length=q.shape[2], start=start.tolist())
        found = prefix_attention(plan, *map(torch.tensor, (q, k, v))).numpy()
        tied = hierarchical_attention(plan, *map(torch.tensor, (q, k, v)), included=True).numpy()
        for sample, (tree, begin) in enumerate(zip(trees, start, strict=True)):
            at, keep = slice(begin, begin + tree.size), np.ones(tree.size, bool)
            allowed = masks[sample, at, at]
            for head in range(2):
                parts = [table[sample, head, at] for table in (q, k, v)]
                want = last_rows(tree, *parts, keep, allowed=allowed)
                assert np.abs(found[sample, head, at] - want).max() < 1e-12
                assert np.abs(tied[sample, head, at] - whole(tree, *parts, keep, True, allowed)).max() < 1e-12
            outside = np.delete(found[sample], np.r_[at], axis=1)
            assert (outside == 0).all()


def test_embeddings_enter_prefixes_as_they_enter_whole_trees():
    random = np.random.default_rng(7)
    tree = tree_of_lists([[0, 1], [2, 3, [4, 5]], 6])
    q, k, v = drawn(random, [tree], 7, heads=1)
    eps = normal(random, tree.nodes, 2)
    tables = [torch.tensor(eps[low:high]) for low, high in tree.levels[1:]]
    found = prefix_attention(tree, *map(torch.tensor, (q, k, v)), eps=tables)[0, 0].numpy()
    end = attention_matrix(tree, leaf_scores(tree, q[0, 0], k[0, 0], eps=eps), np.tri(7, dtype=bool), True)[-1]
    assert np.abs(found[-1] - end @ v[0, 0]).max() < 1e-12


@pytest.mark.parametrize("trees", [NESTED, [windows(7, (2, 2))] * 2], ids=["nested", "windows"])
def test_no_row_of_prefix_attention_depends_on_later_positions(trees):
    random = np.random.default_rng(8)
    q, k, v = map(torch.tensor, drawn(random, trees, 7))
    before = prefix_attention(trees, q, k, v)
    tied = hierarchical_attention(trees, q, k, v, included=True, causal=True)
    leaked = 0.0
    for cut in range(1, 7):
        changed = [table.clone() for table in (q, k, v)]
        for table in changed:
            table[..., cut:, :] = torch.randn_like(table[..., cut:, :])
        assert torch.equal(prefix_attention(trees, *changed)[..., :cut, :], before[..., :cut, :])
        other = hierarchical_attention(trees, *changed, included=True, causal=True)
        leaked = max(leaked, (other - tied)[..., :cut, :].abs().max().item())
    assert leaked > 1e-3  # what the whole trees do


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("attention", [hierarchical_attention, prefix_attention], ids=["whole", "prefix"])
def test_gradients_of_samples_with_trees_of_their_own(attention, padded):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 1, dtype=torch.float64, requires_grad=True) for heads in (2, 1, 1))
    padding = torch.tensor([[1, 0, 1, 0, 0], [1, 0, 1, 1, 1]]) > 0 if padded else None
    plan = plan_of(NESTED[1::2], length=5)
    assert gradcheck(lambda *x: attention(plan, *x, padding=padding), (q, k, v), fast_mode=True)
    attention(plan, 1e4 * q, k, v, padding=padding).sum().backward()
    assert all(table.grad.isfinite().all() for table in (q, k, v))


def test_what_does_not_fit_is_refused():
    x = torch.zeros(2, 1, 4, 4)
    two = [windows(4, (2,))] * 2
    for call, said in (
        (lambda: hierarchical_attention([windows(4)] * 3, x, x, x), "3 trees"),
        (lambda: hierarchical_attention([windows(5)] * 2, x, x, x), "tree 0 has 5 positions"),
        (lambda: hierarchical_attention([], x, x, x), "a tree, or one for each sample"),
        (lambda: plan_of(two, mask=torch.ones(3, 4, 4, dtype=torch.bool)), "expected 2 masks"),
        (lambda: plan_of(two, mask=torch.ones(4, 4)), "expected bool"),
        (lambda: prefix_attention([windows(3)] * 2, x, x, x, padding=torch.ones(2, 4) > 0), "pad on the right"),
        (lambda: HierarchicalAttention(windows(4), 4, causal=True), "included=True"),
        (
            lambda: HierarchicalAttention(windows(4, (2,)), 4, places=2)(x[:, 0], trees=[windows(4, ())] * 2),
            "family of 4",
        ),
        (lambda: plan_of(two, mask=torch.ones(3, 3, dtype=torch.bool)), "over 4 positions"),
        (
            lambda: prefix_attention(plan_of(two, mask=torch.ones(4, 4) > 0), x, x, x, padding=torch.ones(2, 4) < 0),
            "padding inside a tree with a mask",
        ),
        (lambda: plan_of(two, start=[1]), "expected 2 first positions"),
        (lambda: plan_of(two, length=5, start=[0, 2]), "tree 1 has 4 positions from position 2, expected 5"),
        (lambda: prefix_attention([tree_of_lists([1, 0, 2, 3])] * 2, x, x, x), "order"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            call()


def test_a_causal_layer_trains_without_seeing_the_next_token():
    torch.manual_seed(0)
    layer = HierarchicalAttention(windows(9, (3,)), 8, 2, included=True, causal=True, places=2)
    trees = [windows(9, (3,)), tree_of_lists([[0, 1, 2], [3, 4]])]
    x = torch.randn(2, 9, 8)
    other = torch.cat([x[:, :4], torch.randn(2, 5, 8)], 1)
    for one, two in ((layer(x), layer(other)), (layer(x, trees=trees), layer(other, trees=trees))):
        assert torch.equal(one[:, :4], two[:, :4])
        assert not torch.equal(one[:, 4:], two[:, 4:])


@pytest.mark.parametrize("causal", [False, True])
def test_a_layer_treats_each_sample_as_if_it_were_alone(causal):
    torch.manual_seed(1)
    shape = tree_of_lists([[[0, 1], 2, 3], [4, 5], 6])
    layer = HierarchicalAttention(shape, 8, 2, included=True, causal=causal, places=3).double()
    x = torch.randn(4, 7, 8, dtype=torch.float64)
    together = layer(x, trees=NESTED)
    for sample, tree in enumerate(NESTED):
        alone = layer(x[sample : sample + 1, : tree.size], trees=[tree])[0]
        assert (together[sample, : tree.size] - alone).abs().max() < 1e-12
