"""Run verl's engine functions and OpenRLHF's actor on one batch, plain and folded, and print how far apart they are.

``python -m examples.rl_stacks`` installs the packages into an environment of its own and runs this there.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from masksynth.torch import Fold, fold

TEMPERATURE = 0.7
LIMIT = 1e-5
"""Largest relative difference in float32, in which both stacks compute logits."""

Run = Callable[[Any], tuple[dict[str, Tensor], Tensor]]
"""A model -> per-token results by name, and the loss."""


def groups() -> list[tuple[Tensor, Tensor]]:
    """Return prompts and answers: three prompts with four answers each, of different lengths."""
    generator = torch.Generator().manual_seed(0)

    def words(size: int) -> Tensor:
        return torch.randint(3, 60, (size,), generator=generator)

    return [(prompt, words(size)) for prompt in map(words, (12, 7, 20)) for size in (3, 6, 2, 5)]


def small_model(kind: str) -> Any:
    """Return a model with random weights."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    shape |= {"vocab_size": 60, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape)) if kind == "llama" else Qwen2ForCausalLM(Qwen2Config(**shape))
    model.set_attn_implementation("sdpa")
    return model


def verl_batch(padded: bool, fused: bool) -> Any:
    """Return the rows as a batch of verl, with the numbers of its policy loss."""
    from tensordict import TensorDict
    from verl.utils import tensordict_utils

    rows = groups()
    nested = partial(torch.nested.nested_tensor, layout=torch.jagged)
    answers = [answer for _, answer in rows]
    generator = torch.Generator().manual_seed(1)
    noise = [torch.randn(len(answer), generator=generator) for answer in answers]
    batch = TensorDict(
        {
            "input_ids": nested([torch.cat(row) for row in rows]),
            "position_ids": nested([torch.arange(len(prompt) + len(answer)) for prompt, answer in rows]),
            "prompts": nested([prompt for prompt, _ in rows]),
            "responses": nested(answers),
            "response_mask": nested([torch.ones_like(answer) for answer in answers]),
            "old_log_probs": nested([value * 0.1 - 4 for value in noise]),
            "advantages": nested(noise),
        },
        batch_size=[len(rows)],
    )
    facts = {"temperature": TEMPERATURE, "calculate_entropy": True, "use_remove_padding": not padded, "pad_token_id": 0}
    sums = {"dp_size": 1, "batch_num_tokens": sum(map(len, answers)), "global_batch_size": len(rows)}
    tensordict_utils.assign_non_tensor(batch, use_fused_kernels=fused, **facts, **sums)
    return batch


def verl_engine(model: Any, bucket: int) -> Any:
    """Return verl's engine with a model; its constructor wants a GPU."""
    import verl.workers.engine.fsdp.transformer_impl as engines
    from verl.utils.torch_functional import entropy_from_logits

    engine = object.__new__(engines.FSDPEngineWithLMHead)
    engine.module, engine.use_ulysses_sp = model, False
    engine.pad_to_length, engine.pad_to_length_bucket = bucket > 0, bucket
    engine.compute_entropy_from_logits = entropy_from_logits
    engine.engine_config = SimpleNamespace(entropy_checkpointing=False, entropy_from_logits_with_chunking=False)
    return engine


def verl_run(padded: bool, fused: bool, bucket: int = 0, patched: bool = True) -> Run:
    """Return the pass of verl's FSDP engine for its policy loss."""
    from verl.models.transformers import monkey_patch
    from verl.workers.config import ActorConfig
    from verl.workers.utils.losses import ppo_loss

    batch = verl_batch(padded, fused)
    config = ActorConfig(strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=len(groups()), entropy_coeff=0.01)

    def run(model: Any) -> tuple[dict[str, Tensor], Tensor]:
        plain_forward = type(model).forward
        monkey_patch.is_trl_available = lambda: False  # it patches a class that newer versions have not
        if patched:
            monkey_patch.apply_monkey_patch(
                model, use_remove_padding=not padded, use_fused_kernels=fused, fused_kernels_backend="torch"
            )
        engine = verl_engine(model, bucket)
        try:  # as FSDPEngineWithLMHead.forward_step does
            inputs, arguments = engine.prepare_model_inputs(batch)
            output = model(**inputs, use_cache=False)
            results = engine.prepare_model_outputs(output, arguments, batch, None)
            loss, _ = ppo_loss(config, results, batch)
        finally:
            type(model).forward = plain_forward
        return {name: results[name].values() for name in ("log_probs", "entropy")}, loss

    return run


def openrlhf_run(packed: bool) -> Run:
    """Return the pass of OpenRLHF's actor, on rows padded on both sides."""
    from openrlhf.models.actor import Actor

    rows = groups()
    left, right = (max(len(row[side]) for row in rows) for side in (0, 1))
    ids, mask = (torch.zeros(len(rows), left + right, dtype=torch.int64) for _ in range(2))
    for number, (prompt, answer) in enumerate(rows):
        real = slice(left - len(prompt), left + len(answer))
        ids[number, real], mask[number, real] = torch.cat([prompt, answer]), 1
    action_mask = mask[:, left:]
    advantages = torch.randn(action_mask.shape, generator=torch.Generator().manual_seed(1))

    def run(model: Any) -> tuple[dict[str, Tensor], Tensor]:
        model.config.use_cache = False  # as its constructor sets it
        actor = Actor(model, temperature=TEMPERATURE)
        actor.packing_samples = packed
        log_probs, output = actor(ids, action_mask, attention_mask=mask, return_output=True, return_entropy=True)
        entropy = output.entropy[:, -action_mask.shape[1] :] * action_mask
        loss = -(log_probs * advantages + 0.01 * entropy).sum() / action_mask.sum()
        return {"log_probs": log_probs, "entropy": entropy}, loss

    return run


def stub_packages() -> None:
    """Let OpenRLHF be imported without a GPU: deepspeed does nothing, flash_attn has its padding functions alone."""

    def unpad_input(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        index = mask.flatten().nonzero()[:, 0]
        return values.flatten(0, 1)[index], index, None, None, None

    def pad_input(values: Tensor, index: Tensor, batch: int, length: int) -> Tensor:
        result = values.new_zeros(batch * length, *values.shape[1:])
        return result.index_copy(0, index, values).unflatten(0, (batch, length))

    padding = {
        "unpad_input": unpad_input,
        "pad_input": pad_input,
        "index_first_axis": lambda values, index: values[index],
        "rearrange": lambda values, pattern: values.flatten(0, 1),
    }
    names = ["flash_attn", "flash_attn.utils", "deepspeed", "deepspeed.ops", "deepspeed.ops.adam"]
    contents: dict[str, dict[str, Any]] = {name: {} for name in names}
    contents |= {"flash_attn.bert_padding": padding, "flash_attn.utils.distributed": {"all_gather": None}}
    for name, content in contents.items():
        sys.modules[name] = module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []  # type: ignore[attr-defined]
        vars(module).update(content)


def passes() -> Iterator[tuple[str, Run]]:
    """Yield the passes that are compared, by name."""
    for padded, fused in product((False, True), (False, True)):
        name = f"verl, {'padded' if padded else 'remove padding'}, {'fused torch kernel' if fused else 'logits'}"
        yield name, verl_run(padded, fused)
    yield "verl, remove padding, logits, pad_to_length", verl_run(False, False, bucket=64)
    stub_packages()
    yield "OpenRLHF, padded", openrlhf_run(packed=False)
    yield "OpenRLHF, packed", openrlhf_run(packed=True)


def measure(model: Any, run: Run) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return per-token results with the loss, and the gradient."""
    model.zero_grad()
    results, loss = run(model)
    loss.backward()
    gradient = [part.grad for part in model.parameters()]
    whole = [part.full_tensor() if hasattr(part, "full_tensor") else part.clone() for part in gradient]
    return {**results, "loss": loss}, whole


def differences(plain: Any, merged: Any) -> dict[str, float]:
    """Return the largest relative difference of each result, and of the gradient that of norms."""
    far = {name: float((merged[0][name] - value).abs().max() / value.abs().max()) for name, value in plain[0].items()}
    norm = sum(float(part.square().sum()) for part in plain[1]) ** 0.5
    apart = sum(float((a - b).square().sum()) for a, b in zip(merged[1], plain[1], strict=True)) ** 0.5
    return {**far, "gradient": apart / norm}


def compare(kind: str, run: Run) -> tuple[dict[str, float], Fold]:
    """Return the differences of one pass, plain and folded, and the fold."""
    model = small_model(kind)
    plain = measure(model, run)
    with fold(model, strict=True) as folded:
        merged = measure(model, run)
    return differences(plain, merged), folded


def compare_sharded(kind: str, strategy: str) -> tuple[dict[str, float], Fold]:
    """Return the same for a module that verl's engine builds, folded by ``fold_verl``."""
    from examples.rl_stacks.sharded import build

    run = verl_run(padded=False, fused=False, patched=False)
    _, module = build(small_model(kind), strategy, folded=False)
    engine, merged = build(small_model(kind), strategy, folded=True)
    return differences(measure(module, run), measure(merged, run)), engine.fold


def comparisons() -> Iterator[tuple[str, Callable[[str], tuple[dict[str, float], Fold]]]]:
    """Yield what is compared, by name: a kind of model -> differences, and the fold."""
    for name, run in passes():
        yield name, partial(compare, run=run)
    from examples.rl_stacks.sharded import use_cpu

    use_cpu()
    for strategy in ("fsdp2", "fsdp"):
        yield f"verl, built by {strategy}, remove padding, logits", partial(compare_sharded, strategy=strategy)


def main() -> int:
    """Print one line for each pass; return 1 if one is further apart than rounding, or was not folded."""
    torch.set_num_threads(1)
    good = True
    for name, run in comparisons():
        for kind in ("llama", "qwen2"):
            far, folded = run(kind)
            report = folded.report()
            good &= max(far.values()) < LIMIT and report.folded == report.calls > 0
            counts = f"{report.tokens} -> {report.positions}"
            print(f"{name}, {kind}: {counts}", *(f"{part} {value:.0e}" for part, value in far.items()), sep="; ")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
