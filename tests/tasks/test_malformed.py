# ruff: noqa: E501  (messages are on one line)
"""What cannot be read as an instance: one line that names the file, the JSON path and the remedy."""

from __future__ import annotations

import json
import time

import pytest

from masksynth.errors import InvalidInstance
from masksynth.tasks.instance_files import MAX_BYTES, MAX_NESTING, MAX_NODES, instance_of, load, loads

GIVEN = {
    "input": '"x"',
    "position": "0",
    "label": '"y"',
    "weight": "1",
    "hides": "[]",
    "attends": '{"a": ["a"]}',
    "name": '"x"',
    "expect": "{}",
}
JSON_NUMBER, FINITE = (
    "is not a JSON number; use a finite number",
    "is not a JSON number; use a finite number or a string",
)
PLACES = {
    "input": "$.tasks[0].nodes[0].input",
    "label": "$.tasks[0].predict[0].label",
    "weight": "$.tasks[0].predict[0].weight",
    "hides": "$.tasks[0].predict[0].hides",
    "expect": "$.expect",
    "position": "$.tasks[0].nodes[0].position",
}


def text(node=None, predict=None, task=None, **changes):
    """An instance of one node with some JSON texts replaced."""
    given = GIVEN | changes
    node = node or f'{{"name": "a", "input": {given["input"]}, "position": {given["position"]}}}'
    predict = (
        predict or f'{{"node": "a", "label": {given["label"]}, "weight": {given["weight"]}, "hides": {given["hides"]}}}'
    )
    task = task or f'{{"name": "t", "nodes": [{node}], "attends": {given["attends"]}, "predict": [{predict}]}}'
    return f'{{"masksynth": 1, "name": {given["name"]}, "tasks": [{task}], "expect": {given["expect"]}}}'


def refusal(data):
    """The message about a text read from file.json, which must be one printable line."""
    with pytest.raises(InvalidInstance) as caught:
        loads(data, "file.json")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert message.startswith("file.json: $")
    assert caught.value.remedy
    return message.removeprefix("file.json: ")


def test_the_template_itself_is_well_formed():
    assert loads(text()).family.tasks[0].nodes[0].input == "x"


@pytest.mark.parametrize("place", ["input", "label", "weight", "hides", "expect"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400"])
@pytest.mark.parametrize("wrap", ["%s", "[%s]", '[0, {"a b": [%s]}]'])
def test_numbers_that_are_none(place, number, wrap):
    if place == "weight" and wrap != "%s":
        return
    wrapped = wrap % number
    steps = wrap.replace("%s", "").replace('[0, {"a b": []}]', '[1]["a b"][0]').replace("[]", "[0]")
    if place in ("hides", "expect"):
        wrapped, steps = (f"[{wrapped}]", f"[0]{steps}") if place == "hides" else (f'{{"k": {wrapped}}}', f".k{steps}")
    literal = number[-1].isalpha()
    shown = number if literal else str(float(number))
    fact = f"{shown} {JSON_NUMBER if literal else FINITE}"
    if place == "weight" and not literal:
        fact = f"weight {shown} is not a finite number; use a finite number"
    assert refusal(text(**{place: wrapped})) == f"{PLACES[place]}{steps}: {fact}"


@pytest.mark.parametrize("place", PLACES)
def test_overlong_integers(place):
    digits = "-" + "7" * 100_000
    value, steps = {"hides": (f"[{digits}]", "[0]"), "expect": (f'{{"k": {digits}}}', ".k")}.get(place, (digits, ""))
    assert (
        refusal(text(**{place: value}))
        == f"{PLACES[place]}{steps}: an integer of 100001 digits, more than 4300; use a smaller number or a string"
    )


def test_integers_beyond_floats():
    huge = "9" * 400
    assert loads(text(input=huge)).family.tasks[0].nodes[0].input == int(huge)
    assert refusal(text(weight=huge)) == "$.tasks[0].predict[0].weight: number out of range; correct the value"


def test_an_overlong_integer_before_another_fault():
    assert refusal('{"a": ' + "7" * 5000 + ", oops}").startswith("$: not JSON: line 1, column 5009")
    assert refusal('{"a": NaN, "b": ' + "7" * 5000 + "}") == f"$.a: NaN {JSON_NUMBER}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (text().replace('"masksynth": 1,', '"masksynth": 1, "masksynth": 1,'), "$: key 'masksynth' is repeated"),
        (text(node='{"name": "a", "name": "b", "input": 1, "position": 0}'), "$.tasks[0].nodes[0]: key 'name' is repeated"),
        (text(attends='{"a": ["a"], "b": ["a"], "a": []}'), "$.tasks[0].attends: key 'a' is repeated"),
        (text(attends='[{"a": ["a"]}, {"a": ["a"], "a": ["a"]}]'), "$.tasks[0].attends[1]: key 'a' is repeated"),
        (text(input='[0, {"k": {"a": 1, "a": 1}}]'), "$.tasks[0].nodes[0].input[1].k: key 'a' is repeated"),
        (text(label='{"": 1, "": 2}'), "$.tasks[0].predict[0].label: key '' is repeated"),
        (text(hides='[{"\\u0061": 1, "a": 2}]'), "$.tasks[0].predict[0].hides[0]: key 'a' is repeated"),
        (text(expect='{"x y": {"a": NaN, "a": 1}}'), "$.expect[\"x y\"]: key 'a' is repeated"),
        (text(input='{"a": {"b": 1, "b": 2}, "a": 3}'), "$.tasks[0].nodes[0].input: key 'a' is repeated"),
        ('{"a": 1, "b": 2, "b": 3, "a": 4}', "$: key 'a' is repeated"),
        ('{"\\ud800": 1, "\\ud800": 1}', "$: key '\\ud800' is repeated"),
    ],
)  # fmt: skip
def test_repeated_keys(data, message):
    assert refusal(data) == f"{message} in one object; keep one of them"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", '$: the file is empty; an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}'),
        (b" \n\t ", '$: the file is empty; an instance begins {"masksynth": 1, "name": ..., "tasks": [...]}'),
        (b"\xef\xbb\xbf", "$: not JSON: line 1, column 1: Expecting value; check the text there"),
        (b"\x00\x01\x02", "$: not JSON: line 1, column 1: Expecting value; check the text there"),
        (b"\xff\xfe{\x00", "$: not UTF-8: byte 0; save the file as UTF-8"),
        (text().encode("utf-16"), "$: not UTF-8: byte 0; save the file as UTF-8"),
        (text(name='"é"').encode("latin-1"), "$: not UTF-8: byte 26; save the file as UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "$: not UTF-8: byte 7; save the file as UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "$: not UTF-8: byte 0; save the file as UTF-8"),
        (text().encode()[:-20], "$: not JSON: line 1, column 198: Expecting value; check the text there"),
        (b"null", "$: expected `object`, got `null`; correct the value"),
        (b"3", "$: expected `object`, got `int`; correct the value"),
        (b"[]", "$: expected `object`, got `array`; correct the value"),
        (b'"text"', "$: expected `object`, got `str`; correct the value"),
        (b"{} {}", "$: not JSON: line 1, column 4: Extra data; check the text there"),
        (
            b"{'a': 1}",
            "$: not JSON: line 1, column 2: Expecting property name enclosed in double quotes; check the text there",
        ),
        (b'{"a": 01}', "$: not JSON: line 1, column 8: Expecting ',' delimiter; check the text there"),
        (b'{"a": "\n"}', "$: not JSON: line 1, column 8: Invalid control character at; check the text there"),
        (b'{"a": "\\x"}', "$: not JSON: line 1, column 8: Invalid \\escape; check the text there"),
        (b"NaN", f"$: NaN {JSON_NUMBER}"),
    ],
)
def test_not_an_instance_at_all(data, message):
    assert refusal(data) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (text(task='{"name": "t", "nodes": 1000000000, "attends": {}, "predict": []}'), "$.tasks[0].nodes: expected `array`, got `int`; correct the value"),
        (text(attends='{"a": {"a": 1}}'), '$.tasks[0].attends["a"]: expected `array`, got `object`; correct the value'),
        (text(attends='{"a": ["a"], "b c": ["a", 3]}'), '$.tasks[0].attends["b c"][1]: expected `str`, got `int`; correct the value'),
        (text(attends='[{"a": ["a"]}, {"a": ["a"], "\\ud800": [null]}]'), '$.tasks[0].attends[1]["\\ud800"][0]: expected `str`, got `null`; correct the value'),
        (text(attends="[]"), "$.tasks[0].attends: expected `array` of length >= 1; correct the value"),
        (text(attends="null"), "$.tasks[0].attends: expected `object | array`, got `null`; correct the value"),
        (text(expect="[]"), "$.expect: expected `object`, got `array`; correct the value"),
        (text(name="1"), "$.name: expected `str`, got `int`; correct the value"),
        (text(position="true"), "$.tasks[0].nodes[0].position: expected `int`, got `bool`; correct the value"),
        (text(position="1e400"), "$.tasks[0].nodes[0].position: expected `int`, got `float`; correct the value"),
        (text(position="-0"), None),
        (text(position="2147483647"), None),
        (text(position="2147483648"), "$.tasks[0].nodes[0].position: expected `int` <= 2147483647; correct the value"),
        (text(weight="null"), "$.tasks[0].predict[0].weight: expected `float`, got `null`; correct the value"),
        (text().replace('"masksynth": 1', '"masksynth": 1.0'), "$.masksynth: expected `int`, got `float`; correct the value"),
        (text().replace('"masksynth": 1', '"masksynth": 2'), "$.masksynth: unsupported schema 2; this version of masksynth reads schema 1"),
        (text().replace('"masksynth": 1', '"masksynth": ' + "9" * 4000), f"$.masksynth: unsupported schema {'9' * 57}...; this version of masksynth reads schema 1"),
        (text().replace('"masksynth": 1, ', ""), "$: object missing required field `masksynth`; add it"),
        (text().replace('"expect"', '"\\ud800"'), "$: object contains unknown field `\\ud800`; remove it or correct its spelling"),
        (text().replace('"expect"', '"\\u001b[31m` - at `$.name"'), "$: object contains unknown field `\\u001b[31m` - at `$.name`; remove it or correct its spelling"),
        (text(node='{"name": "a", "input": 1, "position": 0, "\\udfff": 1}'), "$.tasks[0].nodes[0]: object contains unknown field `\\udfff`; remove it or correct its spelling"),
        (text(predict='{"node": "a", "label": 1, "wieght": 2}'), "$.tasks[0].predict[0]: object contains unknown field `wieght`; remove it or correct its spelling"),
        (text().replace('"expect"', f'"{"k" * 10**6}"'), f"$: object contains unknown field `{'k' * 57}...`; remove it or correct its spelling"),
        (text(predict='{"node": "\\ud800", "label": 1}'), "$.tasks[0].predict[0].node: unknown node '\\ud800'; name a node of this task"),
        (text(predict='{"node": "' + "k" * 10**6 + '", "label": 1}'), f"$.tasks[0].predict[0].node: unknown node '{'k' * 56}...; name a node of this task"),
        (text(attends='{"a": ["a"], "' + "k" * 10**6 + '": []}'), f"$.tasks[0].attends[\"{'k' * 57}...\"]: unknown node '{'k' * 56}...; name a node of this task"),
    ],
)  # fmt: skip
def test_wrong_shapes_and_names(data, message):
    if message is None:
        loads(data)
    else:
        assert refusal(data) == message


def test_lone_surrogates_are_text_like_any_other():
    odd = loads(text(name='"\\ud800"', input='["\\udc00", {"\\ud800": 1}]').replace('"t"', '"\\udfff"'))
    assert (odd.name, odd.family.tasks[0].name, odd.family.tasks[0].nodes[0].input) == (
        "\ud800",
        "\udfff",
        ("\udc00", {"\ud800": 1}),
    )
    assert refusal(text(name='"\ud800"')) == "$: not UTF-8: byte 26; save the file as UTF-8"


@pytest.mark.parametrize("unit", ["[", '{"a":', '[{"a":[', '{"\\"[":'])
def test_deep_nesting(unit):
    for data in (
        unit * 100_000,
        unit * 100_000 + "1" + "".join({"[": "]", "{": "}"}.get(c, "") for c in reversed(unit)) * 100_000,
    ):
        assert refusal(data) == f"$: nested deeper than {MAX_NESTING} levels; flatten the document"


def test_brackets_in_strings_do_not_nest():
    assert loads(text(name=json.dumps('[{"\\' * 1000))).name == '[{"\\' * 1000
    deep = "[" * 31 + '"[[["' + "]" * 31
    assert loads(text(input=deep)).family.tasks[0].nodes[0].name == "a"


def test_nesting_at_the_limits():
    assert loads(text(input="[" * 32 + "]" * 32)).name == "x"
    assert refusal(text(input="[" * 33 + "]" * 33)).endswith(": nested deeper than 32 levels; flatten the value")
    assert refusal(text(expect='{"k": ' + "[" * 32 + "]" * 32 + "}")).endswith(
        ": nested deeper than 32 levels; flatten the value"
    )
    assert refusal(text(input="[" * 43 + "]" * 43)).endswith(": nested deeper than 32 levels; flatten the value")
    assert refusal(text(input="[" * 44 + "]" * 44)) == "$: nested deeper than 48 levels; flatten the document"


def test_more_nodes_than_the_limit():
    task = {"name": "t", "nodes": [{"name": "a", "input": 1, "position": 0}] * 100_000, "attends": {}, "predict": []}
    with pytest.raises(InvalidInstance) as caught:
        instance_of({"masksynth": 1, "name": "x", "tasks": [task] * (MAX_NODES // 100_000 + 1)})
    assert str(caught.value) == "$.tasks: 4100000 nodes, more than 4000000; split the family"


def test_larger_than_the_limit(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidInstance) as caught:
        load(path)
    assert str(caught.value) == f"{path}: $: larger than 1073741824 bytes; split the family"


def many(form, count):
    """``count`` texts joined by commas, ``#`` standing for the number."""
    return ",".join(form.replace("#", str(number)) for number in range(count))


def family(nodes, attends, predict=""):
    """An instance of one task with the given JSON texts."""
    task = f'{{"name":"t","nodes":[{nodes}],"attends":{attends},"predict":[{predict}]}}'
    return f'{{"masksynth":1,"name":"x","tasks":[{task}]}}'


N = 100_000
NODES, ROW, KEYS = many('{"name":"n#","input":0,"position":0}', N), many('"n#"', N), many('"k#":1', N)
LONG = '{"' + "k" * 10**6 + '":[' + many("0", N)
HOSTILE = {
    "a key repeated after 100,000 others": ("{" + KEYS + ',"k99999":2}', "key 'k99999' is repeated"),
    "100,000 keys repeated": ("{" + KEYS + "," + KEYS + "}", "key 'k0' is repeated"),
    "100,000 objects with repeated keys": ('{"a":[' + many('{"a":1,"a":2}', N) + "]}", "$.a[0]: key 'a' is repeated"),
    "a row key repeated after 100,000 others": (
        family(NODES, '{"n0":[' + ROW + ',"n99999"]}'),
        "key 'n99999' is listed twice",
    ),
    "a node name repeated after 100,000 others": (
        family(NODES + ',{"name":"n99999","input":0,"position":0}', "{}"),
        "used twice",
    ),
    "quotes that never close": ('"' + '\\"' * 2_000_000, "Unterminated string"),
    "a backslash at the end": ('"' + "\\" * 1_000_001, "Unterminated string"),
    "100,000 values below a key of a million letters": (LONG + '],"z":NaN}', "NaN is not"),
    "100,000 elements below a key of a million letters": (text(input=LONG + ",1e999]}"), "inf is not"),
    "100,000 tables of 100,000 nodes": (family(NODES, "[" + many("{}", N) + "]"), "rows, more than 20000000"),
    "100,000 tables and one live node": (
        family(NODES, "[" + many('{"n0":["n0"]}', N) + "]", '{"node":"n0","label":1}'),
        "more than 20000000",
    ),
    "100,000 unknown fields": (text().replace('"expect"', many('"f#":1', N) + ',"expect"'), "unknown field `f0`"),
    "300 overlong integers": ("[" + many("1" * 4301, 300) + "]", "an integer of 4301 digits"),
    "100,000 brackets that close first": ("]" * N + "[" * N, "Expecting value"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_structure_is_refused_in_seconds(case):
    data, fact = HOSTILE[case]
    begun = time.process_time()
    assert fact in refusal(data)
    assert time.process_time() - begun < 10


def test_large_honest_files_are_read_in_seconds():
    begun = time.process_time()
    chain = many('"n#":["n#"]', 1) + "," + ",".join(f'"n{i}":["n{i}","n{i - 1}"]' for i in range(1, N))
    task = loads(family(NODES, "{" + chain + "}", '{"node":"n99999","label":1}')).family.tasks[0]
    assert len(task.live()) == N
    assert loads(text(attends=json.dumps([{"a": ["a"]}] * N))).family.tables == N
    assert time.process_time() - begun < 20
