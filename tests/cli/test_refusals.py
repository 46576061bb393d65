"""Malformed input through the real command: one line with file, path and remedy, exit code 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import masksynth as ms
from masksynth.tasks.instance_files import dumps
from tests.cli.command import here, masksynth, refused, start

INSTANCES = Path(__file__).parent.parent.parent / "instances"
GOOD = dumps(ms.catalog.causal_lm(n=3))
BAD = [
    "empty-file", "truncated", "not-utf8", "nodes-announced", "nesting-unclosed", "weight-nan", "repeated-json-key", "empty-row",  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name, tmp_path):
    path = INSTANCES / "bad" / f"{name}.json"
    with pytest.raises(ms.InvalidInstance) as caught:
        ms.load(path)
    said = refused(here("solve", path, "-o", tmp_path / "out", "--emit", tmp_path / "m.wcnf", "--json"))
    assert said == str(caught.value)
    assert said.startswith(f"{path}: $")
    assert "; " in said
    assert list(tmp_path.iterdir()) == []


def test_stdin_is_named(tmp_path):
    assert refused(masksynth("solve", "-", text='{"masksynth": 1, "name": "x"}')) == (
        "<stdin>: $: object missing required field `tasks`; add it"
    )
    (tmp_path / "solution.json").write_text("{}")
    assert refused(masksynth("verify", "-", tmp_path, text="")).startswith(
        "<stdin>: $: the file is empty; an instance begins"
    )
    assert refused(masksynth("explain", "-", "t", "a", "t", "b", text="[]")).startswith("<stdin>: $: expected `object`")


@pytest.mark.parametrize("command", [["solve"], ["verify"], ["explain"]])
def test_files_that_cannot_be_opened(command, tmp_path):
    more = {"solve": [], "verify": [tmp_path], "explain": ["t", "a", "t", "b"]}[command[0]]
    (tmp_path / "solution.json").write_text("{}")
    missing, folder = tmp_path / "missing.json", tmp_path
    remedy = "name an instance file, or - for stdin"
    assert refused(masksynth(*command, missing, *more)) == f"{missing}: No such file or directory; {remedy}"
    if command == ["solve"]:
        assert refused(masksynth(*command, folder, *more)) == f"{folder}: Is a directory; {remedy}"
        assert (
            refused(masksynth(*command, "a\nb\x1b[31m", *more))
            == f"a\\nb\\x1b[31m: No such file or directory; {remedy}"
        )
        assert refused(masksynth(*command, "n" * 5000, *more)).endswith(f"nnn: File name too long; {remedy}")


def test_a_file_without_an_end_is_refused():
    """/dev/zero is read up to the limit of its size, not for ever."""
    process = start("solve", "/dev/zero")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == "Error: /dev/zero: $: larger than 1073741824 bytes; split the family\n"


@pytest.mark.parametrize(
    "name", ["\ud800", "\x1b[31mred\nline\x00", "n" * 200_000, "../../x\u202e"], ids=lambda name: ascii(name[:8])
)
def test_any_name_can_be_solved_printed_written_and_verified(name, tmp_path):
    document = json.loads(GOOD)
    document["name"] = name
    task = document["tasks"][0]
    renamed = {node["name"]: name if number == 0 else node["name"] for number, node in enumerate(task["nodes"])}
    task["name"] = name
    task["nodes"] = [node | {"name": renamed[node["name"]], "input": name} for node in task["nodes"]]
    task["attends"] = {renamed[key]: [renamed[item] for item in row] for key, row in task["attends"].items()}
    task["predict"] = [entry | {"node": renamed[entry["node"]], "label": name} for entry in task["predict"]]
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(document))
    done = masksynth("solve", path, "--backend", "criterion", "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.isprintable() and len(line) < 300 for line in done.stdout.splitlines())
    assert json.loads((tmp_path / "out/solution.json").read_text())["tasks"][0] == name
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["instance.json", "out"]
    done = masksynth("verify", path, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    task["predict"][0]["hides"] = [name]
    done = masksynth("solve", "-", text=json.dumps(document))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout[:-1].isprintable()
    assert len(done.stdout) < 700
