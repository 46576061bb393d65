"""The published JSON Schema of contracts, and what is refused: by the schema and the reader, or by the reader alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from masksynth.contracts import Contracts, dump_contracts, loads_contracts, with_options
from masksynth.contracts.families import FAMILIES
from masksynth.contracts.schema import FILE, schema, text
from masksynth.errors import InvalidInstance
from masksynth.tasks.instance_files import loads

PUBLISHED = resources.files("masksynth.contracts.schema").joinpath(FILE).read_text()
VALIDATOR = Draft202012Validator(json.loads(PUBLISHED))
DOCUMENT = {
    "masksynth_contracts": 1,
    "name": "toy",
    "elements": 4,
    "element_positions": [0, 1, 2, 3],
    "targets": [
        {"label": "a", "need": [1, 2], "hide": [0], "place": "query", "position": 0},
        {"label": "b", "need": "others", "hide": [1, 2]},
    ],
    "layers": 3,
    "masks": "layered",
    "weights": {"position": 24, "kv": 4, "pair": 0.004, "count": "layer"},
    "demand": {"direct": 1, "mixed": 0, "bandwidth": 0, "hops": 2},
    "blanks": "distinct",
}
TARGET = ("targets", 0)
TREE, GRAPH = {"tree": [None, 0, 0, 1]}, {"graph": {"n": 4, "edges": [[0, 1], [1, 2], [2, 3]]}}


def changed(changes):
    """Return the document with values replaced, or removed (``...``)."""
    document = copy.deepcopy(DOCUMENT)
    for path, value in changes.items():
        *steps, last = path if isinstance(path, tuple) else (path,)
        inner = document
        for step in steps:
            inner = inner[step]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return document


def replaced(before, after):
    """Return the text of the document with a part replaced."""
    assert before in json.dumps(DOCUMENT)
    return json.dumps(DOCUMENT).replace(before, after)


def test_published_is_generated():
    assert text() == PUBLISHED
    assert json.loads(PUBLISHED) == schema()
    command = [sys.executable, "-m", "masksynth.contracts.schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (PUBLISHED, "")
    Draft202012Validator.check_schema(json.loads(PUBLISHED))


@pytest.mark.parametrize("family", FAMILIES)
def test_accepts_whatever_is_written(family):
    for options in ({}, {"layers": 2}, {"place": "any"}):
        contracts: Contracts = FAMILIES[family](**options)
        VALIDATOR.validate(json.loads(dump_contracts(contracts)))
        VALIDATOR.validate(json.loads(dump_contracts(with_options(contracts, layers=3, masks="one"))))


GOOD = [
    {},
    {"layers": ..., "masks": ..., ("weights", "count"): ...},
    {"layers": None, "masks": "one", ("weights", "count"): "structure"},
    {"layers": 2**31 - 1, "masks": "one"},
    {"layers": 10_000},
    {"masks": ...},
    {"targets": "each", "element_positions": ...},
    {"elements": ["a", 1, 1.0, None], "targets": [{"label": None, "need": [None, 1.0, "a"]}]},
    {"elements": [["x", {"y": 1}], {"blank": 1, "more": 2}, {}, []], "targets": "each"},
    {"elements": {"grid": [2, 2]}},
    {"elements": {"grid": [4], "metric": "manhattan"}},
    {"elements": {"grid": [1, 2, 2], "metric": "chebyshev"}},
    {"elements": TREE},
    {"elements": GRAPH},
    {"element_positions": 7},
    {"element_positions": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": "each"},
    {
        "element_positions": [[2], [7], [0], [2]],
        "targets": [{"label": 2, "need": [1]}, {"label": "x", "need": [], "position": [5]}],
    },
    {(*TARGET, "label"): "\ud800"},
    {(*TARGET, "need"): []},
    {(*TARGET, "hide"): ...},
    {(*TARGET, "place"): "any"},
    {(*TARGET, "position"): 2**31 - 1},
    {"weights": ...},
    {"weights": {}},
    {"weights": {"position": 0, "kv": 0, "pair": 0}},
    {("weights", "pair"): 1e300},
    {"demand": ...},
    {"demand": {}},
    {("demand", "hops"): None},
    {("demand", "hops"): 0},
    {("demand", "direct"): 10**6},
    {"blanks": "same"},
]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_accepts_what_is_read(changes):
    document = changed(changes)
    assert VALIDATOR.is_valid(document)
    contracts = loads_contracts(json.dumps(document))
    again = loads_contracts(dump_contracts(contracts))
    assert dump_contracts(again) == dump_contracts(contracts)


SHAPES = [
    ({"masksynth_contracts": 2}, "$.masksynth_contracts: unsupported schema 2; this version of masksynth reads"),
    ({"masksynth_contracts": True}, "$.masksynth_contracts: expected `int`, got `bool`; correct the value"),
    ({"masksynth_contracts": ...}, "$: object missing required field `masksynth_contracts`; add it"),
    ({"name": ""}, "$.name: expected `str` of length >= 1; correct the value"),
    ({"name": ...}, "$: object missing required field `name`; add it"),
    ({"elements": ...}, "$: object missing required field `elements`; add it"),
    ({"elements": 0}, "$.elements: expected `int` >= 1; correct the value"),
    ({"elements": []}, "$.elements: expected `array` of length >= 1; correct the value"),
    ({"elements": "abc"}, "$.elements: expected `int | object | array`, got `str`; correct the value"),
    ({"elements": 2.5}, "$.elements: expected `int | object | array`, got `float`"),
    ({"elements": [0, {"blank": 1}, 2, 3]}, '$.elements[1]: an element {"blank": ...} cannot be told from the input'),
    ({"elements": {}}, "$.elements: expected one of grid, tree and graph, got none; keep one of them"),
    ({"elements": {**TREE, **GRAPH}}, "$.elements: expected one of grid, tree and graph, got tree and graph; keep one"),
    ({"elements": {"grid": []}}, "$.elements.grid: expected `array` of length >= 1"),
    ({"elements": {"grid": [1] * 17}}, "$.elements.grid: expected `array` of length <= 16"),
    ({"elements": {"grid": [2, 0]}}, "$.elements.grid[1]: expected `int` >= 1"),
    ({"elements": {"grid": None}}, "$.elements.grid: expected `array`, got `null`"),
    ({"elements": {"grid": [4], "metric": "euclid"}}, "$.elements.metric: invalid enum value 'euclid'"),
    ({"elements": {"metric": "manhattan", **TREE}}, "$.elements.metric: a tree has one metric; leave it out"),
    ({"elements": {"tree": []}}, "$.elements.tree: expected `array` of length >= 1"),
    ({"elements": {"tree": [-1, 0]}}, "$.elements.tree[0]: expected `int` >= 0"),
    ({"elements": {"graph": {"n": 4}}}, "$.elements.graph: object missing required field `edges`; add it"),
    ({"elements": {"graph": {"n": 4, "edges": [[0, 1, 2]]}}}, "$.elements.graph.edges[0]: expected `array` of length"),
    ({"elements": {"graph": {"n": 0, "edges": []}}}, "$.elements.graph.n: expected `int` >= 1"),
    ({"elements": {"ring": 4}}, "$.elements: object contains unknown field `ring`; remove it or correct its spelling"),
    ({"elements": {"graph": {"n": 1, "edges": [], "m": 0}}}, "$.elements.graph: object contains unknown field `m`"),
    ({"targets": ...}, "$: object missing required field `targets`; add it"),
    ({"targets": []}, "$.targets: expected `array` of length >= 1"),
    ({"targets": "all"}, "$.targets: invalid enum value 'all'"),
    ({"targets": {}}, "$.targets: expected `str | array`, got `object`"),
    ({(*TARGET, "label"): ...}, "$.targets[0]: object missing required field `label`; add it"),
    ({(*TARGET, "need"): ...}, "$.targets[0]: object missing required field `need`; add it"),
    ({(*TARGET, "need"): "rest"}, "$.targets[0].need: invalid enum value 'rest'"),
    ({(*TARGET, "need"): 1}, "$.targets[0].need: expected `str | array`, got `int`"),
    ({(*TARGET, "need"): None}, "$.targets[0].need: expected `str | array`, got `null`"),
    ({(*TARGET, "hide"): "others"}, "$.targets[0].hide: expected `array`, got `str`"),
    ({(*TARGET, "place"): "blank"}, "$.targets[0].place: invalid enum value 'blank'"),
    ({(*TARGET, "position"): -1}, "$.targets[0].position: expected `int` >= 0"),
    ({(*TARGET, "position"): 2**31}, "$.targets[0].position: expected `int` <= 2147483647"),
    ({(*TARGET, "position"): True}, "$.targets[0].position: expected `int | array`, got `bool`"),
    ({(*TARGET, "position"): None}, "$.targets[0].position: expected `int | array`, got `null`"),
    ({(*TARGET, "needs"): []}, "$.targets[0]: object contains unknown field `needs`; remove it or correct its"),
    ({"element_positions": [0, 1, 2, -1]}, "$.element_positions[3]: expected `int` >= 0"),
    ({"element_positions": [0, 1, 2, [3]]}, "$.element_positions[0]: position 0 is a number, and others are lists"),
    ({"element_positions": [[], [0], [1], [2]]}, "$.element_positions[0]: expected `array` of length >= 1"),
    ({"layers": 0}, "$.layers: expected `int` >= 1"),
    ({"layers": 2**31}, "$.layers: expected `int` <= 2147483647"),
    ({"layers": "3"}, "$.layers: expected `int | null`, got `str`"),
    ({"layers": 2.0}, "$.layers"),
    ({"layers": 10_001}, "$.layers: 10001 layers with a mask each, more than 10000; give fewer layers, or masks one"),
    ({"layers": 10_001, "masks": ...}, "$.layers: 10001 layers with a mask each, more than 10000; give fewer layers"),
    ({"layers": ...}, "$.layers: layered masks need a number of layers; give layers, or masks one"),
    ({"layers": None}, "$.layers: layered masks need a number of layers; give layers, or masks one"),
    ({"layers": None, "masks": "one"}, "$.weights.count: costs of each layer need a number of layers; give layers, or"),
    ({"layers": ..., "masks": ...}, "$.weights.count: costs of each layer need a number of layers; give layers, or"),
    ({"masks": "two"}, "$.masks: invalid enum value 'two'"),
    ({("weights", "position"): -1}, "$.weights.position: expected `float` >= 0"),
    ({("weights", "pair"): "0"}, "$.weights.pair: expected `float`, got `str`"),
    ({("weights", "kv"): None}, "$.weights.kv: expected `float`, got `null`"),
    ({("weights", "count"): "each"}, "$.weights.count: invalid enum value 'each'"),
    ({("weights", "edge"): 1}, "$.weights: object contains unknown field `edge`; remove it or correct its spelling"),
    ({("demand", "direct"): -1}, "$.demand.direct: expected `int` >= 0"),
    ({("demand", "hops"): -1}, "$.demand.hops: expected `int` >= 0"),
    ({("demand", "mixed"): 1.5}, "$.demand.mixed: expected `int`, got `float`"),
    ({("demand", "width"): 1}, "$.demand: object contains unknown field `width`; remove it or correct its spelling"),
    ({"blanks": "one"}, "$.blanks: invalid enum value 'one'"),
    ({"extra": 1}, "$: object contains unknown field `extra`; remove it or correct its spelling"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), SHAPES, ids=lambda value: str(value)[:40])
def test_rejects_what_is_not_read(changes, message):
    document = changed(changes)
    if changes != {"layers": 2.0}:  # to a JSON Schema 2.0 is an integer
        assert not VALIDATOR.is_valid(document)
    refuse(json.dumps(document), message)


MEANINGS = [
    ({(*TARGET, "hide"): [2, 0]}, "$.targets[0]: target 'a' needs and hides 2; leave it out of one of them"),
    ({(*TARGET, "need"): [1, 4]}, "$.targets[0].need[1]: 4 is not an element; use 0 to 3"),
    ({(*TARGET, "need"): [-1]}, "$.targets[0].need[0]: -1 is not an element; use 0 to 3"),
    ({(*TARGET, "need"): [True]}, "$.targets[0].need[0]: True is not an element; use 0 to 3"),
    ({(*TARGET, "need"): [1.0]}, "$.targets[0].need[0]: 1.0 is not an element; use 0 to 3"),
    ({(*TARGET, "need"): [10**30]}, "is not an element; use 0 to 3"),
    ({(*TARGET, "hide"): ["0"]}, "$.targets[0].hide[0]: '0' is not an element; use 0 to 3"),
    ({(*TARGET, "hide"): [[0]]}, "$.targets[0].hide[0]: of type list is not an element; use 0 to 3"),
    ({(*TARGET, "need"): [2, 1, 2]}, "$.targets[0].need[2]: 2 is listed twice; list it once"),
    ({"elements": ["a", "b", "c", "d"]}, "$.targets[0].hide[0]: 0 is not an element; use one of elements, with its"),
    ({"elements": ["a", "b", "a", "d"]}, "$.elements[2]: element 'a' is that of $.elements[0] too; give each"),
    ({"elements": [[1], [1], 2, 3]}, "$.elements[1]: element of type tuple is that of $.elements[0] too"),
    ({("targets", 1, "label"): "a"}, "$.targets[1].label: label 'a' is that of target 0 too; give each target a label"),
    ({"element_positions": [0, 1, 2]}, "$.element_positions: 3 positions for 4 elements; give one for each element"),
    ({"element_positions": [[0], [1], [2], [3, 4]]}, "positions[3]: 2 coordinates, where $.element_positions[0] has 1"),
    ({"element_positions": [[0], [1], [2], [3]]}, "$.targets[0].position: position 0 is a number, and others"),
    ({"elements": {"grid": [2**30, 2**30]}}, "$.elements: 1152921504606846976 elements, more than 1048576; give fewer"),
    ({"elements": {"grid": [2**31 - 1] * 16}}, "elements, more than 1048576; give fewer elements"),
    ({"elements": 2**21}, "$.elements: 2097152 elements, more than 1048576; give fewer elements"),
    ({"elements": 2**20, "targets": "each"}, "$.elements: 1048576 targets of 1048576 elements make 1099511627776"),
    ({"elements": {"graph": {"n": 2**31 - 1, "edges": []}}}, "$.elements: 2147483647 elements, more than 1048576"),
    ({"elements": {"tree": [0, 1, 2, 3]}}, "$.elements.tree: a tree has one root, this has 0; give null as the parent"),
    ({"elements": {"tree": [None, None, 0, 1]}}, "$.elements.tree: a tree has one root, this has 2"),
    ({"elements": {"tree": [None, 3, 1, 2]}}, "is its own ancestor; lead every element to the root"),
    ({"elements": {"tree": [None, 1, 0, 0]}}, "$.elements.tree[1]: element 1 is its own ancestor; lead every element"),
    ({"elements": {"tree": [None, 0, 4, 0]}}, "$.elements.tree[2]: parent 4 is not an element; use 0 to 3, or null"),
    ({"elements": {"graph": {"n": 4, "edges": [[0, 1], [2, 3]]}}}, "$.elements.graph.edges: no path leads from 0 to 2"),
    ({"elements": {"graph": {"n": 4, "edges": [[0, 4]]}}}, "$.elements.graph.edges[0]: 4 is not an element; use 0 to"),
    ({"elements": {"graph": {"n": 4, "edges": [[1, 1]]}}}, "$.elements.graph.edges[0]: an edge joins 1 with itself"),
    ({(*TARGET, "label"): {"a": [[[]]] * 2}, ("targets", 1, "label"): {"a": [[[]]] * 2}}, "is that of target 0 too"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MEANINGS, ids=lambda value: str(value)[:40])
def test_rejects_what_means_nothing(changes, message):
    document = changed(changes)
    assert VALIDATOR.is_valid(document)  # a schema cannot say it
    refuse(json.dumps(document), message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "the file is empty; contracts begin"),
        ("{", "not JSON: line 1, column 2"),
        ("[]", "$: expected `object`, got `array`"),
        (b"\xff", "not UTF-8: byte 0"),
        ('{"name": "a", "name": "b"}', "$: key 'name' is repeated in one object; keep one of them"),
        (json.dumps(changed({("weights", "pair"): float("nan")})), "$.weights.pair: NaN is not a JSON number"),
        (replaced('"pair": 0.004', '"pair": 1e999'), "$.weights.pair: weight pair: expected a finite number"),
        (json.dumps(changed({("weights", "pair"): 10**400})), "$.weights.pair"),
        (replaced('"position": 24', '"position": -Infinity'), "$.weights.position: -Infinity is not a JSON number"),
        (json.dumps(changed({"\ud800": 1})), "$: object contains unknown field"),
        (replaced('"label": "a"', f'"label": {"[" * 60}{"]" * 60}'), "nested deeper"),
        (replaced('"label": "a"', f'"label": {"[" * 40}{"]" * 40}'), "$.targets[0].label[0][0][0]"),
        (replaced('"elements": 4', f'"elements": {"9" * 5000}'), "an integer of 5000 digits"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_rejects_other_text(data, message):
    refuse(data, message)


def refuse(data, message):
    with pytest.raises(InvalidInstance) as error:
        loads_contracts(data, "toy.json")
    assert message in str(error.value)
    assert str(error.value).startswith("toy.json: ")
    assert str(error.value).isprintable()
    assert error.value.remedy


@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_contracts_are_read(n):
    contracts = loads_contracts(json.dumps({**DOCUMENT, "elements": n, "targets": "each", "element_positions": 0}))
    assert [contracts.needed(target).tolist() for target in range(n)] == [[], [1], [0]][n > 1 :][:n]


def test_an_instance_is_not_contracts_and_contracts_are_not_an_instance():
    refuse('{"masksynth": 1, "name": "x", "tasks": []}', "$: is an instance, not contracts; name a document as")
    with pytest.raises(InvalidInstance, match="is a document of contracts, not an instance; find a structure with"):
        loads(json.dumps(DOCUMENT))
