"""Read from a loaded transformers model what a merged batch must know of it, or refuse the model by name.

Nothing is concluded from the name of a class. The model is run on a few tokens with recording attention
(``tracing``), and the record says: which tokens each layer sees by the model's own masks; whether one mask tensor
reaches every layer, a mapping by layer type, or neither; how many dimensions the position ids have. A model in which
anything but attention mixes positions, or which counts positions by itself, is refused with the layer's index and
type.
"""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from masksynth.errors import InvalidInstance, Unsupported
from masksynth.torch.model_check.own_attention import ignores_pads, is_causal, longest_run, read_closed
from masksynth.torch.tracing import TOKENS, AttentionCall, Trace, evaluating, mark_mask, trace
from masksynth.torch.transformers_version import require_transformers
from masksynth.torch.window_rows import Reach

Attention = Literal["sdpa", "eager", "flex"]
MaskArgument = Literal["tensor", "mapping", "registered"]
KINDS: dict[str, Attention] = {"sdpa": "sdpa", "eager": "eager", "flex_attention": "flex"}
IMPLEMENTATIONS = {kind: name for name, kind in KINDS.items()}
REGISTERED = "masksynth_"
"""Before the name of the implementation that a registered attention hands on to."""
ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""By how much of the largest entry queries and keys may differ; rotary tables are float32 in every model."""
FALLBACK = "use Collator(model=model, merge=False), which gives one sample a row"
SMALL = 50_000_000
"""A config of no more parameters is read from a random model; a larger one from a model without values."""
SHIFTS = 20
"""A layer that counts positions by itself is tried at counts shifted by up to two to this power."""


@dataclass(frozen=True)
class Architecture:
    """Frozen record of a model, as far as a merged batch depends on it; picklable, without any weight.

    Parameters
    ----------
    model : str
        The class.
    attention : {"sdpa", "eager", "flex"}
    dtype : torch.dtype
        Of additive masks: the model's own.
    layers : tuple of Reach
        Which tokens each layer sees by the model's own masks.
    tables : tuple of str
        The name of each layer's mask: its layer type where the class takes a mapping.
    mask_argument : {"tensor", "mapping", "registered"}
        Whether ``attention_mask`` is one mask, a mapping of masks by layer type, or one mask for each layer of a
        registered attention.
    position_dimensions : int
        Dimensions of ``position_ids``: 1, or 3 for models of images and video.
    first_position : int
        The position id that the model gives to the first token of a sequence by itself.
    position_limit : int or None
        Batches of more positions are refused, since some layer counts positions by itself and is exact only below.
    rope_limit : int or None
        Where rotary frequencies depend on the longest sequence of the batch: up to this many tokens they do not.
    rope_switch : bool
        Whether beyond that limit they are the same for all lengths (``longrope``).
    merge : bool
        False for a record of a model that takes one sample a row.
    kind : {"causal", "bidirectional"}
        Whether tokens of such a row see earlier tokens only.
    router_loss : bool
        Whether the class has an auxiliary loss of its routers, which weights tokens by ``attention_mask``.
    """

    model: str
    attention: Attention
    dtype: torch.dtype
    layers: tuple[Reach, ...] = ()
    tables: tuple[str, ...] = ()
    mask_argument: MaskArgument = "tensor"
    position_dimensions: int = 1
    first_position: int = 0
    position_limit: int | None = None
    rope_limit: int | None = None
    rope_switch: bool = False
    merge: bool = True
    kind: Literal["causal", "bidirectional"] = "causal"
    router_loss: bool = False

    @property
    def causal(self) -> bool:
        """Whether tokens see only earlier tokens by the model's own masks, in every layer."""
        return all(reach.kind == "causal" for reach in self.layers) and self.kind == "causal"

    @property
    def reaches(self) -> dict[str, Reach]:
        """The distinct masks by name."""
        return dict(zip(self.tables, self.layers, strict=True))

    @property
    def period(self) -> int:
        """P, the length of the shortest layer pattern: layer l has the mask of layer l mod P."""
        return shortest_period(self.layers)


def pads_overflow(attention: str, dtype: torch.dtype) -> bool:
    """Return whether transformers gives NaN for a pad that sees pads only: in float64 and eager attention."""
    return attention == "eager" and dtype == torch.float64


def shortest_period(values: Sequence[Any]) -> int:
    """Return the least P >= 1 with ``values[i] == values[i % P]`` for all i.

    Examples
    --------
    >>> shortest_period("ababa"), shortest_period("aaa"), shortest_period("aab"), shortest_period("")
    (2, 1, 3, 1)
    """
    periods = range(1, max(len(values), 1) + 1)
    return next(p for p in periods if all(values[i] == values[i % p] for i in range(len(values))))


def read_architecture(model: Any, merge: bool = True) -> Architecture:
    """Return the record of a loaded transformers model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Or a wrapper of one: DistributedDataParallel, FullyShardedDataParallel, a compiled module, a PEFT model.
    merge : bool
        Whether samples shall share positions. Without, only what a padded batch needs is read, and no layer is refused.

    Raises
    ------
    InvalidInstance
        If it is no transformers model.
    Unsupported
        Naming what cannot be right in a merged batch.

    Examples
    --------
    >>> from transformers import MistralConfig, MistralForCausalLM
    >>> shape = dict(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> config = MistralConfig(**shape, num_key_value_heads=1, sliding_window=5, attn_implementation="sdpa")
    >>> found = read_architecture(MistralForCausalLM(config))
    >>> found.attention, found.mask_argument, [str(reach) for reach in found.layers]
    ('sdpa', 'tensor', ['causal, window 5', 'causal, window 5'])
    """
    plain = unwrap(model)
    config = _config_of(plain)
    warn_of_dropout(plain)
    return _complete(plain, _plain_record(plain, config, merge))


def architecture_of_config(config: Any, attention: str | None = None, merge: bool = True) -> Architecture:
    """Return the record of the model that a config describes, built without weights.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    attention : {"sdpa", "eager", "flex"}, optional
        By default what the config says, or sdpa.
    merge : bool
        As in ``read_architecture``.

    Raises
    ------
    InvalidInstance
        If it is no config of a known class, or the attention is unknown.
    Unsupported
        Naming what cannot be right, or what a model without values does not show.
    """
    require_transformers()
    own = str(getattr(config, "_attn_implementation", None)).removeprefix(REGISTERED)
    attention = attention or KINDS.get(own, "sdpa")
    if attention not in IMPLEMENTATIONS:
        raise InvalidInstance(f"attention {attention!r} is unknown", "", f"use one of {', '.join(IMPLEMENTATIONS)}")
    plain = _model_of_config(config, IMPLEMENTATIONS[attention])
    warn_of_dropout(plain)
    return _complete(plain, _plain_record(plain, plain.config, merge))


def unwrap(model: Any) -> Any:
    """Return the transformers model within wrappers: compiled, parallel, PEFT.

    Raises
    ------
    Unsupported
        If a wrapper puts tokens of its own before the sequence (prompt and prefix tuning).
    """
    while True:
        if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
            name = type(model).__name__
            raise Unsupported(f"{name} puts learned tokens before the sequence, which no merged row sees")
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        elif isinstance(getattr(model, "module", None), torch.nn.Module):
            model = model.module
        else:
            return model


def warn_of_dropout(model: torch.nn.Module) -> None:
    """Warn if some dropout of a model is above 0: positions that samples share have one draw."""
    for name, module in model.named_modules():
        rates = {key: value for key, value in vars(module).items() if "dropout" in key and isinstance(value, float)}
        rates |= {"p": module.p} if isinstance(module, torch.nn.modules.dropout._DropoutNd) else {}
        for key, rate in rates.items():
            if rate > 0:
                fact = f"{name + '.' if name else ''}{key} of {type(model).__name__} is {rate:g}"
                remedy = "positions shared by samples get one draw of dropout; set dropout to 0 for exactness"
                warnings.warn(f"{fact}: {remedy}", stacklevel=_caller_level())
                return


def _caller_level() -> int:
    """Return the stack level, as seen by who calls this, of the first frame outside masksynth."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("masksynth."):
        level, frame = level + 1, frame.f_back
    return level


def _config_of(model: Any) -> Any:
    transformers = require_transformers()
    config = getattr(model, "config", None)
    if not isinstance(model, torch.nn.Module) or not isinstance(config, transformers.PreTrainedConfig):
        remedy = 'give a transformers model, or Collator("sdpa", attention_window=...) without one'
        raise InvalidInstance(f"{type(model).__name__} is no model of transformers", "", remedy)
    if getattr(config, "is_encoder_decoder", False):
        raise Unsupported(f"{type(model).__name__} is an encoder with a decoder: a merged batch is one sequence")
    return config


def _plain_record(model: Any, config: Any, merge: bool) -> Architecture:
    """Return what needs no run: attention, dtype, position ids."""
    name = str(config.get_text_config()._attn_implementation)
    kind = KINDS.get(name.removeprefix(REGISTERED))
    if kind is None and merge:
        remedy = "load the model with attn_implementation='sdpa', 'eager' or 'flex_attention'"
        raise Unsupported(f"attention {name!r} of {type(model).__name__} takes no mask of single pairs; {remedy}")
    limit, switch = _rope_limit(config.get_text_config())
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return Architecture(
        model=type(model).__name__,
        attention=kind or "sdpa",
        dtype=dtype,
        mask_argument="registered" if name.startswith(REGISTERED) else "tensor",
        rope_limit=limit,
        rope_switch=switch,
        merge=merge,
        router_loss="output_router_logits" in inspect.signature(model.forward).parameters,
    )


def _rope_limit(config: Any) -> tuple[int | None, bool]:
    """Return (length beyond which rotary frequencies are others, whether they are the same for all such lengths)."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, Mapping)] or [parameters]
    limits, kinds = [], set()
    for part in nested:
        if part.get("rope_type") in ("dynamic", "longrope"):
            kinds.add(part["rope_type"])
            name = "original_max_position_embeddings"
            limits.append(part.get(name) or getattr(config, name, None) or config.max_position_embeddings)
    return min(limits, default=None), kinds == {"longrope"} and len(set(limits)) == 1


def _model_of_config(config: Any, implementation: str) -> Any:
    """Return the model of a config: its class by ``architectures``, else the causal model, else the plain one.

    Without values (on the meta device) where it is large.
    """
    transformers = require_transformers()
    if not isinstance(config, transformers.PreTrainedConfig):
        raise InvalidInstance(f"{type(config).__name__} is no config of transformers", "", "give model.config")
    own = copy.deepcopy(config)
    own._attn_implementation = implementation
    empty = copy.deepcopy(own)
    empty._experts_implementation = "batched_mm"  # other experts look at values, which the model does not have
    with torch.device("meta"):
        model = _build(transformers, empty)
    if sum(parameter.numel() for parameter in model.parameters()) > SMALL:
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _build(transformers, own)


def _build(transformers: Any, config: Any) -> Any:
    """Return the model of a config."""
    named = [getattr(transformers, name, None) for name in getattr(config, "architectures", None) or ()]
    reason = "no class is known for it"
    for build in (*(part._from_config for part in named if part is not None), *_automatic(transformers)):
        try:
            return build(copy.deepcopy(config)).eval()
        except (ValueError, ImportError) as error:
            reason = str(error).strip().split("\n")[0]
    raise Unsupported(f"no model of transformers can be made of {type(config).__name__}: {reason}")


def _automatic(transformers: Any) -> list[Any]:
    return [partial(auto.from_config) for auto in (transformers.AutoModelForCausalLM, transformers.AutoModel)]


def _complete(model: Any, record: Architecture) -> Architecture:
    """Return the record with what runs on a few tokens show; refuse what they do not explain."""
    reader = _Reader(model, record)
    return reader.read() if record.merge else reader.read_rows()


@dataclass
class _Reader:
    """The runs of one model, and what is concluded from each."""

    model: Any
    record: Architecture
    first: Trace = field(default_factory=Trace)

    def read(self) -> Architecture:
        """Run after run; each refusal names a layer."""
        try:
            self.first = trace(self.model, {"input_ids": self.ids(), "attention_mask": self.ones(), "use_cache": False})
        except Unsupported:
            _refuse_convolutions(self.model, {name for name, _ in self.model.named_modules()})  # the better reason
            raise
        _refuse_convolutions(self.model, self.first.called)
        if not self.first.calls:
            return self._read_closed()
        self._refuse_silent_layers()
        layers = self._layers()
        record = replace_record(self.record, layers=layers, first_position=self._first_position())
        argument, tables = self._mask_argument(record)
        record = replace_record(record, mask_argument=argument, tables=tables)
        if not self.on_meta:
            self._refuse_mixing(record)
            self._refuse_counting(record)
        limit, dimensions = self._position_limit(record), self._dimensions(record)
        return replace_record(record, position_limit=limit, position_dimensions=dimensions)

    def _read_closed(self) -> Architecture:
        """Read a model whose attention is its own code."""
        if self.on_meta:
            fact = f"{self.record.model} has attention of its own, which a config does not show"
            raise Unsupported(f"{fact}; give the loaded model")
        if self.record.attention == "flex":
            raise _unmergeable(f"{self.record.model} has attention of its own, which takes no BlockMask")
        dtype = self.record.dtype
        with evaluating(self.model):
            ids, items = self.ids()[0], _items_of(self.model.config)
            reach = read_closed(self.model, self.record.attention == "eager", ids, ROUNDING.get(dtype, 1e-1), items)
        if isinstance(reach, str):
            raise _unmergeable(f"{self.name_layer(_first_layer(self.model))} of {self.record.model} {reach}")
        count = self.model.config.get_text_config().num_hidden_layers
        return replace_record(self.record, layers=(reach,) * count, tables=(str(reach),) * count)

    def read_rows(self) -> Architecture:
        """Read what padded rows of one sample each need: whether tokens see only earlier ones, and that pads change nothing."""
        name, plain = self.record.model, {"input_ids": self.ids(), "attention_mask": self.ones(), "use_cache": False}
        if self.on_meta or self.record.attention == "flex":  # flex would be compiled for these few tokens
            reaches = [call.mask for call in trace(self.model, plain).calls]
            bidirectional = any(isinstance(reach, Reach) and reach.kind == "bidirectional" for reach in reaches)
            return replace_record(self.record, kind="bidirectional" if bidirectional else "causal")
        try:
            with evaluating(self.model), torch.no_grad():
                causal = is_causal(self.model, self.ids()[0])
                overflows = pads_overflow(self.record.attention, self.record.dtype)
                same = ignores_pads(
                    self.model, self.ids()[0], not (causal and overflows), ROUNDING.get(self.record.dtype, 1e-1)
                )
        except Exception as error:
            words = str(error).strip().split("\n")[0][:200]
            raise Unsupported(f"{name} fails on {TOKENS} plain tokens: {words}") from error
        if overflows and not causal:
            reaches = [call.mask for call in trace(self.model, plain).calls]
            if any(isinstance(reach, Reach) and reach.limited for reach in reaches):
                fact = f"eager attention of {name} in float64 gives NaN for pads that see no token in their window"
                raise Unsupported(f"{fact}; load the model with attn_implementation='sdpa'")
        if not same:
            fact = f"{name} gives a padded row other outputs than its sample alone"
            raise Unsupported(f"{fact}; train it on one sample a batch, without masksynth")
        return replace_record(self.record, kind="causal" if causal else "bidirectional")

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def on_meta(self) -> bool:
        return self.device.type == "meta"

    @property
    def takes_positions(self) -> bool:
        """Whether the model has the keyword ``position_ids``, or hands on any keyword."""
        parameters = inspect.signature(self.model.forward).parameters.values()
        return any(part.name == "position_ids" or part.kind is part.VAR_KEYWORD for part in parameters)

    def ids(self) -> Tensor:
        """Return token ids that no config names as special, all different where the vocabulary allows."""
        size = self.model.get_input_embeddings().num_embeddings
        values = (value for value in _numbers_of(self.model.config))
        special = {number for number in values if 0 <= number < size}
        plain = [token for token in range(size) if token not in special] or list(range(size))
        return torch.tensor([[plain[(5 * i + 2) % len(plain)] for i in range(TOKENS)]], device=self.device)

    def ones(self) -> Tensor:
        return torch.ones(1, TOKENS, dtype=torch.long, device=self.device)

    def positions(self) -> Tensor:
        return torch.arange(TOKENS, device=self.device)[None]

    def mask(self, mark: Any, size: int = TOKENS) -> Tensor:
        kind = torch.bool if self.record.attention == "sdpa" else self.record.dtype
        return mark_mask(torch.zeros(1, 1, size, size, dtype=kind, device=self.device), mark)

    def run(self, record: Architecture, change: Mapping[str, Any] | None = None, **options: Any) -> Trace:
        """Run as a merged batch would; ``options`` are those of ``trace``."""
        inputs = {"input_ids": self.ids(), "position_ids": self.positions() + record.first_position, **(change or {})}
        names = dict.fromkeys(record.tables or ("",))
        masks = {name: self.mask(name, inputs["input_ids"].shape[1]) for name in names}
        mask = masks if record.mask_argument == "mapping" else next(iter(masks.values()))
        return trace(self.model, {**inputs, "attention_mask": mask, "use_cache": False}, **options)

    def name_layer(self, module: str) -> str:
        """Return "layer 3 (Lfm2ShortConv, layer type 'conv')" of the module with that name."""
        number = next((int(part) for part in module.split(".") if part.isdigit()), None)
        kind = type(self.model.get_submodule(module)).__name__
        types = getattr(self.model.config.get_text_config(), "layer_types", None) or ()
        label = f", layer type {types[number]!r}" if number is not None and number < len(types) else ""
        return f"{'the model' if number is None else f'layer {number}'} ({kind}{label})"

    def _refuse_silent_layers(self) -> None:
        """Refuse layers whose attention interface was never called, where no run with values shows what they do."""
        names = {id(module): name for name, module in self.model.named_modules()}
        used = [names[id(call.module)] for call in self.first.calls]
        stacks = {name.rpartition(".")[0] for part in used for name in _numbered_prefixes(part)}
        for stack in stacks:
            for number, layer in enumerate(self.model.get_submodule(stack)):
                own = f"{stack}.{number}"
                if self.on_meta and not any(part == own or part.startswith(own + ".") for part in used):
                    kind = _mixer_of(layer)
                    raise _unmergeable(f"{self.name_layer(f'{own}.{kind}' if kind else own)} goes through no attention")

    def _layers(self) -> tuple[Reach, ...]:
        """Return the reach of each layer, from the masks that the model made itself."""
        reaches = dict[int, Reach]()
        for call in self.first.calls:
            reach = self._reach(call)
            if reaches.setdefault(call.layer, reach) != reach:
                raise _unmergeable(f"layer {call.layer} of {self.record.model} attends twice, with different masks")
        return tuple(reaches[layer] for layer in sorted(reaches))

    def _reach(self, call: AttentionCall) -> Reach:
        layer = f"layer {call.layer} ({type(call.module).__name__}) of {self.record.model}"
        if call.biased:
            raise _unmergeable(f"{layer} adds a position bias to its mask")
        if call.unknown is not None:
            raise _unmergeable(
                f"{layer} gives its attention {call.unknown!r} beside the mask, which then is not all it sees"
            )
        if isinstance(call.mask, Reach):
            return call.mask
        causal = getattr(call.module, "is_causal", None)
        if call.mask is None and call.window is None and isinstance(causal, bool):
            return Reach("causal" if causal else "bidirectional")
        why = call.mask if isinstance(call.mask, str) else "the model gives it no mask"
        raise _unmergeable(f"{layer} is not understood: {why}")

    def _first_position(self) -> int:
        """Return the position id that the model gives to its first token: 0, or behind the padding id as in RoBERTa."""
        if self.on_meta and any(_hides_offset(name, part) for name, part in self.model.named_modules()):
            fact = f"the first position id of {self.record.model} is not in its config"
            raise Unsupported(f"{fact}; give the loaded model")
        if self.on_meta or not self.takes_positions:
            return 0
        pad = getattr(self.model.config, "pad_token_id", None)
        offsets = [0] if not isinstance(pad, int) or pad < 0 else [0, pad + 1]
        for offset in offsets:
            inputs = {"input_ids": self.ids(), "attention_mask": self.ones(), "position_ids": self.positions() + offset}
            if self._equal(trace(self.model, {**inputs, "use_cache": False}), self.first) is None:
                return offset
        raise _unmergeable(f"{self.record.model} gives its tokens other positions than 0, 1, 2, ... by itself")

    def _mask_argument(self, record: Architecture) -> tuple[MaskArgument, tuple[str, ...]]:
        """Return how masks reach every layer, and the name of each layer's mask."""
        layers = record.layers
        lost = f"{record.model} does not hand on the mask that it is given to every layer"
        one_mask = record.mask_argument == "registered" or len(set(layers)) == 1
        if one_mask and self._reached(record, ("",) * len(layers)):
            return record.mask_argument, tuple(str(reach) for reach in layers)
        if record.mask_argument == "registered":
            raise _unmergeable(lost)
        named = self._mapping_names(record)
        if named is not None:
            return "mapping", named
        if len(set(layers)) == 1:
            raise _unmergeable(f"{lost} and takes no mapping of masks by layer type")
        fact = f"{record.model} has different masks in its layers and takes no mapping of masks by layer type"
        raise Unsupported(f"{fact}; call masksynth.torch.use_registered_attention(model) first, or {FALLBACK}")

    def _reached(self, record: Architecture, names: tuple[str, ...], argument: MaskArgument = "tensor") -> bool:
        """Whether each layer is given the mask of its name."""
        tried = self.run(replace_record(record, mask_argument=argument, tables=names))
        by_layer = {call.layer: call.mask for call in tried.calls}
        return len(by_layer) == len(names) and tuple(by_layer[layer] for layer in sorted(by_layer)) == names

    def _mapping_names(self, record: Architecture) -> tuple[str, ...] | None:
        """Return the key of a mapping from which each layer takes its mask; None if the class takes no mapping."""
        types = getattr(self.model.config.get_text_config(), "layer_types", None) or ()
        keys = tuple(dict.fromkeys([*types, "full_attention", "sliding_attention", "chunked_attention"]))
        try:
            tried = self.run(replace_record(record, mask_argument="mapping", tables=keys))
        except Unsupported:
            return None
        names = {call.layer: call.mask for call in tried.calls}
        ordered = tuple(names[layer] for layer in sorted(names))
        pairs = set(zip(ordered, record.layers, strict=False))
        clear = len(ordered) == len(record.layers) and len({name for name, _ in pairs}) == len(pairs)
        return ordered if clear and all(name in keys for name in ordered) else None

    def _refuse_mixing(self, record: Architecture) -> None:
        """Refuse what moves other tokens' rows although attention mixes nothing."""
        middle = TOKENS // 2
        ids = self.ids()
        ids[0, middle] = ids[0, (middle + 1) % TOKENS]
        base = self.run(record)
        if not all(bool(torch.isfinite(output).all()) for output in base.outputs.values()):
            raise Unsupported(
                f"{record.model} gives outputs that are not finite on {TOKENS} plain tokens; look for NaN among its weights"
            )
        moved = self.run(record, {"input_ids": ids}, base=base).moved
        if moved:  # modules complete before what holds them: the first is the innermost
            where = self.name_layer(_part_of_layer(moved[0]))
            raise _unmergeable(f"{where} of {record.model} mixes positions without a mask")

    def _refuse_counting(self, record: Architecture) -> None:
        """Refuse what depends on where a token stands in the sequence beside its position id."""
        if not self.takes_positions:
            raise _unmergeable(f"{record.model} takes no position_ids, which branches of a merged batch need")
        base, ids, positions = self.run(record), self.ids(), self.positions() + record.first_position
        where = self._differ(
            self.run(record, {"input_ids": ids.flip(1), "position_ids": positions.flip(1)}), base, _reverse
        )
        if where is not None:
            raise _unmergeable(f"{where} of {record.model} counts positions by itself instead of reading position_ids")
        count = longest_run(_items_of(self.model.config)) // TOKENS
        repeated = {"input_ids": ids.repeat(1, count), "position_ids": positions.repeat(1, count)}
        where = self._differ(self.run(record, repeated), base, partial(_repeat, count))
        if where is not None:
            fact = f"{where} of {record.model} treats a token otherwise in a longer sequence"
            raise Unsupported(f"{fact}; use Collator(model=model, merge=False) on batches of one sample")

    def _position_limit(self, record: Architecture) -> int | None:
        """Return up to how many positions layers that count them are not changed by the count; None for any number."""
        base = self.run(record)
        if not base.counting:
            return None
        if self.on_meta:
            where = self.name_layer(sorted(base.counting)[0])
            fact = f"{where} of {record.model} counts positions by itself, and a config does not show how"
            raise Unsupported(f"{fact}; give the loaded model")
        limit = 0
        for power in range(4, SHIFTS):
            shifted = self.run(record, shift=2**power)
            if self._equal(shifted, base) is not None:
                break
            limit = 2**power
        else:
            return None
        if limit <= TOKENS:
            where = self.name_layer(sorted(base.counting)[0])
            raise _unmergeable(f"{where} of {record.model} counts positions by itself")
        return limit

    def _dimensions(self, record: Architecture) -> int:
        """Return D, the number of dimensions of the position ids: of D equal ones queries and keys are those of one."""
        sections = [value for key, value in _items_of(self.model.config) if key == "mrope_section"]
        count = max((len(value) for value in sections if isinstance(value, Sequence)), default=1)
        if count == 1 or self.on_meta:
            return count
        single = self.run(record)
        same = self.positions().expand(count, 1, TOKENS)
        if self._equal(self.run(record, {"position_ids": same}), single) is not None:
            fact = f"{record.model} has {count} dimensions of position ids"
            raise _unmergeable(f"{fact}, but does not take [{count}, 1, N]")
        return count

    def _equal(self, left: Trace, right: Trace, align: Align | None = None) -> str | None:
        """Return None if queries, keys and values are equal to rounding, else the first layer where they are not.

        ``align`` brings what ``right`` has, with tokens along a given dimension, into the order of ``left``.
        """
        names = {id(module): name for name, module in self.model.named_modules()}
        for a, b in zip(left.calls, right.calls, strict=True):
            for x, y in zip(a.states, b.states, strict=True):
                if not _is_close(x, y if align is None else align(y, 2)):
                    return self.name_layer(names[id(a.module)])
        return None

    def _differ(self, left: Trace, right: Trace, align: Align) -> str | None:
        """Return the first layer whose queries, keys or values differ, or the model if only its outputs do, or None."""
        whole = ("", 0)
        where = self._equal(left, right, align)
        if where is None and whole in left.outputs and whole in right.outputs:
            equal = _is_close(left.outputs[whole], align(right.outputs[whole], 1))
            where = None if equal else self.name_layer("")
        return where


Align = Callable[[Tensor, int], Tensor]


def _reverse(values: Tensor, dim: int) -> Tensor:
    return values.flip(dim)


def _repeat(count: int, values: Tensor, dim: int) -> Tensor:
    return torch.cat([values] * count, dim)


def _is_close(x: Tensor, y: Tensor) -> bool:
    """Return whether two tensors are equal to rounding; those without values are."""
    if x.is_meta:
        return True
    scale = max(float(y.abs().max()), 1e-9)
    return float((x - y).abs().max()) <= ROUNDING.get(y.dtype, 1e-1) * scale


def _unmergeable(fact: str) -> Unsupported:
    """Return the refusal of a model, with the way that remains."""
    return Unsupported(f"{fact}; {FALLBACK}")


def replace_record(record: Architecture, **changes: Any) -> Architecture:
    """Return the record with some fields changed."""
    values: dict[str, Any] = {**vars(record), **changes}
    return Architecture(**values)


def _refuse_convolutions(model: Any, called: Collection[str]) -> None:
    """Refuse convolutions and recurrences in layers that a text calls; their weights may hide what they mix."""
    types = getattr(model.config.get_text_config(), "layer_types", None) or ()
    for name, module in model.named_modules():
        numbers = [int(part) for part in name.split(".") if part.isdigit()]
        if not numbers or name.rpartition(".")[0] not in called:
            continue
        if isinstance(module, (torch.nn.modules.conv._ConvNd, torch.nn.RNNBase)) and _width(module) > 1:
            holder = type(model.get_submodule(name.rpartition(".")[0])).__name__
            label = f", layer type {types[numbers[0]]!r}" if numbers[0] < len(types) else ""
            where = f"layer {numbers[0]} ({holder}{label}) of {type(model).__name__}"
            raise _unmergeable(f"{where} mixes positions without a mask")


def _hides_offset(name: str, module: torch.nn.Module) -> bool:
    """Whether a module embeds positions beside a padding position, as in RoBERTa: positions then begin behind it."""
    return isinstance(module, torch.nn.Embedding) and "position" in name and module.padding_idx is not None


def _width(module: Any) -> int:
    """Return how many neighbours a convolution reads; a recurrence reads all."""
    return int(np.prod(module.kernel_size)) if hasattr(module, "kernel_size") else 2


def _first_layer(model: torch.nn.Module) -> str:
    """Return the name of the part that may mix positions in the first layer of a model."""
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, torch.nn.ModuleList)]
    name, layers = max(lists, key=lambda pair: len(pair[1]), default=("", None))
    if not layers:
        return ""
    mixer = _mixer_of(layers[0])
    return f"{name}.0.{mixer}" if mixer else f"{name}.0"


def _mixer_of(layer: torch.nn.Module) -> str:
    """Return the name of the part of a layer that may mix positions: the first that is no norm and no feed-forward."""
    plain = ("norm", "mlp", "moe", "feed_forward", "dropout", "experts")
    parts = ((name, f"{name} {type(part).__name__}".lower()) for name, part in layer.named_children())
    return next((name for name, words in parts if not any(word in words for word in plain)), "")


def _part_of_layer(name: str) -> str:
    """Return the name of the part of a layer that holds a module: up to one word behind the first number."""
    parts = name.split(".")
    return ".".join(parts[: next((i + 2 for i, part in enumerate(parts) if part.isdigit()), len(parts))])


def _numbered_prefixes(name: str) -> list[str]:
    """Return the parts of a module's name up to its first number."""
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return [".".join(parts[: numbers[0] + 1])] if numbers else []


def _items_of(config: Any) -> list[tuple[str, Any]]:
    """Return all (key, value) of a config and what is nested in it."""
    found: list[tuple[str, Any]] = []
    queue: list[Any] = [config.to_dict()]
    while queue:
        for key, value in queue.pop().items():
            found.append((str(key), value))
            if isinstance(value, Mapping):
                queue.append(value)
    return found


def _numbers_of(config: Any) -> list[int]:
    """Return all token ids that a config names: of padding, beginning, images."""
    named = (value for key, value in _items_of(config) if key.endswith(("token_id", "token_index")))
    return [value for value in named if isinstance(value, int)]
