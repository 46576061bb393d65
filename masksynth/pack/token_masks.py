"""Apply the masks over a sample's tokens: drop pads, and convert masks of trained tokens to labels.

``attention_mask`` marks the real tokens; the others are pads, on either side, and are dropped. ``completion_mask`` and
``assistant_masks`` mark the trained tokens: ``labels`` is then ``input_ids`` where the mask is 1 and -100 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.csr import concatenate_slices, indptr
from masksynth.mask.typing import AnyArray, Int64Array
from masksynth.pack.sample_columns import IGNORED

PADS = "attention_mask"
TRAINED = ("completion_mask", "assistant_masks")
MASKS = (PADS, *TRAINED)
"""Optional lists of 0 and 1 (or of false and true), one entry for each token."""

Lists = Sequence[AnyArray | None]
"""One per-token list for each sample, None where a sample has none."""


class Rows(NamedTuple):
    """Row pointers of S samples into flat arrays over tokens, and where the samples were read.

    Parameters
    ----------
    place : sequence of str
        ``file:line`` of each sample.
    offset : (S + 1,) int64
        Sample s has the entries ``offset[s] <= u < offset[s + 1]``.
    lead : (S,) int64
        Pads that were dropped before the first token of each sample; errors count from the first entry in the file.
    """

    place: Sequence[str]
    offset: Int64Array
    lead: Int64Array

    def refuse(self, token: int, name: str, fact: str, remedy: str) -> None:
        """Raise ``InvalidInstance`` for entry ``token`` of the flat array ``name``."""
        sample = int(np.searchsorted(self.offset, token, "right")) - 1
        index = token - int(self.offset[sample]) + int(self.lead[sample])
        raise InvalidInstance(fact, f"$.{name}[{index}]", remedy, self.place[sample])


def fill_column(columns: Lists, default: AnyArray, offset: Int64Array) -> AnyArray:
    """Return the lists of all samples as one flat array; a sample without one gets its entries of ``default``."""
    if all(column is None for column in columns):
        return default
    parts = (default[offset[i] : offset[i + 1]] if column is None else column for i, column in enumerate(columns))
    return np.concatenate([default[:0], *parts])


def fill_binary(columns: Lists, name: str, rows: Rows) -> Int64Array:
    """Return a mask over all tokens; all 1 for a sample without one.

    Raises
    ------
    InvalidInstance
        Naming the first entry other than 0 and 1.
    """
    values = fill_column(columns, np.ones(int(rows.offset[-1]), np.int64), rows.offset)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        token = int(np.argmax(wrong))
        fact = f"{values[token]} is neither 0 nor 1"
        rows.refuse(token, name, fact, "give 1 for each token that counts and 0 for the others")
    return values


def real_tokens(lists: Mapping[str, Lists], causal: Sequence[bool], rows: Rows) -> tuple[Int64Array, Int64Array] | None:
    """Return the count of pads before each sample's first real token and of its real tokens; None if there are no pads.

    Parameters
    ----------
    lists : mapping of str to sequence of S arrays or None
        ``attention_mask``, ``labels`` and the masks of trained tokens, as far as some sample has them.
    causal : sequence of S bool
        Whether a sample has no segments.
    rows : Rows

    Raises
    ------
    InvalidInstance
        If the real tokens of a sample are not consecutive, a label on a pad is trained, or a sample with segments has a
        pad.

    Examples
    --------
    >>> rows = Rows(["a:1"], np.array([0, 4]), np.zeros(1, np.int64))
    >>> [part.tolist() for part in real_tokens({"attention_mask": [np.array([0, 1, 1, 0])]}, [True], rows)]
    [[1], [2]]
    """
    if PADS not in lists:
        return None
    real = fill_binary(lists[PADS], PADS, rows) == 1
    if real.all():
        return None
    ones = np.flatnonzero(real)
    cut = np.searchsorted(ones, rows.offset)  # row pointers of the samples into the real tokens
    kept = np.diff(cut)
    nonempty = kept > 0
    first = np.where(nonempty, np.append(ones, 0)[cut[:-1]], rows.offset[:-1])
    # last real token - first real token = kept - 1, unless there is a 0 between them
    holes = np.flatnonzero(nonempty & (ones[cut[1:] - 1] - first >= kept)) if len(ones) else np.zeros(0, np.int64)
    if len(holes):
        start = int(first[holes[0]])
        hole = start + int(np.argmin(real[start : rows.offset[holes[0] + 1]]))
        rows.refuse(
            hole,
            PADS,
            "is 0 between two real tokens",
            "pads are allowed before or after the tokens; give segments for other masks",
        )
    pads = np.flatnonzero(kept < np.diff(rows.offset))
    for sample in pads.tolist():
        if not causal[sample]:
            remedy = "drop the pads from every list, or the segments"
            raise InvalidInstance("marks pads in a sample with segments", f"$.{PADS}", remedy, rows.place[sample])
    for name, ignored in (("labels", IGNORED), *((name, 0) for name in TRAINED)):
        default = np.full(len(real), ignored, np.int64)
        values = fill_column(lists.get(name, [None] * len(rows.place)), default, rows.offset)
        trained = ~real & (values != ignored)
        if name in lists and trained.any():
            token = int(np.argmax(trained))
            fact = f"{values[token]} trains a pad, since {PADS} is 0 there"
            rows.refuse(token, name, fact, f"give {ignored} on pads")
    return first - rows.offset[:-1], kept


def resolve_labels(tokens: Int64Array, lists: Mapping[str, Lists], causal: Sequence[bool], rows: Rows) -> Int64Array:
    """Return the labels of all tokens: as given, or the token ids where a mask is 1 and -100 elsewhere.

    Parameters
    ----------
    tokens : (U,) int64
    lists : mapping of str to sequence of S arrays or None
        ``labels``, ``completion_mask`` and ``assistant_masks``, as far as some sample has them.
    causal : sequence of S bool
        Whether a sample has no segments. The first label of a causal sample is ignored, so ``labels`` may differ from a
        mask there.
    rows : Rows

    Raises
    ------
    InvalidInstance
        If a sample has neither labels nor a mask, a mask has an entry other than 0 and 1, or two of the lists
        contradict each other.

    Examples
    --------
    >>> rows = Rows(["a:1"], np.array([0, 3]), np.zeros(1, np.int64))
    >>> resolve_labels(np.array([5, 6, 7]), {"completion_mask": [np.array([0, 1, 0])]}, [True], rows).tolist()
    [-100, 6, -100]
    """
    ways = {name: lists[name] for name in ("labels", *TRAINED) if name in lists}
    given = {name: np.array([column is not None for column in columns], bool) for name, columns in ways.items()}
    missing = ~np.logical_or.reduce(list(given.values())) if ways else np.ones(len(rows.place), bool)
    if missing.any():
        remedy = 'give every sample "labels", or a "completion_mask" or "assistant_masks"'
        raise InvalidInstance("labels is missing", "$", remedy, rows.place[int(np.argmax(missing))])
    length = np.diff(rows.offset)
    if list(ways) == ["labels"]:
        return fill_column(ways["labels"], tokens, rows.offset)
    untrained = np.full(len(tokens), IGNORED, np.int64)
    labels = {
        name: fill_column(columns, untrained, rows.offset)
        if name == "labels"
        else np.where(fill_binary(columns, name, rows) == 1, tokens, IGNORED)
        for name, columns in ways.items()
    }
    ignored = np.zeros(len(tokens), bool)  # the first token of each causal sample
    ignored[rows.offset[:-1][(length > 0) & np.array(causal, bool)]] = True
    for first, second in combinations(ways, 2):
        differs = np.repeat(given[first] & given[second], length) & (labels[first] != labels[second])
        differs &= ~ignored if first == "labels" else True
        if differs.any():
            token = int(np.argmax(differs))
            fact = f"makes the label {labels[second][token]}, but {first} makes it {labels[first][token]}"
            rows.refuse(token, second, fact, "keep the one that is right")
    result = untrained
    for name in reversed(ways):
        result = np.where(np.repeat(given[name], length), labels[name], result)
    return result


def drop_pads(
    tokens: Int64Array,
    lists: Mapping[str, Lists],
    rows: Rows,
    lead: Int64Array,
    kept: Int64Array,
) -> tuple[Int64Array, Mapping[str, Lists], Rows]:
    """Return tokens, lists and rows without pads.

    Parameters
    ----------
    tokens : (U,) int64
    lists : mapping of str to sequence of S arrays or None
    rows : Rows
    lead, kept : (S,) int64
        Pads before the first real token of each sample, and its number of real tokens.
    """
    real = [slice(start, start + count) for start, count in zip(lead.tolist(), kept.tolist(), strict=True)]
    cut = {
        name: [None if column is None else column[part] for column, part in zip(columns, real, strict=True)]
        for name, columns in lists.items()
    }
    return concatenate_slices(tokens, rows.offset[:-1] + lead, kept), cut, Rows(rows.place, indptr(kept), lead)


def ignore_first_labels(
    labels: Int64Array, causal: Sequence[bool], offset: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the labels with -100 at the first token of each causal sample, and the label that each had there.

    No token precedes the first one, so nothing predicts its label; Hugging Face's losses leave it out as well.

    Parameters
    ----------
    labels : (U,) int64
    causal : sequence of S bool
    offset : (S + 1,) int64

    Examples
    --------
    >>> [part.tolist() for part in ignore_first_labels(np.array([5, 6, 7]), [True], np.array([0, 3]))]
    [[-100, 6, 7], [5]]
    """
    first_label = np.full(len(causal), IGNORED, np.int64)
    chosen = np.flatnonzero(np.array(causal, bool) & (np.diff(offset) > 0))
    first_label[chosen] = labels[offset[chosen]]
    if (first_label != IGNORED).any():
        labels = labels.copy()
        labels[offset[chosen]] = IGNORED
    return labels, first_label
