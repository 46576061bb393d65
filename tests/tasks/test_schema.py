"""The published JSON Schema: up to date, a schema, and in agreement with what is read."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

import masksynth as ms
from masksynth.errors import InvalidInstance
from masksynth.tasks.instance_files import dumps, loads, schema
from masksynth.tasks.schema import FILE, text
from tests.strategies import instances

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = resources.files("masksynth.tasks.schema").joinpath(FILE).read_text()
VALIDATOR = Draft202012Validator(json.loads(PUBLISHED))
FILES = [path for path in sorted((ROOT / "instances").glob("*.json")) if path.name != "manifest.json"]
DOCUMENT = json.loads(dumps(ms.catalog.butterfly(n=3)))


def test_published_is_generated():
    assert text() == PUBLISHED
    assert json.loads(PUBLISHED) == schema()
    done = subprocess.run([sys.executable, "-m", "masksynth.tasks.schema"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (PUBLISHED, "")


def test_is_a_schema():
    Draft202012Validator.check_schema(json.loads(PUBLISHED))
    assert json.loads(PUBLISHED)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    with pytest.raises(SchemaError):
        Draft202012Validator.check_schema(json.loads(PUBLISHED.replace('"type": "integer"', '"type": "whole"')))


def test_accepts_every_good_instance():
    assert len(FILES) >= 60
    for path in FILES:
        VALIDATOR.validate(json.loads(path.read_text(encoding="utf-8")))


@settings(deadline=None, max_examples=40)
@given(instances())
def test_accepts_whatever_is_written(instance):
    VALIDATOR.validate(json.loads(dumps(instance)))


def changed(path, value):
    """The document with one value replaced, or removed (``...``)."""
    document = copy.deepcopy(DOCUMENT)
    *steps, last = path
    inner = document
    for step in steps:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return document


NODE, PREDICT = ("tasks", 0, "nodes", 0), ("tasks", 0, "predict", 0)
BAD = [
    (("masksynth",), 2), (("masksynth",), True), (("masksynth",), "1"), (("masksynth",), ...), (("name",), ""), (("name",), 3),  # noqa: E501
    (("name",), ...), (("tasks",), {}), (("tasks",), ...), (("layers",), 0), (("layers",), 2**31), (("layers",), "1"), (("sparse",), 1),  # noqa: E501
    (("extra",), 1),
    (("expect",), []), (("source",), None), (("tasks", 0), []), (("tasks", 0, "name"), ""), (("tasks", 0, "nodes"), 10**9),  # noqa: E501
    (("tasks", 0, "closure"), "yes"), (("tasks", 0, "attends"), []), (("tasks", 0, "attends"), [[]]), (("tasks", 0, "attends"), {"a": "b"}),  # noqa: E501
    (("tasks", 0, "attends"), {"a": [1]}), (("tasks", 0, "extra"), 1), (("tasks", 0, "predict"), ...), ((*NODE, "position"), -1),  # noqa: E501
    ((*NODE, "position"), 2**31), ((*NODE, "position"), True), ((*NODE, "position"), "0"), ((*NODE, "position"), 0.5),
    ((*NODE, "input"), ...),
    ((*NODE, "kind"), None), ((*NODE, "carries"), "w"), ((*NODE, "name"), ""), ((*NODE, "pos"), 0), ((*PREDICT, "label"), ...),  # noqa: E501
    ((*PREDICT, "weight"), "1"), ((*PREDICT, "weight"), None), ((*PREDICT, "hides"), "w"), ((*PREDICT, "node"), 3), ((*PREDICT, "x"), 1),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"), BAD, ids=[f"{'.'.join(map(str, path))}={value!r:.12}" for path, value in BAD]
)
def test_rejects_what_is_not_read(path, value):
    document = changed(path, value)
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InvalidInstance):
        loads(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("layers",), None), (("layers",), 3), (("sparse",), True), (("source",), ...), ((*NODE, "kind"), "query"),
        ((*NODE, "carries"), None),
        ((*NODE, "input"), None), ((*NODE, "input"), {"a": [1, 2.5, True]}), ((*PREDICT, "weight"), -2), ((*PREDICT, "weight"), 0.5),  # noqa: E501
        ((*PREDICT, "label"), None), ((*PREDICT, "hides"), [["a"], 1]), (("tasks", 0, "predict"), []), (("tasks",), []),
        (("expect",), {"a": 1}),
    ],
)  # fmt: skip
def test_accepts_what_is_read(path, value):
    document = changed(path, value)
    assert VALIDATOR.is_valid(document)
    loads(json.dumps(document))
