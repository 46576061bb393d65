"""One label for each position: a model's own loss, plain cross entropy with weights, and TRL's tree rows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

from masksynth.errors import Unsupported
from masksynth.pack import pack_batches, pack_samples
from masksynth.torch import Collator, PackedDataset, packed_loss, sample_logprobs
from tests.torch import trie
from tests.torch.models import VOCABULARY, furthest, gpt2, gradients, rotary, separate_logprobs, separate_loss

EXACT, SINGLE = 1e-11, 2e-6


def every_turn(conversations=2, turns=3):
    """Agent calls that train the answers of earlier calls, too; and one answer twice."""
    samples = trie.calls(conversations, turns)
    random = np.random.default_rng(3)
    for one in samples:
        ids = one["input_ids"]
        one["labels"] = [-100 if i < 4 or random.random() < 0.3 else token for i, token in enumerate(ids)]
    return [*samples, {**samples[-1], "id": "again"}]


DATA = {"calls": trie.calls(), "pairs": trie.pairs(), "every turn": every_turn()}


def count_labels(samples):
    return sum(label != -100 for one in samples for label in one["labels"][1:])


@pytest.mark.parametrize("name", DATA)
def test_the_loss_of_the_model_itself(name):
    """HF's loss is computed in float32, whatever the model's dtype."""
    samples, model = DATA[name], gpt2()
    batches = list(pack_batches(samples, layout="next-token-unweighted", max_length=40))
    assert len(batches) > 1 or name == "pairs"
    inputs = Collator(labels=True)(batches).model_inputs
    expected = separate_loss(model, samples)
    mean = model(**inputs).loss
    assert (mean * count_labels(samples) / expected).item() == pytest.approx(1, abs=SINGLE)
    total = model(**inputs, num_items_in_batch=1).loss
    ours, theirs = gradients(model, total), gradients(model, separate_loss(model, samples))
    assert furthest(ours, theirs) < 1e-5 * max(part.abs().max().item() for part in theirs)
    del inputs["shift_labels"]  # a model that knows labels only shifts them along the merged order
    assert model(**inputs).loss.item() == pytest.approx(mean.item(), rel=1e-6)


@pytest.mark.parametrize("multiple", [1, 64])
def test_no_label_is_lost_at_the_end_of_the_sequence(multiple):
    [source] = pack_batches(DATA["pairs"], layout="next-token-unweighted")
    batch = Collator(labels=True, multiple=multiple)(source)
    inputs = batch.model_inputs
    assert torch.equal(inputs["labels"][:, 1:], inputs["shift_labels"][:, :-1])
    assert inputs["labels"][0, 0] == inputs["shift_labels"][0, -1] == -100
    assert (inputs["labels"] != -100).sum() == count_labels(DATA["pairs"])
    assert inputs["input_ids"].shape[1] % multiple == 0
    assert "labels" not in Collator(multiple=multiple)(source).model_inputs


def test_rows_that_are_not_merged_and_models_with_windows():
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 3}
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 32, "initializer_range": 0.3}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, **heads, **window, attn_implementation="sdpa"))
    samples = DATA["every turn"]
    expected = separate_loss(model, samples).item() / count_labels(samples)
    [source] = pack_batches(samples, layout="next-token-unweighted")
    merged = model(**Collator(model=model, labels=True)(source).model_inputs).loss.item()
    inputs = Collator(model=model, labels=True, merge=False)(source).model_inputs
    assert inputs["labels"].shape == (len(samples), 1 + max(map(trie.live, samples)))
    rows = model(**inputs).loss.item()
    assert merged == pytest.approx(expected, rel=1e-5)
    assert rows == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["rollouts", *DATA])
def test_one_label_with_a_weight(name):
    samples, model = {"rollouts": trie.rollouts(), **DATA}[name], gpt2()
    [source] = pack_batches(samples, layout="next-token")
    batch = Collator()(source)
    logits = model(**batch.model_inputs).logits
    terms = cross_entropy(logits[0], batch.shift_labels[0], reduction="none") * batch.label_weights[0]
    assert terms.sum().item() == pytest.approx(separate_loss(model, samples).item(), rel=EXACT)
    assert packed_loss(logits, batch).item() == pytest.approx(terms.sum().item(), rel=EXACT)
    assert batch.label_weights.sum().item() == batch.weight


def test_layouts_that_have_no_row_of_labels_are_refused():
    [edges] = pack_batches(trie.pairs())
    with pytest.raises(
        Unsupported, match=r"position \d+ has the labels \d+ and \d+, a row of labels has one .* --layout"
    ):
        Collator()(edges).shift_labels  # noqa: B018
    with pytest.raises(Unsupported, match="a row of labels"):
        Collator(labels=True)(edges)
    [shared] = pack_batches(DATA["every turn"], layout="next-token")
    with pytest.raises(Unsupported, match=r"position \d+ has the weight \d of \d loss edges, which a model's own loss"):
        Collator(labels=True)(shared)
    [weighted] = pack_batches([{**trie.pairs()[0], "weight": 0.5}], layout="next-token")
    for merge in (True, False):
        with pytest.raises(Unsupported, match=r"has the weight 0.5 of 1 loss edge, which"):
            Collator(labels=True, merge=merge)(weighted)


def test_the_trainer_of_transformers_with_accumulation(tmp_path):
    """Three steps of SGD over two batches each, against the separate samples of the same batches."""
    samples = [{**one, "id": f"{i}/{one['id']}"} for i in range(6) for one in trie.pairs(2, seed=i)]
    pack_samples(samples, tmp_path / "packed", layout="next-token-unweighted", max_length=40, window=4)
    data, collate = PackedDataset(tmp_path / "packed"), Collator(labels=True)
    model, alone = rotary(), rotary()
    options = {"max_steps": 3, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "learning_rate": 0.5}
    quiet = {
        "report_to": [],
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "max_grad_norm": 0,
    }
    arguments = TrainingArguments(
        str(tmp_path / "out"),
        optim="sgd",
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        **options,
        **quiet,
    )
    trainer = Trainer(model, arguments, lambda items: collate(items).model_inputs, data)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    expected = []
    named = {one["id"]: one for one in samples}
    for step in range(3):
        rows = [named[name] for number in (2 * step, 2 * step + 1) for name in data[number].samples]
        loss = separate_loss(alone, rows) / count_labels(rows)
        expected.append(loss.item())
        for parameter, gradient in zip(alone.parameters(), gradients(alone, loss), strict=True):
            parameter.data -= 0.5 * gradient
    assert losses == pytest.approx(expected, rel=1e-5)
    assert furthest(model.parameters(), alone.parameters()) < 1e-5


def test_the_fused_head_of_trl():
    """Its own loss and log-probabilities, from shifted labels, and from labels that it shifts."""
    from trl.trainer.utils import add_fused_lm_head

    samples, model = DATA["pairs"], rotary()
    expected = (separate_loss(model, samples) / count_labels(samples)).item()
    [source] = pack_batches(samples, layout="next-token-unweighted")
    batch = Collator(labels=True)(source)
    token = sample_logprobs(model(**batch.model_inputs).logits, batch).token
    add_fused_lm_head(model)
    inputs = batch.model_inputs
    fused = model(**inputs, fused_lm_head=True)
    assert fused.loss.item() == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(fused.log_probs[0, batch.loss_position], token, rtol=0, atol=1e-5)
    shifts = {name: value for name, value in inputs.items() if name != "shift_labels"}
    assert model(**shifts, fused_lm_head=True).loss.item() == pytest.approx(expected, rel=1e-5)


def load_tree_row():
    """TRL's tree rows, without the trainers beside them."""
    path = Path(importlib.util.find_spec("trl").origin).parent / "experimental/async_grpo/packing.py"
    spec = importlib.util.spec_from_file_location("trl_packing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TreeRow


@pytest.mark.parametrize("name", ["rollouts", *DATA])
def test_at_most_as_many_positions_as_tree_rows_of_trl_and_the_same_log_probabilities(name):
    samples, model = {"rollouts": trie.rollouts(), **DATA}[name], gpt2()
    row = load_tree_row()()
    for one in samples:
        ids, mask = torch.tensor(one["input_ids"]), torch.tensor(one["labels"]) != -100
        row.add(
            {"input_ids": ids, "completion_mask": mask, "old_log_probs": torch.zeros(len(ids)), "advantage": 1.0}
            | {"group_id": one["group"]}
        )
    peer = row.pack()
    [source] = pack_batches(samples, layout="next-token")
    assert source.positions <= len(peer["input_ids"])
    batch = Collator()(source)
    ours = sample_logprobs(model(**batch.model_inputs).logits, batch).token
    inputs = {"input_ids": peer["input_ids"][None], "position_ids": peer["position_ids"][None], "use_cache": False}
    logits = model(**inputs, attention_mask=dense_mask(peer)[None, None]).logits[0]
    token = peer["token_index"]
    theirs = logits.log_softmax(-1)[token, peer["shift_labels"][token]]
    assert torch.allclose(ours, theirs, rtol=0, atol=EXACT)
    assert torch.allclose(ours, torch.cat(separate_logprobs(model, samples)), rtol=0, atol=EXACT)


def dense_mask(peer):
    """The mask of TRL's segments: each attends causally to the end of its path."""
    mask = torch.zeros(len(peer["input_ids"]), len(peer["input_ids"]), dtype=torch.bool)
    queries, keys = peer["tree_cu_seqlens_q"].tolist(), peer["tree_cu_seqlens_k"].tolist()
    for segment in range(len(queries) - 1):
        path = peer["tree_kv_index"][keys[segment] : keys[segment + 1]]
        for query in range(queries[segment], queries[segment + 1]):
            mask[query, path[: len(path) - (queries[segment + 1] - 1 - query)]] = True
    return mask
