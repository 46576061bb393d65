"""Score a model's attention weights, layer by layer and head by head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.attention_parts import Attention, read_parts
from masksynth.diagnostics.symmetry.checkpoint_layout import attentions
from masksynth.diagnostics.symmetry.heads import head_measures, layer_measures
from masksynth.diagnostics.symmetry.scores import GAMMA, MODES, check_mode
from masksynth.diagnostics.symmetry.statements import OF_WEIGHTS
from masksynth.diagnostics.symmetry.weight_notes import weight_notes
from masksynth.diagnostics.symmetry.weight_store import Store, open_checkpoint, store_of


@dataclass(frozen=True)
class LayerScores:
    """Scores of one layer.

    Parameters
    ----------
    name, kind : str
        As in the checkpoint; ``kind`` is the layout.
    heads, key_heads, head_dim : int or None
        H, G and d_h; None where they are unknown.
    symmetry, directionality : float or None
        Scores of the sum over heads; None where the weights are zero.
    head_symmetry, head_directionality : tuple
        Scores of each head; empty where the heads are not known.
    directionality_sum, directionality_excess : float or None
        Directionality in both modes; ``directionality`` is one of them.
    head_directionality_sum, head_directionality_excess : tuple
        The same of each head.
    """

    name: str
    kind: str
    heads: int | None
    key_heads: int | None
    head_dim: int | None
    symmetry: float | None
    directionality: float | None
    head_symmetry: tuple[float | None, ...]
    head_directionality: tuple[float | None, ...]
    directionality_sum: float | None = None
    directionality_excess: float | None = None
    head_directionality_sum: tuple[float | None, ...] = ()
    head_directionality_excess: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class WeightDiagnosis:
    """Symmetry and directionality of every layer of a model.

    Parameters
    ----------
    source : str
    mode : str
        ``sum`` or ``excess``.
    gamma : float
    layers : tuple of LayerScores
    symmetry, directionality : float or None
        Medians over the layers.
    notes : tuple of str
        What the scores leave out.
    directionality_sum, directionality_excess : float or None
        Medians over the layers in both modes.
    """

    source: str
    mode: str
    gamma: float
    layers: tuple[LayerScores, ...]
    symmetry: float | None
    directionality: float | None
    notes: tuple[str, ...]
    directionality_sum: float | None = None
    directionality_excess: float | None = None

    def record(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return {"diagnosis": "symmetry of weights", **asdict(self), "statements": [one._asdict() for one in OF_WEIGHTS]}


def diagnose_weights(
    weights: str | Path | Mapping[str, ArrayLike] | Store,
    *,
    mode: str = "sum",
    gamma: float = GAMMA,
    head_dim: int | None = None,
    config: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> WeightDiagnosis:
    """Score W_qk = sum_h W_q,h W_k,g(h)^T in every layer, and of every head.

    Parameters
    ----------
    weights : path, mapping of names to arrays, or Store
        A checkpoint (.safetensors, ``*.safetensors.index.json``, a folder, .npz), or its tensors by name.
    mode : {"sum", "excess"}
        How ``directionality`` weighs outliers; ``directionality_sum`` and ``directionality_excess`` are there in any
        case. Published figures are in mode excess.
    gamma : float
        Standard deviations above the mean from which a norm is an outlier.
    head_dim : int, optional
        d_h, where config.json does not contain it.
    config : mapping, optional
        The content of config.json, for arrays.
    progress : callable
        Called with layers done and all layers.

    Raises
    ------
    InvalidInstance
        If the layout is not known, weights are quantised or not finite, or an option makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> key = np.random.default_rng(0).normal(size=(8, 8))
    >>> found = diagnose_weights({"layer.0.attention.self.query.weight": key, "layer.0.attention.self.key.weight": key})
    >>> found.layers[0].kind, round(found.symmetry, 12)
    ('BERT', 1.0)
    """
    check_mode(mode, gamma)
    store = _store(weights, config)
    result = attentions(store, head_dim)
    layers = []
    for done, layer in enumerate(result):
        progress(done, len(result))
        layers.append(_layer(store, layer, mode, gamma))
    s, by_sum, by_excess = (
        _median([getattr(layer, name) for layer in layers])
        for name in ("symmetry", "directionality_sum", "directionality_excess")
    )
    chosen = by_sum if mode == "sum" else by_excess
    notes = weight_notes(store, result)
    return WeightDiagnosis(store.source, mode, float(gamma), tuple(layers), s, chosen, notes, by_sum, by_excess)


def _store(weights: str | Path | Mapping[str, ArrayLike] | Store, config: Mapping[str, Any] | None) -> Store:
    if isinstance(weights, Store):
        return weights
    return open_checkpoint(weights) if isinstance(weights, str | Path) else store_of(weights, config)


def _layer(store: Store, layer: Attention, mode: str, gamma: float) -> LayerScores:
    query, key = read_parts(store, layer)
    heads, shared = layer.heads or None, layer.key_heads or None
    combined = layer_measures(query, key, heads, shared)
    each = head_measures(query, key, heads, shared) if heads else ()
    by_mode = {name: combined.directionality(name, gamma) for name in MODES}
    heads_by_mode = {name: tuple(head.directionality(name, gamma) for head in each) for name in MODES}
    return LayerScores(
        layer.name,
        layer.kind,
        heads,
        shared,
        query.shape[1] // heads if heads else None,
        combined.symmetry,
        by_mode[mode],
        tuple(head.symmetry for head in each),
        heads_by_mode[mode],
        by_mode["sum"],
        by_mode["excess"],
        heads_by_mode["sum"],
        heads_by_mode["excess"],
    )


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
