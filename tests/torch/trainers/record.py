"""What a trainer's run did: its curve, and the rows and positions that its backbones were called with."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from masksynth.torch.trainers import fold_trainer


class Curve(NamedTuple):
    """The log of each step, the parameters at the end, tokens and positions of rows, tries and embeddings."""

    log: list[dict[str, float]]
    parameters: Tensor
    tokens: int
    trie: int
    embedded: int
    report: Any

    def values(self, name: str) -> list[float]:
        return [step[name] for step in self.log if name in step]


def trie_size(arguments: dict[str, Any]) -> tuple[int, int]:
    """Return the real tokens of a call, and the nodes of the trie of (token, position id) that its rows have."""
    ids, mask, positions = (arguments.get(name) for name in ("input_ids", "attention_mask", "position_ids"))
    nodes, tokens = set(), 0
    for row, tokens_of_row in enumerate(ids.tolist()):
        path: tuple[Any, ...] = ()
        for column, token in enumerate(tokens_of_row):
            if mask is not None and not mask[row, column]:
                continue
            place = column if positions is None else int(positions[min(row, len(positions) - 1), column])
            packed = mask is None and positions is not None
            path = (() if packed and place == 0 else path) + ((token, place),)
            nodes.add(path)
            tokens += 1
    return tokens, len(nodes)


class Recorder:
    """Counts tokens and trie nodes of calls as the trainer makes them, and positions at the embedding."""

    def __init__(self, models: list[Any]) -> None:
        self.tokens = self.trie = self.embedded = 0
        self._size, self._calls = 0, list[tuple[int, int]]()  # calls that are running: fold makes some inside a call
        for model in models:
            plain = model.get_base_model() if hasattr(model, "peft_config") else model
            plain.base_model.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True)
            plain.base_model.register_forward_hook(self._after, always_call=True)
            plain.get_input_embeddings().register_forward_hook(self._embed)

    def _before(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        generated = any(kwargs.get(name) is not None for name in ("past_key_values", "cache"))
        given = {"input_ids": args[0] if args else None, **kwargs}
        self._calls.append((0, 0) if generated or self._calls else trie_size(given))

    def _embed(self, module: Any, args: Any, output: Any) -> None:
        self._size = args[0].numel()

    def _after(self, module: Any, args: Any, output: Any) -> None:
        tokens, nodes = self._calls.pop()
        if tokens:
            self.tokens, self.trie = self.tokens + tokens, self.trie + nodes
            self.embedded += self._size  # the last call of the embedding is that of the merged call, after any check


def train(trainer: Any, folded: bool, record: bool = True, **options: Any) -> Curve:
    """Train and return the curve; merged if ``folded``, with the options of ``fold_trainer``."""
    models = [model for model in (trainer.model, getattr(trainer, "ref_model", None)) if model is not None]
    resume = options.pop("resume", None)
    handle = fold_trainer(trainer, min_ratio=1.0, **options) if folded else None
    recorder = Recorder(models) if record else None
    trainer.train(resume_from_checkpoint=resume)
    plain = trainer.accelerator.unwrap_model(trainer.model)
    parameters = torch.cat([part.detach().double().flatten() for part in plain.parameters()])
    counts = (recorder.tokens, recorder.trie, recorder.embedded) if recorder else (0, 0, 0)
    return Curve(trainer.state.log_history, parameters, *counts, handle and handle.report())


def largest_difference(ours: list[float], theirs: list[float], scale: float) -> float:
    """Return the largest difference of two curves relative to a scale."""
    assert len(ours) == len(theirs) > 0
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / scale


def apart(ours: Curve, theirs: Curve, scale: float | None = None) -> tuple[float, float, float]:
    """Return the differences of losses, gradient norms and parameters.

    Losses are relative to the mean absolute term (by default the mean absolute loss), norms to the largest, parameters
    to the largest.
    """
    losses, norms = theirs.values("loss"), theirs.values("grad_norm")
    scale = scale or sum(map(abs, losses)) / len(losses)
    parameters = (ours.parameters - theirs.parameters).abs().max() / theirs.parameters.abs().max()
    norm = largest_difference(ours.values("grad_norm"), norms, max(norms))
    return largest_difference(ours.values("loss"), losses, scale), norm, float(parameters)
