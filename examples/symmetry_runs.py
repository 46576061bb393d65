"""Train two decoders and three encoders on text that comes with Python, and save checkpoints over the steps.

python -m examples.symmetry_runs runs
masksynth diagnose symmetry runs/gpt2 runs/llama runs/bert runs/roberta runs/modernbert -o runs.svg

The text is that of `help()`, pydoc_data.topics, as bytes; its last tenth is held out. All models have three layers of
width 64 with four heads and begin at random weights; all get the same steps, batches and learning rates. Decoders
predict the next byte, encoders 15 % hidden bytes. GPT-2 and the RoBERTa with norms before its layers have the same
blocks, and so have Llama and ModernBERT, but for details, with rotary positions; BERT has its norms after its layers.
A seed, a step and a Python version give the same weights.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.utils import logging

BYTES, LENGTH, BATCH, HIDDEN, RATE, STEPS = 256, 32, 32, 0.15, 3e-3, 1600
MASK = 1
"""The byte that hides another one; it does not occur in the text, and neither does 0, which stands for no token."""
SAVED = (0, 25, 50, 100, 200, 400, 800, 1600)
"""Steps at which a checkpoint is saved, besides the last."""
TRIED = 16
"""Batches of the held-out text of which the loss is the mean."""
SIZES: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
WIDE: dict[str, Any] = {**SIZES, "vocab_size": BYTES, "max_position_embeddings": LENGTH, "initializer_range": 0.05}
PLAIN: dict[str, Any] = {**WIDE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 0}
NONE: dict[str, Any] = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **NONE,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            vocab_size=BYTES,
            n_positions=LENGTH,
            n_embd=64,
            n_layer=3,
            n_head=4,
            n_inner=128,
            initializer_range=0.05,
        )
    ),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE, **NONE, tie_word_embeddings=True)),
    "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**PLAIN)),
    "roberta": lambda: transformers.RobertaPreLayerNormForMaskedLM(transformers.RobertaPreLayerNormConfig(**PLAIN)),
    "modernbert": lambda: transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(
            **{**WIDE, **NONE, "global_attn_every_n_layers": 1}, cls_token_id=None, sep_token_id=None
        )
    ),
}
"""Name -> function that builds the model with random weights; the first two are decoders."""
DECODERS = ("gpt2", "llama")


def read_text() -> tuple[Tensor, Tensor]:
    """Return the bytes of all topics of `help()`: nine tenths to train on, the last one to try the models on."""
    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    read = torch.tensor(list(text))
    return read[: len(read) * 9 // 10], read[len(read) * 9 // 10 :]


def entropy(text: Tensor) -> float:
    """Return the entropy of single bytes in nats: the loss of a model that knows how frequent they are, no more."""
    share = torch.bincount(text).double() / len(text)
    return float(torch.special.entr(share).sum())


def train(name: str, text: tuple[Tensor, Tensor], steps: int, seed: int, folder: Path) -> dict[int, float]:
    """Train a model from random weights, save its checkpoints as folder/checkpoint-<step>.

    Returns
    -------
    dict of int to float
        The loss on held-out text at each of these steps, which is in folder/losses.json, too.
    """
    torch.manual_seed(seed)
    model = MODELS[name]()
    read, held_out = text
    share = 0.0 if name in DECODERS else HIDDEN
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 100) * max(0.0, 1 - step / steps)
    )
    losses: dict[int, float] = {}
    for step in range(steps + 1):
        if step in SAVED or step == steps:
            model.save_pretrained(folder / f"checkpoint-{step}")
            losses[step] = _held_out(model, held_out, share)
            (folder / "losses.json").write_text(json.dumps(losses), encoding="utf-8")
        if step < steps:
            optimizer.zero_grad()
            model(**_batch(read, draw, share)).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return losses


def _held_out(model: Any, text: Tensor, share: float) -> float:
    """Return the mean loss of the same batches for every model and step."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return sum(float(model(**_batch(text, draw, share)).loss) for _ in range(TRIED)) / TRIED


def _batch(text: Tensor, draw: torch.Generator, share: float) -> dict[str, Tensor]:
    """Draw windows of the text; labels are the hidden bytes, -100 (no loss) elsewhere; share 0: a decoder's."""
    first = torch.randint(len(text) - LENGTH, (BATCH, 1), generator=draw)
    read = text[first + torch.arange(LENGTH)]
    places = torch.arange(LENGTH).expand(BATCH, -1)
    if not share:
        return {"input_ids": read, "labels": read, "position_ids": places}
    hidden = torch.rand(read.shape, generator=draw) < share
    labels = read.masked_fill(~hidden, -100)
    return {"input_ids": read.masked_fill(hidden, MASK), "labels": labels, "position_ids": places}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the models that are asked for, a folder each, and in it one folder of checkpoints for each seed."""
    parser = ArgumentParser(description="Train small decoders and encoders and save checkpoints; needs transformers.")
    parser.add_argument("folder", type=Path, help="folder for the runs, one folder per model")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="models to train")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="seeds of weights and batches")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # sums in a fixed order: equal seeds give equal weights
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    text = read_text()
    print(f"{len(text[0]):,} bytes of text, entropy of single bytes {entropy(text[0]):.3f}", flush=True)
    for seed in options.seeds:
        for name in options.models:
            losses = train(name, text, options.steps, seed, options.folder / name / f"seed-{seed}")
            print(f"{name}, seed {seed}: loss {losses[options.steps]:.3f} after {options.steps:,} steps", flush=True)


if __name__ == "__main__":
    main()
