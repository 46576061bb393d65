"""Arranged answers pass the checker, arranged batches read back, and folders are written completely or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth import catalog
from masksynth.arrange import arrange, arranged_batch, arranged_merged, copies, counts, permuted
from masksynth.arrange.permute import invert_order
from masksynth.cli import main
from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.export import read_merged
from masksynth.mask import Mask
from masksynth.pack.batch import PackedBatch, batch_arrays
from masksynth.pack.packed_folder import open_packed
from masksynth.tasks import Instance, Node, Prediction, Task, TaskFamily
from masksynth.verify import verify
from masksynth.verify.check_folder import verify_folder
from tests.arrange.samples import random_tree
from tests.pack.written import packed_folder


def run(*arguments):
    return CliRunner().invoke(main, ["arrange", *map(str, arguments)])


@pytest.mark.parametrize("name", catalog.FAMILIES)
def test_every_family_passes_the_checker_in_any_order(name):
    instance = catalog.FAMILIES[name]()
    merged = ms.solve(instance).merged
    rng = np.random.default_rng(0)
    orders = [np.arange(merged.mask.size)[::-1], rng.permutation(merged.mask.size)]
    orders.append(arrange(merged.mask, 4, alike=copies(merged), effort=0.02).order)
    for order in orders:
        assert verify(instance, arranged_merged(merged, order)).minimal


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("name", ["tabpfn_duplicates", "local_global", "bd3lm", "parallel_context_bos"])
def test_finite_layers_pass_the_checker(name, layers):
    instance = catalog.FAMILIES[name]()
    merged = ms.solve(instance, layers=layers).merged
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(merged.mask.size)
        verify(instance, arranged_merged(merged, order))


@pytest.mark.parametrize("name", ["causal_lm", "butterfly", "shared_prefix_group"])
def test_sparse_answers_pass_the_checker(name):
    instance = catalog.FAMILIES[name]()
    merged = ms.solve(instance, layers=2, sparse=True).merged
    order = np.random.default_rng(1).permutation(merged.mask.size)
    verify(instance, arranged_merged(merged, order))


def bags(seed):
    """Tasks whose rows hold several equal leaves, so that classes have copies."""
    rng = np.random.default_rng(seed)
    tasks = []
    for number in range(4):
        nodes = [Node(f"n{i}", "a" if i < 3 else str(rng.choice(["a", "b"])), 0) for i in range(6)]
        rows = {f"n{i}": (f"n{i}",) for i in range(4)}
        rows |= {f"n{i}": ("n0", "n1", *(f"n{j}" for j in range(2, 4) if rng.random() < 0.5), f"n{i}") for i in (4, 5)}
        tasks.append(Task(f"t{number}", tuple(nodes), (rows,), (Prediction("n5", "x"), Prediction("n4", "y")), False))
    return Instance(TaskFamily(tuple(tasks)), f"bags-{seed}")


@pytest.mark.parametrize("seed", range(12))
def test_copies_keep_the_lowest_index(seed):
    instance = bags(seed)
    merged = ms.solve(instance, backend="criterion").merged
    assert len(set(copies(merged).tolist())) < len(merged.positions)
    order = np.random.default_rng(seed).permutation(len(merged.positions))
    verify(instance, arranged_merged(merged, order))


def test_without_the_rule_for_copies_the_checker_refuses(monkeypatch):
    from masksynth.arrange import apply

    instance = catalog.tabpfn_duplicates()
    merged = ms.solve(instance).merged
    monkeypatch.setattr(apply, "copies", lambda merged: np.arange(len(merged.positions)))
    with pytest.raises(WrongAnswer, match="expected the lower one"):
        verify(instance, arranged_merged(merged, np.arange(len(merged.positions))[::-1]))


def test_an_arranged_answer_on_disk(tmp_path):
    instance = catalog.butterfly(n=22)
    ms.write(ms.solve(instance), tmp_path / "out")
    done = run(tmp_path / "out", "--block-size", 8, "-o", tmp_path / "arranged")
    assert (done.exit_code, "instead of" in done.output) == (0, True), done.output
    report = verify_folder(instance, tmp_path / "arranged")
    before, after = (counts(read_merged(tmp_path / name).mask, 8) for name in ("out", "arranged"))
    assert report.minimal
    assert after < before
    record = json.loads((tmp_path / "arranged" / "solution.json").read_text())
    assert record["certificate"] == json.loads((tmp_path / "out" / "solution.json").read_text())["certificate"]


def test_json_of_an_answer(tmp_path):
    ms.write(ms.solve(catalog.butterfly(n=12)), tmp_path / "out")
    done = run(tmp_path / "out", "--block-size", 8, "--exact", "--json")
    (row,) = json.loads(done.output)["masks"]
    assert (row["value"]["nonempty"], row["bound"], row["status"], row["batch"], row["gap"]) == (
        11,
        11,
        "OPTIMAL",
        None,
        0,
    )


def batch_of(mask, seed):
    """A batch over a mask, its samples the paths to every seventh position."""
    rng = np.random.default_rng(seed)
    paths = [mask.row(q) for q in range(0, mask.size, 7)]
    edges = np.arange(len(paths))
    own = {
        "input_ids": rng.integers(0, 1000, mask.size),
        "position_ids": np.diff(mask.row_offset[0]),
        "loss_position": np.arange(0, mask.size, 7),
        "loss_label": rng.integers(0, 1000, len(paths)),
        "loss_sample": edges,
        "loss_weight": rng.random(len(paths)),
        "sample_offset": np.append(0, np.cumsum([len(path) for path in paths])),
        "sample_position": np.concatenate(paths),
        "sample_weight": np.ones(len(paths)),
        "loss_index": np.array([len(path) for path in paths]),
        "dead_offset": np.arange(len(paths) + 1),
        "dead_index": np.array([len(path) for path in paths]),
        "dead_token": rng.integers(0, 1000, len(paths)),
    }
    rest = {
        field: np.zeros(len(paths) + 1 if field.endswith("offset") else 0, np.int64)
        for field in PackedBatch.__dataclass_fields__
        if field not in {*own, "samples", "mask", "fields", "keys"}
    }
    fields, keys = {"advantages": rng.random(len(paths))}, {"kinds": rng.integers(0, 3, mask.size)}
    return PackedBatch(samples=tuple(f"s{e}" for e in edges), mask=mask, fields=fields, keys=keys, **own, **rest)


def shuffled_tree(seed, size=140):
    rng = np.random.default_rng(seed)
    return permuted(random_tree(rng, size, 0.95), rng.permutation(size))


def same_samples(one, two):
    """Every sample sees the same tokens, position ids and kinds.

    And every label is predicted by the same token as before.
    """
    for a, b in ((one, two), (two, one)):
        assert a.samples == b.samples
    for name in ("input_ids", "position_ids"):
        before, after = getattr(one, name), getattr(two, name)
        assert (before[one.sample_position] == after[two.sample_position]).all()
        assert (before[one.loss_position] == after[two.loss_position]).all()
    assert (one.keys["kinds"][one.sample_position] == two.keys["kinds"][two.sample_position]).all()
    assert (one.loss_label == two.loss_label).all()
    for path in range(len(one.samples)):
        part = slice(int(one.sample_offset[path]), int(one.sample_offset[path + 1]))
        row = two.mask.row(int(two.loss_position[path]))
        assert row.tolist() == sorted(two.sample_position[part].tolist())


def test_a_batch_in_another_order():
    batch = batch_of(shuffled_tree(0), 0)
    order = np.random.default_rng(9).permutation(batch.positions)
    moved = arranged_batch(batch, order)
    same_samples(batch, moved)
    back = arranged_batch(moved, invert_order(order))
    assert all((a == b).all() for a, b in zip(batch_arrays(batch).values(), batch_arrays(back).values(), strict=True))


def test_a_packed_folder_arranged(tmp_path):
    batches = [batch_of(shuffled_tree(seed), seed) for seed in range(3)]
    packed = packed_folder(tmp_path / "packed", batches, 512)
    done = run(packed, "--block-size", 16, "-o", tmp_path / "arranged", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.output)["masks"]
    arranged = open_packed(tmp_path / "arranged")
    assert [row["batch"] for row in rows] == [0, 1, 2]
    for row, batch, found in zip(rows, batches, arranged, strict=True):
        same_samples(batch, found)
        assert counts(found.mask, 16)._asdict() == row["value"]
        assert row["value"]["nonempty"] < row["given"]["nonempty"]
    given, written = (json.loads((path / "manifest.json").read_text()) for path in (packed, tmp_path / "arranged"))
    assert given.pop("hash") != written.pop("hash")
    for manifest in (given, written):
        for entry in manifest["batches"]:
            entry.pop("hash")
    assert given == written  # the layout has other hashes, nothing else is different


def test_one_batch(tmp_path):
    packed = packed_folder(tmp_path / "packed", [batch_of(shuffled_tree(seed), seed) for seed in range(2)])
    assert [row["batch"] for row in json.loads(run(packed, "--batch", 1, "--json").output)["masks"]] == [1]
    assert run(packed, "--quiet").output == ""


def test_nothing_is_left_when_a_batch_is_broken(tmp_path):
    packed = packed_folder(tmp_path / "packed", [batch_of(shuffled_tree(seed), seed) for seed in range(2)])
    (packed / "batch-00001.safetensors").write_bytes(b"broken")
    done = run(packed, "-o", tmp_path / "arranged")
    assert (done.exit_code, done.exception.__class__) == (2, SystemExit)
    assert "batch-00001.safetensors" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("empty",), "holds neither solution.json nor manifest.json"),
        (("packed", "--batch", "5"), "has 1 batch, not a batch 5; batches are counted from 0"),
        (("packed", "--batch", "0", "-o", "new"), "--batch 0 cannot be combined with -o, which writes every batch"),
        (("packed", "-o", "full"), "the folder is not empty"),
    ],
)
def test_refusals(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    packed_folder(tmp_path / "packed", [batch_of(shuffled_tree(0), 0)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = run(*arguments)
    assert (done.exit_code, words in done.output) == (2, True), done.output
    assert done.output.count("\n") == 1


def test_refuses_what_is_no_order():
    with pytest.raises(InvalidInstance, match="permutation"):
        arranged_batch(batch_of(Mask.from_dense(np.eye(8, dtype=bool)), 0), [0] * 8)


@pytest.mark.parametrize("kind", ["packed", "answer"])
def test_force_replaces_a_folder_of_its_kind(tmp_path, kind):
    subject, target = tmp_path / kind, tmp_path / "new" / "arranged"
    if kind == "packed":
        packed_folder(subject, [batch_of(shuffled_tree(0), 0)])
    else:
        ms.write(ms.solve(catalog.butterfly(n=4)), subject)
    given = {file.name: file.read_bytes() for file in subject.iterdir()}
    assert run(subject, "--block-size", 2, "-o", target).exit_code == 0
    assert "is not empty; choose another folder or give --force" in run(subject, "-o", target).output
    written = {file.name: file.read_bytes() for file in target.iterdir()}
    (target / ("batch-00000.safetensors" if kind == "packed" else "solution.json")).write_text("old")
    assert run(subject, "--block-size", 2, "-o", target, "--force").exit_code == 0
    assert {file.name: file.read_bytes() for file in target.iterdir()} == written
    (tmp_path / "link").symlink_to(subject)
    for same in (subject, tmp_path / "link"):
        assert "is the input, which is never replaced" in run(subject, "-o", same, "--force").output
    assert {file.name: file.read_bytes() for file in subject.iterdir()} == given


def test_force_keeps_what_is_not_packed(tmp_path):
    packed_folder(tmp_path / "packed", [batch_of(shuffled_tree(0), 0)])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "'notes.txt'" in run(tmp_path / "packed", "-o", tmp_path / "mine", "--force").output
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
