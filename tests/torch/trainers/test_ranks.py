"""Two processes: DistributedDataParallel and FSDP2, folded and packed."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from masksynth.torch import PackedDataset
from tests.torch.trainers import stacks
from tests.torch.trainers.ranks import RANKS, rows_of, run_ranks
from tests.torch.trainers.test_packed_trainer import parameters, relative, sample_sums, write_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, accelerate and torch


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    folder = write_folder(path / "packed")
    return run_ranks(folder, path / "out"), PackedDataset(folder)


def test_a_folded_trainer_in_ddp(found):
    ranks, _ = found
    for rank in ranks:
        assert rank["folded"]["losses"] == pytest.approx(rank["plain"]["losses"], rel=1e-9)
        assert relative(rank["folded"]["parameters"], rank["plain"]["parameters"]) < 1e-9
        tokens, trie, embedded = rank["folded"]["counts"]
        assert tokens > trie == embedded
    assert ranks[0]["folded"]["counts"] != ranks[1]["folded"]["counts"]  # each rank has rows of its own
    assert ranks[0]["folded"]["parameters"].equal(ranks[1]["folded"]["parameters"])


def test_packed_batches_on_two_ranks_are_the_separate_samples(found):
    """A step has the batches of both ranks; the mean is over all their labels, on either rank."""
    ranks, data = found
    model = stacks.gpt2()
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    total, weight = sample_sums(model, {name for batch in data for name in batch.samples})
    assert ranks[0]["evaluated"] == ranks[1]["evaluated"] == pytest.approx(float(total / weight), rel=1e-6)
    for epoch in range(2):
        rounds = list(zip(*(rank["orders"][epoch] for rank in ranks), strict=True))
        flat = [number for entries in rounds for number, kind in entries if kind != "Silent"]
        assert sorted(flat) == list(range(len(data)))  # each batch once
        for begin in range(0, len(rounds), 2):
            step = [number for part in rounds[begin : begin + 2] for number, kind in part if kind != "Silent"]
            total, weight = sample_sums(model, {name for number in step for name in data[number].samples})
            losses.append(float(total / weight))
            (total / weight).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert len(data) % RANKS  # so the last round has a silent batch
    for rank in ranks:
        assert rank["packed losses"] == pytest.approx(losses, rel=1e-6)
        assert relative(rank["packed"], parameters(model)) < 1e-9


def test_a_folded_model_in_fsdp2_with_the_mean_over_labels(found):
    ranks, _ = found
    model = stacks.gpt2()
    total, count = 0, 0
    for batch in (batch for rank in range(RANKS) for batch in rows_of(rank)):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        labels = batch["labels"][:, 1:].flatten()
        total = total + cross_entropy(logits.flatten(0, 1), labels, reduction="sum")
        count += int((labels != -100).sum())
    (total / count).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    for rank in ranks:
        assert rank["sharded"]["labels"] == count
        assert rank["sharded"]["folded"] == (3, 3)
        assert relative(rank["sharded"]["parameters"], parameters(model)) < 1e-7
