"""Common prefixes of sorted sequences, near every length at which the comparison takes more tokens at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.pack.check_samples import tables_of
from masksynth.pack.prefix import LONGEST, SHORTEST, common_prefixes, forest_of, group_codes, identities
from tests.pack.strategies import ROUTE, causal_samples


def naive_prefix(left, right):
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def prefixes(texts):
    """The longest common prefix of each text with the one before it, by the library."""
    length = np.array([len(text) for text in texts], np.int64)
    flat = np.concatenate([np.zeros(0, np.int32), *(np.array(text, np.int32) for text in texts)])
    return common_prefixes(flat, np.cumsum(length) - length, length).tolist()


def edges():
    """Lengths at which a step ends: the sums of the first steps, and the number before and after each."""
    total, step = 0, SHORTEST
    while total < 4 * LONGEST:
        total, step = total + step, min(2 * step, LONGEST)
        yield from (total - 1, total, total + 1)


@pytest.mark.parametrize("shared", list(edges()))
def test_two_texts_that_part_where_a_step_ends(shared):
    text = list(range(1, shared + 1))
    assert prefixes([[*text, 7, 1], [*text, 8, 1]]) == [0, shared]
    assert prefixes([text, [*text, 0, 0], text]) == [0, shared, shared]
    assert prefixes([[*text, 9], [], [*text, 9]]) == [0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4 * SHORTEST), st.lists(st.integers(0, 1), max_size=3)), max_size=6))
def test_texts_of_ones(ends):
    texts = [[1] * count + end for count, end in ends]
    expected = [naive_prefix(*pair) for pair in zip(texts, [[], *texts], strict=False)]
    assert prefixes(texts) == expected


def table(samples):
    [only] = tables_of(samples, (), ("position_ids", "kinds", ROUTE))
    return only


@settings(max_examples=100, deadline=None)
@given(causal_samples())
def test_identities_are_equal_where_token_and_keys_are(samples):
    read = table(samples)
    rows = list(zip(read.tokens.tolist(), *(read.keys[name].tolist() for name in sorted(read.keys)), strict=True))
    numbers = identities(read).tolist()
    assert len(set(zip(rows, numbers, strict=True))) == len(set(rows)) == len(set(numbers))


@settings(max_examples=100, deadline=None)
@given(causal_samples(most=8))
def test_a_forest_of_separate_groups_shares_within_a_group_only(samples):
    read = table(samples)
    length = np.diff(read.offset)
    forest, code = forest_of(read, length, np.array(group_codes(read), np.int64)), identities(read).tolist()
    cut = read.offset.tolist()
    order = forest.samples.tolist()
    assert sorted(order) == list(range(len(samples)))
    named = [(read.groups[s], code[cut[s] : cut[s + 1]]) for s in order]
    groups = [(type(group), group) for group, _ in named]
    assert len(set(groups)) == len([1 for a, b in zip(groups, [None, *groups], strict=False) if a != b])
    expected = [
        naive_prefix(text, named[i - 1][1]) if i and groups[i] == groups[i - 1] else 0
        for i, (_, text) in enumerate(named)
    ]
    assert forest.shared.tolist() == expected
