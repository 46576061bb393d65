"""Rows of a data set that share prefixes are in one micro-batch: within optimizer steps where that is exact, on request
over an epoch."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import GPT2ForSequenceClassification

from masksynth.errors import InvalidInstance, MasksynthWarning, Unsupported
from masksynth.torch.trainers import fold_trainer, prefix_batches, why_rows_stay_shuffled
from masksynth.torch.trainers.data_order import prefix_loader
from masksynth.torch.trainers.dataset_tokens import read_tokens, token_columns
from tests.torch.trainers import stacks
from tests.torch.trainers.record import apart, train
from tests.torch.trainers.stacks import gpt2

pytestmark = pytest.mark.filterwarnings("ignore")  # of trl, transformers, accelerate and torch


def reward(**more):
    return stacks.reward(gpt2(GPT2ForSequenceClassification, num_labels=1), **more)


def kto(**more):
    """Without the divergence, for which TRL fixes the micro-batches."""
    return stacks.kto(gpt2(), gpt2(seed=1), loss_type="apo_zero_unpaired", train_sampling_strategy="random", **more)


TRAINERS = {
    "transformers": lambda **more: stacks.transformers_trainer(gpt2(), **more),
    "sft": lambda **more: stacks.sft(gpt2(), **more),
    "dpo": lambda **more: stacks.dpo(gpt2(), gpt2(seed=1), **more),
    "reward": reward,
    "kto": kto,
}
# 32 rows are 11 micro-batches of 3, the last of 2, so the last of the 4 steps of an epoch is short
ACCUMULATED = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3}


@pytest.mark.parametrize("name", ["transformers", "sft", "dpo", "reward"])
def test_a_step_has_the_gradient_of_the_trainers_own_distribution(name):
    make = TRAINERS[name]
    plain = train(make(**ACCUMULATED, max_steps=9), False)
    apart_rows, together = (train(make(**ACCUMULATED, max_steps=9), True, keep_groups=keep) for keep in (False, True))
    assert max(apart(together, plain)) < 1e-6
    assert together.tokens == apart_rows.tokens
    assert together.embedded == together.trie < 0.97 * apart_rows.trie


@pytest.mark.parametrize("name", TRAINERS)
def test_twenty_steps_in_the_order_of_prefixes(name):
    """Folded in this order and plain in the same order; fewer positions than in the trainer's own."""
    ordered = TRAINERS[name]()
    ordered.get_train_dataloader = prefix_loader(ordered)
    plain, folded = train(ordered, False), train(TRAINERS[name](), True, order="prefix")
    assert len(plain.values("loss")) == stacks.STEPS
    assert max(apart(folded, plain)) < 1e-6
    assert folded.embedded == folded.trie == sum(folded.values("merged/positions"))
    assert folded.trie < 0.9 * train(TRAINERS[name](), True).trie


def orders(trainer, epochs=3):
    """The micro-batches of some epochs."""
    loader, found = trainer.get_train_dataloader(), []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        found.append(list(loader.batch_sampler))
    return found


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("options", [{"order": "prefix"}, {}])
def test_each_row_once_in_an_epoch(drop_last, options):
    make = lambda: TRAINERS["transformers"](**ACCUMULATED, dataloader_drop_last=drop_last)  # noqa: E731
    trainer = make()
    with fold_trainer(trainer, **options):
        epochs = orders(trainer)
    assert epochs[0] != epochs[1]
    dropped = set()
    for epoch, plain in zip(epochs, orders(make()), strict=True):
        rows = [row for batch in epoch for row in batch]
        assert list(map(len, epoch)) == list(map(len, plain))
        assert len(set(rows)) == len(rows) == (30 if drop_last else 32)
        dropped |= set(range(32)) - set(rows)
        if not options:  # each step has the rows of the trainer's own
            for begin in range(0, len(plain), 3):
                step, own = (sorted(itertools.chain(*part[begin : begin + 3])) for part in (epoch, plain))
                assert step == own
            assert epoch[-1] == plain[-1]
    assert len(dropped) > 2 if drop_last else not dropped  # not the same in each epoch
    assert orders(trainer) == orders(make())  # closed


@pytest.mark.parametrize("options", [{"order": "prefix"}, {"keep_groups": True}])
def test_a_run_that_is_resumed_in_mid_epoch_has_the_rows_that_are_left(options, tmp_path):
    setting = {**ACCUMULATED, "max_steps": 10, "output_dir": str(tmp_path)}
    whole = train(TRAINERS["sft"](**setting, save_strategy="steps", save_steps=6), True, **options)
    rest = train(stacks.sft(gpt2(seed=5), **setting), True, resume=f"{tmp_path}/checkpoint-6", **options)
    assert (rest.parameters - whole.parameters).abs().max() < 1e-12
    for name in ("loss", "merged/positions"):
        assert rest.values(name) == whole.values(name)  # six of the checkpoint, four of its own
    assert rest.trie == sum(rest.values("merged/positions")[6:])


SAME = {
    "may depend on what else": lambda: stacks.transformers_trainer(
        gpt2(), gradient_accumulation_steps=2, compute_loss_func=lambda outputs, labels, num_items_in_batch: 0
    ),
    "'aot' is not a mean over pairs": lambda: TRAINERS["dpo"](
        gradient_accumulation_steps=2, loss_type=["sigmoid", "aot"]
    ),
    "auxiliary loss": lambda: stacks.sft(stacks.mixtral(), gradient_accumulation_steps=2),
    "mean divergence": lambda: kto(gradient_accumulation_steps=2),
    "packing=True": lambda: TRAINERS["sft"](gradient_accumulation_steps=2, packing=True, max_length=64),
    "'batch_rebalance'": lambda: TRAINERS["transformers"](
        gradient_accumulation_steps=2, train_sampling_strategy="batch_rebalance"
    ),
}


@pytest.mark.parametrize("reason", SAME)
def test_where_a_step_would_change_rows_keep_their_micro_batches(reason):
    trainer = SAME[reason]()
    with pytest.raises(Unsupported, match=f"keep_groups=True would change the gradient: .*{reason}"):
        fold_trainer(trainer, keep_groups=True)
    with pytest.warns(MasksynthWarning, match=f"rows stay shuffled .*{reason}"):
        folded = fold_trainer(trainer)
    assert reason in folded.shuffled
    assert "get_train_dataloader" not in vars(trainer)


def test_a_loss_that_sorts_the_micro_batch_does_change():
    """So that the refusal has a reason: put together by force, the curve is another."""
    curves = []
    for forced in (False, True):
        trainer = TRAINERS["dpo"](**ACCUMULATED, max_steps=4, loss_type="aot_unpaired")
        trainer.loss_types = ["sigmoid"] if forced else trainer.loss_types
        handle = fold_trainer(trainer, keep_groups=forced)
        trainer.loss_types = ["aot_unpaired"]
        trainer.train()
        curves.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        handle.close()
    assert max(abs(a - b) for a, b in zip(*curves, strict=True)) > 1e-3


def test_one_micro_batch_a_step_has_nothing_to_distribute():
    with warnings.catch_warnings():
        warnings.simplefilter("error", MasksynthWarning)
        trainer = TRAINERS["dpo"](loss_type="aot")
        with fold_trainer(trainer) as folded:
            assert folded.shuffled is None
            assert "get_train_dataloader" not in vars(trainer)


class Made(torch.utils.data.Dataset):
    """Rows that are made when they are read."""

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return stacks.token_rows()[index]


def test_rows_that_are_computed_when_read():
    make = lambda: stacks.Trainer(  # noqa: E731
        gpt2(),
        stacks.settings(stacks.TrainingArguments, **ACCUMULATED, max_steps=3),
        data_collator=stacks.pad_labels,
        train_dataset=Made(),
    )
    assert "Made may be computed" in why_rows_stay_shuffled(make())
    made, stored = (
        train(trainer, True, order="prefix")
        for trainer in (make(), TRAINERS["transformers"](**ACCUMULATED, max_steps=3))
    )
    assert made.trie == stored.trie  # on request they are read


REFUSED = {
    "without a length": lambda: stacks.Trainer(
        gpt2(),
        stacks.settings(stacks.TrainingArguments),
        train_dataset=Dataset.from_list(stacks.token_rows()).to_iterable_dataset(),
    ),
    "'group_by_length' is another order": lambda: TRAINERS["sft"](train_sampling_strategy="group_by_length"),
    "'batch_rebalance' makes the micro-batches": lambda: TRAINERS["sft"](train_sampling_strategy="batch_rebalance"),
    "keep_groups": lambda: stacks.grpo(stacks.llama()),
    "KTO has paired": lambda: stacks.kto(gpt2(), gpt2(seed=1)),
    "packing=True": lambda: TRAINERS["sft"](packing=True, max_length=64),
    "no token ids yet": lambda: stacks.Trainer(
        gpt2(), stacks.settings(stacks.TrainingArguments), train_dataset=[{"text": "5 6 7"}]
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_where_something_else_orders_the_rows_prefixes_are_refused(reason):
    trainer = REFUSED[reason]()
    with pytest.raises(Unsupported, match=f"order='prefix': .*{reason}"):
        fold_trainer(trainer, order="prefix")
    assert "get_train_dataloader" not in vars(trainer)


def test_a_sampler_of_the_users_own_is_not_replaced():
    class Mine(stacks.Trainer):
        def _get_train_sampler(self, dataset=None):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    data = {"data_collator": stacks.pad_labels, "train_dataset": stacks.token_rows()}
    with pytest.raises(Unsupported, match="Mine has its own _get_train_sampler"):
        fold_trainer(Mine(gpt2(), stacks.settings(stacks.TrainingArguments), **data), order="prefix")
    with pytest.raises(InvalidInstance, match="expected 'prefix' or None, got 'random'"):
        fold_trainer(TRAINERS["transformers"](), order="random")


def test_sequential_batches_come_in_the_order_of_their_first_rows():
    trainer = TRAINERS["sft"](train_sampling_strategy="sequential")
    with fold_trainer(trainer, order="prefix"):
        first, second, _ = orders(trainer)
    assert first == second
    assert list(map(min, first)) == sorted(map(min, first))


def test_batches_for_a_loop_of_ones_own():
    rows = stacks.token_rows()
    batches = prefix_batches(rows, 4, seed=3)
    loader = DataLoader(rows, batch_sampler=batches, collate_fn=stacks.pad_labels)
    assert sum(len(batch["input_ids"]) for batch in loader) == len(rows)
    prompts = [{tuple(rows[i]["input_ids"][:12]) for i in batch} for batch in batches]
    assert all(len(those) == 1 for those in prompts)  # four rows of each prompt
    first = list(batches)
    assert first == list(batches) == list(prefix_batches(Dataset.from_list(rows), 4, seed=3))
    batches.set_epoch(1)
    assert sorted(map(sorted, batches)) == sorted(map(sorted, first))
    assert list(batches) != first
    assert len(list(prefix_batches(rows[:30], 4, drop_last=True))) == 7
    numbers = DataLoader(range(len(rows)), batch_sampler=prefix_batches(rows, 4, seed=3))
    prepared = Accelerator(cpu=True).prepare(numbers)  # sets epochs itself
    assert [[batch.tolist() for batch in prepared] for _ in range(2)] == [first, list(batches)]
    for wrong, fact in (([], "got no rows"), ([{"text": "a"}], "got a row with text")):
        with pytest.raises(InvalidInstance, match=fact):
            prefix_batches(wrong, 4)
    with pytest.raises(InvalidInstance, match="batch_size: expected at least 1, got 0"):
        prefix_batches(rows, 0)


@pytest.mark.parametrize("seed", range(10))
def test_tokens_are_read_alike_from_every_kind_of_data_set(seed):
    chance = np.random.default_rng(seed)
    draw = lambda low: chance.integers(0, 99, chance.integers(low, 6)).tolist()  # noqa: E731
    rows = [{"prompt_ids": draw(0), "chosen_ids": draw(1), "label": True} for _ in range(7)]
    arrow, picked = Dataset.from_list(rows), chance.integers(0, 7, 5).tolist()
    shuffled = Dataset.from_list([rows[i] for i in picked] + rows).select(range(5))
    assert token_columns(arrow) == token_columns(rows) == ("prompt_ids", "chosen_ids")
    expected = [rows[i]["prompt_ids"] + rows[i]["chosen_ids"] for i in picked]
    for lengths, tokens in (
        read_tokens(rows, ("prompt_ids", "chosen_ids"), picked),
        read_tokens(arrow, ("prompt_ids", "chosen_ids"), picked),
        read_tokens(shuffled, ("prompt_ids", "chosen_ids")),
    ):
        assert lengths.tolist() == list(map(len, expected))
        assert tokens.tolist() == list(itertools.chain.from_iterable(expected))
