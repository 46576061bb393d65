"""Keep the answers to one prompt in one micro-batch of TRL's GRPO and RLOO, where the gradient is that of any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masksynth.mask.typing import Int64Array
from masksynth.torch.trainers.data_order import own_method, why_data_stays

ROW_LOSSES = ("grpo", "sapo", "dr_grpo", "cispo", "dapo", "vespo", "luspo")
"""Losses of GRPO that are sums over rows, each divided by a number that does not depend on the micro-batch."""


def why_rows_stay_shuffled(trainer: Any) -> str | None:
    """Return why the rows of a trainer's micro-batches cannot be regrouped, or None if they can.

    TRL's GRPO and RLOO shuffle the generated rows over micro-batches, other trainers the rows of a data set. Let the
    loss of micro-batch m be ``sum_{row in m} f(row) / c``, where f reads one row and c is the same for all
    micro-batches. Then the gradient of an optimizer step, the sum over its micro-batches, is the same for each
    distribution of its rows. Everything else is refused.

    Parameters
    ----------
    trainer : transformers.Trainer

    Returns
    -------
    str or None
        The reason, as the rest of the sentence "rows stay shuffled: ...".
    """
    if not hasattr(trainer, "_buffered_inputs"):
        return why_data_stays(trainer)
    trl: Any = import_module("trl")
    kind = next((kind for kind in (trl.GRPOTrainer, trl.RLOOTrainer) if isinstance(trainer, kind)), None)
    if kind is None:
        return f"{type(trainer).__name__} is neither GRPOTrainer nor RLOOTrainer"
    name = own_method(trainer, kind, ("_compute_loss", "compute_loss", "_prepare_inputs"))
    if name is not None:
        return f"{type(trainer).__name__} has its own {name}"
    args = trainer.args
    if args.gradient_accumulation_steps % args.steps_per_generation:
        steps, accumulated = args.steps_per_generation, args.gradient_accumulation_steps
        return f"the {steps} micro-batches of a generation are more than one optimizer step of {accumulated}"
    return _why_rows_depend(trainer)


def _why_rows_depend(trainer: Any) -> str | None:
    """Return what makes a row's part of the loss depend on the other rows of its micro-batch, or None."""
    loss = getattr(trainer, "loss_type", "grpo")  # RLOO has one loss, the mean over rows
    if loss == "bnpo":
        return "loss_type 'bnpo' divides by the tokens of the micro-batch"
    if loss not in ROW_LOSSES:
        return f"loss_type {loss!r} is not known to be a sum over rows"
    if getattr(trainer, "top_entropy_quantile", 1.0) < 1:
        return "top_entropy_quantile below 1 is a quantile of the micro-batch"
    if getattr(trainer, "_entropy_bonus_enabled", False):
        return "the entropy bonus is a mean over the tokens of the micro-batch"
    if getattr(trainer, "aux_loss_enabled", False):
        return "the routers' auxiliary loss is not a sum over rows"
    return None


def regrouped_inputs(trainer: Any) -> Callable[[Any], Any]:
    """Return a ``_prepare_inputs`` for a trainer that regroups the micro-batches of each generation.

    TRL makes and shuffles them, so that its random numbers are those of any run; then the groups are put together
    again, in the order in which the shuffle has their first rows.

    Parameters
    ----------
    trainer : trl.GRPOTrainer or trl.RLOOTrainer
    """
    shuffled = trainer._prepare_inputs

    def prepare_inputs(generation_batch: Any) -> Any:
        before = trainer._buffered_inputs
        inputs = shuffled(generation_batch)
        if not trainer.model.training or trainer._buffered_inputs is before:
            return inputs
        trainer._buffered_inputs = regroup(trainer._buffered_inputs)
        return trainer._buffered_inputs[trainer._step % trainer.args.steps_per_generation]

    return prepare_inputs


def regroup(batches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return micro-batches of the same sizes and rows, in which rows of equal prompts follow one another.

    Parameters
    ----------
    batches : sequence of mapping
        Of one generation: ``prompt_ids`` and ``prompt_mask`` ``[b, P]``, and other tensors and lists of b rows. Values
        without rows (scalars, None) are those of all batches. Batches with images are returned as they are.

    Examples
    --------
    >>> def batch(*prompts):
    ...     ids = torch.tensor(prompts)[:, None]
    ...     return {"prompt_ids": ids, "prompt_mask": torch.ones_like(ids), "answer": list(prompts), "total": None}
    >>> [part["answer"] for part in regroup([batch(7, 8), batch(9, 7), batch(8, 9)])]
    [[7, 7], [8, 8], [9, 9]]
    """
    if any(batch.get("num_images") is not None for batch in batches):
        return [dict(batch) for batch in batches]
    prompts = [batch["prompt_ids"].masked_fill(batch["prompt_mask"] == 0, -1) for batch in batches]
    order = order_of_groups(torch.cat(prompts).cpu().numpy())
    sizes = np.cumsum([len(prompt) for prompt in prompts])[:-1]
    rows = [torch.from_numpy(part) for part in np.split(order, sizes)]
    whole = {name: [batch[name] for batch in batches] for name in batches[0]}
    return [{name: _take(values, part) for name, values in whole.items()} for part in rows]


def order_of_groups(prompts: Int64Array) -> Int64Array:
    """Return the order of rows in which equal prompts follow one another, by first occurrence; (B, P) -> (B,).

    Examples
    --------
    >>> order_of_groups(np.array([[5, 5], [2, 2], [5, 5], [2, 2]])).tolist()
    [0, 2, 1, 3]
    """
    _, first, group = np.unique(prompts, axis=0, return_index=True, return_inverse=True)
    return np.argsort(first[group.ravel()], kind="stable")


def _take(values: list[Any], rows: Tensor) -> Any:
    """Return some rows of a value that is given by micro-batch."""
    if isinstance(values[0], Tensor) and values[0].ndim > 0:
        joined = torch.cat(values)
        return joined[rows.to(joined.device)]
    if isinstance(values[0], list):
        flat = [value for part in values for value in part]
        return [flat[row] for row in rows.tolist()]
    return values[0]
