"""A model as a black box: its outputs for changed inputs, and gradients at what it embeds, with its call left as the user makes it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from masksynth.errors import InvalidInstance
from masksynth.torch.attention import attention_mask, block_mask
from masksynth.torch.merged_batch import Batch
from masksynth.torch.model_check.comparison import Model, distance
from masksynth.torch.training_batch import TrainingBatch

NAMES = ("input_ids", "inputs_embeds", "tokens")
"""Under which names the inputs that are changed may be passed."""


class BlackBox:
    """A model, called as ``model(**inputs)``, over one sequence of N positions.

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
        If none of the names is there, or it is not of N positions.

    Examples
    --------
    >>> table = torch.eye(4)
    >>> box = BlackBox(lambda input_ids: table[input_ids].cumsum(-2), {"input_ids": torch.tensor([[0, 1, 2]])}, 3)
    >>> box.moved(box.run(), np.array([1])).tolist()
    [0.0, 1.0, 1.0]
    """

    def __init__(self, model: Model, inputs: Mapping[str, Any], size: int) -> None:
        self.model, self.inputs, self.size = model, dict(inputs), size
        self.name = next((name for name in NAMES if isinstance(inputs.get(name), Tensor)), "")
        if not self.name:
            raise InvalidInstance(
                f"the inputs {sorted(inputs)} have none of {', '.join(NAMES)}", "", "rename it in a wrapper"
            )
        self.given: Tensor = inputs[self.name]
        self.tokens = not self.given.is_floating_point()
        if tuple(self.given.shape[: self.given.dim() - (not self.tokens)]) not in ((size,), (1, size)):
            raise InvalidInstance(
                f"{self.name} is {list(self.given.shape)}, the batch has {size} positions", "", "pass one sequence"
            )

    def run(self, **changed: Any) -> Tensor:
        """The outputs, (N, V)."""
        with torch.no_grad():
            return self._outputs(**changed)

    def accepts(self, **changed: Any) -> Tensor | None:
        """The outputs with other arguments, None where the model refuses them."""
        try:
            return self.run(**changed)
        except Exception:  # a model may refuse in its own way; what it refuses tells nothing
            return None

    def moved(self, base: Tensor, which: NDArray[np.int64], attempt: int = 0) -> NDArray[np.float64]:
        """By how much each output moves when some inputs are changed; each attempt takes other values."""
        at = torch.from_numpy(which).to(self.given.device)
        flat = self._flat()
        flat[at] = self._others(flat[at], attempt, base.shape[-1])
        return distance(self.run(**{self.name: flat.reshape(self.given.shape)}), base)

    def alike(self, groups: list[NDArray[np.int64]]) -> Tensor:
        """The outputs when the positions of each group have the input of its first."""
        flat = self._flat()
        for group in groups:
            flat[torch.from_numpy(group[1:]).to(flat.device)] = flat[int(group[0])].clone()
        return self.run(**{self.name: flat.reshape(self.given.shape)})

    def gradients(self, queries: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64] | str:
        """(Q, N): the largest entry of the gradient of one random combination of each query's outputs at each embedding; or why not."""
        return self.gradients_of_groups([np.array([query]) for query in queries], random)

    def gradients_of_groups(
        self, groups: Sequence[NDArray[np.int64]], random: np.random.Generator
    ) -> NDArray[np.float64] | str:
        """Return the gradient of a random combination of the outputs of each group of positions, or why there is none.

        Returns
        -------
        (G, N) float64
            The largest entry, by absolute value, of the gradient at each embedding.
        """
        with torch.enable_grad(), self._leaf() as leaves, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the compiler looks at .grad of what is no leaf
            try:
                outputs = self._outputs(**({} if self.tokens else {self.name: leaves[0]}))
            except NotImplementedError as error:
                return str(error).split(".")[0] or "the model has no gradients here"
            if not leaves:
                return "no nn.Embedding of the token ids was found; pass inputs_embeds"
            if not outputs.requires_grad:
                return "the model's outputs carry no gradient"
            weight = torch.from_numpy(random.standard_normal(outputs.shape[-1])).to(outputs)
            combined = outputs @ weight
            rows = [
                self._gradient(combined[torch.from_numpy(group).to(outputs.device)].sum(), leaves[0])
                for group in groups
            ]
            return np.array(rows).reshape(-1, self.size)

    def _gradient(self, output: Tensor, leaf: Tensor) -> NDArray[np.float64]:
        (found,) = torch.autograd.grad(output, leaf, retain_graph=True, allow_unused=True)
        if found is None:
            return np.zeros(self.size)
        largest: NDArray[np.float64] = found.reshape(self.size, -1).abs().double().amax(-1).cpu().numpy()
        return largest

    @contextmanager
    def _leaf(self) -> Iterator[list[Tensor]]:
        """A list that holds, after a run, what the token ids were embedded as (plus 0, so that it is a leaf)."""
        leaves: list[Tensor] = []
        if not self.tokens:
            leaves.append(self.given.detach().clone().requires_grad_())
            yield leaves
            return

        def watch(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if (
                not leaves
                and isinstance(module, nn.Embedding)
                and args
                and self._is_given(args[0])
                and output.numel() % self.size == 0
            ):
                leaves.append(torch.zeros_like(output, requires_grad=True))
                return output + leaves[0]
            return None

        handle = register_module_forward_hook(watch)
        try:
            yield leaves
        finally:
            handle.remove()

    def _is_given(self, found: Any) -> bool:
        return (
            isinstance(found, Tensor)
            and found.numel() == self.size
            and bool((found.reshape(-1) == self.given.reshape(-1)).all())
        )

    def _outputs(self, **changed: Any) -> Tensor:
        found = self.model(**{**self.inputs, **changed})
        if not isinstance(found, Tensor):
            parts = (getattr(found, name, None) for name in ("logits", "last_hidden_state"))
            found = next(
                (part for part in parts if part is not None),
                found[0] if isinstance(found, (tuple, list)) and found else found,
            )
        if not isinstance(found, Tensor) or tuple(found.shape[:-1]) not in ((self.size,), (1, self.size)):
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InvalidInstance(
                f"the model returns {what} for {self.size} positions", "", f"return logits [1, {self.size}, V]"
            )
        rows: Tensor = found.reshape(self.size, -1)
        return rows

    def _flat(self) -> Tensor:
        return self.given.detach().reshape((self.size,) if self.tokens else (self.size, -1)).clone()

    def _others(self, values: Tensor, attempt: int, classes: int) -> Tensor:
        """Other values: for tokens others of the sequence, where it has two, since a model may treat some ids in its own way."""
        if not self.tokens:
            random = torch.Generator().manual_seed(attempt)
            other: Tensor = values + (1 + values.abs().mean()) * torch.randn(
                values.shape, generator=random, dtype=torch.float64
            ).to(values)
            return other
        used = torch.unique(self.given)
        if len(used) < 2:
            return torch.remainder(values + 1 + attempt % max(1, classes - 1), classes)
        slot = (torch.searchsorted(used, values) + 1 + attempt % (len(used) - 1)) % len(used)
        return torch.take(used, slot)


def inputs_of_batch(model: Model, batch: Batch | TrainingBatch) -> dict[str, Any]:
    """How a Hugging Face causal LM is called with the batch; an answer's inputs become token ids 0, 1, ... in their order of appearance.

    Raises
    ------
    InvalidInstance
        For an answer with a layer pattern of more than one table, which such a call cannot pass.

    Examples
    --------
    >>> from masksynth.export import read_merged
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> from masksynth.torch import batch_of
    >>> sorted(inputs_of_batch(print, batch_of(merge(catalog.prefix_lm()))))
    ['attention_mask', 'input_ids', 'position_ids', 'use_cache']
    """
    if isinstance(batch, TrainingBatch):
        return batch.model_inputs
    if batch.tables > 1:
        remedy = "pass inputs={...} as you call your model"
        raise InvalidInstance(f"the mask has {batch.tables} tables, which no one attention_mask holds", "", remedy)
    number: dict[str, int] = {}
    ids = [number.setdefault(json.dumps(value, sort_keys=True), len(number)) for value in batch.inputs]
    return {
        "input_ids": torch.tensor([ids], device=batch.position_ids.device),
        "position_ids": batch.position_ids[None],
        "attention_mask": _mask_for(model, batch),
        "use_cache": False,
    }


def _mask_for(model: Model, batch: Batch) -> Any:
    """The mask in the type that the model's own configuration names; bool where it names none."""
    kind = getattr(getattr(model, "config", None), "_attn_implementation", "sdpa")
    if kind == "flex_attention":
        return block_mask(batch)
    if kind == "eager":
        return attention_mask(batch, "eager", getattr(model, "dtype", torch.float32))
    return attention_mask(batch)
