"""One merged sequence as tensors: what a model and a loss need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.intervals import stack_tables
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.flex_mask import BlockSize
from masksynth.torch.label_rows import label_row, shift_back, weight_row
from masksynth.torch.mask_tensors import additive_mask, dense_mask, stack_layer_masks, unchecked_block_mask
from masksynth.torch.models.architecture import Architecture, Attention, pads_overflow
from masksynth.torch.models.reach import Reach
from masksynth.torch.position_dimensions import has_default_positions, stack_positions
from masksynth.torch.token_weights import count_samples, weigh_tokens
from masksynth.torch.varlen_tree import plan_tree
from masksynth.torch.window_rows import cut_mask

UNLIMITED = Reach()


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """One merged sequence of N positions for S samples, as tensors on one device.

    It has E loss edges at P distinct positions.

    Parameters
    ----------
    source : PackedBatch
        The batch as arrays, on the host.
    attention : {"sdpa", "eager", "flex", "varlen"}
        The attention for which masks are made.
    dtype : torch.dtype
        Dtype of the additive mask.
    block_size : int or (int, int)
        (queries, keys) of a block of the BlockMask.
    input_ids, position_ids : (N,) int64
        Token id and position id of each position.
    loss_position, loss_label, loss_sample : (E,) int64
        Position ``loss_position[e]`` predicts token ``loss_label[e]`` for sample ``loss_sample[e]``; sorted by sample.
    loss_weight : (E,) float64
        Weight of each loss edge.
    loss_place : (P,) int64
        The distinct positions with a label, ascending.
    loss_slot : (E,) int64
        ``loss_position = loss_place[loss_slot]``.
    loss_offset : (S + 1,) int64
        The edges of sample s are ``loss_offset[s] .. loss_offset[s + 1]``.
    sample_weight : (S,) float64
        Weight of each sample.
    fields : mapping of str to (E,) float64
        The token fields (``advantages``, ``old_logprobs``, ...) at each loss edge.
    keys : mapping of str to (N,) int64
        Additional parts of the positions' identities.
    architecture : Architecture, optional
        Record of the model for which the batch was made.
    tables : mapping of str to Reach
        The window or chunk of each mask of the model, by the name of the mask; empty: no mask is cut.
    mask_argument : {"tensor", "mapping", "registered"}
        Whether ``attention_mask`` is the one mask of ``tables``, a mapping of masks by name, or one mask per layer.
    token_index : (N,) int64 array, optional
        The index of each position's token in its sample, on the host; given where windows are cut.
    position_names : tuple of str
        The keys that are the second and additional dimensions of the position ids.
    rows : int
        Number of rows: 1 for a merged sequence, S for ``merge=False``, where the N positions are those of row after
        row.
    labels : bool
        Whether ``model_inputs`` have labels, so that the model computes its own loss.
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
    token_index: Int64Array | None = None
    position_names: tuple[str, ...] = ()
    rows: int = 1
    labels: bool = False

    @property
    def merged(self) -> bool:
        """Whether samples share positions: False for a batch of ``merge=False``."""
        return self.architecture is None or self.architecture.merge

    @property
    def samples(self) -> tuple[str | int, ...]:
        """Ids of the samples."""
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
        varlen kernels a TreePlan. For ``merge=False`` the 2-D mask of padded rows.

        Raises
        ------
        Unsupported
            For varlen kernels, if a row is not a path of a tree, or windows are given without a model.
        """
        if not self.merged:
            return self._padding_mask()
        if self.attention == "varlen":
            if self.architecture is None and any(reach.limited for reach in self.tables.values()):
                remedy = "leave attention_window and tables out: each layer applies the window of its model"
                raise Unsupported(f"a plan for varlen kernels has no windows; {remedy}")
            layers = () if self.architecture is None else self.architecture.layers
            return plan_tree(self.source.mask, self.device, tuple(reach.window for reach in layers) or None)
        if self.mask_argument == "mapping":
            return {name: self._mask_tensor(reach) for name, reach in self.tables.items()}
        if self.mask_argument == "registered" and self.architecture is not None:
            layers = self.architecture.layers[: self.architecture.period]
            return stack_layer_masks([self._mask_tensor(reach) for reach in layers])
        return self._mask_tensor(next(iter(self.tables.values()), UNLIMITED))

    @cached_property
    def layer_mask(self) -> Mask:
        """The masks that the layers of the model must have: a pattern of P tables; layer l (from 0) has table l mod P.

        Without a window it is ``source.mask``.

        Raises
        ------
        Unsupported
            If ``tables=`` names different masks and no model defines which layer has which.
        """
        if self.architecture is not None and self.architecture.layers:
            layers = self.architecture.layers[: self.architecture.period]
        elif len(set(self.tables.values())) <= 1:
            layers = (next(iter(self.tables.values()), UNLIMITED),)
        else:
            remedy = "pass Collator(model=model) or config=, which say which layer has which mask"
            raise Unsupported(f"tables= names masks, not layers: {remedy}")
        return stack_tables([self.cut(reach) for reach in layers])

    def cut(self, reach: Reach) -> Mask:
        """Return the stored mask without the pairs that a window or chunk forbids; cached by reach."""
        if reach not in self._cut_masks:
            mask, index = self.source.mask, self.token_index
            self._cut_masks[reach] = mask if index is None else cut_mask(mask, index, reach)
        return self._cut_masks[reach]

    @cached_property
    def _cut_masks(self) -> dict[Reach, Mask]:
        return {}

    @cached_property
    def _mask_tensors(self) -> dict[int, Any]:
        """Tensors or BlockMasks, by the identity of the mask that they are made from."""
        return {}

    def _mask_tensor(self, reach: Reach) -> Tensor | BlockMask:
        mask = self.cut(reach)
        if id(mask) not in self._mask_tensors:
            self._mask_tensors[id(mask)] = self._make_tensor(mask)
        tensor: Tensor | BlockMask = self._mask_tensors[id(mask)]
        return tensor

    def _make_tensor(self, mask: Mask) -> Tensor | BlockMask:
        if self.attention == "flex":
            return unchecked_block_mask(mask, self.device, self.block_size)
        allowed = dense_mask(mask, self.device)[None, None]
        return allowed if self.attention == "sdpa" else additive_mask(allowed, self.dtype)

    def _padding_mask(self) -> Tensor:
        """Return 1 at tokens and 0 at pads, ``[B, T]``; all 1 where no token sees a pad and a 0 would give NaN."""
        causal = self.architecture is None or self.architecture.causal
        if causal and pads_overflow(self.attention, self.dtype):
            return torch.ones(self.rows, len(self.input_ids) // self.rows, dtype=torch.long, device=self.device)
        return self._token_weights().clamp(max=1).reshape(self.rows, -1)

    def _token_weights(self) -> Tensor:
        """Return the number of samples at each position, ``(N,)``; 1 without samples, as a mean over none is NaN."""
        count = count_samples(self.source)
        return (count if count.any() else torch.ones_like(count)).to(self.device)

    def _stacked_positions(self) -> Tensor:
        """Return the position ids as the model takes them: ``[B, T]``, or ``[D, B, T]`` for D dimensions."""
        record, first = self.architecture, self.position_ids
        if record is not None and record.first_position and has_default_positions(self.source):
            first = first + record.first_position
        dimensions = [first, *(self.keys[name] for name in self.position_names)]
        return stack_positions(dimensions, self.rows, record.position_dimensions if record is not None else 1)

    @cached_property
    def shift_labels(self) -> Tensor:
        """The label that each position predicts, ``[B, T]`` int64, -100 where nothing is trained; never shifted again.

        Raises
        ------
        Unsupported
            If a position has several labels: only layouts with one for each position have such a row.
        """
        return torch.tensor(label_row(self.source), device=self.device).reshape(self.rows, -1)

    @cached_property
    def label_weights(self) -> Tensor:
        """The weight of the label of each position, ``[B, T]`` float64: the sum over its loss edges."""
        return torch.tensor(weight_row(self.source), device=self.device).reshape(self.rows, -1)

    @cached_property
    def model_inputs(self) -> dict[str, Any]:
        """Keyword arguments for a Hugging Face model: ``model(**batch.model_inputs).logits`` is ``[1, N, V]``.

        ``position_ids`` and ``use_cache=False`` are among them: without either, a causal LM reads branching positions
        as separate documents. For ``merge=False`` all tensors are ``[B, T]``, and position ids that count from 0 are
        left to the model. With ``output_router_logits=True`` the auxiliary loss of a mixture of experts counts each
        position once for each sample that has it.

        With ``Collator(labels=True)`` they have ``shift_labels`` and ``labels`` (the same, one further right, for
        models that shift themselves), and ``model(**batch.model_inputs).loss`` is the mean over the loss edges; with
        ``num_items_in_batch=n`` it is their sum divided by n.
        """
        inputs: dict[str, Any] = {"input_ids": self.input_ids.reshape(self.rows, -1)}
        if self.merged or not has_default_positions(self.source):
            inputs["position_ids"] = self._stacked_positions()
        mask = self.attention_mask
        if self.architecture is not None and self.architecture.router_loss:
            mask = weigh_tokens(mask, self._token_weights())
        inputs |= {"attention_mask": mask, "use_cache": False}
        if self.labels:
            inputs |= {"labels": shift_back(self.shift_labels), "shift_labels": self.shift_labels}
        return inputs

    def to(self, device: str | torch.device, non_blocking: bool = False) -> TrainingBatch:
        """Return the batch with its tensors on ``device``; a mask that was not made yet will be made there."""
        return self._map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TrainingBatch:
        """Return the batch in page-locked memory; ``DataLoader(pin_memory=True)`` calls it."""
        return self._map_tensors(lambda tensor: tensor.pin_memory())

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"TrainingBatch({self.source!r}, {self.attention!r}, {str(self.device)!r})"

    def _map_tensors(self, function: Callable[[Tensor], Tensor]) -> TrainingBatch:
        """Return the batch with each of its tensors replaced by a function of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        for name in ("fields", "keys"):
            changed[name] = {key: function(value) for key, value in values[name].items()}
        return replace(self, **changed)
