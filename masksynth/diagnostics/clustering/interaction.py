"""Compute the interaction h of two tokens on the circle: its slope, peak, bounds and energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array


def check_beta(beta: float, least: float = 0.0) -> float:
    """Return the inverse temperature; raise InvalidInstance unless it is a finite number of at least ``least``."""
    value = float(beta)
    if not np.isfinite(value) or value < least:
        raise InvalidInstance(f"expected a finite beta >= {least:g}, got {value:g}", "")
    return value


def interaction(angle: ArrayLike, beta: float) -> Any:
    """Return h(x) = exp(beta (cos x - 1)) sin x: the pull of a token at angle x on the circle, before division by Z.

    References
    ----------
    N. Karagodin, Y. Polyanskiy, P. Rigollet, arXiv 2411.04990, section 4 (``def_h``).

    Examples
    --------
    >>> round(float(interaction(0.5, 64.0)), 9)
    0.000189735
    """
    x = np.asarray(angle, np.float64)
    return np.exp(beta * (np.cos(x) - 1)) * np.sin(x)


def slope(angle: ArrayLike, beta: float) -> Any:
    """Return g(x) = h'(x) = exp(beta (cos x - 1)) (cos x - beta sin^2 x).

    Examples
    --------
    >>> float(slope(0.0, 9.0))
    1.0
    """
    x = np.asarray(angle, np.float64)
    return np.exp(beta * (np.cos(x) - 1)) * (np.cos(x) - beta * np.sin(x) ** 2)


def peak(beta: float) -> float:
    """Return tau in (0, pi/2], where h is largest: h rises on [0, tau] and falls on [tau, pi].

    cos tau = (sqrt(4 beta^2 + 1) - 1) / (2 beta), the root of cos x = beta sin^2 x; for beta >= 1, (beta + 1/2)^(-1/2)
    < tau < beta^(-1/2).

    Examples
    --------
    >>> round(peak(64.0), 11), round(peak(0.0), 11)
    (0.12483667005, 1.57079632679)
    """
    beta = check_beta(beta)
    return float(np.arctan2(np.sqrt(_square_of_sine(beta)), _cosine(beta)))


def _cosine(beta: float) -> float:
    """Return the cosine of tau without a difference of large numbers."""
    return float(2 * beta / (np.sqrt(4 * beta**2 + 1) + 1))


def _square_of_sine(beta: float) -> float:
    """Return the squared sine of tau: cos tau / beta, and 1 at beta = 0."""
    return float(2 / (np.sqrt(4 * beta**2 + 1) + 1))


def interaction_bounds(angle: ArrayLike, beta: float) -> tuple[Float64Array, Float64Array]:
    """Return (lower, upper) with lower < h(x) < upper for 0 < x <= pi; the upper one holds for all x > 0.

    exp(-beta x^2 / 2) (x - x^3 / 6) < h(x) < exp(-beta x^2 / 2 + beta x^4 / 24) x. The paper states both for all x > 0.
    The lower one fails beyond pi: at beta = 1 and x = 3 pi / 2 it is -0.0002, and h is -0.37.

    Raises
    ------
    InvalidInstance
        If an angle is not positive.

    Examples
    --------
    >>> lower, upper = interaction_bounds(1.0, 2.0)
    >>> bool(lower < interaction(1.0, 2.0) < upper)
    True
    """
    x = np.asarray(angle, np.float64)
    if not (x > 0).all():
        raise InvalidInstance("expected positive angles, got an angle <= 0", "", "h is odd: give the absolute value")
    with np.errstate(over="ignore"):  # an infinite upper bound is one
        return np.exp(-beta * x**2 / 2) * (x - x**3 / 6), np.exp(-beta * x**2 / 2 + beta * x**4 / 24) * x


def energy(angles: ArrayLike, position: int, beta: float) -> Any:
    """Return E_k = -(1/beta) sum over j < k of exp(beta (cos(phi_k - phi_j) - 1)), for the causal system on the circle.

    Its slope is -dE_k / dphi_k = sum over j < k of h(phi_j - phi_k) = Z_k phi_k', so token k goes downhill as long as
    those before it stand still. They do not, so the whole is a sequence of gradient flows, not one.

    Parameters
    ----------
    angles : (..., n)
    position : int
        k, counted from 0.
    beta : float
        Positive.

    Raises
    ------
    InvalidInstance
        If beta is not positive, an angle is not finite, or the position does not exist.

    Examples
    --------
    >>> float(energy([0.0, 0.0], 1, 4.0))
    -0.25
    """
    phi = np.asarray(angles, np.float64)
    if phi.ndim < 1 or not 0 <= position < phi.shape[-1] or not np.isfinite(phi).all():
        raise InvalidInstance(
            f"expected finite angles (..., n) and a position from 0 to n - 1, got shape {phi.shape} and {position}", ""
        )
    gaps = phi[..., :position] - phi[..., position : position + 1]
    return -np.exp(check_beta(beta, 1e-12) * (np.cos(gaps) - 1)).sum(axis=-1) / beta


def two_tokens(gap: float, time: ArrayLike) -> Any:
    """Return the angle of two tokens on the circle at beta = 0: tan(phi(t) / 2) = tan(phi(0) / 2) exp(-t / 2).

    The first does not move and the second obeys phi' = -sin(phi) / 2, half of its weight being on itself.

    Examples
    --------
    >>> two_tokens(2.0, [1.0, 2.0]).round(10).tolist()
    [1.5138498545, 1.0405669293]
    """
    return 2 * np.arctan(np.tan(gap / 2) * np.exp(-np.asarray(time, np.float64) / 2))


def two_tokens_time(gap: float, later: float, beta: float) -> float:
    """Return the time that two tokens on the circle take from one angle to a smaller one.

    The time is the integral of Z / h, by quadrature, at any beta.

    Raises
    ------
    InvalidInstance
        Unless 0 < later <= gap < pi.

    Examples
    --------
    >>> round(two_tokens_time(2.0, 1.5138498545, 0.0), 9)
    1.0
    """
    from scipy.integrate import quad

    if not 0 < later <= gap < np.pi:
        raise InvalidInstance(f"expected 0 < later <= gap < pi, got gap {gap:g} and later {later:g}", "")
    result = quad(
        lambda x: (1 + np.exp(beta * (1 - np.cos(x)))) / np.sin(x), later, gap, epsabs=1e-12, epsrel=1e-12, limit=200
    )
    return float(result[0])
