"""Nodes, predictions, tasks, families and instances made in Python."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from masksynth.errors import InvalidInstance
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily

A, B = Node("a", "x", 0), Node("b", "y", 1)
P = Prediction("b", "z")
BIG = 10**100_000
NOT_JSON = "is not a JSON value; use strings, numbers, booleans, null, lists or objects"
NO_TABLE = "a row table does not map node names to rows; write {name: [keys], ...}"
EMPTY_ROW = (
    "of task 't' has an empty row (softmax over nothing); let it attend at least to itself, or set closure to true"
)


def task(nodes=(A, B), attends=None, predict=(P,), closure=False, name="t"):
    return Task(name, nodes, {"a": ["a"], "b": ["a", "b"]} if attends is None else attends, predict, closure)


def family():
    return TaskFamily((task(),))


FAULTS = [
    (lambda: Node("", "x", 0), "$.name: a node name is empty; give it a name"),
    (lambda: Node(1, "x", 0), "$.name: a node name: expected a string, got int; put it in quotes"),
    (
        lambda: Node("a", "x", -1),
        "$.position: expected an integer from 0 to 2147483647, got -1; give the position id",
    ),
    (
        lambda: Node("a", "x", True),
        "$.position: expected an integer from 0 to 2147483647, got True; give the position id",
    ),
    (
        lambda: Node("a", "x", 1.0),
        "$.position: expected an integer from 0 to 2147483647, got 1.0; give the position id",
    ),
    (
        lambda: Node("a", "x", 2**31),
        "$.position: expected an integer from 0 to 2147483647, got 2147483648; give the position id",
    ),
    (
        lambda: Node("a", "x", BIG),
        "$.position: expected an integer from 0 to 2147483647, got an integer of more than 4300 digits; give the position id",  # noqa: E501
    ),
    (lambda: Node("a", "x", 0, None), "$.kind: expected a string, got NoneType; put it in quotes"),
    (
        lambda: Node("a", "x", 0, carries="w1"),
        "$.carries: expected a list of elements, got str; put it in a list",
    ),
    (lambda: Node("a", "x", 0, carries=[{1}]), f"$.carries[0]: set {NOT_JSON}"),
    (lambda: Prediction("", "z"), "$.node: the name of a predicting node is empty; give it a name"),
    (lambda: Prediction("a", "z", float("nan")), "$.weight: weight nan is not a finite number; use a finite number"),
    (lambda: Prediction("a", "z", float("-inf")), "$.weight: weight -inf is not a finite number; use a finite number"),
    (lambda: Prediction("a", "z", True), "$.weight: weight True is not a finite number; use a finite number"),
    (lambda: Prediction("a", "z", "1"), "$.weight: weight '1' is not a finite number; use a finite number"),
    (
        lambda: Prediction("a", "z", BIG),
        "$.weight: weight an integer of more than 4300 digits is not a finite number; use a finite number",
    ),
    (lambda: Prediction("a", "z", hides="w"), "$.hides: expected a list of elements, got str; put it in a list"),
    (lambda: task(name=""), "$.name: a task name is empty; give it a name"),
    (lambda: task(closure=1), "$.closure: expected true or false, got 1; use a boolean"),
    (lambda: task(nodes=[A, "b"]), "$.nodes: not a sequence of Node; give Node objects"),
    (lambda: task(predict=["b"]), "$.predict: not a sequence of Prediction; give Prediction objects"),
    (lambda: task(nodes=(A, A)), "$.nodes[1].name: node name 'a' is used twice; rename one of them"),
    (lambda: task(predict=[P, Prediction("c", 1)]), "$.predict[1].node: unknown node 'c'; name a node of this task"),
    (lambda: task(attends=[]), "$.attends: attends is an empty list of row tables; give at least one table"),
    (lambda: task(attends=3), f"$.attends: {NO_TABLE}"),
    (lambda: task(attends=[{"a": ["a"], "b": ["b"]}, 3]), f"$.attends[1]: {NO_TABLE}"),
    (lambda: task(attends={1: ["a"]}), f"$.attends: {NO_TABLE}"),
    (
        lambda: task(attends={"a": "ab"}),
        '$.attends["a"]: a row is not a list of node names; list the names of its keys',
    ),
    (lambda: task(attends={"a": [0]}), '$.attends["a"]: a row is not a list of node names; list the names of its keys'),
    (
        lambda: task(attends={"a": [["a"]]}),
        '$.attends["a"]: a row is not a list of node names; list the names of its keys',
    ),
    (lambda: task(attends={"c": ["a"]}), "$.attends[\"c\"]: unknown node 'c'; name a node of this task"),
    (lambda: task(attends={"a": ["a", "c"]}), "$.attends[\"a\"]: unknown node 'c'; name a node of this task"),
    (
        lambda: task(attends={"b": ["a", "b", "a"]}),
        "$.attends[\"b\"]: key 'a' is listed twice in a row; list each key once",
    ),
    (
        lambda: task(attends=[{}, {}], closure=True),
        "$.closure: closure is not defined for 2 row tables; write the rows out and set closure to false",
    ),
    (
        lambda: task(attends={"b": ["a"]}),
        f"$.attends[\"a\"]: live node 'a' {EMPTY_ROW}",
    ),
    (
        lambda: task(attends=[{"b": ["b"]}, {"b": []}]),
        f"$.attends[1][\"b\"]: live node 'b' {EMPTY_ROW}",
    ),
    (
        lambda: task(attends=[{}] * 10_000_001),
        "$.attends: 2 nodes with 10000001 row tables make 20000002 rows, more than 20000000; shorten the layer pattern or split the family",  # noqa: E501
    ),
    (lambda: TaskFamily((task(), task())), "$.tasks[1].name: task name 't' is used twice; rename one of them"),
    (lambda: TaskFamily([task(), 3]), "$.tasks: not a sequence of Task; give Task objects"),
    (
        lambda: TaskFamily((task(), task(attends=[{"a": ["a"], "b": ["b"]}] * 2, name="u"))),
        "$.tasks[1].attends: expected 1 row tables as in the first task, got 2; give every task a layer pattern of the same length",  # noqa: E501
    ),
    (lambda: Instance(task(), "x"), "$.tasks: family: expected a TaskFamily, got Task; give TaskFamily(tasks)"),
    (lambda: Instance(family(), ""), "$.name: an instance name is empty; give it a name"),
    (lambda: Instance(family(), "x", None), "$.source: expected a string, got NoneType; put it in quotes"),
    (lambda: Instance(family(), "x", sparse=1), "$.sparse: expected true or false, got 1; use a boolean"),
    (
        lambda: Instance(family(), "x", sparse=True),
        "$.tasks[0].closure: sparse needs closure, and task 't' has literal rows; set closure to true",
    ),
    (lambda: Instance(family(), "x", expect=[]), "$.expect: expected an object, got list; use {}"),
    (
        lambda: Instance(family(), "x", expect={"a": float("inf")}),
        "$.expect.a: inf is not a JSON number; use a finite number or a string",
    ),
    *(
        (
            lambda layers=layers: Instance(family(), "x", layers=layers),
            f"$.layers: expected null or an integer from 1 to 2147483647, got {text}; give the number of layers, or null for any depth",  # noqa: E501
        )
        for layers, text in [(0, "0"), (True, "True"), (1.5, "1.5"), ("3", "'3'"), (2**31, "2147483648")]
    ),
]


@pytest.mark.parametrize(("make", "message"), FAULTS, ids=[message[:60] for _, message in FAULTS])
def test_refused_with_path_and_remedy(make, message):
    with pytest.raises(InvalidInstance) as caught:
        make()
    assert str(caught.value) == message
    assert caught.value.remedy
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_well_formed_values_are_kept():
    made = Task("t", [A, B], {"b": ["a"]}, [P], True)
    assert (made.nodes, made.attends, made.predict) == ((A, B), ({"b": ("a",)},), (P,))
    assert made.index == {"a": 0, "b": 1}
    assert made.live() == {"a", "b"}
    assert Prediction("a", "z", 3).weight == 3.0
    assert type(Prediction("a", "z", 3).weight) is float
    assert Node("a", ["mean", "w"], 0).elements == ('["mean","w"]',)
    assert Instance(TaskFamily((made,)), "x", layers=2**31 - 1, sparse=True).layers == 2**31 - 1


def test_frozen():
    made = task()
    for value, field in [
        (A, "name"),
        (P, "weight"),
        (made, "nodes"),
        (TaskFamily((made,)), "tasks"),
        (Instance(family(), "x"), "layers"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)


def test_a_caller_cannot_change_a_task_afterwards():
    row, nodes, rows = ["a", "b"], [A, B], {"a": ["a"]}
    rows["b"] = row
    made = Task("t", nodes, rows, [P])
    row.append("c")
    nodes.clear()
    rows.clear()
    assert made.attends == ({"a": ("a",), "b": ("a", "b")},)
    assert made.nodes == (A, B)


def test_dead_nodes_may_have_no_row_and_live_is_judged_over_all_tables():
    c = Node("c", "w", 2)
    assert task(nodes=(A, B, c), attends={"b": ["b"], "a": []}).live() == {"b"}
    assert task(nodes=(A, B, c), attends=[{"b": ["b"], "a": ["a"]}, {"b": ["a"], "a": ["a"]}]).live() == {"a", "b"}
    with pytest.raises(InvalidInstance, match="live node 'a'"):
        task(attends=[{"b": ["b"], "a": ["a"]}, {"b": ["a"]}])


def test_empty_things():
    assert TaskFamily(()).tables == 1
    assert Task("t", (), {}, ()).live() == set()
    assert Task("t", (), [{}, {}], ()).attends == ({}, {})
