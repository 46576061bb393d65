"""The other commands: verify, new, catalog, backends, explain, help and version."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

import masksynth as ms
from masksynth.tasks.instance_files import content_hash, dumps, loads
from tests.cli.command import here, masksynth, refused


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A folder with butterfly.json and its answer in out."""
    folder = tmp_path_factory.mktemp("solved")
    (folder / "butterfly.json").write_text(dumps(ms.catalog.butterfly(n=4)))
    assert here("solve", "butterfly.json", "--backend", "criterion", "-o", "out", "--quiet", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def copy(solved, tmp_path):
    shutil.copytree(solved, tmp_path, dirs_exist_ok=True)
    return tmp_path


def verify(folder, *options, **changes):
    return here("verify", "butterfly.json", "out", *options, cwd=folder, **changes)


def test_verify_a_right_answer(solved):
    done = verify(solved)
    checks = "problem, shape, identity, labels, loss edges, rows, minimality, leak"
    sha256 = content_hash(ms.catalog.butterfly(n=4).family)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"butterfly-4: right. 10 positions, minimal, any depth; checked: {checks}\n"
        f"  problem: layers any, sparse no, pattern 1, SHA-256 {sha256}\n"
    )
    found = json.loads(verify(solved, "--json").stdout)
    right = {"ok": True, "requirement": None, "task": None, "node": None, "path": [], "checks": checks.split(", ")}
    assert found == {**right, "positions": 10, "layers": None, "minimal": True, "edges": None}
    quiet = masksynth("verify", "-", "out", "--quiet", cwd=solved, text=(solved / "butterfly.json").read_text())
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_verify_refuses_another_instance(solved):
    done = here("verify", "-", "out", cwd=solved, text=dumps(ms.catalog.butterfly(n=5)))
    assert refused(done, 1).startswith("problem: ")
    renamed = (solved / "butterfly.json").read_text().replace('"name": "butterfly-4"', '"name": "other"')
    assert here("verify", "-", "out", "--quiet", cwd=solved, text=renamed).returncode == 0


def test_verify_refuses_a_wrong_answer(copy):
    record = json.loads((copy / "out/solution.json").read_text())
    task, node = "predict w2", "p"
    record["embeddings"][task][node] = (record["embeddings"][task][node] + 1) % 10
    (copy / "out/solution.json").write_text(json.dumps(record))
    done = verify(copy, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert list(found) == ["ok", "requirement", "task", "node", "path", "fact"]
    assert (found["ok"], found["task"], found["node"]) == (False, task, node)
    assert refused(verify(copy), 1).startswith(f"{found['requirement']}:")


@pytest.mark.parametrize("name", ["solution.json", "mask.safetensors", "mask.npz"])
def test_verify_needs_every_file(copy, name):
    (copy / "out" / name).unlink()
    assert name in refused(verify(copy, "--json"))
    (copy / "out" / name).write_bytes(b"\x00broken")
    assert refused(verify(copy))


def test_verify_without_a_folder_or_an_instance(solved):
    assert refused(here("verify", "butterfly.json", "nowhere", cwd=solved)) == (
        "nowhere: there is no such folder; name a folder written by masksynth solve or masksynth pack"
    )
    assert refused(here("verify", "nowhere.json", "out", cwd=solved)) == (
        "nowhere.json: No such file or directory; name an instance file, or - for stdin"
    )


def test_new_is_the_catalogue():
    assert masksynth("new", "butterfly", "--n", "5").stdout == dumps(ms.catalog.butterfly(n=5))
    done = masksynth("new", "packed_docs", "--lengths", "3,1,2")
    assert (done.stdout, done.stderr) == (dumps(ms.catalog.packed_docs(lengths=(3, 1, 2))), "")
    trie = masksynth("new", "agent_trie", "--rollouts", "1,2;1,3,4;5")
    assert loads(trie.stdout) == ms.catalog.agent_trie(rollouts=((1, 2), (1, 3, 4), (5,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["butterfly", "--n", "1000000000"],
            "makes 1000000000000000000 task nodes, more than 4000000; give a smaller n",
        ),
        (["packed_docs", "--lengths", "3,1000000000"], "more than 4000000; give a smaller lengths"),
        (["butterfly", "--n", "-3"], "n=-3"),
    ],
)
def test_new_refuses_at_once(arguments, message):
    begun = time.monotonic()
    assert message in refused(here("new", *arguments))
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "butterfly", "--m", "3"], "No such option"),
        (["new", "moth"], "No such command 'moth'"),
        (["verify", "x.json"], "Missing argument 'FOLDER'"),
        (["solve"], "Missing argument 'INSTANCE'"),
    ],
)
def test_usage(arguments, message):
    done = here(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: masksynth")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("new butterfly --n x", "'--n': expected an integer, got 'x'"),
        ("new packed_docs --lengths 3,x", "'--lengths': expected integers separated by commas, got '3,x'"),
        ("discover - --layers 0", "'--layers': expected an integer from 1 to 10000, got 0"),
        ("pack - --max-length many", "'--max-length': expected an integer from 1 to 2147483647, got 'many'"),
        ("search --time-limit soon", "'--time-limit': expected a number from 0 to 1000000000, got 'soon'"),
        ("search --budget 0", "'--budget': expected a number above 0, got 0.0"),
        ("search --jobs -1", "'--jobs': expected an integer of at least 1, got -1"),
        (
            "search --family butterfly --n 4..x",
            "'--n': expected a number, an ascending range such as 4..64 or a list, got '4..x'",
        ),
        ("solve - --time-limit -1", "'--time-limit': expected a number from 0 to 1000000000, got -1.0"),
        ("diagnose symmetry --gamma wide", "'--gamma': expected a number, got 'wide'"),
        ("diagnose clustering --time 0", "'--time': expected a number above 0 and at most 100000, got 0.0"),
        ("solve - --layers 1.5", "'--layers': expected a positive integer or 'any', got '1.5'"),
        (
            "export - --block-size 8x",
            "'--block-size': expected a block size such as 128, or queries x keys as in 256x128, got '8x'",
        ),
    ],
)
def test_an_invalid_number_is_one_line(arguments, message):
    assert refused(here(*arguments.split())) == f"Invalid value for {message}"


def test_catalog():
    rows = json.loads(here("catalog", "--json").stdout)
    assert [row["name"] for row in rows] == list(ms.catalog.FAMILIES)
    assert all(list(row) == ["name", "summary", "parameters"] and row["summary"] for row in rows)
    assert next(row["parameters"] for row in rows if row["name"] == "butterfly") == {"n": "8"}
    done = here("catalog")
    assert done.stderr == ""
    assert all(f"\n{name} " in f"\n{done.stdout}" for name in ms.catalog.FAMILIES)


def test_backends():
    rows = {row["name"]: row for row in json.loads(masksynth("backends", "--json").stdout)}
    assert {"criterion", "brute", "cpsat", "maxsat", "ilp"} <= set(rows)
    assert all(list(row) == ["name", "available", "versions", "remedy"] for row in rows.values())
    assert rows["cpsat"] == {
        "name": "cpsat",
        "available": True,
        "versions": {"ortools": version("ortools")},
        "remedy": "",
    }
    assert version("python-sat") in masksynth("backends").stdout


def test_explain(solved):
    def explain(*nodes, json_=True):
        return here("explain", "butterfly.json", *nodes, *(["--json"] if json_ else []), cwd=solved)

    same = json.loads(explain("predict w2", "f1", "predict w3", "f1").stdout)
    assert (list(same), same["merged"], same["path"]) == (["merged", "reason", "path"], True, [])
    other = json.loads(explain("predict w2", "p", "predict w3", "p").stdout)
    assert (other["merged"], other["path"][0]) == (False, ["p", "p"])
    assert explain("predict w2", "p", "predict w3", "p", json_=False).stdout == other["reason"] + "\n"
    assert refused(explain("predict w9", "p", "predict w3", "p")).startswith(
        "$.tasks: no task 'predict w9'; similar names: 'predict w"
    )
    assert refused(explain("predict w2", "zz", "predict w3", "p")).startswith(
        "$.tasks: node 'zz' of task 'predict w2' does not exist"
    )


def test_version_and_help():
    done = masksynth("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"masksynth, version {ms.__version__}\n", "")
    short, long = masksynth("-h"), masksynth("--help")
    assert (short.returncode, short.stderr) == (0, "")
    assert short.stdout == long.stdout
    for command in ("solve", "verify", "new", "catalog", "backends", "explain"):
        assert f"\n  {command} " in short.stdout
    assert "Exit codes: 0 yes" in short.stdout
    assert "Usage: masksynth solve [OPTIONS] INSTANCE" in masksynth("solve", "-h").stdout


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "masksynth", "new", "causal_lm", "--n", "3"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (dumps(ms.catalog.causal_lm(n=3)), "")
