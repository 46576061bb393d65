"""Compare what the tokens of packed samples attend to with what a model attends to without a given mask."""

from __future__ import annotations

import numpy as np

from masksynth.errors import Unsupported
from masksynth.mask import Mask
from masksynth.mask.csr import index_in_row, prefix_sums, row_of_entry
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch


def count_keys(mask: Mask) -> Int64Array:
    """Return the number of keys of each row of table 0, (N,).

    Examples
    --------
    >>> count_keys(Mask.from_intervals([[((0, 1),), ((0, 2),), ((0, 1), (2, 3))]]))
    array([1, 2, 2])
    """
    keys_before = prefix_sums(mask.key_end.astype(np.int64) - mask.key_start)
    counts: Int64Array = np.diff(keys_before[mask.row_offset[0]])
    return counts


def are_causal(source: PackedBatch) -> bool:
    """Return whether all tokens attend to as many tokens as causal ones do, and some sample has several tokens.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> are_causal(example_batch())
    True
    """
    live = np.diff(source.sample_offset)
    causal = np.array_equal(count_keys(source.mask)[source.sample_position], index_in_row(live) + 1)
    return bool(live.max(initial=0) > 1 and causal)


def refuse_visibility(source: PackedBatch, causal: bool) -> None:
    """Refuse samples whose rows differ from what the model computes without a mask.

    Parameters
    ----------
    source : PackedBatch
    causal : bool
        Whether the model's tokens attend to their earlier tokens only, or to all of their sample.

    Raises
    ------
    Unsupported
        Naming the first sample with other rows, or with a dead token before a live one.
    """
    live, dead = np.diff(source.sample_offset), np.diff(source.dead_offset)
    expected = index_in_row(live) + 1 if causal else np.repeat(live, live)
    wrong = np.flatnonzero(count_keys(source.mask)[source.sample_position] != expected)
    inner = source.dead_index < np.repeat(live, dead)  # a dead token before a live one
    samples = [*row_of_entry(source.sample_offset)[wrong[:1]], *row_of_entry(source.dead_offset)[inner][:1]]
    if samples:
        name = source.samples[int(samples[0])]
        fact = f"sample {name!r} has its own visibility (segments)"
        raise Unsupported(f"{fact}, which a padded row without a mask does not have")
