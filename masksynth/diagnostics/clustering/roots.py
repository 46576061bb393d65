"""Find the roots that each position follows under a mask, and the shape of what it sees (its status).

A class is a set of positions that see each other at some depth. A class is minimal, a *root*, if its positions see
nothing outside it. The *down-set* of a position is what it sees at any depth, itself included. The dynamics of a
down-set does not depend on the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from masksynth.diagnostics.clustering.row_blocks import LARGEST_DENSE, check_mask, count_other_keys
from masksynth.diagnostics.components import part_of
from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.posets import closure, least_mutual

FIXED, CHAIN, ONE_ROOT, FIXED_KEYS = "fixed", "chain", "one root", "fixed keys"
COMPLETE, SYMMETRIC, RING, ONE_CLASS = "complete class", "symmetric class", "ring", "one class"
CYCLES_ABOVE, SEVERAL, CYCLES = "one class, cycles above", "several roots", "several roots, cycles"
LEAST_RING = 5
"""Rings of fewer positions do not stay twisted around the circle."""


class Down(NamedTuple):
    """What is known of what a position sees at any depth, itself included: its down-set.

    Parameters
    ----------
    size : int
        Number of positions, 0 where it is not known.
    in_root : bool
        Whether the position belongs to a root itself.
    awake : bool
        Whether no position of it has an empty row.
    own : bool
        Whether each position of it sees itself.
    """

    size: int = 0
    in_root: bool = False
    awake: bool = False
    own: bool = False


UNKNOWN = Down()


@dataclass(frozen=True, eq=False)
class Following:
    """State for each of n positions which roots it follows.

    Parameters
    ----------
    sees : (n, n) bool
        ``[q, k]``: q sees k at some depth, or is k.
    leader : (n,) int64
        The least member of each position's class.
    roots : tuple of int
        Leaders of minimal classes, ascending.
    below : (n, roots) bool
        Which roots each position sees.
    status : tuple of n str
        Keys of ``MEANING``: the shape of the down-set, on which it depends which theorem applies.
    down : tuple of n Down
    """

    sees: BoolArray
    leader: Int64Array
    roots: tuple[int, ...]
    below: BoolArray
    status: tuple[str, ...]
    down: tuple[Down, ...]


def following(mask: Mask) -> Following:
    """Find for each position the roots that it follows, and the shape of its down-set.

    Raises
    ------
    InvalidInstance
        If the mask has no positions or several tables.
    Unsupported
        If it has more than 8,192 positions.

    Examples
    --------
    Two roots, a position that sees one of them, and one that sees both through others.

    >>> rows = np.eye(4, dtype=bool)
    >>> rows[2, 0] = rows[3, 1] = rows[3, 2] = True
    >>> found = following(Mask.from_dense(rows))
    >>> found.roots, found.status
    ((0, 1), ('fixed', 'fixed', 'chain', 'several roots'))
    """
    check_mask(mask)
    if mask.size > LARGEST_DENSE:
        raise Unsupported(f"expected at most {LARGEST_DENSE:,} positions, got {mask.size:,}")
    direct = mask.dense()
    sees = closure(direct)
    leader = np.asarray(least_mutual(sees), np.int64)
    members = np.bincount(leader, minlength=mask.size)
    down = sees.sum(axis=1)
    roots = np.flatnonzero((leader == np.arange(mask.size)) & (down == members))
    below = sees[:, roots]
    status = _status(direct, sees, members[leader], below.sum(axis=1), count_other_keys(mask))
    in_root = np.isin(leader, roots)
    return Following(sees, leader, tuple(roots.tolist()), below, status, _downs(direct, sees, down, in_root))


def _downs(direct: BoolArray, sees: BoolArray, size: Int64Array, in_root: BoolArray) -> tuple[Down, ...]:
    awake, own = (~(sees & fault).any(axis=1) for fault in (~direct.any(axis=1), ~direct.diagonal()))
    facts = (size, in_root, awake, own)
    return tuple(Down(*each) for each in zip(*(fact.tolist() for fact in facts), strict=True))


def parts(mask: Mask) -> int:
    """Count the connected components of a mask; a position without any pair is one.

    Examples
    --------
    >>> parts(Mask.from_dense(np.kron(np.eye(2, dtype=bool), np.ones((3, 3), dtype=bool))))
    2
    """
    part = part_of(mask)
    return int(part.max(initial=-1)) + 1 + int((part < 0).sum())


def _status(
    direct: BoolArray, sees: BoolArray, of_class: Int64Array, roots: Int64Array, keys: Int64Array
) -> tuple[str, ...]:
    """Return the strongest status of each position; later assignments are stronger."""
    down = sees.sum(axis=1)
    acyclic = ~(sees & (of_class > 1)).any(axis=1)
    full = ~(sees & (direct != sees).any(axis=1)).any(axis=1)
    total = (sees @ down.astype(np.float64)).astype(np.int64) == down * (down + 1) // 2
    moves = keys > 0
    of_fixed = ~(direct & moves & ~np.eye(len(direct), dtype=bool)).any(axis=1)
    result = np.where(acyclic, SEVERAL, CYCLES).astype(object)
    for shape, holds in _shapes(direct, sees, of_class, roots, keys).items():
        result[holds] = shape
    result[of_fixed & (roots > 1)] = FIXED_KEYS
    result[acyclic & (roots == 1)] = ONE_ROOT
    result[acyclic & full & total] = CHAIN
    result[~moves] = FIXED
    return tuple(result.tolist())


def _shapes(
    direct: BoolArray, sees: BoolArray, of_class: Int64Array, roots: Int64Array, keys: Int64Array
) -> dict[str, BoolArray]:
    """Return which positions have one root, by the shape of that; all its positions see the same number of others."""
    one = roots == 1
    mutual = sees & sees.T
    minimal = sees.sum(axis=1) == of_class
    above = (sees & (~minimal & (of_class > 1))).any(axis=1)
    one_way = (direct & mutual & ~direct.T).any(axis=1) & minimal
    lacking = (keys != of_class - 1) & minimal
    not_alone = ((keys != 1) | direct.diagonal() | (of_class < LEAST_RING)) & minimal
    lacks_none, alone, both_ways = (~(sees & fault).any(axis=1) for fault in (lacking, not_alone, one_way))
    return {
        ONE_CLASS: one,
        RING: one & alone,
        SYMMETRIC: one & both_ways,
        COMPLETE: one & lacks_none,
        CYCLES_ABOVE: one & above,
    }
