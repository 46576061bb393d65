"""Compare the labels of a mask with those of the samples, as multisets of (class of the predicting position, label)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.placement import Placement
from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.subject.subject import Labels

ClassLabel = tuple[int, int]
"""A class and a label."""
WIDTH = 1 << 32
"""Above every label, so that class * WIDTH + label + 1 is one integer for both."""


class LabelCodes(NamedTuple):
    """Integer codes of (class, label), common to the mask and the samples.

    Parameters
    ----------
    pairs : (codes,) int64
        class * WIDTH + label + 1 of each code.
    given : (E,) int64
        Code of each label of the mask.
    expected : (trained labels,) int64
        Code of each trained label of the samples.
    """

    pairs: Int64Array
    given: Int64Array
    expected: Int64Array

    def pair(self, code: int) -> ClassLabel:
        """Return the class and the label of a code."""
        return int(self.pairs[code] // WIDTH), int(self.pairs[code] % WIDTH) - 1

    def counts(self) -> tuple[Int64Array, Int64Array]:
        """Return how often each code occurs in the mask, and in the samples."""
        given, expected = (np.bincount(codes, minlength=len(self.pairs)) for codes in (self.given, self.expected))
        return given, expected


def code_labels(
    labels: Labels, expected: Expected, placed: Placement, trained: Int64Array, predictor: Int64Array
) -> LabelCodes:
    """Factorize the labels of the mask and the given labels of the samples together.

    Parameters
    ----------
    labels : Labels
    expected : Expected
    placed : Placement
    trained, predictor : (trained labels,) int64
        Tokens whose labels are trained, and the tokens that predict them.
    """
    given = placed.class_of_position[labels.position] * WIDTH + integer_labels(labels) + 1
    wanted = placed.class_of_token[predictor] * WIDTH + expected.table.labels[trained] + 1
    pairs, code = np.unique(np.concatenate([given, wanted]), return_inverse=True)
    return LabelCodes(pairs, code[: len(given)], code[len(given) :])


@dataclass(frozen=True, eq=False)
class Difference:
    """Labels that the mask has and the samples do not expect, and the reverse.

    Parameters
    ----------
    extra : list of int
        Indices of labels of the subject.
    lost : dict
        (class, label) -> how many are missing.
    expected : dict
        (class, label) -> tokens that have this label, for pairs that differ in number.
    given : dict
        (class, label) -> how many the subject has, for pairs that differ in number.
    """

    extra: list[int]
    lost: dict[ClassLabel, int]
    expected: dict[ClassLabel, list[int]]
    given: dict[ClassLabel, int] = field(default_factory=dict)


def integer_labels(labels: Labels) -> Int64Array:
    """Return the labels as token ids, -1 for those that are not token ids."""
    return np.fromiter(
        (value if type(value) is int and 0 <= value < 2**31 else -1 for value in labels.value), np.int64, len(labels)
    )


def compare_labels(labels: Labels, expected: Expected, placed: Placement) -> Difference:
    """Return how the subject's labels and those of the samples differ.

    Labels predicted by tokens without a position are left out: the tokens themselves are reported.
    """
    trained, predictor = expected.spans.trained, expected.spans.predictor
    has_position = placed.has_position[placed.class_of_token[predictor]]
    trained, predictor = trained[has_position], predictor[has_position]
    codes = code_labels(labels, expected, placed, trained, predictor)
    given_count, expected_count = codes.counts()
    differs = given_count != expected_count
    # of a label that is given too often, the last ones are extra: rank = index among equal labels
    order = np.argsort(codes.given, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - indptr(given_count)[codes.given[order]]
    invalid = (placed.class_of_position[labels.position] < 0) | (integer_labels(labels) < 0)
    extra = np.flatnonzero((rank >= expected_count[codes.given]) | invalid)
    pairs = {code: codes.pair(code) for code in np.flatnonzero(differs).tolist()}
    tokens: dict[ClassLabel, list[int]] = {}
    wrong = differs[codes.expected]
    for token, code in zip(trained[wrong].tolist(), codes.expected[wrong].tolist(), strict=True):
        tokens.setdefault(pairs[code], []).append(token)
    lost = {
        pairs[code]: int(expected_count[code] - given_count[code])
        for code in np.flatnonzero(expected_count > given_count).tolist()
    }
    return Difference(extra.tolist(), lost, tokens, {pairs[code]: int(given_count[code]) for code in pairs})


def find_target_positions(labels: Labels, expected: Expected, placed: Placement) -> Int64Array:
    """Return for each label the position of its own token, by the samples, shape (E,).

    A label that is the predicting token itself (mask tokens predict themselves) has none: -1. For a label that no
    sample expects, the target that is known already is returned.
    """
    value, class_of_position = integer_labels(labels), placed.class_of_position
    trained, predictor = expected.spans.trained, expected.spans.predictor
    order = np.argsort(trained == predictor, kind="stable")  # labels that are another token first
    wanted = (placed.class_of_token[predictor] * WIDTH + expected.table.labels[trained])[order]
    pairs, first = np.unique(wanted, return_index=True)
    given = class_of_position[labels.position] * WIDTH + value
    entry = np.minimum(np.searchsorted(pairs, given), max(len(pairs) - 1, 0))
    is_expected = (class_of_position[labels.position] >= 0) & (value >= 0)
    is_expected &= pairs[entry] == given if len(pairs) else False
    target = labels.target.copy()
    token = trained[order][first[entry[is_expected]]]
    is_itself = predictor[order][first[entry[is_expected]]] == token
    first_position = np.full(len(placed.first_token), -1, np.int64)  # first position of each class
    placed_positions = np.flatnonzero(class_of_position >= 0)[::-1]
    first_position[class_of_position[placed_positions]] = placed_positions
    class_of_target, known = placed.class_of_token[token], target[is_expected]
    keeps = (known >= 0) & (class_of_position[known] == class_of_target)
    target[is_expected] = np.where(is_itself, -1, np.where(keeps, known, first_position[class_of_target]))
    return target
