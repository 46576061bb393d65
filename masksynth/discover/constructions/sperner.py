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
from masksynth.mask.csr import repeat_index, repeat_ranges
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


def hubs_of_fewest_edges(n: int) -> int:
    """Return the number of hubs with which n >= 2 tokens need the fewest edges, some of them as twins.

    With h hubs there are n h - h edges to and from hubs, and g (g - 1) more for each word of g tokens.

    Examples
    --------
    >>> [hubs_of_fewest_edges(n) for n in (4, 8, 64, 1024)]
    [2, 4, 7, 12]
    """
    return min(range(2, hubs_needed(n) + 1), key=lambda hubs: int(edges_with_hubs(np.array([n]), hubs)[0]))


def edges_with_hubs(sizes: Int64Array, hubs: int) -> Int64Array:
    """Return the edges of Sperner masks in place of given numbers of tokens, before redundant reads are left out.

    Examples
    --------
    >>> edges_with_hubs(np.array([4, 8]), 4).tolist()
    [12, 32]
    """
    words = comb(hubs, hubs // 2)
    share, rest = np.divmod(sizes, words)
    twins = rest * share * (share + 1) + (words - rest) * share * np.maximum(share - 1, 0)
    edges: Int64Array = sizes * hubs - hubs + twins
    return edges


def hubs_of_least_cost(n: int, weights: Weights) -> int:
    """Return the number of hubs in place with which every layer costs least, tokens in no hub being read raw.

    A hub costs one update, a token in no hub n - 1 reads.

    Examples
    --------
    >>> [hubs_of_least_cost(n, Weights()) for n in (252, 255, 300)]
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
        h. Tokens beyond C(h, floor(h / 2)) repeat words: the queries of tokens of one word, *twins*, read one another's
        token raw, in the first layer.
    layers : int
        L >= 2; the last two are used.

    Returns
    -------
    Structure or None
        None if the hubs do not find a token each.

    Examples
    --------
    >>> structure = sperner_in_place(8, 4)
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (16, [16, 16])
    """
    return _in_place(_words(n, hubs), layers)


def sperner_with_late_tokens(n: int, hubs: int, layers: int = 2) -> Structure | None:
    """Return `sperner_in_place` in which tokens beyond C(h, floor(h / 2)) are in no hub: all queries read them raw.

    Where the cost counts every layer, that spares their keys and values in the first layer.

    Examples
    --------
    >>> structure = sperner_with_late_tokens(8, 4)
    >>> structure.size, [len(reads.query) for reads in structure.reads]
    (16, [8, 32])
    """
    words = _words(n, hubs)
    words[comb(hubs, hubs // 2) :] = False
    return _in_place(words, layers)


def _in_place(words: BoolArray, layers: int) -> Structure | None:
    """Return the structure of two layers for given words."""
    n, token = len(words), _representatives(words)
    if token is None:
        return None
    hub, member = np.nonzero(words.T)
    grows = member != token[hub]
    query, key = _cover(words)
    reader, raw = _raw_reads(words)
    # a twin may be a hub, and is raw in the first layer only; late tokens are read in the last one, as all else
    first = np.where(words[raw].any(axis=1), 1, 2)
    events = Events(
        np.concatenate([np.repeat([1, 2], [int(grows.sum()), len(query)]), first]),
        np.concatenate([token[hub[grows]], n + query, n + reader]),
        np.concatenate([member[grows], token[key], raw]),
    )
    element = np.concatenate([np.arange(n), np.full(n, -1)])
    structure = Structure(element, events.reads(2 * n, 2, layers), n + np.arange(n), "Sperner in place")
    return prune(structure, "layered")


def _raw_reads(words: BoolArray) -> tuple[Int64Array, Int64Array]:
    """Return (query, token): the tokens of a query's own word, and those without a word."""
    codes = words @ (1 << np.arange(words.shape[1]))
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], codes, side="left")
    twins = np.searchsorted(codes[order], codes, side="right") - first
    late = np.flatnonzero(codes == 0)
    query = np.concatenate([repeat_index(twins), np.repeat(np.flatnonzero(codes), len(late))])
    token = np.concatenate([order[repeat_ranges(first, twins)], np.tile(late, int((codes > 0).sum()))])
    return query[query != token], token[query != token]


def _embedded(words: BoolArray) -> Int64Array:
    """Return the token that each hub embeds: the same one in all hubs of a word, for as many words as are disjoint."""
    own = np.full(words.shape[1], -1)
    for token, word in enumerate(words):
        if (own[word] < 0).all():
            own[word] = token
    return np.where(own < 0, words.argmax(axis=0), own)


def _words(n: int, hubs: int) -> BoolArray:
    """Return (n, h): the hubs of each token, sets of floor(h / 2) hubs: the first in lexicographic order, and the last.

    The first and the last are disjoint. Where there are fewer sets than tokens all are repeated, in turn.
    """
    words = np.zeros((n, hubs), bool)
    size = hubs // 2
    if size:
        chosen = np.array(list(islice(combinations(range(hubs), size), n)))
        chosen[-1] = np.arange(hubs - size, hubs)
        words[np.arange(n)[:, None], chosen[np.arange(n) % len(chosen)]] = True
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
