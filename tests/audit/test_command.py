"""The command: text, JSON and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.cli import main

CAUSAL = np.tril(np.ones((12, 12), bool))


def run(*arguments):
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


@pytest.fixture
def leaking(tmp_path):
    dense = CAUSAL.copy()
    dense[:11, 11] = True
    np.save(tmp_path / "mask.npy", dense)
    tokens = {
        "inputs": [f"w{i}" for i in range(12)],
        "positions": list(range(12)),
        "labels": [[i, f"w{i + 1}", ["w11"]] for i in range(11)],
    }
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    return tmp_path


def test_errors_exit_with_one(leaking):
    done = run(leaking / "mask.npy", "--tokens", leaking / "tokens.json")
    assert done.exit_code == 1
    assert "error MS001 leak" in done.output
    assert 'position 0 (w0@0) sees "w11", which its label hides: 11 (w11@11) -> 0 (w0@0) (1 hop)' in done.output
    assert "and 7 more like these" in done.output
    assert run(leaking / "mask.npy", "--tokens", leaking / "tokens.json", "--quiet").output == ""


def test_json_is_whole(leaking):
    done = run(leaking / "mask.npy", "--tokens", leaking / "tokens.json", "--json", "--layers", 2)
    record = json.loads(done.output)
    leaks = [found for found in record["findings"] if found["code"] == "MS001"]
    assert len(leaks) == 11
    assert set(leaks[0]) == {"code", "severity", "position", "witness", "remedy", "message"}
    assert leaks[0]["witness"]["path"] == [11, 0]
    assert record["minimal"] == {"positions": 12, "dead": 0, "duplicates": 0, "minimal": 12, "exact": False}
    assert record["complete"] is True
    assert record["samples"] is None
    assert record["kernels"]["0"]["flex"]["bytes"] > 0


def test_sizes_at_finite_depth_say_at_most(leaking):
    exact = json.loads(run(leaking / "mask.npy", "--tokens", leaking / "tokens.json", "--json").output)
    assert exact["minimal"]["exact"] is True
    text = run(leaking / "mask.npy", "--tokens", leaking / "tokens.json", "--layers", 2).output
    assert "minimal equivalent: at most 12 positions" in text


@pytest.fixture
def packed_by_hand(tmp_path):
    """Two samples side by side, whose mask lets the second see the first."""
    samples = [
        {"id": "a", "input_ids": [1, 5, 6, 7], "labels": [-100, 5, 6, 7]},
        {"id": "b", "input_ids": [1, 8, 9], "labels": [-100, 8, 9]},
    ]
    tokens = {
        "inputs": [1, 5, 6, 7, 1, 8, 9],
        "positions": [0, 1, 2, 3, 0, 1, 2],
        "labels": [[0, 5], [1, 6], [2, 7], [4, 8], [5, 9]],
    }
    np.save(tmp_path / "causal.npy", CAUSAL[:7, :7])
    documents = np.tril(np.ones((7, 7), bool))
    documents[4:, :4] = False
    np.save(tmp_path / "documents.npy", documents)
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return tmp_path


def test_samples_in_every_form(packed_by_hand, tmp_path):
    import gzip

    text = (packed_by_hand / "samples.jsonl").read_text()
    (tmp_path / "samples.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    tokens = ("--tokens", tmp_path / "tokens.json")
    for name in ("samples.jsonl", "samples.jsonl.gz"):
        done = run(tmp_path / "causal.npy", *tokens, "--samples", tmp_path / name)
        assert done.exit_code == 1
        assert "MS015 contamination between samples" in done.output
        assert "position 4 (1@0), token 0 of sample 'b', attends to 0 (1@0) of sample 'a'" in done.output
        assert run(tmp_path / "documents.npy", *tokens, "--samples", tmp_path / name).exit_code == 0
    piped = CliRunner().invoke(
        main, ["audit", str(tmp_path / "causal.npy"), *map(str, tokens), "--samples", "-"], input=text
    )
    assert piped.exit_code == 1
    assert "token 1 of sample 'b'" in piped.output


def test_samples_in_parquet(packed_by_hand, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [json.loads(line) for line in (packed_by_hand / "samples.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "samples.parquet")
    done = run(
        tmp_path / "causal.npy",
        "--tokens",
        tmp_path / "tokens.json",
        "--samples",
        tmp_path / "samples.parquet",
        "--json",
    )
    record = json.loads(done.output)
    assert record["samples"] == {"read": 2, "compared": 2, "tables": ["full"]}
    named = [one["witness"]["sample"] for one in record["findings"] if one["code"] == "MS015"]
    assert named == ["b", "b", "b"]


def test_what_was_not_compared_is_no_clean_pass(packed_by_hand, tmp_path):
    tokens = json.loads((packed_by_hand / "tokens.json").read_text())
    del tokens["labels"]
    (tmp_path / "unlabelled.json").write_text(json.dumps(tokens))
    arguments = (
        tmp_path / "documents.npy",
        "--tokens",
        tmp_path / "unlabelled.json",
        "--samples",
        tmp_path / "samples.jsonl",
    )
    done = run(*arguments)
    assert done.exit_code == 3
    assert "MS022 not compared" in done.output
    record = json.loads(run(*arguments, "--json").output)
    assert record["complete"] is False
    assert [one["code"] for one in record["findings"] if one["severity"] == "warning"] == ["MS008", "MS022"]


def test_samples_that_cannot_be_compared_exit_with_two(packed_by_hand, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text('{"id": 1, "input_ids": [1.5], "labels": [1]}\n')
    mask, tokens = tmp_path / "causal.npy", ("--tokens", tmp_path / "tokens.json")
    for arguments, words in (
        ((mask, "--samples", tmp_path / "samples.jsonl"), "the inputs of its positions are not known"),
        ((mask, *tokens, "--samples", tmp_path / "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
        ((mask, *tokens, "--samples", tmp_path / "empty.jsonl"), "the file contains no sample"),
        ((mask, *tokens, "--samples", tmp_path / "broken.jsonl"), "broken.jsonl:1"),
        ((mask, *tokens, "--samples", tmp_path), "cannot be read"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert words in done.output.replace("\n", " "), done.output


def test_clean_masks_exit_with_zero(tmp_path):
    np.save(tmp_path / "mask.npy", CAUSAL)
    done = run(tmp_path / "mask.npy")
    assert done.exit_code == 0
    assert "0 errors, 0 warnings, 0 notes" in done.output
    assert "not checked without" in done.output
    assert run("attn_gym.masks:causal_mask", "--length", 9).exit_code == 0


def test_what_cannot_be_read_exits_with_two(tmp_path):
    for arguments in (
        ("none.npy",),
        ("nowhere:mask",),
        ("attn_gym.masks:causal_mask",),
        (tmp_path,),
        (),
        ("x.npy", "--layers", 0),
    ):
        assert run(*arguments).exit_code == 2, arguments


def test_hostile_names_stay_on_their_line(tmp_path):
    dense = CAUSAL.copy()
    dense[0, 1] = True
    np.save(tmp_path / "mask.npy", dense)
    name = "x\n\x1b[2J\u202e"
    (tmp_path / "tokens.json").write_text(json.dumps({"inputs": [name] * 12, "labels": [[0, name, [{"at": 1}]]]}))
    done = run(tmp_path / "mask.npy", "--tokens", tmp_path / "tokens.json")
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    assert "\nx" not in done.output


def test_samples_that_cannot_be_used_are_one_line(tmp_path):
    np.save(tmp_path / "mask.npy", np.tril(np.ones((3, 3), bool)))
    (tmp_path / "tokens.json").write_text('{"inputs": [5, 6, 7], "positions": [0, 1, 2], "labels": [[0, 7]]}')
    shifted = '{"id": 1, "input_ids": [5, 6, 7], "labels": [6, 7, -100]}\n'  # trains two tokens ahead, as the mask does
    for text, fact in (
        (shifted, "labels are already shifted"),
        ('{"masksynth": 1,\n "name": "none", "tasks": []}', "is an instance, not samples"),
    ):
        (tmp_path / "samples.html").write_text(text)
        given = ("--tokens", tmp_path / "tokens.json", "--samples", tmp_path / "samples.html")
        done = run(tmp_path / "mask.npy", *given)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert fact in done.output
    done = run(tmp_path / "mask.npy", *given, "--report", tmp_path / "samples.html", "--force")
    assert done.exit_code == 2
    assert "is the input, which is never replaced" in done.output


def test_a_sparse_answer_is_not_compared(tmp_path):
    answer = ms.solve(ms.catalog.causal_lm(n=4), layers=2, sparse=True)
    ms.write(answer, tmp_path / "sparse")
    (tmp_path / "samples.jsonl").write_text('{"id": 1, "input_ids": [5, 6], "labels": [-100, 6]}\n')
    done = run(tmp_path / "sparse", "--samples", tmp_path / "samples.jsonl")
    assert done.exit_code == 3
    assert "compared with 0 samples of 1" in done.output
    assert "other batches" not in done.output
