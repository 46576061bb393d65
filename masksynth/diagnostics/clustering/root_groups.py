"""Group positions by the roots that they follow, and measure how near to them they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.diagnostics import statements
from masksynth.diagnostics.clustering.hemispheres import starts_in_hemispheres
from masksynth.diagnostics.clustering.roots import FIXED, Following
from masksynth.diagnostics.clustering.statements import Law, Statement, statement
from masksynth.mask.typing import BoolArray, Float64Array


@dataclass(frozen=True)
class Group:
    """Positions that follow the same roots and have the same status.

    Parameters
    ----------
    status : str
        Key of ``masksynth.diagnostics.clustering.MEANING``.
    roots : tuple of int
        The least position of each minimal class that they see; all that never move are one group without.
    positions : tuple of int
    gap : tuple of float
        Over time: the angle to the farthest position of a root, the least of these where there are several roots; the
        mean over positions and seeds.
    gathered : tuple of float
        Over time: the share of them with an angle of at most ``Clustering.angle``, the mean over seeds.
    half : float or None
        The median over seeds of the first time at which half of them are, and stay, within that angle; None where it is
        not reached.
    hemisphere : int or None
        Where gathering in one point is no theorem and V = I: the number of starts at which all that these positions see
        lies in an open hemisphere, so that it is one. None elsewhere, and where that would be too much to compute.
    certainty, source, meaning : str
        What is known of their limit: ``theorem``, ``conjecture``, ``open`` or ``refuted``; by whom; in words.
    """

    status: str
    roots: tuple[int, ...]
    positions: tuple[int, ...]
    gap: tuple[float, ...]
    gathered: tuple[float, ...]
    half: float | None
    hemisphere: int | None
    certainty: statements.Status
    source: str
    meaning: str


def gaps(x: Float64Array, found: Following) -> Float64Array:
    """Return the angle from each position to the farthest member of a root, (seeds, T, n): least over its roots."""
    result = np.full(x.shape[:-1], np.pi)
    for number, root in enumerate(found.roots):
        members = np.flatnonzero(found.leader == root)
        above = np.flatnonzero(found.below[:, number])
        result[..., above] = np.minimum(result[..., above], _farthest(x[:, :, above], x[:, :, members]))
    return result


def _farthest(points: Float64Array, members: Float64Array) -> Float64Array:
    """Return angles by differences, which keep small ones, for one member, and by products for several."""
    if members.shape[2] == 1:
        return _angle(((points - members) ** 2).sum(axis=-1))
    found = np.empty(points.shape[:-1])
    for place in np.ndindex(points.shape[:2]):
        found[place] = (points[place] @ members[place].T).min(axis=-1)
    return _angle(2 - 2 * found)


def _angle(square: Float64Array) -> Float64Array:
    return np.asarray(2 * np.arcsin(np.minimum(np.sqrt(np.maximum(square, 0)) / 2, 1.0)), np.float64)


def groups(x: Float64Array, times: Float64Array, found: Following, angle: float, law: Law) -> tuple[Group, ...]:
    """Group positions by status and roots, the largest group first."""
    apart = gaps(x, found)
    roots = np.array(found.roots)
    by: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for place, status in enumerate(found.status):
        of = () if status == FIXED else tuple(roots[found.below[place]].tolist())
        by.setdefault((status, of), []).append(place)
    made = []
    for (status, of), places in by.items():
        size = int((found.leader == of[0]).sum()) if len(of) == 1 else 0
        known = statement(status, x.shape[-1], law, size)
        half = _hemisphere(known, law, of, places, x, found)
        made.append(
            Group(status, of, tuple(places), *_gathered(apart[:, :, places], times, angle), half, *_words(known))
        )
    return tuple(sorted(made, key=lambda group: (-len(group.positions), group.positions)))


def statements_of(found: Sequence[Group]) -> list[dict[str, str]]:
    """Return what is known of groups, each once: a name (their status), a claim, its own status, and the source."""
    known = dict.fromkeys((each.status, each.meaning, each.certainty, each.source) for each in found)
    return [
        statements.Statement(name, words.removeprefix(str(Statement(status, source, ""))), status, source)._asdict()
        for name, words, status, source in known
    ]


def _words(known: Statement) -> tuple[statements.Status, str, str]:
    return known.certainty, known.source, str(known)


def _gathered(
    apart: Float64Array, times: Float64Array, angle: float
) -> tuple[tuple[float, ...], tuple[float, ...], float | None]:
    """Return the mean angle and the share within ``angle`` over time, and the time of half of them."""
    inside = apart <= angle
    shares = inside.mean(axis=-1)
    late = np.median([_since(share >= 0.5, times) for share in shares])
    return (
        tuple(np.round(apart.mean(axis=(0, 2)), 6).tolist()),
        tuple(np.round(shares.mean(axis=0), 6).tolist()),
        float(late) if np.isfinite(late) else None,
    )


def _hemisphere(
    known: Statement, law: Law, of: tuple[int, ...], places: list[int], x: Float64Array, found: Following
) -> int | None:
    if known.certainty == "theorem" or len(of) != 1 or law.value is None or law.value <= 0:
        return None
    return starts_in_hemispheres(x[:, 0], np.flatnonzero(found.sees[places].any(axis=0)))


def _since(reached: BoolArray, times: Float64Array) -> float:
    """Return the time from which on something holds; infinite if it does not hold at the end."""
    if not reached[-1]:
        return np.inf
    missed = np.flatnonzero(~reached)
    return float(times[missed[-1] + 1]) if len(missed) else 0.0
