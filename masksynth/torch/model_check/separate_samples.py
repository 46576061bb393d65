"""Take single samples out of a packed batch, choose which to test, and make longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.mask import Mask
from masksynth.mask.algebra import restrict
from masksynth.mask.typing import Int64Array
from masksynth.pack.batch import PackedBatch
from masksynth.torch.model_check.failure_masks import causal_mask, mask_of_intervals
from masksynth.torch.models.reach import Reach

BEYOND = 3
"""By how many tokens a generated sample is longer than the window."""


class SeparateSample(NamedTuple):
    """One sample, to be run alone.

    Parameters
    ----------
    positions : (n,) int64
        Positions of its tokens in the merged batch.
    tokens : (n,) or (n, H) Tensor
        Its token ids, or their embeddings.
    position_ids : (n,) or (D, n) Tensor
    """

    positions: Int64Array
    tokens: Tensor
    position_ids: Tensor


def positions_of_sample(source: PackedBatch, sample: int) -> Int64Array:
    """Return the positions of the live tokens of a sample in the merged batch, (n,)."""
    return source.sample_position[source.sample_offset[sample] : source.sample_offset[sample + 1]]


def take_sample(positions: Int64Array, sequence: Tensor, position_ids: Tensor) -> SeparateSample:
    """Take a sample out of a merged call.

    Parameters
    ----------
    positions : (n,) int64
    sequence : (1, N) or (1, N, H) Tensor
    position_ids : (1, N) or (D, 1, N) Tensor

    Examples
    --------
    >>> take_sample(np.array([0, 2]), torch.tensor([[5, 6, 7]]), torch.tensor([[0, 1, 1]])).position_ids
    tensor([0, 1])
    """
    index = torch.from_numpy(positions)
    ids = position_ids.reshape(-1, position_ids.shape[-1])[:, index.to(position_ids.device)]
    return SeparateSample(positions, sequence[0, index.to(sequence.device)], ids[0] if len(ids) == 1 else ids)


def has_default_mask(mask: Mask, positions: Int64Array, causal: bool) -> bool:
    """Return whether a sample has the rows that a model gives it by default: causal, or (encoders) complete.

    Parameters
    ----------
    mask : Mask
        Mask of the merged batch.
    positions : (n,) int64
        Positions of the sample, ascending.
    causal : bool

    Examples
    --------
    >>> [has_default_mask(causal_mask(3), np.arange(3), causal) for causal in (True, False)]
    [True, False]
    """
    size = len(positions)
    complete = mask_of_intervals(np.zeros(size, np.int64), np.full(size, size))
    return restrict(mask, positions) == (causal_mask(size) if causal else complete)


def choose_samples(source: PackedBatch, count: int, random: np.random.Generator) -> list[int]:
    """Return the samples to test: the one that ends last in the merged order, the longest, late ones, random ones.

    The first samples are right in every faulty model, since few tokens come before them.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> choose_samples(example_batch(), 1, np.random.default_rng(0))
    [1]
    """
    length = np.diff(source.sample_offset)
    live = np.flatnonzero(length)
    ends = np.array([positions_of_sample(source, int(sample)).max() for sample in live], np.int64)
    late = live[np.argsort(-ends, kind="stable")].tolist()
    longest = live[np.argsort(-length[live], kind="stable")].tolist()
    order = [*late[:1], *longest[:1], *late[: count // 2], *random.permutation(live).tolist()]
    return list(dict.fromkeys(order))[:count]


def longest_limit(layers: Sequence[Reach]) -> int | None:
    """Return the length up to which no window or chunk cuts anything from a sample: the longest of them, or None.

    Examples
    --------
    >>> longest_limit([Reach(window=5), Reach()]), longest_limit([Reach()])
    (5, None)
    >>> longest_limit([Reach("bidirectional", window=2)])
    3
    """
    limits = [reach.chunk for reach in layers if reach.chunk is not None]
    limits += [reach.window + (reach.kind == "bidirectional") for reach in layers if reach.window is not None]
    return max(limits, default=None)


def batch_with_long_samples(source: PackedBatch, tokens: int) -> PackedBatch:
    """Return a batch of two samples of more than ``tokens`` tokens, which share all but their last ones.

    Token ids are those of the given batch, position ids are 0, 1, ...; keys equal the position ids, as for text in
    models with several dimensions of position ids.

    Examples
    --------
    >>> from masksynth.torch.join_batches import example_batch
    >>> batch = batch_with_long_samples(example_batch(), 5)
    >>> batch.position_ids, np.diff(batch.sample_offset)
    (array([0, 1, 2, 3, 4, 5, 6, 7, 6, 7]), array([8, 8]))
    """
    shared, size = tokens + 1, tokens + 1 + 2 * (BEYOND - 1)
    first, second = np.arange(tokens + BEYOND), np.append(np.arange(shared), np.arange(tokens + BEYOND, size))
    position_ids = np.append(first, np.arange(shared, tokens + BEYOND))
    branch = [((0, shared), (tokens + BEYOND, end + 1)) for end in range(tokens + BEYOND, size)]
    edges = np.array([tokens + BEYOND - 1, size - 1])
    ids = source.input_ids[np.arange(size) % source.positions]
    return PackedBatch(
        samples=("first long sample", "second long sample"),
        input_ids=ids,
        position_ids=position_ids,
        mask=Mask.from_intervals([[*(((0, end + 1),) for end in range(tokens + BEYOND)), *branch]]),
        loss_position=edges,
        loss_label=ids[:2],
        loss_sample=np.arange(2),
        loss_weight=np.ones(2),
        sample_offset=np.array([0, len(first), len(first) + len(second)]),
        sample_position=np.append(first, second),
        sample_weight=np.ones(2),
        loss_index=np.full(2, tokens + BEYOND),
        dead_offset=np.array([0, 1, 2]),
        dead_index=np.full(2, tokens + BEYOND),
        dead_token=ids[:2],
        fields={name: np.zeros(2) for name in source.fields},
        keys=dict.fromkeys(source.keys, position_ids),
    )
