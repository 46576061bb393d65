"""The self-test passes right set-ups and refuses wrong ones, each with its witness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.algebra import restrict
from masksynth.torch import Collator, self_test
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.model_check.mask_flow import reachable_outputs
from tests.torch import trie
from tests.torch.models import gpt2, rotary

SOURCE = trie.packed(trie.rollouts())


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("data", [trie.rollouts(), trie.calls(), trie.pairs()], ids=["rollouts", "calls", "pairs"])
@pytest.mark.parametrize("model", [gpt2, lambda kind: rotary("qwen", kind)], ids=["gpt2", "qwen"])
def test_right_models_pass(model, data, kind):
    built = model(kind).train()
    next(built.children()).eval()
    modes = [module.training for module in built.modules()]
    dtype = next(built.parameters()).dtype
    found = self_test(built, Collator(kind, dtype)(trie.packed(data)), samples=99, probes=5)
    assert found.forbidden == 0
    assert found.samples == len(data)
    assert found.probes >= 5
    assert [module.training for module in built.modules()] == modes


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, kind):
    """Isolation is exact in any dtype; equality is up to rounding."""
    batch = Collator(kind, dtype)(SOURCE)
    found = self_test(rotary("llama", kind).to(dtype), batch, samples=99)
    assert (found.forbidden, found.samples) == (0, 12)
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(rotary("llama", kind).to(dtype), replace(batch, position_ids=torch.arange(len(batch.input_ids))))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_flex_passes_and_its_lists_are_checked():
    torch._dynamo.reset()  # a second length makes torch's CPU code generator fail
    batch = Collator("flex")(SOURCE)
    assert self_test(rotary("llama", "flex_attention"), batch, samples=1, probes=1).forbidden == 0
    batch.attention_mask.kv_num_blocks[0, 0, 0] -= 1
    with pytest.raises(WrongAnswer, match="block lists"):
        self_test(rotary("llama", "flex_attention"), batch)


def plain(inputs=SOURCE):
    """A model in a few lines of PyTorch: two layers of attention by the mask, weights from the tokens and positions."""
    random = torch.Generator().manual_seed(1)
    embed, mix = (torch.randn(size, 8, generator=random, dtype=torch.float64) for size in (60, 8))

    def model(input_ids, position_ids, attention_mask, use_cache):
        x = embed[input_ids[0]] + torch.outer(position_ids[0].double(), mix[0]).sin()
        for _ in range(2):
            x = x + (x @ mix @ x.T / 8).masked_fill(~attention_mask[0, 0], -torch.inf).softmax(-1) @ x
        return x

    return model


def test_plain_callables():
    found = self_test(plain(), Collator()(SOURCE), samples=99)
    assert found.forbidden == 0
    assert found.apart < 1e-9


def test_samples_with_their_own_visibility():
    """Documents that do not see one another, shared by questions: the mask is the truth."""
    random = np.random.default_rng(0)
    rows = [[0], [0, 1], [2], [2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5], [2, 3, 6]]
    batch = trie.PackedBatch(
        samples=("both", "second"),
        input_ids=random.integers(0, 40, 7),
        position_ids=np.array([0, 1, 0, 1, 2, 3, 2]),
        mask=Mask.from_intervals([[trie.intervals(row) for row in rows]]),
        loss_position=np.array([5, 6]),
        loss_label=np.array([1, 2]),
        loss_sample=np.array([0, 1]),
        loss_weight=np.ones(2),
        sample_offset=np.array([0, 6, 9]),
        sample_position=np.array([0, 1, 2, 3, 4, 5, 2, 3, 6]),
        sample_weight=np.ones(2),
        loss_index=np.array([6, 3]),
        dead_offset=np.array([0, 0, 0]),
        dead_index=np.zeros(0, np.int64),
        dead_token=np.zeros(0, np.int64),
    )
    for model in (plain(), gpt2()):
        assert self_test(model, Collator()(batch), visible="mask").forbidden == 0
        with pytest.raises(
            WrongAnswer, match=r'rows: position 2 .* does not attend to position 0 .* pass visible="mask"'
        ):
            self_test(model, Collator()(batch))


def flipped(mask, seed):
    """The mask with one entry of the lower triangle turned round."""
    dense = mask.dense()
    rows, keys = np.nonzero(np.tril(np.ones_like(dense), -1))
    at = np.random.default_rng(seed).integers(len(rows))
    dense[rows[at], keys[at]] ^= True
    return Mask.from_dense(dense), (int(rows[at]), int(keys[at]))


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_one_wrong_entry_in_the_batch_is_found(seed):
    mask, (row, key) = flipped(SOURCE.mask, seed)
    with pytest.raises(WrongAnswer, match=f"rows: position {row} .* position {key} "):
        self_test(plain(), Collator()(replace(SOURCE, mask=mask)))


def with_mask(batch, dense):
    batch.__dict__["attention_mask"] = dense[None, None]
    return batch


@pytest.mark.parametrize("seed", range(8))
def test_one_wrong_entry_in_the_mask_that_the_model_gets(seed):
    mask, _ = flipped(SOURCE.mask, seed)
    with pytest.raises(WrongAnswer, match=r"leak: the logits at position|logits: the logits at position"):
        self_test(gpt2(), with_mask(Collator()(SOURCE), dense_mask(mask)), samples=99)


def eager_with_bool(model):
    """A wrapper that hides which attention the model has."""
    return lambda **inputs: model(**inputs)


WRONG = {
    "everything seen": (lambda **i: gpt2()(**{**i, "attention_mask": i["attention_mask"] | True}), "leak"),
    "causal over the merged order": (lambda **i: gpt2()(**{**i, "attention_mask": causal(i)}), "leak"),
    "position ids left out": (lambda **i: gpt2()(**{**i, "position_ids": None}), "logits"),
    "a bool mask added to scores": (eager_with_bool(gpt2("eager")), "leak"),
    "mask left to the model, packing by position ids": (
        lambda **i: gpt2()(**{**i, "attention_mask": None}),
        "logits|leak",
    ),
    "mask and use_cache left to the model": (
        lambda **i: gpt2()(i["input_ids"], position_ids=i["position_ids"]),
        "logits|leak",
    ),
    "tokens ignored": (lambda **i: torch.zeros(1, i["input_ids"].shape[1], 3), "self test: no output moved"),
    "one position reads its neighbour": (lambda **i: gpt2()(**i).logits.roll(1, 1) + gpt2()(**i).logits, "leak"),
    "dtype of half precision inside": (lambda **i: gpt2().bfloat16()(**i).logits.double(), "logits"),
    "not a number": (lambda **i: gpt2()(**i).logits * torch.nan, "logits"),
}


def causal(inputs):
    size = inputs["input_ids"].shape[1]
    return torch.ones(1, 1, size, size, dtype=torch.bool).tril()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_models_are_refused(name):
    model, text = WRONG[name]
    with pytest.raises(WrongAnswer, match=text):
        self_test(model, Collator()(SOURCE))


def test_wrong_batches_are_refused():
    model, batch = gpt2(), Collator()(SOURCE)
    arange = torch.arange(len(batch.input_ids))
    with pytest.raises(
        WrongAnswer, match=r"logits: the logits at position \d+ \(token \d+ of sample 'q\d/\d'\) differ by .* alone"
    ):
        self_test(model, replace(batch, position_ids=arange))
    with pytest.raises(WrongAnswer, match="logits"):
        self_test(model, replace(batch, input_ids=batch.input_ids.flip(0)))
    with pytest.raises(
        WrongAnswer, match=r"made for sdpa, the model runs 'eager'; load the model with attn_implementation='sdpa'"
    ):
        self_test(gpt2("eager"), batch)
    places = SOURCE.loss_position.copy()
    places[3] = places[3] - 1
    with pytest.raises(WrongAnswer, match=r"loss edges: label 12 of sample 'q0/0' is predicted at position"):
        self_test(model, Collator()(replace(SOURCE, loss_position=places)))
    with pytest.raises(InvalidInstance, match=r"the model returns \[2\] for 76 positions"):
        self_test(lambda **_: torch.zeros(2), batch)
    with pytest.raises(InvalidInstance, match="expected 'causal' or 'mask', got 'all'"):
        self_test(model, batch, visible="all")


@given(st.integers(1, 12), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_reach_and_restriction_against_matrices(size, seed):
    random = np.random.default_rng(seed)
    dense = random.random((size, size)) < 0.3
    np.fill_diagonal(dense, True)
    mask, sources, kept = Mask.from_dense(dense), random.random(size) < 0.3, np.flatnonzero(random.random(size) < 0.6)
    closure = np.linalg.matrix_power(dense.astype(float), size) > 0
    assert np.array_equal(reachable_outputs(mask, sources, None), (closure[:, sources]).any(1))
    assert restrict(mask, kept) == Mask.from_dense(dense[np.ix_(kept, kept)])


def test_noise_is_measured():
    """Kernels that are not deterministic to the last bit pass; a leak above their noise does not."""
    random = torch.Generator().manual_seed(0)
    model = gpt2()

    def noisy(**inputs):
        logits = model(**inputs).logits
        return logits + 1e-12 * torch.randn(logits.shape, generator=random, dtype=torch.float64)

    assert 0 < self_test(noisy, Collator()(SOURCE)).forbidden < 1e-10
