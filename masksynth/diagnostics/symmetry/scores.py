"""Score the symmetry and directionality of a square matrix by definition, as reference for every cheaper form.

M. Saponati et al., "The underlying structures of self-attention: symmetry, directionality, and emergent dynamics in
Transformer training", arXiv 2502.10927. Rows are the query side, columns the key side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

MODES = ("sum", "excess")
GAMMA = 2.0
ROUNDING = 1e-10
"""A norm counts as an outlier only if it is above the threshold by this share of the largest norm: equal norms differ
by rounding."""


def symmetry_score(matrix: ArrayLike) -> float:
    """Return s(M) = Tr(M M) / |M|_F^2: 1 iff M is symmetric, -1 iff it is skew-symmetric.

    For n x n independent Gaussian entries it is 1/n on average.

    With M_s, M_n = (M +- M^T)/2 it is (|M_s|^2 - |M_n|^2) / |M|^2. The factor 2 that Definition 3.1 prints in front
    would give a symmetric matrix 2; the published figures and tables are without it.

    Parameters
    ----------
    matrix : (n, n)

    Raises
    ------
    InvalidInstance
        If the matrix is not square, not finite, empty or zero.

    Examples
    --------
    >>> symmetry_score([[1, 2], [0, 1]])
    0.3333333333333333
    """
    array = scaled(square(matrix))
    return quotient(np.vdot(array, array.T), np.vdot(array, array))


def directionality_score(matrix: ArrayLike, mode: str = "sum", gamma: float = GAMMA) -> float:
    """Return d(M) = (r - c) / (r + c): positive where a few rows are long, negative where a few columns are.

    c sums the norms of the columns that exceed mean + gamma * standard deviation (of n - 1) of all columns' norms, r
    the same over rows (Definition 3.2, mode ``sum``). Mode ``excess`` sums what is above the threshold instead, as the
    published numbers do. 0 where no row and no column is an outlier.

    Parameters
    ----------
    matrix : (n, n)
    mode : {"sum", "excess"}
    gamma : float

    Raises
    ------
    InvalidInstance
        If the matrix is not square, not finite or empty, the mode is unknown, or gamma negative or not finite.

    Examples
    --------
    >>> heavy = np.ones((20, 20))
    >>> heavy[:, 3] = 10
    >>> directionality_score(heavy), directionality_score(heavy.T), directionality_score(np.ones((20, 20)))
    (-1.0, 1.0, 0.0)
    """
    array = scaled(square(matrix))
    return directionality_of_norms(np.linalg.norm(array, axis=1), np.linalg.norm(array, axis=0), mode, gamma)


def directionality_of_norms(rows: ArrayLike, columns: ArrayLike, mode: str = "sum", gamma: float = GAMMA) -> float:
    """Return the directionality score of a matrix whose rows and columns have these norms.

    Raises
    ------
    InvalidInstance
        If the mode is unknown, gamma is negative, or gamma or a norm is not a finite number.

    Examples
    --------
    >>> directionality_of_norms([1, 1, 1, 1, 1, 9], [4, 4, 4, 4, 4, 4])
    1.0
    """
    check_mode(mode, gamma)
    first, second = finite(rows, "the row norms"), finite(columns, "the column norms")
    both = scaled(np.concatenate([first, second]))
    r, c = (_standing_out(norms, mode, gamma) for norms in (both[: len(first)], both[len(first) :]))
    return float((r - c) / (r + c)) if r + c else 0.0


def _standing_out(norms: Float64Array, mode: str, gamma: float) -> float:
    if len(norms) < 2:
        return 0.0
    threshold = norms.mean() + gamma * norms.std(ddof=1)
    above = norms[norms > threshold + ROUNDING * norms.max()]
    return float(above.sum() if mode == "sum" else (above - threshold).sum())


def check_mode(mode: str, gamma: float) -> None:
    """Raise InvalidInstance for an unknown mode, or a gamma that is negative or not a finite number.

    Raises
    ------
    InvalidInstance
        For either.
    """
    if mode not in MODES:
        raise InvalidInstance(f"unknown directionality mode {mode!r:.40}", "", f"choose one of {', '.join(MODES)}")
    if not 0 <= gamma < np.inf:
        fact = f"expected {'gamma >= 0' if np.isfinite(gamma) else 'a finite gamma'}, got {gamma}"
        remedy = "outliers are long rows and columns, above the mean; the published scores use 2"
        raise InvalidInstance(fact, "", remedy)


def square(matrix: ArrayLike) -> Float64Array:
    """Return a square matrix as finite float64.

    Raises
    ------
    InvalidInstance
        If it is not square, is empty, or contains anything but finite numbers.
    """
    array = finite(matrix)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise InvalidInstance(
            f"expected a square matrix, got an array of shape {array.shape}",
            "",
            "give W_qk, d x d, or the heads' weights",
        )
    return array


def finite(value: ArrayLike, name: str = "the matrix") -> Float64Array:
    """Return an array as float64, without NaN and infinities.

    Raises
    ------
    InvalidInstance
        If it contains anything else.
    """
    result: Any = np.asarray(value)
    if result.dtype.kind not in "fiub":
        raise InvalidInstance(f"expected real numbers as {name}, got {result.dtype}", "")
    array: Float64Array = result.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise InvalidInstance(
            f"{name} contains {int((~np.isfinite(array)).sum())} values that are NaN or infinite",
            "",
            "give finite numbers",
        )
    return array


def scaled(array: Float64Array) -> Float64Array:
    """Scale an array by a power of two so that its largest entry is in [1/2, 1): squares do not over- or underflow.

    Scores do not depend on scale, and a power of two changes no digit.

    Examples
    --------
    >>> scaled(np.array([6.0, -1.0])), bool(scaled(np.array([3e200, 0.0]))[0] < 1)
    (array([ 0.75 , -0.125]), True)
    """
    _, exponent = np.frexp(np.abs(array).max(initial=0))
    result: Float64Array = np.ldexp(array, -exponent)
    return result


def quotient(above: Any, below: Any) -> float:
    """Return a symmetry score from its two traces, clipped to [-1, 1].

    Raises
    ------
    InvalidInstance
        If the matrix is zero.
    """
    if not below > 0:
        raise InvalidInstance("a matrix of zeros has no symmetry score", "", "leave it out")
    return float(np.clip(above / below, -1.0, 1.0))
