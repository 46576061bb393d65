"""Build symmetric and skew-symmetric initial weights: W_q = W_k, and W_k = W_q S^T with S skew-symmetric."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.symmetry.scores import finite
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array


def symmetric_query(key: ArrayLike, heads: int, key_heads: int | None = None) -> Float64Array:
    """Return the query weight that makes W_q W_k^T of every head symmetric: a copy of the head's key weight.

    Parameters
    ----------
    key : (d, G * d_h)
    heads, key_heads : int
        H and G [default: H].

    Returns
    -------
    (d, H * d_h)

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads.

    Examples
    --------
    >>> symmetric_query([[1, 2], [3, 4]], heads=4, key_heads=2).tolist()
    [[1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0]]
    """
    return _spread(_split(key, heads, key_heads), heads)


def skew_query(key: ArrayLike, heads: int, key_heads: int | None = None, seed: int = 0) -> Float64Array:
    """Return the query weight W_q,h = W_k,g(h) S_g, for which every head's W_q W_k^T = W_k S W_k^T is skew-symmetric.

    S_g is a random skew-symmetric matrix that is orthogonal too, so S^-1 = S^T, W_k = W_q S^T, and both weights have
    the same norm.

    Parameters
    ----------
    key : (d, G * d_h)
    heads, key_heads : int
    seed : int

    Raises
    ------
    InvalidInstance
        If the shapes do not fit the number of heads, or d_h is odd: then no skew-symmetric matrix is orthogonal.

    Examples
    --------
    >>> key = np.random.default_rng(1).normal(size=(6, 4))
    >>> query = skew_query(key, heads=1)
    >>> bool(np.allclose(query @ key.T, -(key @ query.T)))
    True
    """
    split = _split(key, heads, key_heads)
    turns = [skew_rotation(split.shape[2], one) for one in np.random.default_rng(seed).spawn(split.shape[1])]
    return _spread(np.einsum("dgm,gmn->dgn", split, np.stack(turns)), heads)


def skew_rotation(size: int, rng: np.random.Generator) -> Float64Array:
    """Draw a matrix that is skew-symmetric and orthogonal: quarter turns in random planes.

    Raises
    ------
    InvalidInstance
        If the size is odd.

    Examples
    --------
    >>> turn = skew_rotation(4, np.random.default_rng(0))
    >>> bool(np.allclose(turn, -turn.T)), bool(np.allclose(turn @ turn.T, np.eye(4)))
    (True, True)
    """
    if size % 2:
        raise InvalidInstance(
            f"expected an even head size, got {size}: no skew-symmetric matrix of odd size is orthogonal", ""
        )
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    quarter = np.kron(np.eye(size // 2), np.array([[0.0, -1.0], [1.0, 0.0]]))
    turned = basis @ quarter @ basis.T
    result: Float64Array = (turned - turned.T) / 2
    return result


def _split(key: ArrayLike, heads: int, key_heads: int | None) -> Float64Array:
    k, shared = finite(key, "W_k"), heads if key_heads is None else key_heads
    if k.ndim != 2 or heads < 1 or shared < 1 or heads % shared or k.shape[1] % shared or not k.size:
        raise InvalidInstance(
            f"W_k {k.shape} does not split into {shared} heads for {heads} queries",
            "",
            "give (d, G d_h), G a divisor of H",
        )
    return k.reshape(len(k), shared, -1)


def _spread(split: Float64Array, heads: int) -> Float64Array:
    """Repeat each key head once for every query head that reads it."""
    result: Float64Array = np.repeat(split, heads // split.shape[1], axis=1).reshape(len(split), -1)
    return result
