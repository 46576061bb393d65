"""Packed batches are the merged tasks of their samples: equal to `merge` in number, accepted by `verify`, which asks for minimality."""

from hypothesis import given, settings

import masksynth as ms
from masksynth.merge import merge
from masksynth.pack import pack_batches
from tests.pack.families import family_of, merged_of
from tests.pack.strategies import causal_samples, segmented_samples


def check(samples):
    [batch] = pack_batches(samples)
    instance = family_of(samples)
    merged = merge(instance)
    assert batch.positions == len(merged.positions)
    ms.verify(instance, merged_of(batch, instance))
    return batch


@settings(max_examples=150, deadline=None)
@given(causal_samples())
def test_causal_samples(samples):
    check(samples)


@settings(max_examples=400, deadline=None)
@given(segmented_samples())
def test_segmented_samples(samples):
    check(samples)
