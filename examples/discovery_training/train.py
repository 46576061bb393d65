"""Train one model under one method, and score it: the loss of each token given what the method lets it see."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from examples.discovery_training.data import Data
from masksynth.torch.structures.layer_steps import StructureInputs, forward_flops
from masksynth.torch.structures.reference_stack import ReferenceStack


@dataclass(frozen=True)
class Method:
    """A way to train.

    Parameters
    ----------
    name : str
    inputs : StructureInputs
        What one sequence becomes, and what each layer computes.
    share : float, optional
        Share of tokens that a masked language model replaces by blanks; None: all targets of the structure train.
    sees : str
        What a prediction sees when it is scored.
    """

    name: str
    inputs: StructureInputs
    share: float | None = None
    sees: str = "all others"


@dataclass(frozen=True)
class Setting:
    """Sizes of an experiment, the same for every method.

    Parameters
    ----------
    layers, width, heads : int
    flops : float
        Forward FLOPs of the layers in one step; the number of sequences of a step follows.
    steps : int
    test : int
        Held-out sequences that are scored.
    device : str
        Where the model is trained.
    """

    layers: int = 5
    width: int = 64
    heads: int = 4
    flops: float = 1.0e9
    steps: int = 400
    test: int = 64
    device: str = "cpu"


@dataclass
class Run:
    """Figures of one run; seed 0 is that of tuning."""

    method: str
    sees: str
    rate: float
    seed: int
    loss: float
    sequences: int
    supervised: int
    flops_per_step: float
    seconds: float
    curve: list[float] = field(default_factory=list)


def train(method: Method, data: Data, setting: Setting, rate: float, seed: int) -> Run:
    """Train a model from scratch and score it on held-out sequences."""
    torch.manual_seed(seed)
    n = data.train.shape[1]
    model = ReferenceStack(data.symbols, n, setting.layers, setting.width, setting.heads).to(setting.device)
    method = replace(method, inputs=method.inputs.to(setting.device))
    cost = forward_flops(method.inputs.steps, setting.width)
    count = max(1, round(setting.flops / cost))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, warm_up_then_cosine(setting.steps))
    draw = torch.Generator().manual_seed(seed + 1)
    begun, supervised, curve = time.process_time(), 0, []
    for step in range(setting.steps):
        tokens = data.train[torch.randint(len(data.train), (count,), generator=draw)].long().to(setting.device)
        loss, predictions = training_loss(model, method, tokens, data.symbols, draw)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        supervised += predictions
        if (step + 1) % max(1, setting.steps // 8) == 0:
            curve.append(round(loss.item(), 4))
    seconds = time.process_time() - begun
    score = held_out_loss(model, method, data.test[: setting.test].long().to(setting.device), data.symbols)
    return Run(method.name, method.sees, rate, seed, score, count, supervised, cost * count, round(seconds, 1), curve)


def warm_up_then_cosine(steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate: linear over the first 5 %, then half a cosine down to a tenth."""
    warm = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        part = torch.tensor((step - warm) / max(1, steps - warm) * torch.pi)
        return 0.1 + 0.45 * (1 + float(torch.cos(part)))

    return factor


def training_loss(
    model: ReferenceStack, method: Method, tokens: Tensor, blank: int, draw: torch.Generator
) -> tuple[Tensor, int]:
    """Return the mean loss of one step's predictions, and their number."""
    inputs = method.inputs
    if method.share is None:
        state = model(inputs.embed(tokens, blank), inputs.position_ids, inputs.steps)[:, inputs.target]
        labels = tokens[:, inputs.label]
    else:
        hidden = (torch.rand(tokens.shape, generator=draw) < method.share).to(tokens.device)
        hidden[:, 0] |= ~hidden.any(dim=1)  # at least one prediction for each sequence
        state = model(torch.where(hidden, blank, tokens), inputs.position_ids, inputs.steps)[hidden]
        labels = tokens[hidden]
    return functional.cross_entropy(model.head(state).flatten(0, -2), labels.flatten()), labels.numel()


@torch.no_grad()
def held_out_loss(model: ReferenceStack, method: Method, tokens: Tensor, blank: int) -> float:
    """Return the mean loss of every token: in one pass by a structure, in n passes with one blank each otherwise."""
    inputs, n = method.inputs, tokens.shape[1]
    if method.share is None:
        state = model(inputs.embed(tokens, blank), inputs.position_ids, inputs.steps)[:, inputs.target]
        return functional.cross_entropy(model.head(state).flatten(0, 1), tokens[:, inputs.label].flatten()).item()
    total = 0.0
    for sequence in tokens:
        masked = sequence.repeat(n, 1)
        masked.fill_diagonal_(blank)
        state = model(masked, inputs.position_ids, inputs.steps).diagonal(dim1=0, dim2=1).T
        total += functional.cross_entropy(model.head(state), sequence, reduction="sum").item()
    return total / tokens.numel()


def hidden_derivative(method: Method, data: Data, setting: Setting) -> tuple[float, float]:
    """Return the largest derivative of a prediction by its own token, and the smallest by another, in float64."""
    torch.manual_seed(0)
    inputs = method.inputs
    model = ReferenceStack(data.symbols, data.train.shape[1], setting.layers, setting.width, setting.heads).double()
    embedded = model.token(inputs.embed(data.test[:1].long(), data.symbols)).detach().requires_grad_()
    state = embedded + model.position(inputs.position_ids)
    for block, step in zip(model.blocks, inputs.steps, strict=True):
        state = block(state, step, inputs.position_ids)
    own, others = 0.0, float("inf")
    for position, label in zip(inputs.target.tolist(), inputs.label.tolist(), strict=True):
        (gradient,) = torch.autograd.grad(model.norm(state)[0, position, 0], embedded, retain_graph=True)
        moved = gradient[0].abs().sum(dim=-1)
        own = max(own, float(moved[inputs.element == label].sum()))
        seen = torch.zeros(data.train.shape[1], dtype=torch.float64).index_add(
            0, inputs.element.clamp(min=0), moved * (inputs.element >= 0)
        )
        others = min(others, float(seen[torch.arange(len(seen)) != label].min()))
    return own, others
