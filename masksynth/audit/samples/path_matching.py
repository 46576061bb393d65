"""Map positions onto causal samples by paths: the position that each one continues, down to a first token.

A position of a causal sample is the end of a path of tokens. The position that it continues is guessed, the most likely
first; the path is then compared with the prefixes of all samples by rolling hashes, so that a row with a key too many
or too few, or a chain of thousands of wrong rows, is still placed. A position with a wrong token is taken for the next
token of the sample that has no position, and the path continues from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.audit.layer_reach import nearest_key
from masksynth.audit.samples.expected_mask import Expected
from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums
from masksynth.mask.intervals import row_intervals
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.verify.colour_refinement import draw

BASE = np.uint64(0x9E3779B97F4A7C15)
"""Base of the rolling hash; odd, so that it has an inverse modulo 2^64."""
GUESSES = 24
"""Maximum number of wrong tokens on one path that are guessed."""
TOPS = 20_000
"""Maximum number of positions at which a token is guessed."""


@dataclass(frozen=True, eq=False)
class Trie:
    """Prefix tree of the causal samples, with M nodes.

    Parameters
    ----------
    node : (U,) int64
        The node of each token, -1 in samples with segments.
    key : (M,) uint64
        Rolling hash of each node's prefix, ascending.
    token : (M,) int64
        A token of each node.
    parent : (M,) int64
        The node of the previous token, -1 for a first token.
    live : (M,) bool
        Whether some label depends on a token of the node.
    """

    node: Int64Array
    key: UInt64Array
    token: Int64Array
    parent: Int64Array
    live: BoolArray


def build_trie(expected: Expected, identity: Int64Array, words: UInt64Array) -> Trie:
    """Return the prefix tree of the causal samples.

    Parameters
    ----------
    expected : Expected
    identity : (U,) int64
        Codes of the identities of the tokens.
    words : (codes,) uint64
        A random word for each code.
    """
    node = np.full(len(identity), -1, np.int64)
    token = np.flatnonzero(expected.causal)
    hashes = _prefix_hashes(expected, words[identity])[token]
    key, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    node[token] = inverse
    example = token[first]
    parent = np.where(expected.index[example] > 0, node[example - 1], -1)
    live = np.zeros(len(key), bool)
    live[node[token[expected.spans.live[token]]]] = True
    return Trie(node, key, example, parent, live)


def _prefix_hashes(expected: Expected, word: UInt64Array) -> UInt64Array:
    """Return sum of word[v] * BASE ** (u - v) over the tokens v up to u of the same sample, modulo 2^64."""
    count = len(word)
    power, inverse = _powers(BASE, count + 1), _powers(np.uint64(pow(int(BASE), -1, 2**64)), count + 1)
    total = prefix_sums(word * inverse[:count])  # prefix sums of word[v] * BASE ** -v
    begin = expected.table.offset[expected.sample]
    hashes: UInt64Array = (total[1:] - total[begin]) * power[:count]
    return hashes


def _powers(base: np.uint64, count: int) -> UInt64Array:
    """Return base ** 0, ..., base ** (count - 1) modulo 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


class Paths:
    """Keep the prefix tree of the causal samples and the node of each position, as far as it is known.

    Parameters
    ----------
    mask : Mask
    positions : (N,) int64, optional
        Position ids.
    position_code, token_code : (N,), (U,) int64
        Codes of the identities of positions and tokens, comparable with each other.
    expected : Expected

    Attributes
    ----------
    trie : Trie
    node : (N,) int64
        -1 where none is known.
    attended, nearby : list of (N,) int64
        The position that each one may continue, -1 for none, most likely first: a key of its rows; a position near it,
        whether or not its rows contain it.
    """

    def __init__(
        self,
        mask: Mask,
        positions: Int64Array | None,
        position_code: Int64Array,
        token_code: Int64Array,
        expected: Expected,
    ) -> None:
        codes = int(max(position_code.max(initial=-1), token_code.max(initial=-1))) + 1
        words = draw(codes, position_code.tobytes(), token_code.tobytes())[:, 0]
        self.position_code, self.token_code, self.word = position_code, token_code, words[position_code]
        self.trie = build_trie(expected, token_code, words)
        self.node = np.full(mask.size, -1, np.int64)
        by_id = () if positions is None else _keys_with_previous_id(mask, positions)
        near_id = () if positions is None else (_nearest_with_previous_id(positions),)
        self.attended = [*by_id, nearest_key(mask)]
        self.nearby = [*near_id, np.arange(mask.size) - 1]

    def follow(self, choices: list[Int64Array]) -> None:
        """Give a node to every position whose path is a prefix of a sample, for each choice of predecessors."""
        for before in choices if len(self.trie.key) else ():
            _place_by_hash(self.trie, self.node, self.word, before)

    def nodes_through_nearby(self) -> Int64Array:
        """Return the nodes of all positions if paths also continued through nearby positions."""
        known = self.node.copy()
        self.follow(self.nearby)
        node, self.node = self.node, known
        return node

    def guess(self, allowed: BoolArray) -> bool:
        """Take positions at which a path breaks for live tokens without a position, and continue from there.

        Returns whether no limit was reached.
        """
        if not len(self.trie.key) or not (allowed & (self.node < 0)).any():
            return True
        guesser = _Guesser(self)
        finished = [guesser.run(before, allowed) for before in (*self.attended, *self.nearby)]
        return all(finished)

    def tops(self) -> BoolArray:
        """Return which positions without a node continue a position with one, or begin a path."""
        before = self.attended[0]
        result: BoolArray = (self.node < 0) & ((before < 0) | (self.node[before] >= 0))
        return result


def _place_by_hash(trie: Trie, node: Int64Array, word: UInt64Array, before: Int64Array) -> None:
    """Give a node to every position whose path, through positions without a node, is a prefix; in place.

    Pointer doubling: after r rounds a position has the hash of the 2^r positions below it.
    """
    size = len(node)
    placed = node >= 0
    link = np.append(np.where(placed | (before < 0), size, before), size)
    value = np.append(np.where(placed, trie.key[node], word), np.uint64(0))
    power = np.append(np.full(size, BASE), np.uint64(1))
    while (link < size).any():
        value = value + value[link] * power
        power = power * np.where(link < size, power[link], np.uint64(1))
        link = link[link]
    candidate = np.minimum(np.searchsorted(trie.key, value[:size]), len(trie.key) - 1)
    fits = ~placed & (trie.key[candidate] == value[:size])
    node[fits] = candidate[fits]


def _nearest_with_previous_id(positions: Int64Array) -> Int64Array:
    """Return the nearest position before each one whose position id is one less, -1 for none."""
    width, number = len(positions) + 1, np.arange(len(positions))
    code = np.sort(positions * width + number)  # (position id, position) as one integer
    entry = np.searchsorted(code, (positions - 1) * width + number) - 1
    exists = (entry >= 0) & (code[entry] >= (positions - 1) * width)
    return np.where(exists, code[entry] % width, -1)


def _keys_with_previous_id(mask: Mask, positions: Int64Array) -> list[Int64Array]:
    """Return for each position a key of its rows whose position id is one less, -1 for none.

    There are three choices: the nearest before it, else the nearest after it; the first; the last.
    """
    width = mask.size + 1
    code = np.append(np.sort(positions * width + np.arange(mask.size)), np.iinfo(np.int64).max)
    below, last = np.full(mask.size, -1, np.int64), np.full(mask.size, -1, np.int64)
    above, first = np.full(mask.size, width, np.int64), np.full(mask.size, width, np.int64)
    for table in range(mask.tables):
        query, start, end = row_intervals(mask, table)
        base = (positions[query] - 1) * width
        for low, high, least, most in (
            (start, np.minimum(end, query), None, below),
            (np.maximum(start, query + 1), end, above, None),
            (start, end, first, last),
        ):
            # the keys of an interval with the wanted position id are one range of the sorted codes
            lower, upper = np.searchsorted(code, base + low), np.searchsorted(code, base + high)
            hit = (lower < upper) & (low < high)
            if least is not None:
                np.minimum.at(least, query[hit], code[lower[hit]] - base[hit])
            if most is not None:
                np.maximum.at(most, query[hit], code[upper[hit] - 1] - base[hit])
    nearest = np.where(below >= 0, below, np.where(above < width, above, -1))
    return [nearest, np.where(first < width, first, -1), last]


class _Guesser:
    """Take positions at which a path breaks for live tokens that have no position.

    Children of a node are looked up by their parent, grandchildren by their grandparent and their identity.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths, trie = paths, paths.trie
        self.node, self.budget = paths.node, TOPS
        self.children = np.argsort(trie.parent, kind="stable")
        self.offset = np.searchsorted(trie.parent[self.children], np.arange(-1, len(trie.key) + 1))
        self.width = int(max(paths.position_code.max(initial=-1), paths.token_code.max(initial=-1))) + 1
        inner = np.flatnonzero(trie.parent >= 0)
        code = (trie.parent[trie.parent[inner]] + 1) * self.width + paths.token_code[trie.token[inner]]
        order = np.argsort(code, kind="stable")
        self.code, self.between = code[order], trie.parent[inner[order]]
        self.free = trie.live.copy()
        self.free[self.node[self.node >= 0]] = False

    def run(self, before: Int64Array, allowed: BoolArray) -> bool:
        """Guess along one choice of predecessors; return whether no limit was reached."""
        for _ in range(GUESSES):
            below = np.where(before >= 0, self.node[before], -1)
            tops = np.flatnonzero(allowed & (self.node < 0) & ((before < 0) | (below >= 0)))[: self.budget]
            self.budget -= len(tops)
            continued_by = _continuations(before, tops)
            placed = False
            for top in tops.tolist():
                if (choice := self._choose(int(below[top]), continued_by.get(top, []))) >= 0:
                    self.node[top], self.free[choice], placed = choice, False, True
            if not placed:
                return self.budget > 0
            _place_by_hash(self.paths.trie, self.node, self.paths.word, before)
            self.free[self.node[self.node >= 0]] = False
        return False

    def _choose(self, below: int, followers: list[int]) -> int:
        """Return the child of a node that continues as one of the followers does, a free one if possible; -1 for none.

        Without followers, that is the only free child.
        """
        if not followers:
            children = self.children[self.offset[below + 1] : self.offset[below + 2]]
            children = children[self.free[children]]
            return int(children[0]) if len(children) == 1 else -1
        for follower in followers:
            if (number := int(self.node[follower])) >= 0:
                parent = int(self.paths.trie.parent[number])
                if parent >= 0 and int(self.paths.trie.parent[parent]) == below:
                    return parent
        for follower in followers:
            sought = (below + 1) * self.width + int(self.paths.position_code[follower])
            low, high = np.searchsorted(self.code, sought, "left"), np.searchsorted(self.code, sought, "right")
            if low < high:
                nodes = self.between[low:high]
                return int(nodes[self.free[nodes].argmax()])
        return -1


def _continuations(before: Int64Array, tops: Int64Array) -> dict[int, list[int]]:
    """Return the positions that continue each of ``tops``."""
    followers: dict[int, list[int]] = {}
    for position in np.flatnonzero((before >= 0) & np.isin(before, tops))[: 4 * TOPS].tolist():
        followers.setdefault(int(before[position]), []).append(position)
    return followers
