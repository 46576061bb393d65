"""Read the limit of the causal system from the leading eigenvalues of V (arXiv 2411.04990, table 1 and conjectures)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

CLOSE = 1e-9
"""Relative to the largest modulus: eigenvalues whose real parts differ by less count as equal."""
WIDEST = 320
"""Dimensions of a range that are looked for: more than a head has."""
ROUNDING = 1e-12
POINT, POINT_IN_L, TWO_POINTS, CLOUD, TWO_CLOUDS = (
    "one point, the first start",
    "a point of L",
    "two points, +-xi",
    "a cloud around L",
    "two clouds around +-xi",
)
FIRST_CONJECTURE = "converges to plus or minus the top eigenvector of V, for almost every start"
CONFIGURATIONS = (POINT, POINT_IN_L, TWO_POINTS, CLOUD, TWO_CLOUDS)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of V and what they say of the limit.

    Parameters
    ----------
    eigenvalues : tuple of complex
        By descending real part.
    leading : complex
        One of the largest real part, with imaginary part >= 0.
    multiplicity : int
        How many have the real part of ``leading``, complex conjugates counted; the dimension of L where V is
        diagonalisable.
    real : bool
        Whether all of those are real.
    configuration : str
        One of ``CONFIGURATIONS``.
    """

    eigenvalues: tuple[complex, ...]
    leading: complex
    multiplicity: int
    real: bool
    configuration: str


def value_spectrum(value: ArrayLike) -> Spectrum:
    """Return the eigenvalues of V and the final configuration that they predict for a causal mask.

    lambda is the largest real part of an eigenvalue, L the real span of its eigenvectors; xi spans L where that is a
    line. V = c I, c > 0: all tokens go to x_1(0) (theorem 4.1). Otherwise lambda > 0: to a point of L, or to xi and
    -xi; lambda <= 0: tokens are pushed away from one another and end as clouds around these. The last three are what
    runs show; which of them are theorems for which V, Q, K and mask docs/clustering.md, Other V, says.

    Raises
    ------
    InvalidInstance
        If V is not a square matrix of finite numbers.

    Examples
    --------
    >>> diagonals = [1, 1, 1], [2, 2, 1], [3, 2, 1], [-1, -1, -2], [-1, -2, -3]
    >>> tuple(value_spectrum(np.diag(v)).configuration for v in diagonals) == CONFIGURATIONS
    True
    """
    v = _square(value)
    found = _eigenvalues(v)
    found = found[np.lexsort((-found.imag, -found.real))]
    leading = _leading(found)
    return Spectrum(
        tuple(complex(each) for each in found),
        complex(leading[0]),
        len(leading),
        bool((np.abs(leading.imag) <= _near(found)).all()),
        _configuration(v, found, leading),
    )


def _square(value: ArrayLike) -> Float64Array:
    v = np.asarray(value, np.float64)
    if v.ndim != 2 or v.shape[0] != v.shape[1] or not v.size or not np.isfinite(v).all():
        raise InvalidInstance(f"expected finite numbers of shape (d, d) as V, got shape {v.shape}", "")
    return v


def _eigenvalues(v: Float64Array) -> np.ndarray:
    """Return all eigenvalues; those of V = B B^T V, with B a basis of its range, are those of B^T V B, and 0."""
    basis = _range_of(v)
    if basis is None:
        return np.asarray(np.linalg.eigvals(v))
    return np.concatenate([np.linalg.eigvals(basis.T @ v @ basis), np.zeros(len(v) - basis.shape[1])])


def _range_of(v: Float64Array) -> Float64Array | None:
    """Return an orthonormal basis of a space that contains the range of V, or None where it is not small.

    A head of a model has a range of d_h of d dimensions; images of random vectors span it.
    """
    width = min(len(v) // 3, WIDEST)
    if not width:
        return None
    basis = np.linalg.qr(v @ np.random.default_rng(0).standard_normal((len(v), width)))[0]
    missed = float(np.abs(v - basis @ (basis.T @ v)).max())
    return np.asarray(basis, np.float64) if missed <= ROUNDING * float(np.abs(v).max()) else None


def _near(found: np.ndarray) -> float:
    return CLOSE * max(float(np.abs(found).max()), np.finfo(float).tiny)


def _leading(found: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of the largest real part from all by descending real part."""
    return np.asarray(found[found.real >= found.real.max() - _near(found)])


def _configuration(v: Float64Array, found: np.ndarray, leading: np.ndarray) -> str:
    top = float(leading.real.max())
    if top > _near(found):
        if np.abs(v - top * np.eye(len(v))).max() <= CLOSE * top:
            return POINT
        return TWO_POINTS if len(leading) == 1 else POINT_IN_L
    return TWO_CLOUDS if len(leading) == 1 else CLOUD


def leading_space(value: ArrayLike) -> Float64Array:
    """Return an orthonormal basis of L, (d, k): the real span of the eigenvectors of the largest real part.

    Examples
    --------
    >>> np.abs(leading_space(np.diag([1.0, 3.0]))).round(6).tolist()
    [[0.0], [1.0]]
    """
    v = _square(value)
    every = _eigenvalues(v)
    basis = _range_of(v) if every.real.max() > _near(every) else None  # the kernel has the eigenvalue 0
    found, vectors = np.linalg.eig(v if basis is None else basis.T @ v @ basis)
    vectors = vectors if basis is None else basis @ vectors
    chosen = vectors[:, found.real >= found.real.max() - _near(found)]
    left, size, _ = np.linalg.svd(np.concatenate([chosen.real, chosen.imag], axis=1), full_matrices=False)
    return np.asarray(left[:, size > CLOSE**0.5 * size[0]], np.float64)


def spectrum_record(spectrum: Spectrum) -> dict[str, Any]:
    """Return a spectrum as JSON values: complex numbers as [real, imaginary]."""
    numbers = [*spectrum.eigenvalues, spectrum.leading]
    *all_of_them, leading = [[float(f"{each.real:.9g}"), float(f"{each.imag:.9g}")] for each in numbers]
    return {**asdict(spectrum), "eigenvalues": all_of_them, "leading": leading}


def conjectured_limit(value: ArrayLike) -> str:
    """Return what the paper conjectures of every token of a causal mask, for almost every start; empty if nothing.

    Conjecture 1 is false for some V, and for some Q and K; docs/clustering.md, V2 and V3, proves both in part.

    Conjecture 1: V is diagonalisable with d distinct positive eigenvalues. Conjecture 2: lambda > 0 has an eigenspace L
    of dimension >= 2, V keeps the complement of L, and <V z, z> < lambda |z|^2 for z != 0 there.

    Examples
    --------
    >>> conjectured_limit(np.diag([3.0, 2.0, 1.0]))
    'converges to plus or minus the top eigenvector of V, for almost every start'
    >>> conjectured_limit(np.diag([2.0, 2.0, -1.0]))
    'converges to the direction of the part of x_1(0) in the top eigenspace of V, for almost every start'
    >>> conjectured_limit(np.diag([-1.0, -2.0])), conjectured_limit(np.diag([2.0, -1.0]))
    ('', '')
    """
    v = _square(value)
    found = _eigenvalues(v)
    near, top = _near(found), float(found.real.max())
    apart = np.diff(np.sort(found.real)).min(initial=np.inf)
    if np.abs(found.imag).max() <= near and found.real.min() > near and apart > near:
        return FIRST_CONJECTURE
    leading = _leading(found)
    if top <= near or len(leading) < 2 or np.abs(leading.imag).max() > near:
        return ""
    _, singular, right = np.linalg.svd(v - top * np.eye(len(v)))
    small = singular <= CLOSE**0.5 * max(float(singular[0]), abs(top))
    space, rest = right[small], right[~small]
    keeps = np.abs(space @ v @ rest.T).max(initial=0) <= CLOSE**0.5 * float(np.abs(v).max())
    inner = rest @ v @ rest.T
    below = np.linalg.eigvalsh((inner + inner.T) / 2).max(initial=-np.inf) < top
    if len(space) >= 2 and len(rest) and keeps and below:
        return "converges to the direction of the part of x_1(0) in the top eigenspace of V, for almost every start"
    return ""
