"""Check queries, keys, values and position embeddings, and express scores as dot products."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masksynth.diagnostics.hierarchy.tree import Tree
from masksynth.errors import InvalidInstance

FloatArray = NDArray[np.floating[Any]]
SCORES = ("dot", "distance")


class Inputs(NamedTuple):
    """Scores ``scale q[i] . k[j] + eps[A] . eps[B]``, A and B the highest distinct ancestors of i and j.

    psi = -score.
    """

    q: FloatArray
    k: FloatArray
    scale: float
    eps: FloatArray | None


def inputs_of(
    tree: Tree,
    q: ArrayLike,
    k: ArrayLike,
    *,
    scale: float | None = None,
    scores: str = "dot",
    eps: ArrayLike | None = None,
) -> Inputs:
    """Return queries and keys in the form that the energies take.

    Parameters
    ----------
    q, k : (N, d) float
        Row i belongs to position i.
    scale : float, optional
        [default: 1 / sqrt(d)].
    scores : str
        ``dot``: psi(i -> j) = -scale q_i . k_j, what a pretrained model has. ``distance``: psi(i -> j) = scale |q_i -
        k_j|^2 / 2, the paper's eq. 7; it equals sqrt(d) - q_i . k_j / sqrt(d), its eq. 16, where |q_i|^2 = |k_j|^2 = d.
        A distance is a dot product too: of (q, -|q|^2 / 2, 1) and (k, 1, -|k|^2 / 2).
    eps : (V, e) float, optional
        Position embedding of each node within its family.

    Raises
    ------
    InvalidInstance
        For another shape, numbers that are not finite or whose scores would not be, another word.
    """
    queries, keys = _finite(q, "q"), _finite(k, "k")
    if queries.shape != keys.shape or len(queries) != tree.size or not queries.shape[1]:
        raise InvalidInstance(
            f"expected q and k of one shape ({tree.size}, d), got {queries.shape} and {keys.shape}", ""
        )
    if scores not in SCORES:
        raise InvalidInstance(f"unknown scores {scores!r:.40}", "", f"choose one of {', '.join(SCORES)}")
    scale = 1 / np.sqrt(queries.shape[1]) if scale is None else float(scale)
    if not np.isfinite(scale):
        raise InvalidInstance(f"expected a finite scale, got {scale}", "")
    if scores == "distance":
        with np.errstate(over="ignore"):
            queries, keys = _as_dots(queries, keys)
    where = None if eps is None else _finite(eps, "eps")
    if where is not None and len(where) != tree.nodes:
        raise InvalidInstance(f"eps: expected one row for each of {tree.nodes} nodes, got shape {where.shape}", "")
    result = Inputs(queries, keys, scale, where)
    if not largest_score(result) < float(np.finfo(queries.dtype).max) / 4:
        raise InvalidInstance("scores of q and k are too large for their dtype", "", "scale q and k down")
    return result


def largest_score(inputs: Inputs) -> float:
    """Return an upper bound of the absolute value of all scores.

    Examples
    --------
    >>> largest_score(Inputs(np.ones((2, 3)), np.full((2, 3), -2.0), 0.5, None))
    3.0
    """
    q, k, eps = (
        0.0 if table is None or not table.size else float(np.abs(table).max())
        for table in (inputs.q, inputs.k, inputs.eps)
    )
    most: float = float(abs(inputs.scale)) * inputs.q.shape[1] * q * k
    return most if inputs.eps is None else most + inputs.eps.shape[1] * eps * eps


def values_of(tree: Tree, v: ArrayLike) -> FloatArray:
    """Return values as (N, c); raise InvalidInstance for another shape or numbers that are not finite."""
    values = _finite(v, "v")
    if len(values) != tree.size:
        raise InvalidInstance(f"v: expected shape ({tree.size}, c), got {values.shape}", "")
    return values


def _as_dots(q: FloatArray, k: FloatArray) -> tuple[FloatArray, FloatArray]:
    squares = [-(x * x).sum(axis=1, keepdims=True) / 2 for x in (q, k)]
    ones = np.ones_like(squares[0])
    return np.hstack([q, squares[0], ones]), np.hstack([k, ones, squares[1]])


def real_numbers(value: ArrayLike, name: str) -> NDArray[Any]:
    """Return an array of real numbers; raise InvalidInstance for complex and other types."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise InvalidInstance(f"expected real numbers as {name}, got {array.dtype}", "")
    return array


def _finite(value: ArrayLike, name: str) -> FloatArray:
    array = real_numbers(value, name)
    array = array.astype(np.float64) if array.dtype not in (np.float32, np.float64) else array
    if array.ndim != 2:
        raise InvalidInstance(
            f"{name}: expected two dimensions, one row for each position, got shape {array.shape}", ""
        )
    if not np.isfinite(array).all():
        raise InvalidInstance(f"{name} contains numbers that are not finite", "", "give finite numbers")
    return array
