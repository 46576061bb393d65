"""Packed folders in a training loop: a dataset of merged batches, and what a model and a loss need of each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.utils.data import Dataset

from masksynth.errors import InvalidInstance, MasksynthWarning, Unsupported
from masksynth.export.mask_arrays import MAX_DENSE
from masksynth.export.row_intervals import rows_of
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch
from masksynth.pack.packed_folder import open_packed
from masksynth.torch.architecture import (
    Architecture,
    Attention,
    architecture_of_config,
    pads_overflow,
    read_architecture,
)
from masksynth.torch.attention import unchecked_block_mask
from masksynth.torch.flex_mask import BlockSize
from masksynth.torch.join_batches import filled, join, without_samples
from masksynth.torch.model_check.expected_dependence import are_causal
from masksynth.torch.padded import pad_samples
from masksynth.torch.position_dimensions import check_limits, default_positions, position_names, stack_positions
from masksynth.torch.token_weights import count_samples, weigh_tokens
from masksynth.torch.window_rows import Reach, cut_mask, index_to_cut

PLAIN = Reach()


class Silent(int):
    """The index of a batch that is run for its positions only: it has no samples and no loss edges, so every loss over it is 0."""


class PackedDataset(Dataset[PackedBatch]):
    """The batches of a packed folder, read one by one when they are asked for.

    Picklable, and safe in the workers of a ``DataLoader``: it holds the manifest only.

    Parameters
    ----------
    folder : str or Path
        Written by ``masksynth pack``.

    Raises
    ------
    InvalidInstance
        If the folder has no manifest or a batch is malformed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = open_packed(folder)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, number: int) -> PackedBatch:
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} is not one of the {len(self)} of {self.folder.path}")
        batch = self.folder[int(number)]
        return without_samples(batch) if isinstance(number, Silent) else batch

    @property
    def positions(self) -> NDArray[np.int64]:
        """The positions of each batch, from the manifest."""
        return np.array([entry.positions for entry in self.folder.manifest.batches], np.int64)

    def pairs(self) -> NDArray[np.int64]:
        """The allowed (query, key) pairs of each batch; reads every batch once."""
        return np.array([self[number].mask.pairs for number in range(len(self))], np.int64)


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """One merged sequence of N positions with E loss edges at P distinct positions, for S samples, as tensors on one device.

    Parameters
    ----------
    source : PackedBatch
        The batch as arrays, on the host.
    attention : {"sdpa", "eager", "flex"}
    dtype : torch.dtype
        Of the additive mask.
    block_size : int or (int, int)
        Of the BlockMask.
    input_ids, position_ids : (N,) int64
    loss_position, loss_label, loss_sample : (E,) int64
        Which position predicts which token for which sample; sample after sample.
    loss_weight : (E,) float64
    loss_place : (P,) int64
        The distinct positions with a label, rising.
    loss_slot : (E,) int64
        ``loss_position = loss_place[loss_slot]``.
    loss_offset : (S + 1,) int64
        The edges of sample s are ``loss_offset[s] .. loss_offset[s + 1]``.
    sample_weight : (S,) float64
    fields : mapping of str to (E,) float64
        The token fields (``advantages``, ``old_logprobs``, ...) at each loss edge.
    keys : mapping of str to (N,) int64
        Further parts of the positions' identities.
    architecture : Architecture, optional
        Of the model for which the batch was made.
    tables : mapping of str to Reach
        What the masks of the model's layers allow beside the stored rows, by the name of the mask; empty: nothing is
        cut.
    mask_argument : {"tensor", "mapping", "registered"}
        Whether ``attention_mask`` is the one mask of ``tables``, a mapping of masks by name, or one mask for each
        layer.
    token_index : (N,) int64 array, optional
        The index of each position's token in its sample, on the host; where windows are cut.
    position_names : tuple of str
        The keys that are the second and further dimensions of the position ids.
    rows : int
        1 for a merged sequence; otherwise the samples of ``merge=False``, one a row: positions are those of row after
        row.
    """

    source: PackedBatch
    attention: Attention
    dtype: torch.dtype
    block_size: BlockSize
    input_ids: Tensor
    position_ids: Tensor
    loss_position: Tensor
    loss_label: Tensor
    loss_sample: Tensor
    loss_weight: Tensor
    loss_place: Tensor
    loss_slot: Tensor
    loss_offset: Tensor
    sample_weight: Tensor
    fields: Mapping[str, Tensor]
    keys: Mapping[str, Tensor]
    architecture: Architecture | None = None
    tables: Mapping[str, Reach] = field(default_factory=dict)
    mask_argument: str = "tensor"
    token_index: NDArray[np.int64] | None = None
    position_names: tuple[str, ...] = ()
    rows: int = 1

    @property
    def merged(self) -> bool:
        """Whether samples share positions: False for a batch of ``merge=False``."""
        return self.architecture is None or self.architecture.merge

    @property
    def samples(self) -> tuple[str | int, ...]:
        """The samples' ids."""
        return self.source.samples

    @property
    def weight(self) -> float:
        """The sum of the weights of the loss edges."""
        return float(self.source.loss_weight.sum())

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.input_ids.device

    @cached_property
    def attention_mask(self) -> Any:
        """The mask as the model takes it, made on first use.

        For sdpa a bool tensor ``[1, 1, N, N]``, for eager attention an additive one, for flex a BlockMask; a mapping
        of them by layer type, or all of them for a registered attention, where the layers of the model differ. For
        ``merge=False`` the 2-D mask of padded rows.
        """
        if not self.merged:
            return self._padding_mask()
        if self.mask_argument == "mapping":
            return {name: self._mask_of(reach) for name, reach in self.tables.items()}
        if self.mask_argument == "registered" and self.architecture is not None:
            layers = self.architecture.layers[: self.architecture.period]
            return _stack_layers([self._mask_of(reach) for reach in layers])
        return self._mask_of(next(iter(self.tables.values()), PLAIN))

    @cached_property
    def layer_mask(self) -> Mask:
        """The masks that the layers of the model must have: a pattern of P tables, layer l (from 0) has table l mod P.

        Without a window it is ``source.mask``.

        Raises
        ------
        Unsupported
            If ``tables=`` names different masks and no model says which layer has which.
        """
        if self.architecture is not None and self.architecture.layers:
            layers = self.architecture.layers[: self.architecture.period]
        elif len(set(self.tables.values())) <= 1:
            layers = (next(iter(self.tables.values()), PLAIN),)
        else:
            remedy = "give Collator(model=model) or config= to say which layer has which"
            raise Unsupported(f"tables= names masks, not layers: {remedy}")
        masks = [self.cut(reach) for reach in layers]
        return masks[0] if len(masks) == 1 else _stack_masks(masks)

    def cut(self, reach: Reach) -> Mask:
        """The stored rows without what a window or a chunk forbids; equal masks are one object."""
        if reach not in self._cuts:
            mask, index = self.source.mask, self.token_index
            self._cuts[reach] = mask if index is None else cut_mask(mask, index, reach)
        return self._cuts[reach]

    @cached_property
    def _cuts(self) -> dict[Reach, Mask]:
        return {}

    @cached_property
    def _made(self) -> dict[int, Any]:
        """Masks of the attention's own kind, by the identity of the mask that they are made of."""
        return {}

    def _mask_of(self, reach: Reach) -> Tensor | BlockMask:
        mask = self.cut(reach)
        if id(mask) not in self._made:
            self._made[id(mask)] = self._make(mask)
        made: Tensor | BlockMask = self._made[id(mask)]
        return made

    def _make(self, mask: Mask) -> Tensor | BlockMask:
        if self.attention == "flex":
            return unchecked_block_mask(mask, self.device, self.block_size)
        dense = dense_mask(mask, self.device)[None, None]
        if self.attention == "sdpa":
            return dense
        return torch.zeros(dense.shape, dtype=self.dtype, device=self.device).masked_fill_(~dense, float("-inf"))

    def _padding_mask(self) -> Tensor:
        """1 at tokens and 0 at pads, ``[B, T]``; 1 everywhere where no token sees a pad and a 0 would give NaN."""
        causal = self.architecture is None or self.architecture.causal
        if causal and pads_overflow(self.attention, self.dtype):
            return torch.ones(self.rows, len(self.input_ids) // self.rows, dtype=torch.long, device=self.device)
        return self._token_weights().clamp(max=1).reshape(self.rows, -1)

    def _token_weights(self) -> Tensor:
        """How many samples have each position, ``(N,)``; 1 each where there is none, since a mean over nothing is NaN."""
        count = count_samples(self.source)
        return (count if count.any() else torch.ones_like(count)).to(self.device)

    @cached_property
    def model_inputs(self) -> dict[str, Any]:
        """What a Hugging Face model is called with: ``model(**batch.model_inputs).logits`` is ``[1, N, V]``.

        ``position_ids`` and ``use_cache=False`` are part of it: without either, a causal LM reads branching positions as documents. For
        ``merge=False`` all is ``[B, T]``, and position ids that count from 0 are left to the model. With ``output_router_logits=True`` the
        auxiliary loss of a mixture of experts counts each position once for each sample that has it.
        """
        inputs: dict[str, Any] = {"input_ids": self.input_ids.reshape(self.rows, -1)}
        if self.merged or not default_positions(self.source):
            inputs["position_ids"] = stack_positions(self)
        mask = self.attention_mask
        if self.architecture is not None and self.architecture.router_loss:
            mask = weigh_tokens(mask, self._token_weights())
        return {**inputs, "attention_mask": mask, "use_cache": False}

    def to(self, device: str | torch.device, non_blocking: bool = False) -> TrainingBatch:
        """The batch with its tensors on ``device``; a mask that was not made yet will be made there."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TrainingBatch:
        """The batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls it."""
        return self._each(lambda tensor: tensor.pin_memory())

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"TrainingBatch({self.source!r}, {self.attention!r}, {str(self.device)!r})"

    def _each(self, change: Any) -> TrainingBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        for name in ("fields", "keys"):
            moved[name] = {key: change(value) for key, value in values[name].items()}
        return replace(self, **moved)


@dataclass(frozen=True)
class Collator:
    """From batches of a packed folder to one ``TrainingBatch``; the ``collate_fn`` of a ``DataLoader``.

    The result is always one sequence, with batch dimension 1. Several batches (``batch_size=2``) are laid end to end and see nothing of
    one another, so a step over them is the step over their union.

    ``sdpa``: bool mask, true = attend. ``eager``: additive mask, 0 or minus infinity, in ``dtype``, which must be the model's. ``flex``: a
    BlockMask. Each is silently wrong, or an error, where another is meant. Dense masks above 8,192 positions are refused.

    Parameters
    ----------
    attention : {"sdpa", "eager", "flex"}
        The model's attention (Hugging Face: ``attn_implementation``).
    dtype : torch.dtype
        Of the additive mask.
    block_size : int or (int, int)
        (queries, keys) of a block of the BlockMask.
    multiple : int
        Fill the sequence up to a multiple of so many positions, each of which sees only itself and has no label: compiled models and
        kernels then meet few lengths.
    attention_window : int or Reach, optional
        Every layer of the model has this window: token i of a sample sees token j only if i - j is below it. Not with
        ``model``.
    tables : mapping of str to int, Reach or None, optional
        The model takes a mapping of masks by layer type: the window of each, None for none. Not with ``model``.
    merge : bool
        False: one sample a row, padded on the right, with a 2-D mask: for models in which no mask makes merged
        samples right. Losses are the same.
    position_keys : sequence of str
        Key fields of the samples that are the second and further dimensions of the position ids.
    architecture : Architecture, optional
        The record of a model, as ``read_architecture`` gives it.
    model : transformers.PreTrainedModel, optional
        The loaded model for which batches are made. It is read once, and not kept: loader workers get its record only.
    config : transformers.PreTrainedConfig, optional
        In place of the model, with ``attention``.

    Raises
    ------
    InvalidInstance
        For another attention, a multiple below 1, no batch, batches of different fields, edges out of order, or a row without keys.
    Unsupported
        For a dense mask above 8,192 positions; for a model that cannot be right in merged batches, naming its layer.

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
    model: InitVar[Any] = None
    config: InitVar[Any] = None

    def __post_init__(self, model: Any, config: Any) -> None:
        if self.multiple < 1:
            raise InvalidInstance(f"sequences of a multiple of {self.multiple} positions", "", "give a positive number")
        if self.attention is not None and not isinstance(self.attention, str):
            fact = f"attention: expected str, got {type(self.attention).__name__}"
            raise InvalidInstance(fact, "", "give a model as Collator(model=model)")
        if self.attention is not None and self.attention not in get_args(Attention):
            raise InvalidInstance(
                f"attention {self.attention!r} is unknown", "", f"use one of {', '.join(get_args(Attention))}"
            )
        record = self._read(model, config)
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

    def _read(self, model: Any, config: Any) -> Architecture | None:
        """Return the record of the model, if one is given."""
        sources = {"model": model, "config": config, "architecture": self.architecture}
        given = [name for name, value in sources.items() if value is not None]
        asked = [name for name in ("attention_window", "tables") if getattr(self, name) is not None]
        if len(given) > 1 or len(asked) > 1 or (given and asked):
            both = " and ".join((given + asked)[:2])
            raise InvalidInstance(f"{both} both say what the layers see", "", "give one of them")
        if model is not None:
            return read_architecture(model, self.merge)
        if config is not None:
            record = architecture_of_config(config, self.attention, self.merge)
            return replace(record, dtype=self.dtype or record.dtype)
        if self.architecture is None and not self.merge:
            return Architecture("", self.attention or "sdpa", self.dtype or torch.float32, merge=False)
        return self.architecture

    def _reaches(self) -> dict[str, Reach]:
        """Return what each mask allows beside the stored rows, by its name."""
        if self.architecture is not None:
            return self.architecture.reaches
        named = {"": self.attention_window} if self.tables is None else self.tables
        if not isinstance(named, Mapping) or not named:
            fact = f"tables: expected a mapping of windows by layer type, got {type(named).__name__} {named!r}"
            raise InvalidInstance(fact, "", 'give {"full_attention": None, "sliding_attention": 4096}')
        return {name: value if isinstance(value, Reach) else Reach(window=value) for name, value in named.items()}

    def __call__(self, batches: PackedBatch | Sequence[PackedBatch]) -> TrainingBatch:
        """The batches as one sequence; samples of which nothing is trained get one position that sees only itself."""
        source = batches if isinstance(batches, PackedBatch) else join(batches)
        rows = 1
        if self.merge:
            source = filled(source, -max(source.positions, 1) % self.multiple + (source.positions == 0))
        else:
            source, rows = pad_samples(source, self.multiple, self.architecture is None or self.architecture.causal)
        if self.merge and self.attention != "flex" and source.positions > MAX_DENSE:
            fact = f"a dense mask of {source.positions} positions is refused above {MAX_DENSE}"
            raise Unsupported(f'{fact}; use Collator("flex"), or pack with --max-length {MAX_DENSE}')
        if (empty := np.flatnonzero(np.diff(source.mask.row_offset[0]) == 0)).size:
            raise InvalidInstance(
                f"row {empty[0]} has no key: softmax over nothing has no value", "", "pack the samples again"
            )
        if (np.diff(source.loss_sample) < 0).any():
            raise InvalidInstance("loss_sample falls: edges stand sample after sample", "", "pack the samples again")
        if self.architecture is not None and self.merge:
            check_limits(source, self.architecture)
            _warn_of_causal_samples(source, self.architecture)
        reaches = self._reaches()
        argument = "tensor" if self.tables is None else "mapping"
        place, slot = np.unique(source.loss_position, return_inverse=True)
        arrays = {name: getattr(source, name) for name in ("input_ids", "position_ids", "sample_weight")}
        arrays |= {
            name: getattr(source, name) for name in ("loss_position", "loss_label", "loss_sample", "loss_weight")
        }
        arrays |= {"loss_place": place, "loss_slot": slot}
        arrays["loss_offset"] = np.searchsorted(source.loss_sample, np.arange(len(source.samples) + 1)).astype(np.int64)
        return TrainingBatch(
            source=source,
            attention=self.attention,
            dtype=self.dtype,
            block_size=self.block_size,
            fields={name: torch.tensor(values) for name, values in source.fields.items()},
            keys={name: torch.tensor(values) for name, values in source.keys.items()},
            architecture=self.architecture,
            tables=reaches,
            mask_argument=self.architecture.mask_argument if self.architecture else argument,
            token_index=index_to_cut(source, reaches.values()) if self.merge else None,
            position_names=position_names(source, self.position_keys, self.architecture),
            rows=rows,
            **{name: torch.tensor(array) for name, array in arrays.items()},
        )


def _warn_of_causal_samples(source: PackedBatch, record: Architecture) -> None:
    """Warn if samples are causal for a model whose tokens see later ones by themselves."""
    if all(reach.kind == "bidirectional" for reach in record.layers) and are_causal(source):
        fact = f"tokens of {record.model} see later ones by its own masks, but the samples are causal, and so is their training"
        remedy = 'for its own masks give them segments with "within": "full"'
        warnings.warn(f"{fact}; {remedy}", MasksynthWarning, stacklevel=3)


def dense_mask(mask: Mask, device: str | torch.device = "cpu") -> Tensor:
    """The one table of a mask as bool ``[N, N]``, true = attend, made on the device.

    Examples
    --------
    >>> dense_mask(Mask.from_intervals([[((0, 1),), ((0, 2),)]]))
    tensor([[ True, False], [ True,  True]])
    """
    query, start, end = (torch.from_numpy(part).to(device) for part in rows_of(mask))
    steps = torch.zeros(mask.size, mask.size + 1, dtype=torch.int8, device=device)
    steps[query, start] = 1  # intervals of a row do not touch: no entry is set twice
    steps[query, end] = -1
    return steps.cumsum_(1)[:, :-1].bool()


def _stack_masks(masks: Sequence[Mask]) -> Mask:
    """Return the layer pattern of masks of one table each."""
    base = np.cumsum([0, *(len(mask.key_start) for mask in masks)])
    offset = np.stack([mask.row_offset[0] + begin for mask, begin in zip(masks, base[:-1], strict=True)])
    start, end = (np.concatenate([getattr(mask, name) for mask in masks]) for name in ("key_start", "key_end"))
    return Mask(offset, start, end)


def _stack_layers(masks: Sequence[Tensor | BlockMask]) -> Tensor | BlockMask:
    """Return what a registered attention takes: ``[1, P, N, N]``, or P BlockMasks."""
    from masksynth.torch.registered_attention import LayerBlockMask

    if len(masks) == 1:
        return masks[0]
    tensors = [mask for mask in masks if isinstance(mask, Tensor)]
    return torch.cat(tensors, 1) if tensors else LayerBlockMask([mask for mask in masks if isinstance(mask, BlockMask)])
