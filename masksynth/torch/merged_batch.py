"""The merged task of ``solve`` as tensors: what a model and a loss need of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.export.answer_folder import read_merged
from masksynth.export.mask_arrays import LOSS, MAX_DENSE, merged_arrays
from masksynth.mask import Mask
from masksynth.tasks import MergedTask
from masksynth.torch.mask_tensors import additive_mask, block_mask_of_rows, check_rows_have_keys, dense_mask
from masksynth.torch.vocabulary import Vocabulary, embed_inputs, look_up_labels

LabelIds = Mapping[Any, int] | Sequence[int] | Tensor
"""The class of each label: a mapping by label, or one class for each of ``batch.labels``."""
AttentionKind = Literal["sdpa", "eager", "flex"]


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """One merged sequence of N positions, for a model in which positions mix by attention alone.

    Parameters
    ----------
    inputs : tuple
        What is embedded at each position, as in the instance (tokens, mask tokens, aggregates).
    kinds : tuple of str
        Which parameters process each position.
    position_ids : (N,) int64
        To be passed to the model explicitly: position ids branch, so no framework can derive them.
    rows : Mask
        The mask as row intervals; P tables.
    loss_position, loss_label, loss_task : (E,) int64
        The loss edges: position, index into ``labels``, index into ``tasks``.
    loss_weight : (E,) float64
        Weight of each loss edge.
    labels, tasks : tuple
        Distinct labels and task names.
    vocabulary : mapping or Tensor, optional
        Input -> token id, or input -> embedding ``(H,)``; or embeddings ``(V, H)`` whose row i belongs to input i.
        ``model_inputs`` needs it.
    label_ids : mapping, sequence of int or Tensor, optional
        The class of each label: by label, or one for each of ``labels``. By default the label's token id in the
        vocabulary, or the label itself where there are no token ids and it is an integer.
    attention : {"sdpa", "eager", "flex"}
        The attention of the model; ``model_inputs`` has the mask in its type.
    dtype : torch.dtype
        Of the additive mask for eager attention: the model's own.
    """

    inputs: tuple[Any, ...]
    kinds: tuple[str, ...]
    position_ids: Tensor
    rows: Mask
    loss_position: Tensor
    loss_label: Tensor
    loss_task: Tensor
    loss_weight: Tensor
    labels: tuple[Any, ...]
    tasks: tuple[str, ...]
    vocabulary: Vocabulary | None = None
    label_ids: LabelIds | None = None
    attention: AttentionKind = "sdpa"
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.attention not in ("sdpa", "eager", "flex"):
            raise InvalidInstance(f"unknown attention {self.attention!r}", "", 'use "sdpa", "eager" or "flex"')

    @property
    def tables(self) -> int:
        """P, the length of the layer pattern: layer l, counted from 0, has table l mod P."""
        return self.rows.tables

    @property
    def mask(self) -> Tensor:
        """The mask as bool ``[N, N]`` or ``[P, N, N]``, true = attend; at most 8,192 positions (``block_mask``)."""
        if self.rows.size > MAX_DENSE:
            fact = f"dense masks are refused above {MAX_DENSE} positions, the batch has {self.rows.size}"
            raise Unsupported(f"{fact}; use block_mask(batch)")
        return torch.from_numpy(self.rows.dense()).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.position_ids.device

    @property
    def samples(self) -> tuple[str, ...]:
        """The tasks, under the name that packed batches use."""
        return self.tasks

    @property
    def loss_sample(self) -> Tensor:
        """The task of each loss edge, (E,), under the name that packed batches use."""
        return self.loss_task

    @property
    def weight(self) -> float:
        """The sum of the weights of the loss edges."""
        return float(self.loss_weight.sum())

    @cached_property
    def _distinct_positions(self) -> tuple[Tensor, Tensor]:
        place, slot = torch.unique(self.loss_position, return_inverse=True)
        return place, slot

    @property
    def loss_place(self) -> Tensor:
        """The P distinct positions with a label, ascending, (P,) int64."""
        return self._distinct_positions[0]

    @property
    def loss_slot(self) -> Tensor:
        """Index of each loss edge's position in ``loss_place``, (E,) int64."""
        return self._distinct_positions[1]

    @cached_property
    def loss_offset(self) -> Tensor:
        """The edges of task t are ``loss_offset[t] .. loss_offset[t + 1]``, (tasks + 1,) int64."""
        if bool((self.loss_task.diff() < 0).any()):
            raise InvalidInstance("loss edges are not sorted by task", "", "solve the family again")
        return torch.searchsorted(self.loss_task, torch.arange(len(self.tasks) + 1, device=self.device))

    @cached_property
    def model_inputs(self) -> dict[str, Any]:
        """Keyword arguments for a Hugging Face model: ``model(**batch.model_inputs).logits`` is ``[1, N, V]``.

        They are ``input_ids`` ``[1, N]`` (or ``inputs_embeds`` ``[1, N, H]``, where the vocabulary has embeddings),
        ``position_ids``, ``attention_mask`` in the type of ``attention``, and ``use_cache=False``. ``kinds`` are not
        passed: such a model has one set of parameters.

        Raises
        ------
        InvalidInstance
            If there is no vocabulary, an input has no entry in it (naming the input), or a row has no key.
        Unsupported
            If the mask has several tables, which one ``attention_mask`` does not hold.
        """
        if self.vocabulary is None:
            remedy = "pass one: batch_of(merged, vocabulary={input: token id, ...}), or load(folder, vocabulary=...)"
            raise InvalidInstance("the batch has no vocabulary for its inputs", "", remedy)
        self._check_tables()
        name, values = embed_inputs(self.inputs, self.vocabulary, self.device)
        return self.call_arguments(**{name: values[None]})

    def call_arguments(self, **inputs: Tensor) -> dict[str, Any]:
        """Return keyword arguments with the given token ids ``[1, N]`` or embeddings ``[1, N, H]``."""
        self._check_tables()
        mask = self._mask_tensor()
        return {**inputs, "position_ids": self.position_ids[None], "attention_mask": mask, "use_cache": False}

    def _check_tables(self) -> None:
        if self.tables > 1:
            remedy = "call use_registered_attention(model) and pass attention_mask=layer_masks(batch)"
            raise Unsupported(f"the mask has {self.tables} tables, and attention_mask holds one; {remedy}")

    def _mask_tensor(self) -> Any:
        if self.attention == "flex":
            return block_mask_of_rows(self.rows, self.device)
        if self.rows.size > MAX_DENSE:
            fact = f"dense masks are refused above {MAX_DENSE} positions, the batch has {self.rows.size}"
            raise Unsupported(f'{fact}; use attention="flex"')
        check_rows_have_keys(self.rows)
        allowed = dense_mask(self.rows, self.device)[None, None]
        return allowed if self.attention == "sdpa" else additive_mask(allowed, self.dtype)

    def check_label_ids(self, classes: int) -> Tensor:
        """Return the class of each label, (L,) int64; raise if one is missing or not below ``classes``."""
        ids = look_up_labels(self.labels, self.label_ids, self.vocabulary).to(self.device)
        wrong = (ids < 0) | (ids >= classes)
        if wrong.any():
            index = int(wrong.nonzero()[0, 0])
            fact = f"class {int(ids[index])} of label {self.labels[index]!r} is not one of the {classes} classes"
            raise InvalidInstance(f"{fact} of the logits", "")
        return ids

    def to(self, device: str | torch.device) -> Batch:
        """Return the batch with its tensors on ``device``; embeddings of the vocabulary are moved on use."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("position_ids", *LOSS)})

    def __repr__(self) -> str:
        counts = f"{len(self.inputs)} positions, {len(self.tasks)} tasks, {len(self.loss_task)} loss edges"
        return f"Batch({counts}, {str(self.device)!r})"


def load(
    folder: str | Path,
    vocabulary: Vocabulary | None = None,
    label_ids: LabelIds | None = None,
    attention: AttentionKind = "sdpa",
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Return the batch of an answer's folder, after checking that its files agree.

    Parameters
    ----------
    folder : str or Path
        Written by ``masksynth solve -o``.
    vocabulary, label_ids, attention, dtype
        As in ``batch_of``.

    Raises
    ------
    InvalidInstance
        If a file is missing or malformed.
    WrongAnswer
        If the files disagree.
    """
    return batch_of(read_merged(folder), vocabulary, label_ids, attention, dtype)


def batch_of(
    merged: MergedTask,
    vocabulary: Vocabulary | None = None,
    label_ids: LabelIds | None = None,
    attention: AttentionKind = "sdpa",
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Return the batch of a merged task.

    Parameters
    ----------
    merged : MergedTask
        ``solve(instance).merged``.
    vocabulary : mapping or Tensor, optional
        Input -> token id, or input -> embedding ``(H,)``; or embeddings ``(V, H)`` whose row i belongs to input i.
        An aggregate is looked up like any input: ``("mean", "w1", "w3")`` needs an entry.
    label_ids : mapping, sequence of int or Tensor, optional
        The class of each label; by default its token id in the vocabulary, or the label itself.
    attention : {"sdpa", "eager", "flex"}
        The attention of the model that ``model_inputs`` are for.
    dtype : torch.dtype
        Dtype of the additive mask for eager attention.

    Raises
    ------
    InvalidInstance
        If the object is not a MergedTask, or the attention is unknown.

    Examples
    --------
    >>> from masksynth.tasks import LossEdge, Position, Question
    >>> positions, edges = (Position("a", 0), Position("b", 1)), (LossEdge(1, 0, 0, 0.5),)
    >>> mask = Mask.from_intervals([[((0, 1),), ((0, 2),)]])
    >>> question = Question(None, False, 1, "")
    >>> merged = MergedTask(positions, mask, {"t": {"a": 0, "b": 1}}, ("c",), ("t",), edges, question)
    >>> batch = batch_of(merged, vocabulary={"a": 7, "b": 8, "c": 9})
    >>> batch.inputs, batch.position_ids, batch.mask
    (('a', 'b'), tensor([0, 1]), tensor([[ True, False], [ True,  True]]))
    >>> batch.model_inputs["input_ids"], batch.model_inputs["position_ids"]
    (tensor([[7, 8]]), tensor([[0, 1]]))
    """
    if not isinstance(merged, MergedTask):
        remedy = "pass the attribute merged of an answer, or use load(folder)"
        raise InvalidInstance(f"expected a MergedTask, got {type(merged).__name__}", "", remedy)
    arrays = merged_arrays(merged)
    return Batch(
        inputs=tuple(position.input for position in merged.positions),
        kinds=tuple(position.kind for position in merged.positions),
        rows=merged.mask,
        labels=merged.labels,
        tasks=merged.tasks,
        vocabulary=vocabulary,
        label_ids=label_ids,
        attention=attention,
        dtype=dtype,
        **{name: torch.from_numpy(arrays[name]) for name in ("position_ids", *LOSS)},
    )


def check_merged_batch(batch: object, instead: str) -> None:
    """Raise InvalidInstance if the object is not a Batch; ``instead`` names the replacement for a packed batch."""
    if not isinstance(batch, Batch):
        packed = f"for a packed batch use {instead}; for a merged task of solve pass batch_of(merged)"
        raise InvalidInstance(f"expected a Batch, got {type(batch).__name__}", "", packed)
