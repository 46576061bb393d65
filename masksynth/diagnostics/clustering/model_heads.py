"""Take Q, K, V of the particle system from the attention heads of a checkpoint, and the spectra of all V.

Head h scores <W_q,h x, W_k,g(h) y> / sqrt(d_h) and adds W_o,h W_v,g(h) y. Biases and the gains of norms are left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from masksynth.diagnostics.clustering.value_spectrum import Spectrum, spectrum_record, value_spectrum
from masksynth.diagnostics.symmetry.attention_parts import Attention, Part, read_parts, whole
from masksynth.diagnostics.symmetry.checkpoint_layout import attentions
from masksynth.diagnostics.symmetry.weight_store import Store, open_checkpoint
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask.typing import Float64Array

VALUES = (("query", "value"), ("q_lin", "v_lin"), ("q_proj", "v_proj"), ("SelfAttention.q", "SelfAttention.v"))
"""Ends of the names of query and value weights."""
OUTPUTS = (
    *("self>output.dense", "attention>output.dense", ">out_lin", ">o_proj", ">out_proj", ">SelfAttention.o", ">dense"),
    *(
        "c_attn>c_proj",
        "Wqkv>Wo",
        "query_key_value>dense",
        "qkv_proj>o_proj",
        "qkv_proj>out_proj",
        "qkv>proj",
        "wqkv>wo",
    ),
)
"""How the name of a layer ends > what stands there in the name of its output weights."""


@dataclass(frozen=True, eq=False)
class Head:
    """One head as matrices for column vectors: scores <Q x, K y> / sqrt(width), values V y.

    Parameters
    ----------
    query, key : (width, d)
    value : (d, d)
    width : int
        d_h.
    name : str
        Layer, and number of the head.
    """

    query: Float64Array
    key: Float64Array
    value: Float64Array
    width: int
    name: str


@dataclass(frozen=True)
class HeadSpectrum:
    """Eigenvalues of V of one head on its d_h-dimensional range; all others of the d are 0."""

    layer: int
    head: int
    spectrum: Spectrum

    def record(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**asdict(self), "spectrum": spectrum_record(self.spectrum)}


def read_head(checkpoint: str | Path, layer: int, head: int) -> Head:
    """Read Q, K, V of a head; layers and heads count from 0.

    Raises
    ------
    InvalidInstance
        If there is no such layer or head, or the checkpoint is not of a known layout.
    Unsupported
        If the number of heads or the place of the values is not known.
    """
    store = open_checkpoint(checkpoint)
    found = attentions(store)
    if not 0 <= layer < len(found):
        raise InvalidInstance(f"has layers 0 to {len(found) - 1}, not {layer}", "", "give one of them", store.source)
    chosen = _checked(store, found[layer])
    if not 0 <= head < chosen.heads:
        raise InvalidInstance(f"has heads 0 to {chosen.heads - 1}, not {head}", chosen.name, "", store.source)
    query, key = read_parts(store, chosen)
    value, output = _values(store, chosen)
    width, shared = query.shape[1] // chosen.heads, head // (chosen.heads // chosen.key_heads)
    own, other = slice(head * width, (head + 1) * width), slice(shared * width, (shared + 1) * width)
    of_value, of_output = _slices(value, output, chosen, head)
    name = f"{chosen.name}, head {head}"
    return Head(query[:, own].T, key[:, other].T, (of_value @ of_output).T, width, name)


def head_spectra(checkpoint: str | Path) -> tuple[HeadSpectrum, ...]:
    """Return the spectrum of V = W_o,h W_v,g(h) for every head of a checkpoint, layer after layer.

    The eigenvalues other than 0 are those of the d_h x d_h product in the other order, which is what is computed.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``read_head``.
    """
    store = open_checkpoint(checkpoint)
    result = []
    for number, layer in enumerate(attentions(store)):
        chosen = _checked(store, layer)
        value, output = _values(store, chosen)
        for head in range(chosen.heads):
            of_value, of_output = _slices(value, output, chosen, head)
            result.append(HeadSpectrum(number, head, value_spectrum(of_output @ of_value)))
    return tuple(result)


def _checked(store: Store, layer: Attention) -> Attention:
    if not layer.heads:
        fact = f"{store.source}: the number of heads of {layer.name} is not known"
        raise Unsupported(f"{fact}; put config.json next to the weights")
    if layer.query.inner is not None or layer.key.inner is not None:
        raise Unsupported(f"{store.source}: {layer.name} is latent attention, whose values are not read here")
    return layer


def _slices(
    value: Float64Array, output: Float64Array, layer: Attention, head: int
) -> tuple[Float64Array, Float64Array]:
    """Return W_v (d, d_v) and W_o (d_v, d) of one head."""
    width, shared = output.shape[0] // layer.heads, head // (layer.heads // layer.key_heads)
    return value[:, shared * width : (shared + 1) * width], output[head * width : (head + 1) * width]


def _values(store: Store, layer: Attention) -> tuple[Float64Array, Float64Array]:
    """Read W_v (d, G d_v) and W_o (H d_v, d) of a layer."""
    part = _value_part(store, layer)
    values, _ = read_parts(store, layer._replace(query=part, key=part))
    name = _output_name(store, layer)
    output = store.read(name)
    output = output if layer.query.axis == 1 else output.T
    heads, rest = divmod(values.shape[1], layer.key_heads)
    if rest or output.shape != (heads * layer.heads, values.shape[0]):
        fact = f"has shape {list(output.shape)} for values {list(values.shape)} of {layer.heads} heads"
        raise InvalidInstance(fact, name, "use a complete checkpoint", store.source)
    return values, output


def _value_part(store: Store, layer: Attention) -> Part:
    if layer.query.name == layer.key.name:
        return layer.query._replace(outputs=_after(layer.query, layer.key))
    for query, value in VALUES:
        name = f"{layer.query.name.removesuffix(f'{query}.weight')}{value}.weight"
        if layer.query.name.endswith(f"{query}.weight") and name in store.entries:
            return whole(name, store.entries[name].shape[0])
    raise Unsupported(f"{store.source}: no value weights beside {layer.query.name}; known ends: {dict(VALUES)}")


def _after(query: Part, key: Part) -> tuple[tuple[int, int], ...]:
    """Return the outputs of a fused tensor that are values: after the keys, or between queries and keys (CodeGen)."""
    pairs = zip(query.outputs, key.outputs, strict=True)
    return tuple((k[1], 2 * k[1] - k[0]) if k[0] == q[1] else (q[1], k[0]) for q, k in pairs)


def _output_name(store: Store, layer: Attention) -> str:
    for rule in OUTPUTS:
        end, new = rule.split(">")
        stem = layer.name.removesuffix(end).rstrip(".")
        name = f"{stem}.{new}.weight" if stem else f"{new}.weight"
        if layer.name.endswith(end) and name in store.entries:
            return name
    raise Unsupported(f"{store.source}: no output weights of {layer.name}; known: {', '.join(OUTPUTS)}")
