"""Reorder the positions of merged tasks and packed batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from masksynth.arrange.best_order import keep_group_order
from masksynth.arrange.permute import check_order, invert_order, permuted
from masksynth.errors import check_type
from masksynth.mask import Mask
from masksynth.mask.csr import prefix_sums
from masksynth.mask.equal_values import factorize, factorize_rows
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.pack.batch import PackedBatch
from masksynth.tasks import MergedTask
from masksynth.tasks.canonical import canonical


def arranged_batch(batch: PackedBatch, order: ArrayLike) -> PackedBatch:
    """Return the batch whose position i is the old position ``order[i]``.

    Loss edges and samples keep their order and refer to the new positions.

    Parameters
    ----------
    batch : PackedBatch
    order : (N,) ints
        A permutation of the positions.

    Raises
    ------
    InvalidInstance
        If ``order`` is not a permutation of the positions.

    Examples
    --------
    >>> from masksynth.pack.batch import ARRAYS
    >>> arrays = {name: np.arange(2).astype(kind) for name, kind in ARRAYS.items()}
    >>> batch = PackedBatch(samples=("a", "b"), mask=Mask.from_intervals([[[(0, 1)], [(0, 2)]]]), **arrays)
    >>> moved = arranged_batch(batch, [1, 0])
    >>> moved.input_ids.tolist(), moved.loss_position.tolist(), moved.loss_label.tolist(), moved.mask.intervals(0)
    ([1, 0], [1, 0], [0, 1], ((0, 2),))
    """
    check_type(batch, PackedBatch)
    order = check_order(order, batch.positions)
    new_position = invert_order(order)
    return replace(
        batch,
        input_ids=batch.input_ids[order],
        position_ids=batch.position_ids[order],
        mask=permuted(batch.mask, order),
        loss_position=new_position[batch.loss_position],
        sample_position=new_position[batch.sample_position],
        keys={name: values[order] for name, values in batch.keys.items()},
    )


def arranged_merged(merged: MergedTask, order: ArrayLike) -> MergedTask:
    """Return the merged task whose position i is the old position ``order[i]``; `copies` keep their old order.

    Embeddings and loss edges follow; they still refer to the lowest position of a class, because `copies` keep their
    order.

    Parameters
    ----------
    merged : MergedTask
    order : (N,) ints
        A permutation of the positions.

    Raises
    ------
    InvalidInstance
        If ``order`` is not a permutation of the positions.

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> moved = arranged_merged(merge(catalog.causal_lm(n=4)), [2, 1, 0])
    >>> moved.positions[0].input, [edge.position for edge in moved.loss_edges], moved.mask.intervals(0)
    ('w2', [2, 1, 0], ((0, 3),))
    """
    check_type(merged, MergedTask)
    order = keep_group_order(check_order(order, len(merged.positions)), copies(merged))
    new_position = invert_order(order).tolist()
    return replace(
        merged,
        positions=tuple(merged.positions[position] for position in order.tolist()),
        mask=permuted(merged.mask, order),
        updated=None if merged.updated is None else merged.updated[:, order],
        embeddings={
            task: {node: new_position[position] for node, position in nodes.items()}
            for task, nodes in merged.embeddings.items()
        },
        loss_edges=tuple(edge._replace(position=new_position[edge.position]) for edge in merged.loss_edges),
    )


def copies(merged: MergedTask) -> Int64Array:
    """Return a code for each position, equal for positions that hold equal values.

    At any depth the stable colours of the mask, with rows compared by sums of random 64-bit words; for finite layers
    and sparse answers, whose classes do not follow from the mask alone, the identities, which are coarser.

    Returns
    -------
    (N,) int64

    Examples
    --------
    >>> from masksynth import catalog
    >>> from masksynth.merge import merge
    >>> merged = merge(catalog.tabpfn_duplicates())
    >>> [position.input for position in merged.positions], copies(merged).tolist()
    (['a', 'a', 'b', 'c', 'x', 'y'], [0, 0, 1, 2, 3, 4])
    """
    check_type(merged, MergedTask)
    identity = factorize((canonical(item.input), item.position, item.kind) for item in merged.positions)
    colour = np.array(identity, np.int64)
    if merged.problem.sparse or merged.problem.layers is not None:
        return colour
    return _refine_colours(merged.mask, colour)


def _refine_colours(mask: Mask, colour: Int64Array) -> Int64Array:
    """Refine colours by the colours in each row until their number is constant."""
    count, rng = len(np.unique(colour)), np.random.default_rng(0)
    while count < mask.size:
        word = rng.integers(0, 2**64, count, np.uint64)[colour]
        finer = factorize_rows(colour, *(_row_sums(mask, table, word) for table in range(mask.tables)))
        if int(finer.max(initial=-1)) + 1 == count:
            break
        colour, count = finer, int(finer.max(initial=-1)) + 1
    return colour


def _row_sums(mask: Mask, table: int, word: UInt64Array) -> UInt64Array:
    """Return the sum of the words of each row's keys, modulo 2^64."""
    sums = prefix_sums(word)
    total = prefix_sums(sums[mask.key_end] - sums[mask.key_start])
    row: UInt64Array = total[mask.row_offset[table, 1:]] - total[mask.row_offset[table, :-1]]
    return row
