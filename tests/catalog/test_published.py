"""The mask derived from the tasks against the published formula, element by element."""

from __future__ import annotations

import pytest

from masksynth import catalog
from masksynth.merge import merge
from tests.catalog import published
from tests.catalog.cases import CASES, REPEATED

PAIRS = [(family, parameters) for family, several in CASES.items() for parameters in several]


def identify(value):
    return value if isinstance(value, str) else ",".join(f"{name}={item}" for name, item in value.items())


def test_every_family_is_compared():
    assert CASES.keys() == catalog.FAMILIES.keys()
    assert len(CASES) == 26
    assert all(len(several) >= 3 for several in CASES.values())


@pytest.mark.parametrize(("family", "parameters"), PAIRS, ids=identify)
def test_merged_mask_is_the_published_one(family, parameters):
    instance = catalog.FAMILIES[family](**parameters)
    merged = merge(instance)
    paper = getattr(published, family)(**parameters)
    if family in REPEATED:
        published.compare_classes(merged, paper)
    else:
        published.compare(instance, merged, paper)
    assert len(merged.positions) == instance.expect["positions"]


@pytest.mark.parametrize(
    ("family", "parameters", "other"),
    [
        ("sliding_window", {"n": 6, "w": 2}, published.causal_lm(n=6)),
        ("causal_lm", {"n": 6}, published.sliding_window(n=6, w=4)),
        ("prefix_lm", {"n": 6, "P": 3}, published.prefix_lm(n=6, P=2)),
        ("block_two_stream", {"n": 6, "l": 2}, published.block_two_stream_causal(n=6, l=2)),
        ("xlnet_two_stream", {"n": 5, "T": 3, "z": (0, 2, 4)}, published.xlnet_two_stream(n=5, T=3, z=(2, 0, 4))),
        ("local_global", {"n": 8, "w": 2, "d": 2}, published.local_global(n=8, w=2, d=3)),
        ("shared_prefix_group", {"P": 3, "R": 3, "G": 2}, published.answers(3, [3, 4])),
        ("tnp_a", {"n": 5, "m": 2}, published.tnp_a(n=5, m=3)),
    ],
)
def test_the_comparison_refuses_another_mask(family, parameters, other):
    instance = catalog.FAMILIES[family](**parameters)
    with pytest.raises(AssertionError):
        published.compare(instance, merge(instance), other)


def test_the_class_comparison_refuses_another_mask():
    merged = merge(catalog.tabpfn_duplicates(train=("a", "a", "b"), test=("x",)))
    with pytest.raises(AssertionError):
        published.compare_classes(merged, published.tabpfn_duplicates(train=("a", "b"), test=("x",)))


def test_xlnet_without_an_order_predicts_the_last_positions():
    instance = catalog.xlnet_two_stream(n=7, T=3)
    published.compare(instance, merge(instance), published.xlnet_two_stream(n=7, T=3, z=(4, 5, 6)))


def test_block_diffusion_without_masked_positions_masks_the_first_of_every_block():
    instance = catalog.bd3lm(n=6, l=3)
    published.compare(instance, merge(instance), published.bd3lm(n=6, l=3, masked=(0, 3)))
