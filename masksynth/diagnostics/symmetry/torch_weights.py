"""Score the attention weights of torch modules, and make them symmetric or skew-symmetric in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

if find_spec("torch") is None:
    raise ImportError(f"{__name__} needs torch; install it with: pip install 'masksynth[torch]'")

import torch
from torch import Tensor, nn

from masksynth.diagnostics.symmetry import GAMMA, Store, WeightDiagnosis, diagnose_weights, skew_query, symmetric_query
from masksynth.diagnostics.symmetry.attention_parts import Attention, read_parts
from masksynth.diagnostics.symmetry.checkpoint_layout import attentions
from masksynth.diagnostics.symmetry.torch_pickles import as_array, entry_of
from masksynth.errors import InvalidInstance


def diagnose_module(
    module: nn.Module, *, mode: str = "sum", gamma: float = GAMMA, head_dim: int | None = None
) -> WeightDiagnosis:
    """Score symmetry and directionality of the attention weights of a module with parameters named as in a checkpoint.

    The number of heads is that of ``module.config`` where there is one.

    Parameters
    ----------
    module : torch.nn.Module
    mode : {"sum", "excess"}
    gamma : float
    head_dim : int, optional

    Raises
    ------
    InvalidInstance
        As `masksynth.diagnostics.symmetry.diagnose_weights`.

    Examples
    --------
    >>> layer = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("query", "key")})
    >>> make_symmetric(layer, head_dim=4)
    1
    >>> [round(score, 6) for score in diagnose_module(layer, head_dim=4).layers[0].head_symmetry]
    [1.0, 1.0]
    """
    return diagnose_weights(store_of_module(module), mode=mode, gamma=gamma, head_dim=head_dim)


def store_of_module(module: nn.Module) -> Store:
    """Return the weights of a module by name, read on demand."""
    held: Mapping[str, Tensor] = module.state_dict()
    entries = {name: entry_of(value) for name, value in held.items() if isinstance(value, Tensor)}
    config: Any = getattr(module, "config", None)
    return Store(
        entries,
        lambda name: as_array(held[name]),
        type(module).__name__,
        config.to_dict() if hasattr(config, "to_dict") else {},
    )


def make_symmetric(module: nn.Module, head_dim: int | None = None) -> int:
    """Make W_q W_k^T symmetric in every head, in place: each query weight becomes a copy of the head's key weight.

    Biases are not touched, and nothing ties the weights afterwards (arXiv 2502.10927, S2.1).

    Parameters
    ----------
    module : torch.nn.Module
        With parameters named as in BERT, GPT-2, Llama or another known checkpoint.
    head_dim : int, optional
        Size of a head, for grouped queries of a module without a config.

    Returns
    -------
    int
        Layers that were changed.

    Raises
    ------
    InvalidInstance
        If no layer of a known layout is there.
    """
    return _replace_queries(
        module, head_dim, lambda layer, key, heads, key_heads: symmetric_query(key, heads, key_heads)
    )


def make_skew(module: nn.Module, head_dim: int | None = None, seed: int = 0) -> int:
    """Make W_q W_k^T skew-symmetric in every head, in place.

    W_q = W_k S, with S skew-symmetric and orthogonal, so that W_k = W_q S^T.

    Parameters
    ----------
    module : torch.nn.Module
    head_dim : int, optional
        Size of a head, where no config contains it.
    seed : int
        Of S.

    Returns
    -------
    int
        Layers that were changed.

    Raises
    ------
    InvalidInstance
        If no layer of a known layout is there, or heads have an odd size.

    Examples
    --------
    >>> layer = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("query", "key")})
    >>> make_skew(layer, head_dim=4), round(diagnose_module(layer).symmetry, 6)
    (1, -1.0)
    """
    return _replace_queries(
        module, head_dim, lambda layer, key, heads, key_heads: skew_query(key, heads, key_heads, seed + layer)
    )


def _replace_queries(module: nn.Module, head_dim: int | None, query_of: Callable[[int, Any, int, int], Any]) -> int:
    store = store_of_module(module)
    result = attentions(store, head_dim)
    latent = next((one for one in result if one.query.inner or one.key.inner), None)
    if latent is not None:
        fact = "is latent attention: queries and keys are products of two weights, and neither can be set alone"
        raise InvalidInstance(fact, latent.name, "use a model without latent attention", store.source)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for number, one in enumerate(result):
        _, key = read_parts(store, one)
        value = query_of(number, key, one.heads or 1, one.key_heads or 1)
        _write(parameters, one, torch.from_numpy(value))
    return len(result)


def _write(parameters: Mapping[str, nn.Parameter], one: Attention, value: Tensor) -> None:
    part, first = one.query, 0
    if part.name not in parameters:
        raise InvalidInstance(
            "is not a parameter of the module", part.name, "give the module that contains the weights"
        )
    with torch.no_grad():
        for start, stop in part.outputs:
            place = parameters[part.name].narrow(part.axis, start, stop - start)
            columns = value[:, first : first + stop - start]
            place.copy_(columns if part.axis == 1 else columns.T)
            first += stop - start
