"""Tokens of a packed batch: the position of each, and the token that each label predicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.pack import PackedBatch


def token_positions(batch: PackedBatch) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return where each sample's tokens begin, and the position and the id of each of the U tokens of all samples.

    A sample has as many tokens as it has live and dead ones. Indices outside the batch are tolerated, as the batch may
    be faulty.

    Returns
    -------
    offset : (S + 1,) int64
        Sample s has the tokens ``offset[s] <= t < offset[s + 1]``.
    position : (U,) int64
        -1 for dead tokens.
    token_id : (U,) int64
    """
    live, dead = np.diff(batch.sample_offset), np.diff(batch.dead_offset)
    offset = np.concatenate([[0], np.cumsum(live + dead)]).astype(np.int64)
    position = np.zeros(int(offset[-1]), np.int64)
    dead_token = np.repeat(offset[:-1], dead) + batch.dead_index  # flat index of each dead token
    dead_token = dead_token[(dead_token >= 0) & (dead_token < len(position))]
    position[dead_token] = -1
    live_token = np.flatnonzero(position == 0)[: len(batch.sample_position)]
    position[live_token] = batch.sample_position[: len(live_token)]
    token_id: Int64Array = np.append(batch.input_ids, -1)[position]  # position -1 takes the appended -1
    token_id[dead_token] = batch.dead_token[: len(dead_token)]
    return offset, position, token_id


def label_targets(batch: PackedBatch) -> tuple[Int64Array, Int64Array]:
    """Return the position of each label's own token, and the labels that differ from their token.

    Returns
    -------
    target : (E,) int64
        -1 if the token is dead, is the predictor itself, or differs from the label (which then declares nothing to
        hide).
    differing : (D,) int64
        Indices of the labels that differ.
    """
    offset, position, token_id = token_positions(batch)
    token = offset[batch.loss_sample] + batch.loss_index  # flat index of each label's own token
    inside = (batch.loss_index >= 0) & (token < offset[batch.loss_sample + 1])
    token = np.where(inside, token, 0)
    if not len(position):
        return np.full(len(token), -1), np.zeros(0, np.int64)
    live_other = inside & (position[token] >= 0) & (position[token] != batch.loss_position)
    same = token_id[token] == batch.loss_label
    return np.where(live_other & same, position[token], -1), np.flatnonzero(live_other & ~same)


def position_groups(batch: PackedBatch, groups: tuple[Any, ...] | None) -> Int64Array | None:
    """Return the code of the group that each position serves; None without groups, or if a position serves two.

    Parameters
    ----------
    batch : PackedBatch
    groups : tuple of S values, optional
        Group of each sample; codes count them in order of first appearance. An unused copy belongs to the group of the
        used position before it.
    """
    if groups is None:
        return None
    known: dict[str, int] = {}
    codes = np.fromiter((known.setdefault(repr(group), len(known)) for group in groups), np.int64, len(groups))
    group = np.full(batch.positions, -1, np.int64)
    served = np.repeat(codes, np.diff(batch.sample_offset))
    group[batch.sample_position] = served
    if (group[batch.sample_position] != served).any():
        return None
    # index of the latest position at or before each one that some sample uses
    latest = np.maximum.accumulate(np.where(group >= 0, np.arange(batch.positions), 0))
    return group[latest]
