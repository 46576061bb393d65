"""Curves of folded trainers are those of plain ones, on fewer positions."""

from __future__ import annotations

from pathlib import Path

import pytest
from peft import LoraConfig
from transformers import GPT2ForSequenceClassification

from masksynth.errors import Unsupported
from masksynth.torch import trainers
from masksynth.torch.trainers import fold_trainer
from tests.torch.trainers import stacks
from tests.torch.trainers.record import apart, train
from tests.torch.trainers.stacks import gpt2

pytestmark = pytest.mark.filterwarnings("ignore")  # of trl, transformers, accelerate and torch


def gpt2_reward():
    return stacks.reward(gpt2(GPT2ForSequenceClassification, num_labels=1))


def lora():
    return LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


IN_DOUBLE = {
    "transformers": lambda: stacks.transformers_trainer(gpt2()),
    "sft": lambda: stacks.sft(gpt2()),
    "sft, padding-free": lambda: stacks.sft(gpt2(), padding_free=True, max_length=None),
    "dpo": lambda: stacks.dpo(gpt2(), gpt2(seed=1)),
    "kto": lambda: stacks.kto(gpt2(), gpt2(seed=1)),
    "reward": gpt2_reward,
}
IN_FLOAT = {
    "transformers, accumulation, checkpointing": lambda: stacks.transformers_trainer(
        stacks.llama(), gradient_accumulation_steps=3, gradient_checkpointing=True, max_steps=7
    ),
    "sft, evaluation": lambda: stacks.sft(stacks.llama(), eval_strategy="steps", eval_steps=8),
    "sft, auxiliary loss": lambda: stacks.sft(stacks.mixtral()),
    "dpo, lora": lambda: stacks.dpo(stacks.llama(), peft_config=lora()),
    "reward": lambda: stacks.reward(stacks.reward_model()),
}
ONLINE = {
    "grpo": (lambda: stacks.grpo(gpt2()), 1e-5),
    "grpo, two iterations, beta, temperature": (
        lambda: stacks.grpo(stacks.saved(stacks.llama()), num_iterations=2, beta=0.05, temperature=0.7, max_steps=10),
        1e-3,
    ),
    "rloo": (lambda: stacks.rloo(stacks.llama(), peft_config=lora(), max_steps=10), 1e-3),
}


def check_positions(folded, plain):
    """The positions at the embedding are the nodes of the trie, and those of the log and of the report."""
    assert folded.embedded == folded.trie < folded.tokens <= plain.embedded
    logged = [
        sum(folded.values(f"{prefix}merged/{name}")) for name in ("tokens", "positions") for prefix in ("", "eval_")
    ]
    reported = [sum(getattr(report, name) for report in folded.report.values()) for name in ("tokens", "positions")]
    assert [logged[0] + logged[1], logged[2] + logged[3]] == reported == [folded.tokens, folded.trie]


@pytest.mark.parametrize("name", IN_DOUBLE)
def test_twenty_steps_in_double_precision(name):
    plain, folded = (train(IN_DOUBLE[name](), merged) for merged in (False, True))
    assert len(plain.values("loss")) == stacks.STEPS
    assert max(apart(folded, plain)) < 1e-6
    check_positions(folded, plain)


@pytest.mark.parametrize("name", IN_FLOAT)
def test_twenty_steps_in_single_precision(name):
    plain, folded = (train(IN_FLOAT[name](), merged) for merged in (False, True))
    assert max(apart(folded, plain)) < 1e-3
    check_positions(folded, plain)
    for metric in ("eval_loss", "eval_mean_token_accuracy", "eval_entropy", "aux_loss", "mean_token_accuracy"):
        assert folded.values(metric) == pytest.approx(plain.values(metric), rel=1e-3)


@pytest.mark.parametrize("name", ONLINE)
def test_recorded_rollouts_give_the_same_curve(name):
    """TRL shuffles rows over micro-batches; folded, groups are together, and the gradient is that of the shuffle."""
    make, tolerance = ONLINE[name]
    recorded = []
    plain, folded = (train(stacks.rollouts(make(), recorded), merged) for merged in (False, True))
    assert max(apart(folded, plain, 1.0)) < tolerance  # advantages are of size 1
    assert folded.values("reward") == plain.values("reward")
    check_positions(folded, plain)


def test_generation_passes_through_and_gives_the_same_answers():
    """With the same random numbers, a folded trainer generates what the plain one does."""
    answers = []
    for merged in (False, True):
        recorded = []
        curve = train(stacks.rollouts(stacks.grpo(stacks.llama(), max_steps=2), recorded), merged)
        answers.append([call[0] for call in recorded])
    assert answers[0] == answers[1]
    assert curve.report["policy"].passed["cache"] > 0


def test_checkpoint_and_resume(tmp_path):
    """A folded run is saved, and goes on in another trainer with a folded model."""
    plain = train(stacks.sft(stacks.llama()), False)
    setting = {"save_strategy": "steps", "save_steps": 10, "output_dir": str(tmp_path)}
    train(stacks.sft(stacks.llama(), **setting), True)
    resumed = train(
        stacks.sft(stacks.llama(seed=5), output_dir=str(tmp_path)), True, resume=f"{tmp_path}/checkpoint-10"
    )
    assert max(apart(resumed, plain)) < 1e-3
    assert resumed.report["policy"].folded == 10


def test_closing_gives_trainer_and_models_back():
    trainer = stacks.dpo(stacks.llama(), stacks.llama(seed=1), max_steps=1)
    before = set(vars(trainer))
    with fold_trainer(trainer) as folded:
        assert set(folded.folds) == {"policy", "reference"}
        with pytest.raises(Unsupported, match="folded already"):
            fold_trainer(trainer)
    assert set(vars(trainer)) == before
    trainer.train()
    assert folded.counts() == (0, 0)
    assert "merged/tokens" not in trainer.state.log_history[0]


def test_a_model_that_cannot_be_folded_leaves_the_trainer_as_it_was():
    trainer = stacks.dpo(stacks.llama(), stacks.llama(seed=1), max_steps=1)
    with fold_trainer(trainer):
        other = stacks.sft(stacks.llama(), max_steps=1)
        other.ref_model = trainer.model  # folded by another trainer
        with pytest.raises(Unsupported, match="folded already"):
            fold_trainer(other)
    with fold_trainer(other) as folded:
        assert set(folded.folds) == {"policy", "reference"}


def test_a_model_made_anew_by_train_is_refused():
    trainer = stacks.Trainer(model_init=lambda: stacks.llama(), args=stacks.settings(stacks.TrainingArguments))
    with pytest.raises(Unsupported, match="model_init makes another model"):
        fold_trainer(trainer)


def test_noise_by_the_length_of_the_sequence_is_refused():
    trainer = stacks.transformers_trainer(stacks.llama(), neftune_noise_alpha=5.0)
    with pytest.raises(Unsupported, match="neftune_noise_alpha"):
        fold_trainer(trainer)


def test_no_module_has_the_name_of_a_public_function():
    """Importing a module sets it on its package, where it would hide a function of the same name."""
    folder = Path(trainers.__file__).parent
    assert not {path.stem for path in folder.glob("*.py")} & set(trainers.__all__)
