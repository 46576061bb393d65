"""Packed batches know their samples: which position each label's token has, and which should predict it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.pack import PackedBatch

Ints = NDArray[np.int64]


def token_places(batch: PackedBatch) -> tuple[Ints, Ints, Ints]:
    """Where each sample's tokens begin, and for each token its position (-1 if dead) and its id.

    A sample has as many tokens as it has live and dead ones.
    """
    live, dead = np.diff(batch.sample_offset), np.diff(batch.dead_offset)
    cut = np.concatenate([[0], np.cumsum(live + dead)]).astype(np.int64)
    place = np.zeros(int(cut[-1]), np.int64)
    where = np.repeat(cut[:-1], dead) + batch.dead_index
    where = where[(where >= 0) & (where < len(place))]
    place[where] = -1
    alive = np.flatnonzero(place == 0)[: len(batch.sample_position)]
    place[alive] = batch.sample_position[: len(alive)]
    token: Ints = np.where(place >= 0, batch.input_ids[place], -1)
    token[where] = batch.dead_token[: len(where)]
    return cut, place, token


def targets(batch: PackedBatch) -> Ints:
    """The position of each label's own token, -1 where it is dead, is the predictor itself, or differs from the label."""
    cut, place, token = token_places(batch)
    at = cut[batch.loss_sample] + batch.loss_index
    inside = (batch.loss_index >= 0) & (at < cut[batch.loss_sample + 1])
    at = np.where(inside, at, 0)
    known = inside & (place[at] >= 0) & (place[at] != batch.loss_position) & (token[at] == batch.loss_label) if len(place) else inside
    found: Ints = np.where(known, place[at], -1) if len(place) else np.full(len(at), -1)
    return found


def predictors(batch: PackedBatch, segments: tuple[Any, ...] | None) -> Ints:
    """The position that should predict each label: that of the token before it, or as the sample's segments say; -1 if it is dead."""
    cut, place, _ = token_places(batch)
    before = batch.loss_index - 1
    for number, parts in enumerate(segments or ()):
        if parts is not None:
            own = np.flatnonzero(batch.loss_sample == number)
            before[own] = _before(parts, batch.loss_index[own])
    at = cut[batch.loss_sample] + before
    inside = (before >= 0) & (at < cut[batch.loss_sample + 1])
    found: Ints = np.where(inside, place[np.where(inside, at, 0)], -1) if len(place) else np.full(len(at), -1)
    return found


def _before(parts: Any, index: Ints) -> Ints:
    """Which token of a segmented sample predicts token ``index``."""
    start = np.concatenate([[0], np.cumsum([part["length"] for part in parts])]).astype(np.int64)
    own = np.clip(np.searchsorted(start, index, side="right") - 1, 0, len(parts) - 1)
    itself = np.array([part.get("predict", "next") == "self" for part in parts])[own]
    after = np.array([number - 1 if part.get("after") is None else part["after"] for number, part in enumerate(parts)])[own]
    found: Ints = np.where(itself, index, np.where(index > start[own], index - 1, np.where(after >= 0, start[after + 1] - 1, -1)))
    return found
