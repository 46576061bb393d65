"""Run a transformers model on a few tokens with recorders as its attention, to see which mask each layer is given.

Every layer that goes through the attention interface of transformers calls a recorder instead of its attention: the
recorder keeps the layer's queries, keys and mask, and returns each token's own values, so that attention mixes nothing.
If positions mix anyway, something other than attention mixes them; if states change when tokens and position ids
are reversed together, the model counts positions by itself. The recorder of the mask interface gets the model's mask
functions before they become tensors and evaluates them at far indices, however long the window is.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.errors import Unsupported
from masksynth.torch.models.attention_name import attention_named
from masksynth.torch.models.evaluation_mode import evaluating
from masksynth.torch.models.mask_functions import recognize_mask
from masksynth.torch.models.transformers_version import require_transformers

TOKENS = 11
"""Tokens of a traced run."""
ROUNDING = 8
"""Largest difference of equal rows, in units of the last place of the largest entry; float32 units in float64, since
models cast to float32 inside."""
NAME = "masksynth_trace"
TENSOR_KEYWORDS = ("position_ids", "s_aux", "position_bias")
"""Tensors that layers may pass to their attention besides the mask: positions, learned sinks, biases (refused)."""


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """One call of the attention interface: the layer's module, its queries, keys and values, and its mask.

    Parameters
    ----------
    layer : int
        ``module.layer_idx``, or the number of the call where a module has none.
    module : torch.nn.Module
    states : tuple of Tensor
        Queries, keys and values, ``[1, heads, n, d]``.
    mask : object
        The mark of the mask: a ``Reach`` if the model made the mask, the given mark if it was passed, or None.
    window : int or None
        The keyword ``sliding_window``, in tokens, which kernels without masks use.
    biased : bool
        Whether a position bias or an unmarked mask reached the attention.
    unknown : str or None
        A keyword that holds a tensor and is not in ``TENSOR_KEYWORDS``, such as keys that the layer selected.
    """

    layer: int
    module: torch.nn.Module
    states: tuple[Tensor, ...]
    mask: Any
    window: int | None
    biased: bool
    unknown: str | None


@dataclass
class Trace:
    """Record of one run.

    Parameters
    ----------
    calls : list of AttentionCall
    outputs : dict of (str, int) to Tensor
        The output of each module at each of its calls, where it has one row per token.
    counting : set of str
        Attention modules that called ``torch.arange``.
    moved : list of str
        Modules, in order of completion, whose rows of unchanged tokens differ from those of the base run.
    completed : Counter
        The number of calls of each module in ``outputs``.
    called : set of str
        All modules that were called.
    """

    calls: list[AttentionCall] = field(default_factory=list)
    outputs: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    counting: set[str] = field(default_factory=set)
    moved: list[str] = field(default_factory=list)
    completed: Counter[str] = field(default_factory=Counter)
    called: set[str] = field(default_factory=set)


def trace(model: torch.nn.Module, inputs: Mapping[str, Any], shift: int = 0, base: Trace | None = None) -> Trace:
    """Run the model with recorders, and restore it afterwards.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    inputs : mapping
        The keywords of the call.
    shift : int
        Added to what ``torch.arange`` gives within attention modules.
    base : Trace, optional
        A run of the same tokens except the middle one. Rows of the other tokens that differ from it by rounding are
        replaced by those of the base run, since rounding (of experts, whose groups of tokens change) would grow from
        layer to layer; ``moved`` names the modules that differ by more.

    Raises
    ------
    Unsupported
        If the run fails.
    """
    record, tokens = Trace(), inputs["input_ids"].shape[1]
    if "output_router_logits" in inspect.signature(model.forward).parameters:
        # the router loss reads the mask of a merged batch as weights of tokens
        inputs = {**inputs, "output_router_logits": False}
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating(model))
        stack.enter_context(_recording(model, record))
        for name, module in model.named_modules():
            stack.callback(module.register_forward_hook(_keep_output(record, name, tokens, base)).remove)
        stack.enter_context(_CountedPositions(model, record, shift, stack))
        try:
            model(**inputs)
        except Exception as error:
            words = str(error).strip().split("\n")[0][:200]
            fact = f"{type(model).__name__} fails on {tokens} plain tokens"
            raise Unsupported(f"{fact} ({type(error).__name__}: {words})") from error
    return record


def mark_mask(mask: Tensor, mark: Any) -> Tensor:
    """Mark a mask tensor, so that the recorder recognizes it in the layer that it reaches."""
    mask.masksynth_mark = mark  # type: ignore[attr-defined]
    return mask


def mark_of(mask: Any) -> Any:
    """Return the mark of a mask, or of the one of which it is a full view (Gemma 4, layers with shared keys)."""
    if isinstance(mask, Tensor) and mask._base is not None and mask._base.shape == mask.shape:
        mask = mask._base
    return getattr(mask, "masksynth_mark", None)


def _unknown_tensor(keywords: Mapping[str, Any]) -> str | None:
    """Return the first keyword of an attention call that passes a tensor of unknown meaning."""
    tensors = (name for name, given in keywords.items() if isinstance(given, Tensor) and name not in TENSOR_KEYWORDS)
    return next(tensors, None)


@contextmanager
def _recording(model: torch.nn.Module, record: Trace) -> Iterator[None]:
    """Register recorders as attention and let the configs of a model name them."""
    transformers = require_transformers()
    from transformers.masking_utils import AttentionMaskInterface

    marked: list[Tensor] = []

    def mask_recorder(batch_size: int, q_length: int, kv_length: int, mask_function: Any, **keywords: Any) -> Tensor:
        device, dtype = keywords.get("device", "cpu"), keywords.get("dtype", torch.float32)
        mask = torch.zeros(batch_size, 1, q_length, kv_length, device=device, dtype=dtype)
        with torch.device("cpu"):
            marked.append(mark_mask(mask, recognize_mask(mask_function, keywords.get("local_size"))))
        return marked[-1]

    def attention_recorder(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **keywords: Any
    ) -> tuple[Tensor, None]:
        mark = mark_of(attention_mask)
        biased = keywords.get("position_bias") is not None or (attention_mask is not None and mark is None)
        layer = getattr(module, "layer_idx", None)
        number = layer if isinstance(layer, int) else len(record.calls)
        window, unknown = keywords.get("sliding_window"), _unknown_tensor(keywords)
        record.calls.append(AttentionCall(number, module, (query, key, value), mark, window, biased, unknown))
        # each key-value head serves a group of query heads; every token attends to itself only
        own_values = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
        return own_values.transpose(1, 2).contiguous(), None

    interfaces = (transformers.AttentionInterface, AttentionMaskInterface)
    try:
        interfaces[0].register(NAME, attention_recorder)
        interfaces[1].register(NAME, mask_recorder)
        with attention_named(model, NAME):
            yield
    finally:
        for interface in interfaces:
            interface._global_mapping.pop(NAME, None)


class _CountedPositions(TorchFunctionMode):
    """Record calls of ``torch.arange`` in attention modules (those with a ``layer_idx``), and shift their result."""

    def __init__(self, model: torch.nn.Module, record: Trace, shift: int, stack: ExitStack) -> None:
        super().__init__()
        self.record, self.shift, self.inside = record, shift, list[str]()
        for name, module in model.named_modules():
            if hasattr(module, "layer_idx") and not any(hasattr(part, "layer_idx") for part in module.children()):
                stack.callback(module.register_forward_pre_hook(lambda *_, name=name: self.inside.append(name)).remove)
                leave = module.register_forward_hook(lambda *_: self.inside.pop() and None, always_call=True)
                stack.callback(leave.remove)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.arange and self.inside:
            self.record.counting.add(self.inside[-1])
            return result + self.shift
        return result


def _keep_output(record: Trace, name: str, tokens: int, base: Trace | None) -> Callable[..., Any]:
    """Return a forward hook that keeps a module's output of one row per token, and compares it with the base run."""
    others = [i for i in range(tokens) if i != tokens // 2]

    def hook(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        returned = output
        record.called.add(name)
        for key in ("logits", "last_hidden_state"):
            output = getattr(output, key, output)
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if not isinstance(first, Tensor) or first.ndim < 3 or first.shape[:2] != (1, tokens):
            return None
        call = (name, record.completed[name])
        record.completed[name] += 1
        record.outputs[call] = first.detach().clone()  # Gemma 3n changes an output in place
        if base is None or call not in base.outputs or not first.is_floating_point():
            return None
        expected = base.outputs[call][:, others]
        scale = float(expected.abs().max())
        unit = max(torch.finfo(first.dtype).eps, torch.finfo(torch.float32).eps)
        if not float((first[:, others] - expected).abs().max()) <= ROUNDING * unit * scale:
            record.moved.append(name)
        elif returned is first:
            corrected = first.clone()
            corrected[:, others] = expected
            return corrected
        return None

    return hook
