"""Describe where W_q and W_k of an attention layer are stored, and read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.diagnostics.symmetry.weight_store import Store
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

Intervals = tuple[tuple[int, int], ...]


class Part(NamedTuple):
    """W_q or W_k: some outputs of a tensor, in the order of heads.

    Parameters
    ----------
    name : str
    axis : int
        Axis of the outputs: 0 for a Linear layer, which stores [out, in], 1 for a Conv1D, which stores [in, out].
    outputs : tuple of (start, stop)
        Half-open intervals of the outputs.
    norm : str
        The weight of the norm between this tensor and ``inner``; empty where there is none.
    inner : Part, optional
        The tensor that makes this tensor's inputs, in latent attention.
    """

    name: str
    axis: int
    outputs: Intervals
    norm: str = ""
    inner: Part | None = None

    @property
    def size(self) -> int:
        """Number of outputs."""
        return sum(stop - start for start, stop in self.outputs)


class Attention(NamedTuple):
    """One attention layer: its name, layout, two parts, H and G (0: not known)."""

    name: str
    kind: str
    query: Part
    key: Part
    heads: int = 0
    key_heads: int = 0


def whole(name: str, size: int) -> Part:
    """Return all outputs of a Linear layer."""
    return Part(name, 0, ((0, size),))


def read_parts(store: Store, layer: Attention) -> tuple[Float64Array, Float64Array]:
    """Read W_q (d, H d_h) and W_k (d, G d_h) of a layer: x @ W_q are its queries."""
    if layer.query.name == layer.key.name:  # a fused tensor is read once
        tensor = store.read(layer.query.name)
        return _cut(tensor, layer.query), _cut(tensor, layer.key)
    return _read(store, layer.query), _read(store, layer.key)


def _read(store: Store, part: Part) -> Float64Array:
    outer = _cut(store.read(part.name), part)
    if part.norm:
        outer = store.read(part.norm)[:, None] * outer  # a norm scales each of its outputs, the inputs of this tensor
    return outer if part.inner is None else _read(store, part.inner) @ outer


def _cut(tensor: Float64Array, part: Part) -> Float64Array:
    columns = tensor if part.axis == 1 else tensor.T
    return np.concatenate([columns[:, start:stop] for start, stop in part.outputs], axis=1)


def check_matrix(store: Store, name: str) -> tuple[int, int]:
    """Return the shape of a tensor that is a matrix of floating-point numbers.

    Raises
    ------
    InvalidInstance
        If it is quantised, is not a matrix, or is empty.
    """
    entry = store.entry(name)
    if len(entry.shape) != 2 or 0 in entry.shape:
        fact = f"expected a matrix, got shape {list(entry.shape)}"
        raise InvalidInstance(fact, name, "use weights that are not packed", store.source)
    return entry.shape[0], entry.shape[1]
