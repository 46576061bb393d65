"""The cyclic hole: n positions for all n targets, the position of each token predicting the next one, on a circle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Structure
from masksynth.mask.equal_values import distinct


def cyclic_hole(n: int, reaches: Sequence[int], layers: int | None = None) -> Structure:
    """Return the structure in which token j - 1 predicts token j from all others, for every j modulo n.

    Position j embeds token j and predicts token j + 1. After layer l < L the position that predicts t has read exactly
    the tokens at cyclic distances from 1 to r_l of t.

    Parameters
    ----------
    n : int
        Number of tokens, of positions and of targets: target t is token t.
    reaches : sequence of int
        r_1 >= 1 and r_l >= 2 r_{l-1} + 2, the last at most floor((n - 3) / 2).
    layers : int, optional
        Number of layers, at least one more than that of the reaches, which is the default.

    Raises
    ------
    ValueError
        If the reaches grow more slowly, or exceed what the circle allows.

    Examples
    --------
    >>> structure = cyclic_hole(8, [2])
    >>> structure.size, structure.target.tolist(), [len(reads.query) for reads in structure.reads]
    (8, [7, 0, 1, 2, 3, 4, 5, 6], [24, 24])
    """
    check_reaches(n, reaches)
    token = np.arange(n)
    depth = len(reaches) + 1
    parts = []
    for layer in range(1, depth + 1):
        before = reaches[layer - 2] if layer > 1 else 0
        limit = reaches[layer - 1] - before if layer < depth else n // 2
        target, offset = _around(n, before + 1, limit)
        source = (target + offset) % n  # in the first layer a token, then the target of the position that is read
        key = source if layer == 1 else (source - 1) % n
        parts.append(Events(np.full(len(target), layer), (target - 1) % n, key))
    reads = Events.join(*parts).reads(n, depth, depth if layers is None else layers)
    return Structure(token, reads, (token - 1) % n, "cyclic hole")


def check_reaches(n: int, reaches: Sequence[int]) -> None:
    """Raise ValueError unless the reaches suit a circle of n tokens."""
    largest = (n - 3) // 2
    if not reaches or reaches[0] < 1 or reaches[-1] > largest:
        raise ValueError(f"expected reaches from 1 to {largest} for {n} tokens, got {list(reaches)}")
    for before, after in itertools.pairwise(reaches):
        if after < 2 * before + 2:
            raise ValueError(f"expected a reach of at least {2 * before + 2} after {before}, got {after}")


def cyclic_reaches(n: int, layers: int) -> list[int]:
    """Return reaches for at most L layers: as many as the circle allows, each as large as those after it allow.

    Examples
    --------
    >>> cyclic_reaches(64, layers=5), cyclic_reaches(8, layers=5), cyclic_reaches(4, layers=2)
    ([2, 6, 14, 30], [2], [])
    """
    reaches: list[int] = []
    reach = (n - 3) // 2
    while reach >= 1 and len(reaches) < layers - 1:
        reaches.append(reach)
        reach = (reach - 2) // 2
    return reaches[::-1]


def _around(n: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (target, offset) for each target and each place of the circle at distances from low to high of it."""
    distance = np.arange(low, high + 1)
    offset = distinct(np.concatenate([distance, n - distance]))
    return np.repeat(np.arange(n), len(offset)), np.tile(offset, n)
