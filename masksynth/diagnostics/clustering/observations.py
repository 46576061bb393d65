"""Move the starts of a diagnosis in batches, and keep what its record shows of each instead of all states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.diagnostics.clustering.centres import captured, clusters, least_gap, renyi_centres, strong_centres
from masksynth.diagnostics.clustering.final_configurations import reached
from masksynth.diagnostics.clustering.lasting import Lasting, lasting, similarity
from masksynth.diagnostics.clustering.root_groups import Part, hemispheres, nearness
from masksynth.diagnostics.clustering.roots import Following
from masksynth.diagnostics.clustering.simulate import trajectories
from masksynth.diagnostics.clustering.vector_field import Weights
from masksynth.mask import Mask
from masksynth.mask.typing import AnyArray, BoolArray, Float64Array, Int64Array

ANGLE = float(np.arccos(0.999))
"""Two positions are in one cluster at an inner product of 0.999 or more, 0.0447 radians."""
NUMBERS = 2**22
"""Coordinates of all recorded states of a batch: 32 MB, in addition to about eight times as much for its steps."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What moves the positions of a mask, and what is observed.

    Parameters
    ----------
    mask : Mask
    found : Following
    parts : tuple of Part
    times : (T,)
    beta : float
    given : Weights
    delta : float
        Distance of centres; there are none where it exceeds pi.
    order : (n,)
        The order in which centres are chosen.
    space : (d, k) or None
        Basis of the span of the leading eigenvectors of V, if V is given.
    configuration : str
        Final configuration that V predicts, if V is given.
    """

    mask: Mask
    found: Following
    parts: tuple[Part, ...]
    times: Float64Array
    beta: float
    given: Weights
    delta: float
    order: NDArray[np.intp]
    space: Float64Array | None
    configuration: str


class Observed(NamedTuple):
    """Numbers of some starts: (s, T) over time, (s, T, G) for each group of positions, (s,) for each start.

    ``hemispheres`` is (s, G), -1 where it is not known, ``captured`` is (s, T, 4), ``centres`` (s, 2): Renyi and strong
    ones. ``reached`` says where the final configuration is the one that V predicts. ``lasting`` has one entry a start.
    """

    clusters: Int64Array
    similarity: Float64Array
    gap: Float64Array
    gathered: Float64Array
    captured: Float64Array
    centres: Int64Array
    hemispheres: Int64Array
    to_leading: Float64Array
    reached: BoolArray
    lasting: tuple[Lasting | None, ...]
    lasting_gap: Float64Array


class First(NamedTuple):
    """The first start: its trajectory (T, n, d), and which positions are Renyi and strong centres (2, n)."""

    x: Float64Array
    centres: BoolArray


def observe(
    plan: Plan,
    seeds: int,
    start: Callable[[int, int], Float64Array],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Observed, First]:
    """Return what is observed of ``seeds`` starts, batch by batch.

    Parameters
    ----------
    plan : Plan
    seeds : int
    start : callable
        Return the starts first, ..., last - 1 as unit vectors (last - first, n, d).
    progress : callable
        Told after each batch how many starts are done, of how many.
    """
    batches = []
    first = None
    for begin, end in _batches(plan, seeds, start(0, 1).shape[2]):
        x = _moved(plan, start(begin, end))
        kept = _kept(plan, x[:, 0])
        first = first or First(x[0].copy(), kept[:, 0].copy())
        batches.append(_observed(plan, x, kept, seeds))
        progress(end, seeds)
    assert first is not None  # there is a start
    columns = zip(*batches, strict=True)
    joined: Any = [sum(each, ()) if isinstance(each[0], tuple) else np.concatenate(each) for each in columns]
    return Observed(*joined), first


def _batches(plan: Plan, seeds: int, dim: int) -> Iterator[tuple[int, int]]:
    """Return ranges of starts whose recorded states are at most ``NUMBERS`` coordinates, one start at least."""
    size = max(1, NUMBERS // (len(plan.times) * plan.mask.size * dim))
    return ((begin, min(begin + size, seeds)) for begin in range(0, seeds, size))


def _moved(plan: Plan, start: Float64Array) -> Float64Array:
    """Return trajectories; Q = K = V = I are not passed on, so that the circle is integrated by angles."""
    eye = np.eye(start.shape[-1])
    given = plan.given
    named = {name: getattr(given, name) for name in given._fields if not np.array_equal(getattr(given, name), eye)}
    return trajectories(plan.mask, start, plan.times, beta=plan.beta, **named)


def _kept(plan: Plan, start: Float64Array) -> BoolArray:
    """Return which positions are Renyi and strong centres of the starts, (2, s, n); none where delta exceeds pi."""
    kept = np.zeros((2, *start.shape[:2]), bool)
    if plan.delta <= np.pi:
        sees = plan.found.sees[np.ix_(plan.order, plan.order)]
        for number, choose in enumerate((renyi_centres, strong_centres)):
            kept[number][:, plan.order] = choose(start[:, plan.order], plan.delta, sees=sees)
    return kept


def _observed(plan: Plan, x: Float64Array, kept: BoolArray, seeds: int) -> Observed:
    counts = clusters(x, ANGLE)
    states = tuple(lasting(each, plan.times) for each in counts)
    gap, gathered = nearness(x, plan.found, plan.parts, ANGLE)
    far = _angles_to(x, plan.space)
    return Observed(
        clusters=counts,
        similarity=similarity(x),
        gap=gap,
        gathered=gathered,
        captured=_captured(plan, x, kept),
        centres=kept.sum(axis=2).T,
        hemispheres=hemispheres(x[:, 0], plan.parts, seeds),
        to_leading=far.mean(axis=2),
        reached=reached(plan.configuration, x[:, [0, -1]], far[:, [0, -1]], plan.space, ANGLE),
        lasting=states,
        lasting_gap=np.array([_gap_at(plan, *each) for each in zip(x, states, strict=True)]),
    )


def _angles_to(x: Float64Array, space: Float64Array | None) -> Float64Array:
    """Return the angle between each token and a space, (s, T, n); 0 without a space."""
    if space is None:
        return np.zeros(x.shape[:-1])
    return np.asarray(np.arccos(np.minimum(np.linalg.norm(x @ space, axis=-1), 1.0)), np.float64)


def _captured(plan: Plan, x: Float64Array, kept: BoolArray) -> Float64Array:
    """Return the shares within delta / 4 of a Renyi or strong centre, where it is or began: (s, T, 4)."""
    if plan.delta > np.pi:
        return np.zeros((*x.shape[:2], 4))
    shares: list[AnyArray] = []
    for which in kept:
        for centres in (x, x[:, :1]):
            shares.append(captured(x, centres, which, plan.delta / 4, sees=plan.found.sees))
    return np.stack(shares, axis=-1)


def _gap_at(plan: Plan, x: Float64Array, state: Lasting | None) -> float:
    """Return the least angle between two clusters where the longest state of several begins; nan without one."""
    if state is None:
        return np.nan
    return least_gap(x[int(np.searchsorted(plan.times, state.since))], ANGLE)
