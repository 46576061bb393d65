"""Padding that something sees is named; padding that nothing sees is neither dead nor a duplicate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from masksynth.audit import Subject, audit
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.subject.token_file import with_tokens

KNOWN = {"inputs": [7, 8, 9, 0, 0], "positions": [0, 1, 2, 0, 0], "labels": [[0, 8], [1, 9]]}


def padded(dense, padding, **tokens):
    return with_tokens(Subject(Mask.from_dense(dense), "mask"), {**KNOWN, **tokens, "padding": padding})


def right():
    dense = np.tril(np.ones((5, 5), bool))
    dense[3:, :3] = False
    return dense


@pytest.mark.parametrize("padding", [{"ids": [0]}, {"positions": [3, 4]}, {"ids": [0], "positions": [4]}])
def test_padding_is_neither_dead_nor_a_duplicate(padding):
    report = audit(padded(right(), padding))
    assert [(found.code, found.position) for found in report.findings] == [("MS007", 2)]
    assert tuple(report.minimal) == (5, 1, 0, 2)
    assert "MS020" not in report.unchecked
    unsaid = audit(replace(padded(right(), padding), padding=None))
    assert [found.position for found in unsaid.findings if found.code == "MS007"] == [2, 3, 4]
    assert "MS020" in unsaid.unchecked


def test_every_pair_with_padding_is_told():
    for query in range(5):
        for key in (3, 4):
            dense = right()
            dense[query, key] = True
            found = [one for one in audit(padded(dense, {"ids": [0]})).findings if one.code == "MS020"]
            assert [(one.position, one.witness["keys"]) for one in found] == ([] if query > 2 else [(query, [key])])
            assert all(one.severity == ("error" if query < 2 else "warning") for one in found)


def test_left_padding_under_a_plain_causal_mask():
    dense = np.tril(np.ones((5, 5), bool))
    known = {"inputs": [0, 0, 7, 8, 9], "positions": [0, 0, 0, 1, 2], "labels": [[2, 8], [3, 9]]}
    found = [one for one in audit(padded(dense, {"ids": [0]}, **known)).findings if one.code == "MS020"]
    assert [(one.position, one.severity) for one in found] == [(2, "error"), (3, "error"), (4, "warning")]


def test_padding_that_predicts():
    found = [
        one for one in audit(padded(right(), {"ids": [0]}, labels=[[0, 8], [3, 0, []]])).findings if one.code == "MS020"
    ]
    assert [(one.position, one.severity) for one in found] == [(3, "error")]


def test_tables_of_a_pattern():
    dense = right()
    dense[1, 3] = True
    found = [one for one in audit(padded(np.stack([right(), dense]), {"ids": [0]})).findings if one.code == "MS020"]
    assert [(one.position, one.witness["table"]) for one in found] == [(1, 1)]


@pytest.mark.parametrize(
    ("padding", "path"),
    [
        ([0], "$.padding"),
        (0, "$.padding"),
        ({}, "$.padding"),
        ({"id": [0]}, "$.padding"),
        ({"ids": 0}, "$.padding.ids"),
        ({"positions": "3"}, "$.padding.positions"),
        ({"positions": [5]}, "$.padding.positions[0]"),
        ({"positions": [3, -1]}, "$.padding.positions[1]"),
        ({"positions": [True]}, "$.padding.positions[0]"),
    ],
)
def test_padding_that_is_malformed(padding, path):
    with pytest.raises(InvalidInstance) as raised:
        padded(right(), padding)
    assert raised.value.path == path
    assert raised.value.remedy


def test_ids_need_inputs():
    with pytest.raises(InvalidInstance, match="the inputs are not known"):
        with_tokens(Subject(Mask.from_dense(right()), "mask"), {"padding": {"ids": [0]}})
    by_place = with_tokens(Subject(Mask.from_dense(right()), "mask"), {"padding": {"positions": [3, 4]}})
    assert by_place.padding.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    "tables", ["full", [], ["full", "full"], ["half"], [{"window": 0}], [{"window": True}], [{"chunk": 2, "window": 2}]]
)
def test_tables_that_are_malformed(tables):
    with pytest.raises(InvalidInstance) as raised:
        with_tokens(Subject(Mask.from_dense(right()), "mask"), {"tables": tables})
    assert raised.value.path.startswith("$.tables")


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        ({"tables": [{"window": 0}]}, 'got {"window": 0}'),
        ({"tables": [np.ones(3)]}, "of type ndarray"),
        ({"tables": ["full", "full"]}, 'a list of 1 entry, got ["full", "full"]'),
        ({"padding": {"idz": [0]}}, 'got {"idz": [0]}'),
        ({"tables": [{"window": 1, "chunk": 10**80}]}, "0..."),
    ],
)
def test_a_malformed_value_is_shown(tokens, shown):
    with pytest.raises(InvalidInstance) as raised:
        with_tokens(Subject(Mask.from_dense(right()), "mask"), tokens)
    assert shown in str(raised.value)


def test_an_empty_file_of_tokens(tmp_path):
    (tmp_path / "tokens.json").write_text("")
    with pytest.raises(
        InvalidInstance, match="the file is empty; write an object with some of inputs, positions"
    ) as raised:
        with_tokens(Subject(Mask.from_dense(right()), "mask"), tmp_path / "tokens.json")
    assert "instance" not in str(raised.value)


def test_labels_of_padding_beyond_the_limit_are_counted():
    size = 1003
    labels = [[0, 8], *([place, 0] for place in range(1, size))]
    tokens = {"inputs": [7] + [0] * (size - 1), "labels": labels, "padding": {"ids": [0]}}
    report = audit(with_tokens(Subject(Mask.from_dense(np.eye(size, dtype=bool)), "mask"), tokens))
    assert sum(one.code == "MS020" for one in report.findings) == 1000
    assert [one.message for one in report.findings if one.code == "MS014"] == [
        "2 more labels are predicted by padding; 1000 are reported"
    ]
    assert not report.complete
