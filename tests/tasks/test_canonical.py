"""Which values are equal, and which are values at all."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from masksynth.errors import InvalidInstance
from masksynth.tasks import Node, Prediction
from masksynth.tasks.canonical import MAX_DEPTH, MAX_DIGITS, canonical, frozen, shown, step
from tests.strategies import VALUES

DIFFERENT = [
    1, 1.0, True, "1", 0, 0.0, -0.0, False, None, "", "null", [], {}, [1], [1.0], [True], ["1"], [[1]], {"a": 1}, {"a": 1.0}, {"a": True},  # noqa: E501
    {"a": [1]}, {"A": 1}, {"a": 1, "b": 2}, [1, 2], [2, 1], "é", "e\u0301", "E", "\ud800", "\udc00", "\U00010000", "a\nb", "a\\nb", "a b",  # noqa: E501
    10**400, 10**400 + 1, -(10**400), 2**53, 2**53 + 1, float(2**53), 0.1, 0.1 + 2**-56, 1e308, 5e-324,
    ["mean", "w1", "w3"], ["mean", ["w1", "w3"]], {"mean": ["w1", "w3"]},
]  # fmt: skip


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_different_values_have_different_texts():
    for one, two in combinations(DIFFERENT, 2):
        assert canonical(frozen(one)) != canonical(frozen(two)), (one, two)
        assert Node("n", one, 0).identity != Node("n", two, 0).identity


def test_equal_values_have_equal_texts():
    for one, two in [
        ({"a": 1, "b": [2, 3]}, {"b": (2, 3), "a": 1}),
        (("mean", "w1"), ["mean", "w1"]),
        (1.0, 1e0),
        (100.0, 1e2),
        ("\u00e9", "é"),
        (json.loads('"\\ud83d\\ude00"'), "😀"),
    ]:
        assert canonical(frozen(one)) == canonical(frozen(two))


@settings(deadline=None, max_examples=100)
@given(VALUES, VALUES)
def test_texts_are_ascii_json_that_reads_back(one, two):
    text = canonical(frozen(one))
    assert text.isascii()
    assert canonical(frozen(json.loads(text))) == text
    assert (text == canonical(frozen(two))) == (json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "$: nan is not a JSON number; use a finite number or a string"),
        ([1, {"a b": float("inf")}], '$[1]["a b"]: inf is not a JSON number; use a finite number or a string'),
        (np.arange(3), "$: ndarray is not a JSON value; use strings, numbers, booleans, null, lists or objects"),
        ({1: 2}, "$: dict is not a JSON value; use strings, numbers, booleans, null, lists or objects"),
        ({"x": {1, 2}}, "$.x: set is not a JSON value; use strings, numbers, booleans, null, lists or objects"),
        (b"a", "$: bytes is not a JSON value; use strings, numbers, booleans, null, lists or objects"),
        (Fraction(1, 2), "$: Fraction is not a JSON value; use strings, numbers, booleans, null, lists or objects"),
        ([10**MAX_DIGITS], "$[0]: an integer of more than 4300 digits; use a smaller number or a string"),
        ([-(10**100_000)], "$[0]: an integer of more than 4300 digits; use a smaller number or a string"),
        (nested(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH + ": nested deeper than 32 levels; flatten the value"),
    ],
)
def test_not_a_value(value, message):
    for make in (frozen, lambda value: frozen((value,)[0])):
        with pytest.raises(InvalidInstance) as caught:
            make(value)
        assert str(caught.value) == message
    for make in (
        lambda: Node("n", value, 0),
        lambda: Prediction("n", value),
        lambda: Prediction("n", 1, hides=[value]),
    ):
        with pytest.raises(InvalidInstance):
            make()


def test_the_limits_themselves_are_within():
    value = [nested(MAX_DEPTH), 10 ** (MAX_DIGITS - 1), -(10**MAX_DIGITS - 1)]
    node = Node("n", value[0], 0, carries=value)
    assert canonical(node.input) == "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert node.elements == tuple(canonical(frozen(item)) for item in value)
    assert Node("n", value[0], 0).carries == (frozen(value[0]),)


def test_shown_values_are_short_printable_lines():
    for value in [*DIFFERENT, "x" * 10**6, "\x1b[31m\n" * 50, ["x" * 1000], 10**4000, 10**5000, object(), None, True]:
        text = shown(value)
        assert text.isprintable()
        assert len(text) <= 60
    for key in ["k" * 10**6, "a\nb", "\ud800", "", "ok", "\u202e"]:
        assert step(key).isprintable()
        assert len(step(key)) <= 70
