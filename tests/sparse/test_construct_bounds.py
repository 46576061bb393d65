"""Lower bounds at scale: the known optima respect them, and each part can be exact."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.mask import Mask
from masksynth.posets import closure
from masksynth.sparse.constructions.chain_decomposition import decompose_chains
from masksynth.sparse.constructions.construct import construct
from masksynth.sparse.constructions.quotient_covers import quotient_covers
from masksynth.sparse.constructions.size_bounds import chain_bound, class_bounds, convex_chains
from tests.sparse.relations import chain, grid, one_class, tree


@pytest.mark.parametrize(
    ("relation", "optima"),
    [
        (grid(2, 4), (13, 11, 10)),
        (grid(3, 5), (33, 26, 24)),
        (grid(4, 5), (51, 39, 34)),
        (grid(2, 2, 3), (23, 21, 20)),
        (tree(15), (18, 14, 14)),
        (tree(63), (110, 78, 66)),
        (one_class(5), (8, 7, 5)),
        (one_class(7), (12, 11, 9)),
        (chain(17), (42, 29, 24)),
    ],
)
def test_between_bound_and_construction(relation, optima):
    for layers, optimum in zip((2, 3, 4), optima, strict=True):
        found = construct(Mask.from_dense(relation), layers)
        assert found.bound <= optimum <= found.edges


def test_plain_splits_are_weaker():
    """The bound for L = 2 satisfies the split inequality, and exceeds what splits alone give from the same table."""
    splits = {size: chain_bound(size, 2) for size in range(1, 22)}
    for size in range(22, 2000):
        half = size // 2
        splits[size] = splits[half] + splits[size - half] + half
        assert chain_bound(size, 2) >= chain_bound(half, 2) + chain_bound(size - half, 2) + half
    assert chain_bound(1999, 2) > 1.25 * splits[1999]


def test_two_diameter_classes_by_brute_force():
    """Four members need six arcs at L = 2; five arcs never do."""
    arcs = [(q, k) for q in range(4) for k in range(4) if q != k]
    fewest = 99
    for chosen in range(1 << len(arcs)):
        if chosen.bit_count() < fewest:
            step = np.eye(4, dtype=np.int64)
            for number, arc in enumerate(arcs):
                step[arc] |= chosen >> number & 1
            if (step @ step).all():
                fewest = chosen.bit_count()
    assert fewest == class_bounds(np.array([4]), 2)[0] == 6


def test_chains_are_convex_and_edge_disjoint():
    """Rebuild the windows from their lengths: nothing outside lies between two of a window, and they share ends at
    most.
    """
    longer = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(2, 30))
        relation = closure(np.tril(rng.random((size, size)) < rng.random() / 3) | np.eye(size, dtype=bool))
        chains = decompose_chains(Mask.from_dense(relation))
        lengths = iter(convex_chains(chains, quotient_covers(chains)).tolist())
        for start, end in zip(chains.start[:-1].tolist(), chains.start[1:].tolist(), strict=True):
            low = start
            while True:
                length = next(lengths)
                window = chains.first[low : low + length]
                between = relation[window[-1]] & relation[:, window[0]]
                assert set(np.flatnonzero(between).tolist()) == set(window.tolist())
                longer += length > 2
                low += length - 1
                if low == end - 1:
                    break
        assert next(lengths, None) is None
    assert longer > 200
