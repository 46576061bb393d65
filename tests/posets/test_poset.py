from dataclasses import FrozenInstanceError
from itertools import combinations, islice, permutations
from math import comb, factorial

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from masksynth.errors import InvalidInstance, Unsupported, WrongAnswer
from masksynth.posets import Poset, certify_width, classes, closure, depth, identity, quotient, reduction

from .strategies import posets, relations


def chain(n):
    return Poset(np.eye(n, k=-1, dtype=bool))


def antichain(n):
    return Poset(identity(n))


def subsets(n):
    """The Boolean lattice: bit sets under inclusion."""
    sets = np.arange(2**n)
    return Poset((sets[:, None] & sets) == sets)


def grid(rows, columns):
    """The product of two chains."""
    place = np.indices((rows, columns)).reshape(2, -1)
    return Poset((place[:, :, None] >= place[:, None, :]).all(axis=0))


def divisors(number):
    found = np.array([d for d in range(1, number + 1) if number % d == 0])
    return Poset(found[:, None] % found == 0)


def fence(n):
    """0 < 1 > 2 < 3 > ..."""
    order = np.zeros((n, n), bool)
    for odd in range(1, n, 2):
        order[odd, [k for k in (odd - 1, odd + 1) if k < n]] = True
    return Poset(order)


def random_poset(n, density, seed):
    random = np.random.default_rng(seed)
    causal, names = np.tril(random.random((n, n)) < density, -1), random.permutation(n)
    return Poset(causal[np.ix_(names, names)])


def strict_graph(poset):
    return nx.from_numpy_array(poset.order & ~identity(len(poset)), create_using=nx.DiGraph)


def width_by_brute_force(poset):
    comparable = poset.order | poset.order.T
    sizes = (
        size
        for size in range(len(poset), 0, -1)
        for s in combinations(range(len(poset)), size)
        if comparable[np.ix_(s, s)].sum() == size
    )
    return next(sizes, 0)


def width_by_networkx(poset):
    strict, n = poset.order & ~identity(len(poset)), len(poset)
    pairs = nx.Graph([(int(q), int(k) + n) for q, k in np.argwhere(strict)])
    pairs.add_nodes_from(range(2 * n))
    return n - len(nx.bipartite.hopcroft_karp_matching(pairs, top_nodes=range(n))) // 2


def extensions_by_brute_force(poset):
    pairs = [(q, k) for q, k in np.argwhere(poset.order) if q != k]
    return [s for s in permutations(range(len(poset))) if all(s.index(k) < s.index(q) for q, k in pairs)]


@settings(deadline=None)
@given(posets(max_size=40))
def test_covers_are_the_definition_and_generate_the_order(poset):
    assert np.array_equal(closure(poset.covers), poset.order)
    assert np.array_equal(reduction(poset.order), poset.covers)
    assert Poset(poset.covers) == poset
    for q in range(len(poset)):
        below = set(poset.down_set([q])) - {q}
        assert poset.lower_covers(q) == tuple(
            sorted(k for k in below if not any(k in poset.down_set([m]) for m in below - {k}))
        )
        assert poset.lower_covers(q) == poset.dual().upper_covers(q)


def test_covers_and_heights_agree_with_networkx():
    for seed in range(30):
        poset = random_poset(60, 0.08, seed)
        graph = strict_graph(poset)
        assert set(nx.transitive_reduction(graph).edges) == {(int(q), int(k)) for q, k in np.argwhere(poset.covers)}
        assert poset.height == nx.dag_longest_path_length(graph) + 1 == len(nx.dag_longest_path(graph))
        assert poset.heights[nx.dag_longest_path(graph)[0]] == poset.height - 1


@settings(deadline=None)
@given(posets(max_size=40))
def test_heights_grow_by_one_along_some_cover_and_by_less_along_none(poset):
    for q in range(len(poset)):
        assert poset.heights[q] == max((poset.heights[k] + 1 for k in poset.lower_covers(q)), default=0)
    assert poset.height == len(set(poset.heights))
    assert depth(poset.covers) <= max(poset.height - 1, 0)
    assert poset.minimal_elements == tuple(q for q, height in enumerate(poset.heights) if height == 0)
    assert poset.maximal_elements == poset.dual().minimal_elements


def test_covers_may_reach_everything_in_fewer_layers_than_the_height():
    pentagon = np.zeros((6, 6), bool)
    pentagon[1, 0] = pentagon[2, 1] = pentagon[3, 2] = pentagon[4, 3] = pentagon[5, 0] = pentagon[4, 5] = True
    poset = Poset(pentagon)
    assert (poset.height, depth(poset.covers)) == (5, 3)


@settings(deadline=None)
@given(posets(max_size=40))
def test_down_sets_and_up_sets(poset):
    n = len(poset)
    everything = tuple(range(n))
    assert poset.down_set(poset.maximal_elements) == poset.up_set(poset.minimal_elements) == everything
    assert poset.down_set([]) == poset.up_set([]) == ()
    for q in range(n):
        assert poset.down_set([q]) == tuple(np.flatnonzero(poset.order[q]).tolist()) == poset.dual().up_set([q])
        assert poset.down_set(poset.down_set([q])) == poset.down_set([q])
    assert poset.down_set(everything[:2]) == tuple(sorted({k for q in everything[:2] for k in poset.down_set([q])}))


@settings(deadline=None)
@given(posets(max_size=7))
def test_width_agrees_with_all_antichains(poset):
    assert poset.width == width_by_brute_force(poset)


@settings(deadline=None)
@given(posets(max_size=60))
def test_antichain_and_chains_prove_the_width(poset):
    assert (
        poset.width
        == len(poset.antichain)
        == len(poset.chains)
        == certify_width(poset.order, poset.antichain, poset.chains)
    )
    assert poset.width == poset.dual().width
    assert sorted(element for part in poset.chains for element in part) == list(range(len(poset)))
    for part in poset.chains:
        assert all(poset.order[upper, lower] for lower, upper in combinations(part, 2))
    for a, b in combinations(poset.antichain, 2):
        assert not poset.order[a, b]
        assert not poset.order[b, a]


@pytest.mark.parametrize("density", [0.003, 0.01, 0.03, 0.1, 0.5])
def test_width_agrees_with_networkx(density):
    for seed in range(4):
        poset = random_poset(200, density, seed)
        assert poset.width == width_by_networkx(poset)


def test_width_of_bipartite_orders_needs_long_augmenting_paths():
    for seed in range(10):
        random = np.random.default_rng(seed)
        order = np.zeros((160, 160), bool)
        order[80:, :80] = random.random((80, 80)) < 2.2 / 80
        poset = Poset(order)
        assert poset.width == width_by_networkx(poset)
    assert fence(301).width == 151
    assert Poset(fence(301).dual().order).width == 151


def test_published_widths_heights_and_covers():
    for n in range(6):
        lattice = subsets(n)
        assert lattice.width == comb(n, n // 2)  # Sperner
        assert lattice.height == n + 1
        assert lattice.covers.sum() == n * 2**n // 2
    assert divisors(360).width == 6  # the middle rank of 4 x 3 x 2
    assert divisors(360).height == 7
    assert grid(3, 5).width == 3
    assert grid(4, 4).height == 7
    assert (chain(500).width, chain(500).height) == (1, 500)
    assert (antichain(500).width, antichain(500).height) == (500, 1)


def test_chains_and_antichains_are_decided_at_4096_elements():
    poset = chain(4096)
    assert (poset.width, poset.height, poset.chains) == (1, 4096, (tuple(range(4096)),))
    assert antichain(4096).antichain == tuple(range(4096))


DIAMOND = Poset(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]]) > 0)


@pytest.mark.parametrize(
    ("members", "chains", "message"),
    [
        ((0, 1), ((0, 1, 3), (2,)), "antichain: elements 0 and 1 are comparable"),
        ((1, 1), ((0, 1, 3), (2,)), "antichain: elements 1 and 1 are comparable"),
        ((1, 2), ((0, 1, 2, 3), ()), "chain: element 1 is not below 2"),
        ((1, 2), ((3, 1, 0), (2,)), "chain: element 3 is not below 1"),
        ((1, 2), ((0, 0, 1, 3), (2,)), "chain: element 0 is not below 0"),
        ((1, 2), ((0, 1), (2,)), "each of the 4 elements once"),
        ((1, 2), ((0, 1, 3), (0, 2)), "each of the 4 elements once"),
        ((1,), ((0, 1, 3), (2,)), "width: an antichain of 1 elements does not prove 2 chains the fewest"),
        ((1, 2), ((0, 1), (2,), (3,)), "an antichain of 2 elements does not prove 3 chains"),
    ],
)
def test_wrong_certificates_of_width_are_refused(members, chains, message):
    assert certify_width(DIAMOND.order, (1, 2), ((0, 1, 3), (2,))) == 2
    with pytest.raises(WrongAnswer, match=message):
        certify_width(DIAMOND.order, members, chains)


@settings(deadline=None)
@given(posets(max_size=6))
def test_linear_extensions_are_all_permutations_that_keep_the_order(poset):
    expected = extensions_by_brute_force(poset)
    assert list(poset.linear_extensions()) == expected  # permutations() is lexicographic too
    assert poset.count_linear_extensions() == len(expected)
    assert poset.linear_extension == expected[0]
    for sequence in permutations(range(len(poset))):
        assert poset.is_linear_extension(sequence) == (sequence in expected)


@settings(deadline=None)
@given(posets(max_size=50))
def test_first_linear_extensions_are_distinct_and_valid(poset):
    found = list(islice(poset.linear_extensions(), 20))
    assert found[0] == poset.linear_extension
    assert found == sorted(set(found))
    assert all(poset.is_linear_extension(sequence) for sequence in found)
    assert all(type(element) is int for element in found[0])


@settings(deadline=None)
@given(relations().map(np.tril))
def test_range_is_the_first_linear_extension_of_a_causal_order(relation):
    poset = Poset(relation)
    assert poset.linear_extension == tuple(range(len(poset)))
    assert poset.is_linear_extension(range(len(poset)))


def test_what_is_no_permutation_is_no_linear_extension():
    for sequence in (
        [0, 1, 2],
        [0, 1, 2, 3, 3],
        [0, 1, 1, 3],
        [0, 1, 2, 4],
        [1, 2, 3, 4],
        [3, 1, 2, 0],
        [0, 1, 3, 2],
        [],
    ):
        assert not DIAMOND.is_linear_extension(sequence)
    assert DIAMOND.is_linear_extension([0, 2, 1, 3])
    assert DIAMOND.is_linear_extension(np.array([0, 1, 2, 3]))


def test_published_numbers_of_linear_extensions():
    for n in range(9):
        assert antichain(n).count_linear_extensions() == factorial(n)
        assert chain(n).count_linear_extensions() == 1
        assert grid(2, n).count_linear_extensions() == comb(2 * n, n) // (n + 1)  # Catalan
    euler = [1, 1, 1, 2, 5, 16, 61, 272, 1385]
    assert [fence(n).count_linear_extensions() for n in range(9)] == euler
    assert [subsets(n).count_linear_extensions() for n in range(5)] == [1, 1, 2, 48, 1680384]
    assert grid(3, 3).count_linear_extensions() == 42  # standard Young tableaux
    assert grid(5, 5).count_linear_extensions() == 701149020


def test_counting_handles_long_narrow_orders_and_refuses_wide_ones():
    two_chains = np.eye(200, k=-1, dtype=bool)
    two_chains[100, 99] = False
    assert Poset(two_chains).count_linear_extensions() == comb(200, 100)
    assert antichain(12).count_linear_extensions(limit=comb(12, 6)) == factorial(12)
    with pytest.raises(Unsupported, match="a poset of 12 elements has more than 923 down-sets of one size"):
        antichain(12).count_linear_extensions(limit=comb(12, 6) - 1)


def test_long_extensions_need_no_recursion():
    assert next(chain(3000).dual().linear_extensions()) == tuple(reversed(range(3000)))


def naturally_labelled(n):
    places = [(q, k) for q in range(n) for k in range(q)]
    for bits in range(2 ** len(places)):
        relation = np.zeros((n, n), bool)
        for index, place in enumerate(places):
            relation[place] = bits >> index & 1
        yield Poset(relation)


@pytest.mark.parametrize(("n", "count"), [(0, 1), (1, 1), (2, 2), (3, 5), (4, 16), (5, 63)])
def test_unlabelled_posets_are_as_many_as_published(n, count):
    names = [np.array(p, int) for p in permutations(range(n))]
    shapes = {min(poset.order[np.ix_(p, p)].tobytes() for p in names) for poset in set(naturally_labelled(n))}
    assert len(shapes) == count


def test_every_poset_of_four_elements():
    for poset in set(naturally_labelled(4)):
        assert poset.width == width_by_brute_force(poset)
        assert list(poset.linear_extensions()) == extensions_by_brute_force(poset)
        assert poset.width * poset.height >= 4  # Dilworth and Mirsky together


@pytest.mark.parametrize(
    ("edges", "n", "pair"),
    [
        ([(3, 5), (5, 3)], 7, "3 and 5"),
        ([(0, 1), (1, 2), (2, 0)], 3, "0 and 1"),
        ([(1, 4), (4, 2), (2, 4)], 5, "2 and 4"),
    ],
)
def test_cyclic_input_is_refused_with_two_mutually_visible_elements(edges, n, pair):
    relation = np.zeros((n, n), bool)
    relation[tuple(zip(*edges, strict=True))] = True
    with pytest.raises(
        InvalidInstance, match=f"not a partial order: elements {pair} reach each other; take its quotient"
    ):
        Poset(relation)
    assert len(quotient(relation)) < n


@settings(deadline=None)
@given(relations(max_size=30))
def test_a_relation_is_a_poset_or_has_mutual_elements(relation):
    if len(classes(relation)) == len(relation):
        assert np.array_equal(Poset(relation).order, closure(relation))
        return
    with pytest.raises(InvalidInstance, match="reach each other") as caught:
        Poset(relation)
    first, second = (int(word) for word in caught.value.fact.split() if word.isdigit())
    assert first != second
    assert closure(relation)[first, second]
    assert closure(relation)[second, first]


@settings(deadline=None)
@given(relations(max_size=30))
def test_quotient_is_the_order_of_the_classes(relation):
    groups, order, reach = classes(relation), quotient(relation), closure(relation)
    assert len(order) == len(groups)
    for i, upper in enumerate(groups):
        for j, lower in enumerate(groups):
            assert {bool(order.order[i, j])} == {bool(reach[q, k]) for q in upper for k in lower}
    assert order.linear_extension == tuple(range(len(groups)))


@pytest.mark.parametrize("value", [np.zeros((2, 3), bool), np.zeros((2, 2), int), np.zeros(3, bool), None])
def test_what_is_no_relation_is_no_poset(value):
    with pytest.raises(InvalidInstance, match="order"):
        Poset(value)


@pytest.mark.parametrize("element", [-1, 4, 1.0, True, "0", None])
def test_elements_outside_are_refused(element):
    for query in (
        DIAMOND.upper_covers,
        DIAMOND.lower_covers,
        lambda e: DIAMOND.up_set([e]),
        lambda e: DIAMOND.down_set([0, e]),
    ):
        with pytest.raises(InvalidInstance, match=r"expected an element of 0, \.\.\., 3, got"):
            query(element)


def test_a_poset_is_a_frozen_value():
    source = np.eye(3, k=-1, dtype=bool)
    poset = Poset(source)
    source[:] = False
    assert poset == chain(3)
    assert poset != antichain(3)
    assert poset != "chain"
    assert {poset: "chain"}[chain(3)] == "chain"
    assert len({poset, chain(3), antichain(3), chain(2)}) == 3
    assert repr(poset) == "Poset of 3 elements and 2 covers"
    with pytest.raises(FrozenInstanceError):
        poset.order = source
    for array in (poset.order, poset.covers):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = True


@settings(deadline=None)
@given(posets())
def test_dual_of_dual(poset):
    assert poset.dual().dual() == poset
    assert poset.dual().count_linear_extensions() == poset.count_linear_extensions()


def test_the_empty_poset():
    empty = Poset(np.zeros((0, 0), bool))
    assert (empty.width, empty.height, empty.heights, empty.chains, empty.antichain) == (0, 0, (), (), ())
    assert (empty.minimal_elements, empty.maximal_elements, empty.linear_extension) == ((), (), ())
    assert list(empty.linear_extensions()) == [()]
    assert empty.count_linear_extensions() == 1
    assert empty.is_linear_extension(())
    assert empty.dual() == empty == quotient(np.zeros((0, 0), bool))
    assert empty.down_set([]) == empty.up_set([]) == ()


def test_answers_are_python_integers():
    poset = subsets(3)
    numbers = [
        poset.width,
        poset.height,
        poset.count_linear_extensions(),
        *poset.heights,
        *poset.antichain,
        *poset.minimal_elements,
    ]
    numbers += [
        *poset.upper_covers(0),
        *poset.down_set([7]),
        *poset.linear_extension,
        *(e for part in poset.chains for e in part),
    ]
    assert {type(number) for number in numbers} == {int}
