"""Compute expected numbers of centres: masses of spherical caps, and random parking on a circle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array

DEGREE = 40
"""Degree of the polynomial that represents the parking function on an interval of length 1."""
FAR = 60
"""Beyond this length the parking function is its asymptote to all digits."""

AT_ONCE = 2**20
"""Pairs of points that are compared at once."""
ROUNDING = 1e-15


def cap_mass(delta: float, dim: int) -> float:
    """Return the share of the sphere S^(dim - 1) within angle delta of a point.

    delta / pi on the circle, sin^2(delta / 2) on S^2; in general half the regularised incomplete beta function of sin^2
    delta at ((dim - 1) / 2, 1/2), and its complement beyond a right angle.

    Raises
    ------
    InvalidInstance
        Unless 0 < delta <= pi and dim >= 2.

    Examples
    --------
    >>> round(cap_mass(0.5, 2) * np.pi, 12), round(cap_mass(0.5, 3) / float(np.sin(0.25)) ** 2, 12)
    (0.5, 1.0)
    """
    from scipy.special import betainc

    if not 0 < delta <= np.pi or dim < 2:
        raise InvalidInstance(f"expected 0 < delta <= pi and a dimension of at least 2, got {delta:g} and {dim}", "")
    half = 0.5 * float(betainc((dim - 1) / 2, 0.5, min(np.sin(delta) ** 2, 1.0)))
    return half if delta <= np.pi / 2 else 1 - half


def expected_strong(delta: float, dim: int, n: int | None = None) -> float:
    """Return the expected number of strong Renyi centres among n independent uniform points.

    The number is (1 - (1 - p)^n) / p with p the mass of a cap, and 1 / p for n = None.

    Point k is a strong centre iff none of the k - 1 before it lies in its cap, which has probability (1 - p)^(k - 1).
    For an infinite sequence this is pi / delta on the circle and 1 / sin^2(delta / 2) on S^2. (The paper prints 3
    sin^2(delta / 2) there, which exceeds 1 for large delta and so is the mass of no cap.)

    Examples
    --------
    >>> round(expected_strong(0.5, 2), 5), round(expected_strong(0.5, 2, 3), 5)
    (6.28319, 2.54787)
    """
    mass = cap_mass(delta, dim)
    if n is None:
        return 1 / mass
    if n < 1:
        raise InvalidInstance(f"expected a positive number of points, got {n}", "")
    return -float(np.expm1(n * np.log1p(-mass))) / mass if mass < 1 else 1.0


def expected_strong_of_law(law: ArrayLike, delta: float, n: int | None = None) -> float:
    """Return the expected number of strong Renyi centres among n independent draws from any law.

    The law is given by m points of equal probability. With mu(x) its mass within angle delta of x, the number is the
    integral of (1 - (1 - mu)^n) / mu; for n = None (infinitely many draws) that of 1 / mu. The latter is also the exact
    mean over all orders of the m points, drawn without repetition: x is a strong centre iff it comes before the m mu(x)
    - 1 others in its ball.

    Parameters
    ----------
    law : (m, d)
        Points other than 0; their directions count.
    delta : float
        Angle, 0 < delta <= pi.
    n : int, optional

    References
    ----------
    arXiv 2411.04990, lemma C.1, for n = None.

    Raises
    ------
    InvalidInstance
        If points are not finite or have no direction, or a number is out of range.

    Examples
    --------
    Two points near one another, and one far from both.

    >>> turn = np.array([0.0, 0.1, 2.0])
    >>> points = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    >>> round(expected_strong_of_law(points, 0.5), 12), round(expected_strong_of_law(points, 0.5, 1), 12)
    (2.0, 1.0)
    """
    points = np.asarray(law, np.float64)
    if points.ndim != 2 or not points.size or not np.isfinite(points).all() or not points.any(axis=1).all():
        raise InvalidInstance(f"expected finite points (m, d) other than 0, got shape {points.shape}", "")
    if not 0 < delta <= np.pi or (n is not None and n < 1):
        raise InvalidInstance(f"expected 0 < delta <= pi and n >= 1, got {delta:g} and {n}", "")
    x = points / np.linalg.norm(points, axis=1, keepdims=True)
    near = 2 - 4 * np.sin(delta / 2) ** 2  # twice the product of two unit vectors at angle delta
    rows = max(1, AT_ONCE // len(x))
    masses = [(2 * (x[k : k + rows] @ x.T) >= near - ROUNDING).mean(axis=1) for k in range(0, len(x), rows)]
    mass = np.concatenate(masses)
    shares = 1.0 if n is None else -np.expm1(n * np.log1p(-np.minimum(mass, 1 - ROUNDING)))
    return float((shares / mass).mean())


def parking_constant() -> float:
    """Return Renyi's parking constant m = 0.7475979202534..., by quadrature.

    m is the integral from 0 of exp(-2 integral from 0 to x of (1 - e^-y) / y dy) dx.

    The inner integral is E1(x) + log x + gamma, so that the integrand is e^(-2 gamma) / x^2 from x = 40 on, to all
    digits, and the rest of the integral e^(-2 gamma) / 40.

    References
    ----------
    A. Renyi, "On a one-dimensional problem concerning random space filling", Publ. Math. Inst. Hung. Acad. Sci. 3
    (1958).

    Examples
    --------
    >>> round(parking_constant(), 12)
    0.747597920253
    """
    from scipy.integrate import quad
    from scipy.special import exp1

    def integrand(x: float) -> float:
        return float(np.exp(-2 * (exp1(x) + np.log(x) + np.euler_gamma))) if x > 0 else 1.0

    parts = [
        quad(integrand, low, high, epsabs=1e-14, epsrel=1e-13)[0] for low, high in ((0, 1), (1, 4), (4, 12), (12, 40))
    ]
    return float(sum(parts) + np.exp(-2 * np.euler_gamma) / 40)


def parking(length: float) -> float:
    """Return M(x), the mean number of cars of length 1 that park at random on an interval of length x until none fits.

    M(x) = 0 for x < 1, and M(x + 1) = 1 + (2 / x) integral from 0 to x of M: the first car leaves two intervals.
    Computed interval by interval of length 1, on each of which M is analytic, as Chebyshev polynomials; beyond ``FAR``
    it is m (x + 1) - 1.

    Raises
    ------
    InvalidInstance
        If the length is negative or not finite.

    Examples
    --------
    M(x) is 1 for 1 <= x < 2 and 3 - 2 / (x - 1) for 2 <= x < 3.

    >>> parking(0.5), parking(1.5), round(parking(2.5), 12)
    (0.0, 1.0, 1.666666666667)
    """
    if not 0 <= length < np.inf:
        raise InvalidInstance(f"expected a finite length >= 0, got {length:g}", "")
    if length > FAR:
        return parking_constant() * (length + 1) - 1
    from numpy.polynomial import Chebyshev

    pieces, area = [Chebyshev([0.0], [0, 1]), Chebyshev([1.0], [1, 2])], 0.0
    while len(pieces) <= int(
        length
    ):  # the piece on [k, k + 1) from that on [k - 1, k), ``area`` being the integral up to k - 1
        before, k = pieces[-1], len(pieces)
        integral = before.integ(lbnd=k - 1)
        pieces.append(Chebyshev.interpolate(partial(_next_piece, integral, area), DEGREE, [k, k + 1]))
        area += float(integral(k))
    return float(pieces[int(length)](length))


def _next_piece(integral: Callable[[Float64Array], Float64Array], area: float, x: Float64Array) -> Float64Array:
    """Return M on [k, k + 1] from the integral ``area`` up to k - 1 and the one from there."""
    return 1 + 2 * (area + integral(x - 1)) / (x - 1)


def expected_renyi_circle(delta: float) -> float:
    """Return the expected number of Renyi centres on the circle once no further one fits: 1 + M(2 pi / delta - 1).

    The first centre cuts the circle into an interval on which cars of length delta park. It is close to m 2 pi / delta,
    m being ``parking_constant``. Few tokens leave room: 200 of them have 9.14 centres at delta = 0.5, not 9.39.

    Raises
    ------
    InvalidInstance
        Unless 0 < delta <= pi.

    Examples
    --------
    >>> round(expected_renyi_circle(0.5), 5), round(parking_constant() * 4 * np.pi, 5)
    (9.39459, 9.39459)
    """
    if not 0 < delta <= np.pi:
        raise InvalidInstance(f"expected 0 < delta <= pi, got {delta:g}", "")
    return 1 + parking(2 * np.pi / delta - 1)
