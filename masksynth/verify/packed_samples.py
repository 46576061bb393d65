"""The samples that a batch of a packed folder trains, rebuilt from its arrays. The checker's own.

Nothing of ``masksynth.pack`` is used: a segment's list of earlier segments is expanded here as it is in
``masksynth.pack.visibility``, on purpose: a fault in one must not be shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from masksynth.errors import WrongAnswer
from masksynth.mask.typing import BoolArray
from masksynth.verify.ragged import prefix_sums, row_of_entry
from masksynth.verify.read_packed import IGNORED, Entry, SegmentEntry


class Segment(NamedTuple):
    """A segment of a sample, with its first token and the numbers of the earlier segments that it sees."""

    start: int
    length: int
    sees: tuple[int, ...]
    within: str
    position: int
    predict: str
    after: int


def samples_of(batch: SimpleNamespace, entry: Entry) -> tuple[SimpleNamespace, BoolArray]:
    """Return the samples that a batch trains according to its arrays, as columns, and which of their tokens are live.

    Token fields are NaN where nothing is trained; keys of dead tokens are 0.
    """
    length = np.diff(batch.sample_offset) + np.diff(batch.dead_offset)
    offset = prefix_sums(length)
    live = np.ones(int(offset[-1]), bool)
    dead = offset[row_of_entry(batch.dead_offset)] + batch.dead_index  # index of each dead token among all tokens
    live[dead] = False
    if int(live.sum()) != len(batch.sample_position):
        raise WrongAnswer("identity", "a dead token is listed twice")
    tokens, labels = np.zeros(len(live), np.int64), np.full(len(live), IGNORED, np.int64)
    tokens[live] = batch.input_ids[batch.sample_position]
    tokens[dead] = batch.dead_token
    label = offset[batch.loss_sample] + batch.loss_index
    labels[label] = batch.loss_label
    fields, keys = {}, {}
    for name, values in batch.fields.items():
        fields[name] = np.full(len(live), np.nan)
        fields[name][label] = values
    for name, values in (("position_ids", batch.position_ids), *batch.keys.items()):
        keys[name] = np.zeros(len(live), np.int64)
        keys[name][live] = values[batch.sample_position]
    groups = entry.groups or (None,) * len(entry.samples)
    entries = entry.segments or (None,) * len(entry.samples)
    segments = tuple(None if given is None else _read_segments(given, entry.file) for given in entries)
    for sample, parts in enumerate(segments):
        if parts is not None and sum(part.length for part in parts) != length[sample]:
            fact = f"the segments of sample {entry.samples[sample]!r} do not have its {length[sample]} tokens"
            raise WrongAnswer("files", fact)
    columns = {"ids": entry.samples, "groups": groups, "weight": batch.sample_weight, "segments": segments}
    return SimpleNamespace(**columns, offset=offset, tokens=tokens, labels=labels, fields=fields, keys=keys), live


def _read_segments(entries: Sequence[SegmentEntry], file: str) -> tuple[Segment, ...]:
    """Return the segments of a sample; raise WrongAnswer if one sees or follows a segment that is not earlier."""
    start, segments = 0, []
    for number, entry in enumerate(entries):
        ranges = [(item, item + 1) if isinstance(item, int) else item for item in entry.sees]
        is_earlier = -1 <= entry.after < number and all(0 <= low <= high <= number for low, high in ranges)
        if entry.length < 0 or not is_earlier:
            raise WrongAnswer("files", f"a segment of {file} sees or follows one that is not earlier")
        sees = tuple(sorted({index for low, high in ranges for index in range(low, high)}))
        segments.append(Segment(start, entry.length, sees, entry.within, entry.position, entry.predict, entry.after))
        start += entry.length
    return tuple(segments)
