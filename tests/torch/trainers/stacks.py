"""The trainers of transformers and TRL, with models of two layers and rows that share prefixes."""

from __future__ import annotations

import random
import tempfile
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Trainer,
    TrainingArguments,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from tests.torch.trainers.tokenizer import WORDS, number_tokenizer

disable_progress_bars()
STEPS = 20
SIZES = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.3, "pad_token_id": 0}
ROWS = 32


def llama(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SIZES, eos_token_id=1)).to(dtype)


def gpt2(kind=GPT2LMHeadModel, seed=0, **more):
    """A model that computes in float64 throughout (Llama's norms and rotary tables are float32 in any model)."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": 48, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
    rates = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    tokens = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    return kind(GPT2Config(**sizes, **rates, **tokens, **more)).double()


def saved(model):
    """The model from a folder, from which TRL loads the reference model."""
    folder = tempfile.mkdtemp()
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder, dtype=model.dtype)


def mixtral(dtype=torch.float32, seed=0, routers=True):
    torch.manual_seed(seed)
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": routers}
    return MixtralForCausalLM(MixtralConfig(**SIZES, **experts, router_aux_loss_coef=0.1, eos_token_id=1)).to(dtype)


def words(chance: random.Random, low: int, high: int) -> str:
    return " ".join(str(chance.randrange(WORDS)) for _ in range(chance.randint(low, high)))


def dialogs(rows: int = ROWS, seed: int = 0) -> list[tuple[str, str, str]]:
    """(prompt, good answer, bad answer); all prompts begin alike, and each prompt has four pairs of answers."""
    chance = random.Random(seed)
    system, prompts = words(chance, 8, 8), list[str]()
    for _ in range(rows // 4):
        prompts += [f"{system} {words(chance, 4, 9)} "] * 4
    return [(prompt, words(chance, 2, 6), words(chance, 2, 6)) for prompt in prompts]


def settings(kind: Any, **more: Any) -> Any:
    """Arguments of a trainer: SGD at a constant rate, on a CPU, one log a step, without half precision."""
    common = {"optim": "sgd", "learning_rate": 0.05, "lr_scheduler_type": "constant", "max_grad_norm": 1e9}
    common |= {"per_device_train_batch_size": 4, "max_steps": STEPS, "logging_steps": 1, "report_to": "none"}
    common |= {"use_cpu": True, "bf16": False, "disable_tqdm": True, "save_strategy": "no", "seed": 7}
    common |= {"output_dir": tempfile.mkdtemp(), "gradient_checkpointing": False}
    return kind(**{**common, **more})


def pad_labels(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    padded = {name: [row[name] + [value] * (width - len(row[name])) for row in rows] for name, value in fill.items()}
    return {name: torch.tensor(values) for name, values in padded.items()}


def token_rows() -> list[dict[str, list[int]]]:
    tokenizer, rows = number_tokenizer(), []
    for prompt, good, _ in dialogs():
        head, tail = tokenizer(prompt)["input_ids"], [*tokenizer(good)["input_ids"], 1]
        mask = [1] * len(head + tail)
        rows.append({"input_ids": head + tail, "attention_mask": mask, "labels": [-100] * len(head) + tail})
    return rows


def transformers_trainer(model, **more):
    rows = token_rows()
    more.setdefault("eval_dataset", None)
    data = {"train_dataset": rows, "eval_dataset": more.pop("eval_dataset") and rows[:8]}
    compute = {name: more.pop(name) for name in ("compute_loss_func",) if name in more}
    return Trainer(model, settings(TrainingArguments, **more), data_collator=pad_labels, **data, **compute)


def trl_trainer(trainer, config, model, rows, models=None, peft_config=None, **more):
    data = Dataset.from_list(rows)
    parts = {"processing_class": number_tokenizer(), "train_dataset": data, **(models or {})}
    if more.get("eval_strategy", "no") != "no":
        parts["eval_dataset"] = data.select(range(8))
    return trainer(model=model, args=settings(config, **more), peft_config=peft_config, **parts)


def sft(model, **more):
    rows = [{"prompt": prompt, "completion": good} for prompt, good, _ in dialogs()]
    return trl_trainer(SFTTrainer, SFTConfig, model, rows, **more)


def preference_rows():
    return [{"prompt": prompt, "chosen": good, "rejected": bad} for prompt, good, bad in dialogs()]


def dpo(model, reference=None, **more):
    models = {"ref_model": reference} if reference is not None else {}
    return trl_trainer(DPOTrainer, DPOConfig, model, preference_rows(), models, **more)


def kto(model, reference=None, **more):
    rows = [
        {"prompt": p, "completion": g if i % 2 else b, "label": bool(i % 2)} for i, (p, g, b) in enumerate(dialogs())
    ]
    models = {"ref_model": reference} if reference is not None else {}
    return trl_trainer(KTOTrainer, KTOConfig, model, rows, models, **more)


def reward(model, **more):
    rows = [{"chosen": prompt + good, "rejected": prompt + bad} for prompt, good, bad in dialogs()]
    return trl_trainer(RewardTrainer, RewardConfig, model, rows, **more)


def reward_model(dtype=torch.float32):
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, num_labels=1)
    return AutoModelForSequenceClassification.from_config(config).to(dtype)


def score(completions, **_):
    """A reward that differs between the answers to a prompt."""
    return [float(sum(map(int, filter(str.isdigit, text.split()))) % 7) for text in completions]


def grpo(model, **more):
    return online(GRPOTrainer, GRPOConfig, model, **more)


def rloo(model, **more):
    return online(RLOOTrainer, RLOOConfig, model, **more)


def online(trainer, config, model, **more):
    few = {"num_generations": 4, "max_completion_length": 6, "gradient_accumulation_steps": 4}
    more = {**few, "learning_rate": 1e-3, **more}  # at a large rate rounding grows from step to step
    rows = [{"prompt": prompt} for prompt, _, _ in dialogs()[::4]]
    return trl_trainer(trainer, config, model, rows, {"reward_funcs": score}, **more)


def rollouts(trainer: Any, recorded: list[Any]) -> Any:
    """Let a trainer replay recorded generations; where the record ends, generate and add to it."""
    generate, number = trainer._generate_single_turn, iter(range(10**6))

    def replay(*args: Any, **kwargs: Any) -> Any:
        call = next(number)
        if call == len(recorded):
            recorded.append(generate(*args, **kwargs))
        return recorded[call]

    trainer._generate_single_turn = replay
    return trainer
