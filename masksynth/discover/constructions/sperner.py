"""Sperner masks: leave-one-out at depth two, by hubs whose sets tell any two tokens apart both ways.

Token i is in the hubs of a word A_i, and no word holds another; its query reads hubs outside A_i, which hold every
other token and not i. Among h hubs at most C(h, floor(h / 2)) words do not hold one another (Sperner, 1928).
"""

from __future__ import annotations

from itertools import combinations, islice
from math import comb

import numpy as np

from masksynth.contracts import Weights
from masksynth.discover.constructions.events import Events
from masksynth.discover.structure import Reads, Structure, prune
from masksynth.mask.typing import BoolArray, Int64Array

CHUNK = 256
"""Queries whose redundant reads are sought together."""


def hubs_needed(n: int) -> int:
    """Return s(n), the least h with C(h, floor(h / 2)) >= n.

    Examples
    --------
    >>> [hubs_needed(n) for n in (1, 2, 3, 4, 6, 7, 1024)]
    [0, 2, 3, 4, 4, 5, 13]
    """
    hubs = 0
    while comb(hubs, hubs // 2) < n:
        hubs += 1
    return hubs


def best_hubs(n: int, weights: Weights) -> int:
    """Return the number of hubs in place with which every layer costs least, tokens in no hub being read raw.

    A hub costs one update, a token in no hub n - 1 reads.

    Examples
    --------
    >>> [best_hubs(n, Weights()) for n in (252, 255, 300)]
    [10, 10, 11]
    """

    def cost(hubs: int) -> float:
        late = max(n - comb(hubs, hubs // 2), 0)
        return weights.position * hubs + weights.pair * n * (late + hubs)

    return min(range(2, hubs_needed(n) + 1), key=cost)


def sperner(n: int) -> Structure:
    """Return the Sperner mask of n >= 2 tokens: one mask, safe at any depth, with 2 n + s(n) positions or fewer.

    Each hub embeds one of its tokens and reads the others raw. A token that all its hubs embed needs no position of its
    own; two words without a common hub give two such tokens.

    Examples
    --------
    >>> structure = sperner(8)
    >>> structure.size, len(structure.reads[0].query)
    (19, 34)
    """
    words = _words(n, hubs_needed(n))
    hubs = words.shape[1]
    hub, token = np.nonzero(words.T)
    own = _embedded(words)
    query, key = _cover(words)
    reads = Reads.of_pairs(
        np.concatenate([n + hub[token != own[hub]], n + hubs + query]),
        np.concatenate([token[token != own[hub]], n + key]),
        2 * n + hubs,
    )
    element = np.concatenate([np.arange(n), own, np.full(n, -1)])
    return prune(Structure(element, (reads,), n + hubs + np.arange(n), "Sperner"), "one")


def sperner_in_place(n: int, hubs: int, layers: int = 2) -> Structure | None:
    """Return the Sperner mask whose hubs are tokens that grow in the first of two layers: 2 n positions.

    Parameters
    ----------
    n : int
        Number of tokens.
    hubs : int
        h. If they have fewer than n words, the last n - C(h, floor(h / 2)) tokens, *late* ones, are in no hub, and are
        read raw by every query in the second layer.
    layers : int
        L >= 2; the last two are used.

    Returns
    -------
    Structure or None
        None if the hubs do not find a token each.

    Examples
    --------
    >>> structure = sperner_in_place(8, hubs_needed(8))
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (16, [11, 23])
    """
    words = _words(n, hubs)
    token = _representatives(words)
    if token is None:
        return None
    hub, member = np.nonzero(words.T)
    grows = member != token[hub]
    query, key = _cover(words)
    late = np.flatnonzero(~words.any(axis=1))
    reader, raw = (pairs.ravel() for pairs in np.meshgrid(np.arange(n), late, indexing="ij"))
    reader, raw = reader[reader != raw], raw[reader != raw]
    layer = np.repeat([1, 2, 2], [int(grows.sum()), len(query), len(reader)])
    events = Events(
        layer,
        np.concatenate([token[hub[grows]], n + query, n + reader]),
        np.concatenate([member[grows], token[key], raw]),
    )
    element = np.concatenate([np.arange(n), np.full(n, -1)])
    structure = Structure(element, events.reads(2 * n, 2, layers), n + np.arange(n), "Sperner in place")
    return prune(structure, "layered")


def _embedded(words: BoolArray) -> Int64Array:
    """Return the token that each hub embeds: the same one in all hubs of a word, for as many words as are disjoint."""
    own = np.full(words.shape[1], -1)
    for token, word in enumerate(words):
        if (own[word] < 0).all():
            own[word] = token
    return np.where(own < 0, words.argmax(axis=0), own)


def _words(n: int, hubs: int) -> BoolArray:
    """Return (n, h): the hubs of each token, sets of floor(h / 2) hubs: the first in lexicographic order, and the last.

    The first and the last are disjoint.
    """
    words = np.zeros((n, hubs), bool)
    size = hubs // 2
    if size:
        chosen = np.array(list(islice(combinations(range(hubs), size), n)))
        chosen[-1] = np.arange(hubs - size, hubs)
        words[np.arange(len(chosen))[:, None], chosen] = True
    return words


def _cover(words: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Return (query, hub): of the hubs outside its word, those that each query needs to read.

    Hubs are left out one after another, the first ones first, where every token that they hold is in another hub that
    the query still reads.
    """
    hubs = words.shape[1]
    bits = words @ (1 << np.arange(hubs))
    filled = words.any(axis=0)
    kept = np.where(filled, ~words, False)
    for start in range(0, len(words), CHUNK):
        rows = kept[start : start + CHUNK]
        read = rows @ (1 << np.arange(hubs))
        for hub in np.flatnonzero(filled):
            members = bits[words[:, hub]]
            # read without this hub, a member must be in one of the others
            covered = ((read & ~(1 << hub))[:, None] & members).all(axis=1) & rows[:, hub]
            rows[covered, hub] = False
            read[covered] &= ~(1 << hub)
    return tuple(np.nonzero(kept))  # type: ignore[return-value]


def _representatives(words: BoolArray) -> Int64Array | None:
    """Return a token of each hub, all different, by augmenting paths; None if there are none."""
    holder: dict[int, int] = {}

    def give(hub: int, tried: set[int]) -> bool:
        """Give a hub one of its tokens, if other hubs can move."""
        for token in np.flatnonzero(words[:, hub]).tolist():
            if token not in tried:
                tried.add(token)
                if token not in holder or give(holder[token], tried):
                    holder[token] = hub
                    return True
        return False

    if not all(give(hub, set()) for hub in range(words.shape[1])):
        return None
    token_of = {hub: token for token, hub in holder.items()}
    return np.array([token_of[hub] for hub in range(words.shape[1])], np.int64)
