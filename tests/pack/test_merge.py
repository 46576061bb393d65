"""Packed batches are the merged tasks of their samples.

Equal to `merge` in number, accepted by `verify`, which requires minimality.
"""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masksynth as ms
from masksynth.merge import merge
from masksynth.pack import pack_batches
from tests.pack.families import family_of, merged_of
from tests.pack.strategies import ROUTE, causal_samples, segmented_samples


def check(samples, separate=False):
    """The one batch of some samples, which is their minimal merged task."""
    [batch] = pack_batches(samples, key_fields=[ROUTE], separate_groups=separate)
    instance = family_of(samples, separate)
    assert batch.positions == len(merge(instance).positions)
    groups = [sample.get("group") for sample in samples] if separate else None
    ms.verify(instance, merged_of(batch, instance, groups))
    return batch


DOCUMENT = [11, 12, 13]


def question(name, times, text):
    """A document ``times`` times, and a text that sees all of them."""
    parts = [{"length": 3, "position": 0}] * times
    return {
        "id": name,
        "group": "g",
        "input_ids": DOCUMENT * times + text,
        "labels": [-100] * (3 * times + 1) + text[1:],
        "segments": [*parts, {"length": len(text), "position": 3, "sees": [[0, times]]}],
    }


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_repeated_run_may_come_in_any_order(order):
    samples = [question("x", 1, [41, 42, 43]), question("y", 2, [41, 42, 44]), question("z", 3, [41, 42])]
    batch = check([samples[i] for i in order])
    assert batch.positions == 9 + 2 + 2 + 1


def test_second_copies_are_one_run():
    """A document of 300 tokens twice is two runs, not 600 holes."""
    text = list(range(300))
    parts = [{"length": 300, "position": 0}] * 2 + [{"length": 2, "position": 300, "sees": [0, 1]}]
    [batch] = pack_batches([{"id": 1, "input_ids": text * 2 + [5, 6], "labels": [-100] * 601 + [6], "segments": parts}])
    assert batch.positions == 601
    assert len(batch.mask.key_start) <= 3 * 301


def test_equal_leaves_of_two_groups_have_their_own_copies():
    """Two groups hold a token that sees itself alone; one of them needs a second copy of it."""
    twice = {"length": 1, "position": 0}
    first = {"id": 1, "group": "a", "input_ids": [0, 0, 7], "labels": [-100, -100, 8]}
    samples = [
        first | {"segments": [twice, twice, {"length": 1, "position": 1, "sees": [0, 1], "predict": "self"}]},
        {
            "id": 2,
            "group": "b",
            "input_ids": [0],
            "labels": [9],
            "segments": [{"length": 1, "position": 0, "predict": "self"}],
        },
    ]
    [batch] = pack_batches(samples, separate_groups=True)
    assert batch.positions == 4
    [batch] = pack_batches(samples)
    assert batch.positions == 3


def test_equal_tokens_that_see_themselves_alone_need_one_position():
    """No row holds two of them, however many the segment has."""
    alone = {"length": 3, "within": "self", "predict": "self"}
    batch = check(
        [
            {
                "id": 1,
                "group": "g",
                "input_ids": [5] * 3,
                "labels": [6, 7, 8],
                "position_ids": [0] * 3,
                "segments": [alone],
            }
        ]
    )
    assert batch.positions == 1


@settings(max_examples=150, deadline=None)
@given(causal_samples(), st.booleans())
def test_causal_samples(samples, separate):
    check(samples, separate)


@settings(max_examples=400, deadline=None)
@given(segmented_samples(), st.booleans())
def test_segmented_samples(samples, separate):
    check(samples, separate)
