"""Run one model on a few plain tokens with recorders, as a merged batch would call it, and compare such runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.first_weight import first_weight
from masksynth.torch.models.module_names import name_layer, token_ids_of
from masksynth.torch.models.tracing import TOKENS, Trace, mark_mask, trace

ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""Largest relative difference of equal queries and keys, by dtype; rotary tables are float32 in every model."""
Align = Callable[[Tensor, int], Tensor]
"""Bring values with tokens along a given dimension into the order of another run."""


@dataclass(frozen=True)
class RecordedRuns:
    """Runs of one model on the same few tokens.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    record : Architecture
        What is known without a run.
    """

    model: Any
    record: Architecture

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        first = first_weight(self.model)
        return torch.device("cpu") if first is None else first.device

    @property
    def on_meta(self) -> bool:
        """Whether the model has no values."""
        return self.device.type == "meta"

    @property
    def takes_positions(self) -> bool:
        """Whether the model has the keyword ``position_ids``, or passes on any keyword."""
        parameters = inspect.signature(self.model.forward).parameters.values()
        return any(part.name == "position_ids" or part.kind is part.VAR_KEYWORD for part in parameters)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids; adapters wrap the embeddings and do not tell."""
        parts = self.model.get_input_embeddings().modules()
        return int(next(part.num_embeddings for part in parts if hasattr(part, "num_embeddings")))

    def ids(self) -> Tensor:
        """Return token ids ``[1, TOKENS]`` that no config names as special, distinct where the vocabulary allows."""
        size = self.vocabulary_size
        special = {number for number in token_ids_of(self.model.config) if 0 <= number < size}
        plain = [token for token in range(size) if token not in special] or list(range(size))
        return torch.tensor([[plain[(5 * i + 2) % len(plain)] for i in range(TOKENS)]], device=self.device)

    def ones(self) -> Tensor:
        """Return the 2-D mask without pads, ``[1, TOKENS]``."""
        return torch.ones(1, TOKENS, dtype=torch.long, device=self.device)

    def positions(self) -> Tensor:
        """Return position ids 0, 1, ..., ``[1, TOKENS]``."""
        return torch.arange(TOKENS, device=self.device)[None]

    def run_plain(self, **inputs: Any) -> Trace:
        """Run as a user would on one sample: with a 2-D mask, so that the model makes its own masks."""
        return trace(self.model, {"input_ids": self.ids(), "attention_mask": self.ones(), **inputs, "use_cache": False})

    def run(self, record: Architecture, change: Mapping[str, Any] | None = None, **options: Any) -> Trace:
        """Run as a merged batch would, with marked masks.

        Parameters
        ----------
        record : Architecture
            Describes how masks are passed and where position ids begin.
        change : mapping, optional
            Other arguments of the call.
        **options
            Those of ``trace``.
        """
        inputs = {"input_ids": self.ids(), "position_ids": self.positions() + record.first_position, **(change or {})}
        masks = {name: self._mask(name, inputs["input_ids"].shape[1]) for name in dict.fromkeys(record.tables or ("",))}
        mask = masks if record.mask_argument == "mapping" else next(iter(masks.values()))
        return trace(self.model, {**inputs, "attention_mask": mask, "use_cache": False}, **options)

    def _mask(self, mark: Any, size: int) -> Tensor:
        dtype = torch.bool if self.record.attention == "sdpa" else self.record.dtype
        return mark_mask(torch.zeros(1, 1, size, size, dtype=dtype, device=self.device), mark)

    def find_different_states(self, left: Trace, right: Trace, align: Align | None = None) -> str | None:
        """Return the first layer whose queries, keys or values differ by more than rounding, or None.

        ``align`` brings the values of ``right`` into the order of ``left``.
        """
        names = {id(module): name for name, module in self.model.named_modules()}
        for a, b in zip(left.calls, right.calls, strict=True):
            for x, y in zip(a.states, b.states, strict=True):
                if not _is_close(x, y if align is None else align(y, 2)):
                    return name_layer(self.model, names[id(a.module)])
        return None

    def find_difference(self, left: Trace, right: Trace, align: Align) -> str | None:
        """Return the first layer whose states differ, or the model if only its outputs do, or None."""
        outputs = ("", 0)  # the first call of the model itself
        where = self.find_different_states(left, right, align)
        if where is None and outputs in left.outputs and outputs in right.outputs:
            equal = _is_close(left.outputs[outputs], align(right.outputs[outputs], 1))
            where = None if equal else name_layer(self.model, "")
        return where


def _is_close(x: Tensor, y: Tensor) -> bool:
    """Return whether two tensors are equal up to rounding; tensors without values are."""
    if x.is_meta:
        return True
    scale = max(float(y.abs().max()), 1e-9)
    return float((x - y).abs().max()) <= ROUNDING.get(y.dtype, 1e-1) * scale
