"""Small and unusual inputs: every one gives findings or a one-line error, never a traceback."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.audit import Subject, audit, with_samples
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.subject.token_file import with_tokens

SAMPLE = {"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, 3]}
KNOWN = {"inputs": [1, 2, 3], "positions": [0, 1, 2], "labels": [[0, 2], [1, 3]]}


def causal(size):
    return np.tril(np.ones((size, size), bool))


def told(dense, tokens, samples):
    """Return (code, severity, position) of what samples say; dead and duplicate positions, and heuristics, aside."""
    report = audit(with_tokens(Subject(Mask.from_dense(np.asarray(dense, bool)), "mask"), tokens), samples=samples)
    found = [(one.code, one.severity, one.position) for one in report.findings]
    return [one for one in found if one[0] not in ("MS007", "MS008", "MS010")]


@pytest.mark.parametrize(
    ("dense", "tokens", "samples", "expected"),
    [
        (causal(3), KNOWN, [SAMPLE, {"id": "e", "input_ids": [], "labels": []}], []),
        (causal(3), KNOWN, [SAMPLE, {"id": "u", "input_ids": [9, 9], "labels": [-100, -100]}], []),
        (
            causal(1),
            {"inputs": [1], "positions": [0], "labels": [[0, 2]]},
            [{"id": 1, "input_ids": [1, 2], "labels": [-100, 2]}],
            [],
        ),
        (
            causal(3)[::-1, ::-1],
            {"inputs": [3, 2, 1], "positions": [2, 1, 0], "labels": [[2, 2], [1, 3]]},
            [SAMPLE],
            [],
        ),
        (causal(3), {**KNOWN, "positions": [5, 7, 7]}, [{**SAMPLE, "position_ids": [5, 7, 7]}], []),
        (causal(3), {**KNOWN, "kinds": ["0", "1", "1"]}, [{**SAMPLE, "kinds": [0, 1, 1]}], []),
        (causal(3), {**KNOWN, "kinds": ["0", "0", "1"]}, [{**SAMPLE, "kinds": [0, 1, 1]}], [("MS018", "error", 1)]),
        (causal(3), KNOWN, [{**SAMPLE, "kinds": [0, 1, 1]}], [("MS022", "warning", None)]),
        (causal(3), {**KNOWN, "kinds": ["token"] * 3}, [{**SAMPLE, "kinds": [0, 1, 1]}], [("MS022", "warning", None)]),
        (causal(3), KNOWN, [SAMPLE, {**SAMPLE, "id": "b"}], [("MS004", "warning", 0), ("MS004", "warning", 1)]),
        (np.zeros((0, 0)), {"inputs": [], "positions": [], "labels": []}, [SAMPLE], [("MS018", "error", None)]),
        (
            causal(3),
            KNOWN,
            [{"id": "e", "input_ids": [], "labels": []}],
            [("MS003", "error", 0), ("MS003", "error", 1), ("MS019", "warning", 0)],
        ),
    ],
)
def test_small_and_odd(dense, tokens, samples, expected):
    assert told(dense, tokens, samples) == expected


def test_left_padding():
    dense = np.pad(causal(3), ((2, 0), (2, 0)))
    dense[:2, :2] = causal(2)
    tokens = {
        "inputs": [0, 0, 1, 2, 3],
        "positions": [0, 0, 0, 1, 2],
        "labels": [[2, 2], [3, 3]],
        "padding": {"ids": [0]},
    }
    assert told(dense, tokens, [SAMPLE]) == []
    dense[3, 1] = True
    assert told(dense, tokens, [SAMPLE]) == [("MS020", "error", 3)]


def test_inputs_that_are_no_token_ids():
    subject = with_tokens(Subject(Mask.from_dense(causal(3)), "mask"), {**KNOWN, "inputs": ["1", "2", "3"]})
    with pytest.raises(InvalidInstance, match="expected token ids as inputs, got '1'"):
        with_samples(subject, [SAMPLE])
    with pytest.raises(InvalidInstance, match="the inputs of its positions are not known"):
        with_samples(Subject(Mask.from_dense(causal(3)), "mask"), [SAMPLE])


def test_a_copy_is_named_after_the_sample_that_continues_at_it():
    """Samples a and b are stored one after the other, b first: the first position is b's, though a's token is equal."""
    samples = [
        {"id": "a", "input_ids": [1, 2, 3], "labels": [-100, 2, 3]},
        {"id": "b", "input_ids": [1, 2, 4], "labels": [-100, 2, 4]},
    ]
    dense = np.kron(np.eye(2, dtype=bool), causal(3))
    labels = [[0, 7], [1, 4], [3, 2], [4, 3]]  # 7 instead of 2
    tokens = {"inputs": [1, 2, 4, 1, 2, 3], "positions": [0, 1, 2, 0, 1, 2], "labels": labels}
    report = audit(with_tokens(Subject(Mask.from_dense(dense), "mask"), tokens), samples=samples)
    assert [one.message for one in report.findings if one.code == "MS003"] == [
        "position 0 (1@0), token 0 of sample 'b': expected label 2 (token 1 of sample 'a'), got 7"
    ]
