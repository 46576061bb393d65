"""Train small models and record the symmetry of W_qk under causal, prefix-LM and bidirectional masks.

Each word of the text follows the one before it, or one of the two before, by random Markov chains, so that nothing has
to be fetched. Causal and prefix-LM models predict the next word, bidirectional ones words that are hidden from them.
All runs are trained side by side: every parameter has a first axis of runs, and the sum of the runs' losses gives each
its own gradient. Runs of one seed share texts and all weights but W_q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from typing import NamedTuple

if find_spec("torch") is None:
    raise ImportError(f"{__name__} needs torch; install it with: pip install 'masksynth[torch]'")

import torch
from torch import Tensor
from torch.nn import functional as F

from masksynth.catalog import causal_lm, prefix_lm
from masksynth.diagnostics.symmetry import Curve, TrainingDiagnosis, layer_scores, reciprocity, trend
from masksynth.diagnostics.symmetry.training_curves import STARTS
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.merge import merge

WORDS, LENGTH, PREFIX, HIDDEN = 64, 24, 12, 0.3
WIDTH, HEADS, LAYERS, BATCH, TESTED = 64, 4, 2, 12, 48
RATE, STEPS, EVERY, SCALE = 1e-3, 600, 20, 0.02
SEEDS = 3
MODEL = (
    f"{LAYERS} layers of width {WIDTH}, {HEADS} heads, {LENGTH} positions, {WORDS} words, AdamW at {RATE:g}, "
    f"{BATCH} texts per step"
)
TEXT = {1: "each word follows the one before", 2: "each word follows one of the two before"}
Weights = dict[str, Tensor]
SHAPES = {
    "words": (WORDS + 1, WIDTH),
    "places": (LENGTH, WIDTH),
    "out": (WIDTH, WORDS),
    **{f"{name}{layer}": (WIDTH, WIDTH) for layer in range(LAYERS) for name in ("query", "key", "value", "mix")},
    **{f"up{layer}": (WIDTH, 2 * WIDTH) for layer in range(LAYERS)},
    **{f"down{layer}": (2 * WIDTH, WIDTH) for layer in range(LAYERS)},
}
"""Every parameter of one run; x @ weight in all."""


class Setting(NamedTuple):
    """A mask, and the first position that predicts the next word; None: hidden words are predicted in place."""

    name: str
    mask: Mask
    first: int | None


class Run(NamedTuple):
    """One of the runs that are trained side by side."""

    setting: Setting
    start: str
    seed: int


def settings() -> tuple[Setting, ...]:
    """Return the three masks over ``LENGTH`` positions; causal and prefix-LM from the catalogue.

    Examples
    --------
    >>> [(one.name, one.mask.size, round(reciprocity(one.mask), 3)) for one in settings()]
    [('causal', 24, 0.08), ('prefix-LM', 24, 0.426), ('bidirectional', 24, 1.0)]
    """
    causal = merge(causal_lm(n=LENGTH + 1)).mask
    prefix = merge(prefix_lm(n=LENGTH + 1, P=PREFIX)).mask
    full = Mask.from_intervals([[((0, LENGTH),)] * LENGTH])
    return Setting("causal", causal, 0), Setting("prefix-LM", prefix, PREFIX - 1), Setting("bidirectional", full, None)


def train_masks(
    *,
    seed: int = 0,
    seeds: int = SEEDS,
    steps: int = STEPS,
    order: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> TrainingDiagnosis:
    """Train small models under three masks, from random and from symmetric weights; record loss and symmetry.

    Parameters
    ----------
    seed : int
        The first seed.
    seeds : int
        Number of consecutive seeds.
    steps : int
    order : {1, 2}
        Each word of the text follows the one before, or one of the two before.
    progress : callable
        Called with the number of finished steps and the number of all steps.

    Raises
    ------
    InvalidInstance
        If there is nothing to train, or the order is neither 1 nor 2.

    Examples
    --------
    >>> found = train_masks(seeds=1, steps=2)
    >>> [one.mask for one in found.trends], found.steps
    (['causal', 'prefix-LM', 'bidirectional'], (0, 2))
    """
    if seeds < 1 or steps < 1:
        raise InvalidInstance(f"expected seeds >= 1 and steps >= 1, got {seeds} and {steps}", "")
    if order not in TEXT:
        raise InvalidInstance(f"expected order 1 or 2, got {order}", "")
    masks = settings()
    runs = [Run(*case) for case in product(masks, STARTS, range(seed, seed + seeds))]
    recorded = [step for step in range(steps) if step % EVERY == 0] + [steps]
    with one_thread():
        loss, symmetry = _train(runs, recorded, order, progress)
    curves = tuple(
        Curve(run.setting.name, run.start, run.seed, tuple(loss[number]), tuple(symmetry[number]))
        for number, run in enumerate(runs)
    )
    trends = tuple(trend(curves, setting.name, reciprocity(setting.mask)) for setting in masks)
    return TrainingDiagnosis(f"{MODEL}; {TEXT[order]}", tuple(recorded), curves, trends)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch in one thread, so that sums have a fixed order and equal seeds give equal curves.

    Models of this size are not slower in one thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    runs: list[Run], recorded: list[int], order: int, progress: Callable[[int, int], None]
) -> tuple[list[list[float]], list[list[float]]]:
    """Return losses and symmetry scores of each run at the recorded steps."""
    weights, steps = _first_weights(runs), recorded[-1]
    masks = torch.stack([torch.from_numpy(run.setting.mask.dense()) for run in runs])[:, None, None]
    trained, tested = _texts(runs, steps * BATCH, 0, order), _texts(runs, TESTED, 1, order)
    optimizer = torch.optim.AdamW(list(weights.values()), lr=RATE, weight_decay=0.01)
    result: list[tuple[Tensor, list[float]]] = []
    for step in range(steps + 1):
        if step in recorded:
            with torch.no_grad():
                result.append((_losses(weights, masks, tested), _symmetry(weights)))
        if step < steps:
            progress(step, steps)
            optimizer.zero_grad()
            part = slice(step * BATCH, (step + 1) * BATCH)
            total = _losses(weights, masks, Texts(*(values[:, part] for values in trained))).sum()
            torch.autograd.backward(total)
            optimizer.step()
    return torch.stack([losses for losses, _ in result], dim=1).tolist(), [
        list(run_scores) for run_scores in zip(*(scores for _, scores in result), strict=True)
    ]


class Texts(NamedTuple):
    """Words read, words to predict, and whether a position predicts, each (R, B, N)."""

    read: Tensor
    wanted: Tensor
    predicts: Tensor


def chains(seed: int) -> Tensor:
    """Draw two Markov chains, (2, V, V) float64: the next word given the previous one, and given the one before that.

    Each word has a few likely successors, frequent words more often.
    """
    logits = 2.0 * torch.randn(2, WORDS, WORDS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.softmax(logits - torch.log(torch.arange(1, WORDS + 1, dtype=torch.float64)), dim=2)


def _words(seed: int, count: int, stream: int, order: int) -> tuple[Tensor, Tensor]:
    """Draw (count, N + 1) words of one pair of chains, and which of (count, N) are hidden."""
    draw = torch.Generator().manual_seed(2 * seed + stream + 1000)
    near, far = chains(seed)
    words = torch.empty(count, LENGTH + 1, dtype=torch.int64)
    words[:, :order] = torch.randint(WORDS, (count, order), generator=draw)
    for index in range(order, LENGTH + 1):
        follows = near[words[:, index - 1]] + (far[words[:, index - 2]] if order == 2 else 0)
        words[:, index] = torch.multinomial(follows, 1, generator=draw)[:, 0]
    return words, torch.rand(count, LENGTH, generator=draw) < HIDDEN


def _texts(runs: list[Run], count: int, stream: int, order: int) -> Texts:
    drawn = {seed: _words(seed, count, stream, order) for seed in {run.seed for run in runs}}
    parts = [_text(run.setting, *drawn[run.seed]) for run in runs]
    return Texts(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _text(setting: Setting, words: Tensor, hidden: Tensor) -> Texts:
    if setting.first is None:
        return Texts(words[:, :-1].masked_fill(hidden, WORDS), words[:, :-1], hidden)
    late = (torch.arange(LENGTH) >= setting.first).expand(len(words), -1)
    return Texts(words[:, :-1], words[:, 1:], late)


def _first_weights(runs: list[Run]) -> Weights:
    """Draw Gaussian weights, the same for all runs of a seed; W_q = W_k where the start is symmetric."""
    each = []
    for run in runs:
        draw = torch.Generator().manual_seed(run.seed)
        drawn = {name: SCALE * torch.randn(*shape, generator=draw) for name, shape in SHAPES.items()}
        if run.start == "symmetric":
            drawn |= {f"query{layer}": drawn[f"key{layer}"].clone() for layer in range(LAYERS)}
        each.append(drawn)
    return {name: torch.stack([drawn[name] for drawn in each]).requires_grad_() for name in SHAPES}


def _losses(weights: Weights, masks: Tensor, texts: Texts) -> Tensor:
    """Return the mean cross-entropy of each run over the positions that predict, (R,)."""
    logits = _logits(weights, masks, texts.read)
    each = F.cross_entropy(logits.flatten(0, 2), texts.wanted.flatten(), reduction="none").view(texts.wanted.shape)
    kept = texts.predicts.to(each.dtype)
    return (each * kept).sum(dim=(1, 2)) / kept.sum(dim=(1, 2))


def _logits(weights: Weights, masks: Tensor, words: Tensor) -> Tensor:
    """Map (R, B, N) words to (R, B, N, V) logits.

    States are (R, B N, d), so that a run is one factor of a batched product.
    """
    shape = words.shape
    runs = torch.arange(len(words))[:, None, None]
    states = (weights["words"][runs, words] + weights["places"][:, None]).flatten(1, 2)
    for layer in range(LAYERS):
        read = _normal(states)
        q, k, v = (_heads(read @ weights[f"{name}{layer}"], shape) for name in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=masks)
        states = states + mixed.transpose(2, 3).reshape(states.shape) @ weights[f"mix{layer}"]
        states = states + F.gelu(_normal(states) @ weights[f"up{layer}"]) @ weights[f"down{layer}"]
    return (_normal(states) @ weights["out"]).view(*shape, WORDS)


def _normal(states: Tensor) -> Tensor:
    return F.layer_norm(states, (WIDTH,))


def _heads(states: Tensor, shape: torch.Size) -> Tensor:
    """Reshape (R, B N, d) to (R, B, H, N, d_h)."""
    return states.view(*shape, HEADS, -1).transpose(2, 3)


def _symmetry(weights: Weights) -> list[float]:
    """Return the mean over layers of each run's symmetry score."""
    parts = [(weights[f"query{layer}"].numpy(), weights[f"key{layer}"].numpy()) for layer in range(LAYERS)]
    scores = [[layer_scores(q, k).symmetry or 0.0 for q, k in zip(*part, strict=True)] for part in parts]
    return [sum(each) / LAYERS for each in zip(*scores, strict=True)]
