"""A model as a black box: outputs for changed inputs and gradients at embeddings, called as its user calls it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from masksynth.errors import InvalidInstance
from masksynth.mask.equal_values import factorize
from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.tasks.canonical import canonical
from masksynth.torch.attention import layer_masks
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.compare_outputs import Model, output_rows, row_distances
from masksynth.torch.models.architecture import KINDS, REGISTERED
from masksynth.torch.training_batch import TrainingBatch
from masksynth.torch.vocabulary import embed_inputs

NAMES = ("input_ids", "inputs_embeds", "tokens")
"""Names under which the inputs that are changed may be passed."""


class BlackBox:
    """A model, called as ``model(**inputs)``, on one sequence of N positions.

    Parameters
    ----------
    model : callable
    inputs : mapping
        The keyword arguments of the call; token ids or embeddings under one of ``NAMES``.
    size : int
        N.

    Raises
    ------
    InvalidInstance
        If none of the names is among the inputs, or the value does not have N positions.

    Examples
    --------
    >>> table = torch.eye(4)
    >>> box = BlackBox(lambda input_ids: table[input_ids].cumsum(-2), {"input_ids": torch.tensor([[0, 1, 2]])}, 3)
    >>> box.movement(box.run(), np.array([1])).tolist()
    [0.0, 1.0, 1.0]
    """

    def __init__(self, model: Model, inputs: Mapping[str, Any], size: int) -> None:
        self.model, self.inputs, self.size = model, dict(inputs), size
        self.name = next((name for name in NAMES if isinstance(inputs.get(name), Tensor)), "")
        if not self.name:
            fact = f"expected one of the inputs {', '.join(NAMES)}, got {sorted(inputs)}"
            raise InvalidInstance(fact, "", "rename the input in a wrapper")
        self.given: Tensor = inputs[self.name]
        self.tokens = not self.given.is_floating_point()
        if tuple(self.given.shape[: self.given.dim() - (not self.tokens)]) not in ((size,), (1, size)):
            fact = f"{self.name} is {list(self.given.shape)}, the batch has {size} positions"
            raise InvalidInstance(fact, "", "pass one sequence")

    def run(self, **changed: Any) -> Tensor:
        """Return the outputs, (N, V), with some arguments changed."""
        with torch.no_grad():
            return self._call(**changed)

    def try_run(self, **changed: Any) -> Tensor | None:
        """Return the outputs with some arguments changed, None if the model raises."""
        try:
            return self.run(**changed)
        except Exception:  # models refuse arguments in many ways, which is not evidence about the mask
            return None

    def movement(self, base: Tensor, positions: Int64Array, attempt: int = 0) -> Float64Array:
        """Return by how much each output moves when the inputs at some positions are changed, (N,).

        Parameters
        ----------
        base : (N, V) Tensor
            Outputs of the unchanged inputs.
        positions : (n,) int64
        attempt : int
            Each attempt takes other values.
        """
        index = torch.from_numpy(positions).to(self.given.device)
        flat = self._flatten()
        flat[index] = self._other_values(flat[index], attempt, base.shape[-1])
        return row_distances(self.run(**{self.name: flat.reshape(self.given.shape)}), base)

    def run_with_equal_inputs(self, groups: list[Int64Array]) -> Tensor:
        """Return the outputs when the positions of each group have the input of its first position."""
        flat = self._flatten()
        for group in groups:
            flat[torch.from_numpy(group[1:]).to(flat.device)] = flat[int(group[0])].clone()
        return self.run(**{self.name: flat.reshape(self.given.shape)})

    def gradients(self, queries: Int64Array, random: np.random.Generator) -> Float64Array | str:
        """Return the gradient of each query's outputs, or why there is none; as ``gradients_of_groups``, (Q, N)."""
        return self.gradients_of_groups([np.array([query]) for query in queries], random)

    def gradients_of_groups(self, groups: Sequence[Int64Array], random: np.random.Generator) -> Float64Array | str:
        """Return the gradient of a random combination of the outputs of each group of positions, or why there is none.

        Returns
        -------
        (G, N) float64
            The largest entry, by absolute value, of the gradient at each embedding.
        """
        with torch.enable_grad(), self._record_embeddings() as leaves, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the compiler reads .grad of tensors that are not leaves
            try:
                outputs = self._call(**({} if self.tokens else {self.name: leaves[0]}))
            except NotImplementedError as error:
                return str(error).split(".")[0] or "the model has no gradients here"
            if not leaves:
                return "no nn.Embedding of the token ids was found; pass inputs_embeds"
            if not outputs.requires_grad:
                return "the model's outputs carry no gradient"
            weight = torch.from_numpy(random.standard_normal(outputs.shape[-1])).to(outputs)
            combined = outputs @ weight
            sums = [combined[torch.from_numpy(group).to(outputs.device)].sum() for group in groups]
            return np.array([self._largest_gradient(total, leaves[0]) for total in sums]).reshape(-1, self.size)

    def _largest_gradient(self, output: Tensor, leaf: Tensor) -> Float64Array:
        """Return the largest entry of the gradient of a number at each position of the leaf, (N,)."""
        (gradient,) = torch.autograd.grad(output, leaf, retain_graph=True, allow_unused=True)
        if gradient is None:
            return np.zeros(self.size)
        largest: Float64Array = gradient.reshape(self.size, -1).abs().double().amax(-1).cpu().numpy()
        return largest

    @contextmanager
    def _record_embeddings(self) -> Iterator[list[Tensor]]:
        """Yield a list that holds, after a run, a leaf that is added to the embeddings of the token ids."""
        leaves: list[Tensor] = []
        if not self.tokens:
            leaves.append(self.given.detach().clone().requires_grad_())
            yield leaves
            return

        def add_leaf(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if leaves or not isinstance(module, nn.Embedding) or not args or not self._is_given(args[0]):
                return None
            if output.numel() % self.size:
                return None
            leaves.append(torch.zeros_like(output, requires_grad=True))
            return output + leaves[0]

        handle = register_module_forward_hook(add_leaf)
        try:
            yield leaves
        finally:
            handle.remove()

    def _is_given(self, value: Any) -> bool:
        """Return whether a module is called with the token ids of this sequence."""
        same_size = isinstance(value, Tensor) and value.numel() == self.size
        return same_size and bool((value.reshape(-1) == self.given.reshape(-1)).all())

    def _call(self, **changed: Any) -> Tensor:
        return output_rows(self.model(**{**self.inputs, **changed}), self.size)

    def _flatten(self) -> Tensor:
        """Return a copy of the input, one row per position."""
        return self.given.detach().reshape((self.size,) if self.tokens else (self.size, -1)).clone()

    def _other_values(self, values: Tensor, attempt: int, classes: int) -> Tensor:
        """Return other values: other tokens of the sequence if possible, since models may treat some ids specially."""
        if not self.tokens:
            random = torch.Generator().manual_seed(attempt)
            noise = torch.randn(values.shape, generator=random, dtype=torch.float64).to(values)
            other: Tensor = values + (1 + values.abs().mean()) * noise
            return other
        used = torch.unique(self.given)
        if len(used) < 2:
            return torch.remainder(values + 1 + attempt % max(1, classes - 1), classes)
        slot = (torch.searchsorted(used, values) + 1 + attempt % (len(used) - 1)) % len(used)
        return torch.take(used, slot)


def default_inputs(model: Model, batch: Batch | TrainingBatch) -> dict[str, Any]:
    """Return the keyword arguments with which a Hugging Face causal LM is called with the batch.

    Without a vocabulary the inputs of an answer become token ids 0, 1, ... in order of first appearance.

    Raises
    ------
    InvalidInstance
        For an answer with a layer pattern of more than one table, unless the model takes a mask per layer
        (`use_registered_attention`).

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> from masksynth.torch import batch_of
    >>> sorted(default_inputs(print, batch_of(merge(catalog.prefix_lm()))))
    ['attention_mask', 'input_ids', 'position_ids', 'use_cache']
    """
    if isinstance(batch, TrainingBatch):
        return batch.model_inputs
    implementation = str(getattr(getattr(model, "config", None), "_attn_implementation", "sdpa"))
    kind, dtype = KINDS.get(implementation.removeprefix(REGISTERED), "sdpa"), getattr(model, "dtype", torch.float32)
    if batch.tables > 1:
        if not implementation.startswith(REGISTERED):
            fact = f"the mask has {batch.tables} tables, and attention_mask holds one"
            remedy = "pass inputs={...} as you call your model, or call use_registered_attention(model)"
            raise InvalidInstance(fact, "", remedy)
        masks = layer_masks(batch, kind, dtype)
        return {**_embedded_inputs(batch), "position_ids": batch.position_ids[None], "attention_mask": masks}
    if batch.vocabulary is None:
        return replace(batch, attention=kind, dtype=dtype).call_arguments(**_embedded_inputs(batch))
    return batch.model_inputs


def _embedded_inputs(batch: Batch) -> dict[str, Tensor]:
    """Return token ids or embeddings of an answer by its vocabulary, or token ids by order of first appearance."""
    if batch.vocabulary is None:
        return {"input_ids": torch.tensor([factorize(canonical(value) for value in batch.inputs)], device=batch.device)}
    name, values = embed_inputs(batch.inputs, batch.vocabulary, batch.device)
    return {name: values[None]}
