"""Run a model with a given mask in each of its layers, regardless of the mask in the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.torch.mask_tensors import additive_mask
from masksynth.torch.model_check.compare_outputs import Model, output_rows
from masksynth.torch.model_check.transformers_models import ModelCall, accepts_argument, eager_instead_of_flex

Function = Callable[..., Any]


class ForcedRun(NamedTuple):
    """A run of a model under given masks.

    Parameters
    ----------
    outputs : Tensor
        (N, V).
    layers : int
        Number of attention calls over the complete sequence.
    """

    outputs: Tensor
    layers: int


class Force(Protocol):
    """Run a model with ``masks[l mod P]`` in layer l, and other position ids if they are given.

    The result is the run, or why it is not possible.
    """

    def __call__(self, masks: Sequence[Tensor], position_ids: Tensor | None = None) -> ForcedRun | str:
        """Return the run, or why it is not possible."""
        ...


def force_transformers_model(call: ModelCall) -> Force:
    """Return a function that runs a transformers model under given masks.

    Each attention function that a layer takes from the interface of transformers gets the mask of its layer. It is the
    function of the model's own implementation (sdpa, eager; eager for flex), called as the layer calls it, with the
    layer's own arguments (scaling, sinks, soft caps).

    Parameters
    ----------
    call : ModelCall
        The arguments other than the mask, and the position ids unless others are given, are those of this call.
    """
    size = len(call.outputs)

    def run(masks: Sequence[Tensor], position_ids: Tensor | None = None) -> ForcedRun | str:
        # every class passes a 4-D mask on unchanged; the layers get another one
        unused = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=call.outputs.device).expand(1, 1, size, size)
        inputs = {**call.inputs, "attention_mask": unused}
        if accepts_argument(call.model, "use_cache"):
            inputs["use_cache"] = False
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        layer = [0]  # number of the next layer; a list, since the nested function changes it

        def with_mask(attention: Function) -> Function:
            def attend(
                module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, /, *others: Any, **named: Any
            ) -> Any:
                if query.shape[-2] == size and key.shape[-2] == size:
                    mask = _convert_mask(attention, masks[layer[0] % len(masks)], query)
                    layer[0] += 1
                return attention(module, query, key, value, mask, *others, **named)

            return attend

        with torch.no_grad(), call.computing(), eager_instead_of_flex(call.model), wrapped_attention(with_mask):
            outputs = output_rows(call.model(**inputs), size)
        if not layer[0]:
            return f"{type(call.model).__name__} does not use the attention interface of transformers"
        return ForcedRun(outputs, layer[0])

    return run


def _convert_mask(attention: Function, mask: Tensor, query: Tensor) -> Tensor:
    """Return a bool mask (N, N) as an attention function takes it: bool ``[1, 1, N, N]`` for sdpa, else additive."""
    mask = mask[None, None].to(query.device)
    if getattr(attention, "__name__", "") == "sdpa_attention_forward":
        return mask
    return additive_mask(mask, query.dtype)


@contextmanager
def wrapped_attention(wrap: Callable[[Function], Function]) -> Iterator[None]:
    """Wrap the attention functions that the interface of transformers returns to layers, within the context."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as interface

    get_interface = interface.get_interface
    # an attribute of the one instance, which hides the method of its class
    interface.__dict__["get_interface"] = lambda name, default: wrap(get_interface(name, default))
    try:
        yield
    finally:
        del interface.__dict__["get_interface"]


def force_torch_model(model: Model, inputs: Mapping[str, Any], size: int) -> Force:
    """Return a function that runs any callable under given masks.

    Each call of ``scaled_dot_product_attention`` over the complete sequence gets the mask of its layer.

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
            outputs = output_rows(model(**{**inputs, **changed}), size)
        if not forced.layer:
            return "the model does not call scaled_dot_product_attention"
        return ForcedRun(outputs, forced.layer)

    return run


class _ForcedMasks(TorchFunctionMode):
    """Pass the masks in turn to calls of ``scaled_dot_product_attention`` over N positions, except compiled ones."""

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
