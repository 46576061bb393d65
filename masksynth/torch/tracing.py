"""Run a transformers model on a few tokens with recording attention, to see which mask each of its layers is given.

Every layer that goes through transformers' attention interface is called with a recorder in place of its attention:
it keeps the layer's queries, keys and mask, and returns each token's own values, so that attention mixes nothing.
What mixes positions all the same is no attention, and what changes when tokens and position ids are reversed together
counts positions by itself. The recorder of the mask interface sees the model's mask functions before they become
tensors and evaluates them at far indices, whatever the window is.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from masksynth.errors import Unsupported
from masksynth.torch.transformers_version import require_transformers
from masksynth.torch.window_rows import Reach

TOKENS = 11
"""Tokens of a traced run."""
ROUNDING = 8
"""Units of the last place of the largest entry by which equal rows may differ; of float32 in float64, since models cast to it inside."""
SPAN = 1 << 18
"""A window is looked for up to so many tokens where the model does not say its size."""
NAME = "masksynth_trace"
TENSOR_KEYWORDS = ("position_ids", "s_aux", "position_bias")
"""Tensors that layers give to their attention beside the mask: positions, learned sinks, and the biases that are refused."""


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
        What marked the mask (a ``Reach`` of the model's own, or a mark of ours), or None.
    window : int or None
        The keyword ``sliding_window``, which kernels without masks use.
    biased : bool
        Whether a position bias or a mask that is not ours reached the attention.
    unknown : str or None
        A keyword that holds a tensor and is none of ``TENSOR_KEYWORDS``: keys that the layer chose by itself, say.
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
    """What one run showed.

    Parameters
    ----------
    calls : list of AttentionCall
    outputs : dict of (str, int) to Tensor
        Of each module and each of its calls: the output, where that has one row for each token.
    counting : set of str
        Modules of attention that called ``torch.arange``.
    moved : list of str
        Modules, in order of completion, whose rows of unchanged tokens differ from those of the base run.
    completed : Counter
        How often each of the modules with ``outputs`` was called.
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
    """Run the model with recorders; the model is afterwards as it was.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    inputs : mapping
        The keywords of the call.
    shift : int
        Added to what ``torch.arange`` gives within attention modules.
    base : Trace, optional
        A run of the same tokens but the one in the middle. Rows of the others that differ from it by rounding are set
        to it, since rounding (of experts, whose groups of tokens change) would grow from layer to layer; ``moved``
        names the modules that differ by more.

    Raises
    ------
    Unsupported
        If the run fails.
    """
    found, tokens = Trace(), inputs["input_ids"].shape[1]
    if "output_router_logits" in inspect.signature(model.forward).parameters:
        inputs = {
            **inputs,
            "output_router_logits": False,
        }  # the routers' loss reads the mask of a merged batch in its own way
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating(model))
        stack.enter_context(_recording(model, found))
        for name, module in model.named_modules():
            stack.callback(module.register_forward_hook(_keep_output(found, name, tokens, base)).remove)
        stack.enter_context(_Counting(model, found, shift, stack))
        try:
            model(**inputs)
        except Exception as error:
            words = str(error).strip().split("\n")[0][:200]
            fact = f"{type(model).__name__} fails on {tokens} plain tokens"
            raise Unsupported(f"{fact} ({type(error).__name__}: {words})") from error
    return found


def reach_of(mask_function: Callable[..., Tensor], size: int | None) -> Reach | str:
    """Return which tokens a mask function of transformers lets a token see, or in words why it cannot be said.

    The function is compared with each kind of mask at indices around 0, around multiples of the window or chunk, and
    far beyond.

    Parameters
    ----------
    mask_function : callable
        ``(batch, head, query, key) -> bool``, on index tensors.
    size : int or None
        The window or chunk, where the model says it.
    """
    zero = torch.zeros((), dtype=torch.int64)
    function = _on_cpu(mask_function)

    def allowed(query: Tensor, key: Tensor) -> Tensor:
        result: Tensor = function(zero, zero, query, key)
        return result.expand(len(query), key.shape[1])

    try:
        if size is None:
            far = torch.tensor([[SPAN]])
            seen = allowed(far, torch.arange(SPAN + 1)[None])[0]
            size = None if seen[0] else int(seen.sum())
        query, key = _probes(size)
        values = allowed(query, key)
    except Exception as error:
        return f"its mask function cannot be evaluated ({type(error).__name__})"
    candidates = [Reach(), Reach("bidirectional")]
    if size:  # 0 where a config has no window: such a mask serves no causal layer
        candidates += [Reach(window=size), Reach(chunk=size), Reach("bidirectional", chunk=size)]
    if size is not None:  # last: a causal window of 1 allows what a bidirectional one of 0 does
        candidates += [Reach("bidirectional", window=size), Reach("bidirectional", window=size // 2)]
    for reach in candidates:
        if torch.equal(values, _definition(reach, query, key)):
            return reach
    return "its mask function is none of causal, sliding window, chunk and bidirectional"


def _on_cpu(value: Any) -> Any:
    """Return a mask function whose closure holds tensors on the CPU; those without values (left pads) become 0."""
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value.cpu()
    if isinstance(value, tuple):
        return tuple(_on_cpu(part) for part in value)
    if isinstance(value, FunctionType) and value.__closure__:
        cells = tuple(CellType(_on_cpu(cell.cell_contents)) for cell in value.__closure__)
        return FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
    return value


def _probes(size: int | None) -> tuple[Tensor, Tensor]:
    """Return queries (Q, 1) and keys (1, K) around 0 and around multiples of the size."""
    near = torch.arange(-3, 4)
    step = size or 37
    centres = torch.tensor([0, step // 2, step, 2 * step, 3 * step + 1, 7 * step + step // 3])
    points = torch.unique((centres[:, None] + near).flatten().clamp(min=0))
    points = torch.unique(torch.cat([points, torch.arange(24), *(points + d for d in (step - 1, step, step + 1))]))
    return points[:, None], points[None]


def _definition(reach: Reach, query: Tensor, key: Tensor) -> Tensor:
    allowed = torch.ones(len(query), key.shape[1], dtype=torch.bool)
    if reach.kind == "causal":
        allowed = allowed & (key <= query)
    if reach.window is not None:
        distance = query - key
        allowed = allowed & (distance < reach.window if reach.kind == "causal" else distance.abs() <= reach.window)
    if reach.chunk is not None:
        allowed = allowed & (query // reach.chunk == key // reach.chunk)
    return allowed


def mark_mask(mask: Tensor, mark: Any) -> Tensor:
    """Mark a mask tensor, so that the recorder knows it again in the layer that it reaches."""
    mask.masksynth_mark = mark  # type: ignore[attr-defined]
    return mask


def mark_of(mask: Any) -> Any:
    """Return the mark of a mask, or of the one of which it is a full view (Gemma 4, layers with shared keys)."""
    if isinstance(mask, Tensor) and mask._base is not None and mask._base.shape == mask.shape:
        mask = mask._base
    return getattr(mask, "masksynth_mark", None)


@contextmanager
def _recording(model: torch.nn.Module, found: Trace) -> Iterator[None]:
    """Let the configs of a model name recorders as their attention."""
    transformers = require_transformers()
    from transformers.masking_utils import AttentionMaskInterface

    marked: list[Tensor] = []

    def mask_recorder(batch_size: int, q_length: int, kv_length: int, mask_function: Any, **keywords: Any) -> Tensor:
        device, dtype = keywords.get("device", "cpu"), keywords.get("dtype", torch.float32)
        mask = torch.zeros(batch_size, 1, q_length, kv_length, device=device, dtype=dtype)
        with torch.device("cpu"):
            marked.append(mark_mask(mask, reach_of(mask_function, keywords.get("local_size"))))
        return marked[-1]

    def attention_recorder(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **keywords: Any
    ) -> tuple[Tensor, None]:
        mark = mark_of(attention_mask)
        biased = keywords.get("position_bias") is not None or (attention_mask is not None and mark is None)
        layer = getattr(module, "layer_idx", None)
        number = layer if isinstance(layer, int) else len(found.calls)
        tensors = (
            name for name, given in keywords.items() if isinstance(given, Tensor) and name not in TENSOR_KEYWORDS
        )
        window, unknown = keywords.get("sliding_window"), next(tensors, None)
        found.calls.append(AttentionCall(number, module, (query, key, value), mark, window, biased, unknown))
        own = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
        return own.transpose(1, 2).contiguous(), None

    configs: dict[int, Any] = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
    configs = {key: config for key, config in configs.items() if hasattr(config, "_attn_implementation_internal")}
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    interfaces = (transformers.AttentionInterface, AttentionMaskInterface)
    try:
        interfaces[0].register(NAME, attention_recorder)
        interfaces[1].register(NAME, mask_recorder)
        for config in configs.values():
            config._attn_implementation_internal = NAME
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
        for interface in interfaces:
            interface._global_mapping.pop(NAME, None)


class _Counting(TorchFunctionMode):
    """Notice ``torch.arange`` within attention modules (those with a ``layer_idx``), and shift what it gives."""

    def __init__(self, model: torch.nn.Module, found: Trace, shift: int, stack: ExitStack) -> None:
        super().__init__()
        self.found, self.shift, self.inside = found, shift, list[str]()
        for name, module in model.named_modules():
            if hasattr(module, "layer_idx") and not any(hasattr(part, "layer_idx") for part in module.children()):
                stack.callback(module.register_forward_pre_hook(lambda *_, name=name: self.inside.append(name)).remove)
                leave = module.register_forward_hook(lambda *_: self.inside.pop() and None, always_call=True)
                stack.callback(leave.remove)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.arange and self.inside:
            self.found.counting.add(self.inside[-1])
            return result + self.shift
        return result


def _keep_output(found: Trace, name: str, tokens: int, base: Trace | None) -> Callable[..., Any]:
    """Return a forward hook that keeps a module's output of one row for each token, and compares it with the base."""
    others = [i for i in range(tokens) if i != tokens // 2]

    def hook(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        whole = output
        found.called.add(name)
        for key in ("logits", "last_hidden_state"):
            output = getattr(output, key, output)
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if not isinstance(first, Tensor) or first.ndim < 3 or first.shape[:2] != (1, tokens):
            return None
        call = (name, found.completed[name])
        found.completed[name] += 1
        found.outputs[call] = first.detach().clone()  # Gemma 3n changes an output in place
        if base is None or call not in base.outputs or not first.is_floating_point():
            return None
        expected = base.outputs[call][:, others]
        scale = float(expected.abs().max())
        unit = max(torch.finfo(first.dtype).eps, torch.finfo(torch.float32).eps)
        if not float((first[:, others] - expected).abs().max()) <= ROUNDING * unit * scale:
            found.moved.append(name)
        elif whole is first:
            corrected = first.clone()
            corrected[:, others] = expected
            return corrected
        return None

    return hook


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every module is in the mode that it was in."""
    before = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training
