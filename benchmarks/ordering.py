"""Measure what orders of a data set let micro-batches share, and what a trainer's epoch costs in them, on a CPU.

Positions are those of the tries of all micro-batches of an epoch, as fold runs them: rows shuffled, in the file's
order, sorted and cut after each micro-batch, and by `masksynth.torch.trainers.prefix_batches`. The limit is one
micro-batch of all rows. Then epochs of TRL's SFT trainer over the first rows of each file, in turns in one process: not
folded, folded in its own shuffle, folded with ``order="prefix"``; the least CPU time of each counts.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import alone, metered_here
from benchmarks.packing import DATA
from benchmarks.results import Result, table
from benchmarks.trajectories import Agents, generate_trajectories
from masksynth.mask.typing import Int64Array
from masksynth.pack.prefix import Forest
from masksynth.pack.read_files import read_samples
from masksynth.pack.row_batches import batches_of_rows, forest_of_rows, order_of_batches
from masksynth.pack.sample_columns import SampleTable, join
from masksynth.pack.subforests import count_positions

SIZES = (4, 8, 16)
"""Rows of a micro-batch."""
HEAD = ("samples", "rows", "tokens", "micro-batch", "shuffled", "file", "sorted", "prefix", "limit", "CPU s / M tokens")
EPOCHS = ("samples", "rows", "tokens", "positions, shuffled", "positions, prefix", "plain, CPU s", "shuffled", "prefix")
EPOCHS += ("plain / shuffled", "plain / prefix")
ROUNDS, TRAINED, WIDTH, LAYERS = 2, 24, 64, 2


def measure_ordering(max_size: int) -> Result:
    """Measure each sample file, and generated trajectories of at most about ``max_size`` tokens."""
    tasks = min(Agents.tasks, max(1, max_size * Agents.tasks // 10**6))
    sources: list[Path | int] = [*sorted(DATA.glob("*.jsonl.gz")), tasks]
    rows = [row for source in sources for row in alone(count_source, source)]
    epochs = alone(train_sources, sources[:-1], min(TRAINED, max(8, max_size // 1000)))
    width = f"width {WIDTH}, {LAYERS} layers, float32, sdpa, one thread"
    return Result((table(HEAD, rows), table(EPOCHS, epochs)), (f"Epochs: a Llama model of {width}; {ROUNDS} rounds.",))


def _read(source: Path | int) -> tuple[str, SampleTable]:
    if isinstance(source, Path):
        return source.name.split(".")[0], join(list(read_samples(source)))
    return "agent trajectories", generate_trajectories(Agents(tasks=source))


def count_source(source: Path | int) -> list[list[str]]:
    """Return the row of each size of micro-batches: tokens / positions in each order."""
    name, samples = _read(source)
    forest, seconds = metered_here(lambda: forest_of_rows(np.diff(samples.offset), samples.tokens))
    return [_count(name, samples, forest, seconds, size) for size in SIZES]


def _count(name: str, samples: SampleTable, forest: Forest, seconds: float, size: int) -> list[str]:
    random, rows, tokens = np.random.default_rng(0), len(samples), len(samples.tokens)
    (batches, rest), spent = metered_here(lambda: batches_of_rows(forest, size, random))
    orders = random.permutation(rows), np.arange(rows), forest.samples, order_of_batches(batches, rest)
    ratios = [tokens / _positions(forest, order, size) for order in orders]
    limit = tokens / int((forest.length - forest.shared).sum())
    shown = [f"{value:.2f}" for value in (*ratios, limit)]
    return [name, f"{rows:,}", f"{tokens:,}", f"{size}", *shown, f"{(seconds + spent) / tokens * 1e6:.3f}"]


def _positions(forest: Forest, order: Int64Array, size: int) -> int:
    batch = np.empty(len(order), np.int64)
    batch[order] = np.arange(len(order)) // size
    return int(count_positions(forest, batch[forest.samples]).sum())


def train_sources(sources: Sequence[Path], count: int) -> list[list[str]]:
    """Return the row of each file: epochs over its first rows."""
    warnings.simplefilter("ignore")
    return [_train_source(source, count) for source in sources]


def _train_source(source: Path, count: int) -> list[str]:
    name, samples = _read(source)
    cuts = samples.offset[: count + 1].tolist()
    _, codes = np.unique(samples.tokens[: cuts[-1]], return_inverse=True)  # few token ids, the same prefixes
    rows = [
        {"input_ids": codes[a:b].tolist(), "labels": np.where(samples.labels[a:b] < 0, -100, codes[a:b]).tolist()}
        for a, b in pairwise(cuts)
    ]
    seconds: list[list[float]] = [[], [], []]
    counts = [(0, 0)] * 3
    for _ in range(ROUNDS):
        for number, options in enumerate((None, {}, {"order": "prefix"})):
            spent, counts[number] = _train(rows, int(codes.max()) + 1, options)
            seconds[number].append(spent)
    plain, shuffled, prefix = map(min, seconds)
    tokens = cuts[-1]  # rows of calls that share too little to be merged have as many positions
    positions = [tokens - (merged - run) for merged, run in counts[1:]]
    numbers = [f"{value:,}" for value in (len(rows), tokens, *positions)]
    times = [f"{value:.2f}" for value in (plain, shuffled, prefix, plain / shuffled, plain / prefix)]
    return [name, *numbers, *times]


def _train(rows: Sequence[Any], vocabulary: int, options: dict[str, Any] | None) -> tuple[float, tuple[int, int]]:
    """Return the CPU seconds of an epoch, and tokens and positions; not folded without options."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from masksynth.torch.trainers import fold_trainer

    disable_progress_bars()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "pad_token_id": 0}
    config = LlamaConfig(vocab_size=vocabulary, num_hidden_layers=LAYERS, max_position_embeddings=8192, **shape)
    setting = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    setting |= {"optim": "sgd", "gradient_checkpointing": False, "per_device_train_batch_size": SIZES[0]}
    setting |= {"num_train_epochs": 1, "max_length": None, "output_dir": tempfile.mkdtemp()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, "<pad>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    data = {"train_dataset": Dataset.from_list(list(rows)), "processing_class": tokenizer}
    trainer = SFTTrainer(LlamaForCausalLM(config), SFTConfig(**setting), **data)
    trainer.remove_callback(PrinterCallback)
    folded = None if options is None else fold_trainer(trainer, **options)
    _, spent = metered_here(trainer.train)
    return spent, (0, 0) if folded is None else folded.counts()
