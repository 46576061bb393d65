"""Run a model with a mask of ours in each of its layers, whatever mask it is called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.torch.model_check.comparison import Model, rows_of
from masksynth.torch.model_check.transformers_models import ModelCall, eager_instead_of_flex, takes

Function = Callable[..., Any]


class ForcedRun(NamedTuple):
    """A run of a model whose layers were given masks of ours.

    Parameters
    ----------
    outputs : Tensor
        (N, V).
    layers : int
        How many attentions over the whole sequence there were.
    """

    outputs: Tensor
    layers: int


class Force(Protocol):
    """Run a model with ``masks[l mod P]`` in layer l, and other position ids where they are given.

    The result is why it cannot be run so, where it cannot.
    """

    def __call__(self, masks: Sequence[Tensor], position_ids: Tensor | None = None) -> ForcedRun | str:
        """Return the run, or why there is none."""
        ...


def force_transformers_model(call: ModelCall) -> Force:
    """Return how a transformers model is run with masks of ours.

    Each attention that its layers take from transformers' interface gets one.

    It is the attention of the model's own implementation (sdpa, eager; eager for flex), called as the layer calls it:
    what the layer adds of its own (scaling, sinks, soft caps) stays.

    Parameters
    ----------
    call : ModelCall
        Every argument but the mask, and the position ids where others are given, is as in this call.
    """
    size = len(call.outputs)

    def run(masks: Sequence[Tensor], position_ids: Tensor | None = None) -> ForcedRun | str:
        # every class hands a 4-D mask on as it is; this one is never used
        unused = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=call.outputs.device).expand(1, 1, size, size)
        inputs = {**call.inputs, "attention_mask": unused}
        if takes(call.model, "use_cache"):
            inputs["use_cache"] = False
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        layer = [0]

        def with_mask(attention: Function) -> Function:
            def attend(
                module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, /, *others: Any, **named: Any
            ) -> Any:
                if query.shape[-2] == size and key.shape[-2] == size:
                    mask = _as_taken(attention, masks[layer[0] % len(masks)], query)
                    layer[0] += 1
                return attention(module, query, key, value, mask, *others, **named)

            return attend

        with torch.no_grad(), call.computing(), eager_instead_of_flex(call.model), attention_functions(with_mask):
            outputs = rows_of(call.model(**inputs), size)
        if not layer[0]:
            return f"{type(call.model).__name__} does not take its attention from transformers' interface"
        return ForcedRun(outputs, layer[0])

    return run


def _as_taken(attention: Function, mask: Tensor, query: Tensor) -> Tensor:
    """Return a mask ``[1, 1, N, N]`` as an attention function takes it.

    Bool for sdpa, and added to the scores otherwise.
    """
    mask = mask[None, None].to(query.device)
    if getattr(attention, "__name__", "") == "sdpa_attention_forward":
        return mask
    return torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(~mask, float("-inf"))


@contextmanager
def attention_functions(wrap: Callable[[Function], Function]) -> Iterator[None]:
    """Within it transformers' interface gives each layer a wrapped attention function of its own implementation."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as interface

    given = interface.get_interface
    # an attribute of the one instance, which hides the method of its class
    interface.__dict__["get_interface"] = lambda name, default: wrap(given(name, default))
    try:
        yield
    finally:
        del interface.__dict__["get_interface"]


def force_torch_model(model: Model, inputs: Mapping[str, Any], size: int) -> Force:
    """Return how any callable is run with masks of ours.

    Each call of ``scaled_dot_product_attention`` over the whole sequence gets one.

    Examples
    --------
    >>> def model(x):
    ...     return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)[0]
    >>> force_torch_model(model, {"x": torch.eye(2)[None, None]}, 2)([torch.eye(2, dtype=torch.bool)]).outputs
    tensor([[1., 0.],
            [0., 1.]])
    """

    def run(masks: Sequence[Tensor], position_ids: Tensor | None = None) -> ForcedRun | str:
        changed = {} if position_ids is None else {"position_ids": position_ids}
        with torch.no_grad(), _ForcedMasks(masks, size) as forced:
            outputs = rows_of(model(**{**inputs, **changed}), size)
        return (
            ForcedRun(outputs, forced.layer) if forced.layer else "the model does not call scaled_dot_product_attention"
        )

    return run


class _ForcedMasks(TorchFunctionMode):
    """Within it the calls of ``scaled_dot_product_attention`` over N positions get the masks in turn.

    Compiled code is as it was.
    """

    def __init__(self, masks: Sequence[Tensor], size: int) -> None:
        super().__init__()
        self.masks, self.size, self.layer = masks, size, 0

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if getattr(func, "__name__", "") == "scaled_dot_product_attention" and len(args) >= 3:
            query, key, value = args[:3]
            if query.shape[-2] == self.size and key.shape[-2] == self.size:
                names = ("attn_mask", "dropout_p", "is_causal")
                named = {**dict(zip(names, args[3:], strict=False)), **named, "is_causal": False}
                named["attn_mask"] = self.masks[self.layer % len(self.masks)].to(query.device)
                self.layer += 1
                return func(query, key, value, **named)
        return func(*args, **named)
