"""Layouts in which each position has one label: what a batch must satisfy, and the nodes of their prefix trees.

Nothing of ``masksynth.pack`` is used: the nodes are found by hashes of prefixes, not by sorting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask.typing import Int32Array, Int64Array, UInt64Array
from masksynth.verify.ragged import prefix_sums, row_of_entry

IGNORED = -100
LAYOUTS = ("loss-edges", "next-token", "next-token-unweighted")


def check_labels(batch: Any, layout: str) -> None:
    """Check that each position of a batch has no more labels than its layout allows.

    Parameters
    ----------
    batch : PackedBatch
    layout : str
        ``loss-edges``: any number. ``next-token``: the loss edges of a position have one label.
        ``next-token-unweighted``: a position has one loss edge, of weight 1.

    Raises
    ------
    WrongAnswer
        Naming the first position with another label, or the first loss edge with another weight.
    InvalidInstance
        If there is no such layout.
    """
    if layout not in LAYOUTS:
        raise InvalidInstance(f"unknown layout {layout!r:.40}", "", f"this version reads {', '.join(LAYOUTS)}")
    if layout == "loss-edges":
        return
    order = np.argsort(batch.loss_position, kind="stable")
    position, label = batch.loss_position[order], batch.loss_label[order]
    wrong = position[1:] == position[:-1]
    if layout == "next-token":
        wrong &= label[1:] != label[:-1]
    elif (batch.loss_weight != 1).any():
        edge = int(np.argmax(batch.loss_weight != 1))
        raise WrongAnswer("loss edges", f"loss edge {edge} has weight {batch.loss_weight[edge]:g} in layout {layout}")
    if wrong.any():
        edge = int(np.argmax(wrong))
        fact = f"position {position[edge]} has the labels {label[edge]} and {label[edge + 1]} in layout {layout}"
        raise WrongAnswer("loss edges", fact)


def split_by_label(table: Any, code: Int32Array, head: Int64Array, layout: str) -> Int32Array:
    """Return a number for each token such that the nodes of a layout are the prefixes of these numbers.

    With one label for each position, a node is a path with what it predicts: the label of the next token if that is
    trained, otherwise the next token. Without weights, it also has the number of samples before its own that train the
    same node; 0 where its own does not train it.

    Parameters
    ----------
    table : SampleTable
    code : (U,) int32
        Equal iff token id and keys are.
    head : (S,) int64
        Samples share nothing if their numbers differ here.
    layout : str

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> tokens, labels = np.array([5, 6, 7, 5, 6, 8]), np.array([-100, 6, -100, -100, 6, -100])
    >>> table = SimpleNamespace(tokens=tokens, labels=labels, offset=np.array([0, 3, 6]))
    >>> split_by_label(table, tokens, np.zeros(2, int), "next-token").tolist()
    [0, 1, 3, 0, 2, 4]
    >>> split_by_label(table, tokens, np.zeros(2, int), "next-token-unweighted").tolist()
    [0, 2, 4, 1, 3, 5]
    """
    if layout == "loss-edges" or not len(code):
        return code
    last = table.offset[1:][np.diff(table.offset) > 0] - 1  # last token of each sample, which predicts nothing
    predicted = np.roll(np.where(table.labels == IGNORED, table.tokens, table.labels), -1)
    predicted[last] = -1
    code = _number_pairs(code, predicted)
    if layout == "next-token":
        return code
    trains = np.roll(table.labels != IGNORED, -1)
    trains[last] = False
    index = np.flatnonzero(trains)
    node = _hash_prefixes(table, code, head)[index]
    order = np.argsort(node, kind="stable")  # tokens that train one node, in the order of their samples
    opens = np.append(True, node[order][1:] != node[order][:-1])[: len(order)]
    number = np.arange(len(order)) - np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    rank = np.zeros(len(code), np.int64)
    rank[index[order]] = number
    return _number_pairs(code, rank)


def _number_pairs(code: Any, other: Int64Array) -> Int32Array:
    """Return a number for each pair of integers, the second of them from -1, equal iff the pairs are."""
    pair = code.astype(np.int64) * (int(other.max()) + 2) + other + 1  # one integer without collisions
    return np.unique(pair, return_inverse=True)[1].astype(np.int32)


def _hash_prefixes(table: Any, code: Int32Array, head: Int64Array) -> UInt64Array:
    """Return a number for each token: equal for equal prefixes, and different for others but for 1 pair in 2^64.

    It is the sum, modulo 2^64, of a mixed word for each (index in the sample, code) of the prefix, and for the head.
    """
    sample = row_of_entry(table.offset)
    index = (np.arange(len(code)) - table.offset[sample]).astype(np.uint64)
    mixed = prefix_sums(_mix(index << np.uint64(32) | code.astype(np.uint64)))
    words = mixed[1:] - mixed[table.offset[sample]]
    result: UInt64Array = words + _mix(~head.astype(np.uint64))[sample]
    return result


def _mix(word: UInt64Array) -> UInt64Array:
    """Return the finalizer of splitmix64 of each word (Steele, Lea, Flood 2014)."""
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
