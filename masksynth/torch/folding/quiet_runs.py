"""Run a backbone for a comparison: without dropout, checkpointing or other randomness, and leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

RANDOM = ("drop", "noise", "jitter")
"""Parts of the names of rates that make a forward pass random."""


@contextmanager
def without_randomness(model: torch.nn.Module) -> Iterator[None]:
    """Set dropout and noise to 0 and gradient checkpointing off, in modules and configs; restore them and the RNG.

    The mode of each module stays: only rates change.

    Examples
    --------
    >>> model = torch.nn.Dropout(0.5)
    >>> with without_randomness(model):
    ...     model(torch.ones(2)), model.training
    (tensor([1., 1.]), True)
    >>> model.p
    0.5
    """
    devices = sorted({part.device.index or 0 for part in model.parameters() if part.device.type == "cuda"})
    before = list[tuple[dict[str, Any], str, Any]]()
    try:
        for owner in _owners(model):
            for name, value in list(owner.items()):
                if _is_random(name, value):
                    before.append((owner, name, value))
                    owner[name] = type(value)(0)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                before.append((vars(module), "p", module.p))
                module.p = 0.0
        with torch.random.fork_rng(devices):
            yield
    finally:
        for owner, name, value in before:
            owner[name] = value


def _owners(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Return the attributes of each module and of each config, once each."""
    owners = {id(module): vars(module) for module in model.modules()}
    configs: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    configs = [config for config in configs if hasattr(config, "to_dict")]
    configs += [config.get_text_config() for config in configs if hasattr(config, "get_text_config")]
    return [*owners.values(), *{id(config): vars(config) for config in configs}.values()]


def _is_random(name: str, value: Any) -> bool:
    if name == "gradient_checkpointing":
        return value is True
    return type(value) is float and value > 0 and any(word in name for word in RANDOM)


@contextmanager
def keep_embeddings(model: Any, ids: Tensor) -> Iterator[list[Tensor]]:
    """Make the embeddings of these token ids leaves of the graph, and give them in a list as they are computed.

    Parameters
    ----------
    model : torch.nn.Module
    ids : (k, N) int64
        The token ids that the model is called with.
    """
    leaves = list[Tensor]()

    def hook(module: torch.nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not args or args[0].shape != ids.shape or not torch.equal(args[0], ids):
            return None
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # some models scale their embeddings in place

    # adapters wrap embeddings: what comes out of the wrapper is the leaf, also if it calls no Embedding
    found: dict[int, Any] = {id(part): part for part in model.modules() if isinstance(part, torch.nn.Embedding)}
    whole: Any = model
    if hasattr(model, "get_input_embeddings"):
        found[id(whole.get_input_embeddings())] = whole.get_input_embeddings()
    with ExitStack() as stack:
        for module in found.values():
            stack.callback(module.register_forward_hook(hook).remove)
        yield leaves
