"""Causal samples merge as sorted sequences: neighbours in lexicographic order share the longest prefixes.

A causal token's context is its prefix, so two tokens are equivalent iff they end equal prefixes of identities (token id, position, further
keys), and the minimal merged task is the prefix tree (``docs/theory.md``, section 6). With the samples sorted, sample i adds the tokens
beyond its longest common prefix with sample i - 1 to the tree, and the tree is laid out depth first: a sort of byte strings, one comparison
of two long arrays, and running sums; no tree is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.pack.sample_columns import IGNORED, SampleTable, key_of

GROUP = 8
SHORTEST, LONGEST = 32, 1024
"""How many tokens of a pair are compared at a time: from the first number, doubled up to the second while nothing differs."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The prefix trees of S causal samples, in depth-first order.

    Parameters
    ----------
    samples : (S,) int64
        The samples in sorted order: group by group, prefixes first.
    length : (S,) int64
        How many live tokens each has.
    shared : (S,) int64
        Of those, how many it shares with the sample before it; 0 at the first sample of a group.
    """

    samples: Int64Array
    length: Int64Array
    shared: Int64Array


def trained_tokens(table: SampleTable) -> tuple[Int64Array, Int64Array]:
    """(flat indices of the trained labels, where each sample's begin among them)."""
    trained = np.flatnonzero(table.labels != IGNORED)
    return trained, np.searchsorted(trained, table.offset)


def live_lengths(table: SampleTable, trained: Int64Array, cut: Int64Array) -> Int64Array:
    """Of each causal sample, how many tokens stand before its last trained label: on the others no prediction depends."""
    has = cut[1:] > cut[:-1]
    last = trained[np.maximum(cut[1:] - 1, 0)] if len(trained) else np.zeros(len(table), np.int64)
    return np.where(has, last - table.offset[:-1], 0)


def identities(table: SampleTable) -> Int32Array:
    """One number for each token, equal iff token id and all keys are; where a token stands in its sample is not part of it."""
    if not table.keys:
        return table.tokens.astype(np.int32)
    code = table.tokens
    for name in sorted(table.keys):
        key = key_of(table, name)
        code = np.unique(code * (int(key.max(initial=0)) + 1) + key, return_inverse=True)[1].astype(np.int64)
    return code.astype(np.int32)


def group_codes(table: SampleTable) -> list[int]:
    """A number for each sample's group, in order of first appearance."""
    known: dict[str | int | None, int] = {}
    return [known.setdefault(group, len(known)) for group in table.groups]


def forest_of(table: SampleTable, length: Int64Array) -> Forest:
    """The prefix forest of a table of causal samples, of which sample s has ``length[s]`` live tokens.

    Examples
    --------
    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = {"a": [1, 2, 3], "b": [1, 2, 4, 5], "c": [1]}
    >>> [table] = tables_of({"id": name, "input_ids": ids, "labels": ids[:0] + [-100] * len(ids)} for name, ids in rows.items())
    >>> forest = forest_of(table, np.array([3, 4, 1]))
    >>> [table.ids[s] for s in forest.samples], forest.length.tolist(), forest.shared.tolist()
    (['c', 'a', 'b'], [1, 3, 4], [0, 1, 2])
    """
    code, group = identities(table), group_codes(table)
    text = memoryview(code.astype("<i4", copy=False).tobytes())
    begin = (4 * table.offset[:-1]).tolist()
    end = (4 * (table.offset[:-1] + length)).tolist()
    head = [number.to_bytes(GROUP, "big") for number in range(max(group, default=0) + 1)]
    word = [head[number] + text[a:b] for number, a, b in zip(group, begin, end, strict=True)]
    order = np.array(sorted(range(len(word)), key=word.__getitem__), np.int64)
    sizes = length[order]
    shared = common_prefixes(code, table.offset[order], sizes)
    code_of_group = np.array(group, np.int64)[order]
    shared[1:][code_of_group[1:] != code_of_group[:-1]] = 0
    return Forest(order, sizes, shared)


def common_prefixes(code: Int32Array, start: Int64Array, length: Int64Array) -> Int64Array:
    """Length of the longest common prefix of each sequence ``code[start : start + length]`` with the one before it; 0 for the first.

    Examples
    --------
    >>> common_prefixes(np.array([7, 8, 9, 7, 8, 5, 7], np.int32), np.array([0, 3, 6]), np.array([3, 3, 1])).tolist()
    [0, 2, 1]
    """
    both = np.minimum(length[1:], length[:-1])
    shared = np.zeros(len(both), np.int64)
    padded = np.append(code, np.zeros(LONGEST, code.dtype))
    active, step = np.flatnonzero(both), SHORTEST
    while len(active):
        window = sliding_window_view(padded, step)
        at = shared[active]
        differs = window[start[1:][active] + at] != window[start[:-1][active] + at]
        first = differs.argmax(axis=1)
        found = differs[np.arange(len(active)), first]
        shared[active] = at = np.minimum(at + np.where(found, first, step), both[active])
        active, step = active[~found & (at < both[active])], min(2 * step, LONGEST)
    return np.append(np.zeros(min(len(start), 1), np.int64), shared)
