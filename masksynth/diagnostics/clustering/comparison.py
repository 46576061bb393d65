"""Compare masks by what they do to collapse, from the same random starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from masksynth.diagnostics.clustering.clustering_record import Clustering
from masksynth.diagnostics.clustering.diagnosis import Run, diagnose_run
from masksynth.diagnostics.clustering.roots import FIXED
from masksynth.diagnostics.clustering.statements import CERTAINTIES
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask

HALF = 0.5
"""Mean inner product from which positions count as half collapsed."""


@dataclass(frozen=True)
class Row:
    """What one mask does to collapse.

    Parameters
    ----------
    name : str
    positions, pairs, roots : int
        ``roots`` counts the roots, those included that no other position follows.
    clusters : float
        At the end, the mean over starts.
    similarity : float
        Mean inner product of two positions at the end.
    half : float or None
        First recorded time at which the mean inner product is at least ``HALF``, and stays so; None if it never is.
    known : mapping of str to int
        For how many positions the limit is a theorem, a conjecture, open, refuted.
    """

    name: str
    positions: int
    pairs: int
    roots: int
    clusters: float
    similarity: float
    half: float | None
    known: Mapping[str, int]


def compare(
    masks: Mapping[str, Mask], progress: Callable[[str, int, int], None] = lambda name, done, of: None, **options: Any
) -> dict[str, Clustering]:
    """Diagnose several masks from the same random starts; start s of n positions is the first n of any longer one.

    Parameters
    ----------
    masks : mapping of names to Mask
    progress : callable
        Told the name of a mask, and how many starts of how many are done.
    **options
        Of ``diagnose``.

    Raises
    ------
    InvalidInstance
        Without masks, or as ``diagnose``.

    Examples
    --------
    A window lets positions collapse later than the causal mask does.

    >>> from masksynth.diagnostics.clustering.row_blocks import causal_mask
    >>> masks = {"causal": causal_mask(16), "window 2": window_mask(16, 2)}
    >>> causal, window = map(row_of, *zip(*compare(masks, beta=1.0, time=30.0, seeds=4).items()))
    >>> causal.half < window.half, causal.roots, window.roots
    (True, 1, 1)
    """
    if not masks:
        raise InvalidInstance("expected masks, got none", "")
    run = Run(**options)
    return {name: diagnose_run(mask, run, partial(progress, name)) for name, mask in masks.items()}


def row_of(name: str, result: Clustering) -> Row:
    """Return what a diagnosis says of collapse, as a row of a table.

    Raises
    ------
    InvalidInstance
        If the record is of an older version, without ``similarity``.
    """
    if result.similarity is None:
        raise InvalidInstance("the record has no similarity", name, "diagnose the mask again")
    sums: Counter[str] = Counter()
    for group in result.groups:
        sums["theorem" if group.hemisphere == result.seeds else group.certainty] += len(group.positions)
    mean = np.array(result.similarity.mean)
    below = np.flatnonzero(mean < HALF)
    since = int(below[-1]) + 1 if len(below) else 0
    return Row(
        name,
        result.positions,
        result.pairs,
        len({root for group in result.groups for root in (group.positions if group.status == FIXED else group.roots)}),
        result.clusters.mean[-1],
        result.similarity.mean[-1],
        result.times[since] if since < len(mean) else None,
        {name: sums[name] for name in CERTAINTIES if sums[name]},
    )


def window_mask(n: int, width: int) -> Mask:
    """Return the causal mask in which each of n positions sees itself and the width - 1 before it.

    Examples
    --------
    >>> window_mask(4, 2).pairs
    7
    """
    return _banded(n, np.maximum(np.arange(n) + 1 - _checked(width, n), 0), np.arange(n) + 1)


def prefix_mask(n: int, prefix: int) -> Mask:
    """Return the mask of n positions whose first see one another; all others are causal (prefix-LM).

    Examples
    --------
    >>> prefix_mask(4, 2).pairs
    11
    """
    return _banded(n, np.zeros(n, int), np.maximum(np.arange(n) + 1, _checked(prefix, n)))


def _checked(number: int, n: int) -> int:
    if not 1 <= number <= n:
        raise InvalidInstance(f"expected a window or prefix of 1 to {n} positions, got {number}", "")
    return number


def _banded(n: int, start: Any, end: Any) -> Mask:
    return Mask(np.arange(n + 1)[None], start.astype(np.int32), end.astype(np.int32))
