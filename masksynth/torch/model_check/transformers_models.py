"""Find the transformers model inside a callable, and run it on single samples without masksynth's masks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    _global_forward_hooks_with_kwargs,
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from masksynth.errors import InvalidInstance
from masksynth.torch.model_check.compare_outputs import output_rows

INPUTS = ("input_ids", "inputs_embeds")
"""Names under which a transformers model takes its sequence."""


class ModelCall(NamedTuple):
    """One call of a transformers model, not made by another transformers model.

    Parameters
    ----------
    model : nn.Module
        A ``PreTrainedModel``.
    inputs : dict
        The arguments of the call by name, without those that are None.
    outputs : Tensor
        (N, V), one row per position.
    autocast : torch.dtype or None
        The dtype of ``torch.autocast``, if the call was made within it.
    """

    model: nn.Module
    inputs: dict[str, Any]
    outputs: Tensor
    autocast: torch.dtype | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which the model computes."""
        return self.autocast or self.outputs.dtype

    def computing(self) -> AbstractContextManager[Any]:
        """Return the context in which other runs have the same precision."""
        return torch.autocast(self.outputs.device.type, self.autocast) if self.autocast is not None else nullcontext()

    @property
    def training(self) -> bool:
        """Whether some part of the model is in training mode."""
        return any(module.training for module in self.model.modules())

    @property
    def sequence(self) -> str:
        """The name under which the sequence was given."""
        return next(name for name in INPUTS if name in self.inputs)


def is_transformers_model(module: Any) -> TypeGuard[nn.Module]:
    """Return whether an object is a ``PreTrainedModel``, without importing transformers.

    Examples
    --------
    >>> is_transformers_model(nn.Linear(2, 2))
    False
    """
    return any(
        (base.__module__, base.__name__) == ("transformers.modeling_utils", "PreTrainedModel")
        for base in type(module).__mro__
    )


def record_calls(run: Callable[[], Any], size: int) -> tuple[Any, tuple[ModelCall, ...]]:
    """Return the result of a function, and the calls of transformers models with a sequence of N positions in it.

    Calls are recorded by hooks, so wrappers, closures, adapters and data-parallel modules make no difference.

    Parameters
    ----------
    run : callable
        Called without arguments.
    size : int
        N.

    Examples
    --------
    >>> record_calls(lambda: 5, 3)
    (5, ())
    """
    calls: list[ModelCall] = []
    depth = [0]

    def enter(module: nn.Module, args: Any) -> None:
        depth[0] += is_transformers_model(module)

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if not is_transformers_model(module):
            return
        depth[0] -= 1
        if depth[0] == 0 and (call := _call_of(module, args, kwargs, result, size)) is not None:
            calls.append(call)

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, with_kwargs=True)]
    try:
        result = run()
    finally:
        for handle in handles:
            handle.remove()
            # torch forgets this entry, and torch.compile would warn of global hooks from then on
            _global_forward_hooks_with_kwargs.pop(handle.id, None)
    return result, tuple(calls)


def _call_of(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, size: int
) -> ModelCall | None:
    """Return the call with its arguments by name; None if it does not have one sequence of N positions."""
    names = [name for name in inspect.signature(module.forward).parameters if name not in ("args", "kwargs")]
    inputs = {
        name: value for name, value in {**dict(zip(names, args, strict=False)), **kwargs}.items() if value is not None
    }
    sequence = next((inputs[name] for name in INPUTS if isinstance(inputs.get(name), Tensor)), None)
    if sequence is None or tuple(sequence.shape[:2]) != (1, size):
        return None
    try:
        outputs = output_rows(result, size).detach()
    except InvalidInstance:
        return None
    kind = outputs.device.type
    return ModelCall(
        module, inputs, outputs, torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    )


def select_call(calls: tuple[ModelCall, ...]) -> ModelCall | str:
    """Return the last call of the one transformers model, or why there is none.

    Examples
    --------
    >>> select_call(())
    'no transformers model is called with the sequence'
    """
    if not calls:
        return "no transformers model is called with the sequence"
    if len({id(call.model) for call in calls}) > 1:
        return f"{len(calls)} transformers models are called with the sequence"
    return calls[-1]


OTHER_TOKENS = "the model inside is called with other tokens than the batch's, or in another order"


def check_tokens(call: ModelCall | str, tokens: Tensor) -> ModelCall | str:
    """Return the call if its token ids are those of the batch up to a one-to-one renumbering; else why not.

    Parameters
    ----------
    call : ModelCall or str
    tokens : (1, N) or (N,) Tensor
        The token ids of the batch.

    Examples
    --------
    >>> def call(tokens):
    ...     return ModelCall(nn.Identity(), {"input_ids": torch.tensor([tokens])}, torch.zeros(3, 1))
    >>> batch = torch.tensor([5, 6, 5])
    >>> [check_tokens(call(ids), batch) == OTHER_TOKENS for ids in ([5, 6, 5], [15, 16, 15], [5, 5, 6])]
    [False, False, True]
    """
    if isinstance(call, str) or call.sequence != "input_ids":
        return call
    called, given = call.inputs["input_ids"].flatten(), tokens.flatten().to(call.inputs["input_ids"].device)
    pairs = set(zip(called.tolist(), given.tolist(), strict=True))
    one_to_one = len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
    return call if one_to_one else OTHER_TOKENS


def run_separately(model: nn.Module, call: ModelCall | None, sample: Tensor, position_ids: Tensor | None) -> Tensor:
    """Return the outputs of a transformers model for one sample, (n, V), with its own mask and without a cache.

    Position ids are passed only if they are not 0, 1, ..., n - 1; a 2-D mask of ones is then passed with them, since
    without one a model reads every jump of the position ids as the beginning of another document. A model with flex
    attention runs with eager attention here: the values are the same, and no kernel is compiled for another length.

    Parameters
    ----------
    model : nn.Module
        A ``PreTrainedModel``.
    call : ModelCall, optional
        The merged call, for the name of its sequence and its precision.
    sample : (n,) or (n, H) Tensor
        Token ids, or embeddings if the call passes those.
    position_ids : (n,) or (D, n) Tensor, optional
    """
    name = call.sequence if call is not None else "input_ids"
    inputs = separate_inputs(name, sample, position_ids)
    if accepts_argument(model, "use_cache"):
        inputs["use_cache"] = False
    with eager_instead_of_flex(model), call.computing() if call is not None else nullcontext():
        return output_rows(model(**inputs), len(sample))


def separate_inputs(name: str, sample: Tensor, position_ids: Tensor | None) -> dict[str, Any]:
    """Return the arguments with which a transformers model is called on one sample.

    Examples
    --------
    >>> separate_inputs("input_ids", torch.tensor([5, 6]), torch.tensor([0, 1]))
    {'input_ids': tensor([[5, 6]])}
    >>> sorted(separate_inputs("input_ids", torch.tensor([5, 6]), torch.tensor([0, 4])))
    ['attention_mask', 'input_ids', 'position_ids']
    """
    inputs = {name: sample[None]}
    plain = torch.arange(len(sample), device=sample.device)
    if position_ids is not None and bool((position_ids != plain).any()):
        inputs["position_ids"] = position_ids[None] if position_ids.dim() == 1 else position_ids[:, None]
        inputs["attention_mask"] = torch.ones(1, len(sample), dtype=torch.int64, device=sample.device)
    return inputs


def accepts_argument(model: nn.Module, name: str) -> bool:
    """Return whether the forward of a model accepts an argument, by name or as one of any."""
    parameters = inspect.signature(model.forward).parameters
    return name in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


@contextmanager
def eager_instead_of_flex(model: nn.Module) -> Iterator[None]:
    """Run eager instead of flex attention in a transformers model within the context, and restore it afterwards."""
    configs = {
        id(config): config for module in model.modules() if (config := getattr(module, "config", None)) is not None
    }
    names = {key: str(getattr(config, "_attn_implementation", "")) for key, config in configs.items()}
    flexible = {key: name for key, name in names.items() if name.endswith("flex_attention")}
    try:
        for key in flexible:
            configs[key]._attn_implementation = "eager"
        yield
    finally:
        for key, name in flexible.items():
            configs[key]._attn_implementation = name
