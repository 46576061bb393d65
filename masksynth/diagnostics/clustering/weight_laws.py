"""Find what theorems ask of Q, K, V and beta: whether scores are a multiple of the identity, and what kind V is of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masksynth.diagnostics.clustering.value_spectrum import conjectured_limit, leading_space, value_spectrum
from masksynth.diagnostics.clustering.vector_field import Weights, score_matrix
from masksynth.mask.typing import Float64Array

EQUAL = 1e-12
"""Difference up to which two matrices or eigenvalues are equal, relative to the largest number."""
APART = 1e-9
"""Difference from which on two eigenvalues are certainly different; between the two nothing is claimed."""


class Top(NamedTuple):
    """What theorems ask of V outside L, the eigenspace of its largest eigenvalue lambda > 0.

    Parameters
    ----------
    dim : int
        Dimension of L if V keeps the orthogonal complement of L and <V z, z> < lambda |z|^2 for z != 0 there; else 0,
        and then nothing else is claimed.
    symmetric : bool
        Whether V is.
    semidefinite : bool
        Whether V is symmetric and has no negative eigenvalue.
    largest : bool
        Whether |V z| < lambda |z| for z != 0 in the complement.
    """

    dim: int = 0
    symmetric: bool = False
    semidefinite: bool = False
    largest: bool = False


class Law(NamedTuple):
    """What theorems ask of Q, K, V and beta.

    Parameters
    ----------
    score : float or None
        s if beta Q^T K = s I.
    value : float or None
        c if V = c I.
    conjecture : str
        What the paper conjectures of a causal mask with this V; empty where it conjectures nothing.
    top : Top
    turns : bool
        Whether V = a I + A with a > 0 and A skew-symmetric, not 0.
    of_scores : bool
        Whether V is symmetric, no multiple of I, and beta Q^T K = k V for some k (0 too).
    size : int
        d where V is no multiple of I; 0 where it is not known.
    """

    score: float | None
    value: float | None
    conjecture: str = ""
    top: Top = Top()
    turns: bool = False
    of_scores: bool = False
    size: int = 0

    def gradient(self) -> bool:
        """Return whether under a symmetric mask tokens follow the gradient of one function (docs/clustering.md, V6)."""
        return self.of_scores or (bool(self.value) and self.score is not None)


def law_of(beta: float, given: Weights) -> Law:
    """Return what the theorems ask of Q, K, V.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.vector_field import weights
    >>> law = law_of(2.0, weights(3))
    >>> law.score, law.value, law.gradient(), law_of(2.0, weights(2, query=[[0, 1], [-1, 0]])).score
    (2.0, 1.0, True, None)
    >>> law_of(1.0, weights(3, value=np.diag([2.0, 2.0, -3.0]))).top
    Top(dim=2, symmetric=True, semidefinite=False, largest=False)
    """
    scores, v = score_matrix(beta, given), given.value
    score, value = multiple_of_identity(scores), multiple_of_identity(v)
    if value is not None:
        return Law(score, value)
    of_scores = _symmetric(v) and _is_multiple(scores, v)
    return Law(score, None, conjectured_limit(v), _top(v)[0], _turns(v), of_scores, len(v))


def multiple_of_identity(matrix: Float64Array) -> float | None:
    """Return c for c I, None for other matrices; differences of rounding are ignored."""
    c = float(np.trace(matrix)) / len(matrix)
    return c if np.abs(matrix - c * np.eye(len(matrix))).max() <= EQUAL * np.abs(matrix).max() else None


def top_space(value: Float64Array) -> Float64Array:
    """Return an orthonormal basis (d, k) of L where V is as ``Top`` says, without columns elsewhere.

    Examples
    --------
    >>> top_space(np.diag([2.0, 1.0])).round(6).tolist(), top_space(np.array([[2.0, 1.0], [0.0, 1.0]])).shape
    ([[1.0], [0.0]], (2, 0))
    """
    return _top(value)[1]


def _top(v: Float64Array) -> tuple[Top, Float64Array]:
    """Return what V is outside L, and a basis of L.

    L and its complement are kept and lambda is the largest <V z, z> iff L is the top eigenspace of V + V^T too.
    """
    none, symmetric = (Top(), np.zeros((len(v), 0))), _symmetric(v)
    scale = float(np.abs(v).max())
    if not symmetric and (value_spectrum(v).leading.real <= 0 or not _kept(v, leading_space(v), scale)):
        return none  # before eigenvalues of all d dimensions, which a head of a model does not need
    found, vectors = np.linalg.eigh((v + v.T) / 2)
    number, space = float(found[-1]), vectors[:, found >= found[-1] - EQUAL * scale]
    rest = found[: len(found) - space.shape[1]]
    if number <= APART * scale or (rest >= number - APART * scale).any() or not _kept(v, space, scale):
        return none
    outside = float(np.linalg.norm(v - number * space @ space.T, 2))
    positive = symmetric and bool(found[0] >= -EQUAL * scale)
    space = space * np.where(space[np.abs(space).argmax(axis=0), np.arange(space.shape[1])] < 0, -1.0, 1.0)
    return Top(space.shape[1], symmetric, positive, outside < number - APART * scale), space


def _kept(v: Float64Array, space: Float64Array, scale: float) -> bool:
    """Return whether V and V^T are one multiple of the identity on a space."""
    number = float(np.trace(space.T @ v @ space)) / max(space.shape[1], 1)
    return all(np.abs(each @ space - number * space).max(initial=0) <= 10 * EQUAL * scale for each in (v, v.T))


def _turns(v: Float64Array) -> bool:
    both = multiple_of_identity((v + v.T) / 2)
    return both is not None and both > APART * float(np.abs(v).max())


def _symmetric(v: Float64Array) -> bool:
    return bool(np.abs(v - v.T).max() <= EQUAL * np.abs(v).max())


def _is_multiple(matrix: Float64Array, of: Float64Array) -> bool:
    of = of / np.abs(of).max()  # squares of small numbers are 0
    k = float((matrix * of).sum() / (of**2).sum())
    return bool(np.abs(matrix - k * of).max() <= EQUAL * np.abs(matrix).max())
