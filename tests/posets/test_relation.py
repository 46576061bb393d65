import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.posets import as_relation, compose, identity, layer_flows, layer_product, power, reflexive
from masksynth.posets.bit_rows import integers, members, pack, unpack

from .strategies import layers, relations


def composed_by_definition(later, earlier):
    n = len(later)
    return np.array(
        [[any(later[q, m] and earlier[m, k] for m in range(n)) for k in range(n)] for q in range(n)], bool
    ).reshape(n, n)


@settings(deadline=None)
@given(layers(most=2).filter(lambda pair: len(pair) == 2))
def test_compose_is_its_definition(pair):
    assert np.array_equal(compose(*pair), composed_by_definition(*pair))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 200, 521])
@pytest.mark.parametrize("density", [0.01, 0.2, 1.0])
def test_compose_agrees_with_the_integer_product_across_word_borders(n, density):
    random = np.random.default_rng(n)
    later, earlier = random.random((2, n, n)) < density
    product = compose(later, earlier)
    assert product.dtype == bool
    assert np.array_equal(product, later.astype(np.int64) @ earlier.astype(np.int64) > 0)


def test_compose_of_4096_nodes_agrees_with_the_float_product():
    random = np.random.default_rng(7)
    later, earlier = random.random((2, 4096, 4096)) < np.array([0.001, 0.002])[:, None, None]
    assert np.array_equal(compose(later, earlier), later.astype(np.float32) @ earlier.astype(np.float32) > 0)


@settings(deadline=None)
@given(layers(most=3).filter(lambda triple: len(triple) == 3))
def test_compose_is_associative_and_the_identity_neutral(triple):
    a, b, c = triple
    assert np.array_equal(compose(compose(a, b), c), compose(a, compose(b, c)))
    assert np.array_equal(compose(a, identity(len(a))), a)
    assert np.array_equal(compose(identity(len(a)), a), a)


def test_arguments_stay_as_they_are_even_transposed_or_strided():
    random = np.random.default_rng(1)
    wide = random.random((40, 40)) < 0.2
    view, before = wide[::2, ::2].T, wide.copy()
    assert np.array_equal(compose(view, view), compose(view.copy(), view.copy()))
    assert np.array_equal(power(view, 3), power(view.copy(), 3))
    assert np.array_equal(wide, before)


@settings(deadline=None)
@given(relations(), st.integers(0, 9))
def test_power_is_repeated_composition(relation, exponent):
    walked = identity(len(relation))
    for _ in range(exponent):
        walked = compose(walked, relation)
    assert np.array_equal(power(relation, exponent), walked)


@settings(deadline=None)
@given(relations(), st.integers(0, 40), st.integers(0, 40))
def test_powers_add(relation, first, second):
    assert np.array_equal(power(relation, first + second), compose(power(relation, first), power(relation, second)))


def test_power_of_a_cycle_comes_round_after_a_huge_number_of_steps():
    cycle = np.roll(identity(100), 1, axis=1)
    assert np.array_equal(power(cycle, 10**30), identity(100))
    assert np.array_equal(power(cycle, 10**30 + 1), cycle)


@settings(deadline=None)
@given(layers())
def test_layer_flows_apply_the_first_mask_first(masks):
    reached = identity(len(masks[0]))
    flows = list(layer_flows(masks))
    assert len(flows) == len(masks)
    for mask, flow in zip(masks, flows, strict=True):
        reached = composed_by_definition(mask | identity(len(mask)), reached)
        assert np.array_equal(flow, reached)
    assert np.array_equal(layer_product(masks), reached)


def test_the_order_of_layers_matters():
    first, second = np.zeros((2, 3, 3), bool)
    first[1, 0] = second[2, 1] = True
    assert layer_product([first, second])[2, 0]
    assert not layer_product([second, first])[2, 0]


@settings(deadline=None)
@given(relations(), st.integers(1, 6))
def test_equal_layers_are_a_power(mask, depth):
    assert np.array_equal(layer_product([mask] * depth), power(reflexive(mask), depth))


def test_layer_flows_are_lazy():
    flows = layer_flows(mask for mask in (identity(2), np.zeros((3, 3), bool)))
    assert np.array_equal(next(flows), identity(2))
    with pytest.raises(InvalidInstance, match="expected masks of equal size, got 3 nodes in layer 2 and 2 in layer 1"):
        next(flows)


def test_no_layers_have_no_product():
    assert list(layer_flows([])) == []
    with pytest.raises(InvalidInstance, match="zero layers has no size; give at least one mask"):
        layer_product([])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 3), bool), r"expected shape \(n, n\), got \(2, 3\)"),
        (np.zeros(4, bool), r"expected shape \(n, n\), got \(4,\)"),
        (np.zeros((1, 2, 2), bool), r"expected shape \(n, n\), got \(1, 2, 2\)"),
        (np.zeros((2, 2)), "expected a bool array, got float64"),
        (np.eye(2, dtype=np.int64), "expected a bool array, got int64"),
        ([], "float64"),
        (np.array(True), r"expected shape \(n, n\), got \(\)"),
        (np.array([[None]]), "object"),
    ],
)
def test_what_is_no_relation_is_refused(value, message):
    for operation in (
        as_relation,
        reflexive,
        lambda x: compose(x, x),
        lambda x: power(x, 2),
        lambda x: layer_product([x]),
    ):
        with pytest.raises(InvalidInstance, match=message):
            operation(value)


def test_sizes_that_differ_are_refused():
    with pytest.raises(InvalidInstance, match="got 2 and 3 nodes"):
        compose(identity(2), identity(3))


@pytest.mark.parametrize("exponent", [-1, 1.0, True, "2", None])
def test_exponents_are_integers_from_zero(exponent):
    with pytest.raises(InvalidInstance, match="expected an integer >= 0"):
        power(identity(2), exponent)


def test_numpy_exponents_and_masks_are_welcome():
    assert np.array_equal(power(np.eye(3, k=-1, dtype=bool), np.int32(2)), np.eye(3, k=-2, dtype=bool))
    assert np.array_equal(as_relation(Mask.from_dense(identity(3))), identity(3))


def test_the_empty_relation():
    empty = np.zeros((0, 0), bool)
    for result in (compose(empty, empty), power(empty, 3), reflexive(empty), layer_product([empty])):
        assert result.shape == (0, 0)
        assert result.dtype == bool


@settings(deadline=None)
@given(relations(max_size=140))
def test_packing_is_undone(relation):
    assert np.array_equal(unpack(pack(relation), len(relation)), relation)
    rows = [set(members(bits)) for bits in integers(relation)]
    assert rows == [set(np.flatnonzero(row).tolist()) for row in relation]
