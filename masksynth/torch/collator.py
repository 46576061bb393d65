"""Collate batches of a packed folder into one ``TrainingBatch``, for a model or without one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, replace
from typing import Any, get_args

import numpy as np
import torch

from masksynth.errors import InvalidInstance, MasksynthWarning, Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.flex_mask import BlockSize
from masksynth.torch.join_batches import fill, join_batches
from masksynth.torch.label_rows import check_unweighted
from masksynth.torch.models.architecture import Architecture, Attention
from masksynth.torch.models.reach import Reach
from masksynth.torch.models.read_architecture import architecture_of_config, read_architecture
from masksynth.torch.padded import pad_samples
from masksynth.torch.position_dimensions import check_limits, position_names
from masksynth.torch.sample_visibility import are_causal
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.window_rows import index_to_cut

TENSORS = ("input_ids", "position_ids", "sample_weight", "loss_position", "loss_label", "loss_sample", "loss_weight")
"""Arrays of a packed batch that become tensors of the same name."""


@dataclass(frozen=True)
class Collator:
    """Make one ``TrainingBatch`` of the batches of a packed folder; the ``collate_fn`` of a ``DataLoader``.

    The result is always one sequence, with batch dimension 1. Several batches (``batch_size=2``) are concatenated and
    do not attend to one another, so a step over them is the step over their union.

    ``sdpa``: bool mask, true = attend. ``eager``: additive mask, 0 or minus infinity, in ``dtype``, which must be the
    model's. ``flex``: a BlockMask. ``varlen``: a TreePlan, for ``use_varlen_attention(model)``. The wrong kind is an
    error in some models and silently wrong in others. Dense masks above 8,192 positions are refused.

    Parameters
    ----------
    attention : {"sdpa", "eager", "flex", "varlen"}
        The model's attention (Hugging Face: ``attn_implementation``).
    dtype : torch.dtype
        Dtype of the additive mask.
    block_size : int or (int, int)
        (queries, keys) of a block of the BlockMask.
    multiple : int
        Pad the sequence to a multiple of this many positions. Each added position attends to itself only and has no
        label. Compiled models and kernels then run on few distinct lengths.
    attention_window : int or Reach, optional
        The window of every layer of the model, in tokens: token i of a sample attends to token j only if i - j is less.
        Not with ``model``.
    tables : mapping of str to int, Reach or None, optional
        For a model that takes a mapping of masks by layer type: the window of each, None for no window. Not with
        ``model``.
    merge : bool
        False: one sample per row, padded on the right, with a 2-D mask, for models in which no mask makes merged
        samples exact. Losses are the same.
    labels : bool
        Give the model its labels, so that it computes its own loss: ``model(**batch.model_inputs).loss``. For batches
        packed with ``layout="next-token-unweighted"``, and others in which each trained position has one label of
        weight 1. A position without a label is appended, so that models that shift labels lose none.
    position_keys : sequence of str
        Key fields of the samples that are the second and additional dimensions of the position ids.
    architecture : Architecture, optional
        The record of a model, from ``read_architecture``.
    model : transformers.PreTrainedModel, optional
        The loaded model for which batches are made. It is read once, and not kept: loader workers get its record only.
    config : transformers.PreTrainedConfig, optional
        Instead of the model, with ``attention``.

    Raises
    ------
    InvalidInstance
        For another attention, a multiple below 1, no batch, batches of different fields, edges that are not sorted by
        sample, or a row without keys.
    Unsupported
        For a dense mask above 8,192 positions; for a model that is not exact in merged batches, naming its layer; with
        ``labels``, for a position of several labels or of another weight than 1.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> batch = Collator("sdpa")([example_batch()])
    >>> batch.model_inputs["input_ids"], batch.model_inputs["position_ids"]
    (tensor([[5, 6, 7]]), tensor([[0, 1, 1]]))
    >>> batch.model_inputs["attention_mask"].int()
    tensor([[[[1, 0, 0], [1, 1, 0], [1, 0, 1]]]], dtype=torch.int32)
    >>> batch.loss_position, batch.loss_label
    (tensor([0, 1, 0, 2]), tensor([6, 8, 7, 9]))
    """

    attention: Attention = None  # type: ignore[assignment]  # by default the model's, or sdpa
    dtype: torch.dtype = None  # type: ignore[assignment]  # by default the model's, or float32
    block_size: BlockSize = 128
    multiple: int = 1
    attention_window: int | Reach | None = None
    tables: Mapping[str, int | Reach | None] | None = None
    merge: bool = True
    position_keys: tuple[str, ...] = ()
    architecture: Architecture | None = None
    labels: bool = False
    model: InitVar[Any] = None
    config: InitVar[Any] = None

    def __post_init__(self, model: Any, config: Any) -> None:
        if self.multiple < 1:
            raise InvalidInstance(f"multiple: expected a positive number, got {self.multiple}", "")
        _check_attention(self.attention)
        record = self._read_record(model, config)
        attention = self.attention or (record.attention if record else "sdpa")
        if record is not None and record.attention != attention:
            fact = f"attention {attention!r} for a model that runs {record.attention!r}"
            raise InvalidInstance(fact, "", "leave attention out, or load the model with the other attn_implementation")
        if record is not None and self.dtype not in (None, record.dtype):
            raise InvalidInstance(f"masks of {self.dtype} for a model of {record.dtype}", "", "leave dtype out")
        object.__setattr__(self, "architecture", record)
        object.__setattr__(self, "attention", attention)
        object.__setattr__(self, "dtype", self.dtype or (record.dtype if record else torch.float32))
        keys = (self.position_keys,) if isinstance(self.position_keys, str) else tuple(self.position_keys)
        object.__setattr__(self, "position_keys", keys)
        self._reaches()

    def _read_record(self, model: Any, config: Any) -> Architecture | None:
        """Return the record of the model, if one is given."""
        sources = {"model": model, "config": config, "architecture": self.architecture}
        given = [name for name, value in sources.items() if value is not None]
        windows = [name for name in ("attention_window", "tables") if getattr(self, name) is not None]
        if len(given) > 1 or len(windows) > 1 or (given and windows):
            both = " and ".join((given + windows)[:2])
            raise InvalidInstance(f"{both} both define the masks of the layers", "", "pass one of them")
        if model is not None:
            return read_architecture(model, self.merge)
        if config is not None:
            record = architecture_of_config(config, self.attention, self.merge)
            return replace(record, dtype=self.dtype or record.dtype)
        if self.architecture is None and not self.merge:
            return Architecture("", self.attention or "sdpa", self.dtype or torch.float32, merge=False)
        return self.architecture

    def _reaches(self) -> dict[str, Reach]:
        """Return the window or chunk of each mask, by the name of the mask."""
        if self.architecture is not None:
            return self.architecture.reaches
        named = {"": self.attention_window} if self.tables is None else self.tables
        if not isinstance(named, Mapping) or not named:
            fact = f"tables: expected a mapping of windows by layer type, got {type(named).__name__} {named!r}"
            raise InvalidInstance(fact, "", 'pass {"full_attention": None, "sliding_attention": 4096}')
        return {name: value if isinstance(value, Reach) else Reach(window=value) for name, value in named.items()}

    def __call__(self, batches: PackedBatch | Sequence[PackedBatch]) -> TrainingBatch:
        """Return the batches as one sequence; samples without labels get one position that attends to itself only."""
        source = batches if isinstance(batches, PackedBatch) else join_batches(batches)
        rows = 1
        if self.merge:
            least = max(source.positions + self.labels, 1)
            source = fill(source, least + -least % self.multiple - source.positions)
        else:
            causal = self.architecture is None or self.architecture.causal
            source, rows = pad_samples(source, self.multiple, causal, int(self.labels))
        if self.labels:
            check_unweighted(source)
        self._check_source(source)
        reaches = self._reaches()
        if self.architecture is not None:
            argument: str = self.architecture.mask_argument
        else:
            argument = "tensor" if self.tables is None else "mapping"
        arrays = {**{name: getattr(source, name) for name in TENSORS}, **loss_arrays(source)}
        return TrainingBatch(
            source=source,
            attention=self.attention,
            dtype=self.dtype,
            block_size=self.block_size,
            fields={name: torch.tensor(values) for name, values in source.fields.items()},
            keys={name: torch.tensor(values) for name, values in source.keys.items()},
            architecture=self.architecture,
            tables=reaches,
            mask_argument=argument,
            token_index=index_to_cut(source, reaches.values()) if self.merge else None,
            position_names=position_names(source, self.position_keys, self.architecture),
            rows=rows,
            labels=self.labels,
            **{name: torch.tensor(array) for name, array in arrays.items()},
        )

    def _check_source(self, source: PackedBatch) -> None:
        """Refuse a batch for which no mask is made, or in which the model is not exact."""
        if self.merge and self.attention in ("sdpa", "eager") and source.positions > MAX_DENSE:
            fact = f"dense masks are refused above {MAX_DENSE} positions, the batch has {source.positions}"
            raise Unsupported(f'{fact}; use Collator("flex"), or pack with --max-length {MAX_DENSE}')
        if (empty := np.flatnonzero(np.diff(source.mask.row_offset[0]) == 0)).size:
            fact = f"row {empty[0]} has no key: softmax over nothing is undefined"
            raise InvalidInstance(fact, "", "pack the samples again")
        if (np.diff(source.loss_sample) < 0).any():
            raise InvalidInstance("loss edges are not sorted by sample", "", "pack the samples again")
        if self.architecture is not None and self.merge:
            check_limits(source, self.architecture)
            _warn_of_causal_samples(source, self.architecture)


def _check_attention(attention: object) -> None:
    if attention is not None and not isinstance(attention, str):
        fact = f"attention: expected str, got {type(attention).__name__}"
        raise InvalidInstance(fact, "", "pass a model as Collator(model=model)")
    if attention is not None and attention not in get_args(Attention):
        raise InvalidInstance(f"unknown attention {attention!r}", "", f"use one of {', '.join(get_args(Attention))}")


def _warn_of_causal_samples(source: PackedBatch, record: Architecture) -> None:
    """Warn if samples are causal for a model whose own masks are bidirectional."""
    if all(reach.kind == "bidirectional" for reach in record.layers) and are_causal(source):
        fact = f"the masks of {record.model} are bidirectional, but the samples are causal and are trained so"
        remedy = 'to train with its own masks, give them segments with "within": "full"'
        warnings.warn(f"{fact}; {remedy}", MasksynthWarning, stacklevel=4)


def loss_arrays(source: PackedBatch) -> dict[str, Int64Array]:
    """Return the index arrays of the loss edges: ``loss_place`` (P,), ``loss_slot`` (E,), ``loss_offset`` (S + 1,).

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> {name: array.tolist() for name, array in loss_arrays(example_batch()).items()}
    {'loss_place': [0, 1, 2], 'loss_slot': [0, 1, 0, 2], 'loss_offset': [0, 2, 4]}
    """
    place, slot = np.unique(source.loss_position, return_inverse=True)
    offset = np.searchsorted(source.loss_sample, np.arange(len(source.samples) + 1))
    return {"loss_place": place, "loss_slot": slot, "loss_offset": offset.astype(np.int64)}
