"""Integrate the trajectories of tokens under a mask, for many random starts at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masksynth.diagnostics.clustering.harmonics import harmonic_field, pays
from masksynth.diagnostics.clustering.row_blocks import check_mask
from masksynth.diagnostics.clustering.stepping import integrate
from masksynth.diagnostics.clustering.vector_field import circle_field, normalised, sphere_field, weights
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.typing import Float64Array


def starts(seeds: int, n: int, dim: int, seed: int = 0) -> Float64Array:
    """Return independent uniform points of the sphere, (seeds, n, dim); start s does not depend on the number of seeds.

    Examples
    --------
    >>> bool(np.array_equal(starts(1, 5, 3), starts(4, 5, 3)[:1]))
    True
    """
    if seeds < 1 or n < 1 or dim < 2:
        raise InvalidInstance(f"expected seeds >= 1, n >= 1 and dim >= 2, got {seeds}, {n} and {dim}", "")
    return random_starts(range(seeds), n, dim, seed)


def random_starts(numbers: range, n: int, dim: int, seed: int) -> Float64Array:
    """Return the starts of some numbers, (len(numbers), n, dim)."""
    return normalised(np.stack([np.random.default_rng([seed, number]).standard_normal((n, dim)) for number in numbers]))


def trajectories(
    mask: Mask,
    start: ArrayLike,
    times: ArrayLike,
    *,
    beta: float = 1.0,
    query: Any = None,
    key: Any = None,
    value: Any = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
) -> Float64Array:
    """Move tokens on the sphere by attention.

    x_k' = P_{x_k}(sum over j in row k of softmax(beta <Q x_k, K x_j>) V x_j).

    Parameters
    ----------
    mask : Mask
        One table; row k contains the positions that k attends to, itself or not. A position whose row is empty does not
        move.
    start : (seeds, n, d)
        Points other than 0; they are brought to length 1.
    times : (T,)
        Ascending from 0 or later.
    beta : float
        Inverse temperature, >= 0; there is no further factor 1 / sqrt(d).
    query, key, value : (d, d), optional
        Q, K, V, the identity where None.
    rtol, atol : float
        Tolerances of a step.

    Returns
    -------
    (seeds, T, n, d) float64
        Unit vectors. Every seed has its own steps, so that its trajectory does not depend on its neighbours.

    Raises
    ------
    InvalidInstance
        If shapes do not fit, a number is not finite, or the mask has several tables.
    Unsupported
        If the mask is too large for a sphere.

    Notes
    -----
    In the plane with Q = K = V = I angles are integrated, so that |x| = 1 by construction; elsewhere every step ends on
    the sphere, and since the field depends on directions alone this changes nothing that the next step sees. A large
    interval mask on the circle is computed by harmonics, in a time that does not depend on its pairs.

    References
    ----------
    N. Karagodin, Y. Polyanskiy, P. Rigollet, "Clustering in Causal Attention Masking", arXiv 2411.04990, for causal
    masks.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> start = starts(1, 4, 3)
    >>> end = trajectories(causal_mask(4), start, [60.0])[0, -1]
    >>> bool(np.abs(end - start[0, 0]).max() < 1e-6)
    True
    """
    x = checked_start(mask, start)
    when = np.asarray(times, np.float64)
    given = weights(x.shape[-1], query, key, value)
    if x.shape[-1] == 2 and query is None and key is None and value is None:
        phi = angles(mask, np.arctan2(x[..., 1], x[..., 0]), when, beta=beta, rtol=rtol, atol=atol)
        return np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    return integrate(sphere_field(mask, beta, given), x, when, rtol=rtol, atol=atol, project=normalised).states


def angles(
    mask: Mask, start: ArrayLike, times: ArrayLike, *, beta: float = 1.0, rtol: float = 1e-6, atol: float = 1e-9
) -> Float64Array:
    """Move tokens on the circle with Q = K = V = I: (seeds, n) angles to (seeds, T, n) angles, not modulo 2 pi.

    Raises
    ------
    InvalidInstance, Unsupported
        As ``trajectories``.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> angles(causal_mask(2), [[0.0, 2.0]], [1.0, 2.0], beta=0.0, rtol=1e-10, atol=1e-12)[0, :, 1].round(8).tolist()
    [1.51384985, 1.04056693]
    """
    check_mask(mask)
    phi = np.asarray(start, np.float64)
    if phi.ndim != 2 or phi.shape[1] != mask.size or not np.isfinite(phi).all():
        raise InvalidInstance(f"start: expected finite angles (seeds, {mask.size}), got shape {phi.shape}", "")
    field = harmonic_field(mask, beta) if pays(mask, beta) else circle_field(mask, beta)
    return integrate(field, phi, np.asarray(times, np.float64), rtol=rtol, atol=atol).states


def checked_start(mask: Mask, start: ArrayLike) -> Float64Array:
    """Return points as unit vectors; raise InvalidInstance if they do not fit the mask or have no direction."""
    check_mask(mask)
    x = np.asarray(start, np.float64)
    if x.ndim != 3 or x.shape[1] != mask.size or x.shape[2] < 2:
        raise InvalidInstance(f"start: expected points (seeds, {mask.size}, d) with d >= 2, got shape {x.shape}", "")
    largest = np.abs(x).max(axis=-1, keepdims=True)
    if not np.isfinite(x).all() or not (largest > 0).all():
        raise InvalidInstance("a point of the start is 0 or not finite", "", "give points that have a direction")
    return normalised(x / largest)  # squares of very small or large coordinates are 0 or infinite
