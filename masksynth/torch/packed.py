"""Packed folders in a training loop: a dataset of merged batches, and what a model and a loss need of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.utils.data import Dataset

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.arrays import MAX_DENSE
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch
from masksynth.pack.folder import open_packed
from masksynth.torch.flex_mask import BlockSize, Rows, block_mask_of
from masksynth.torch.joining import filled, join, without_samples

Attention = Literal["sdpa", "eager", "flex"]


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
    def attention_mask(self) -> Tensor | BlockMask:
        """The mask as the attention wants it, made on first use: bool or additive ``[1, 1, N, N]``, or a BlockMask."""
        if self.attention == "flex":
            return block_mask_of(_tensors(self.source.mask), self.device, self.block_size)
        dense = dense_mask(self.source.mask, self.device)[None, None]
        if self.attention == "sdpa":
            return dense
        return torch.zeros(dense.shape, dtype=self.dtype, device=self.device).masked_fill_(~dense, float("-inf"))

    @cached_property
    def model_inputs(self) -> dict[str, Any]:
        """What a Hugging Face causal LM is called with: ``model(**batch.model_inputs).logits`` is ``[1, N, V]``.

        ``position_ids`` and ``use_cache=False`` are part of it: without either, a causal LM reads branching positions as documents.
        """
        return {
            "input_ids": self.input_ids[None],
            "position_ids": self.position_ids[None],
            "attention_mask": self.attention_mask,
            "use_cache": False,
        }

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

    Raises
    ------
    InvalidInstance
        For another attention, a multiple below 1, no batch, batches of different fields, edges out of order, or a row without keys.
    Unsupported
        For a dense mask above 8,192 positions.

    Examples
    --------
    >>> from masksynth.torch.joining import example_batch
    >>> batch = Collator("sdpa")([example_batch()])
    >>> batch.model_inputs["input_ids"], batch.model_inputs["position_ids"]
    (tensor([[5, 6, 7]]), tensor([[0, 1, 1]]))
    >>> batch.model_inputs["attention_mask"].int()
    tensor([[[[1, 0, 0], [1, 1, 0], [1, 0, 1]]]], dtype=torch.int32)
    >>> batch.loss_position, batch.loss_label
    (tensor([0, 1, 0, 2]), tensor([6, 8, 7, 9]))
    """

    attention: Attention = "sdpa"
    dtype: torch.dtype = torch.float32
    block_size: BlockSize = 128
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise InvalidInstance(f"sequences of a multiple of {self.multiple} positions", "", "give a positive number")
        if self.attention not in get_args(Attention):
            raise InvalidInstance(f"attention {self.attention!r} is unknown", "", f"use one of {', '.join(get_args(Attention))}")

    def __call__(self, batches: PackedBatch | Sequence[PackedBatch]) -> TrainingBatch:
        """The batches as one sequence; samples of which nothing is trained get one position that sees only itself."""
        source = batches if isinstance(batches, PackedBatch) else join(batches)
        source = filled(source, -max(source.positions, 1) % self.multiple + (source.positions == 0))
        if self.attention != "flex" and source.positions > MAX_DENSE:
            fact = f"a dense mask of {source.positions} positions is refused above {MAX_DENSE}"
            raise Unsupported(f'{fact}; use Collator("flex"), or pack with --max-length {MAX_DENSE}')
        if (empty := np.flatnonzero(np.diff(source.mask.row_offset[0]) == 0)).size:
            raise InvalidInstance(f"row {empty[0]} has no key: softmax over nothing has no value", "", "pack the samples again")
        if (np.diff(source.loss_sample) < 0).any():
            raise InvalidInstance("loss_sample falls: edges stand sample after sample", "", "pack the samples again")
        place, slot = np.unique(source.loss_position, return_inverse=True)
        arrays = {name: getattr(source, name) for name in ("input_ids", "position_ids", "sample_weight")}
        arrays |= {name: getattr(source, name) for name in ("loss_position", "loss_label", "loss_sample", "loss_weight")}
        arrays |= {"loss_place": place, "loss_slot": slot}
        arrays["loss_offset"] = np.searchsorted(source.loss_sample, np.arange(len(source.samples) + 1)).astype(np.int64)
        return TrainingBatch(
            source=source,
            attention=self.attention,
            dtype=self.dtype,
            block_size=self.block_size,
            fields={name: torch.tensor(values) for name, values in source.fields.items()},
            keys={name: torch.tensor(values) for name, values in source.keys.items()},
            **{name: torch.tensor(array) for name, array in arrays.items()},
        )


def dense_mask(mask: Mask, device: str | torch.device = "cpu") -> Tensor:
    """The one table of a mask as bool ``[N, N]``, true = attend, made on the device.

    Examples
    --------
    >>> dense_mask(Mask.from_intervals([[((0, 1),), ((0, 2),)]]))
    tensor([[ True, False], [ True,  True]])
    """
    rows = _tensors(mask)
    steps = torch.zeros(mask.size, mask.size + 1, dtype=torch.int8, device=device)
    query = torch.repeat_interleave(torch.arange(mask.size), rows.offset.diff()).to(device)
    steps[query, rows.start.long().to(device)] = 1  # intervals of a row do not touch: no entry is set twice
    steps[query, rows.end.long().to(device)] = -1
    return steps.cumsum_(1)[:, :-1].bool()


def _tensors(mask: Mask) -> Rows:
    return Rows(*(torch.tensor(array) for array in (mask.row_offset[0], mask.key_start, mask.key_end)))
