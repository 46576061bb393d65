"""From real token files through the packer to real models: training the merged batches is training the samples."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from masksynth.pack import pack_batches, pack_samples
from masksynth.torch import Collator, PackedDataset, packed_loss, self_test
from tests.torch import trie
from tests.torch.models import furthest, gpt2, gradients, separate_loss

FILES = sorted((Path(__file__).parent.parent / "pack/data").glob("*.jsonl.gz"))
EXACT = 1e-10


def samples_of(path, groups=2):
    """The samples of the first groups, token ids renumbered so that a small vocabulary serves."""
    with gzip.open(path, "rt") as lines:
        samples = [json.loads(line) for line in lines]
    kept = list(dict.fromkeys(one["group"] for one in samples))[:groups]
    number = {-100: -100}
    return [
        {
            **one,
            **{name: [number.setdefault(t, len(number) - 1) for t in one[name]] for name in ("input_ids", "labels")},
        }
        for one in samples
        if one["group"] in kept
    ]


def model_of(samples, kind):
    classes = 1 + max(max(*one["input_ids"], *one["labels"]) for one in samples)
    longest = max(len(one["input_ids"]) for one in samples)
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None}
    config = GPT2Config(
        vocab_size=classes, n_positions=longest, n_embd=16, n_layer=2, n_head=2, attn_implementation=kind, **dropout
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).double()


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_files(path, kind, tmp_path):
    samples = samples_of(path)
    pack_samples(samples, tmp_path / "packed", max_length=max(len(one["input_ids"]) for one in samples) + 50)
    model, data = model_of(samples, kind), PackedDataset(tmp_path / "packed")
    batches = [Collator(kind, torch.float64)(batch) for batch in data]
    assert sum(len(batch.input_ids) for batch in batches) < sum(len(one["input_ids"]) for one in samples)
    merged = sum(packed_loss(model(**batch.model_inputs).logits, batch) for batch in batches)
    separate = separate_loss(model, samples)
    assert abs(1 - (merged / separate).item()) < EXACT
    ours, theirs = gradients(model, merged), gradients(model, separate)
    assert furthest(ours, theirs) < EXACT * max(gradient.abs().max().item() for gradient in theirs)
    assert self_test(model, batches[0], samples=2, probes=2).forbidden == 0


def test_files_are_there():
    assert len(FILES) == 3


@pytest.mark.parametrize(
    "data", [trie.rollouts(groups=5), trie.calls(), trie.pairs()], ids=["rollouts", "calls", "pairs"]
)
def test_the_packer_and_the_trie_agree(data):
    """Two packers that share no code: the same positions up to their order, and the same loss."""
    (batch,) = pack_batches(data)
    other = trie.packed(data)
    assert batch.positions == other.positions
    assert sorted(zip(batch.input_ids.tolist(), batch.position_ids.tolist(), strict=True)) == sorted(
        zip(other.input_ids.tolist(), other.position_ids.tolist(), strict=True)
    )
    for name in ("loss_label", "loss_sample", "loss_weight", "loss_index", "sample_offset", "dead_index", "dead_token"):
        assert np.array_equal(getattr(batch, name), getattr(other, name)), name
    assert {name: values.tolist() for name, values in batch.fields.items()} == {
        name: v.tolist() for name, v in other.fields.items()
    }
    model = gpt2()
    losses = [
        packed_loss(model(**one.model_inputs).logits, one, "none") for one in (Collator()(batch), Collator()(other))
    ]
    assert (losses[0] - losses[1]).abs().max() < EXACT


def test_samples_with_segments():
    """Shared documents and questions about them, each with its own visibility: the model agrees with the packer."""
    random = np.random.default_rng(3)
    documents = [random.integers(0, 40, 6).tolist() for _ in range(3)]
    samples = []
    for number, chosen in enumerate([(0, 1), (1, 2), (0, 1, 2)]):
        question = random.integers(0, 40, 5).tolist()
        ids = [token for d in chosen for token in documents[d]] + question
        segments = [{"length": 6, "position": 0} for _ in chosen] + [
            {"length": 5, "sees": list(range(len(chosen))), "position": 6}
        ]
        labels = [-100] * (len(ids) - 4) + question[1:]
        samples.append({"id": f"x{number}", "group": "g", "input_ids": ids, "labels": labels, "segments": segments})
    (batch,) = pack_batches(samples)
    assert batch.positions < sum(len(one["input_ids"]) for one in samples) - 3 * 6
    assert self_test(gpt2(), Collator()(batch), samples=3, visible="mask").samples == 3
    found = packed_loss(gpt2()(**Collator()(batch).model_inputs).logits, Collator()(batch))
    assert (found - segmented_loss(gpt2(), samples)).abs() < EXACT


def segmented_loss(model, samples):
    """Each sample alone under its own dense mask, written out."""
    total = 0.0
    for one in samples:
        size, start = len(one["input_ids"]), 0
        mask, places, begins = torch.zeros(size, size, dtype=torch.bool), [], []
        for segment in one["segments"]:
            end = start + segment["length"]
            begins.append((start, end))
            mask[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
            for seen in segment.get("sees", []):
                mask[start:end, begins[seen][0] : begins[seen][1]] = True
            places += range(segment["position"], segment["position"] + segment["length"])
            start = end
        logits = model(
            input_ids=torch.tensor([one["input_ids"]]),
            position_ids=torch.tensor([places]),
            attention_mask=mask[None, None],
            use_cache=False,
        ).logits[0]
        trained = [i for i, label in enumerate(one["labels"]) if label != -100]
        labels = torch.tensor([one["labels"][i] for i in trained])
        total = total + torch.nn.functional.cross_entropy(logits[torch.tensor(trained) - 1], labels, reduction="sum")
    return total
