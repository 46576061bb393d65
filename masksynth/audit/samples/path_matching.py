"""Map positions onto causal samples by paths: what a position continues, and so on down to a beginning.

A position of a causal sample stands at the end of a path of tokens. The position that it continues is guessed, best
guess first; the path is then compared with the prefixes of all samples by rolling hashes, so that a row with a key too
many or too few, or a chain of thousands of wrong rows, is still placed. A position whose token is wrong is taken for
the sample's next token that stands nowhere, and the path goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.layer_reach import nearest_key
from masksynth.audit.samples.expected_mask import Expected
from masksynth.mask import Mask
from masksynth.verify.colour_refinement import draw
from masksynth.verify.interval_sets import runs_of

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that it has an inverse modulo 2^64."""
GUESSES = 24
"""Most wrong tokens on one path that are guessed."""
TOPS = 20_000
"""Most positions that are guessed at."""


@dataclass(frozen=True, eq=False)
class Trie:
    """The prefix tree of the causal samples.

    Parameters
    ----------
    node : (U,) int64
        The node of each token, -1 in samples with segments.
    key : (M,) uint64
        Rolling hash of each node's prefix, rising.
    token : (M,) int64
        A token of each node.
    parent : (M,) int64
        The node before it, -1 for a first token.
    live : (M,) bool
        Whether some label depends on a token of it.
    """

    node: Ints
    key: Words
    token: Ints
    parent: Ints
    live: NDArray[np.bool_]


def build_trie(expected: Expected, identity: Ints, words: Words) -> Trie:
    """Return the prefix tree of the causal samples; ``words`` are random, one for each identity."""
    node = np.full(len(identity), -1, np.int64)
    token = np.flatnonzero(expected.causal)
    key, first, inverse = np.unique(
        _prefix_hashes(expected, words[identity])[token], return_index=True, return_inverse=True
    )
    node[token] = inverse
    some = token[first]
    before = np.where(expected.index[some] > 0, node[some - 1], -1)
    live = np.zeros(len(key), bool)
    live[node[token[expected.spans.live[token]]]] = True
    return Trie(node, key, some, before, live)


def _prefix_hashes(expected: Expected, word: Words) -> Words:
    """Return sum of word[v] * BASE ** (u - v) over the tokens v up to u of the same sample, modulo 2^64."""
    count = len(word)
    power, inverse = _powers(BASE, count + 1), _powers(_inverse(BASE), count + 1)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(word * inverse[:count], dtype=np.uint64)])
    begin = expected.table.offset[expected.sample]
    found: Words = (total[1:] - total[begin]) * power[:count]
    return found


def _powers(base: np.uint64, count: int) -> Words:
    steps = np.full(count, base, np.uint64)
    steps[:1] = 1
    return np.cumprod(steps, dtype=np.uint64)


def _inverse(odd: np.uint64) -> np.uint64:
    return np.uint64(pow(int(odd), -1, 2**64))


class Paths:
    """The prefix tree of the causal samples, and the node of each position that is known so far.

    Parameters
    ----------
    mask : Mask
    positions : (N,) int64, optional
        Position ids.
    mine, theirs : (N,), (U,) int64
        Identities of positions and tokens, numbered together.
    expected : Expected

    Attributes
    ----------
    trie : Trie
    node : (N,) int64
        -1 where none is known.
    held, near : list of (N,) int64
        What each position may continue, best guess first: keys of its rows; positions near it, whatever its rows hold.
    """

    def __init__(self, mask: Mask, positions: Ints | None, mine: Ints, theirs: Ints, expected: Expected) -> None:
        words = draw(int(max(mine.max(initial=-1), theirs.max(initial=-1))) + 1, mine.tobytes(), theirs.tobytes())[:, 0]
        self.mine, self.theirs, self.word = mine, theirs, words[mine]
        self.trie = build_trie(expected, theirs, words)
        self.node = np.full(mask.size, -1, np.int64)
        self.held = [*(() if positions is None else _keys_one_less(mask, positions)), nearest_key(mask)]
        self.near = [*(() if positions is None else [_nearest_one_less(positions)]), np.arange(mask.size) - 1]

    def follow(self, ways: list[Ints]) -> None:
        """Give a node to every position whose path is a prefix of a sample, by one way after the other."""
        for before in ways if len(self.trie.key) else ():
            _place(self.trie, self.node, self.word, before)

    def guess(self, allowed: NDArray[np.bool_]) -> bool:
        """Take positions whose path breaks at themselves for live tokens that stand nowhere, and go on from there.

        Returns whether no limit ended it.
        """
        if not len(self.trie.key) or not (allowed & (self.node < 0)).any():
            return True
        guesser = _Guesser(self)
        ended = [guesser.run(before, allowed) for before in (*self.held, *self.near)]
        return all(ended)

    def tops(self) -> NDArray[np.bool_]:
        """Return which positions without a node continue a position with one, or none at all."""
        before = self.held[0]
        found: NDArray[np.bool_] = (self.node < 0) & ((before < 0) | (self.node[before] >= 0))
        return found


def _place(trie: Trie, node: Ints, word: Words, before: Ints) -> None:
    """Give a node to every position whose path, through positions not placed yet, is a prefix; in place.

    Pointers are doubled: after r rounds a position knows the hash of 2^r positions below it.
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
    at = np.minimum(np.searchsorted(trie.key, value[:size]), len(trie.key) - 1)
    fits = ~placed & (trie.key[at] == value[:size])
    node[fits] = at[fits]


def _nearest_one_less(positions: Ints) -> Ints:
    """Return the nearest position before each one whose position id is one less, -1 for none."""
    width, number = len(positions) + 1, np.arange(len(positions))
    code = np.sort(positions * width + number)
    at = np.searchsorted(code, (positions - 1) * width + number) - 1
    known = (at >= 0) & (code[at] >= (positions - 1) * width)
    return np.where(known, code[at] % width, -1)


def _keys_one_less(mask: Mask, positions: Ints) -> list[Ints]:
    """Return for each position a key of its rows whose position id is one less, -1 for none.

    Three choices: the nearest before it, else the nearest after it; the first; the last.
    """
    width = mask.size + 1
    code = np.append(np.sort(positions * width + np.arange(mask.size)), np.iinfo(np.int64).max)
    below, last = np.full(mask.size, -1, np.int64), np.full(mask.size, -1, np.int64)
    above, first = np.full(mask.size, width, np.int64), np.full(mask.size, width, np.int64)
    for table in range(mask.tables):
        rows = runs_of(mask, table)
        query = np.repeat(np.arange(mask.size), np.diff(rows.offset))
        wanted = (positions[query] - 1) * width
        for begin, end, low, high in (
            (rows.start, np.minimum(rows.end, query), None, below),
            (np.maximum(rows.start, query + 1), rows.end, above, None),
            (rows.start, rows.end, first, last),
        ):
            # the keys of an interval with the wanted position id are one range of the sorted code
            lower, upper = np.searchsorted(code, wanted + begin), np.searchsorted(code, wanted + end)
            hit = (lower < upper) & (begin < end)
            if low is not None:
                np.minimum.at(low, query[hit], code[lower[hit]] - wanted[hit])
            if high is not None:
                np.maximum.at(high, query[hit], code[upper[hit] - 1] - wanted[hit])
    nearest = np.where(below >= 0, below, np.where(above < width, above, -1))
    return [nearest, np.where(first < width, first, -1), last]


class _Guesser:
    """Take positions whose path breaks at themselves for live tokens that stand nowhere.

    Children of a node are looked up by their parent; children that go on with some identity by parent and that
    identity.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths, trie = paths, paths.trie
        self.node, self.left = paths.node, TOPS
        self.children = np.argsort(trie.parent, kind="stable")
        self.cut = np.searchsorted(trie.parent[self.children], np.arange(-1, len(trie.key) + 1))
        self.width = int(max(paths.mine.max(initial=-1), paths.theirs.max(initial=-1))) + 1
        inner = np.flatnonzero(trie.parent >= 0)
        code = (trie.parent[trie.parent[inner]] + 1) * self.width + paths.theirs[trie.token[inner]]
        order = np.argsort(code, kind="stable")
        self.code, self.between = code[order], trie.parent[inner[order]]
        self.free = trie.live.copy()
        self.free[self.node[self.node >= 0]] = False

    def run(self, before: Ints, allowed: NDArray[np.bool_]) -> bool:
        """Guess along one way of continuing positions; return whether no limit ended it."""
        for _ in range(GUESSES):
            below = np.where(before >= 0, self.node[before], -1)
            tops = np.flatnonzero(allowed & (self.node < 0) & ((before < 0) | (below >= 0)))[: self.left]
            self.left -= len(tops)
            after = _continued_by(before, tops)
            placed = False
            for top in tops.tolist():
                if (choice := self._choose(int(below[top]), after.get(top, []))) >= 0:
                    self.node[top], self.free[choice], placed = choice, False, True
            if not placed:
                return self.left > 0
            _place(self.paths.trie, self.node, self.paths.word, before)
            self.free[self.node[self.node >= 0]] = False
        return False

    def _choose(self, below: int, after: list[int]) -> int:
        """Return the child of a node that goes on as a position does, a free one if there is; -1 for none.

        Where no position goes on, that is the only free child.
        """
        if not after:
            here = self.children[self.cut[below + 1] : self.cut[below + 2]]
            here = here[self.free[here]]
            return int(here[0]) if len(here) == 1 else -1
        for place in after:
            if (number := int(self.node[place])) >= 0:
                parent = int(self.paths.trie.parent[number])
                if parent >= 0 and int(self.paths.trie.parent[parent]) == below:
                    return parent
        for place in after:
            wanted = (below + 1) * self.width + int(self.paths.mine[place])
            low, high = np.searchsorted(self.code, wanted, "left"), np.searchsorted(self.code, wanted, "right")
            if low < high:
                numbers = self.between[low:high]
                return int(numbers[self.free[numbers].argmax()])
        return -1


def _continued_by(before: Ints, tops: Ints) -> dict[int, list[int]]:
    """Return for each of some positions those that continue it."""
    found: dict[int, list[int]] = {}
    for place in np.flatnonzero((before >= 0) & np.isin(before, tops))[: 4 * TOPS].tolist():
        found.setdefault(int(before[place]), []).append(place)
    return found
