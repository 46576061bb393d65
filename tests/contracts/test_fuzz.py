"""Random documents against a reader of plain sets, and documents damaged at random: one line, or the same again."""

from __future__ import annotations

import copy
import json
import random

import pytest
from jsonschema import Draft202012Validator

from masksynth.contracts import dump_contracts, loads_contracts
from masksynth.contracts.schema import schema
from masksynth.errors import InvalidInstance
from tests.contracts.naive import random_tree
from tests.contracts.test_contract_files import assert_equal

VALIDATOR = Draft202012Validator(schema())
VALUES = [0, 1, 2, 5, -1, 1.0, 0.5, True, False, None, "", "a", "0", "others", "each", [], [0], [[0]], {}, {"blank": 0}]
VALUES += [
    2**31 - 1,
    2**31,
    2**64,
    10**400,
    1e300,
    float("nan"),
    float("inf"),
    "\ud800",
    {"grid": [2]},
    {"n": 2, "edges": []},
]


def random_document(draw):
    """Return a document that is valid by construction."""
    n = draw.randrange(1, 7)
    spaces = [n, [f"w{i}" for i in range(n)], [i if i % 2 else float(i) for i in range(n)], [[i] for i in range(n)]]
    spaces += [[i + 3 for i in range(n)], list(range(n))[::-1], list(range(n))]
    parents = [None if parent < 0 else parent for parent in random_tree(draw.random(), n)]
    edges = [[node, parent] for node, parent in enumerate(parents) if parent is not None]
    spaces += [
        {"grid": [1, n]},
        {"grid": [n], "metric": "manhattan"},
        {"tree": parents},
        {"graph": {"n": n, "edges": edges}},
    ]
    elements = draw.choice(spaces)
    values = elements if isinstance(elements, list) else list(range(n))
    document = {"masksynth_contracts": 1, "name": "x", "elements": elements}
    document["targets"] = draw.choice(
        ["each", [random_target(draw, values, number) for number in range(draw.randrange(1, 5))]]
    )
    optional = {
        "element_positions": draw.choice([draw.randrange(9), [draw.randrange(9) for _ in range(n)]]),
        "layers": draw.choice([None, 1, 4]),
        "masks": "one",
        "weights": draw.choice([{}, {"position": 3, "pair": 0.25}, {"kv": 0, "count": "structure"}]),
        "demand": draw.choice([{}, {"direct": 2}, {"hops": 0, "mixed": 1}, {"bandwidth": 3, "hops": None}]),
        "blanks": draw.choice(["same", "distinct"]),
    }
    return document | {key: value for key, value in optional.items() if draw.random() < 0.4}


def random_target(draw, values, number):
    hide = draw.sample(values, draw.randrange(len(values) + 1))
    rest = [value for value in values if value not in hide]
    need = draw.choice(["others", draw.sample(rest, draw.randrange(len(rest) + 1))])
    label = draw.choice([number, f"t{number}", ["t", number], values[number % len(values)]])
    if any(label == other for other in range(number)):
        label = {"t": number}
    target = {"label": label if isinstance(label, (str, list, dict)) else {"l": number}, "need": need}
    optional = {"hide": hide, "place": draw.choice(["query", "any"]), "position": draw.randrange(9)}
    if need != "others" or draw.random() < 0.5:
        target["hide"] = optional["hide"]
    return target | {key: value for key, value in optional.items() if key != "hide" and draw.random() < 0.5}


def meaning(document):
    """Return elements and (label, need, hide, place, position) of each target, as plain values."""
    elements = document["elements"]
    if isinstance(elements, dict):
        kind = next(iter(elements))
        sizes = {"grid": lambda v: v[-1], "tree": len, "graph": lambda v: v["n"]}
        elements = sizes[kind](elements[kind])
    values = elements if isinstance(elements, list) else list(range(elements))
    positions = document.get("element_positions", list(range(len(values))))
    positions = [positions] * len(values) if isinstance(positions, int) else positions
    targets = document["targets"]
    if targets == "each":
        targets = [{"label": value, "need": "others", "hide": [value]} for value in values]
    rows = []
    for index, target in enumerate(targets):
        hide = {values.index(value) for value in target.get("hide", [])}
        need = set(range(len(values))) - hide
        if target["need"] != "others":
            need = {values.index(value) for value in target["need"]}
        default = positions[values.index(target["label"])] if target["label"] in values else index
        place, position = target.get("place", "query"), target.get("position", default)
        rows.append((json.dumps(target["label"]), need, hide, place, position))
    return values, positions, rows


def read_rows(contracts):
    return [
        (json.dumps(t.label), set(contracts.needed(i).tolist()), set(contracts.hidden(i).tolist()), t.place, t.position)
        for i, t in enumerate(contracts.targets)
    ]


@pytest.mark.parametrize("seed", range(150))
def test_random_documents_mean_what_they_say(seed):
    document = random_document(random.Random(seed))
    assert VALIDATOR.is_valid(document)
    labels = [json.dumps(target["label"]) for target in document["targets"]] if document["targets"] != "each" else []
    if len(set(labels)) < len(labels):
        with pytest.raises(InvalidInstance, match="give each target a label of its own"):
            loads_contracts(json.dumps(document))
        return
    contracts = loads_contracts(json.dumps(document))
    values, positions, rows = meaning(document)
    assert json.dumps(contracts.elements.values) == json.dumps(values)
    assert list(contracts.elements.positions) == positions
    assert read_rows(contracts) == rows
    assert_equal(loads_contracts(dump_contracts(contracts)), contracts)


def damaged(draw, document):
    """Return a document with a few values replaced, removed or added, at random places."""
    document = copy.deepcopy(document)
    for _ in range(draw.randrange(1, 3)):
        inner = document
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(inner[key], (dict, list)) and inner[key] and draw.random() < 0.7:
                inner = inner[key]
                continue
            action = draw.random()
            if action < 0.7:
                inner[key] = copy.deepcopy(draw.choice(VALUES))
            elif action < 0.85:
                del inner[key]
            elif isinstance(inner, list):
                inner.insert(draw.randrange(len(inner) + 1), copy.deepcopy(inner[key]))
            else:
                inner[draw.choice(["x", "hide", "label", "layers", "position"])] = copy.deepcopy(draw.choice(VALUES))
            break
    return document


def check_damaged(seed):
    """Return whether a damaged document is read; it then has a schema's approval, and is the same when read again."""
    draw = random.Random(seed)
    document = damaged(draw, random_document(draw))
    text = json.dumps(document)
    try:
        contracts = loads_contracts(text, "damaged.json")
    except InvalidInstance as error:
        message, remedy = str(error), error.remedy
    else:
        assert VALIDATOR.is_valid(document), text
        assert_equal(loads_contracts(dump_contracts(contracts)), contracts)
        return True
    assert message.startswith("damaged.json: ")
    assert message.isprintable()
    assert len(message) < 400
    assert remedy
    return False


def test_damaged_documents_are_refused_in_one_line_or_read_alike():
    read = sum(map(check_damaged, range(600)))
    assert 50 < read < 550
