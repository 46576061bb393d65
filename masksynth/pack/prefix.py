"""Merge causal samples as sorted sequences: neighbours in lexicographic order share the longest prefixes.

A causal token's context is its prefix, so two tokens are equivalent iff they end equal prefixes of identities (token
id, position, additional keys), and the minimal merged task is the trie of each group (``docs/theory.md``, section 6).
With the samples sorted, sample i adds to the trie the tokens beyond its longest common prefix with sample i - 1, and
the trie is laid out depth first. This takes a sort of byte strings, comparisons of long arrays and prefix sums; no trie
is built. Where samples extend one another in the order in which they were read, as the calls of an agent do, only the
last of each chain is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from masksynth.mask.csr import factorize, indptr, run_starts
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.sample_columns import SampleTable, key_of

SHORTEST, LONGEST = 32, 1024
"""Tokens of a pair compared at a time: the first number at first, doubled up to the second while nothing differs."""


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
        # (code, key) -> one integer without collisions, then factorized so that codes stay small
        code = np.unique(code * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1].astype(np.int64)
    return code


def group_codes(table: SampleTable) -> list[int]:
    """Return an integer code for the group of each sample, in order of first appearance."""
    return factorize(table.groups)


def forest_of(table: SampleTable, length: Int64Array, key: Int64Array | None = None) -> Forest:
    """Return the prefix forest of a table of causal samples.

    Parameters
    ----------
    table : SampleTable
    length : (S,) int64
        Number of live tokens of each sample.
    key : (S,) int64, optional
        Samples with different keys, integers from 0, share nothing; by default all have the same one.

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
    if key is None:
        key = np.zeros(len(table), np.int64)
    code = identities(table)
    if are_chained(code, table.offset, length):
        texts, last = chain_ends(sort_texts(code, table.offset, length, key))
    else:
        code = code.astype(np.int32)  # half of the bytes to copy and to compare
        texts, last = list(sort_texts(code, table.offset, length, key)), np.arange(len(table))
    order = np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int64)
    # words of the sort texts: one for the key, then one for each live token
    shared = shared_words([texts[i] for i in order.tolist()], 1 + length[last[order]], code.dtype) - 1
    if len(last) < len(table):
        return _insert_prefixes(last[order], shared, last, length)
    return Forest(order, length[order], np.maximum(shared, 0))


def are_chained(code: Int64Array, offset: Int64Array, length: Int64Array) -> bool:
    """Return whether most tokens seem to be in samples that the next sample extends; a guess by their last tokens."""
    pair = np.flatnonzero((length[:-1] > 0) & (length[:-1] <= length[1:]))  # samples pair and pair + 1
    final = length[pair] - 1
    pair = pair[code[offset[pair] + final] == code[offset[pair + 1] + final]]
    return 2 * int(length[pair].sum()) > int(length.sum())


def sort_texts(code: AnyArray, offset: Int64Array, length: Int64Array, key: Int64Array) -> Iterator[bytes]:
    """Yield the key and the live tokens of each sample, one word each: sorted by bytes, equal prefixes are neighbours.

    Parameters
    ----------
    code : (U,) int32 or int64
        Its type is that of the words.
    offset : (S + 1,) int64
    length, key : (S,) int64
        As for `forest_of`.
    """
    size = code.itemsize
    tokens = np.ascontiguousarray(code, code.dtype.newbyteorder("<")).data.cast("B")  # sliced without copies
    head = [number.to_bytes(size, "big") for number in range(int(key.max(initial=0)) + 1)]
    begin, end = (size * offset[:-1]).tolist(), (size * (offset[:-1] + length)).tolist()
    return (head[number] + tokens[start:stop] for number, start, stop in zip(key.tolist(), begin, end, strict=True))


def chain_ends(texts: Iterable[bytes]) -> tuple[list[bytes], Int64Array]:
    """Return the texts that are not prefixes of their successors, and their indices.

    Examples
    --------
    >>> texts, last = chain_ends([b"ab", b"abc", b"a"])
    >>> texts, last.tolist()
    ([b'abc', b'a'], [1, 2])
    """
    ends: list[bytes] = []
    last: list[int] = []
    text, sample = b"", -1
    for sample, after in enumerate(texts):
        if not after.startswith(text):
            ends.append(text)
            last.append(sample - 1)
        text = after
    if sample >= 0:
        ends.append(text)
        last.append(sample)
    return ends, np.array(last, np.int64)


def shared_words(texts: Sequence[bytes], length: Int64Array, word: np.dtype[Any]) -> Int64Array:
    """Return the length of the longest common prefix of each of some texts with the one before; 0 for the first.

    Parameters
    ----------
    texts : sequence of S bytes
    length : (S,) int64
        Number of words of each.
    word : dtype

    Examples
    --------
    >>> shared_words([b"aabb", b"aabbcc", b"aaccbb"], np.array([2, 3, 3]), np.dtype(np.int16)).tolist()
    [0, 2, 1]
    """
    extends = [after.startswith(before) for before, after in pairwise(texts)]  # by far the fastest comparison
    shared = np.append(0, np.where(extends, length[:-1], -1))[: len(texts)]
    differs = shared < 0
    compared = np.flatnonzero(differs | np.append(differs[1:], False)[: len(texts)])  # with the text before each
    words = np.frombuffer(b"".join([*(texts[i] for i in compared.tolist()), bytes(LONGEST * word.itemsize)]), word)
    common = common_prefixes(words, indptr(length[compared])[:-1], length[compared])
    shared[differs] = common[differs[compared]]
    return shared


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
    """Return for each entry the index of the nearest smaller one before it, -1 where there is none; with a stack.

    Examples
    --------
    >>> nearest_smaller(np.array([0, 2, 3, 2, 1])).tolist()
    [-1, 0, 1, 0, 0]
    """
    before = [-1] * len(values)
    stack: list[int] = []
    numbers = values.tolist()
    for i, value in enumerate(numbers):
        while stack and numbers[stack[-1]] >= value:
            stack.pop()
        if stack:
            before[i] = stack[-1]
        stack.append(i)
    return np.array(before, np.int64)


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
    while len(active):
        window = sliding_window_view(padded, step)
        equal = shared[active]
        differs = window[start[1:][active] + equal] != window[start[:-1][active] + equal]
        first = differs.argmax(axis=1)  # index of the first difference; 0 too if there is none
        differing = differs[np.arange(len(active)), first]
        # beyond the end of the shorter sequence a window compares tokens of other samples: ignored
        shared[active] = equal = np.minimum(equal + np.where(differing, first, step), shorter[active])
        active, step = active[~differing & (equal < shorter[active])], min(2 * step, LONGEST)
    return np.append(np.zeros(min(len(start), 1), np.int64), shared)
