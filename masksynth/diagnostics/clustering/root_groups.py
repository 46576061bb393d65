"""Group positions by the roots that they follow, and measure how near to them they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.diagnostics import statements
from masksynth.diagnostics.clustering.hemispheres import affordable, starts_in_hemispheres
from masksynth.diagnostics.clustering.limit_statement import PAGE, Statement
from masksynth.diagnostics.clustering.other_values import tries_half_spaces
from masksynth.diagnostics.clustering.roots import FIXED, Following
from masksynth.diagnostics.clustering.statements import statement
from masksynth.diagnostics.clustering.weight_laws import Law, top_space
from masksynth.mask.typing import BoolArray, Float64Array, Int64Array


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
        Where gathering in one point is not a theorem unless all that these positions see starts in an open hemisphere
        (of L, the parts in it, for V other than I): the number of starts that do. None elsewhere, and where that
        would be too much to compute.
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


class Part(NamedTuple):
    """Positions that follow the same roots and have the same status, and what is known of them.

    ``down`` is what they see at any depth where the theorem of an open hemisphere is to be tried, else None; ``space``
    is a basis of L, whose hemispheres count, where L is not the whole space.
    """

    status: str
    roots: tuple[int, ...]
    positions: tuple[int, ...]
    known: Statement
    down: NDArray[np.intp] | None
    space: Float64Array | None


def partition(found: Following, law: Law, value: Float64Array) -> tuple[Part, ...]:
    """Return the positions by status, roots and what is known of them under V, the largest part first."""
    roots = np.array(found.roots)
    size = np.bincount(found.leader, minlength=len(found.status))
    by: dict[tuple[str, tuple[int, ...], Statement, bool], list[int]] = {}
    for place, (status, down) in enumerate(zip(found.status, found.down, strict=True)):
        of = () if status == FIXED else tuple(roots[found.below[place]].tolist())
        known = statement(status, len(value), law, int(size[of[0]]) if len(of) == 1 else 0, down)
        tries = known.certainty != "theorem" and len(of) == 1 and tries_half_spaces(status, law, down)
        by.setdefault((status, of, known, tries), []).append(place)
    space = top_space(value) if law.top.dim else None
    made = []
    for (status, of, known, tries), places in by.items():
        below = np.flatnonzero(found.sees[places].any(axis=0)) if tries else None
        made.append(Part(status, of, tuple(places), known, below, space))
    return tuple(sorted(made, key=lambda part: (-len(part.positions), part.positions)))


def nearness(
    x: Float64Array, found: Following, parts: Sequence[Part], angle: float
) -> tuple[Float64Array, Float64Array]:
    """Return the mean angle of each part to its root, and the share of it within ``angle``: (seeds, T, parts) each."""
    apart = gaps(x, found)
    means = np.empty((*x.shape[:2], len(parts)))
    shares = np.empty_like(means)
    for number, part in enumerate(parts):
        chosen = apart[:, :, part.positions]
        means[:, :, number] = chosen.mean(axis=-1)
        shares[:, :, number] = (chosen <= angle).mean(axis=-1)
    return means, shares


def hemispheres(start: Float64Array, parts: Sequence[Part], seeds: int) -> Int64Array:
    """Return whether what each part sees starts in an open hemisphere, (s, parts); -1 where that is not computed.

    ``seeds`` counts all starts, of which (s, n, d) are given: it decides whether linear programs are too expensive.
    """
    result = np.full((len(start), len(parts)), -1)
    for number, part in enumerate(parts):
        parts_in_space = start if part.space is None else start @ part.space
        if part.down is not None and affordable(seeds, len(part.down), parts_in_space.shape[2]):
            result[:, number] = starts_in_hemispheres(parts_in_space, part.down)
    return result


def groups(
    parts: Sequence[Part], times: Float64Array, gap: Float64Array, gathered: Float64Array, inside: Int64Array
) -> tuple[Group, ...]:
    """Return the groups from ``nearness`` and ``hemispheres`` of all starts."""
    made = []
    for number, (status, of, places, known, *_) in enumerate(parts):
        late = np.median([_since(share >= 0.5, times) for share in gathered[:, :, number]])
        made.append(
            Group(
                status,
                of,
                places,
                tuple(np.round(gap[:, :, number].mean(axis=0), 6).tolist()),
                tuple(np.round(gathered[:, :, number].mean(axis=0), 6).tolist()),
                float(late) if np.isfinite(late) else None,
                None if (inside[:, number] < 0).any() else int(inside[:, number].sum()),
                known.certainty,
                known.source,
                str(known),
            )
        )
    return tuple(made)


def statements_of(found: Sequence[Group]) -> list[dict[str, str]]:
    """Return what is known of groups, each once: a name (their status), a claim, its own status, and the source.

    The source of what is evident, or conjectured here, is the page.
    """
    known = dict.fromkeys((each.status, each.meaning, each.certainty, each.source) for each in found)
    return [
        statements.Statement(
            name, words.removeprefix(str(Statement(status, source, ""))), status, source or PAGE
        )._asdict()
        for name, words, status, source in known
    ]


def _since(reached: BoolArray, times: Float64Array) -> float:
    """Return the time from which on something holds; infinite if it does not hold at the end."""
    if not reached[-1]:
        return np.inf
    missed = np.flatnonzero(~reached)
    return float(times[missed[-1] + 1]) if len(missed) else 0.0
