"""Layouts of causal samples in which each position has one label, so that labels are a row beside ``input_ids``.

A *loss-edges* batch has a position for each node of the prefix tree, and a node has as many labels as samples branch
off there. In a *next-token* batch a node is a pair (path, next token): the tree forks one token early. Where weights
cannot travel with the labels (*next-token-unweighted*), a position is trained by one sample at most, too
(``docs/packing.md``, One label for each position).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import indptr, repeat_ranges
from masksynth.mask.typing import Int64Array
from masksynth.pack.position_layout import lay_out, paths_of_samples
from masksynth.pack.prefix import forest_of, identities, pair_codes
from masksynth.pack.sample_columns import IGNORED, SampleTable
from masksynth.tasks.canonical import shown

LabelLayout = Literal["loss-edges", "next-token", "next-token-unweighted"]
"""Whether a position has any number of labels, one label with a weight, or one label of one sample."""
LAYOUTS: tuple[LabelLayout, ...] = get_args(LabelLayout)


def choose_layout(layout: object) -> LabelLayout:
    """Return a layout; raise if there is none of that name."""
    if layout not in LAYOUTS:
        raise InvalidInstance(f"unknown layout {shown(layout)}", "", f"use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[LAYOUTS.index(layout)]  # msgspec omits a default if it is the same object


def refuse_samples(table: SampleTable, layout: LabelLayout) -> None:
    """Raise for the first sample that a layout cannot express: one with segments, or with weights that cannot travel.

    Raises
    ------
    InvalidInstance
        Naming the sample, its place and the remedy.
    """
    if layout == "loss-edges":
        return
    for sample, segments in enumerate(table.segments):
        if segments is not None:
            fact = f"sample {table.ids[sample]!r} has segments, which layout {layout} does not support"
            raise InvalidInstance(fact, "", "pack such samples with layout loss-edges", table.place[sample])
    if layout == "next-token":
        return
    trained = np.flatnonzero(table.labels != IGNORED)
    owner = np.searchsorted(table.offset, trained, "right") - 1
    weight = table.weight[owner]
    if (token_weight := table.fields.get("weights")) is not None:
        weight = weight * np.nan_to_num(token_weight[trained], nan=1.0)
    if (weight != 1).any():
        label = int(np.argmax(weight != 1))
        sample = int(owner[label])
        fact = f"sample {table.ids[sample]!r} has a label of weight {weight[label]:g}, layout {layout} has no weights"
        raise InvalidInstance(fact, "", "pack with layout next-token", table.place[sample])


def layout_codes(table: SampleTable, length: Int64Array, key: Int64Array | None, layout: LabelLayout) -> Int64Array:
    """Return an integer code below 2^31 for each token, ``(U,)``: the tree of a layout is the prefix tree of the codes.

    Parameters
    ----------
    table : SampleTable
        Causal samples.
    length : (S,) int64
        Number of live tokens of each sample.
    key : (S,) int64, optional
        Samples with different keys share nothing.
    layout : str

    Examples
    --------
    The two samples share 5 and 6; where both labels are to have a position of their own, they share 5 only.

    >>> from masksynth.pack.check_samples import tables_of
    >>> rows = [[5, 6, 7, 8], [5, 6, 9, 8]]
    >>> [table] = tables_of({"input_ids": ids, "labels": [-100, -100, *ids[2:]]} for ids in rows)
    >>> layout_codes(table, np.array([3, 3]), None, "loss-edges").reshape(2, 4)[:, :3].tolist()
    [[5, 6, 7], [5, 6, 9]]
    >>> codes = layout_codes(table, np.array([3, 3]), None, "next-token").reshape(2, 4)
    >>> (codes[0] == codes[1]).tolist()
    [True, False, False, True]
    """
    code = identities(table)
    if layout == "loss-edges":
        return code
    code = pair_codes(code, predicted_tokens(table))
    return code if layout == "next-token" else pair_codes(code, _rank_trainers(table, length, key, code))


def predicted_tokens(table: SampleTable) -> Int64Array:
    """Return what each token predicts, ``(U,)``: the label of the next token if that is trained, else its id.

    The last token of a sample predicts nothing; it is dead, so its entry, 0, is never used.
    """
    label, token = (np.append(column[1:], 0)[: len(column)] for column in (table.labels, table.tokens))
    predicted: Int64Array = np.where(label == IGNORED, token, label)
    predicted[table.offset[1:][np.diff(table.offset) > 0] - 1] = 0
    return predicted


def _rank_trainers(table: SampleTable, length: Int64Array, key: Int64Array | None, code: Int64Array) -> Int64Array:
    """Return for each token how many samples before its own train the same node; 0 where its own trains nothing.

    Parameters
    ----------
    table, length, key
        As for `layout_codes`.
    code : (U,) int64
        The nodes are those of the prefix tree of these codes.
    """
    forest = forest_of(table, length, key, code)
    by_index = np.argsort(forest.samples, kind="stable")
    paths = paths_of_samples(lay_out(forest), forest, by_index)
    position = repeat_ranges(paths.start, paths.count)  # of each live token
    trained = np.flatnonzero(table.labels != IGNORED)
    owner = np.searchsorted(table.offset, trained, "right") - 1
    node = position[trained - 1 - table.offset[owner] + indptr(length)[owner]]  # node that predicts each label
    order = np.argsort(node, kind="stable")
    _, first, count = np.unique(node[order], return_index=True, return_counts=True)
    rank = np.zeros(len(table.tokens), np.int64)
    rank[trained[order] - 1] = np.arange(len(order)) - np.repeat(first, count)
    return rank
