"""Check the paper's conditions for fixed centres: Lemma 5.1, Theorem 5.2 and the remark after it.

Theorem 5.2 has the sign that its proof uses.

Each function returns every number that the condition compares; ``holds`` is True iff all comparisons do. c and
epsilon are in units of beta^(-1/2). References: arXiv 2411.04990, section 5; differences from the print are noted at
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.clustering.interaction import check_beta, interaction, peak, slope
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Float64Array


@dataclass(frozen=True)
class Compared:
    """Comparison of two numbers of a condition: ``name`` in symbols, both sides, and whether left < right."""

    name: str
    left: float
    right: float
    holds: bool


@dataclass(frozen=True)
class Verdict:
    """State whether all comparisons of a condition hold; ``bound`` is the angle that is then bounded."""

    holds: bool
    bound: float
    comparisons: tuple[Compared, ...]


def stays(angles: ArrayLike, centre: int, horizon: float, beta: float, c: float, epsilon: float) -> Verdict:
    """Check Lemma 5.1: token ``centre`` of the causal circle moves less than epsilon c beta^(-1/2) up to a time.

    The conditions: c beta^(-1/2) > tau, the peak of h; every earlier token is farther than c (1 + 2 epsilon)
    beta^(-1/2); and T s h(c beta^(-1/2)) < epsilon c beta^(-1/2), where s counts the token and those before it. Its
    speed is at most s h(c beta^(-1/2)) as long as nothing came nearer than c beta^(-1/2), since Z >= 1.

    Parameters
    ----------
    angles : (n,)
        At time 0, in causal order.
    centre : int
        A position, counted from 0.
    horizon : float
        T.
    beta, c, epsilon : float
        Positive.

    Raises
    ------
    InvalidInstance
        If a number is not positive or not finite, or the position does not exist.

    Examples
    --------
    >>> found = stays([0.0, 1.0], 1, 100.0, 64.0, 4.0, 0.1)
    >>> found.holds, round(found.bound, 3)
    (True, 0.05)
    >>> stays([0.0, 0.55], 1, 100.0, 64.0, 4.0, 0.1).holds
    False
    """
    unit = _unit(beta, c=c, epsilon=epsilon, horizon=horizon)
    phi = np.asarray(angles, np.float64)
    if phi.ndim != 1 or not 0 <= centre < len(phi):
        raise InvalidInstance(
            f"expected (n,) angles and a position from 0 to n - 1, got shape {phi.shape} and {centre}", ""
        )
    _finite("angles", phi)
    nearest = _nearest(phi[centre], phi[:centre])
    pull = float(interaction(c * unit, beta))
    return _verdict(
        epsilon * c * unit,
        _less("tau < c beta^(-1/2)", peak(beta), c * unit),
        _less("c (1 + 2 epsilon) beta^(-1/2) < nearest earlier token", c * (1 + 2 * epsilon) * unit, nearest),
        _less("T s h(c beta^(-1/2)) < epsilon c beta^(-1/2)", horizon * (centre + 1) * pull, epsilon * c * unit),
    )


def stays_until(centre: int, beta: float, c: float, epsilon: float) -> float:
    """Return the T up to which Lemma 5.1 keeps a token in place: epsilon c beta^(-1/2) / (s h(c beta^(-1/2))).

    It counts only for a token that is farther than c (1 + 2 epsilon) beta^(-1/2) from every earlier one, with c
    beta^(-1/2) beyond the peak of h. It grows as exp(c^2 / 2), which for a fixed angle is exponential in beta.

    Parameters
    ----------
    centre : int
        A position, counted from 0; s = centre + 1.
    beta, c, epsilon : float
        Positive.

    Examples
    --------
    >>> until = stays_until(1, 64.0, 4.0, 0.1)
    >>> round(until, 1), stays([0.0, 1.0], 1, 0.99 * until, 64.0, 4.0, 0.1).holds
    (131.8, True)
    """
    unit = _unit(beta, c=c, epsilon=epsilon)
    return float(epsilon * c * unit / ((centre + 1) * interaction(c * unit, beta)))


def captures_all(
    fixed: ArrayLike, n: int, beta: float, c: float, epsilon: float, multiplicity: Sequence[float] | None = None
) -> Verdict:
    """Check Theorem 5.2: almost surely, n tokens end within epsilon beta^(-1/2) of fixed ones.

    The start of the n tokens is random with a density (absolutely continuous).

    The conditions: at least one fixed token (m >= 1); multiplicities a_j >= 1; |theta_i - theta_j| > c beta^(-1/2); c >
    2 + 2 epsilon; N h((c - 1 - 2 epsilon) beta^(-1/2)) < h(epsilon beta^(-1/2)) and -N g((c - 2 epsilon) beta^(-1/2)) <
    g(epsilon beta^(-1/2)), where N = n + sum of a_j and g = h'.

    Parameters
    ----------
    fixed : (m,)
        Angles theta_j of the tokens that do not move.
    n : int
        Tokens that move, by causal dynamics, each also seeing every fixed one.
    beta, c, epsilon : float
        Positive.
    multiplicity : sequence of m, optional
        a_j, 1 where None.

    Raises
    ------
    InvalidInstance
        If a number is not positive or not finite, or multiplicities do not fit.

    Notes
    -----
    The paper prints the last condition without the minus sign. Then it would say next to nothing: past the peak g is
    negative, so that N g < 0 < g(epsilon beta^(-1/2)) for every N as long as epsilon is before the peak. What has to be
    shown is that a token near theta_i is at a stable point: theta_i alone gives its pull a slope of -g(epsilon
    beta^(-1/2)) at most, all that is farther than (c - 2 epsilon) beta^(-1/2) adds at most N times -g there, and the
    sum must be negative. m >= 1 is not printed either; without it nothing holds the tokens.

    Examples
    --------
    >>> captures_all([0.0, 2.0], 100, 64.0, 6.5, 0.1).holds
    True
    >>> [each.name for each in captures_all([0.0, 2.0], 20_000, 64.0, 6.5, 0.1).comparisons if not each.holds]
    ['N h((c - 1 - 2 epsilon) beta^(-1/2)) < h(epsilon beta^(-1/2))']
    >>> captures_all([], 100, 64.0, 6.5, 0.1).holds
    False
    """
    unit = _unit(beta, c=c, epsilon=epsilon)
    theta = np.asarray(fixed, np.float64).reshape(-1)
    weights = np.ones(len(theta)) if multiplicity is None else np.asarray(multiplicity, np.float64)
    _finite("fixed", theta)
    _finite("multiplicity", weights)
    if weights.shape != theta.shape or not 0 <= n < np.inf:
        raise InvalidInstance(f"expected {len(theta)} multiplicities and n >= 0, got shape {weights.shape} and {n}", "")
    total = n + float(weights.sum())
    apart = min((_nearest(angle, theta[:place]) for place, angle in enumerate(theta)), default=np.inf)
    pull, hold = (float(interaction(x * unit, beta)) for x in (c - 1 - 2 * epsilon, epsilon))
    push, keep = (float(slope(x * unit, beta)) for x in (c - 2 * epsilon, epsilon))
    return _verdict(
        epsilon * unit,
        _less("0 < m", 0.0, float(len(theta))),
        Compared("1 <= a_j", 1.0, float(weights.min(initial=np.inf)), bool((weights >= 1).all())),
        _less("c beta^(-1/2) < |theta_i - theta_j|", c * unit, apart),
        _less("2 + 2 epsilon < c", 2 + 2 * epsilon, c),
        _less("N h((c - 1 - 2 epsilon) beta^(-1/2)) < h(epsilon beta^(-1/2))", total * pull, hold),
        _less("-N g((c - 2 epsilon) beta^(-1/2)) < g(epsilon beta^(-1/2))", -total * push, keep),
    )


def enough(total: float, beta: float, c: float, epsilon: float) -> Verdict:
    """Check the remark after Theorem 5.2: simple conditions that imply those on h and g.

    epsilon <= 0.1, c >= 5.5 + 2 epsilon, beta >= (c - 1 - 2 epsilon)^2 / 2, N <= (epsilon / (c - 1)) exp(3 (c - 1 - 2
    epsilon)^2 / 8). The paper prints epsilon < 0.1 and takes 0.1 in its example: epsilon = 0.1, c = 6.5, "beta >= 14, N
    <= 700", exactly beta >= 14.045 and N <= 682.95.

    Examples
    --------
    >>> found = enough(682, 14.045, 6.5, 0.1)
    >>> found.holds, round(found.comparisons[3].right, 2), enough(700, 14.045, 6.5, 0.1).holds
    (True, 682.95, False)
    """
    unit = _unit(beta, c=c, epsilon=epsilon, total=total)
    reach = c - 1 - 2 * epsilon
    most = epsilon / (c - 1) * float(np.exp(3 * reach**2 / 8)) if c > 1 else 0.0
    return _verdict(
        epsilon * unit,
        _at_most("epsilon <= 0.1", epsilon, 0.1),
        _at_most("5.5 + 2 epsilon <= c", 5.5 + 2 * epsilon, c),
        _at_most("(c - 1 - 2 epsilon)^2 / 2 <= beta", reach**2 / 2, beta),
        _at_most("N <= (epsilon / (c - 1)) exp(3 (c - 1 - 2 epsilon)^2 / 8)", total, most),
    )


def _unit(beta: float, **positive: float) -> float:
    """Return beta^(-1/2) after checking the numbers."""
    for name, value in positive.items():
        if not 0 < value < np.inf:
            raise InvalidInstance(f"{name}: expected a positive number, got {value:g}", "")
    return float(check_beta(beta, 1e-12) ** -0.5)


def _finite(name: str, values: Float64Array) -> None:
    if not np.isfinite(values).all():
        raise InvalidInstance(f"{name} contains a number that is not finite", "", "give finite numbers")


def _nearest(angle: float, angles: ArrayLike) -> float:
    """Return the least distance on the circle, infinite if there is no other point."""
    gaps = np.abs(np.angle(np.exp(1j * (np.asarray(angles, np.float64) - angle))))
    return float(gaps.min(initial=np.inf))


def _less(name: str, left: float, right: float) -> Compared:
    return Compared(name, left, right, bool(left < right))


def _at_most(name: str, left: float, right: float) -> Compared:
    """Compare with a tolerance for rounding of numbers that are meant to be equal."""
    return Compared(name, left, right, bool(left <= right * (1 + 1e-12)))


def _verdict(bound: float, *comparisons: Compared) -> Verdict:
    return Verdict(all(each.holds for each in comparisons), bound, comparisons)
