"""Rows from a cache of means, compared with attention over prefixes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from masksynth.diagnostics.hierarchy import tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_attention import (
    hierarchical_attention,
    plan_of,
    prefix_attention,
)
from masksynth.diagnostics.hierarchy.torch_decoding import Decoder
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from tests.diagnostics.hierarchy.test_torch_samples import drawn, masked_batch
from tests.diagnostics.hierarchy.trees import random_tree
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture


def test_a_decoder_has_the_trees_masks_and_padding_of_its_samples():
    random = np.random.default_rng(11)
    for trial in range(8):
        trees, masks, start, given = masked_batch(random, trial)
        q, k, v = map(torch.tensor, given)
        length = q.shape[2]
        want = prefix_attention(
            plan_of(trees, mask=torch.tensor(masks), length=length, start=start.tolist()), q, k[:, :1], v[:, :1]
        )
        ends = [(begin, begin + tree.size) for tree, begin in zip(trees, start, strict=True)]
        objects = [Mask.from_dense(mask[low:high, low:high]) for mask, (low, high) in zip(masks, ends, strict=True)]
        decoder = Decoder(trees, mask=objects)
        for place in range(max(high for _, high in ends)):
            real = torch.tensor([low <= place < high for low, high in ends])
            row = decoder.step(q[:, :, place], k[:, :1, place], v[:, :1, place], real=real)
            assert (row - want[:, :, place]).abs().max() < 1e-12
    with pytest.raises(InvalidInstance, match="real: expected bool"):
        Decoder(trees).step(q[:, :, 0], k[:, :1, 0], v[:, :1, 0], real=torch.ones(2) > 0)
    with pytest.raises(InvalidInstance, match=r"expected q \(2, H, d\)"):
        Decoder([windows(4)] * 2).step(q[:, :, 0], k[:, :, 0], v[:, :, 0])
    with pytest.raises(InvalidInstance, match="over 4 positions"):
        Decoder(windows(4), mask=Mask.from_dense(np.ones((3, 3), bool)))
    with pytest.raises(InvalidInstance, match="expected 1 masks"):
        Decoder(windows(4), mask=[])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_decoder_keeps_half_precision_in_float32(kind):
    tree = windows(96, (4, 4))
    q, k, v = torch.randn(3, 1, 6, 96, 8, generator=torch.Generator().manual_seed(0)).to(kind)
    decoder = Decoder(tree)
    rows = torch.stack([decoder.step(q[:, :, i], k[:, :2, i], v[:, :2, i]) for i in range(96)], 2)
    assert rows.dtype == kind
    want = prefix_attention(tree, *(table.double() for table in (q, k[:, :2], v[:, :2])))
    assert (rows - want).abs().max() < 2 * torch.finfo(kind).eps * want.abs().max()


def test_a_decoder_computes_the_same_rows_from_a_small_cache():
    random = np.random.default_rng(9)
    for trial in range(8):
        tree = random_tree(random, 12, ordered=True) if trial else windows(60, (3, 2))
        q, k, v = map(torch.tensor, drawn(random, [tree, tree], tree.size, heads=2))
        want = prefix_attention(tree, q, k[:, :1], v[:, :1], scale=0.7)
        decoder = Decoder(tree, scale=0.7)
        for place in range(tree.size):
            row = decoder.step(q[:, :, place], k[:, :1, place], v[:, :1, place])
            assert (row - want[:, :, place]).abs().max() < 1e-12
            assert decoder.entries <= tree.largest * tree.depth
        with pytest.raises(InvalidInstance, match="larger one"):
            decoder.step(q[:, :, 0], k[:, :, 0], v[:, :, 0])
    # the decoder of a longer text computes the same first rows
    q, k, v = map(torch.tensor, drawn(random, [0], 20))
    rows = [Decoder(windows(size, (3, 2))) for size in (20, 200)]
    for place in range(20):
        one, other = (each.step(q[:, :, place], k[:, :, place], v[:, :, place]) for each in rows)
        assert (one - other).abs().max() < 1e-14
    with pytest.raises(InvalidInstance, match="order"):
        Decoder(tree_of_lists([1, 0]))
    for wrong in ([[0, 1]], [], 3):
        with pytest.raises(InvalidInstance, match="a tree, or one for each sample"):
            Decoder(wrong)


def test_a_decoder_refuses_what_does_not_fit():
    x = torch.ones(1, 4, 8)
    for q, k, v, fact in (
        (x, x[..., :3], x, "expected q"),
        (x, x[0, 0], x, "expected q"),
        (x, x, x[0, 0], "expected q"),
        (x, x, x[:, :1], "expected q"),  # one head of values for four of keys
        (x, torch.ones(2, 4, 8), torch.ones(2, 4, 8), "expected q"),
        (torch.tensor(1.0), x, x, "expected q"),
        (x, x[:, :3], x[:, :3], "4 query heads cannot share 3 key heads"),
        (x, x[:, :0], x[:, :0], "cannot share 0"),
        (x.long(), x, x, "floating-point"),
    ):
        with pytest.raises(InvalidInstance, match=fact):
            Decoder(windows(4, (2,))).step(q, k, v)
    decoder = Decoder(windows(4, (2,)))
    decoder.step(x, x, x)
    for other in (x[..., :3], torch.ones(2, 4, 8)):  # another batch would be broadcast
        with pytest.raises(InvalidInstance, match="earlier positions"):
            decoder.step(other, other, other)
    assert torch.equal(decoder.step(x, x, x), x)  # a refused step changes nothing
    for attention in (hierarchical_attention, prefix_attention):
        with pytest.raises(InvalidInstance, match=r"floating-point numbers, got torch\.int64"):
            attention(windows(4, (2,)), *[torch.ones(1, 1, 4, 8, dtype=torch.int64)] * 3)
