"""Diagnose the clustering of a mask: clusters over time, captured positions, and the roots that positions follow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.diagnostics.clustering.centres import captured, clusters, renyi_centres, strong_centres
from masksynth.diagnostics.clustering.counts import expected_renyi_circle, expected_strong, expected_strong_of_law
from masksynth.diagnostics.clustering.interaction import check_beta
from masksynth.diagnostics.clustering.lasting import Lasting, lasting, similarity
from masksynth.diagnostics.clustering.root_groups import Group, groups, statements_of
from masksynth.diagnostics.clustering.roots import Following, following, parts
from masksynth.diagnostics.clustering.row_blocks import causal_mask, count_other_keys
from masksynth.diagnostics.clustering.setting import (
    Setting,
    check_distance,
    fields_of_setting,
    given_start,
    given_weights,
)
from masksynth.diagnostics.clustering.simulate import trajectories
from masksynth.diagnostics.clustering.statements import law_of
from masksynth.diagnostics.clustering.value_spectrum import Spectrum, spectrum_record
from masksynth.diagnostics.clustering.vector_field import Weights
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.algebra import attends_to_self, is_causal
from masksynth.mask.typing import AnyArray, BoolArray, Float64Array

ANGLE = float(np.arccos(0.999))
"""Two positions are in one cluster at an inner product of 0.999 or more, 0.0447 radians."""
MOMENTS = 61
SHOWN = 256
"""Maximum number of positions whose paths a record keeps for a picture."""
LONGEST = 100_000.0
"""Longest time; even at rest steps cannot grow beyond a few units."""


@dataclass(frozen=True)
class Curve:
    """Summarise a number over the recorded times: mean, 10th and 90th percentile over seeds."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Clustering:
    """Result of simulating the particle system of a mask from several starts.

    Parameters
    ----------
    positions, pairs : int
    empty, without_self : int
        Rows that see nothing, and rows that see others but not themselves.
    parts : int
        Into how many the mask falls that see nothing of one another.
    beta, dim, seeds, seed, time : numbers
        How it was run.
    delta, radius, angle : float
        Distance of centres (4 / sqrt(beta)), what a centre captures (delta / 4), what joins two positions to a cluster.
    causal : bool
        Whether the mask is the causal one, to which the expected numbers apply.
    times : tuple of float
    clusters : Curve
    centres, strong : float or None
        Renyi and strong Renyi centres of the starts, the mean over seeds; None where delta exceeds pi.
    expected_strong, expected_renyi : float or None
        Their expected numbers for the causal mask; the second on a circle without room left, where there are as many
        positions. None elsewhere.
    captured : tuple of (str, Curve)
        Share of positions within ``radius`` of a centre: ``renyi``, ``strong`` as they move, ``renyi fixed``, ``strong
        fixed`` where they began. Empty where delta exceeds pi.
    groups : tuple of Group
        Largest first.
    paths : (n, moments, dim) nested tuples or None
        The first seed's trajectories, for a picture.
    setting : str
        Where Q, K, V and the starts are from; empty for Q = K = V = I and random starts.
    value : Spectrum or None
        Eigenvalues of V, None for V = I.
    similarity : Curve or None
        Mean inner product of two different positions over time: 1 is complete collapse.
    lasting : tuple of Lasting or None
        Of each start the state of several clusters that lasts longest, on a logarithmic scale of time.
    first_centres : tuple of (str, tuple of int)
        Positions that are Renyi and strong centres of the first start.
    to_leading : tuple of float or None
        Over time, for V other than I: the mean angle between a token and L, the span of the leading eigenvectors of V.
    """

    positions: int
    pairs: int
    empty: int
    without_self: int
    parts: int
    beta: float
    dim: int
    seeds: int
    seed: int
    time: float
    delta: float
    radius: float
    angle: float
    causal: bool
    times: tuple[float, ...]
    clusters: Curve
    centres: float | None
    strong: float | None
    expected_strong: float | None
    expected_renyi: float | None
    captured: tuple[tuple[str, Curve], ...]
    groups: tuple[Group, ...]
    paths: tuple[Any, ...] | None = None
    setting: str = ""
    value: Spectrum | None = None
    to_leading: tuple[float, ...] | None = None
    similarity: Curve | None = None
    lasting: tuple[Lasting | None, ...] = ()
    first_centres: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the fields as JSON values, ``captured`` by name, and what is known: ``meaning``, ``statements``."""
        result = asdict(self)
        result["captured"] = dict(result["captured"])
        result["value"] = None if self.value is None else spectrum_record(self.value)
        meaning = {group.status: group.meaning for group in reversed(self.groups)}
        return {**result, "meaning": meaning, "statements": statements_of(self.groups)}


def diagnose(
    mask: Mask,
    *,
    beta: float = 9.0,
    dim: int = 3,
    seeds: int = 8,
    time: float = 100.0,
    seed: int = 0,
    paths: bool = False,
    setting: Setting | None = None,
) -> Clustering:
    """Move the positions of a mask by attention, and report where they gather.

    Parameters
    ----------
    mask : Mask
        One table of at most 8,192 positions.
    beta : float
        Inverse temperature, positive.
    dim : int
        Dimension of the space whose unit sphere contains the tokens, at least 2.
    seeds : int
        Random starts: independent uniform points. Starts that are given count themselves.
    time : float
        How long, up to 100,000; a time of 1 is a layer whose step is 1.
    seed : int
        Seed of the random starts.
    paths : bool
        Keep trajectories of the first seed, for a picture.
    setting : Setting, optional
        Q, K, V and points to start from [default: Q = K = V = I, random starts].

    Raises
    ------
    InvalidInstance, Unsupported
        If the mask has no positions, several tables or too many positions, or a number is out of range.

    Examples
    --------
    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> found = diagnose(causal_mask(8), beta=1.0, time=60.0, seeds=2)
    >>> found.clusters.mean[-1], [(group.status, group.roots, group.gathered[-1]) for group in found.groups]
    (1.0, [('chain', (0,), 1.0), ('fixed', (), 1.0)])
    """
    check_beta(beta, 1e-12)
    if not 0 < time <= LONGEST:
        raise InvalidInstance(f"expected 0 < time <= {LONGEST:,.0f}, got {time:g}", "")
    result = following(mask)
    times = np.expm1(np.linspace(0, np.log1p(time), MOMENTS))
    times[-1] = time
    start, given = given_start(setting, mask, dim, seeds, seed), given_weights(setting, dim)
    check_distance(given, time)
    x = _moved(mask, start, times, beta, given)
    counts = clusters(x, ANGLE)
    return Clustering(
        beta=float(beta),
        dim=dim,
        seeds=len(start),
        seed=seed,
        time=float(time),
        angle=ANGLE,
        times=tuple(times.tolist()),
        clusters=curve(counts.T),
        groups=groups(x, times, result, ANGLE, law_of(beta, given)),
        paths=_nested(np.round(x[0, :, :SHOWN].transpose(1, 0, 2), 4).tolist()) if paths else None,
        similarity=curve(similarity(x).T),
        lasting=tuple(lasting(each, times) for each in counts),
        **_of_mask(mask),
        **_of_centres(mask, x, result, float(4 / np.sqrt(beta)), setting is not None and setting.start is not None),
        **fields_of_setting(setting, given, x),
    )


def _of_mask(mask: Mask) -> dict[str, Any]:
    """Return the fields that the mask alone decides."""
    return {
        "positions": mask.size,
        "pairs": mask.pairs,
        "empty": int((np.diff(mask.row_offset[0]) == 0).sum()),
        "without_self": int((~attends_to_self(mask) & (count_other_keys(mask) > 0)).sum()),
        "parts": parts(mask),
        "causal": mask == causal_mask(mask.size),
    }


def _of_centres(mask: Mask, x: Float64Array, result: Following, delta: float, given: bool) -> dict[str, Any]:
    """Return the fields about centres at distance delta; ``given`` says that starts are not random."""
    order = scan_order(mask, result)
    sees = result.sees[np.ix_(order, order)]
    kept = _centres(x[:, 0, order], delta, sees) if delta <= np.pi else {}
    means = {name: float(which.sum(axis=1).mean()) for name, which in kept.items()}
    expected = kept and mask == causal_mask(mask.size)
    return {
        "delta": delta,
        "radius": delta / 4,
        "centres": means.get("renyi"),
        "strong": means.get("strong"),
        "expected_strong": _expected_strong(delta, x[:, 0], given) if expected else None,
        "expected_renyi": _expected_renyi(delta, mask.size) if expected and x.shape[3] == 2 and not given else None,
        "captured": _captures(x[:, :, order], kept, delta / 4, sees),
        "first_centres": tuple((name, _places(order[which[0]])) for name, which in kept.items()),
    }


def _places(positions: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(sorted(positions.tolist()))


def _moved(mask: Mask, start: Float64Array, times: Float64Array, beta: float, given: Weights) -> Float64Array:
    """Return trajectories; Q = K = V = I are not passed on, so that the circle is integrated by angles."""
    eye = np.eye(start.shape[-1])
    named = {name: getattr(given, name) for name in given._fields if not np.array_equal(getattr(given, name), eye)}
    return trajectories(mask, start, times, beta=beta, **named)


def scan_order(mask: Mask, result: Following) -> NDArray[np.intp]:
    """Return the order in which centres are chosen: by position in a causal mask, else by size of down-sets."""
    if is_causal(mask):
        return np.arange(mask.size)
    return np.argsort(result.sees.sum(axis=1), kind="stable")


def curve(values: AnyArray) -> Curve:
    """Return the mean, 10th and 90th percentile for each time of an array (T, seeds).

    Examples
    --------
    >>> curve(np.array([[1, 3], [2, 2]])).mean
    (2.0, 2.0)
    """
    low, high = np.percentile(values, [10, 90], axis=1)
    return Curve(*(tuple(np.round(each, 6).tolist()) for each in (values.mean(axis=1), low, high)))


def _centres(start: Float64Array, delta: float, sees: BoolArray) -> dict[str, BoolArray]:
    return {"renyi": renyi_centres(start, delta, sees=sees), "strong": strong_centres(start, delta, sees=sees)}


def _nested(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_nested(value) if isinstance(value, list) else value for value in values)


def _expected_strong(delta: float, start: Float64Array, given: bool) -> float:
    """Return the expected number for random starts; for given ones the mean over all orders of their points."""
    if not given:
        return expected_strong(delta, start.shape[2], start.shape[1])
    return float(np.mean([expected_strong_of_law(points, delta) for points in start]))


def _expected_renyi(delta: float, n: int) -> float | None:
    """Return the Renyi centres of a full circle, or None where n positions cannot fill one."""
    result = expected_renyi_circle(delta)
    return result if result <= n else None


def _captures(
    x: Float64Array, kept: dict[str, BoolArray], radius: float, sees: BoolArray
) -> tuple[tuple[str, Curve], ...]:
    result = {}
    for name, which in kept.items():
        for ending, fixed in (("", False), (" fixed", True)):
            shares = [captured(x[:, t], x[:, 0 if fixed else t], which, radius, sees=sees) for t in range(x.shape[1])]
            result[name + ending] = curve(np.array(shares))
    return tuple(result.items())
