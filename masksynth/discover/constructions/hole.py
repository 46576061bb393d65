"""The expanding hole: queries read one another while the target of the reader is outside what they have read.

Query k predicts the element at its site, hidden with the ball of radius rho about it. With reaches 0 = r_0 < r_1 < ..,
it has read, after layer l < L, exactly the tokens at distances from rho + 1 to r_l: see ``docs/discovery.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Structure, prune
from masksynth.mask.typing import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class Sites:
    """Where tokens and targets lie.

    Parameters
    ----------
    tokens : (m,) int64
        Elements that are embedded.
    targets : (T,) int64
        Element at the centre of what each target hides.
    distance : (n, n) integers
        Distance of each two elements: a metric, 0 on the diagonal.
    radius : int
        Each target hides the elements at distances of at most this.
    """

    tokens: Int64Array
    targets: Int64Array
    distance: Int64Array
    radius: int = 0


def expanding_hole(sites: Sites, reaches: Sequence[int], layers: int | None = None) -> Structure:
    """Return the expanding hole with given reaches r_1 < .. < r_{L-1}.

    Parameters
    ----------
    sites : Sites
    reaches : sequence of int
        Greatest distance that has been read after each layer but the last.
    layers : int, optional
        Number of layers, at least that of the reaches and one more, which is the default.

    Examples
    --------
    >>> place = np.arange(4)
    >>> line = Sites(place, place, abs(place[:, None] - place))
    >>> [len(reads.query) for reads in expanding_hole(line, [1]).reads]
    [6, 18]
    """
    raw = sites.distance[sites.targets[:, None], sites.tokens]
    apart = sites.distance[sites.targets[:, None], sites.targets]
    count, depth, before = len(sites.tokens), len(reaches) + 1, 0
    parts = []
    for layer in range(1, depth + 1):
        is_last = layer == depth
        seen = raw > sites.radius
        others = apart > before + sites.radius
        if not is_last:
            reach = reaches[layer - 1]
            seen &= raw <= reach
            others &= apart <= reach - before
            before = reach
        parts.append(_events(layer, seen, count, 0))
        if layer > 1:  # before the first layer queries are blank
            parts.append(_events(layer, others, count, count))
    size = count + len(sites.targets)
    reads = Events.join(*parts).reads(size, depth, depth if layers is None else layers)
    element = np.concatenate([sites.tokens, np.full(len(sites.targets), -1)])
    return prune(Structure(element, reads, count + np.arange(len(sites.targets)), "expanding hole"), "layered")


def _events(layer: int, pairs: BoolArray, queries: int, keys: int) -> Events:
    """Return the reads of a layer from a table of queries by keys, with the positions of the first of each."""
    query, key = np.nonzero(pairs)
    return Events(np.full(len(query), layer), queries + query, keys + key)


def doubling_reaches(diameter: int, layers: int, radius: int = 0) -> list[int]:
    """Return L - 1 reaches that let queries be read in as many layers as possible, up to about half of the diameter.

    Layer l reads queries only if r_l > 2 r_{l-1} + radius; reaches grow by r_l = 2 r_{l-1} + radius + 2, from the
    greatest first reach with which the last one is at most half of the diameter.

    Examples
    --------
    >>> doubling_reaches(63, layers=5), doubling_reaches(7, layers=6)
    ([2, 6, 14, 30], [3])
    """
    for count in range(layers - 1, 0, -1):
        for first in range(diameter // 2, radius, -1):
            reaches = [first]
            while len(reaches) < count:
                reaches.append(2 * reaches[-1] + radius + 2)
            if reaches[-1] <= diameter // 2:
                return reaches
    return []
