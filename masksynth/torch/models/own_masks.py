"""Read the masks that a model makes for its layers by itself, and how a given mask reaches them."""

from __future__ import annotations

from dataclasses import replace

from masksynth.errors import Unsupported
from masksynth.torch.models.architecture import FALLBACK, Architecture, MaskArgument, refuse_merging
from masksynth.torch.models.reach import Reach
from masksynth.torch.models.recorded_runs import RecordedRuns
from masksynth.torch.models.tracing import AttentionCall, Trace


def read_reaches(model: str, first: Trace) -> tuple[Reach, ...]:
    """Return the reach of each layer, from the masks that the model made by itself.

    Parameters
    ----------
    model : str
        The class, for messages.
    first : Trace
        A run with a 2-D mask.
    """
    reaches = dict[int, Reach]()
    for call in first.calls:
        reach = _read_reach(model, call)
        if reaches.setdefault(call.layer, reach) != reach:
            raise refuse_merging(f"layer {call.layer} of {model} attends twice, with different masks")
    return tuple(reaches[layer] for layer in sorted(reaches))


def _read_reach(model: str, call: AttentionCall) -> Reach:
    layer = f"layer {call.layer} ({type(call.module).__name__}) of {model}"
    if call.biased:
        raise refuse_merging(f"{layer} adds a position bias to its mask")
    if call.unknown is not None:
        fact = f"{layer} passes {call.unknown!r} to its attention, which restricts it beyond the mask"
        raise refuse_merging(fact)
    if isinstance(call.mask, Reach):
        return call.mask
    causal = getattr(call.module, "is_causal", None)
    if call.mask is None and call.window is None and isinstance(causal, bool):
        return Reach("causal" if causal else "bidirectional")
    why = call.mask if isinstance(call.mask, str) else "the model gives it no mask"
    raise refuse_merging(f"{layer} is not understood: {why}")


def read_mask_argument(runs: RecordedRuns, record: Architecture) -> tuple[MaskArgument, tuple[str, ...]]:
    """Return how a given mask reaches every layer, and the name of each layer's mask."""
    layers = record.layers
    lost = f"{record.model} does not pass the mask that it is given to every layer"
    one_mask = record.mask_argument == "registered" or len(set(layers)) == 1
    if one_mask and _reaches_every_layer(runs, record, ("",) * len(layers)):
        return record.mask_argument, tuple(str(reach) for reach in layers)
    if record.mask_argument == "registered":
        raise refuse_merging(lost)
    names = _read_mapping_names(runs, record)
    if names is not None:
        return "mapping", names
    if len(set(layers)) == 1:
        raise refuse_merging(f"{lost} and does not take a mapping of masks by layer type")
    fact = f"{record.model} has different masks in its layers and does not take a mapping of masks by layer type"
    raise Unsupported(f"{fact}; call masksynth.torch.use_registered_attention(model) first, or {FALLBACK}")


def _reaches_every_layer(runs: RecordedRuns, record: Architecture, names: tuple[str, ...]) -> bool:
    """Return whether each layer is given the mask of its name, where one tensor is passed."""
    run = runs.run(replace(record, mask_argument="tensor", tables=names))
    mark_of_layer = {call.layer: call.mask for call in run.calls}
    return len(mark_of_layer) == len(names) and tuple(mark_of_layer[layer] for layer in sorted(mark_of_layer)) == names


def _read_mapping_names(runs: RecordedRuns, record: Architecture) -> tuple[str, ...] | None:
    """Return the key of a mapping from which each layer takes its mask; None if the class does not take a mapping."""
    types = getattr(runs.model.config.get_text_config(), "layer_types", None) or ()
    keys = tuple(dict.fromkeys([*types, "full_attention", "sliding_attention", "chunked_attention"]))
    try:
        run = runs.run(replace(record, mask_argument="mapping", tables=keys))
    except Unsupported:
        return None
    key_of_layer = {call.layer: call.mask for call in run.calls}
    names = tuple(key_of_layer[layer] for layer in sorted(key_of_layer))
    pairs = set(zip(names, record.layers, strict=False))
    one_reach_each = len(names) == len(record.layers) and len({name for name, _ in pairs}) == len(pairs)
    return names if one_reach_each and all(name in keys for name in names) else None
