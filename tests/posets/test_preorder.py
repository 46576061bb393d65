from itertools import permutations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance
from masksynth.posets import (
    classes,
    closure,
    compose,
    depth,
    identity,
    is_dense,
    is_preorder,
    least_mutual,
    power,
    quotient,
    reduction,
    reflexive,
)

from .strategies import relations


def digraph(relation):
    return nx.from_numpy_array(relation, create_using=nx.DiGraph)


def matrix(graph, n):
    return nx.to_numpy_array(graph, nodelist=range(n), weight=None).astype(bool) if n else np.zeros((0, 0), bool)


def random_relations(count, sizes, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        n = int(random.integers(*sizes))
        yield random.random((n, n)) < random.choice([0.5, 1, 2, 4]) / n


def off_diagonal_relations(n):
    places = [(q, k) for q in range(n) for k in range(n) if q != k]
    for bits in product([False, True], repeat=len(places)):
        relation = np.zeros((n, n), bool)
        for place, bit in zip(places, bits, strict=True):
            relation[place] = bit
        yield relation


@settings(deadline=None)
@given(relations(max_size=100))
def test_closure_is_the_least_preorder_above(relation):
    reach = closure(relation)
    assert np.array_equal(closure(reach), reach)
    assert is_preorder(reach)
    assert (reach >= reflexive(relation)).all()
    assert np.array_equal(compose(reach, reach), reach)
    assert np.array_equal(reach, power(reflexive(relation), max(len(relation) - 1, 0)))


def test_closure_agrees_with_networkx():
    for relation in random_relations(60, (1, 90)):
        assert np.array_equal(
            closure(relation), matrix(nx.transitive_closure(digraph(relation), reflexive=True), len(relation))
        )


def test_closure_leaves_its_argument_alone():
    chain = np.eye(20, k=-1, dtype=bool)
    chain.flags.writeable = False
    assert closure(chain).sum() == 210
    assert chain.sum() == 19


def closure_of_causal(relation):
    """Rows as integers, bottom-up: the highest key not reached yet is always one that must be followed."""
    rows = []
    for q, row in enumerate(np.packbits(relation, axis=1, bitorder="little")):
        reach, rest = 1 << q, int.from_bytes(row.tobytes(), "little") & ((1 << q) - 1)
        while rest:
            below = rows[rest.bit_length() - 1]
            reach |= below
            rest &= ~below
        rows.append(reach)
    octets = b"".join(row.to_bytes(len(relation) // 8, "little") for row in rows)
    return np.unpackbits(np.frombuffer(octets, np.uint8).reshape(len(rows), -1), axis=1, bitorder="little").astype(bool)


def closure_by_condensation(relation):
    """networkx finds the components in reverse topological order; the rest is the causal case."""
    groups = list(nx.strongly_connected_components(digraph(relation)))
    nodes = np.array([node for group in groups for node in sorted(group)])
    number = np.array([index for index, group in enumerate(groups) for _ in group])
    condensed = np.zeros((len(nodes), len(nodes)), bool)
    queries, keys = np.nonzero(relation[np.ix_(nodes, nodes)])
    condensed[number[queries], number[keys]] = True
    below = np.zeros_like(relation)
    below[np.ix_(nodes, nodes)] = closure_of_causal(condensed)[np.ix_(number, number)]
    return below


def test_closure_of_4096_sparse_nodes_with_and_without_cycles():
    random = np.random.default_rng(4)
    for relation in (random.random((4096, 4096)) < 1.2 / 4096, np.tril(random.random((4096, 4096)) < 3 / 4096)):
        reach = closure(relation)
        assert 4096 < reach.sum() < 4096**2
        assert np.array_equal(reach, closure_by_condensation(relation))


def test_closure_of_4096_dense_causal_nodes_and_a_permutation_of_them():
    random = np.random.default_rng(5)
    relation = np.tril(random.random((4096, 4096)) < 0.5, -1) & (np.arange(4096) % 3 != 1)
    expected = closure_of_causal(relation)
    assert np.array_equal(closure(relation), expected)
    shuffled = random.permutation(4096)
    assert np.array_equal(closure(relation[np.ix_(shuffled, shuffled)]), expected[np.ix_(shuffled, shuffled)])


def test_closure_of_a_4096_cycle_is_everything_and_of_a_broken_one_the_causal_mask():
    cycle = np.roll(identity(4096), 1, axis=0)
    assert closure(cycle).all()
    cycle[0, -1] = False
    assert np.array_equal(closure(cycle), np.tril(np.ones((4096, 4096), bool)))


@settings(deadline=None)
@given(relations(max_size=40))
def test_depth_is_the_least_that_reaches_everything(relation):
    layers, reach, step = depth(relation), closure(relation), reflexive(relation)
    assert type(layers) is int
    assert np.array_equal(power(step, layers), reach)
    assert layers == 0 or not np.array_equal(power(step, layers - 1), reach)
    assert is_dense(relation) == (layers <= 1)


def test_depth_is_the_longest_shortest_path():
    for relation in random_relations(60, (1, 80), seed=1):
        longest = max(max(lengths.values()) for _, lengths in nx.all_pairs_shortest_path_length(digraph(relation)))
        assert depth(relation) == longest


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 64, 65, 100])
def test_depth_of_chains_windows_cycles(n):
    causal = np.tril(np.ones((n, n), bool))
    assert depth(np.eye(n, k=-1, dtype=bool)) == n - 1
    assert depth(np.roll(identity(n), 1, axis=0)) == n - 1
    assert depth(causal) == min(n - 1, 1)
    for window in (2, 3, 5):
        assert depth(causal & np.triu(np.ones((n, n), bool), 1 - window)) == -(-(n - 1) // (window - 1))


def test_all_but_self_is_not_dense_and_two_layers_show_what_it_hides():
    others = ~identity(4)
    assert is_dense(others)  # with the residual connection, one layer reaches everything
    assert compose(others, others).diagonal().all()
    assert not is_preorder(others)


@settings(deadline=None)
@given(relations(max_size=60))
def test_classes_are_bottom_up_and_mutual(relation):
    groups, reach = classes(relation), closure(relation)
    assert sorted(node for group in groups for node in group) == list(range(len(relation)))
    assert all(type(node) is int for group in groups for node in group)
    number = {node: index for index, group in enumerate(groups) for node in group}
    for q in range(len(relation)):
        for k in range(len(relation)):
            assert (number[q] == number[k]) == (reach[q, k] and reach[k, q])
            assert not reach[q, k] or number[k] <= number[q]
    assert all(group == tuple(sorted(group)) for group in groups)


@settings(deadline=None)
@given(relations(max_size=6))
def test_classes_come_in_the_lexicographically_first_bottom_up_order(relation):
    groups, reach = classes(relation), closure(relation)
    leaders = sorted(group[0] for group in groups)
    orders = (
        order
        for order in permutations(leaders)
        if not any(reach[a, b] for i, a in enumerate(order) for b in order[i + 1 :])
    )
    assert tuple(group[0] for group in groups) == next(orders)


def test_classes_agree_with_networkx():
    for relation in random_relations(60, (1, 90), seed=2):
        assert {frozenset(group) for group in classes(relation)} == {
            frozenset(g) for g in nx.strongly_connected_components(digraph(relation))
        }


@settings(deadline=None)
@given(relations().map(np.tril))
def test_a_causal_relation_has_its_nodes_as_classes_in_order(relation):
    assert classes(relation) == tuple((node,) for node in range(len(relation)))


@settings(deadline=None)
@given(relations())
def test_least_mutual_names_the_least_member(relation):
    least = least_mutual(closure(relation)).tolist()
    assert all(least[node] == group[0] for group in classes(relation) for node in group)


@settings(deadline=None)
@given(relations(max_size=60))
def test_reduction_keeps_the_closure_and_counts_as_aho_garey_ullman(relation):
    reduced, groups = reduction(relation), classes(relation)
    assert np.array_equal(closure(reduced), closure(relation))
    assert not reduced.diagonal().any()
    assert reduced.sum() == sum(len(group) for group in groups if len(group) > 1) + quotient(relation).covers.sum()
    for group in groups:
        inside = reduced[np.ix_(group, group)]
        assert len(group) == 1 or (inside.sum(axis=0) == 1).all() & (inside.sum(axis=1) == 1).all()
    assert np.array_equal(reduction(reduced), reduced)


@settings(deadline=None)
@given(relations(max_size=60).map(lambda relation: np.tril(relation, -1)))
def test_reduction_of_an_acyclic_relation_is_networkx(relation):
    expected = matrix(nx.transitive_reduction(digraph(relation)), len(relation))
    assert np.array_equal(reduction(relation), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_no_relation_with_fewer_edges_has_the_closure_of_the_reduction(n):
    fewest = {}
    for relation in off_diagonal_relations(n):
        key, edges = closure(relation).tobytes(), int(relation.sum())
        fewest[key] = min(edges, fewest.get(key, edges))
    for key, edges in fewest.items():
        assert reduction(np.frombuffer(key, bool).reshape(n, n)).sum() == edges


def test_removing_any_edge_of_a_reduction_loses_flow():
    for relation in random_relations(10, (5, 30), seed=3):
        reduced = reduction(relation)
        for q, k in np.argwhere(reduced):
            fewer = reduced.copy()
            fewer[q, k] = False
            assert not np.array_equal(closure(fewer), closure(relation))


@pytest.mark.parametrize(("n", "preorders", "partial_orders"), [(1, 1, 1), (2, 4, 3), (3, 29, 19), (4, 355, 219)])
def test_labelled_preorders_and_partial_orders_are_as_many_as_published(n, preorders, partial_orders):
    found = [relation for relation in map(reflexive, off_diagonal_relations(n)) if is_preorder(relation)]
    assert len(found) == preorders
    assert sum(len(classes(relation)) == n for relation in found) == partial_orders


@settings(deadline=None)
@given(relations(max_size=6), st.randoms(use_true_random=False))
def test_renaming_nodes_renames_the_results(relation, random):
    names = list(range(len(relation)))
    random.shuffle(names)
    renamed = relation[np.ix_(names, names)] if names else relation
    assert np.array_equal(closure(renamed), closure(relation)[np.ix_(names, names)] if names else relation)
    assert depth(renamed) == depth(relation)
    assert reduction(renamed).sum() == reduction(relation).sum()


def test_the_empty_relation():
    empty = np.zeros((0, 0), bool)
    assert closure(empty).shape == reduction(empty).shape == (0, 0)
    assert (depth(empty), classes(empty), is_dense(empty)) == (0, (), True)


@pytest.mark.parametrize("operation", [closure, depth, classes, reduction, is_dense, is_preorder, quotient])
@pytest.mark.parametrize("value", [np.zeros((2, 3), bool), np.zeros((2, 2), int), np.zeros(3, bool), "causal"])
def test_what_is_no_relation_is_refused(operation, value):
    with pytest.raises(InvalidInstance, match="relation"):
        operation(value)
