"""Hypothesis strategies for relations and posets, shared by the tests of every package that needs them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from masksynth.posets import Poset, Relation

DENSITIES = (0.0, 0.02, 0.1, 0.3, 0.7, 1.0)


@st.composite
def relations(draw: st.DrawFn, max_size: int = 8, size: int | None = None) -> Relation:
    """Any relation up to 8 nodes, bit by bit.

    Above, a seeded random one of some density, so that shrinking stays quick.
    """
    n = draw(st.integers(0, max_size)) if size is None else size
    if n <= 8:
        bits = draw(st.integers(0, 2 ** (n * n) - 1))
        return np.array([bits >> i & 1 for i in range(n * n)], bool).reshape(n, n)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.random((n, n)) < draw(st.sampled_from(DENSITIES))


@st.composite
def posets(draw: st.DrawFn, max_size: int = 8) -> Poset:
    """Any partial order: a causal relation under a permutation of its nodes, closed."""
    causal = np.tril(draw(relations(max_size)))
    order = (
        draw(st.permutations(range(len(causal))))
        if len(causal) <= 8
        else np.random.default_rng(0).permutation(len(causal))
    )
    return Poset(causal[np.ix_(order, order)] if len(causal) else causal)


@st.composite
def layers(draw: st.DrawFn, max_size: int = 6, most: int = 5) -> list[Relation]:
    """Between one and ``most`` relations on the same nodes."""
    n = draw(st.integers(0, max_size))
    return draw(st.lists(relations(size=n), min_size=1, max_size=most))
