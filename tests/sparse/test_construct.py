"""Constructions carry exactly the given flow, checked by dense boolean powers, and never beat their bound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.constructions import MASKS, butterfly, chain, documents
from masksynth import catalog
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.sparse.constructions.construct import Construction, construct
from masksynth.verify.check_sparse_flow import check_flow

DEPTHS = (1, 2, 3, 4, 5, 6, 7, 9, None)


def flow(edges, size, layers):
    """(A or I)^layers; without layers, to the fixpoint."""
    step = np.eye(size, dtype=np.float32)
    for query, key in edges:
        step[query, key] = 1
    reach, rounds = step, 1
    while layers is None or rounds < layers:
        after = np.minimum(reach @ step, 1)
        if np.array_equal(after, reach):
            break
        reach, rounds = after, rounds + 1
    return reach > 0


def pairs(found: Construction):
    return list(zip(found.query.tolist(), found.key.tolist(), strict=True))


def agree(relation, layers):
    found = construct(Mask.from_dense(relation), layers)
    edges = pairs(found)
    assert edges == sorted(set(edges))
    assert all(query != key for query, key in edges)
    assert np.array_equal(flow(edges, len(relation), layers), relation), found.scheme
    assert 0 <= found.bound <= found.edges == len(edges)
    if layers in (1, None):
        assert found.bound == found.edges
    return found


def closed(relation):
    reach = (relation | np.eye(len(relation), dtype=bool)).astype(np.float32)
    for _ in range(len(relation).bit_length()):
        reach = np.minimum(reach @ reach, 1)
    return reach > 0


def random_preorder(seed):
    """Posets and preorders, from empty to full, in any numbering."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 45))
    relation = rng.random((size, size)) < rng.random() ** 2 / 2
    if rng.random() < 0.7:
        relation = np.tril(relation)
    if rng.random() < 0.4:
        relation |= rng.random((size, size)) < 0.5 / max(size, 1)
    order = rng.permutation(size)
    return closed(relation[np.ix_(order, order)])


@pytest.mark.parametrize("block", range(10))
def test_random_preorders(block):
    for seed in range(12 * block, 12 * block + 12):
        relation = random_preorder(seed)
        counts = [agree(relation, layers).edges for layers in DEPTHS]
        assert counts == sorted(counts, reverse=True), seed


def test_a_forest_of_random_trees():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(2, 250))
        relation = np.zeros((size, size), bool)
        for node in range(1, size):
            if rng.random() < 0.97:
                parent = node - 1 if rng.random() < 0.6 else int(rng.integers(0, node))
                relation[node] = relation[parent]
                relation[node, parent] = True
        for layers in (2, 3, 4, 6, None):
            agree(relation | np.eye(size, dtype=bool), layers)


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_catalogue(family):
    relation = merge(catalog.FAMILIES[family]()).mask.dense()
    if relation.ndim == 2 and np.array_equal(closed(relation), relation):
        for layers in DEPTHS:
            agree(relation, layers)
    else:
        with pytest.raises(InvalidInstance):
            construct(Mask.from_dense(relation), 2)


@pytest.mark.parametrize("family", MASKS)
def test_families_of_the_benchmark(family):
    for size in (16, 60, 300):
        relation = MASKS[family](size).dense()
        assert np.array_equal(closed(relation), relation)
        for layers in DEPTHS:
            agree(relation, layers)


def test_many_prefixes_in_a_small_tree():
    for length in (3, 8, 30):
        relation = MASKS["prefix tree"](250, length).dense()
        for layers in (2, 3, 4, 6, None):
            agree(relation, layers)


def test_parallel_contexts_below_a_question_with_answers():
    sizes = [30] * 5 + [20] + [12] * 4
    first = np.cumsum([0, *sizes])
    relation = np.zeros((first[-1], first[-1]), bool)
    for number, (start, end) in enumerate(pairwise(first)):
        relation[start:end, start:end] = np.tri(end - start, dtype=bool)
        if number >= 5:
            relation[start:end, : first[5]] = True
        if number >= 6:
            relation[start:end, first[5] : first[6]] = True
    for layers in DEPTHS:
        agree(relation, layers)


def test_classes():
    """Values of the literature table, and classes within a chain."""
    for members, counts in {3: (3, 3, 3), 5: (8, 7, 5), 7: (12, 11, 9)}.items():
        assert (
            tuple(agree(np.ones((members, members), bool), layers).edges for layers in (2, 3, 4)) == counts
            or members == 3
        )
    for sizes in ([1, 4, 1], [3, 3, 3], [9, 1, 1, 1, 9], [20, 20]):
        group = np.repeat(np.arange(len(sizes)), sizes)
        for layers in DEPTHS:
            agree(group[:, None] >= group, layers)


def test_a_missing_edge_is_noticed():
    """Each edge of a chain is needed at L = 2, so that the check of these tests can fail."""
    found = construct(chain(21), 2)
    edges = pairs(found)
    assert len(edges) == found.bound == 58
    for edge in edges:
        assert not np.array_equal(flow([one for one in edges if one != edge], 21, 2), np.tri(21, dtype=bool))


def as_mask(found, size):
    """The edges and the diagonal as row intervals."""
    code = np.unique(np.concatenate([found.query * size + found.key, np.arange(size) * (size + 1)]))
    query, key = np.divmod(code, size)
    begins = np.append(True, (np.diff(code) > 1) | (np.diff(query) > 0))
    at = np.flatnonzero(begins)
    last = np.append(at[1:], len(code)) - 1
    offset = np.append(0, np.cumsum(np.bincount(query[at], minlength=size)))
    return Mask(offset[None], key[at].astype(np.int32), key[last].astype(np.int32) + 1)


@pytest.mark.parametrize("layers", [2, 3, None])
@pytest.mark.parametrize("family", [chain, documents, butterfly])
def test_the_checker_at_scale(family, layers):
    due = family(4096)
    check_flow(as_mask(construct(due, layers), due.size), due, layers)


def test_refusals():
    with pytest.raises(InvalidInstance, match="expected one closed table, got 2 tables"):
        construct(Mask.from_dense(np.ones((2, 3, 3), bool)), 2)
    with pytest.raises(InvalidInstance, match="position 1 does not attend to itself"):
        construct(Mask.from_dense(np.array([[1, 0], [1, 0]], bool)), 2)
    with pytest.raises(InvalidInstance, match="not transitive"):
        construct(Mask.from_dense(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]], bool)), 2)
    with pytest.raises(InvalidInstance, match="layers: expected None or an integer from 1, got 0"):
        construct(chain(4), 0)
    with pytest.raises(Unsupported, match="more than 50000000"):
        construct(chain(20_000), 1)


def test_a_relation_that_is_not_transitive_is_refused():
    refused = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(3, 9))
        relation = (rng.random((size, size)) < 0.4) | np.eye(size, dtype=bool)
        if np.array_equal(closed(relation), relation):
            continue
        refused += 1
        with pytest.raises(InvalidInstance, match="not transitive"):
            construct(Mask.from_dense(relation), 2)
    assert refused > 100


def test_nothing():
    for size in (0, 1):
        for layers in DEPTHS:
            assert construct(Mask.from_dense(np.eye(size, dtype=bool)), layers).edges == 0
