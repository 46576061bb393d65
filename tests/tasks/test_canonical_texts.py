"""Values encoded together have the texts that they have one by one."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masksynth import catalog
from masksynth.tasks.canonical import canonical, canonical_texts, encode_each
from masksynth.tasks.instance_files import content_hash, task_document
from masksynth.verify.answer_shape import instance_hash
from tests.random_families import random_family

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
SPACED = json.JSONEncoder(allow_nan=False)


@given(st.lists(VALUES))
def test_texts_of_many_are_the_texts_of_each(values):
    assert canonical_texts(values) == [canonical(value) for value in values]
    assert encode_each(values, SPACED, ", ") == [SPACED.encode(value) for value in values]


@pytest.mark.parametrize("seed", range(30))
def test_hashes_are_those_of_the_whole_document(seed):
    family = random_family(seed, tasks=4, most=6)
    text = canonical([task_document(task) for task in family.tasks])
    assert content_hash(family) == instance_hash(family) == _sha256(text)


def test_hashes_of_a_family_in_several_batches():
    family = catalog.causal_lm(n=160).family  # 12,720 nodes
    text = canonical([task_document(task) for task in family.tasks])
    assert content_hash(family) == instance_hash(family) == _sha256(text)


def _sha256(text):
    return sha256(text.encode()).hexdigest()
