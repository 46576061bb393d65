"""Why a stack does not use the mask that it was called with: other arguments are tried, and its attention is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.torch.model_check.input_dependence import Look
from masksynth.torch.model_check.known_failures import PASS_4D, Diagnosis

NAMES = ("attention_mask", "attn_mask", "mask")
ADDING = {"add", "add_", "__add__", "__radd__", "__iadd__"}
OWN_TYPE = "give this attention the mask in its own type: bool for sdpa, 0 and -inf in the scores' dtype for eager"
HAND_ON = "hand the mask through every wrapper to the attention"


class Cause(NamedTuple):
    """What of a call makes the model go wrong, and what to do about it, in words."""

    words: str
    remedy: str


def cause(seen: Look, diagnosis: Diagnosis) -> Cause | None:
    """What makes the model behave as diagnosed; None if nothing shows it."""
    inputs = seen.box.inputs
    name = next((name for name in NAMES if isinstance(inputs.get(name), Tensor)), None)
    if diagnosis.name == "causal" and (found := _by_cache(seen)):
        return found
    if name is not None:
        return _with_mask(seen, diagnosis, name, inputs[name])
    if all(inputs.get(name) is None for name in NAMES) and (
        hasattr(seen.box.model, "config") or any(name in inputs for name in NAMES)
    ):
        return Cause("the call has no attention_mask, and the model makes its own", PASS_4D)
    return _watched(seen, diagnosis)


def _by_cache(seen: Look) -> Cause | None:
    """Packing by position ids is recognised only without a cache and without a 2-D mask."""
    if seen.box.inputs.get("use_cache") is False or not seen.differs(seen.box.accepts(use_cache=False)).any():
        return None
    return Cause(
        "the call leaves use_cache on, and position ids are read as packing only without", "pass use_cache=False"
    )


def _with_mask(seen: Look, diagnosis: Diagnosis, name: str, mask: Tensor) -> Cause | None:
    if mask.dim() == 2 and diagnosis.name in ("causal", "padding", "documents"):
        return Cause(f"{name} is {list(mask.shape)}, and a 2-D mask is read as a padding mask", PASS_4D)
    if _same(seen, name, ~mask if mask.dtype == torch.bool else mask.flip(-1)) and _same(
        seen, name, torch.zeros_like(mask)
    ):
        return Cause(f"{name} has no effect: something drops it on the way to the attention", HAND_ON)
    if is_number(mask) and _same(seen, name, mask.to(_floats(seen)) + 1):
        return Cause(f"{name} is {mask.dtype}, and 0 and 1 are added to the scores", OWN_TYPE)
    if diagnosis.name == "empty rows" and mask.is_floating_point() and (mask.isfinite() & (mask < 0)).all(-1).any():
        return Cause(
            f"every entry of a row of {name} is {float(mask.min()):.3g}: softmax over equal numbers is their mean",
            "use -inf",
        )
    return _watched(seen, diagnosis)


def is_number(mask: Tensor) -> bool:
    """Whether a mask holds 0 and 1 only."""
    return bool(((mask == 0) | (mask == 1)).all())


def _floats(seen: Look) -> torch.dtype:
    """The dtype in which a mask can be added to the scores."""
    parameters = getattr(seen.box.model, "parameters", None)
    first = next(iter(parameters()), None) if parameters is not None else None
    return first.dtype if first is not None and first.is_floating_point() else seen.base.dtype


def _same(seen: Look, name: str, mask: Tensor) -> bool:
    other = seen.box.accepts(**{name: mask})
    return other is not None and not seen.differs(other).any()


def _watched(seen: Look, diagnosis: Diagnosis) -> Cause | None:
    """What the attention itself is given, as far as it is torch's own or adds a mask to scores."""
    with Watch(seen.mask.size) as watch:
        seen.box.run()
    said = watch.said
    if diagnosis.name == "no mask" and "added" in said:
        return Cause(f"{said['added']} is added to the scores, +1 where true", OWN_TYPE)
    if diagnosis.name == "no mask" and "none" in said:
        return Cause("scaled_dot_product_attention is called without a mask", HAND_ON)
    if diagnosis.name in ("causal", "mask and causal") and "causal" in said:
        return Cause("scaled_dot_product_attention is called with is_causal=True", HAND_ON)
    return None


class Watch(TorchFunctionMode):
    """Watches what is added to (N, N) scores and how ``scaled_dot_product_attention`` is called; compiled code is not seen.

    Examples
    --------
    >>> with Watch(3) as watch:
    ...     _ = torch.zeros(1, 3, 3) + torch.ones(3, 3, dtype=torch.bool)
    >>> watch.said
    {'added': 'a mask of torch.bool'}
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.said = size, dict[str, str]()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            self._attention(*args, **kwargs)
        elif name in ADDING:
            self._added(args)
        return func(*args, **kwargs)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Any = None,
        dropout: float = 0.0,
        is_causal: bool = False,
        **_: Any,
    ) -> None:
        if isinstance(attn_mask, Tensor):
            if attn_mask.is_floating_point() and is_number(attn_mask):
                self.said["added"] = f"a mask of {attn_mask.dtype}"
        else:
            self.said["causal" if is_causal else "none"] = ""

    def _added(self, args: Sequence[Any]) -> None:
        pair = [each for each in args[:2] if isinstance(each, Tensor) and each.shape[-2:] == (self.size, self.size)]
        if len(pair) == 2 and pair[0].is_floating_point() and is_number(pair[1]) and bool(pair[1].any()):
            self.said["added"] = f"a mask of {pair[1].dtype}"
