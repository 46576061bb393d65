"""Documents of contracts: what they mean, defaults, round trips."""

import io
import json

import numpy as np
import pytest

from masksynth.contracts import Contracts, dump_contracts, load_contracts, loads_contracts, with_options
from masksynth.contracts.families import FAMILIES, leave_one_out
from masksynth.errors import InvalidInstance
from masksynth.posets.bit_rows import unpack
from masksynth.terminal import read_contracts


def document(**fields):
    return {"masksynth_contracts": 1, "name": "toy", "elements": 4, "targets": "each", **fields}


def read(**fields):
    return loads_contracts(json.dumps(document(**fields)), "toy.json")


def sets(contracts):
    n = contracts.elements.count
    return unpack(contracts.need, n), unpack(contracts.hide, n)


def assert_equal(one: Contracts, other: Contracts):
    for name in ("name", "elements", "targets", "layers", "masks", "weights", "demand", "same_blanks", "derived"):
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.need, other.need)
    np.testing.assert_array_equal(one.hide, other.hide)


def test_a_document_with_every_field():
    contracts = read(
        elements=["a", 1, 1.0, True],
        element_positions=[5, 6, 7, 7],
        targets=[
            {"label": "a", "need": [1, True], "hide": ["a", 1.0], "place": "any", "position": 9},
            {"label": ["pair", 1], "need": "others", "hide": [True]},
            {"label": 1, "need": []},
        ],
        layers=3,
        masks="one",
        weights={"position": 2, "kv": 0, "pair": 0.5, "count": "layer"},
        demand={"direct": 1, "mixed": 2, "bandwidth": 3, "hops": 2},
        blanks="same",
    )
    need, hide = sets(contracts)
    assert need.astype(int).tolist() == [[0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert hide.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert [target.position for target in contracts.targets] == [9, 1, 6]  # given; its index; that of its element
    assert [target.place for target in contracts.targets] == ["any", "query", "query"]
    assert contracts.elements.positions == (5, 6, 7, 7)
    assert (contracts.layers, contracts.masks, contracts.same_blanks) == (3, "one", True)
    weights, demand = contracts.weights, contracts.demand
    assert (weights.position, weights.kv, weights.pair, weights.count) == (2, 0, 0.5, "layer")
    assert (demand.direct, demand.mixed, demand.bandwidth, demand.hops) == (1, 2, 3, 2)
    assert_equal(loads_contracts(dump_contracts(contracts)), contracts)


@pytest.mark.parametrize("values", [[5, 7, 0, 9], [3, 2, 1, 0], [0, 1, 2, 3.0], [0, True, 2, 3]])
def test_integers_that_do_not_number_the_elements(values):
    contracts = read(elements=values, targets=[{"label": "t", "need": values[:2], "hide": values[3:]}])
    assert (contracts.needed(0).tolist(), contracts.hidden(0).tolist()) == ([0, 1], [3])
    assert json.loads(dump_contracts(contracts))["elements"] == values
    assert_equal(loads_contracts(dump_contracts(contracts)), contracts)
    with pytest.raises(InvalidInstance, match="4 is not an element; use one of elements, with its type"):
        read(elements=values, targets=[{"label": "t", "need": [4]}])


@pytest.mark.parametrize(
    ("fields", "masks", "count"),
    [
        ({}, "one", "structure"),
        ({"layers": 2}, "layered", "layer"),
        ({"layers": 2, "masks": "one"}, "one", "structure"),
        ({"layers": 2, "masks": "one", "weights": {"count": "layer"}}, "one", "layer"),
        ({"layers": 2, "weights": {"count": "structure"}}, "layered", "structure"),
    ],
)
def test_what_is_not_given_follows_from_the_rest(fields, masks, count):
    contracts = read(**fields)
    assert (contracts.masks, contracts.weights.count) == (masks, count)
    assert (contracts.weights.position, contracts.weights.kv, contracts.weights.pair) == (24, 4, 0.004)
    assert_equal(loads_contracts(dump_contracts(contracts)), contracts)


def test_options_decide_again_what_was_not_given():
    deeper = with_options(read(), layers=5)
    assert (deeper.layers, deeper.masks, deeper.weights.count) == (5, "layered", "layer")
    one = with_options(deeper, masks="one")
    assert (one.layers, one.masks, one.weights.count) == (5, "one", "structure")
    assert with_options(one, layers=3).masks == "one"  # it has been given
    fixed = with_options(read(layers=2, masks="one", weights={"count": "layer"}), layers=4)
    assert (fixed.layers, fixed.masks, fixed.weights.count) == (4, "one", "layer")
    for contracts in (deeper, one, fixed):
        assert_equal(loads_contracts(dump_contracts(contracts)), contracts)
    with pytest.raises(InvalidInstance, match="give layers, or masks one"):
        with_options(read(), masks="layered")


def test_options_give_what_a_document_lacks(tmp_path):
    lacking = json.dumps(document(masks="layered", weights={"count": "layer"}))
    (tmp_path / "contracts.json").write_text(lacking)
    for read_again in (
        lambda **options: loads_contracts(lacking, **options),
        lambda **options: load_contracts(tmp_path / "contracts.json", **options),
        lambda **options: load_contracts(io.StringIO(lacking), **options),
        lambda **options: read_contracts(str(tmp_path / "contracts.json"), **options),
    ):
        with pytest.raises(InvalidInstance, match="give layers"):
            read_again()
        contracts = read_again(layers=3)
        assert (contracts.layers, contracts.masks, contracts.weights.count) == (3, "layered", "layer")
        assert read_again(layers=3, masks="one").masks == "one"
    for fields in ({}, {"layers": 2}, {"layers": 2, "masks": "one"}, {"layers": 2, "weights": {"count": "structure"}}):
        for options in ({"layers": 5}, {"layers": 5, "masks": "one"}, {"layers": 5, "masks": "layered"}, {}):
            text = json.dumps(document(**fields))
            assert_equal(loads_contracts(text, **options), with_options(loads_contracts(text), **options))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"layers": 3, "place": "any"}])
def test_families_are_read_back_as_they_are(family, options):
    contracts = FAMILIES[family](**options)
    text = dump_contracts(contracts)
    assert_equal(loads_contracts(text), contracts)
    written = json.loads(text)
    assert written["weights"]["count"] == "structure"
    assert "masks" not in written
    assert ("layers" in written) == bool(options)


def test_leave_one_out_is_short_at_any_size():
    contracts = leave_one_out(n=4096)
    text = dump_contracts(contracts)
    assert len(text) < 200
    again = loads_contracts(text)
    assert_equal(again, contracts)
    assert again.needed(77).tolist() == [*range(77), *range(78, 4096)]
    assert again.hidden(4095).tolist() == [4095]


@pytest.mark.parametrize(
    "targets",
    [
        [{"label": i, "need": "others", "hide": [i], "place": "any" if i == 2 else "query"} for i in range(4)],
        [{"label": i, "need": "others", "hide": [i], "position": i // 2} for i in range(4)],
        [{"label": i, "need": "others", "hide": [3 - i]} for i in range(4)],
        [{"label": 3 - i, "need": "others", "hide": [i]} for i in range(4)],
        [{"label": i, "need": "others", "hide": [i, (i + 1) % 4]} for i in range(4)],
        [{"label": i, "need": [0] if i else [1], "hide": [i]} for i in range(4)],
        [{"label": i, "need": "others", "hide": [i]} for i in range(3)],
    ],
)
def test_what_is_almost_leave_one_out_is_written_in_full(targets):
    contracts = read(targets=targets)
    assert '"each"' not in dump_contracts(contracts)
    assert_equal(loads_contracts(dump_contracts(contracts)), contracts)


def test_leave_one_out_in_full_is_leave_one_out():
    targets = [{"label": i, "need": [j for j in range(4) if j != i], "hide": [i]} for i in range(4)]
    assert_equal(read(targets=targets), read())
    assert '"targets": "each"' in dump_contracts(read(targets=targets))


def test_documents_are_read_from_paths_and_streams(tmp_path):
    text = dump_contracts(leave_one_out(n=5))
    (tmp_path / "contracts.json").write_text(text)
    expected = loads_contracts(text)
    for source in (tmp_path / "contracts.json", str(tmp_path / "contracts.json")):
        assert_equal(load_contracts(source), expected)
    assert_equal(load_contracts(io.BytesIO(text.encode())), expected)
    assert_equal(load_contracts(io.StringIO(text)), expected)


def test_one_position_for_all_elements():
    assert read(element_positions=3).elements.positions == (3, 3, 3, 3)
