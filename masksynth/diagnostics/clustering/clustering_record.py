"""The record of a clustering diagnosis."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from masksynth.diagnostics.clustering.lasting import Lasting
from masksynth.diagnostics.clustering.root_groups import Group, statements_of
from masksynth.diagnostics.clustering.value_spectrum import Spectrum, spectrum_record
from masksynth.mask.typing import AnyArray


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
        Their expected numbers for the causal mask: of random starts, or of given ones in all orders of their points.
        The second on a circle without room left, where there are as many positions. None elsewhere.
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
        Eigenvalues of V, None where it is not given.
    similarity : Curve or None
        Mean inner product of two different positions over time: 1 is complete collapse.
    lasting : tuple of Lasting or None
        Of each start the state of several clusters that lasts longest, on a logarithmic scale of time.
    first_centres : tuple of (str, tuple of int)
        Positions that are Renyi and strong centres of the first start.
    to_leading : tuple of float or None
        Over time, where V is given: the mean angle between a token and L, the span of the leading eigenvectors of V.
    reached : int or None
        For a causal mask and a given V: in how many starts the end is the configuration that V predicts.
    lasting_gap : float or None
        Median over starts of the least angle between two clusters where the longest state begins.
    two_tokens : float or None
        The time that two tokens alone take from that angle until they are one cluster, for Q = K = V = I; None where it
        exceeds 1e260.
    expected_of_law : float or None
        Where starts are given: the expected number of strong centres among infinitely many draws from all their points.
    start_given : bool
        Whether the starts are given, not random: ``seed`` has no part in them.
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
    reached: int | None = None
    lasting_gap: float | None = None
    two_tokens: float | None = None
    expected_of_law: float | None = None
    start_given: bool = False

    def record(self) -> dict[str, Any]:
        """Return the fields as JSON values, ``captured`` by name, and what is known: ``meaning``, ``statements``."""
        result = asdict(self)
        result["captured"] = dict(result["captured"])
        result["value"] = None if self.value is None else spectrum_record(self.value)
        meaning = {group.status: group.meaning for group in reversed(self.groups)}
        return {**result, "meaning": meaning, "statements": statements_of(self.groups)}


def curve(values: AnyArray) -> Curve:
    """Return the mean, 10th and 90th percentile for each time of an array (T, seeds).

    Examples
    --------
    >>> curve(np.array([[1, 3], [2, 2]])).mean
    (2.0, 2.0)
    """
    low, high = np.percentile(values, [10, 90], axis=1)
    return Curve(*(tuple(np.round(each, 6).tolist()) for each in (values.mean(axis=1), low, high)))
