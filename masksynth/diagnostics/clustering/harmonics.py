"""Compute the field on the circle by harmonics, as differences of prefix sums, without pairs.

exp(beta (cos x - 1)) = sum over m of c_m cos(m x) with c_0 = e^(-beta) I_0(beta), c_m = 2 e^(-beta) I_m(beta) (Jacobi
and Anger), which falls below every rounding error after about 9 sqrt(beta) terms. With z_j = exp(i phi_j), a sum over
keys a <= j < b of cos(m (phi_k - phi_j)) is the real part of conj(z_k^m) (S_m[b] - S_m[a]), S_m being running sums of
z_j^m: time and memory are those of (positions + intervals) x terms, independent of the number of pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from masksynth.diagnostics.clustering.interaction import check_beta
from masksynth.diagnostics.clustering.row_blocks import check_mask
from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self
from masksynth.mask.intervals import query_of_interval
from masksynth.mask.typing import Float64Array, Int64Array

TINY = 1e-17
"""Terms below this share of the first are dropped."""
PER_TERM, PER_PAIR = 12.0, 2.8
"""Nanoseconds, roughly: one term for one position or interval, one pair."""
CELLS = 2**16


def terms(beta: float) -> Float64Array:
    """Return c_0, c_1, ..., up to rounding error.

    Examples
    --------
    >>> len(terms(64.0)), round(float(terms(64.0).sum()), 12)
    (74, 1.0)
    """
    from scipy.special import ive

    result = np.asarray(ive(np.arange(int(20 + 12 * np.sqrt(beta + 1))), check_beta(beta)), np.float64)
    result = result[: int((result > TINY * result[0]).sum())].copy()
    result[1:] *= 2
    return result


def pays(mask: Mask, beta: float) -> bool:
    """Return whether harmonics are faster than pairs, and exact: every non-empty row contains itself, so that Z >= 1.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> pays(causal_mask(100), 64.0), pays(causal_mask(5000), 64.0)
    (False, True)
    """
    counts = np.diff(mask.row_offset[0])
    by_terms = PER_TERM * len(terms(beta)) * (mask.size + len(mask.key_start))
    return bool(by_terms < PER_PAIR * mask.pairs and (attends_to_self(mask) | (counts == 0)).all())


def harmonic_field(mask: Mask, beta: float) -> Callable[[Float64Array], Float64Array]:
    """Return the map phi -> phi' for angles (seeds, n), as ``circle_field``, by harmonics.

    Raises
    ------
    Unsupported
        If a row sees others but not itself: its Z may be smaller than the rounding errors of the sums.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> harmonic_field(causal_mask(2), 4.0)(np.array([[0.0, 0.1]])).round(6).tolist()
    [[0.0, -0.049418]]
    """
    check_mask(mask)
    counts = np.diff(mask.row_offset[0])
    if (~attends_to_self(mask) & (counts > 0)).any():
        raise Unsupported("a row does not contain its own position; harmonics would lose its small weights")
    factors = terms(beta)
    rows = query_of_interval(mask)
    starts = mask.row_offset[0, :-1][counts > 0]
    at_once = max(1, CELLS // (len(factors) * mask.size))

    def field(phi: Float64Array) -> Float64Array:
        parts = [phi[first : first + at_once] for first in range(0, len(phi), at_once)]
        return np.concatenate([_speed(part, factors, beta, mask, rows, starts) for part in parts])

    return field


def _speed(
    phi: Float64Array, factors: Float64Array, beta: float, mask: Mask, rows: NDArray[np.intp], starts: Int64Array
) -> Float64Array:
    """Return the speeds by h(x) = (1/beta) sum of m c_m sin(m x); for beta = 0 the mean of sines."""
    powers = _powers(np.exp(1j * phi), max(len(factors), 2))
    running = np.zeros((*powers.shape[:-1], mask.size + 1), np.complex128)
    np.cumsum(powers, axis=-1, out=running[..., 1:])
    sums = np.zeros_like(powers)
    each = running[..., mask.key_end] - running[..., mask.key_start]
    if len(starts):
        sums[..., rows[starts]] = np.add.reduceat(each, starts, axis=-1)
    sums *= powers.conj()
    total = np.tensordot(factors, sums[: len(factors)].real, 1)
    orders = np.arange(len(factors))
    pull = np.tensordot(orders * factors / beta, sums[: len(factors)].imag, 1) if beta > 0 else sums[1].imag
    return np.asarray(pull / np.where(total > 0.5, total, 1.0), np.float64)


def _powers(z: NDArray[np.complex128], count: int) -> NDArray[np.complex128]:
    """Return the powers z^0, z^1, ... along a new first axis, by doubling."""
    result = np.empty((count, *z.shape), np.complex128)
    result[0], result[1] = 1, z
    have = 2
    while have < count:
        more = min(have, count - have)
        np.multiply(result[:more], result[1] * result[have - 1], out=result[have : have + more])
        have += more
    return result
