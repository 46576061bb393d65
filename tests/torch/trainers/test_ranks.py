"""Two processes: DistributedDataParallel and FSDP2, folded and packed."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import TrainingArguments

from masksynth.errors import Unsupported
from masksynth.torch import PackedDataset
from masksynth.torch.trainers import PackedTrainer
from tests.torch.trainers import stacks
from tests.torch.trainers.ranks import RANKS, rows_of, run_ranks
from tests.torch.trainers.test_packed_trainer import parameters, relative, sample_sums, write_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, accelerate and torch


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    folder = write_folder(path / "packed")
    return run_ranks(folder, path / "out"), PackedDataset(folder), path / "out"


def test_a_folded_trainer_in_ddp(found):
    ranks, *_ = found
    for rank in ranks:
        for name in ("loss", "eval_loss"):
            assert rank["folded"][name] == pytest.approx(rank["plain"][name], rel=1e-6)  # logged in float32
        assert relative(rank["folded"]["parameters"], rank["plain"]["parameters"]) < 1e-9
        tokens, trie, embedded = rank["folded"]["counts"]
        assert tokens > trie == embedded
    counts = [rank["folded"]["counts"] for rank in ranks]
    assert counts[0] != counts[1]  # each rank has rows of its own
    assert ranks[0]["folded"]["parameters"].equal(ranks[1]["folded"]["parameters"])
    for rank in ranks:  # the log has the sums over processes
        logged = rank["folded"]["merged/positions"] + rank["folded"]["eval_merged/positions"]
        assert sum(logged) == counts[0][1] + counts[1][1]


def test_the_order_of_prefixes_on_two_ranks(found):
    """Each row once in an epoch, on either rank; a run that is resumed in mid-epoch is the whole one."""
    ranks, *_ = found
    for epoch in range(2):
        rows = [row for rank in ranks for batch in rank["ordered"]["orders"][epoch] for row in batch]
        assert sorted(rows) == list(range(32))
    assert ranks[0]["ordered"]["orders"][0] != ranks[0]["ordered"]["orders"][1]
    for rank in ranks:
        whole, resumed = rank["ordered"]["parameters"]
        assert whole.equal(resumed)


def test_rows_put_together_within_the_steps_of_two_ranks(found):
    """Also where accelerate repeats the first rows of the epoch in the last round."""
    ranks, *_ = found
    for rank in ranks:
        (plain, _), (apart, shuffled), (together, grouped) = rank["refilled"]
        assert max(relative(apart, plain), relative(together, plain)) < 1e-9
        assert grouped < shuffled


def test_an_evaluation_before_training_is_warned_of(found):
    """If transformers wraps the model after all, the warning can go."""
    for rank in found[0]:
        [text], trained = rank["evaluated first"]
        assert "leaves the model outside DistributedDataParallel" in text
        assert trained == "GPT2LMHeadModel"


def test_the_trainers_own_fsdp(found):
    ranks, *_ = found
    for rank in ranks:
        plain, folded = rank["fsdp"]
        assert folded["folded"] == (6, 6)
        assert folded["losses"] == pytest.approx(plain["losses"], rel=1e-5)
        assert relative(folded["parameters"], plain["parameters"]) < 1e-5


def test_a_checkpoint_of_another_number_of_processes_is_refused(found, tmp_path):
    _, data, out = found
    setting = stacks.settings(TrainingArguments, output_dir=str(tmp_path), num_train_epochs=2, max_steps=-1)
    alone = PackedTrainer(stacks.gpt2(), setting, train_dataset=data)
    with pytest.raises(Unsupported, match=r"the checkpoint is of 2 processes, this run has 1: .* resume with 2"):
        alone.train(resume_from_checkpoint=str(out / "packed" / "checkpoint-1"))


def test_packed_batches_on_two_ranks_are_the_separate_samples(found):
    """A step has the batches of both ranks; the mean is over all their labels, on either rank."""
    ranks, data, _ = found
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
    ranks, *_ = found
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
