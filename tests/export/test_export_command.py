"""`masksynth export`: the table, the files, the refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth.cli import main
from masksynth.export import solution_record, write_answer
from masksynth.export.columns import FlashMask, check_flashmask
from masksynth.export.format_sizes import summary
from masksynth.export.formats import read_safetensors
from masksynth.export.targets import TARGETS, export_arrays
from masksynth.mask import Mask
from masksynth.pack import open_packed, pack_samples
from masksynth.subject.mask_file import write_mask
from tests.export.samples import chain_mask, merged_task, random_mask, tree_mask


def run(*arguments, code=0):
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def answer(tmp_path):
    """A folder of the answer over a mask."""

    def write(mask, name="out"):
        merged = merged_task(mask)
        return write_answer(tmp_path / name, solution_record(merged), merged)

    return write


@pytest.fixture
def packed(tmp_path):
    """A packed folder of two batches: three samples with a common beginning, and one that does not fit with them."""
    shared = [
        {"id": f"s{i}", "group": "a", "input_ids": [1, 2, 3, 10 + i], "labels": [-100, 2, 3, 10 + i]} for i in range(3)
    ]
    alone = {"id": "long", "group": "b", "input_ids": list(range(8)), "labels": [-100, *range(1, 8)]}
    pack_samples([*shared, alone], tmp_path / "packed", max_length=8)
    return tmp_path / "packed"


def test_the_table(answer):
    out = run(answer(tree_mask(90)))
    lines = out.splitlines()
    assert lines[0] == f"90 positions, {tree_mask(90).pairs:,} allowed pairs"
    assert [line.split()[0] for line in lines[1:]] == list(TARGETS)
    assert "row intervals" in lines[1]
    assert "segments gather" in lines[5]
    window = Mask.from_dense(np.tri(30, dtype=bool) & ~np.tri(30, k=-4, dtype=bool))
    assert "cannot express: row 4" in run(answer(window, "window")).splitlines()[5]


def test_the_cost_of_copied_keys(answer, tmp_path):
    path = tmp_path / "segments.safetensors"
    printed = json.loads(run(answer(tree_mask(90)), "--to", "varlen", "-o", path, "--json"))
    assert printed["cost"] == "8 segments gather 133 keys, 1.48 for each position"
    assert len(read_safetensors(path)["kv_index"]) == 133
    assert run(answer(tree_mask(90), "again"), "--to", "varlen", "-o", path, "--force").endswith(f"{printed['cost']}\n")
    assert (
        json.loads(run(answer(chain_mask(9), "chain"), "--to", "varlen", "-o", path, "--force", "--json"))["cost"]
        is None
    )


def test_the_table_for_programs(answer):
    mask = Mask.from_dense(np.stack([random_mask(40).dense(), chain_mask(40).dense()]))
    folder = answer(mask)
    printed = json.loads(run(folder, "--json", "--block-size", "16x8"))
    assert (printed["positions"], printed["pairs"]) == (40, mask.pairs)
    for number, table in enumerate(printed["tables"]):
        assert table["table"] == number
        assert table["formats"] == [entry._asdict() for entry in summary(mask, number, (16, 8))]
    assert len(json.loads(run(folder, "--json", "--table", 1))["tables"]) == 1
    assert "table 1" in run(folder)


@pytest.mark.parametrize("target", TARGETS)
def test_every_file(target, answer, tmp_path):
    mask = chain_mask(50)
    path = tmp_path / "mask.safetensors"
    said = run(answer(mask), "--to", target, "-o", path, "--block-size", "16")
    arrays, expected = read_safetensors(path), export_arrays(mask, target, 0, 16)
    assert arrays.keys() == expected.keys()
    assert all(
        np.array_equal(arrays[name], expected[name]) and arrays[name].dtype == expected[name].dtype for name in arrays
    )
    assert said == f"{path}: {sum(array.nbytes for array in arrays.values()):,} bytes of {target}, checked\n"


def test_batches_of_a_packed_folder(packed, tmp_path):
    batches = open_packed(packed)
    assert len(batches) == 2
    for number, batch in enumerate(batches[i] for i in range(2)):
        path = tmp_path / f"{number}.safetensors"
        assert run(packed, "--batch", number).startswith(f"{batch.positions} positions, {batch.mask.pairs:,}")
        printed = json.loads(run(packed, "--batch", number, "--to", "flashmask", "-o", path, "--json"))
        assert (printed["format"], printed["arrays"]["startend_row_indices"]) == (
            "flashmask",
            ["int32", [1, 1, batch.positions, 1]],
        )
        check_flashmask(batch.mask, FlashMask(read_safetensors(path)["startend_row_indices"], True))
    assert "has 2 batches, not a batch 2" in run(packed, "--batch", 2, code=2)


def test_a_mask_file(tmp_path):
    write_mask(chain_mask(20), tmp_path / "chain.npz")
    assert run(tmp_path / "chain.npz").startswith("20 positions")


def test_cannot_express(answer, tmp_path):
    """Exit code 1, one line, and nothing is written, not even over a file that is there."""
    path = tmp_path / "lengths.safetensors"
    path.write_bytes(b"before")
    mask = Mask.from_dense(np.tri(30, dtype=bool) & ~np.tri(30, k=-4, dtype=bool))
    said = run(answer(mask), "--to", "varlen", "-o", path, "--force", code=1)
    fact = "row 4 attends to 1..4: not to itself and to what one earlier row attends to, as in a tree"
    assert said == f"Error: varlen: cannot express: {fact}\n"
    assert path.read_bytes() == b"before"
    assert [place.name for place in tmp_path.iterdir() if "partial" in place.name] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--to", "magi", "-o", "there.safetensors"],
            "there.safetensors: already exists; choose another name or give --force",
        ),
        (["--to", "magi", "-o", "a.bin"], "a.bin: ends in '.bin'; name a file that ends in .safetensors"),
        (["--to", "magi", "-o", "-"], "stdout is reserved for the answer"),
        (["--to", "magi"], "--to and -o go together"),
        (["-o", "a.safetensors"], "--to and -o go together"),
        (["--to", "triton", "-o", "a.safetensors"], "Invalid value for '--to'"),
        (["--table", "3"], "has 1 table, not a table 3"),
        (["--batch", "0"], "is not a packed folder"),
        (["--block-size", "0"], "expected a block size such as 128"),
        (["--block-size", "128x"], "expected a block size such as 128"),
        (["--block-size", "8x8x8"], "expected a block size such as 128"),
    ],
)
def test_refusals(arguments, text, answer, tmp_path, monkeypatch):
    folder = answer(chain_mask(8))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.safetensors").write_bytes(b"before")
    said = run(folder, *arguments, code=2)
    assert text in said
    assert (tmp_path / "there.safetensors").read_bytes() == b"before"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["out", "there.safetensors"]


def test_a_table_must_be_named(answer, tmp_path):
    folder = answer(random_mask(9, 2))
    assert "has 2 tables; choose one with --table" in run(
        folder, "--to", "magi", "-o", tmp_path / "a.safetensors", code=2
    )
    run(folder, "--to", "magi", "-o", tmp_path / "a.safetensors", "--table", 1)


def test_force_replaces(answer, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")
    run(answer(chain_mask(8)), "--to", "magi", "-o", path, "--force", "--quiet")
    assert read_safetensors(path)["attn_type_map"].tolist() == [1]


def test_what_is_no_mask(tmp_path):
    assert "holds neither solution.json nor manifest.json" in run(tmp_path, code=2)
    assert "there is no such file" in run(tmp_path / "no.npz", code=2)


def test_one_is_not_in_the_plural(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((1, 1), bool))
    for name in ("export", "inspect", "audit"):
        done = CliRunner().invoke(main, [name, str(tmp_path / "one.npy")])
        assert (done.exit_code, "1 position, 1 allowed pair" in done.output) == (0, True), done.output
        assert "1 positions" not in done.output
        assert "1 allowed pairs" not in done.output
