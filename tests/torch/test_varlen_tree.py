"""Trees under varlen attention: against dense masks in float64, forward and backward, alone and in real models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.pack.packing import pack_batches
from masksynth.torch import (
    Collator,
    fold,
    packed_loss,
    plan_tree,
    self_test,
    tree_attention,
    use_varlen_attention,
    varlen_tree,
)
from tests.export.test_tree_segments import PARENTS, dense_of_parents
from tests.torch import trie
from tests.torch.architectures import build, compare
from tests.torch.models import gpt2

MODELS = {
    "llama": {},
    "mistral": {"sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    "gemma3": {"sliding_window": 5, "head_dim": 8},
    "gpt2": {},
}


def inputs_of(rows, size, heads=4, shared=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(rows, heads, size, 8), (rows, shared, size, 8), (rows, shared, size, 8)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


def dense_window(parents, window):
    """The dense mask of a tree, each position seeing only the last keys of its path."""
    dense = dense_of_parents(parents)
    if window is not None:
        for row in dense:
            path = np.flatnonzero(row)
            row[path[:-window]] = False
    return torch.from_numpy(dense)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3).flatmap(lambda k: st.lists(PARENTS, min_size=k, max_size=k)), st.sampled_from([None, 1, 3]))
def test_rows_of_trees_against_dense_masks(trees, window):
    size = min(map(len, trees))
    if not size:
        return
    parents = np.stack([tree[:size] for tree in trees])
    inputs = inputs_of(len(trees), size)
    mask = torch.stack([dense_window(tree, window) for tree in parents])[:, None]
    ours = tree_attention(*inputs, plan_tree(parents), 0.3, window)
    right = scaled_dot_product_attention(*inputs, mask, scale=0.3, enable_gqa=True)
    assert torch.allclose(ours, right, rtol=0, atol=1e-12)
    direction = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for a, b in zip(*(torch.autograd.grad((out * direction).sum(), inputs) for out in (ours, right)), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_a_batch_and_the_parents_of_its_positions_have_one_plan():
    [batch] = pack_batches(trie.rollouts())
    plan = plan_tree(batch.mask)
    q, k, v = inputs_of(1, batch.positions)
    dense = torch.from_numpy(batch.mask.dense())
    right = scaled_dot_product_attention(q, k, v, dense, enable_gqa=True)
    assert torch.allclose(tree_attention(q, k, v, plan), right, rtol=0, atol=1e-12)
    assert len(plan.kv_index) == int(plan.cu_seqlens_k[-1]) >= batch.positions
    assert f"gather {len(plan.kv_index):,} keys" in repr(plan)


@pytest.mark.parametrize("name", MODELS)
def test_real_models(name):
    """Log-probabilities and gradients of the samples alone, by the model with its own windows."""
    model = gpt2() if name == "gpt2" else build(name, **MODELS[name])
    samples = trie.rollouts()
    [source] = pack_batches(samples)
    batch = Collator(model=use_varlen_attention(model))(source)
    assert batch.attention == "varlen"
    assert "TreePlan" in repr(batch.model_inputs["attention_mask"])
    terms = packed_loss(model(**batch.model_inputs).logits, batch, "none")
    values, gradients = compare(model, samples, terms)
    assert values < 1e-5  # norms and rotary tables are computed in float32
    assert gradients < 1e-5
    if name == "mistral":
        assert self_test(model, batch)


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_fold_gathers_keys_instead_of_making_masks(name):
    """Padded rows that share prompts, in one and in several merged rows; values and gradients."""
    model = use_varlen_attention(build(name, **MODELS[name]))
    rows = [one["input_ids"] for one in trie.rollouts(groups=2, answers=3)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    plain = model(**inputs).loss
    expected = torch.autograd.grad(plain, list(model.parameters()))
    plans = []

    def watch(module, positional, named):
        plans.append(named["attention_mask"])

    model.model.layers[0].register_forward_pre_hook(watch, with_kwargs=True)
    for limit in (None, 40):
        with fold(model, max_length=limit) as folded:
            loss = model(**inputs).loss
            assert folded.report().folded == 1
        assert isinstance(plans[-1], varlen_tree.TreePlan)
        assert (plans[-1].rows > 1) == (limit is not None)
        assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
        for ours, right in zip(torch.autograd.grad(loss, list(model.parameters())), expected, strict=True):
            assert torch.allclose(ours, right, rtol=1e-4, atol=1e-7)


def test_several_rows_of_parents_with_checkpointing():
    """As fold calls a model: k merged rows, the parent of each position, here with gradient checkpointing."""
    model = use_varlen_attention(build("llama"))
    parents = torch.tensor([[-1, 0, 1, 1, 3, 0], [-1, 0, 0, 2, 2, 4]])
    position_ids = torch.tensor([[0, 1, 2, 2, 3, 1], [0, 1, 1, 2, 2, 3]])
    ids = torch.randint(3, 30, (2, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.stack([torch.from_numpy(dense_of_parents(row.numpy())) for row in parents])[:, None]
    plain = {"input_ids": ids, "position_ids": position_ids, "use_cache": False}
    results = []
    for attention_mask in (mask, plan_tree(parents)):
        for checkpointing in (False, True):
            model.train()
            (model.activation_checkpointing_enable if checkpointing else model.activation_checkpointing_disable)()
            logits = model(**plain, attention_mask=attention_mask).logits
            results.append([logits, *torch.autograd.grad(logits.square().sum(), list(model.parameters()))])
    for other in results[1:]:
        assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-4) for a, b in zip(results[0], other, strict=True))


def test_what_a_varlen_kernel_cannot_do_is_refused():
    [source] = pack_batches(trie.pairs())
    for name, more, said in (
        ("gemma2", {"head_dim": 8}, "does not support a soft cap"),
        ("llama", {"attention_dropout": 0.1}, "does not support attention dropout"),
    ):
        model = use_varlen_attention(build(name, "eager", **more)).train()
        with pytest.raises(Unsupported, match=said):
            model(**Collator("varlen")(source).model_inputs)
    segments = [{"length": 3, "within": "full", "predict": "self"}]
    [batch] = pack_batches([{"input_ids": [5, 6, 7], "labels": [5, 6, 7], "segments": segments}])
    with pytest.raises(Unsupported, match=r"row 0 attends to 0..2: not to itself and"):
        Collator("varlen")(batch).model_inputs  # noqa: B018
    with pytest.raises(
        Unsupported, match="a plan for varlen kernels has no windows; leave attention_window and tables"
    ):
        Collator("varlen", attention_window=4)(source).attention_mask  # noqa: B018
    with pytest.raises(InvalidInstance, match="a plan for 1 x 4 positions, queries and keys have 1 x 5, 5"):
        tree_attention(*inputs_of(1, 5), plan_tree(np.arange(-1, 3)))
    with pytest.raises(InvalidInstance, match="parent of position 1 in row 0: expected -1 to 0, got 1"):
        plan_tree(np.array([-1, 1]))


def test_a_window_that_a_layer_does_not_hand_over_is_an_error():
    model = build("mistral", **MODELS["mistral"])
    [source] = pack_batches(trie.pairs())
    inputs = Collator(model=use_varlen_attention(model))(source).model_inputs
    model.model.layers[1].self_attn.sliding_window = None
    model.config.sliding_window = None
    with pytest.raises(Unsupported, match="asks for window None, its own mask has window 5; use sdpa or"):
        model(**inputs)


def test_a_kernel_that_aligns_queries_with_the_first_keys_is_an_error(monkeypatch):
    """The check of a GPU's kernel at its first use, run here with a right kernel and with one that is wrong so."""

    def first_keys(query, key, value, plan, scale, window):
        parts = []
        for s in range(len(plan.queries) - 1):
            q, (low, high) = query[plan.queries[s] : plan.queries[s + 1]], plan.keys[s : s + 2]
            q, k, v = (part.transpose(0, 1) for part in (q, key[low:high], value[low:high]))
            parts.append(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1))
        return torch.cat(parts)

    varlen_tree._check_kernel.cache_clear()
    monkeypatch.setattr(varlen_tree, "_run_kernel", varlen_tree._run_segments)
    varlen_tree._check_kernel(torch.device("cpu"), torch.bfloat16)
    varlen_tree._check_kernel.cache_clear()
    monkeypatch.setattr(varlen_tree, "_run_kernel", first_keys)
    with pytest.raises(WrongAnswer, match=r"varlen_attn of torch .* differs by .* from the segments one by one on cpu"):
        varlen_tree._check_kernel(torch.device("cpu"), torch.bfloat16)
    varlen_tree._check_kernel.cache_clear()
