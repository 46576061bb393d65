"""Queries and keys of transformers, checked against their own attention probabilities; trees of samples in models."""

from __future__ import annotations

import pytest
import torch

from masksynth.diagnostics.hierarchy import diagnose_hierarchy, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_capture import queries_and_keys
from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers
from masksynth.errors import InvalidInstance, Unsupported
from tests.diagnostics.hierarchy.test_torch import bert, special
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture
from tests.torch.models import gpt2, rotary


def padded(size=9, real=6):
    tokens = torch.randint(1, 39, (2, size), generator=torch.Generator().manual_seed(0))
    padding = torch.ones(2, size, dtype=torch.long)
    padding[1, real:] = 0
    return {"input_ids": tokens, "attention_mask": padding}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [bert, gpt2, rotary], ids=["bert", "gpt2", "llama"])
def test_their_softmax_is_the_attention_of_the_model(make, attention):
    model, inputs = make().eval(), padded()
    options = {} if make is bert else {"use_cache": False}
    model.set_attn_implementation("eager")
    with torch.no_grad():
        want = model(**inputs, **options, output_attentions=True).attentions
        model.set_attn_implementation(attention)
        before = model(**inputs, **options)[0]
        found = queries_and_keys(model, **inputs, **options)
        assert torch.equal(model(**inputs, **options)[0], before)
    assert [one.layer for one in found] == list(range(len(want)))
    for one, weights in zip(found, want, strict=True):
        score = one.q @ one.k.transpose(-1, -2) / one.q.shape[-1] ** 0.5
        may = one.real[:, None, None, :].expand_as(score)
        may = may.tril() if one.causal else may
        rows = torch.where(may, score, float("-inf")).softmax(-1)
        assert one.causal == (make is not bert)
        assert ((rows - weights).abs() * one.real[:, None, :, None]).max() < 1e-5


def test_they_are_measured_by_the_diagnosis():
    (one,) = queries_and_keys(bert(), [-1], **padded())
    found = diagnose_hierarchy(windows(9, (3,)), one.q[0], one.k[0], included=True)
    assert found.heads == 4
    assert found.kl_total > 0
    flat = diagnose_hierarchy(windows(9, ()), one.q[0], one.k[0], included=True)
    assert flat.kl_total < 1e-6


def test_scores_that_are_not_dot_products_and_layers_that_are_not_there_are_refused():
    tokens = torch.randint(3, 50, (1, 8), generator=torch.Generator().manual_seed(0))
    for kind in ("softcap", "s_aux", "position_bias"):
        with pytest.raises(Unsupported, match=kind):
            queries_and_keys(special(kind), input_ids=tokens)
    with pytest.raises(InvalidInstance, match="layer 7"):
        queries_and_keys(bert(), [7], input_ids=tokens)
    with pytest.raises(Unsupported, match="interface"):
        queries_and_keys(torch.nn.Linear(2, 2), input_ids=tokens)


def test_a_model_takes_the_tree_of_each_sample():
    model, inputs = bert(), padded(6, 4)
    trees = [tree_of_lists([[0, 1], [2, 3, 4], 5]), tree_of_lists([[0, 1, 2], 3])]
    with torch.no_grad():
        with hierarchical_layers(model, [0, 2], trees):
            together = model(**inputs)[0]
        for sample, (tree, size) in enumerate(zip(trees, (6, 4), strict=True)):
            with hierarchical_layers(model, [0, 2], lambda _, tree=tree: tree):
                alone = model(input_ids=inputs["input_ids"][sample : sample + 1, :size])[0][0]
            assert (together[sample, :size] - alone).abs().max() < 1e-4 * alone.abs().max()
    left = {**inputs, "attention_mask": inputs["attention_mask"].flip(1)}
    with pytest.raises(InvalidInstance, match="pad on the right"), hierarchical_layers(model, [0], trees):
        model(**left)
