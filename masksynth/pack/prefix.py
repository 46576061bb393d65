"""Merge causal samples as sorted sequences: neighbours in lexicographic order share the longest prefixes.

A causal token's context is its prefix, so two tokens are equivalent iff they end equal prefixes of identities (token
id, position, additional keys), and the minimal merged task is the trie of each group (``docs/theory.md``, section 6).
With the samples sorted, sample i adds to the trie the tokens beyond its longest common prefix with sample i - 1, and
the trie is laid out depth first. This takes a sort of byte strings, comparisons of long arrays and prefix sums; no trie
is built. Where samples extend one another in the order in which they were read, as the calls of an agent do, only the
last of each chain is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from masksynth.mask.csr import indptr
from masksynth.mask.equal_values import factorize, run_starts
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.sample_columns import SampleTable, key_of

SHORTEST, LONGEST = 64, 1024
"""Tokens of a pair compared at a time: the first number at first, doubled up to the second while nothing differs."""
FEW = 8
"""Pairs from which comparing them together is faster than one after another."""

Buffer = TypeVar("Buffer", bytes, memoryview)
JUMPS = 8
"""How often all entries at once are led on to nearer ones in the search of nearest smaller ones."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The tries of S causal samples, in depth-first order.

    Parameters
    ----------
    samples : (S,) int64
        Indices of the samples in sorted order: key by key, a prefix before its extensions, equal ones by index.
    length : (S,) int64
        Number of live tokens of each.
    shared : (S,) int64
        Length of its longest common prefix with the sample before it; 0 for the first sample of a key.
    """

    samples: Int64Array
    length: Int64Array
    shared: Int64Array


def slice_forest(forest: Forest, low: int, high: int) -> Forest:
    """Return the samples ``low <= i < high``, the first of which must share nothing."""
    return Forest(forest.samples[low:high], forest.length[low:high], forest.shared[low:high])


def identities(table: SampleTable) -> Int64Array:
    """Return an integer code below 2^31 for each token, ``(U,)``, equal iff token id and all keys are equal.

    The index in the sample is part of it only where it is a key, ``position_ids``.
    """
    code = table.tokens
    for name in sorted(table.keys):
        key = key_of(table, name)
        code = pair_codes(code, key)
    return code


def pair_codes(code: Int64Array, key: Int64Array) -> Int64Array:
    """Return an integer code below 2^31 for each pair (code, key) of integers from 0."""
    # one integer without collisions, then factorized so that codes stay small
    pair: Int64Array = np.unique(code * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1].astype(np.int64)
    return pair


def group_codes(table: SampleTable) -> list[int]:
    """Return an integer code for the group of each sample, in order of first appearance."""
    return factorize(table.groups)


def forest_of(
    table: SampleTable, length: Int64Array, key: Int64Array | None = None, code: Int64Array | None = None
) -> Forest:
    """Return the prefix forest of a table of causal samples.

    Parameters
    ----------
    table : SampleTable
    length : (S,) int64
        Number of live tokens of each sample.
    key : (S,) int64, optional
        Samples with different keys, integers from 0, share nothing; by default all have the same one.
    code : (U,) int64, optional
        The integers below 2^31 whose common prefixes are shared; by default `identities`.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> texts = {"a": [1, 2, 3], "b": [1, 2, 4, 5], "c": [1]}
    >>> rows = [{"id": name, "input_ids": ids, "labels": [-100] * len(ids)} for name, ids in texts.items()]
    >>> [table] = tables_of(rows)
    >>> forest = forest_of(table, np.array([3, 4, 1]))
    >>> [table.ids[s] for s in forest.samples], forest.length.tolist(), forest.shared.tolist()
    (['c', 'a', 'b'], [1, 3, 4], [0, 1, 2])
    """
    code = identities(table) if code is None else code
    if are_chained(code, table.offset, length):
        data = np.ascontiguousarray(code).view(np.uint8).data  # sliced without copies
        texts, last = chain_ends(live_texts(data, code.itemsize, table.offset, length), key)
        words = np.frombuffer(b"".join([*texts, bytes(LONGEST * code.itemsize)]), code.dtype)
        start = indptr(length[last])[:-1]
    else:
        words = np.zeros(len(code) + LONGEST, np.int32)  # half of the bytes to copy and to compare
        words[: len(code)] = code
        texts = list(live_texts(words.tobytes(), words.itemsize, table.offset, length))
        last, start = np.arange(len(table)), table.offset[:-1]
    order = np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int64)
    if key is not None:
        order = order[np.argsort(key[last[order]], kind="stable")]
    ends = last[order]
    shared = common_prefixes(words, start[order], length[ends])
    shared[:1] = -1
    if key is not None:
        shared[1:][key[ends[1:]] != key[ends[:-1]]] = -1
    if len(last) < len(table):
        return _insert_prefixes(ends, shared, last, length)
    return Forest(ends, length[ends], np.maximum(shared, 0))


def are_chained(code: Int64Array, offset: Int64Array, length: Int64Array) -> bool:
    """Return whether most tokens seem to be in samples that the next sample extends; a guess by their last tokens."""
    pair = np.flatnonzero((length[:-1] > 0) & (length[:-1] <= length[1:]))  # samples pair and pair + 1
    final = length[pair] - 1
    pair = pair[code[offset[pair] + final] == code[offset[pair + 1] + final]]
    return 2 * int(length[pair].sum()) > int(length.sum())


def live_texts(data: Buffer, size: int, offset: Int64Array, length: Int64Array) -> Iterator[Buffer]:
    """Yield the live tokens of each sample: sorted by bytes, equal prefixes are neighbours.

    Parameters
    ----------
    data : bytes or memoryview
        Words of ``size`` bytes, one for each token.
    size : int
    offset : (S + 1,) int64
    length : (S,) int64
        As for `forest_of`.
    """
    begin, end = (size * offset[:-1]).tolist(), (size * (offset[:-1] + length)).tolist()
    return (data[start:stop] for start, stop in zip(begin, end, strict=True))


def chain_ends(texts: Iterable[Buffer], key: Int64Array | None = None) -> tuple[list[bytes], Int64Array]:
    """Return the texts that are not prefixes of their successors, and their indices.

    Parameters
    ----------
    texts : iterable of S bytes or memoryviews
    key : (S,) int64, optional
        A text is no prefix of one with another key.

    Examples
    --------
    >>> texts, last = chain_ends([b"ab", b"abc", b"a"])
    >>> texts, last.tolist()
    ([b'abc', b'a'], [1, 2])
    """
    ends: list[bytes] = []
    last: list[int] = []
    text, sample = b"", -1
    changes = None if key is None else run_starts(key).tolist()
    for sample, after in enumerate(map(bytes, texts)):
        if sample and ((changes and changes[sample]) or not after.startswith(text)):
            ends.append(text)
            last.append(sample - 1)
        text = after
    if sample >= 0:
        ends.append(text)
        last.append(sample)
    return ends, np.array(last, np.int64)


def _insert_prefixes(ends: Int64Array, shared: Int64Array, last: Int64Array, length: Int64Array) -> Forest:
    """Return the forest of all S samples, given the L samples that end chains, in sorted order.

    A sample is a prefix of the end of its chain, and of those ends next to it in sorted order that share as much with
    it: it comes before the first of these.

    Parameters
    ----------
    ends, last : (L,) int64
        The samples that end chains, in sorted order and ascending.
    shared : (L,) int64
        Tokens that each in ``ends`` shares with the one before; -1 where the key is another.
    length : (S,) int64
        Live tokens of all samples.
    """
    before = nearest_smaller(shared)
    rank = np.empty(len(length), np.int64)
    rank[ends] = np.arange(len(ends))
    first = rank[last[np.searchsorted(last, np.arange(len(length)))]]  # rank of the end of each sample's chain
    active = np.arange(len(length))
    while len(active := active[shared[first[active]] >= length[active]]):
        first[active] = before[first[active]]  # the ends in between share at least as much
    order = np.lexsort((length, first))  # stable: equal samples stay in the order of their indices
    sizes, opens = length[order], run_starts(first[order])
    common = np.minimum(np.maximum(shared[first[order]], 0), sizes)
    common[1:] = np.where(opens[1:], common[1:], sizes[:-1])  # each extends the one before it that has the same rank
    return Forest(order, sizes, common)


def nearest_smaller(values: Int64Array) -> Int64Array:
    """Return for each entry the index of the nearest smaller one before it, -1 where there is none.

    Examples
    --------
    >>> nearest_smaller(np.array([0, 2, 3, 2, 1])).tolist()
    [-1, 0, 1, 0, 0]
    """
    padded = np.append(np.iinfo(np.int64).min, values)  # entry i of the values is entry i + 1 here
    before = np.append(0, np.arange(len(values)))
    active = np.arange(1, len(padded))
    # all entries from before[i] + 1 to i - 1 are at least padded[i], so that one before[i] leads to the next to look at
    for _ in range(JUMPS):
        active = active[padded[before[active]] >= padded[active]]
        if not len(active):
            break
        before[active] = before[before[active]]
    if len(active):  # few, but each may be far from its own: one after another, each entry is passed once
        numbers, links = padded.tolist(), before.tolist()
        for i in active.tolist():
            link = links[i]
            while numbers[link] >= numbers[i]:
                link = links[link]
            links[i] = link
        before = np.array(links)
    return before[1:] - 1


def common_prefixes(code: AnyArray, start: Int64Array, length: Int64Array) -> Int64Array:
    """Return the length of the longest common prefix of each sequence with the one before it; 0 for the first.

    Parameters
    ----------
    code : (U,) integers
    start, length : (S,) int64
        Sequence s is ``code[start[s] : start[s] + length[s]]``.

    Examples
    --------
    >>> common_prefixes(np.array([7, 8, 9, 7, 8, 5, 7], np.int32), np.array([0, 3, 6]), np.array([3, 3, 1])).tolist()
    [0, 2, 1]
    """
    shorter = np.minimum(length[1:], length[:-1])
    shared = np.zeros(len(shorter), np.int64)
    last = int((start + length).max(initial=0))
    # each window must lie within the array
    padded = code if last + LONGEST <= len(code) else np.append(code, np.zeros(LONGEST, code.dtype))
    active, step = np.flatnonzero(shorter), SHORTEST  # pairs whose compared tokens are all equal so far
    while len(active) > FEW:
        window = sliding_window_view(padded, step)
        equal = shared[active]
        differs = window[start[1:][active] + equal] != window[start[:-1][active] + equal]
        first = differs.argmax(axis=1)  # index of the first difference; 0 too if there is none
        differing = differs[np.arange(len(active)), first]
        # beyond the end of the shorter sequence a window compares tokens of other samples: ignored
        shared[active] = equal = np.minimum(equal + np.where(differing, first, step), shorter[active])
        active, step = active[~differing & (equal < shorter[active])], min(2 * step, LONGEST)
    for pair in active.tolist():
        known, size = int(shared[pair]), int(shorter[pair])
        left, right = (code[begin + known : begin + size] for begin in start[pair : pair + 2].tolist())
        differs = left != right
        same = int(differs.argmax())  # 0 too if there is no difference
        shared[pair] = known + same if differs[same] else size
    return np.append(np.zeros(min(len(start), 1), np.int64), shared)
