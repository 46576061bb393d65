"""Training steps of a Llama-like model on one GPU: merged, packed, separate; windows in some layers; fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_setting import Row, Setting, divide, merge_and_pack, rollouts
from masksynth.pack import PackedBatch
from masksynth.pack.costs import Shape
from masksynth.torch import Collator, packed_loss, use_varlen_attention
from masksynth.torch.training_batch import TrainingBatch

SHAPE = Shape(layers=24, hidden=1024, intermediate=4096, vocabulary=32000, kv=512)
TINY = Shape(layers=2, hidden=32, intermediate=64, vocabulary=512, kv=16)


def build(setting: Setting, windows: bool = False) -> Any:
    """Return a model with random weights, of 0.4 billion parameters; in every other layer a window, if asked for."""
    import transformers

    shape = TINY if setting.tiny else SHAPE
    heads = 2 if setting.tiny else 16
    layers = shape.layers if setting.tiny or not windows else 8
    options: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "max_position_embeddings": 1 << 17,
        "attn_implementation": "flex_attention" if setting.has_flex_backward else "sdpa",
    }
    if windows:
        kinds = ["full_attention", "sliding_attention"] * (layers // 2)
        options |= {"layer_types": kinds, "use_sliding_window": True, "sliding_window": 8 if setting.tiny else 1024}
    config, model = (
        (transformers.Qwen2Config, transformers.Qwen2ForCausalLM)
        if windows
        else (transformers.LlamaConfig, transformers.LlamaForCausalLM)
    )
    torch.manual_seed(0)
    made = model(config(**options)).to(setting.device, torch.float32 if setting.tiny else torch.bfloat16).train()
    if not setting.tiny:
        made.activation_checkpointing_enable()
    return made


def _step(model: Any, batch: TrainingBatch) -> float:
    """Run forward and backward of a batch; return the loss."""
    logits = model(**batch.model_inputs, logits_to_keep=batch.loss_place).logits
    loss = packed_loss(logits, batch)
    loss.backward()
    model.zero_grad(set_to_none=True)
    return float(loss.detach())


def _separate(model: Any, singles: list[TrainingBatch]) -> float:
    return sum(_step(model, batch) for batch in singles)


def _singles(collate: Collator, samples: list[dict[str, Any]], device: torch.device) -> list[TrainingBatch]:
    return [collate(merge_and_pack([sample])[0]).to(device) for sample in samples]


def measure_model(setting: Setting, length: int, windows: bool = False) -> Iterator[Row]:
    """Yield a row for each way to run a training step over the same samples."""
    model = build(setting, windows)
    samples = rollouts(length, vocabulary=model.config.vocab_size)
    merged, plain = merge_and_pack(samples)
    # lengths that are not multiples of a block of 128 are padded, so that few shapes are compiled
    collate = Collator(model=model, multiple=128 if setting.has_flex_backward else 1)
    batches = {
        "separate": _singles(collate, samples, setting.device),
        "packed": [collate(plain).to(setting.device)],
        "merged": [collate(merged).to(setting.device)],
    }
    base = None
    for name, parts in batches.items():
        yield (row := _model_row(setting, model, name, parts, (merged, plain), base))
        base = base or float(row["ms"].replace(",", ""))
    varlen = use_varlen_attention(model)
    part = Collator(model=varlen)(merged).to(setting.device)
    yield _model_row(setting, varlen, "merged, varlen", [part], (merged, plain), base)


def _model_row(
    setting: Setting,
    model: Any,
    name: str,
    parts: list[TrainingBatch],
    sources: tuple[PackedBatch, PackedBatch],
    base: float | None,
) -> Row:
    merged, plain = sources
    source = merged if name.startswith("merged") else plain
    loss = _separate(model, parts)
    memory = setting.measure_memory(lambda: _separate(model, parts))
    spent = setting.time(lambda: _separate(model, parts), 3)
    shape = TINY if setting.tiny else SHAPE
    labels = len(set(source.loss_position.tolist()))
    flops = shape.flops(source.positions, labels, source.mask.pairs)
    whole = setting.peak is not None and len(model.model.layers) == shape.layers
    return {
        "positions": merged.positions,
        "layout": name,
        "tokens run": source.positions,
        "ms": f"{spent:,.1f}",
        "sample tokens / s": f"{plain.positions / spent * 1e3:,.0f}",
        "separate / this": divide(base or spent, spent),
        "GiB": "-" if memory is None else f"{memory:.1f}",
        "MFU": f"{flops / spent * 1e3 / (setting.peak or 1):.2f}" if whole else "-",
        "loss for each label": f"{loss / len(source.loss_label):.4f}",
    }


def measure_fold(setting: Setting, length: int, kind: str) -> Iterator[Row]:
    """Yield a row for the step of a trainer as it is, and folded: GRPO (8 answers to a prompt) or DPO (pairs)."""
    from masksynth.torch import fold

    model = build(setting)
    answers, groups = (8, 2) if kind == "GRPO" else (2, 8)
    size = length // (2 * answers)  # tokens of an answer; the prompt takes half
    random = torch.Generator().manual_seed(0)
    prompts = torch.randint(3, model.config.vocab_size, (groups, length // 2), generator=random)
    texts = torch.randint(3, model.config.vocab_size, (groups * answers, size), generator=random)
    rows = torch.cat([prompts.repeat_interleave(answers, 0), texts], 1).to(setting.device)
    step = _grpo if kind == "GRPO" else _dpo
    plain_loss = step(model, rows, size)
    plain = setting.time(lambda: step(model, rows, size), 3)
    yield _fold_row(kind, "as it is", rows.numel(), rows.numel(), plain, plain, plain_loss)
    with fold(model) as folded:
        loss = step(model, rows, size)
        spent = setting.time(lambda: step(model, rows, size), 3)
        report = folded.report()
    positions = round(rows.numel() / report.ratio)
    yield _fold_row(kind, "folded", rows.numel(), positions, spent, plain, loss)


def _fold_row(kind: str, how: str, tokens: int, positions: int, spent: float, plain: float, loss: float) -> Row:
    sizes = {"step": kind, "how": how, "tokens": tokens, "positions": positions}
    return {**sizes, "ms": f"{spent:,.1f}", "as it is / this": divide(plain, spent), "loss": f"{loss:.5f}"}


def _logprobs(model: Any, rows: Tensor, size: int) -> Tensor:
    """Return the log-probability of each token of the answers, ``[B, size]``."""
    logits = model(
        input_ids=rows, attention_mask=torch.ones_like(rows), logits_to_keep=size + 1, use_cache=False
    ).logits
    logprobs = logits[:, :-1].float().log_softmax(-1)
    return logprobs.gather(2, rows[:, -size:, None])[..., 0]


def _grpo(model: Any, rows: Tensor, size: int) -> float:
    token = _logprobs(model, rows, size)
    advantage = torch.linspace(-1, 1, len(rows), device=rows.device)[:, None]
    return _finish(model, -((token - token.detach()).exp() * advantage + 0.01 * token).mean())


def _dpo(model: Any, rows: Tensor, size: int) -> float:
    sample = _logprobs(model, rows, size).sum(1)
    return _finish(model, -torch.nn.functional.logsigmoid(0.1 * (sample[::2] - sample[1::2])).mean())


def _finish(model: Any, loss: Tensor) -> float:
    loss.backward()
    model.zero_grad(set_to_none=True)
    return float(loss.detach())


Case = Callable[[Setting], Iterator[Row]]
