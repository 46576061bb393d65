"""The data sets that TRL's trainers make of rows, with models of one layer."""

from __future__ import annotations

import tempfile
from copy import deepcopy

from datasets import Dataset, disable_progress_bars
from transformers import LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

disable_progress_bars()


def tiny(tokenizer):
    """A model of one layer."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer) + 8, num_key_value_heads=1, **sizes))


def settings(**more):
    common = {"bf16": False, "report_to": "none", "use_cpu": True, "gradient_checkpointing": False}
    return {"output_dir": tempfile.mkdtemp(), "max_length": None, **common, **more}


def sft(rows, tokenizer, **more):
    """[(input_ids, labels)] of TRL's SFT trainer."""
    arguments = SFTConfig(**settings(**more))
    data = Dataset.from_list(deepcopy(rows))
    made = SFTTrainer(model=tiny(tokenizer), args=arguments, train_dataset=data, processing_class=tokenizer)
    return [(row["input_ids"], row["labels"]) for row in made.train_dataset]


def dpo(rows, tokenizer, **more):
    """[(input_ids, labels)] of TRL's DPO trainer, chosen and rejected in turn, as its collator cuts them."""
    arguments = DPOConfig(**settings(**more))
    data = Dataset.from_list(deepcopy(rows))
    models = {"model": tiny(tokenizer), "ref_model": tiny(tokenizer)}
    made = DPOTrainer(**models, args=arguments, train_dataset=data, processing_class=tokenizer)
    pairs = []
    for row in made.train_dataset:
        batch = made.data_collator([{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")}])
        for half in (0, 1):
            real = batch["attention_mask"][half].bool()
            ids, mask = batch["input_ids"][half][real].tolist(), batch["completion_mask"][half][real].tolist()
            pairs.append((ids, [token if bit else -100 for token, bit in zip(ids, mask, strict=True)]))
    return pairs


def kto(rows, tokenizer, **more):
    """[(input_ids, labels, label)] of TRL's KTO trainer, as its collator cuts them."""
    arguments = KTOConfig(per_device_train_batch_size=2, **settings(**more))
    data = Dataset.from_list(deepcopy(rows))
    models = {"model": tiny(tokenizer), "ref_model": tiny(tokenizer)}
    made = KTOTrainer(**models, args=arguments, train_dataset=data, processing_class=tokenizer)
    samples = []
    for row in made.train_dataset:
        batch = made.data_collator([row])
        real = batch["attention_mask"][0].bool()
        ids, mask = batch["input_ids"][0][real].tolist(), batch["completion_mask"][0][real].tolist()
        labels = [token if bit else -100 for token, bit in zip(ids, mask, strict=True)]
        samples.append((ids, labels, row["label"]))
    return samples


def grpo_prompts(prompts, tokenizer, tools=None):
    """The token ids of some prompts as TRL's GRPO trainer makes them."""
    arguments = {key: value for key, value in settings().items() if key != "max_length"}
    made = GRPOTrainer(
        model=tiny(tokenizer),
        args=GRPOConfig(per_device_train_batch_size=2, num_generations=2, max_completion_length=4, **arguments),
        reward_funcs=lambda **_: [0.0],
        train_dataset=Dataset.from_list([{"prompt": deepcopy(prompt)} for prompt in prompts]),
        processing_class=tokenizer,
    )
    made.tools = tools
    return made._tokenize_prompts(deepcopy(prompts))[0]
