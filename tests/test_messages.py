"""Texts of errors: an inner fact, an outer context, a remedy. A change here is a change that users see."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import masksynth as ms
from masksynth.backends import backend
from masksynth.merge.explain import explain
from masksynth.tasks.instance_files import dumps, loads

A, B = ms.Node("a", "x", 0), ms.Node("b", "y", 1)
BUTTERFLY = ms.catalog.butterfly(n=3)
CHAIN = ms.Task("t", [A, B], {"a": ["a"], "b": ["a", "b"]}, [ms.Prediction("b", "z", 1.0, ["x"])])
LEAKY = ms.Instance(ms.TaskFamily((CHAIN,)), "leaky")


def file(**changes):
    """An instance file with some top-level fields replaced, read as f.json."""
    return loads(json.dumps(json.loads(dumps(BUTTERFLY)) | changes), "f.json")


def task(**changes):
    """The first task of the file with some fields replaced."""
    document = json.loads(dumps(BUTTERFLY))
    document["tasks"][0] |= changes
    return loads(json.dumps(document), "f.json")


def written(folder, answer=None):
    """Write an answer into a folder that holds something."""
    (folder / "kept").write_text("")
    return ms.write(answer or ms.solve(BUTTERFLY, backend="criterion"), folder)


MESSAGES = [
    (lambda _: file(masksynth=7), "f.json: $.masksynth: unsupported schema 7; this version of masksynth reads schema 1"),  # noqa: E501
    (lambda _: file(tasks=3), "f.json: $.tasks: expected `array`, got `int`; correct the value"),
    (lambda _: file(layer=3), "f.json: $: object contains unknown field `layer`; remove it or correct its spelling"),
    (lambda _: file(layers=0), "f.json: $.layers: expected `int` >= 1; correct the value"),
    (lambda _: task(name="predict w1"), "f.json: $.tasks[1].name: task name 'predict w1' is used twice; rename one of them"),  # noqa: E501
    (lambda _: task(attends={"p": ["q"]}), "f.json: $.tasks[0].attends[\"p\"]: unknown node 'q'; name a node of this task"),  # noqa: E501
    (
        lambda _: task(attends={}, closure=False),
        "f.json: $.tasks[0].attends[\"p\"]: live node 'p' of task 'predict w0' has an empty row (softmax over nothing); "  # noqa: E501
        "let it attend at least to itself, or set closure to true",
    ),
    (
        lambda _: task(attends=[{}, {}]),
        "f.json: $.tasks[0].closure: closure is not defined for 2 row tables; write the rows out and set closure to false",  # noqa: E501
    ),
    (lambda _: loads("", "f.json"), 'f.json: $: the file is empty; an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}'),  # noqa: E501
    (lambda _: loads("[" * 49, "f.json"), "f.json: $: nested deeper than 48 levels; flatten the document"),
    (lambda _: loads('{"a": NaN}', "f.json"), "f.json: $.a: NaN is not a JSON number; use a finite number"),
    (lambda _: loads("{"), "$: not JSON: line 1, column 2: Expecting property name enclosed in double quotes; check the text there"),  # noqa: E501
    (lambda _: ms.Node("a", {1}, 0), "$.input: set is not a JSON value; use strings, numbers, booleans, null, lists or objects"),  # noqa: E501
    (lambda _: ms.Limits(seconds=-1), "limits: seconds: expected a number from 0 to 1e9, got -1"),
    (lambda _: ms.Limits(workers=0), "limits: workers: expected an integer from 1 to 4096, got 0"),
    (lambda _: ms.Limits(seed=True), "limits: seed: expected an integer from 0 to 2147483647, got True"),
    (lambda _: ms.Mask.from_dense(np.eye(2)), "$: expected a bool array of shape (n, n) or (P, n, n), got float64 (2, 2)"),  # noqa: E501
    (lambda _: ms.Mask.from_intervals([[[(0, 1), (1, 2)], []]]), "$: the intervals of a row are not sorted and disjoint with a gap between them"),  # noqa: E501
    (lambda _: backend("glpk"), "unknown backend 'glpk'; choose from auto, criterion, brute, cpsat, maxsat, ilp"),
    (
        lambda _: ms.solve(BUTTERFLY, backend="maxsat", layers=2),
        "search backends do not support --layers; use --backend criterion or auto",
    ),
    (lambda _: ms.catalog.butterfly(n=1), "$.n: n=1 is less than 2; give n >= 2"),
    (
        lambda _: ms.catalog.butterfly(n=10**9),
        "$.n: n=1000000000 makes 1000000000000000000 task nodes, more than 4000000; give a smaller n",
    ),
    (
        lambda _: explain(BUTTERFLY.family, ("t", "p"), ("t", "p")),
        "$.tasks: no task 't'; similar names: 'predict w2', 'predict w1', 'predict w0'",
    ),
    (lambda folder: written(folder), "{folder}: the folder is not empty; choose another folder or give --force (in Python force=True)"),  # noqa: E501
    (
        lambda folder: written(folder, ms.solve(LEAKY)),
        "INFEASIBLE: No answer exists, because a task shows a prediction what it hides, or forbidden edges cut the flow. "  # noqa: E501
        "Nothing is written.",
    ),
    (lambda folder: ms.load(folder / "missing.json"), "[Errno 2] No such file or directory: '{folder}/missing.json'"),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "text"), MESSAGES, ids=[str(text)[:50] for _, text in MESSAGES])
def test_text(cause, text, tmp_path):
    with pytest.raises((ms.MasksynthError, OSError)) as caught:
        cause(tmp_path)
    assert str(caught.value) == text.replace("{folder}", str(tmp_path))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_errors_have_one_base():
    assert all(issubclass(kind, ms.MasksynthError) for kind in (ms.InvalidInstance, ms.Unsupported, ms.WrongAnswer))


def test_a_wrong_answer_names_requirement_task_node_and_path():
    error = ms.WrongAnswer("leak", "'b' sees 'x'", "t", "b", ("a", "b"))
    assert str(error) == "leak: task 't' node 'b': 'b' sees 'x'; path a -> b"
    assert str(ms.WrongAnswer("shape", "2 positions where 3 are due")) == "shape: 2 positions where 3 are due"


def test_a_place_within_a_document():
    inner = ms.InvalidInstance("is wrong", "$.name", "correct it")
    assert str(inner.within("$.tasks[3]", "f.json")) == "f.json: $.tasks[3].name: is wrong; correct it"


def test_the_witness_of_a_leak():
    assert ms.solve(LEAKY).leak == ("t", "b", "x", ("a", "b"))


PUBLIC = {
    "discover": ms.discover,
    "dumps": ms.dumps,
    "load": ms.load,
    "loads": ms.loads,
    "pack_batches": lambda value: list(ms.pack_batches(value)),
    "pack_samples": lambda value: ms.pack_samples(value, "packed"),
    "search": lambda value: list(ms.search(value)),
    "solve": ms.solve,
    "sparsify": ms.sparsify,
    "sweep": lambda value: list(ms.sweep(value)),
    "tokenize_chats": lambda value: list(ms.tokenize_chats(value, value)),
    "unpack_samples": lambda value: list(ms.unpack_samples(value)),
    "verify": lambda value: ms.verify(value, value),
    "write": lambda value: ms.write(value, "answer"),
}


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("value", ["x", 3, None], ids=repr)
def test_no_public_function_fails_with_an_attribute_error(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ms.MasksynthError, OSError, TypeError)):
        PUBLIC[name](value)


def test_every_public_function_is_tried():
    functions = {name for name in ms.__all__ if not isinstance(getattr(ms, name), type)} - {"catalog"}
    assert functions == set(PUBLIC)
