"""Train one small model twice on the same samples, separately and merged.

Equal losses and gradients, and the time of each.

    python -m examples.train_gsm8k gsm8k_rollouts.jsonl.gz
    python -m examples.train_gsm8k gsm8k_rollouts.jsonl.gz --model gpt2 --dtype float64        # equal to the last
    digits python -m examples.train_gsm8k gsm8k_rollouts.jsonl.gz --device cuda --dtype bfloat16 --attention flex
    --compile \
        --groups 2000 --max-length 32768 --width 1024 --layers 12 --steps 12                   # on a GPU

Three ways to do one step on the samples of one merged batch:

padded    the samples side by side, filled up on the right, in rows of similar length, at most --max-length tokens at a
time packed    the samples end to end, isolated by a document mask, in sequences of at most --max-length tokens merged
the merged batch, one sequence

All see every token and every label of the samples. A second copy of the model takes the separate steps, padded.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from masksynth.pack import PackedBatch, pack_batches
from masksynth.torch import Collator, TrainingBatch, packed_loss
from masksynth.torch.label_logprobs import label_logprobs

IGNORED = -100
IMPLEMENTATION = {"sdpa": "sdpa", "eager": "eager", "flex": "flex_attention"}
Sample = dict[str, Any]


class Setting(NamedTuple):
    """What to train, on what."""

    model: str = "llama"
    attention: Literal["sdpa", "eager", "flex"] = "sdpa"
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    max_length: int = 2048
    width: int = 128
    layers: int = 4
    compile: bool = False


class Cost(NamedTuple):
    """What one way of doing a step took.

    Its mean loss, seconds, peak MiB on the device above what was held before, tokens run.

    On a CPU the seconds are those of the processor, over all threads, which other programs do not lengthen.
    """

    loss: float
    seconds: float
    mebibytes: float
    tokens: int


def read(path: Path, groups: int) -> list[Sample]:
    """The samples of the first groups of a file, with token ids renumbered from 0 so that a small vocabulary serves."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
        samples, seen = [], set()
        for line in lines:
            one = json.loads(line)
            seen.add(one.get("group", one["id"]))
            if len(seen) > groups:
                break
            samples.append(one)
    number = {IGNORED: IGNORED}
    for one in samples:
        for name in ("input_ids", "labels"):
            one[name] = [number.setdefault(token, len(number) - 1) for token in one[name]]
    return samples


def vocabulary_of(samples: Sequence[Sample]) -> int:
    """One more than the largest token id."""
    return 1 + max(max(*one["input_ids"], *one["labels"]) for one in samples)


def packed(samples: Sequence[Sample], max_length: int, merge: bool = True) -> list[PackedBatch]:
    """Batches of at most ``max_length`` positions: merged, or every sample in a separate group of its own."""
    given = samples if merge else [{**one, "group": one["id"]} for one in samples]
    return list(pack_batches(given, max_length=max_length, separate_groups=not merge))


def model_of(setting: Setting, vocabulary: int, longest: int) -> torch.nn.Module:
    """A small random model; the same weights every time."""
    torch.manual_seed(0)
    heads, kind = max(1, setting.width // 64), IMPLEMENTATION[setting.attention]
    if setting.model == "gpt2":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None}
        shape = {
            "vocab_size": vocabulary,
            "n_positions": longest,
            "n_embd": setting.width,
            "n_layer": setting.layers,
            "n_head": heads,
        }
        model: torch.nn.Module = GPT2LMHeadModel(GPT2Config(**shape, **dropout, attn_implementation=kind))
    else:
        shape = {
            "vocab_size": vocabulary,
            "max_position_embeddings": longest,
            "hidden_size": setting.width,
            "num_attention_heads": heads,
        }
        shape |= {"num_hidden_layers": setting.layers, "intermediate_size": 3 * setting.width}
        model = LlamaForCausalLM(LlamaConfig(**shape, attn_implementation=kind))
    model = model.to(setting.device, setting.dtype)
    if setting.compile:
        model.compile()
    return model


def rows_of(samples: Sequence[Sample], max_length: int) -> Iterator[list[Sample]]:
    """The samples in rows of similar length, of at most ``max_length`` tokens with padding."""
    row: list[Sample] = []
    for one in sorted(samples, key=lambda one: len(one["input_ids"])):
        if row and (len(row) + 1) * len(one["input_ids"]) > max_length:
            yield row
            row = []
        row.append(one)
    yield row


def padded_loss(model: torch.nn.Module, row: Sequence[Sample], device: str) -> tuple[torch.Tensor, int]:
    """The loss of samples side by side, and the tokens run.

    Filling on the right needs no mask under causal attention.
    """
    size = max(len(one["input_ids"]) for one in row)
    tokens, labels = (np.full((len(row), size), fill) for fill in (0, IGNORED))
    for number, one in enumerate(row):
        tokens[number, : len(one["input_ids"])] = one["input_ids"]
        labels[number, : len(one["labels"])] = one["labels"]
    sample, place = np.nonzero(labels != IGNORED)
    given = (
        sample * size + place - 1,
        np.arange(len(sample)),
        labels[sample, place],
        np.array([row[i].get("weight", 1.0) for i in sample]),
    )
    where, slot, label, weight = (torch.tensor(values, device=device) for values in given)
    logits = model(input_ids=torch.tensor(tokens, device=device), use_cache=False).logits
    terms = label_logprobs(logits.flatten(0, 1), where, slot, label)
    return -(weight.to(terms) * terms).sum(), tokens.size


def padded_step(
    model: torch.nn.Module, samples: Sequence[Sample], divisor: float, setting: Setting
) -> tuple[float, int]:
    """Gradients of the mean loss over the samples side by side; its value, and the tokens run."""
    total, count = 0.0, 0
    for row in rows_of(samples, setting.max_length):
        loss, tokens = padded_loss(model, row, setting.device)
        (loss / divisor).backward()
        total, count = total + loss.item() / divisor, count + tokens
    return total, count


def packed_step(
    model: torch.nn.Module, batches: Sequence[TrainingBatch], divisor: float, setting: Setting
) -> tuple[float, int]:
    """Gradients of the mean loss over packed batches, merged or not; its value, and the tokens run."""
    total, count = 0.0, 0
    for batch in batches:
        batch = batch.to(setting.device)
        loss = packed_loss(model(**batch.model_inputs).logits, batch, "mean", divisor)
        loss.backward()
        total, count = total + loss.item(), count + len(batch.input_ids)
    return total, count


def measured(model: torch.nn.Module, step: Any, *arguments: Any) -> Cost:
    """One step from zero gradients, on the clock."""
    model.zero_grad()
    cuda, held = next(model.parameters()).is_cuda, 0
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    clock = perf_counter if cuda else process_time
    begun = clock()
    loss, tokens = step(model, *arguments)
    if cuda:
        torch.cuda.synchronize()
    return Cost(loss, clock() - begun, (torch.cuda.max_memory_allocated() - held) / 2**20 if cuda else 0.0, tokens)


def further(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """The largest difference of two models' gradients, as a part of the largest gradient."""
    pairs = [(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    largest = max(a.abs().max().item() for a, _ in pairs if a is not None)
    return max((a - b).abs().max().item() for a, b in pairs if a is not None and b is not None) / largest


def steps(samples: Sequence[Sample], setting: Setting, count: int) -> Iterator[tuple[dict[str, Cost], float, int]]:
    """For each of some merged batches.

    The cost of each way, how far the gradients of padded and merged are apart, the samples' tokens.

    Two models, trained apart: one by padded steps, one by merged steps. FlexAttention needs a GPU to train.
    """
    collate = Collator(setting.attention, setting.dtype, multiple=setting.max_length if setting.compile else 1)
    named = {one["id"]: one for one in samples}
    longest, vocabulary = max(len(one["input_ids"]) for one in samples), vocabulary_of(samples)
    separate = model_of(setting._replace(attention="sdpa"), vocabulary, longest)
    merged, probe = (model_of(setting, vocabulary, longest) for _ in range(2))
    merged.load_state_dict(separate.state_dict())
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9) for model in (separate, merged)]
    for batch in packed(samples, setting.max_length)[:count]:
        own = [named[name] for name in batch.samples]
        together, apart = collate(batch), [collate(one) for one in packed(own, setting.max_length, merge=False)]
        divisor = together.weight
        found = {
            "padded": measured(separate, padded_step, own, divisor, setting),
            "packed": measured(probe, packed_step, apart, divisor, setting),
            "merged": measured(merged, packed_step, [together], divisor, setting),
        }
        yield found, further(separate, merged), sum(len(one["input_ids"]) for one in own)
        for optimizer in optimizers:
            optimizer.step()
        probe.load_state_dict(merged.state_dict())


def main() -> None:
    """Print a line for each step, and the totals."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("samples", type=Path, help="JSON lines, plain or gzip")
    words.add_argument("--steps", type=int, default=5)
    words.add_argument("--groups", type=int, default=100, help="read only the first groups of samples")
    for name, value in Setting._field_defaults.items():
        if name not in ("compile", "dtype"):
            words.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    words.add_argument("--dtype", default="float32")
    words.add_argument("--compile", action="store_true", help="compile the model")
    given = vars(words.parse_args())
    path, count, groups = (given.pop(name) for name in ("samples", "steps", "groups"))
    if given["attention"] == "flex" and given["device"] == "cpu":
        words.error("FlexAttention has no backward pass on a CPU; use --attention sdpa or --device cuda")
    samples = read(path, groups)
    print(
        f"{len(samples)} samples, {sum(len(sample['input_ids']) for sample in samples):,} tokens, "
        f"{vocabulary_of(samples):,} distinct"
    )
    setting = Setting(**{**given, "dtype": getattr(torch, given["dtype"])})
    rows: list[tuple[dict[str, Cost], int]] = []
    for number, (costs, apart, tokens) in enumerate(steps(samples, setting, count)):
        losses = "  ".join(
            f"{way} {cost.loss:.9f} ({cost.tokens:,} tokens, {cost.seconds:.2f} s)" for way, cost in costs.items()
        )
        print(f"step {number}: {losses}  gradients {apart:.1e} apart")
        rows.append((costs, tokens))
    rows = rows[3 if setting.compile else 1 :] or rows[-1:]  # the first steps warm up
    for way in rows[0][0]:
        seconds, ran = (sum(getattr(costs[way], name) for costs, _ in rows) for name in ("seconds", "tokens"))
        memory = f", peak {max(costs[way].mebibytes for costs, _ in rows):,.0f} MiB" if setting.device != "cpu" else ""
        print(
            f"{way}: {seconds:.2f} s, {sum(n for _, n in rows) / seconds:,.0f} tokens of samples a second, "
            f"{ran:,} run{memory}"
        )


if __name__ == "__main__":
    main()
