"""Faults that ``planted_faults.py`` plants: a model, the batch with which it is called, and what is wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.torch import (
    Collator,
    read_architecture,
    use_registered_attention,
)
from masksynth.torch.mask_tensors import dense_mask
from masksynth.torch.models.architecture import Architecture
from masksynth.torch.models.reach import Reach
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import cut_mask, token_index

sys.path.insert(0, str(Path(__file__).parent))

from fault_models import EAGER, MERGED, PLAIN, TWO_KINDS, UNMASKED, WINDOWED, build, source_of


@dataclass
class Case:
    """A model with a fault: what is called, with which batch."""

    model: Any
    batch: TrainingBatch
    visible: str = "causal"


@dataclass
class Setting:
    """A model and the right batch for it."""

    name: str
    model: Any
    batch: TrainingBatch
    record: Architecture | None

    @property
    def visible(self) -> str:
        """What a sample sees alone."""
        return "mask" if self.name == "ModernBERT" else "causal"

    def case(self, model: Any = None, batch: TrainingBatch | None = None) -> Case:
        """Return the case with another callable or batch."""
        return Case(model or self.model, batch or self.batch, self.visible)

    def with_masks(self, change: Callable[[int, Reach], Mask]) -> Case:
        """Return the case in which layer l has the mask ``change(l, reach)``, layer by layer.

        By a mapping where the class takes one, else by registered masks.
        """
        assert self.record is not None
        masks = [
            self.as_taken(dense_mask(change(layer, reach))[None, None])
            for layer, reach in enumerate(self.record.layers)
        ]
        named = dict(zip(self.record.tables, masks, strict=True))
        by_name = all(torch.equal(mask, named[name]) for name, mask in zip(self.record.tables, masks, strict=True))
        if self.record.mask_argument == "mapping" and by_name:
            return self.case(batch=given(self.batch, attention_mask=named))
        if all(torch.equal(mask, masks[0]) for mask in masks):
            return self.case(batch=given(self.batch, attention_mask=masks[0]))
        use_registered_attention(self.model)
        return self.case(batch=given(self.batch, attention_mask=torch.cat(masks, 1)))

    def as_taken(self, mask: Tensor) -> Tensor:
        """Return a bool mask as the model's attention takes it."""
        if self.batch.attention == "sdpa":
            return mask
        return torch.zeros(mask.shape, dtype=self.batch.dtype).masked_fill(~mask, float("-inf"))

    def cut(self, reach: Reach) -> Mask:
        """Return the stored rows, cut to a window or chunk."""
        return cut_mask(self.batch.source.mask, token_index(self.batch.source), reach)


def setting_of(name: str, **options: Any) -> Setting:
    """Return a model with a batch made for it, or as good as it goes where the model is refused."""
    dtype, dropout = options.pop("dtype", torch.float32), options.pop("dropout", 0.0)
    model = build(name, dtype, dropout)
    source = source_of(causal=name != "ModernBERT", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            record = read_architecture(model)
        except Unsupported:
            return Setting(name, model, Collator("eager" if name in EAGER else "sdpa", dtype)(source), None)
        return Setting(name, model, Collator(architecture=record)(source), record)


def given(batch: TrainingBatch, **changed: Any) -> TrainingBatch:
    """Return the batch with other model inputs."""
    other = replace(batch)
    other.__dict__["model_inputs"] = {**batch.model_inputs, **changed}
    return other


def without(model: Any, *names: str) -> Callable[..., Any]:
    """Return a wrapper that forgets arguments."""
    return lambda **inputs: model(**{name: value for name, value in inputs.items() if name not in names})


def moved_window(step: int) -> Callable[[Setting], Case]:
    """Return how windows are made longer."""

    def plant(setting: Setting) -> Case:
        def change(layer: int, reach: Reach) -> Mask:
            if not reach.limited:
                return setting.batch.source.mask
            size = (reach.window or reach.chunk or 0) + step
            return setting.cut(Reach(reach.kind, size) if reach.window is not None else Reach(reach.kind, None, size))

        return setting.with_masks(change)

    return plant


def dropped_window(setting: Setting) -> Case:
    """Return the case in which every layer has the stored rows."""
    return setting.with_masks(lambda layer, reach: setting.batch.source.mask)


def plain_collator(setting: Setting) -> Case:
    """The batch of who does not know of the window."""
    return setting.case(batch=Collator(setting.batch.attention, setting.batch.dtype)(setting.batch.source))


def swapped_tables(setting: Setting) -> Case:
    """Return the case in which layers with a window have none, and the others have it."""
    assert setting.record is not None
    limit = next(reach for reach in setting.record.layers if reach.limited)
    return setting.with_masks(lambda layer, reach: setting.batch.source.mask if reach.limited else setting.cut(limit))


def wrong_layer(setting: Setting) -> Case:
    """Return the case in which layer 2 has the table of the other kind of layer."""
    assert setting.record is not None
    limit = next(reach for reach in setting.record.layers if reach.limited)

    def change(layer: int, reach: Reach) -> Mask:
        if layer == 2:
            return setting.batch.source.mask if reach.limited else setting.cut(limit)
        return setting.cut(reach)

    return setting.with_masks(change)


def causal_only(setting: Setting) -> Case:
    """Return the case with a 2-D mask of ones."""
    ones = torch.ones(1, setting.batch.source.positions, dtype=torch.int64)
    return setting.case(batch=given(setting.batch, attention_mask=ones))


def padding_attended(setting: Setting) -> Case:
    """Return the case in which every position sees the filling."""
    source = setting.batch.source
    assert setting.record is not None
    batch = Collator(architecture=setting.record, multiple=source.positions + 7)(source)
    opened = _open_columns(batch.attention_mask, source.positions)
    return setting.case(batch=given(batch, attention_mask=opened))


def _open_columns(mask: Any, first: int) -> Any:
    if isinstance(mask, Mapping):
        return {name: _open_columns(table, first) for name, table in mask.items()}
    opened: Tensor = mask.clone()
    opened[..., first:] = True if mask.dtype == torch.bool else 0
    return opened


def extra_pair(setting: Setting) -> Case:
    """One pair between two answers, which no sample has."""
    size = setting.batch.source.positions

    def opened(mask: Any) -> Any:
        if isinstance(mask, Mapping):
            return {name: opened(table) for name, table in mask.items()}
        other: Tensor = mask.clone()
        other[..., size - 2, size - 8] = True if mask.dtype == torch.bool else 0
        return other

    return setting.case(batch=given(setting.batch, attention_mask=opened(setting.batch.attention_mask)))


def dropout_on(setting: Setting) -> Case:
    """Return the case of a model in training mode within a function."""
    model = setting.model.train()
    return setting.case(model=lambda **inputs: model(**inputs))


def dropout_never_off(setting: Setting) -> Case:
    """Return the case of dropout that no mode switches off."""
    return setting.case(
        model=lambda **inputs: torch.nn.functional.dropout(setting.model(**inputs)[0], 0.1, training=True)
    )


def one_dimension(setting: Setting) -> Case:
    """Return the case in which only the first dimension of the position ids is passed."""
    return setting.case(batch=given(setting.batch, position_ids=setting.batch.position_ids[None]))


class Fault:
    """A fault, the models in which it is planted, and how."""

    def __init__(self, words: str, models: tuple[str, ...], plant: Callable[[Setting], Case], **options: Any) -> None:
        self.words, self.models, self.plant, self.options = words, models, plant, options


FAULTS = (
    Fault("none: right calls", MERGED, lambda setting: setting.case(model=lambda **inputs: setting.model(**inputs))),
    Fault("none, in bfloat16", MERGED, lambda setting: setting.case(), dtype=torch.bfloat16),
    Fault("window dropped", WINDOWED, dropped_window),
    Fault("window one token longer", WINDOWED, moved_window(1)),
    Fault("window one token shorter", WINDOWED, moved_window(-1)),
    Fault("tables swapped", TWO_KINDS, swapped_tables),
    Fault("wrong table in layer 2", TWO_KINDS, wrong_layer),
    Fault("a plain causal mask", MERGED, causal_only),
    Fault(
        "position ids missing",
        (*PLAIN, *WINDOWED[:-1], "Qwen2-VL"),
        lambda setting: setting.case(model=without(setting.model, "position_ids")),
    ),
    Fault("position-id dimensions dropped", ("Qwen2-VL",), one_dimension, keys=True),
    Fault("padding attended to", MERGED, padding_attended),
    Fault("window dropped, every sample shorter", WINDOWED[:-1], plain_collator, prompt=2, answers=(2, 1)),
    Fault(
        "window one token longer, in bfloat16",
        ("Mistral", "Gemma 3", "ModernBERT"),
        moved_window(1),
        dtype=torch.bfloat16,
    ),
    Fault("one pair too many, in bfloat16", MERGED, extra_pair, dtype=torch.bfloat16),
    Fault("dropout on", PLAIN, dropout_on, dropout=0.1),
    Fault("dropout that evaluation mode leaves on", PLAIN, dropout_never_off),
    Fault(
        "a wrapper drops attention_mask",
        MERGED,
        lambda setting: setting.case(model=without(setting.model, "attention_mask")),
    ),
    Fault("layers that mix without a mask", UNMASKED, lambda setting: setting.case()),
)
