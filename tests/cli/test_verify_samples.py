"""`verify SAMPLES PACKED` as a user runs it: files of every kind, words and codes of what is wrong, mix-ups."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.cli import main
from masksynth.tasks.instance_files import dumps
from tests.cli.command import COMMAND, ENVIRONMENT, masksynth, refused

GSM8K = Path(__file__).parents[1] / "pack" / "data" / "gsm8k_rollouts.jsonl.gz"
LINES = gzip.decompress(GSM8K.read_bytes()).splitlines(keepends=True)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Samples in several files of several kinds, a packed folder, an instance and its answer."""
    place = tmp_path_factory.mktemp("verify")
    (place / "all.jsonl").write_bytes(b"".join(LINES))
    (place / "first.jsonl").write_bytes(b"".join(LINES[:10]))
    (place / "second.jsonl.gz").write_bytes(gzip.compress(b"".join(LINES[25:])))
    pq.write_table(pa.Table.from_pylist(list(map(json.loads, LINES[10:25]))), place / "third.parquet")
    (place / "mine.json").write_text(dumps(ms.catalog.butterfly(n=4)))
    for arguments in (
        ("pack", GSM8K, "-o", place / "packed", "--max-length", "600", "--quiet"),
        ("solve", place / "mine.json", "-o", place / "out", "--quiet"),
    ):
        assert run(*arguments).exit_code == 0
    return place


def test_files_of_every_kind_in_any_order(place):
    parts = [place / name for name in ("second.jsonl.gz", "third.parquet", "first.jsonl")]
    for sources in ([GSM8K], [place / "all.jsonl"], parts, parts[::-1]):
        done = run("verify", *sources, place / "packed")
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        assert done.stdout == (
            f"{place / 'packed'}: right. 40 samples in 4 batches of 1,884 positions, 1,800 loss edges; "
            "checked: files, identity, rows, loss edges, samples, hashes\n"
        )
    with GSM8K.open("rb") as file:
        done = subprocess.run(
            [COMMAND, "verify", "-", place / "packed"], stdin=file, capture_output=True, env=ENVIRONMENT, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")
    done = masksynth(
        "verify", place / "first.jsonl", "-", place / "packed", "--quiet", text=b"".join(LINES[10:]).decode()
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_repacked_an_arranged_and_an_unpacked_folder(place, tmp_path):
    assert (
        run("pack", GSM8K, "-o", tmp_path / "other", "--window", "5", "--max-length", "300", "--quiet").exit_code == 0
    )
    assert run("unpack", tmp_path / "other", "-o", tmp_path / "back.jsonl.gz").exit_code == 0
    assert run("arrange", tmp_path / "other", "-o", tmp_path / "arranged", "--quiet").exit_code == 0
    for folder in ("other", "arranged"):
        for source in (GSM8K, tmp_path / "back.jsonl.gz"):
            assert run("verify", source, tmp_path / folder, "--quiet").exit_code == 0


def test_what_is_wrong_for_people_and_programs(place, tmp_path):
    rows = list(map(json.loads, LINES))
    name = rows[7]["id"]
    rows[7]["labels"][-1] += 1
    (tmp_path / "changed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = masksynth("verify", tmp_path / "changed.jsonl", place / "packed")
    token = len(rows[7]["labels"]) - 1
    assert refused(done, 1).startswith("loss edges: batch-0000")
    assert f"sample {name!r}: labels of token {token} is {rows[7]['labels'][-1]}, the folder has " in done.stderr
    assert f"{tmp_path / 'changed.jsonl'}:8" in done.stderr
    done = run("verify", tmp_path / "changed.jsonl", place / "packed", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert list(found) == ["ok", "requirement", "sample", "token", "batch", "fact"]
    assert (found["ok"], found["requirement"], found["sample"], found["token"]) == (False, "loss edges", name, token)
    right = json.loads(run("verify", GSM8K, place / "packed", "--json").stdout)
    assert (right["ok"], right["samples"], right["batches"], right["skipped"]) == (True, 40, 4, 0)
    done = run("verify", place / "first.jsonl", place / "packed", "--json")
    assert (done.exit_code, json.loads(done.stdout)["requirement"], json.loads(done.stdout)["token"]) == (
        1,
        "samples",
        None,
    )


def test_things_mixed_up_are_one_line(place, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "input_ids": [1], "labels": [5, 6]}\n')
    shutil.copytree(place / "packed", tmp_path / "broken")
    (tmp_path / "broken" / "batch-00001.safetensors").unlink()
    mine, packed, out = place / "mine.json", place / "packed", place / "out"
    for arguments, words in (
        ((mine, packed), f"{mine}: is an instance, and {packed} contains packed batches, not an answer"),
        ((GSM8K, out), f"{GSM8K}: contains samples, and {out} an answer, not packed batches"),
        ((place / "first.jsonl", GSM8K, out), "contains an answer, which has one instance"),
        ((mine, GSM8K, packed), f"{mine}: is an instance, and {packed} contains packed batches"),
        ((packed, GSM8K), "is not a folder; name the instance or the samples first, the folder last"),
        ((packed, packed), str(packed)),
        ((GSM8K, tmp_path / "none"), f"{tmp_path / 'none'}: there is no such folder; name a folder written"),
        ((mine, tmp_path / "none"), "there is no such folder"),
        ((GSM8K, tmp_path / "empty"), "contains neither solution.json nor manifest.json"),
        ((GSM8K, GSM8K, tmp_path / "empty"), "contains neither solution.json nor manifest.json"),
        ((tmp_path / "missing.jsonl", packed), "missing.jsonl"),
        ((tmp_path / "bad.jsonl", packed), "bad.jsonl:1"),
        ((GSM8K, tmp_path / "broken"), "batch-00001.safetensors: cannot be read"),
    ):
        done = run("verify", *arguments)
        assert (done.exit_code, done.stdout) == (2, ""), (arguments, done.output)
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr, (words, done.stderr)
    for arguments in (("-", "-", packed), (packed,), ()):
        done = run("verify", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
