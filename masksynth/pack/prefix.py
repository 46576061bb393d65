"""Merge causal samples as sorted sequences: neighbours in lexicographic order share the longest prefixes.

A causal token's context is its prefix, so two tokens are equivalent iff they end equal prefixes of identities (token
id, position, additional keys), and the minimal merged task is the trie of each group (``docs/theory.md``, section 6).
With the samples sorted, sample i adds to the trie the tokens beyond its longest common prefix with sample i - 1, and
the trie is laid out depth first. This takes a sort of byte strings, comparisons of long arrays and prefix sums; no trie
is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from masksynth.mask.csr import factorize, run_starts
from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.pack.sample_columns import IGNORED, SampleTable, key_of

GROUP = 8
"""Bytes of a group's code at the head of a sort key."""
SHORTEST, LONGEST = 32, 1024
"""Tokens of a pair compared at a time: the first number at first, doubled up to the second while nothing differs."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The tries of S causal samples, in depth-first order.

    Parameters
    ----------
    samples : (S,) int64
        Indices of the samples in sorted order: a prefix before its extensions; separate groups one after another.
    length : (S,) int64
        Number of live tokens of each.
    shared : (S,) int64
        Length of its longest common prefix with the sample before it; 0 for the first one, and for that of a separate
        group.
    """

    samples: Int64Array
    length: Int64Array
    shared: Int64Array


def trained_tokens(table: SampleTable) -> tuple[Int64Array, Int64Array]:
    """Return the flat indices of the trained labels, ``(E,)``, and the row pointers of the samples into them."""
    trained = np.flatnonzero(table.labels != IGNORED)
    return trained, np.searchsorted(trained, table.offset)


def live_lengths(table: SampleTable, trained: Int64Array, cut: Int64Array) -> Int64Array:
    """Return the number of live tokens of each causal sample: those before its last trained label.

    No prediction depends on the others.

    Parameters
    ----------
    table : SampleTable
    trained, cut
        As `trained_tokens` returns them.
    """
    has_label = cut[1:] > cut[:-1]
    last = trained[np.maximum(cut[1:] - 1, 0)] if len(trained) else np.zeros(len(table), np.int64)
    return np.where(has_label, last - table.offset[:-1], 0)


def identities(table: SampleTable) -> Int32Array:
    """Return an integer code for each token, ``(U,)``, equal iff token id and all keys are equal.

    The index in the sample is part of it only where it is a key, ``position_ids``.
    """
    if not table.keys:
        return table.tokens.astype(np.int32)
    code = table.tokens
    for name in sorted(table.keys):
        key = key_of(table, name)
        # (code, key) -> one integer without collisions, then factorized so that codes stay small
        code = np.unique(code * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1].astype(np.int64)
    return code.astype(np.int32)


def group_codes(table: SampleTable) -> list[int]:
    """Return an integer code for the group of each sample, in order of first appearance."""
    return factorize(table.groups)


def forest_of(table: SampleTable, length: Int64Array, separate: bool = False) -> Forest:
    """Return the prefix forest of a table of causal samples.

    Parameters
    ----------
    table : SampleTable
    length : (S,) int64
        Number of live tokens of each sample.
    separate : bool
        Whether samples of different groups share nothing.

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
    code = identities(table)
    group = group_codes(table) if separate else [0] * len(table)
    text = memoryview(code.astype("<i4", copy=False).tobytes())  # 4 bytes per token, sliced without copies
    begin = (4 * table.offset[:-1]).tolist()
    end = (4 * (table.offset[:-1] + length)).tolist()
    head = [number.to_bytes(GROUP, "big") for number in range(max(group, default=0) + 1)]
    # sort keys: group, then live tokens; any total order will do in which equal prefixes are neighbours
    sort_key = [head[number] + text[a:b] for number, a, b in zip(group, begin, end, strict=True)]
    order = np.array(sorted(range(len(sort_key)), key=sort_key.__getitem__), np.int64)
    sizes = length[order]
    shared = common_prefixes(code, table.offset[order], sizes)
    shared[run_starts(np.array(group, np.int64)[order])] = 0  # nothing is shared across separate groups
    return Forest(order, sizes, shared)


def common_prefixes(code: Int32Array, start: Int64Array, length: Int64Array) -> Int64Array:
    """Return the length of the longest common prefix of each sequence with the one before it; 0 for the first.

    Parameters
    ----------
    code : (U,) int32
    start, length : (S,) int64
        Sequence s is ``code[start[s] : start[s] + length[s]]``.

    Examples
    --------
    >>> common_prefixes(np.array([7, 8, 9, 7, 8, 5, 7], np.int32), np.array([0, 3, 6]), np.array([3, 3, 1])).tolist()
    [0, 2, 1]
    """
    shorter = np.minimum(length[1:], length[:-1])
    shared = np.zeros(len(shorter), np.int64)
    padded = np.append(code, np.zeros(LONGEST, code.dtype))  # so that each window lies within the array
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
