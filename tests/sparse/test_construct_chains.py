"""Plans for chains: they carry the order, and stay near the proven optima."""

from __future__ import annotations

import numpy as np
import pytest

from masksynth.sparse.constructions.chain_hubs import chain_cost, chain_edges
from masksynth.sparse.constructions.size_bounds import PROVEN, chain_bound
from tests.sparse.test_construct import flow

LENGTHS = [*range(1, 70), 100, 150, 233, 300]


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 24])
def test_every_pair_within_the_layers(layers):
    for size in LENGTHS:
        query, key = chain_edges(size, layers)
        edges = set(zip(query.tolist(), key.tolist(), strict=True))
        assert all(query > key for query, key in edges)
        assert len(edges) == len(query) == chain_cost(size, layers)
        assert np.array_equal(flow(edges, size, layers), np.tri(size, dtype=bool)), (size, layers)


def test_two_layers_cost_the_sum_of_logarithms():
    for size in [*range(1, 200), 1000, 4095, 4096, 131072]:
        logarithms = np.frexp(np.arange(1, size + 1, dtype=float))[1] - 1
        assert chain_cost(size, 2) == logarithms.sum()


def test_excess_over_the_proven_optima():
    """The most by which a plan exceeds the optimum of the table: what it is, so that a change shows."""
    excess = {
        layers: max(chain_cost(2 * number + 3, layers) - value for number, value in enumerate(values))
        for layers, values in PROVEN.items()
    }
    assert excess == {2: 0, 3: 2, 4: 2, 5: 4, 6: 2}


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 6, 7, 12])
def test_bounds_and_plans(layers):
    """No bound exceeds a plan, more elements need more edges, more layers need no more."""
    for size in [*range(2, 130), 200, 500, 2000]:
        assert chain_bound(size, layers) <= chain_cost(size, layers)
        assert chain_bound(size, layers) > chain_bound(size - 1, layers)


@pytest.mark.parametrize(
    ("layers", "size"), [(2, 131072), (3, 131072), (4, 131072), (5, 4096), (6, 4096), (24, 131072)]
)
def test_long_chains(layers, size):
    """Edges per element at scale: n log n, n log log n, n log* n and so on."""
    most = {2: 15.01, 3: 6.4, 4: 4.0, 5: 3.0, 6: 2.6, 24: 1.3}
    query = chain_edges(size, layers)[0]
    assert len(query) / size < most[layers]
    assert chain_bound(size, layers) <= len(query)
