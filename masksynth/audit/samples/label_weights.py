"""Compare the weights of labels with those of the samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from masksynth.audit.finding import Finding
from masksynth.audit.samples.compare_labels import code_labels
from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.placement import Placement
from masksynth.mask.typing import Float64Array, Int64Array
from masksynth.subject.subject import Subject

LABEL_LIMIT = 1000
"""Maximum number of labels that are reported."""
REPACK = "pack the samples again"


def find_wrong_weights(subject: Subject, expected: Expected, placed: Placement) -> Iterator[Finding]:
    """Yield MS004 for labels with other weights than in the samples; MS022 where the mask has no weights.

    Weights of a label that several samples have at one position are summed.
    """
    labels = subject.labels
    if labels is None:
        return
    trained, predictor = expected.spans.trained, expected.spans.predictor
    weight = _weights_of_samples(expected)
    if subject.batch is None and (labels.weight == 1).all():
        if count := int((weight != 1).sum()):
            yield _not_compared(count)
        return
    codes = code_labels(labels, expected, placed, trained, predictor)
    given_count, expected_count = codes.counts()
    given_weight = np.bincount(codes.given, labels.weight, len(codes.pairs))
    expected_weight = np.bincount(codes.expected, weight, len(codes.pairs))
    # labels that differ in number are reported as lost or repeated
    differs = ~np.isclose(given_weight, expected_weight, rtol=1e-9, atol=1e-12)
    wrong = np.flatnonzero((given_count == expected_count) & differs)
    first_label = _first_of_each(codes.given, len(codes.pairs))
    first_trained = _first_of_each(codes.expected, len(codes.pairs))
    for code in wrong[:LABEL_LIMIT].tolist():
        label, token = int(first_label[code]), int(trained[first_trained[code]])
        position, value = int(labels.position[label]), labels.value[label]
        given, wanted = float(given_weight[code]), float(expected_weight[code])
        message = (
            f"position {subject.token(position)} predicts {value}, {expected.describe(token)}: "
            f"expected weight {wanted:g}, got {given:g}"
        )
        witness = {**expected.witness(token), "label": value, "given": given, "asked": wanted}
        yield Finding("MS004", "error", position, witness, REPACK, message)
    if len(wrong) > LABEL_LIMIT:
        message = (
            f"{len(wrong) - LABEL_LIMIT} more labels have other weights than in the samples; {LABEL_LIMIT} are reported"
        )
        yield Finding("MS014", "note", None, {"codes": ["MS004"], "labels": len(wrong)}, REPACK, message)


def _not_compared(count: int) -> Finding:
    """Return MS022 about labels whose weights were not compared."""
    message = f"weights of {count} labels of the samples were not compared: the labels of the mask have no weights"
    return Finding("MS022", "warning", None, {"codes": ["MS004"], "labels": count}, "audit the packed folder", message)


def _weights_of_samples(expected: Expected) -> Float64Array:
    """Return the weight of each label of the samples: that of its sample times that of its token, if it has one."""
    trained = expected.spans.trained
    token_weight = expected.table.fields.get("weights", np.full(len(expected.table.tokens), np.nan))[trained]
    weight: Float64Array = expected.table.weight[expected.sample[trained]]
    return weight * np.where(np.isnan(token_weight), 1.0, token_weight)


def _first_of_each(codes: Int64Array, size: int) -> Int64Array:
    """Return the first index of each code 0 .. size - 1, the number of codes if there is none."""
    first = np.full(size, len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))
    return first
