"""Each command on each kind of subject: the same mask gives the same answer, whatever it is read from."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth import catalog
from masksynth.cli import main
from masksynth.errors import InvalidInstance
from masksynth.export import solution_record, write_answer
from masksynth.mask import Mask
from masksynth.merge import merge
from masksynth.pack import pack_samples
from masksynth.subject import read_mask, read_subject, subject_kind, write_mask

SIZE = 5
CAUSAL = Mask.from_dense(np.tril(np.ones((SIZE, SIZE), bool)))
KINDS = ("m.npy", "m.npz", "m.safetensors", "-", "answer", "packed", "tests.subject.masks:causal")
NAMES = {"-": "stdin", "answer": "answer", "packed": "packed folder", "tests.subject.masks:causal": "mask_mod"}
COMMANDS = {
    "audit": (),
    "inspect": (),
    "draw": ("--what", "mask"),
    "export": (),
    "arrange": (),
    "sparsify": ("--layers", "2"),
    "diagnose clustering": ("--seeds", "1", "--time", "1"),
    "diagnose hierarchy": (),
    "diagnose symmetry": (),
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """A folder with the causal mask over 5 positions in each form; batch 1 of the packed folder has it."""
    folder = tmp_path_factory.mktemp("subjects")
    for name in KINDS[:3]:
        write_mask(CAUSAL, folder / name)
    merged = merge(catalog.causal_lm(n=SIZE + 1))
    assert merged.mask == CAUSAL
    write_answer(folder / "answer", solution_record(merged), merged)
    long = {"id": "a", "group": 1, "input_ids": list(range(8)), "labels": [-100, *range(1, 8)]}
    short = {"id": "b", "group": 2, "input_ids": list(range(SIZE + 1)), "labels": [-100, *range(1, SIZE + 1)]}
    pack_samples([long, short], folder / "packed", max_length=8, separate_groups=True)
    return folder


def options_of(kind):
    return {"packed": ["--batch", "1"], "tests.subject.masks:causal": ["--length", str(SIZE)]}.get(kind, [])


def run(command, kind, folder, *more):
    """Run a command on a subject; the bytes of a mask file come on stdin where the kind is ``-``."""
    path = kind if kind == "-" or ":" in kind else str(folder / kind)
    content = (folder / "m.npz").read_bytes() if kind == "-" else None
    return CliRunner().invoke(main, [*command.split(), path, *options_of(kind), *more], input=content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_every_kind(command, kind, subjects):
    done = run(command, kind, subjects, *COMMANDS[command])
    assert done.exit_code in (0, 3 if command == "audit" else 0), done.output
    expected = run(command, "m.npy", subjects, *COMMANDS[command])
    if command in ("inspect", "diagnose clustering", "diagnose symmetry"):  # the first line names the subject
        assert done.output.partition("\n")[2] == expected.output.partition("\n")[2]
    elif command == "draw":  # tokens are named where they are known
        assert [c for c in done.output if c in "■·"] == [c for c in expected.output if c in "■·"]
    elif command == "sparsify":  # the header names the subject, the note how long it took
        got, want = ([line.rpartition(": ")[2] for line in each.output.splitlines()[:2]] for each in (done, expected))
        assert got == want
    elif command == "export":
        assert done.output == expected.output


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exported_and_reported(kind, subjects, tmp_path):
    done = run("export", kind, subjects, "--to", "flashmask", "-o", tmp_path / "new" / "bounds.safetensors")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "bounds.safetensors").is_file()
    done = run("audit", kind, subjects, "--report", tmp_path / "report.html")
    assert done.exit_code in (0, 3), done.output
    assert b"<html" in (tmp_path / "report.html").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_readers_agree(kind, subjects, monkeypatch):
    path = kind if kind == "-" or ":" in kind else subjects / kind
    assert subject_kind(path) == NAMES.get(kind, "mask file")
    given = dict(zip(("batch", "length"), (kind == "packed" or None, SIZE if ":" in kind else None), strict=True))
    if kind == "-":
        stream = io.TextIOWrapper(io.BytesIO((subjects / "m.safetensors").read_bytes()))
        monkeypatch.setattr(sys, "stdin", stream)
    given["batch"] = 1 if given["batch"] else None
    assert read_subject(path, **given).mask == CAUSAL
    if not given["batch"] and not given["length"] and kind != "-":
        assert read_mask(path) == CAUSAL


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ('{"id": 1, "input_ids": [1], "labels": [1]}\n', "samples.jsonl", "masksynth pack SAMPLES -o packed"),
        ("x", "samples.parquet", "masksynth pack SAMPLES -o packed"),
        ("x", "mask.txt", "ends in '.txt'; name a file that ends in .npy"),
        ("x", "mask.npy", "is not a complete .npy file"),
    ],
)
def test_what_is_not_a_mask_is_refused_in_one_line(command, content, name, words, tmp_path):
    (tmp_path / name).write_text(content)
    done = CliRunner().invoke(main, [*command.split(), str(tmp_path / name)])
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert name in done.output
    if command != "diagnose symmetry":  # which reads checkpoints too, and says so
        assert words in done.output


def test_an_instance_is_not_a_mask(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InvalidInstance, match=r"a.json: ends in '.json', .* merge it first: masksynth solve INSTANCE"):
        read_subject(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "<stdin>: is empty; pipe in the bytes of a .npy, .npz or .safetensors file"),
        (b'{"id": 1}\n', "<stdin>: is not a mask file; pipe in the bytes"),
        (b"\x93NUMPY junk", "<stdin>: is not a complete .npy file"),
        (b"PK junk", "<stdin>: cannot be read as npz"),
    ],
)
def test_bytes_that_are_not_a_mask(content, words, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(InvalidInstance) as raised:
        read_subject("-")
    assert words in str(raised.value)
    assert "/tmp" not in str(raised.value)


def test_stdin_is_read_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidInstance, match="stdin is closed"):
        read_subject("-")


def test_stdin_is_not_the_mask_and_the_samples(subjects):
    done = run("audit", "-", subjects, "--samples", "-")
    assert (done.exit_code, "stdin cannot be the mask and the samples" in done.output) == (2, True), done.output


@pytest.mark.parametrize("kind", KINDS)
def test_options_of_another_kind_are_refused(kind, subjects):
    for option, owner in (("--batch", "packed"), ("--length", "tests.subject.masks:causal")):
        if kind != owner:
            for command in ("audit", "inspect", "draw", "export", "arrange", "diagnose clustering"):
                done = run(command, kind, subjects, option, "1")
                assert (done.exit_code, done.output.count("\n")) == (2, 1), (command, done.output)
                assert option in done.output


def test_arrange_writes_folders_only(subjects, tmp_path):
    for kind in ("m.npz", "-", "tests.subject.masks:causal"):
        done = run("arrange", kind, subjects, "-o", tmp_path / "new")
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert "-o writes the folder of an answer or of packed batches" in done.output
    done = CliRunner().invoke(main, ["arrange", str(subjects / "packed"), "-o", str(tmp_path / "new"), "--json"])
    assert [mask["batch"] for mask in json.loads(done.output)["masks"]] == [0, 1]


def test_parents_of_a_mask_file_are_made(tmp_path):
    write_mask(CAUSAL, tmp_path / "new" / "deep" / "m.npy")
    assert read_mask(tmp_path / "new" / "deep" / "m.npy") == CAUSAL
    with pytest.raises(InvalidInstance, match="already exists"):
        write_mask(CAUSAL, tmp_path / "new" / "deep" / "m.npy", force=False)
