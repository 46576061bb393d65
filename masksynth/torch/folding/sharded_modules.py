"""Run a backbone inside a forward pass of a model whose parameters are sharded (FSDP2), and go on with that pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def is_sharded(module: torch.nn.Module) -> bool:
    """Return whether parameters of a module are in pieces on all ranks, so that all run it together."""
    return has_flat_parameters(module) or any(hasattr(part, "placements") for part in module.parameters())


def has_flat_parameters(module: torch.nn.Module) -> bool:
    """Return whether some part of a module is wrapped by the first FSDP, which allows no backward pass in a forward."""
    return any(type(part).__name__ == "FullyShardedDataParallel" for part in module.modules())


def run_inside(backbone: torch.nn.Module, arguments: dict[str, Any]) -> Any:
    """Return the output of a backbone that is about to run: if it is sharded itself, its parameters are gathered now.

    Its own hooks would shard them again.
    """
    return backbone.forward(**arguments) if hasattr(backbone, "unshard") else backbone(**arguments)


@contextmanager
def gathered_again(root: torch.nn.Module, backbone: torch.nn.Module) -> Iterator[None]:
    """Gather, after a backward pass inside of a forward pass, what the rest of the forward pass reads.

    The end of a backward pass shards all parameters, also those of the modules whose forward is going on.

    Parameters
    ----------
    root : torch.nn.Module
        The outermost module.
    backbone : torch.nn.Module
        The module inside it whose forward is about to run.
    """
    around: list[Any] = [part for part in root.modules() if hasattr(part, "unshard") and backbone in part.modules()]
    contexts = [part._get_fsdp_state()._state_ctx for part in around]
    running = [context.iter_forward_root for context in contexts]
    yield
    for context, forward_root in zip(contexts, running, strict=True):
        context.iter_forward_root = forward_root
    for part in around:
        part.unshard()
