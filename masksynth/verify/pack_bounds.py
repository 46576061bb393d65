"""Lower bounds on the positions of packed batches, from the samples alone.

Samples need nodes: a causal sample those of the prefix tree of all samples on its path. Each batch holds at most C
nodes, and all nodes of each of its samples. The bound (``docs/theory.md``, section 12) is the sum over all nodes v of
N(v), a lower bound on the number of batches that hold v:

    N(v) = max(1, N(w) of the children w, ceil(sum of N(w) over all w strictly below v / (C - d(v) - 1)))

where v has d(v) strict ancestors. Along a path without branches N is constant, so the tree is compressed, and a stack
of the open nodes visits it bottom-up in one pass over the sorted samples.

Segmented samples, and groups that stay together, need sets of nodes that are not paths: `masksynth.verify.set_bounds`.
Nothing of ``masksynth.pack`` is used.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from masksynth.mask.typing import Int32Array, Int64Array
from masksynth.verify.holder_classes import classes_of_nodes
from masksynth.verify.position_labels import split_by_label
from masksynth.verify.ragged import repeat_ranges
from masksynth.verify.segment_nodes import Nodes, nodes_of_segments
from masksynth.verify.set_bounds import Counted, count_sets, raise_by_prices

IGNORED = -100
"""Label of a token that is not trained."""


class Bounds(NamedTuple):
    """Lower bounds on the positions of all batches of some samples.

    Parameters
    ----------
    free : int
        However the samples are distributed over batches.
    kept : int
        If each group that fits into a batch is in one.
    """

    free: int
    kept: int


class Unpriced(NamedTuple):
    """Lower bounds without prices, and the two that prices may raise.

    Parameters
    ----------
    bounds : Bounds
    by_sample, by_unit : Counted or None
        The bounds for samples, and for units that stay together. None: not raised by prices.
    """

    bounds: Bounds
    by_sample: Counted | None = None
    by_unit: Counted | None = None


def bound_positions(
    table: Any, limit: int, split: bool = False, separate: bool = False, known: int = -1, layout: str = "loss-edges"
) -> Bounds:
    """Return lower bounds on the positions of all batches of the samples of a table.

    Parameters
    ----------
    table : SampleTable
    limit : int
        Most positions C of a batch; no sample needs more.
    split : bool
        Whether groups may be in several batches, so that both bounds are the same.
    separate : bool
        Whether samples of different groups share nothing.
    known : int
        A number of positions that is sufficient: where the first bound equals it, the second one is not computed.
    layout : str
        Whether a node is a path, or a path with the one label that it predicts: `masksynth.verify.position_labels`.

    Examples
    --------
    Two samples of 4 and 3 needed tokens share 2; batches of 4 hold one each, so that the 2 are repeated.

    >>> from types import SimpleNamespace
    >>> columns = {"tokens": np.array([1, 2, 3, 4, 5, 1, 2, 6, 7]), "offset": np.array([0, 5, 9])}
    >>> labels = np.array([-100] * 4 + [1] + [-100] * 3 + [1])
    >>> table = SimpleNamespace(**columns, labels=labels, keys={}, groups=(None, None), segments=(None, None))
    >>> bound_positions(table, 7), bound_positions(table, 4)
    (Bounds(free=5, kept=5), Bounds(free=7, kept=7))
    """
    return price_bounds(count_bounds(table, limit, split, separate, known, layout), known)


def price_bounds(counted: Unpriced, known: int) -> Bounds:
    """Return the bounds of `count_bounds`, raised by prices while they are below ``known`` positions."""
    free, kept = counted.bounds
    if counted.by_sample is not None and free < known:
        free = max(free, raise_by_prices(counted.by_sample, known))
    if counted.by_unit is not None and kept < known:
        kept = raise_by_prices(counted.by_unit, known)
    return Bounds(free, max(free, kept))


def count_bounds(
    table: Any, limit: int, split: bool = False, separate: bool = False, known: int = -1, layout: str = "loss-edges"
) -> Unpriced:
    """Return the bounds of `bound_positions` without prices: much faster, and often the same.

    Parameters
    ----------
    table, limit, split, separate, known, layout
        As for `bound_positions`.
    """
    groups = [(type(name), name) for name in table.groups]
    code = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group = np.array([-1 if name[1] is None else code[name] for name in groups], np.int64)
    head = np.array([code[name] for name in groups], np.int64) if separate else np.zeros(len(groups), np.int64)
    quick = 0
    if all(_is_causal(segments) for segments in table.segments):
        order, length, shared = sort_prefixes(table, np.arange(len(groups)), head, layout)
        quick = sum_copies(length, shared, limit)
        if quick == known:
            return Unpriced(Bounds(known, known))
        nodes = nodes_of_prefixes(order, length, shared)
    else:
        nodes = nodes_of_segments(table, np.arange(len(groups)), head)
    unit = _unit_of_pair(nodes, group, limit)
    # where no unit has two samples, both bounds are the same, so prices are sought for the first one
    alone = split or len(np.unique(unit)) == len(np.unique(nodes.sample))
    if not len(nodes.node):
        return Unpriced(Bounds(0, 0))
    by_sample = count_sets(classes_of_nodes(nodes.node, nodes.sample, nodes.weight), limit)
    free = max(quick, by_sample.bound)
    if alone or free == known:
        return Unpriced(Bounds(free, free), by_sample)
    by_unit = count_sets(classes_of_nodes(nodes.node, unit, nodes.weight), limit)
    return Unpriced(Bounds(free, max(free, by_unit.bound)), None, by_unit)


def _is_causal(segments: Any) -> bool:
    """Return whether a sample has no segments, or a single one that says the same."""
    if segments is None:
        return True
    kinds = [(segment.within, segment.position, segment.predict) for segment in segments]
    return kinds == [("causal", 0, "next")]


def _unit_of_pair(nodes: Nodes, group: Int64Array, limit: int) -> Int64Array:
    """Return the unit of the sample of each pair: its group if that fits into a batch, otherwise itself.

    Parameters
    ----------
    nodes : Nodes
    group : (S,) int64
        Code of the group of each sample of the table; -1 for none.
    limit : int
    """
    count = len(nodes.weight)
    named = group[nodes.sample] >= 0
    pair = np.unique(group[nodes.sample][named] * count + nodes.node[named])  # (group, node) as one integer
    size = np.zeros(int(group.max(initial=-1)) + 1, np.int64)
    np.add.at(size, pair // max(count, 1), nodes.weight[pair % max(count, 1)])
    kept = np.zeros(len(group), bool)
    kept[group >= 0] = size[group[group >= 0]] <= limit
    unit = np.where(kept, group, len(group) + np.arange(len(group)))
    return np.unique(unit, return_inverse=True)[1][nodes.sample]


def nodes_of_prefixes(order: Int64Array, length: list[int], shared: list[int]) -> Nodes:
    """Return the nodes of the compressed prefix tree of sorted sequences, with the samples that need each.

    Parameters
    ----------
    order : (S,) int64
        Sample of each sequence.
    length, shared : list of S int
        As for `sum_copies`.

    Examples
    --------
    >>> nodes = nodes_of_prefixes(np.array([0, 1]), [4, 3], [0, 2])
    >>> sorted(zip(nodes.node.tolist(), nodes.sample.tolist(), nodes.weight[nodes.node].tolist()))
    [(0, 0, 2), (1, 1, 1), (2, 0, 2), (2, 1, 2)]
    """
    rows: list[tuple[int, int, int]] = []  # first sequence, end, number of nodes of a path without branches
    depth, first = [0], [0]
    for number, (end, common) in enumerate(zip(length, [*shared, 0][1:], strict=True)):
        if end > depth[-1]:
            depth.append(end)
            first.append(number)
        while depth[-1] > common:
            bottom, start = depth.pop(), first.pop()
            if depth[-1] < common:
                depth.append(common)
                first.append(start)
            rows.append((start, number + 1, bottom - depth[-1]))
    begin, stop, weight = np.array(rows, np.int64).reshape(-1, 3).T
    return Nodes(np.repeat(np.arange(len(rows)), stop - begin), order[repeat_ranges(begin, stop - begin)], weight)


def sum_copies(length: list[int], shared: list[int], limit: int) -> int:
    """Return the sum of N(v) over the nodes v of the prefix tree of sorted sequences.

    Parameters
    ----------
    length : list of S int
        Length of each sequence.
    shared : list of S int
        Length of its longest common prefix with the one before it; 0 for the first.
    limit : int
        Most nodes C of a batch.

    Examples
    --------
    >>> sum_copies([4, 3], [0, 2], 7), sum_copies([4, 3], [0, 2], 4)
    (5, 7)
    """
    # open nodes on the path to the current sequence, deepest last: depth, sum of N below, greatest N below
    depth, below, most = [0], [0], [1]
    for end, common in zip(length, [*shared, 0][1:], strict=True):
        if end > depth[-1]:
            depth.append(end)
            below.append(0)
            most.append(1)
        while depth[-1] > common:  # the next sequence does not share this node
            bottom, rest, copies = depth.pop(), below.pop(), most.pop()
            if rest:
                copies = max(copies, -(-rest // (limit - bottom)))
            if depth[-1] < common:  # the path above it branches at `common`
                depth.append(common)
                below.append(0)
                most.append(1)
            below[-1] += rest + copies * (bottom - depth[-1])
            most[-1] = max(most[-1], copies)
    return below[0]


def sort_prefixes(
    table: Any, samples: Int64Array, head: Int64Array, layout: str = "loss-edges"
) -> tuple[Int64Array, list[int], list[int]]:
    """Return causal samples in sorted order, with their needed tokens and those shared with the one before.

    A sample needs the tokens before its last trained label.

    Parameters
    ----------
    table : SampleTable
    samples : (s,) int64
    head : (S,) int64
        Samples of the table share nothing if their numbers differ here.
    layout : str

    Returns
    -------
    order : (s,) int64
    length, shared : list of s int
    """
    code = split_by_label(table, _codes(table), head, layout)
    need, text = _count_needed(table).tolist(), memoryview(code.astype(">i4").tobytes())
    start, first = table.offset.tolist(), head.tolist()
    keys = {s: first[s].to_bytes(4, "big") + text[4 * start[s] : 4 * (start[s] + need[s])] for s in samples.tolist()}
    order = sorted(keys, key=keys.__getitem__)
    shared = [max(_common_bytes(keys[a], keys[b]) // 4 - 1, 0) for a, b in pairwise(order)]
    return np.array(order, np.int64), [need[s] for s in order], [0, *shared][: len(order)]


def _codes(table: Any) -> Int32Array:
    """Return a number for each token, equal iff its id and all keys are; the index in the sample is its depth."""
    code = np.asarray(table.tokens)
    for values in table.keys.values():
        code = np.unique(np.stack([code, values]), axis=1, return_inverse=True)[1].reshape(-1)
    return code.astype(np.int32)


def _count_needed(table: Any) -> Int64Array:
    """Return the number of tokens before the last trained label of each sample."""
    index = np.arange(len(table.labels)) + 1
    last = np.append(0, np.maximum.accumulate(np.where(table.labels == IGNORED, 0, index)))[table.offset[1:]]
    needed: Int64Array = np.maximum(last - 1 - table.offset[:-1], 0)  # `last` counts from 1; a label before it gives 0
    return needed


def _common_bytes(left: bytes, right: bytes) -> int:
    """Return the length of the longest common prefix of two strings."""
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    low, step = 0, 128
    while left[low : low + step] == right[low : low + step]:
        low, step = low + step, 2 * step
    a, b = (np.frombuffer(text[low : min(low + step, size)], np.uint8) for text in (left, right))
    return low + int(np.argmax(a != b))
