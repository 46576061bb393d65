"""Symmetry of modules, starts in place, and the training run: deterministic, and checked against a plain model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from examples.symmetry_training import main
from masksynth.diagnostics.symmetry import torch_training as training
from masksynth.diagnostics.symmetry import torch_weights as room
from masksynth.errors import InvalidInstance
from tests.torch.conftest import one_thread  # noqa: F401 - a fixture

WIDE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32, "vocab_size": 50}
MODELS = {
    "BERT": lambda: transformers.BertModel(transformers.BertConfig(**WIDE)),
    "GPT-2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=16, vocab_size=50)
    ),
    "Llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE, num_key_value_heads=2)),
    "GPT-NeoX, by head": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**WIDE)),
    "Falcon, by group": lambda: transformers.FalconForCausalLM(
        transformers.FalconConfig(**WIDE, new_decoder_architecture=True, num_kv_heads=2)
    ),
    "Llama, bfloat16": lambda: transformers.LlamaModel(transformers.LlamaConfig(**WIDE, num_key_value_heads=1)).to(
        torch.bfloat16
    ),
}


def model(name):
    torch.manual_seed(3)
    return MODELS[name]()


def changed(before, after):
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


@pytest.mark.parametrize("name", MODELS)
def test_a_symmetric_start_changes_query_weights_alone(name):
    module = model(name)
    for one in module.parameters():
        nn.init.normal_(one)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    assert abs(room.diagnose_module(module).symmetry) < 0.3
    assert room.make_symmetric(module) == 2
    found = room.diagnose_module(module)
    assert [one.symmetry for one in found.layers] == pytest.approx([1, 1], abs=1e-12)
    assert all(one.head_symmetry == pytest.approx([1] * 4, abs=1e-12) for one in found.layers)
    names = changed(before, module.state_dict())
    assert len(names) == 2
    assert not any("bias" in key for key in names)
    if name == "GPT-2":
        weight, old = module.transformer.h[0].attn.c_attn.weight, before["transformer.h.0.attn.c_attn.weight"]
        assert torch.equal(weight[:, 48:], old[:, 48:])
        assert torch.equal(weight[:, :48], old[:, 48:96])
    elif name == "BERT":
        attention = module.encoder.layer[1].attention.self
        assert torch.equal(attention.query.weight, attention.key.weight)
        with torch.no_grad():
            attention.query.weight.zero_()
        assert attention.key.weight.abs().sum() > 0  # a copy, not tied


@pytest.mark.parametrize("name", ["BERT", "GPT-2", "Llama"])
def test_a_skew_start_is_skew_in_every_head(name):
    module = model(name)
    room.make_skew(module, seed=5)
    found = room.diagnose_module(module)
    assert all(one.head_symmetry == pytest.approx([-1] * 4, abs=1e-6) for one in found.layers)
    assert found.symmetry == pytest.approx(-1, abs=1e-6)
    twin = model(name)
    room.make_skew(twin, seed=5)
    assert not changed(module.state_dict(), twin.state_dict())


def test_scores_of_queries_are_those_of_the_weights():
    """x_i W_qk x_j from the module's own forward pass is symmetric after a symmetric start without biases."""
    module = model("Llama").model.layers[0].self_attn
    room.make_symmetric(model_of := nn.ModuleDict({"self_attn": module}), head_dim=12)
    states = torch.randn(5, 48, dtype=torch.float32)
    query = module.q_proj(states).view(5, 4, 12)
    key = module.k_proj(states).view(5, 2, 12).repeat_interleave(2, dim=1)
    scores = torch.einsum("ihd,jhd->hij", query, key)
    assert torch.allclose(scores, scores.transpose(1, 2), atol=1e-5)
    assert len(room.diagnose_module(model_of, head_dim=12).layers) == 1


def test_modules_without_attention_are_refused():
    with pytest.raises(InvalidInstance, match="Linear: no layer of a known layout among 2 tensors"):
        room.make_symmetric(nn.Linear(2, 2))


def test_training_is_deterministic_and_says_what_it_recorded():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = (training.train_masks(seeds=2, steps=22) for _ in range(2))
        assert torch.get_num_threads() == 2  # as before: not the one thread of the training
    finally:
        torch.set_num_threads(threads)
    assert first == second
    assert first.steps == (0, 20, 22)
    assert len(first.curves) == 3 * 2 * 2
    for curve in first.curves:
        assert len(curve.loss) == len(curve.symmetry) == 3
        assert (
            curve.symmetry[0] == pytest.approx(1, abs=1e-6)
            if curve.start == "symmetric"
            else abs(curve.symmetry[0]) < 0.1
        )
        assert curve.loss[0] == pytest.approx(np.log(training.WORDS), abs=0.1)
        assert curve.loss[-1] < curve.loss[0]
    assert first.trends[0].last == pytest.approx(np.mean([one.symmetry[-1] for one in first.curves[:2]]))


def test_runs_side_by_side_are_the_runs_alone():
    both = training.train_masks(seeds=2, steps=5)
    alone = training.train_masks(seed=1, seeds=1, steps=5)
    chosen = [curve for curve in both.curves if curve.seed == 1]
    for one, other in zip(chosen, alone.curves, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-4)
        assert one.symmetry == pytest.approx(other.symmetry, abs=1e-3)


def test_logits_see_what_the_mask_allows_and_nothing_else():
    masks = training.settings()
    runs = [training.Run(one, "random", 0) for one in masks]
    weights = {name: 20 * value.detach() for name, value in training._first_weights(runs).items()}
    allowed = torch.stack([torch.from_numpy(one.mask.dense()) for one in masks])[:, None, None]
    words = torch.randint(training.WORDS, (3, 1, training.LENGTH), generator=torch.Generator().manual_seed(0))
    for key in (0, 7, training.LENGTH - 1):
        other = words.clone()
        other[:, :, key] = (words[:, :, key] + 1) % training.WORDS
        moved = (training._logits(weights, allowed, words) != training._logits(weights, allowed, other)).any(dim=-1)[
            :, 0
        ]
        assert torch.equal(moved, allowed[:, 0, 0, :, key] | (torch.arange(training.LENGTH) == key))


def test_hidden_words_are_hidden_and_next_words_are_next():
    masks = training.settings()
    causal, prefix, full = (training._texts([training.Run(one, "random", 0)], 4, 0, 1) for one in masks)
    assert torch.equal(causal.read[0, :, 1:], causal.wanted[0, :, :-1])
    assert causal.predicts.all()
    assert torch.equal(prefix.predicts[0, 0], torch.arange(training.LENGTH) >= training.PREFIX - 1)
    assert torch.equal(full.read == training.WORDS, full.predicts)
    assert torch.equal(full.read[~full.predicts], full.wanted[~full.predicts])


@pytest.mark.parametrize("options", [{"seeds": 0}, {"steps": 0}, {"order": 3}])
def test_nothing_to_train_is_refused(options):
    with pytest.raises(InvalidInstance, match=r"expected seeds >= 1 and steps >= 1|order 1 or 2, got 3"):
        training.train_masks(**options)


def test_the_example_draws_and_prints_one_line_per_mask(tmp_path, capsys):
    main([str(tmp_path / "curves.svg"), "--order", "2", "--steps", "1", "--seeds", "1"])
    assert "symmetric start" in (tmp_path / "curves.svg").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["causal", "prefix-LM", "bidirectional"]
