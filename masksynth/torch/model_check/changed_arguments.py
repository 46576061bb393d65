"""Find out why a stack does not use the mask of its call: change other arguments, and watch its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.known_failures import PASS_4D, Diagnosis

MASK_NAMES = ("attention_mask", "attn_mask", "mask")
"""Names under which a call may pass its mask."""
ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
MASK_TYPE = "pass the mask in the type of this attention: bool for sdpa, 0 and -inf in the scores' dtype for eager"
PASS_ON = "pass the mask through every wrapper to the attention"


class Cause(NamedTuple):
    """The argument or call that makes a model go wrong (``words``), and the remedy."""

    words: str
    remedy: str


def find_cause(observed: Dependence, diagnosis: Diagnosis) -> Cause | None:
    """Return what makes the model behave as diagnosed; None if no change of arguments shows it."""
    inputs = observed.box.inputs
    name = next((name for name in MASK_NAMES if isinstance(inputs.get(name), Tensor)), None)
    if diagnosis.name == "causal" and (cause := _try_without_cache(observed)):
        return cause
    if name is not None:
        return _try_other_masks(observed, diagnosis, name, inputs[name])
    has_no_mask = all(inputs.get(name) is None for name in MASK_NAMES)
    if has_no_mask and (hasattr(observed.box.model, "config") or any(name in inputs for name in MASK_NAMES)):
        return Cause("the call has no attention_mask, and the model makes its own", PASS_4D)
    return _watch_attention(observed, diagnosis)


def _try_without_cache(observed: Dependence) -> Cause | None:
    """Return whether the cache is the cause: packing by position ids is recognized only without one."""
    box = observed.box
    if box.inputs.get("use_cache") is False or not observed.differs(box.try_run(use_cache=False)).any():
        return None
    fact = "the call leaves use_cache on, and position ids are read as packing only without a cache"
    return Cause(fact, "pass use_cache=False")


def _try_other_masks(observed: Dependence, diagnosis: Diagnosis, name: str, mask: Tensor) -> Cause | None:
    if mask.dim() == 2 and diagnosis.name in ("causal", "padding", "documents"):
        return Cause(f"{name} is {list(mask.shape)}, and a 2-D mask is read as a padding mask", PASS_4D)
    opposite = ~mask if mask.dtype == torch.bool else mask.flip(-1)
    if _has_same_outputs(observed, name, opposite) and _has_same_outputs(observed, name, torch.zeros_like(mask)):
        return Cause(f"{name} has no effect: it is dropped on the way to the attention", PASS_ON)
    if is_zero_or_one(mask) and _has_same_outputs(observed, name, mask.to(_score_dtype(observed)) + 1):
        return Cause(f"{name} is {mask.dtype}, and 0 and 1 are added to the scores", MASK_TYPE)
    if diagnosis.name == "empty rows" and mask.is_floating_point() and (mask.isfinite() & (mask < 0)).all(-1).any():
        fact = f"every entry of a row of {name} is {float(mask.min()):.3g}: softmax over equal numbers is their mean"
        return Cause(fact, "use -inf")
    return _watch_attention(observed, diagnosis)


def is_zero_or_one(mask: Tensor) -> bool:
    """Return whether a mask holds 0 and 1 only."""
    return bool(((mask == 0) | (mask == 1)).all())


def _score_dtype(observed: Dependence) -> torch.dtype:
    """Return the dtype in which a mask can be added to the scores."""
    parameters = getattr(observed.box.model, "parameters", None)
    first = next(iter(parameters()), None) if parameters is not None else None
    return first.dtype if first is not None and first.is_floating_point() else observed.base.dtype


def _has_same_outputs(observed: Dependence, name: str, mask: Tensor) -> bool:
    other = observed.box.try_run(**{name: mask})
    return other is not None and not observed.differs(other).any()


def _watch_attention(observed: Dependence, diagnosis: Diagnosis) -> Cause | None:
    """Return a cause in the arguments of the attention itself, if it is torch's own or adds a mask to scores."""
    with AttentionWatch(observed.mask.size) as watch:
        observed.box.run()
    events = watch.events
    if diagnosis.name == "no mask" and "added" in events:
        return Cause(f"{events['added']} is added to the scores, +1 where true", MASK_TYPE)
    if diagnosis.name == "no mask" and "none" in events:
        return Cause("scaled_dot_product_attention is called without a mask", PASS_ON)
    if diagnosis.name in ("causal", "mask and causal") and "causal" in events:
        return Cause("scaled_dot_product_attention is called with is_causal=True", PASS_ON)
    return None


class AttentionWatch(TorchFunctionMode):
    """Record what is added to (N, N) scores and how ``scaled_dot_product_attention`` is called; not in compiled code.

    Parameters
    ----------
    size : int
        N.

    Examples
    --------
    >>> with AttentionWatch(3) as watch:
    ...     _ = torch.zeros(1, 3, 3) + torch.ones(3, 3, dtype=torch.bool)
    >>> watch.events
    {'added': 'a mask of torch.bool'}
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.events = size, dict[str, str]()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            self._record_attention(*args, **kwargs)
        elif name in ADDITIONS:
            self._record_addition(args)
        return func(*args, **kwargs)

    def _record_attention(
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
            if attn_mask.is_floating_point() and is_zero_or_one(attn_mask):
                self.events["added"] = f"a mask of {attn_mask.dtype}"
        else:
            self.events["causal" if is_causal else "none"] = ""

    def _record_addition(self, args: Sequence[Any]) -> None:
        shape = (self.size, self.size)
        terms = [term for term in args[:2] if isinstance(term, Tensor) and term.shape[-2:] == shape]
        if len(terms) == 2 and terms[0].is_floating_point() and is_zero_or_one(terms[1]) and bool(terms[1].any()):
            self.events["added"] = f"a mask of {terms[1].dtype}"
