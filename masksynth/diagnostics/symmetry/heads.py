"""Score W_qk = sum_h W_q,h W_k,g(h)^T from its factors, without the d x d matrix.

For one head, with B = W_k^T W_q, A = W_q^T W_q and C = W_k^T W_k, all d_h x d_h: Tr(W W) = Tr(B B), |W|_F^2 = Tr(A C).
Row i of W has the squared norm q_i C q_i and column j k_j A k_j, q_i and k_j being rows of the factors. Query heads
that share a key head add up before they meet it: sum_h W_q,h W_k,g(h)^T = sum_g (sum_{h: g(h) = g} W_q,h) W_k,g^T, so
the layer is one pair of factors of G d_h columns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.scores import (
    GAMMA,
    check_mode,
    directionality_of_norms,
    finite,
    quotient,
    scaled,
)
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array


class Scores(NamedTuple):
    """Symmetry and directionality of one matrix; None for a matrix of zeros."""

    symmetry: float | None
    directionality: float | None


class Measures(NamedTuple):
    """Symmetry score of one matrix, and the norms of its rows and columns; None and empty for a matrix of zeros."""

    symmetry: float | None
    rows: Float64Array
    columns: Float64Array

    def directionality(self, mode: str, gamma: float = GAMMA) -> float | None:
        """Return the directionality score; None for a matrix of zeros."""
        return None if self.symmetry is None else directionality_of_norms(self.rows, self.columns, mode, gamma)

    def scores(self, mode: str, gamma: float = GAMMA) -> Scores:
        """Return both scores."""
        return Scores(self.symmetry, self.directionality(mode, gamma))


def factor_scores(query: ArrayLike, key: ArrayLike, mode: str = "sum", gamma: float = GAMMA) -> Scores:
    """Return the scores of W = W_q W_k^T from two (d, m) factors, in O(d m^2) and without d x d.

    Raises
    ------
    InvalidInstance
        If the factors differ in shape or hold something else than finite numbers.

    Examples
    --------
    >>> factor = np.arange(12.0).reshape(6, 2)
    >>> factor_scores(factor, factor), factor_scores(factor, 0 * factor)
    (Scores(symmetry=1.0, directionality=0.0), Scores(symmetry=None, directionality=None))
    """
    check_mode(mode, gamma)
    return _factor_measures(query, key).scores(mode, gamma)


def _factor_measures(query: ArrayLike, key: ArrayLike) -> Measures:
    q, k = finite(query, "W_q"), finite(key, "W_k")
    if q.shape != k.shape or q.ndim != 2 or not q.size:
        raise InvalidInstance(
            f"W_q {q.shape} and W_k {k.shape} are not two factors (d, m)", "", "give one head, or all side by side"
        )
    return _measures(q, k)


def _measures(q: Float64Array, k: Float64Array) -> Measures:
    q, k = _balanced(q, k)
    mixed, left, right = k.T @ q, q.T @ q, k.T @ k
    below = np.vdot(left, right)
    if not below > 0:
        return Measures(None, np.zeros(0), np.zeros(0))
    return Measures(quotient(np.vdot(mixed, mixed.T), below), _lengths(q, right), _lengths(k, left))


def _balanced(q: Float64Array, k: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return factors of the same W up to a power of two, with column norms whose products are representable."""
    of_q, of_k = (np.frexp(np.abs(factor).max(axis=0))[1] for factor in (q, k))
    live = q.any(axis=0) & k.any(axis=0)
    both = of_q + of_k
    shift = np.where(live, both - both[live].max(initial=-(1 << 14)), -(1 << 14))
    return np.ldexp(q, -of_q), np.ldexp(k, shift - of_k)


def _lengths(factor: Float64Array, gram: Float64Array) -> Float64Array:
    """Return norms of the rows of ``factor @ other.T``, where ``gram`` is ``other.T @ other``."""
    squares: Float64Array = np.einsum("im,im->i", factor @ gram, factor)
    return np.sqrt(np.maximum(squares, 0))


def head_scores(
    query: ArrayLike, key: ArrayLike, heads: int, key_heads: int | None = None, mode: str = "sum", gamma: float = GAMMA
) -> tuple[Scores, ...]:
    """Return the scores of each head: query head h reads key head g(h) = h // (H / G).

    Parameters
    ----------
    query : (d, H * d_h)
        Heads side by side: x @ query are the queries.
    key : (d, G * d_h)
    heads, key_heads : int
        H and G [default: H].

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads.

    Examples
    --------
    >>> key = np.random.default_rng(0).normal(size=(6, 4))
    >>> [round(one.symmetry, 12) for one in head_scores(key, key, heads=2)]
    [1.0, 1.0]
    """
    check_mode(mode, gamma)
    return tuple(each.scores(mode, gamma) for each in head_measures(query, key, heads, key_heads))


def head_measures(query: ArrayLike, key: ArrayLike, heads: int, key_heads: int | None = None) -> tuple[Measures, ...]:
    """Return symmetry and norms of each head, from which directionality follows for every mode.

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads.
    """
    q, k, group = _grouped(query, key, heads, key_heads)
    return tuple(_measures(q[:, h], k[:, h // group]) for h in range(heads))


def layer_scores(
    query: ArrayLike,
    key: ArrayLike,
    heads: int | None = None,
    key_heads: int | None = None,
    mode: str = "sum",
    gamma: float = GAMMA,
) -> Scores:
    """Return the scores of the sum over heads; without numbers of heads each query head has its own key head.

    Parameters
    ----------
    query : (d, H * d_h)
    key : (d, G * d_h)
    heads, key_heads : int, optional

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads.

    Examples
    --------
    Four query heads share two key heads:

    >>> rng = np.random.default_rng(0)
    >>> query, key = rng.normal(size=(6, 8)), rng.normal(size=(6, 4))
    >>> full = sum(query[:, 2 * h : 2 * h + 2] @ key[:, 2 * (h // 2) : 2 * (h // 2) + 2].T for h in range(4))
    >>> bool(np.isclose(layer_scores(query, key, 4, 2).symmetry, np.trace(full @ full) / (full**2).sum()))
    True
    """
    check_mode(mode, gamma)
    return layer_measures(query, key, heads, key_heads).scores(mode, gamma)


def layer_measures(
    query: ArrayLike, key: ArrayLike, heads: int | None = None, key_heads: int | None = None
) -> Measures:
    """Return symmetry and norms of the sum over heads, from which directionality follows for every mode.

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads.
    """
    if heads is None:
        return _factor_measures(query, key)
    q, k, group = _grouped(query, key, heads, key_heads)
    size, _, width = q.shape
    summed = scaled(q).reshape(size, heads // group, group, width).sum(axis=2)
    return _factor_measures(summed.reshape(size, -1), k.reshape(size, -1))


def _grouped(
    query: ArrayLike, key: ArrayLike, heads: int, key_heads: int | None
) -> tuple[Float64Array, Float64Array, int]:
    """Return queries (d, H, d_h), keys (d, G, d_h) and H / G."""
    q, k = finite(query, "W_q"), finite(key, "W_k")
    shared = heads if key_heads is None else key_heads
    fits = q.ndim == k.ndim == 2 and heads > 0 and shared > 0 and heads % shared == 0 and len(q) == len(k) > 0
    if not fits or q.shape[1] % heads or q.shape[1] // heads * shared != k.shape[1]:
        fact = f"W_q {q.shape} and W_k {k.shape} do not split into {heads} query and {shared} key heads"
        raise InvalidInstance(fact, "", "give (d, H d_h) and (d, G d_h) with G a divisor of H")
    return q.reshape(len(q), heads, -1), k.reshape(len(k), shared, -1), heads // shared
