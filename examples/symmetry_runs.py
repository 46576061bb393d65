"""Train two decoders and two encoders on text that comes with Python, and save checkpoints over the steps.

python -m examples.symmetry_runs runs --steps 1600
masksynth diagnose symmetry runs/gpt2 runs/llama runs/bert runs/modernbert -o runs.svg

The text is that of `help()`: pydoc_data.topics, in pieces of a byte-pair vocabulary of 1,024.
All models have four layers of width 96 with four heads (Llama: two key heads) and begin at random weights. Decoders
predict the next piece, encoders 30 % hidden pieces. A seed, a step and a Python version give the same weights.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor

VOCABULARY, LENGTH, BATCH, HIDDEN, RATE = 1024, 48, 12, 0.3, 1e-3
MASK = 0
"""Number of the piece that hides another one; the tokenizer's first special token."""
SAVED = (0, 25, 50, 100, 200, 400, 800, 1600)
"""Steps at which a checkpoint is saved, besides the last."""
WIDE = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 192}
MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=LENGTH,
            n_embd=96,
            n_layer=4,
            n_head=4,
            n_inner=192,
            **_no_dropout("pdrop"),
        )
    ),
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            **WIDE,
        )
    ),
    "bert": lambda: transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, **WIDE, **_no_dropout("prob"))
    ),
    "modernbert": lambda: transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            global_attn_every_n_layers=1,
            pad_token_id=None,
            **WIDE,
        )
    ),
}
"""Name -> function that builds the model with random weights; the first two are decoders."""
DECODERS = ("gpt2", "llama")


def _no_dropout(ending: str) -> dict[str, float]:
    names = {
        "pdrop": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        "prob": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    }
    return dict.fromkeys(names[ending], 0.0)


def read_pieces() -> Tensor:
    """Return the text of all topics of `help()` as numbers of pieces, (T,)."""
    text = "\n".join(topics[name] for name in sorted(topics))
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel()
    tokenizer.train_from_iterator(
        [text],
        BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["[MASK]"],
            show_progress=False,
            initial_alphabet=ByteLevel.alphabet(),
        ),
    )
    return torch.tensor(tokenizer.encode(text).ids)


def train(name: str, pieces: Tensor, steps: int, seed: int, folder: Path, hidden: float = HIDDEN) -> float:
    """Train a model from random weights, save its checkpoints as folder/checkpoint-<step>, return the last loss."""
    torch.manual_seed(seed)
    model = MODELS[name]()
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * max(0.0, 1 - step / steps)
    )
    loss = torch.tensor(float("nan"))
    for step in range(steps + 1):
        if step in SAVED or step == steps:
            model.save_pretrained(folder / f"checkpoint-{step}")
        if step < steps:
            loss = model(**_batch(pieces, draw, 0.0 if name in DECODERS else hidden)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return loss.item()


def _batch(pieces: Tensor, draw: torch.Generator, share: float) -> dict[str, Tensor]:
    """Draw windows of the text; labels are the hidden pieces, -100 (no loss) elsewhere; share 0: a decoder's."""
    first = torch.randint(len(pieces) - LENGTH, (BATCH, 1), generator=draw)
    read = pieces[first + torch.arange(LENGTH)]
    if not share:
        return {"input_ids": read, "labels": read}
    hidden = torch.rand(read.shape, generator=draw) < share
    return {"input_ids": read.masked_fill(hidden, MASK), "labels": read.masked_fill(~hidden, -100)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the models that are asked for, one folder of checkpoints each."""
    parser = ArgumentParser(description="Train small decoders and encoders and save checkpoints; needs transformers.")
    parser.add_argument("folder", type=Path, help="folder for the runs, one folder per model")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="models to train")
    parser.add_argument("--steps", type=int, default=1600, help="steps of each run")
    parser.add_argument("--hidden", type=float, default=HIDDEN, help="share of pieces that encoders predict")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # sums in a fixed order: equal seeds give equal weights
    pieces = read_pieces()
    for name in options.models:
        loss = train(name, pieces, options.steps, options.seed, options.folder / name, options.hidden)
        print(f"{name}: {len(pieces):,} pieces of text, loss {loss:.3f} after {options.steps:,} steps", flush=True)


if __name__ == "__main__":
    main()
