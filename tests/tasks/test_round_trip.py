"""Instance files: written and read back, and the hash of their content, recomputed from its definition."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings

import masksynth as ms
from masksynth.tasks import Node, Prediction, Task, TaskFamily
from masksynth.tasks.instance_files import content_hash, dumps, load, loads
from tests.strategies import families, instances


def document(family):
    """``tasks`` with every default filled in, from the definition."""
    return [
        {
            "name": task.name,
            "nodes": [
                {
                    "name": node.name,
                    "input": node.input,
                    "position": node.position,
                    "kind": node.kind,
                    "carries": node.carries,
                }
                for node in task.nodes
            ],
            "attends": task.attends[0] if len(task.attends) == 1 else task.attends,
            "closure": task.closure,
            "predict": [{"node": p.node, "label": p.label, "weight": p.weight, "hides": p.hides} for p in task.predict],
        }
        for task in family.tasks
    ]


def defined_hash(family):
    return hashlib.sha256(json.dumps(document(family), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parts(instance):
    """Everything in an instance, 1, 1.0 and true kept apart, orders of nodes, rows and predictions included."""
    rest = [instance.name, instance.source, instance.layers, instance.sparse, instance.expect]
    return json.dumps([document(instance.family), rest])


@settings(deadline=None, max_examples=60)
@given(instances())
def test_reading_inverts_writing(instance):
    text = dumps(instance)
    assert text.isascii()
    again = loads(text)
    assert parts(again) == parts(instance)
    assert again == instance
    assert dumps(again) == text


@settings(deadline=None, max_examples=50)
@given(families())
def test_hash_is_its_definition(family):
    assert content_hash(family) == defined_hash(family)


def other_format(text):
    """The same JSON in another format: shuffled keys, spaces, raw Unicode, a byte order mark."""
    value = json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    return b"\xef\xbb\xbf" + json.dumps(value, indent=3, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "make", [ms.catalog.butterfly, ms.catalog.encdec_flat, ms.catalog.parallel_context_bos], ids=lambda f: f.__name__
)
def test_hash_ignores_format_names_and_expectations(make):
    instance = make()
    text = dumps(instance)
    given = json.loads(text) | {"name": "other", "source": "elsewhere", "expect": {"status": "OPTIMAL"}, "layers": 3}
    for same in (other_format(text), json.dumps(given)):
        assert content_hash(loads(same).family) == content_hash(instance.family) == defined_hash(instance.family)


def test_hash_sees_every_difference():
    def family(
        input="a",
        position=0,
        kind="token",
        carries=None,
        row=("n", "m"),
        label="y",
        weight=1.0,
        hides=(),
        closure=False,
        name="t",
    ):
        nodes = (Node("n", input, position, kind, carries), Node("m", "b", 1))
        return TaskFamily(
            (Task(name, nodes, {"n": row, "m": ["m"]}, (Prediction("n", label, weight, hides),), closure),)
        )

    changed = [
        {}, {"input": "A"}, {"input": 1}, {"input": 1.0}, {"input": True}, {"input": "1"}, {"input": 0.0}, {"input": -0.0}, {"input": None},  # noqa: E501
        {"input": ["a"]}, {"input": {"a": 1}}, {"position": 1}, {"kind": "query"}, {"carries": []}, {"carries": ["b"]}, {"row": ["n"]},  # noqa: E501
        {"row": ["m", "n"]}, {"label": "z"}, {"weight": 2}, {"hides": ["q"]}, {"closure": True}, {"name": "u"},
    ]  # fmt: skip
    hashes = [content_hash(family(**change)) for change in changed]
    assert len(set(hashes)) == len(changed)
    assert hashes == [defined_hash(family(**change)) for change in changed]


def test_defaults_given_or_left_out_are_one_instance():
    short = '{"masksynth": 1, "name": "x", "tasks": [{"name": "t", "nodes": [{"name": "a", "input": ["u"], "position": 3}], "attends": {"a": ["a"]}, "predict": [{"node": "a", "label": 1}]}]}'  # noqa: E501
    value = json.loads(short) | {"source": "", "layers": None, "sparse": False, "expect": {}}
    task = value["tasks"][0]
    task["closure"] = False
    task["attends"] = [task["attends"]]
    task["nodes"][0] |= {"kind": "token", "carries": [["u"]]}
    task["predict"][0] |= {"weight": 1, "hides": []}
    assert loads(json.dumps(value)) == loads(short)
    assert loads(short).family.tasks[0].nodes[0].carries == (("u",),)


def test_load_takes_paths_and_streams(tmp_path):
    path = tmp_path / "instance.json"
    text = dumps(ms.catalog.butterfly(n=4))
    path.write_text(text)
    with path.open("rb") as binary, path.open() as plain:
        found = [load(path), load(str(path)), load(binary), load(plain), loads(text), loads(text.encode())]
    assert all(instance == found[0] for instance in found)


def test_weights_are_floats_and_keep_their_sign():
    text = '{"masksynth": 1, "name": "x", "tasks": [{"name": "t", "nodes": [{"name": "a", "input": 1, "position": 0}], "attends": {"a": ["a"]}, "predict": [{"node": "a", "label": 1, "weight": -0.0}, {"node": "a", "label": 1, "weight": -2}, {"node": "a", "label": 1, "weight": 0}]}]}'  # noqa: E501
    weights = [p.weight for p in loads(dumps(loads(text))).family.tasks[0].predict]
    assert [repr(weight) for weight in weights] == ["-0.0", "-2.0", "0.0"]
