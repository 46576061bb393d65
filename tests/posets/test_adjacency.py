import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from masksynth.errors import InvalidInstance
from masksynth.posets import classes, components, levels, quotient

from .strategies import relations


def lists(relation):
    queries, keys = np.nonzero(relation)
    return np.concatenate([[0], np.cumsum(np.bincount(queries, minlength=len(relation)))]), keys


def random_lists(n, edges, seed):
    random = np.random.default_rng(seed)
    queries, keys = np.sort(random.integers(0, n, edges)), random.integers(0, n, edges)
    return np.concatenate([[0], np.cumsum(np.bincount(queries, minlength=n))]), keys


def graph(offset, key):
    edges = nx.DiGraph()
    edges.add_nodes_from(range(len(offset) - 1))
    edges.add_edges_from(
        zip(np.repeat(np.arange(len(offset) - 1), np.diff(offset)).tolist(), key.tolist(), strict=True)
    )
    return edges


@settings(deadline=None)
@given(relations(max_size=60))
def test_components_are_the_classes_in_a_bottom_up_order(relation):
    offset, key = lists(relation)
    component = components(offset, key)
    groups = [
        tuple(np.flatnonzero(component == number).tolist()) for number in range(int(component.max(initial=-1)) + 1)
    ]
    assert set(groups) == set(classes(relation))
    queries, keys = np.nonzero(relation)
    assert (component[queries] >= component[keys]).all()


@settings(deadline=None)
@given(relations(max_size=60).map(np.tril))
def test_components_of_a_causal_relation_are_its_nodes(relation):
    assert components(*lists(relation)).tolist() == list(range(len(relation)))


@settings(deadline=None)
@given(relations(max_size=60))
def test_levels_are_the_heights_of_the_quotient(relation):
    offset, key = lists(relation)
    component = components(offset, key)
    height = dict(zip(classes(relation), quotient(relation).heights, strict=True))
    found = levels(offset, key, component)
    assert len(found) == len(height)
    for group, level in height.items():
        assert found[component[group[0]]] == level


@pytest.mark.parametrize("edges", [1_000, 5_000, 7_000, 20_000])
def test_components_agree_with_networkx(edges):
    for seed in range(3):
        offset, key = random_lists(5_000, edges, seed)
        component = components(offset, key)
        found = {frozenset(np.flatnonzero(component == number).tolist()) for number in np.unique(component)}
        assert found == {frozenset(group) for group in nx.strongly_connected_components(graph(offset, key))}
        assert (component[np.repeat(np.arange(5_000), np.diff(offset))] >= component[key]).all()
        assert sorted(set(component.tolist())) == list(range(len(found)))


def test_levels_agree_with_networkx_on_acyclic_lists():
    for seed in range(5):
        relation = np.tril(np.random.default_rng(seed).random((80, 80)) < 0.05, -1)
        offset, key = lists(relation)
        longest = max(levels(offset, key, components(offset, key)))
        assert longest == nx.dag_longest_path_length(graph(offset, key))


@pytest.mark.parametrize("n", [1, 2, 200_000])
def test_long_chains_and_cycles_need_no_recursion(n):
    down = np.concatenate([[0], np.arange(n)]), np.arange(n - 1)
    up = np.concatenate([np.arange(n), [n - 1]]), np.arange(1, n)
    round_and_round = np.arange(n + 1), (np.arange(n) + 1) % n
    assert np.array_equal(components(*down), np.arange(n))
    assert np.array_equal(components(*up), np.arange(n)[::-1])
    assert not components(*round_and_round).any()
    assert np.array_equal(levels(*down, components(*down)), np.arange(n))
    assert levels(*round_and_round, components(*round_and_round)).tolist() == [0]


def test_loops_repeated_keys_and_empty_rows():
    offset, key = np.array([0, 3, 3, 5]), np.array([0, 2, 2, 1, 1])
    component = components(offset, key)
    assert component.tolist() == [2, 0, 1]
    assert levels(offset, key, component).tolist() == [0, 1, 2]


def test_no_nodes():
    nothing = np.zeros(0, np.int64)
    assert components(np.array([0]), nothing).tolist() == []
    assert levels(np.array([0]), nothing, nothing).tolist() == []


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint64, np.int64])
def test_any_integer_type_will_do(dtype):
    offset, key = np.array([0, 1, 2, 3], dtype), np.array([2, 0, 1], dtype)
    assert components(offset, key).tolist() == [0, 0, 0]
    assert levels(offset, key, components(offset, key).astype(dtype)).tolist() == [0]


@pytest.mark.parametrize(
    ("offset", "key", "message"),
    [
        (np.array([0, 1]), np.array([1]), r"a key is out of range: expected 0\.\.0"),
        (np.array([0, 1, 2]), np.array([0, -1]), r"a key is out of range: expected 0\.\.1"),
        (np.array([0, 1]), np.array([0, 0]), "from 0 to 2"),
        (np.array([1, 2]), np.array([0, 0]), "from 0 to 2"),
        (np.array([0, 2, 1, 2]), np.array([0, 0]), "offset is not non-decreasing from 0 to"),
        (np.array([0, 2, 1, 2], np.uint8), np.array([0, 0]), "offset is not non-decreasing from 0 to"),
        (np.array([], int), np.array([], int), "from 0 to 0"),
        (np.array([0.0, 1.0]), np.array([0]), "offset: expected a one-dimensional array of integers"),
        (np.array([0, 1]), np.array([[0]]), "key: expected a one-dimensional array of integers"),
        (np.array([False, True]), np.array([0]), "offset: expected"),
        ([0, 1], np.array([0]), "offset: expected"),
    ],
)
def test_what_is_no_adjacency_list_is_refused(offset, key, message):
    with pytest.raises(InvalidInstance, match=message):
        components(offset, key)
    with pytest.raises(InvalidInstance, match=message):
        levels(offset, key, np.zeros(max(len(offset) - 1, 0), int))


@pytest.mark.parametrize(
    "component", [np.array([0, 1]), np.array([1, 0, -1]), np.array([0.0, 1.0, 2.0]), np.zeros((3, 1), int)]
)
def test_component_arrays_that_do_not_fit_are_refused(component):
    with pytest.raises(InvalidInstance, match="component: expected 3 integers >= 0"):
        levels(np.array([0, 0, 0, 0]), np.zeros(0, int), component)


def test_components_that_are_not_bottom_up_are_refused():
    with pytest.raises(InvalidInstance, match="attends to a later component; number the components"):
        levels(np.array([0, 1, 1]), np.array([1]), np.array([0, 1]))
