"""Find Renyi centres and strong Renyi centres, the positions that they capture, and clusters.

Points are unit vectors (..., n, d); distances are angles, or chords where ``chord`` is True.
"""

from __future__ import annotations

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array

DIGITS = 1e-8
"""Squared distances above this keep eight digits when they are computed as 2 - 2 <x, y>."""
AT_ONCE = 2**20
"""Pairs of points that are compared at once, where there are several times."""


def check_points(points: Float64Array) -> None:
    """Raise InvalidInstance unless points are (..., n, d) finite numbers with n >= 1 and d >= 2."""
    shape = np.shape(points)
    if len(shape) < 2 or shape[-2] < 1 or shape[-1] < 2 or not np.isfinite(points).all():
        raise InvalidInstance(
            f"expected finite points (..., n, d) with n >= 1 and d >= 2, got shape {shape}", "", "give unit vectors"
        )


def square_of_chord(delta: float, chord: bool = False) -> float:
    """Return the squared chord of two points of the sphere at angle delta: (2 sin(delta / 2))^2.

    With ``chord``, delta is the chord already: delta^2.

    Raises
    ------
    InvalidInstance
        Unless 0 < delta <= pi (angle) or 2 (chord).

    Examples
    --------
    >>> round(square_of_chord(np.pi), 12), square_of_chord(0.5, chord=True)
    (4.0, 0.25)
    """
    if not 0 < delta <= (2 if chord else np.pi):
        raise InvalidInstance(f"expected 0 < delta <= {'2' if chord else 'pi'}, got {delta:g}", "")
    return float(delta**2 if chord else 4 * np.sin(delta / 2) ** 2)


def renyi_centres(
    points: Float64Array, delta: float, *, sees: BoolArray | None = None, chord: bool = False
) -> BoolArray:
    """Return which positions are Renyi centres: in order, one is kept iff it is farther than delta from all kept ones.

    Parameters
    ----------
    points : (..., n, d) float64
        Unit vectors, in the order in which they are scanned.
    delta : float
    sees : (n, n) bool, optional
        Compare position k only with earlier ones that it sees at any depth [default: with all earlier ones, as in the
        paper].
    chord : bool
        Take delta for a straight distance.

    Returns
    -------
    (..., n) bool

    References
    ----------
    arXiv 2411.04990, section 5: cars that park at random, so that their number is Renyi's.

    Examples
    --------
    The third is 0.4 from the second, which is not a centre, and farther than 0.5 from the first, which is one.

    >>> angle = np.array([0.0, 0.4, 0.8])
    >>> points = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    >>> renyi_centres(points, 0.5).tolist(), strong_centres(points, 0.5).tolist()
    ([True, False, True], [True, False, False])
    """
    return _scan(points, square_of_chord(delta, chord), sees, strong=False)


def strong_centres(
    points: Float64Array, delta: float, *, sees: BoolArray | None = None, chord: bool = False
) -> BoolArray:
    """Return which positions are strong Renyi centres: farther than delta from every earlier position.

    Each strong centre is also a Renyi centre.

    Parameters, result and reference as ``renyi_centres``, where there is an example.

    Examples
    --------
    >>> strong_centres(np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), 0.5).tolist()
    [True, False, True]
    """
    return _scan(points, square_of_chord(delta, chord), sees, strong=True)


def _scan(points: Float64Array, near: float, sees: BoolArray | None, strong: bool) -> BoolArray:
    check_points(points)
    kept = np.zeros(points.shape[:-1], bool)
    for place in range(points.shape[-2]):
        gaps = points[..., :place, :] - points[..., place : place + 1, :]
        close = np.einsum("...i,...i->...", gaps, gaps) <= near
        if sees is not None:
            close = close & sees[place, :place]
        kept[..., place] = ~(close if strong else close & kept[..., :place]).any(axis=-1)
    return kept


def captured(
    points: Float64Array,
    centres: Float64Array,
    kept: BoolArray,
    radius: float,
    *,
    sees: BoolArray | None = None,
    chord: bool = False,
) -> Float64Array:
    """Return the share of positions within a radius of some centre.

    Parameters
    ----------
    points : (s, ..., n, d)
        Where the positions are; the axes between may be times.
    centres : (s, ..., n, d)
        Where each position would be as a centre: ``points`` for centres that move, the start for centres that are
        fixed. An axis between may be 1.
    kept : (s, n) bool
        Which positions are centres.
    radius : float
        Angle, or chord.
    sees : (n, n) bool, optional
        A position is captured only by itself and by centres that it sees at any depth.

    Returns
    -------
    (s, ...) float64

    Notes
    -----
    The paper's figure 3 shows the share "consumed" by centres; its definition was not at hand, and this one is ours.

    Examples
    --------
    >>> points = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> captured(points, points, np.array([[True, False, False]]), 0.1).round(3).tolist()
    [0.667]
    """
    check_points(points)
    check_points(centres)
    near = square_of_chord(radius, chord)
    shares = [_share(*parts, near, sees) for parts in zip(points, centres, kept, strict=True)]
    return np.array(shares)


def _share(
    points: Float64Array, centres: Float64Array, kept: BoolArray, near: float, sees: BoolArray | None
) -> Float64Array:
    """Return the share for one start, (...), from points and centres (..., n, d)."""
    which = np.flatnonzero(kept)
    if points.ndim > 2 and points[..., 0].size * len(which) > AT_ONCE:
        every = np.broadcast_to(centres, points.shape)
        return np.array([_share(*parts, kept, near, sees) for parts in zip(points, every, strict=True)])
    close = _close(points, centres[..., which, :], near)
    if sees is not None:
        close &= sees[:, which]
    return np.asarray(close.any(axis=-1).mean(axis=-1), np.float64)


def _close(points: Float64Array, others: Float64Array, near: float) -> BoolArray:
    """Return whether |x - y|^2 <= near, (..., n, m).

    Computed by products of unit vectors, or by differences where products would lose digits.
    """
    if near > DIGITS:
        return np.asarray(points @ others.swapaxes(-1, -2) >= 1 - near / 2)
    square = np.zeros((*np.broadcast_shapes(points.shape[:-1], (*others.shape[:-2], 1)), others.shape[-2]))
    for axis in range(points.shape[-1]):
        square += (points[..., :, None, axis] - others[..., None, :, axis]) ** 2
    return np.asarray(square <= near)


def clusters(points: Float64Array, angle: float) -> Int64Array:
    """Count clusters: connected components of the graph that joins positions at an angle of at most ``angle``.

    Single linkage, so a string of near neighbours is one cluster however long it is. Which positions see which plays no
    part.

    Parameters
    ----------
    points : (..., n, d) float64
        Unit vectors.
    angle : float

    Returns
    -------
    (...) int64

    Examples
    --------
    >>> turn = np.array([0.0, 0.09, 0.18, 3.0])
    >>> int(clusters(np.stack([np.cos(turn), np.sin(turn)], axis=-1), 0.1))
    2
    """
    check_points(points)
    near = square_of_chord(angle)
    if points.shape[-1] == 2:
        return np.asarray(np.maximum((_gaps_on_circle(points) > near).sum(axis=-1), 1), np.int64)
    flat = points.reshape(-1, *points.shape[-2:])
    return np.array([_labels(each, near).max() + 1 for each in flat], np.int64).reshape(points.shape[:-2])


def least_gap(points: Float64Array, angle: float) -> float:
    """Return the least angle between positions of two different clusters, as ``clusters`` counts them.

    Infinite where there is one cluster.

    Parameters
    ----------
    points : (n, d) float64
        Unit vectors.
    angle : float

    Examples
    --------
    >>> turn = np.array([0.0, 0.09, 0.18, 1.18])
    >>> round(least_gap(np.stack([np.cos(turn), np.sin(turn)], axis=-1), 0.1), 12)
    1.0
    """
    check_points(points)
    near = square_of_chord(angle)
    if points.shape[-1] == 2:
        apart = _gaps_on_circle(points)
        apart = apart[apart > near] if (apart > near).sum() > 1 else apart[:0]
    else:
        labels = _labels(points, near)
        apart = (2 - 2 * points @ points.T)[labels[:, None] != labels]
    return float(2 * np.arcsin(np.sqrt(apart.min() / 4))) if len(apart) else np.inf


def _gaps_on_circle(points: Float64Array) -> Float64Array:
    """Return the squared chords between neighbours in order of angle, cyclically: (..., n) from (..., n, 2)."""
    order = np.argsort(np.arctan2(points[..., 1], points[..., 0]), axis=-1)
    ordered = np.take_along_axis(points, order[..., None], axis=-2)
    gaps = ordered - np.roll(ordered, 1, axis=-2)
    return np.asarray(np.einsum("...i,...i->...", gaps, gaps), np.float64)


def _labels(points: Float64Array, near: float) -> Int64Array:
    """Number the clusters of points by breadth-first search from one member of each; every row is read once."""
    close, labels, count = _close(points, points, near), np.full(len(points), -1), 0
    for first in range(len(points)):
        if labels[first] >= 0:
            continue
        front = np.array([first])
        while front.size:
            labels[front] = count
            front = np.flatnonzero(close[front].any(axis=0) & (labels < 0))
        count += 1
    return labels
