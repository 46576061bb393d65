"""What merged calls must know of one backbone: its masks, its position ids, how it takes packed rows."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np
import torch

from masksynth.errors import Unsupported
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.torch.folding.default_positions import (
    PADS,
    Rule,
    last_hidden,
    read_rule,
    relative_difference,
    separates_packed,
)
from masksynth.torch.folding.sharded_modules import is_sharded
from masksynth.torch.models.architecture import FALLBACK, Architecture
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.first_weight import first_weight
from masksynth.torch.models.flash_trees import is_flash, read_flash_architecture, take_plans
from masksynth.torch.models.read_architecture import read_architecture
from masksynth.torch.models.recorded_runs import ROUNDING, RecordedRuns


def _read(backbone: Any, attention: str) -> Architecture:
    try:
        return read_flash_architecture(backbone) if is_flash(attention) else read_architecture(backbone)
    except NotImplementedError as error:  # transformers: get_input_embeddings of a wrapper without them
        name = type(backbone).__name__
        raise Unsupported(f"{name} does not name its embeddings of tokens; train it without fold") from error
    except Unsupported as error:
        raise Unsupported(str(error).replace(FALLBACK, "train it without fold")) from None


class ModelFacts:
    """Facts about a transformers backbone, read by running it on a few tokens; again if attention or dtype changes.

    Parameters
    ----------
    backbone : transformers.PreTrainedModel
    outer : transformers.PreTrainedModel
        The model around it, which is run instead where parameters are sharded between its calls.

    Raises
    ------
    Unsupported
        If a merged call of it cannot be exact.
    """

    def __init__(self, backbone: Any, outer: Any) -> None:
        self._backbone = ref(backbone)  # facts may be kept for a backbone, which they must not keep alive
        self._read_model = outer if is_sharded(outer) else backbone
        self._records = dict[tuple[str, torch.dtype], Architecture]()
        self._rule: Rule | None = None
        self._separates = dict[tuple[str, bool, int], bool]()
        self._shifts: bool | None = None
        record = self.record()
        if self._runs(record).takes_positions:
            self._rule = read_rule(self._runs(record), record)
        self._read_model = None  # from now on the backbone is read, inside of forward passes

    @property
    def backbone(self) -> Any:
        """The backbone, as long as it exists."""
        return self._backbone()

    def depends_on_shift(self) -> bool:
        """Return whether outputs change if all position ids of a row are larger by the same number."""
        if self._shifts is None:
            runs, record = self._runs(self.record()), self.record()
            positions = runs.positions() + record.first_position
            with evaluating(self.backbone), torch.no_grad():
                outputs = [
                    last_hidden(self.backbone(input_ids=runs.ids(), position_ids=positions + shift, use_cache=False))
                    for shift in (0, PADS)
                ]
            self._shifts = relative_difference(*outputs) > ROUNDING.get(record.dtype, 1e-1)
        return self._shifts

    def _runs(self, record: Architecture) -> RecordedRuns:
        return RecordedRuns(self._read_model or self.backbone, record)

    @property
    def setting(self) -> tuple[str, torch.dtype, torch.device]:
        """The attention, dtype and device that the backbone runs with now."""
        first = first_weight(self.backbone)
        assert first is not None, "a transformers model has embeddings"
        return str(self.backbone.config.get_text_config()._attn_implementation), first.dtype, first.device

    @property
    def width(self) -> int | None:
        """Hidden size of the backbone, if its config says it."""
        return getattr(self.backbone.config.get_text_config(), "hidden_size", None)

    def is_read(self) -> bool:
        """Whether the facts hold for the attention and dtype of now."""
        return self.setting[:2] in self._records

    def record(self) -> Architecture:
        """Return the record of the backbone as it runs now."""
        key = self.setting[:2]
        if is_flash(key[0]):
            take_plans(key[0])
        if key not in self._records:
            record = _read(self._read_model or self.backbone, key[0])
            if not record.causal:
                fact = (
                    f"{record.model} is not causal: a row's tokens attend to later ones, which other rows do not share"
                )
                raise Unsupported(f"{fact}; train it without fold")
            self._records[key] = record
        return self._records[key]

    def default_positions(self, ids: Int64Array, mask: BoolArray | None) -> Int64Array:
        """Return the position ids that the model gives to rows by itself, (1, B, T).

        Raises
        ------
        Unsupported
            If pads stand before real tokens, and the model numbers them in no known way.
        """
        real = np.ones(ids.shape, bool) if mask is None else mask
        if self._rule is not None:
            return np.asarray(self._rule(ids, real))[None]
        if (real[:, 1:] & ~real[:, :-1]).any():
            fact = f"{type(self.backbone).__name__} numbers tokens behind pads in a way that is not understood"
            raise Unsupported(f"{fact}; pass position_ids, or pad on the right")
        first = self.record().first_position
        return np.broadcast_to(np.arange(ids.shape[1]) + first, (1, *ids.shape))

    def require_separation(self, use_cache: bool | None, rows: int) -> None:
        """Raise if the model itself does not keep packed rows apart.

        Parameters
        ----------
        use_cache : bool or None
            As the call has it; by default the config's.
        rows : int
            Number of packed rows of the call.
        """
        trains = self.backbone.training and getattr(self.backbone, "gradient_checkpointing", False)
        by_default = use_cache is None and not trains
        cached = by_default and bool(getattr(self.backbone.config.get_text_config(), "use_cache", False))
        if self._keeps_apart(cached, rows):
            return
        name = type(self.backbone).__name__
        if cached and self._keeps_apart(False, rows):
            fact = f"position_ids restart, but with a cache {name} lets packed rows attend to one another"
            raise Unsupported(f"{fact}; pass use_cache=False, or set config.use_cache to False")
        fact = f"position_ids restart, but {name} lets packed rows attend to one another"
        raise Unsupported(f"{fact}; pass one row per sample, with an attention_mask")

    def _keeps_apart(self, cached: bool, rows: int) -> bool:
        key = (self.setting[0], cached, min(rows, 2))  # flash attention tells them apart in a single row only
        if key not in self._separates:
            record = self.record()
            ids = self._runs(record).ids().expand(key[2], -1)
            self._separates[key] = separates_packed(self.backbone, ids, cached, ROUNDING.get(record.dtype, 1e-1))
        return self._separates[key]
