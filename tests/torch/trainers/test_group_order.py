"""Answers to one prompt stay together in GRPO and RLOO where the gradient is that of any order, and only there."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from masksynth.errors import MasksynthWarning, Unsupported
from masksynth.torch.trainers import fold_trainer
from masksynth.torch.trainers.group_order import regroup
from tests.torch.trainers import stacks
from tests.torch.trainers.record import apart, train

pytestmark = pytest.mark.filterwarnings("ignore")  # of trl, transformers, accelerate and torch

REFUSED = {
    "divides by the tokens": lambda **more: stacks.grpo(stacks.llama(), loss_type="bnpo", **more),
    "quantile of the micro-batch": lambda **more: stacks.grpo(stacks.llama(), top_entropy_quantile=0.5, **more),
    "entropy bonus": lambda **more: stacks.grpo(stacks.llama(), entropy_coef=0.1, **more),
    "auxiliary loss": lambda **more: stacks.grpo(stacks.mixtral(routers=False), **more),
    "more than one optimizer step": lambda **more: stacks.rloo(
        stacks.llama(), beta=0.0, gradient_accumulation_steps=2, steps_per_generation=4, **more
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_where_the_gradient_would_change_rows_stay_shuffled(reason):
    trainer = REFUSED[reason]()
    with pytest.raises(Unsupported, match=f"keep_groups=True would change the gradient: .*{reason}"):
        fold_trainer(trainer, keep_groups=True)
    with pytest.warns(MasksynthWarning, match=f"rows stay shuffled .*{reason}"):
        folded = fold_trainer(trainer)
    assert reason in folded.shuffled
    assert "_prepare_inputs" not in vars(trainer)


def test_a_loss_of_the_users_own_is_not_trusted():
    class Mine(stacks.GRPOTrainer):
        def _compute_loss(self, model, inputs):
            return super()._compute_loss(model, inputs) ** 2

    trainer = stacks.online(Mine, stacks.GRPOConfig, stacks.llama())
    with pytest.warns(MasksynthWarning, match="Mine has its own _compute_loss"):
        fold_trainer(trainer)


def test_one_micro_batch_a_generation_has_nothing_to_keep():
    with warnings.catch_warnings(), fold_trainer(stacks.grpo(stacks.llama(), gradient_accumulation_steps=1)) as folded:
        assert folded.shuffled is None


def test_shuffled_rows_of_a_loss_that_forbids_regrouping_give_the_curve_of_the_plain_trainer():
    """The same shuffle in both runs, since the same rollouts are replayed with the same random numbers."""
    recorded = []
    train(stacks.rollouts(stacks.grpo(stacks.llama(), loss_type="bnpo", max_steps=5), recorded), False, record=False)
    make = REFUSED["divides by the tokens"]
    plain, folded = (train(stacks.rollouts(make(max_steps=5), recorded), merged) for merged in (False, True))
    assert max(apart(folded, plain, 1.0)) < 1e-3
    assert folded.trie < folded.tokens


def test_the_gradient_of_bnpo_does_change_with_the_order():
    """So that the refusal is one with a reason: regrouped by force, the curve is another."""
    recorded, curves = [], []
    make = REFUSED["divides by the tokens"]
    train(stacks.rollouts(make(max_steps=5), recorded), False, record=False)
    for forced in (False, True):
        trainer = stacks.rollouts(make(max_steps=5), recorded)
        if forced:
            trainer.loss_type = "grpo"
            fold_trainer(trainer, keep_groups=True)
            trainer.loss_type = "bnpo"
        curves.append(train(trainer, False, record=False))
    assert max(apart(*curves, 1.0)) > 1e-3


def test_groups_merge_more_than_shuffled_rows():
    recorded = []
    make = lambda: stacks.rollouts(stacks.grpo(stacks.llama(), max_steps=5), recorded)  # noqa: E731
    shuffled, grouped = (train(make(), True, keep_groups=keep) for keep in (False, True))
    assert grouped.tokens == shuffled.tokens
    assert grouped.trie < 0.7 * shuffled.trie


@pytest.mark.parametrize("seed", range(20))
def test_regrouped_batches_have_the_same_rows_and_fewest_parts_of_groups(seed):
    chance = np.random.default_rng(seed)
    groups, answers, batches = (int(chance.integers(1, 6)) for _ in range(3))
    size = groups * answers  # in each micro-batch
    prompts = np.repeat(chance.permutation(1000)[: groups * batches], answers)
    rows = chance.permutation(len(prompts))
    given = [
        {
            "prompt_ids": torch.tensor(prompts[part])[:, None].repeat(1, 2),
            "prompt_mask": torch.tensor([[0, 1]] * size),
            "row": torch.tensor(part),
            "names": part.tolist(),
            "total": torch.tensor(7),
            "nothing": None,
        }
        for part in np.split(rows, batches)
    ]
    for batch in given:  # what stands at pads does not matter
        batch["prompt_ids"][:, 0] = torch.tensor(chance.integers(0, 9, size))
    found = regroup(given)
    assert sorted(torch.cat([batch["row"] for batch in found]).tolist()) == list(range(len(prompts)))
    for batch in found:
        assert batch["names"] == batch["row"].tolist()
        assert batch["prompt_ids"][:, 1].tolist() == prompts[batch["names"]].tolist()
        assert len(set(prompts[batch["names"]])) == groups  # whole groups: as many as fit
        assert (int(batch["total"]), batch["nothing"]) == (7, None)


def test_batches_with_images_are_left_as_they_are():
    batch = {"prompt_ids": torch.tensor([[1], [2]]), "prompt_mask": torch.ones(2, 1), "num_images": [1, 2]}
    assert regroup([batch, batch]) == [batch, batch]
