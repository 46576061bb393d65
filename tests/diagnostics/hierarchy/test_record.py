"""The record, the cost model, the picture and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth import pack
from masksynth.cli import main
from masksynth.diagnostics.hierarchy import (
    cost,
    diagnose_hierarchy,
    inputs_of,
    published_flops,
    published_pairs,
    sight_of,
    tree_of_lists,
    windows,
)
from masksynth.diagnostics.hierarchy.figure import write_hierarchy_figure
from masksynth.diagnostics.hierarchy.visible_siblings import sightless_rows
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.subject import write_mask

TABLE = {  # tokens: MFLOPs of a layer before and after, as printed (arXiv 2509.15448, table 3)
    264: ("214.94", "4.32"),
    54: ("8.99", ".8357"),
    12: (".4441", ".1912"),
    26: ("2.08", ".4132"),
    55: ("9.33", ".8481"),
    70: ("15.11", "1.29"),
    38: ("4.45", ".5643"),
}


def command(*arguments, text=None):
    return CliRunner().invoke(main, ["diagnose", "hierarchy", *map(str, arguments)], input=text)


@pytest.mark.parametrize("tokens", TABLE)
def test_operations_are_those_of_the_published_table(tokens):
    for printed, found in zip(TABLE[tokens], published_flops(tokens), strict=True):
        digits = len(printed.partition(".")[2])
        assert abs(found / 1e6 - float(printed)) < 10**-digits  # one unit in the last digit: some were cut, not rounded


def test_the_model_counts_full_windows_and_the_tree_counts_its_own():
    assert published_pairs(1024) == cost(windows(1024, (2, 4, 8, 16)), 768).tree_pairs + 1
    tree = windows(100, (2, 5))
    assert cost(tree, 8, heads=2, itemsize=2)[:2] == (50 * 4 + 10 * 25 + 100, 10000)


def test_the_record_is_plain_and_says_what_was_measured():
    tree = windows(32, (2, 4, 4))
    found = diagnose_hierarchy(tree, dim=5, seed=3, included=True)
    assert json.loads(json.dumps(found.record()))["kl_mean"] == pytest.approx(found.kl_total / 32)
    assert sum(found.kl_rows) == pytest.approx(found.kl_total)
    assert len(found.blocks) == sum(g.child.size * (g.child.shape[1] - 1) for level in tree.plan for g in level)
    area = sum(rows * keys for _, _, rows, _, keys in found.blocks)
    assert area == 32**2 - 32
    assert found == diagnose_hierarchy(tree, dim=5, seed=3, included=True)
    assert diagnose_hierarchy(tree, flat=False).kl_total is None
    both = np.random.default_rng(0).standard_normal((2, 3, 32, 4))
    heads = diagnose_hierarchy(tree, *both)
    assert heads.heads == 3
    assert heads.kl_total == pytest.approx(sum(diagnose_hierarchy(tree, *both[:, h]).kl_total for h in range(3)))
    with pytest.raises(InvalidInstance, match="neither"):
        diagnose_hierarchy(tree, both[0])
    with pytest.raises(InvalidInstance, match="one shape"):
        diagnose_hierarchy(tree, both[0], both[1, 0])


def test_pictures_come_from_the_record_and_are_equal_each_time(tmp_path):
    found = diagnose_hierarchy(windows(60, (4, 4)), causal=True, included=True)
    for ending in ("svg", "png", "pdf"):
        pictures = [write_hierarchy_figure(tmp_path / f"{n}.{ending}", found).read_bytes() for n in range(2)]
        assert pictures[0] == pictures[1]
    tree = ElementTree.fromstring((tmp_path / "0.svg").read_text())
    ids = {one.attrib.get("id") for one in tree.iter()}
    assert {"depth-1", "depth-2", "leaves", "kl", "mean", "title"} <= ids
    changed = replace(found, blocks=found.blocks[:1])
    assert write_hierarchy_figure(tmp_path / "other.svg", changed).read_bytes() != (tmp_path / "0.svg").read_bytes()
    for tree in (tree_of_lists(0), windows(3000, ())):
        write_hierarchy_figure(tmp_path / "edge.svg", diagnose_hierarchy(tree, flat=False), force=True)
    with pytest.raises(InvalidInstance, match="already exists"):
        write_hierarchy_figure(tmp_path / "0.svg", found)
    with pytest.raises(InvalidInstance, match="ends in"):
        write_hierarchy_figure(tmp_path / "0.gif", found)


def test_the_command_reads_trees_masks_and_packed_folders(tmp_path):
    (tmp_path / "tree.json").write_text("[[0, 1], [2, 3]]")
    np.save(tmp_path / "mask.npy", np.tri(12, dtype=bool))
    samples = [
        {"id": n, "group": n // 2, "input_ids": [n // 2, 7, 8, n, 9], "labels": [-100, -100, -100, n, 9]}
        for n in range(4)
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)))
    assert (
        CliRunner().invoke(main, ["pack", str(tmp_path / "samples.jsonl"), "-o", str(tmp_path / "packed")]).exit_code
        == 0
    )
    plain = command(tmp_path / "tree.json")
    assert plain.exit_code == 0, plain.output
    assert "4 positions, 3 families of at most 2 nodes, depth 2" in plain.output
    stdin = command("-", "--json", text="[[0, 1], [2, 3]]")
    assert json.loads(stdin.output)["families"] == 3
    mask = json.loads(command(tmp_path / "mask.npy", "--most", 4, "--self", "included", "--json").output)
    assert (mask["lost_pairs"], mask["mask_pairs"], mask["largest"], mask["kl_total"] > 0) == (0, 78, 4, True)
    cut = json.loads(command(tmp_path / "mask.npy", "--branching", "4,4", "--self", "excluded", "--json").output)
    assert (cut["empty_rows"], cut["kl_total"]) == (4, None)
    packed = json.loads(command(tmp_path / "packed", "--self", "included", "--json").output)
    assert (packed["positions"], packed["depth"], packed["lost_pairs"]) == (
        pack.open_packed(tmp_path / "packed")[0].positions,
        3,
        0,
    )
    picture = command(tmp_path / "tree.json", "--plot", tmp_path / "tree.svg", "--quiet")
    assert (picture.exit_code, picture.output) == (0, "")
    assert ElementTree.fromstring((tmp_path / "tree.svg").read_text()) is not None


def test_queries_and_keys_from_files(tmp_path):
    from safetensors.numpy import save_file

    q, k = np.random.default_rng(0).standard_normal((2, 2, 8, 3), np.float32)
    np.savez(tmp_path / "qk.npz", q=q, k=k)
    save_file({"q": q, "k": k}, tmp_path / "qk.safetensors")
    answers = [
        json.loads(command("--length", 8, "--branching", "2,2", "--qkv", tmp_path / f"qk.{ending}", "--json").output)
        for ending in ("npz", "safetensors")
    ]
    assert answers[0]["kl_total"] == answers[1]["kl_total"]
    assert (answers[0]["heads"], answers[0]["dim"]) == (2, 3)
    assert "per position and head;" in command("--length", 8, "--qkv", tmp_path / "qk.npz").output
    for option in ("--dim", "--seed"):
        found = command("--length", 8, "--qkv", tmp_path / "qk.npz", option, 5)
        assert found.exit_code == 2
        assert f"qk.npz: queries and keys are given, so {option} has no effect; leave {option} out" in found.output
    np.savez(tmp_path / "bad.npz", q=q, key=k)
    for length, file, said in ((8, "bad.npz", "array 'k' is missing"), (9, "qk.npz", "for 9 positions")):
        found = command("--length", length, "--qkv", tmp_path / file)
        assert found.exit_code == 2
        assert said in found.output


def test_numbers_that_fit_no_score_are_refused(tmp_path):
    for wrong, said in (
        (1e200, "above 1e+100"),
        (1j, "complex"),
        (np.nan, "qk.npz: array 'q' has numbers that are not finite"),
        (1e90, "no digit"),
    ):
        np.savez(tmp_path / "qk.npz", q=np.full((8, 2), wrong), k=np.ones((8, 2)))
        found = command("--length", 8, "--branching", "2,2", "--qkv", tmp_path / "qk.npz")
        assert found.exit_code == 2, found.output
        assert said in found.output


def test_scores_that_are_not_finite_are_refused_in_both_precisions():
    tree, x = windows(4, (2,)), np.ones((4, 2))
    for given, options, said in (
        (1e200 * x, {}, "too large"),
        (np.float32(1e25) * x.astype(np.float32), {}, "too large"),
        (1e200 * x, {"scores": "distance"}, "too large"),
        (x, {"scale": np.nan}, "expected a finite scale, got nan"),
        (x, {"scale": np.inf}, "expected a finite scale, got inf"),
        (x, {"eps": np.full((tree.nodes, 1), 1e200)}, "too large"),
        (x + 1j, {}, "complex"),
    ):
        with pytest.raises(InvalidInstance, match=said):
            inputs_of(tree, given, given, **options)


def test_divergences_that_are_undefined_and_infinite_are_told_apart(tmp_path):
    mask = np.ones((4, 4), bool)
    mask[0, 2] = False
    mask[0, 1] = False
    np.save(tmp_path / "cut.npy", mask)
    infinite = command(tmp_path / "cut.npy", "--branching", "2,2", "--self", "excluded")
    assert "infinite: every row-stochastic matrix that is tied" in infinite.output, infinite.output
    mask[0] = False
    np.save(tmp_path / "blind.npy", mask)
    assert (
        "undefined: 1 row of softmax attends"
        in command(tmp_path / "blind.npy", "--branching", "2,2", "--self", "excluded").output
    )
    for included in (False, True):
        sight = sight_of(
            tree_of_lists([[0, 1], [2, 3]]), included=included, mask=Mask.from_dense(mask | np.eye(4, dtype=bool))
        )
        assert sightless_rows(sight).tolist() == [not included, False, False, False]


def test_the_divergences_of_parts_that_do_not_see_each_other_add_up():
    q, k = np.random.default_rng(0).standard_normal((2, 7, 3))
    parts = ([[0, 1], 2], [3, [4, 5], 6])
    apart = np.zeros((7, 7), bool)
    apart[:3, :3] = apart[3:, 3:] = True
    whole = diagnose_hierarchy(tree_of_lists(list(parts)), q, k, mask=Mask.from_dense(apart))
    second = diagnose_hierarchy(tree_of_lists([0, [1, 2], 3]), q[3:], k[3:])
    assert whole.kl_total == pytest.approx(
        diagnose_hierarchy(tree_of_lists(parts[0]), q[:3], k[:3]).kl_total + second.kl_total
    )


def test_a_mask_says_itself_what_is_seen(tmp_path):
    np.save(tmp_path / "mask.npy", np.tri(8, dtype=bool))
    for options in (("--causal",), ("--branching", "2,2", "--most", "4")):
        found = command(tmp_path / "mask.npy", *options)
        assert found.exit_code == 2, found.output
        assert "leave --" in found.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no tree and no length"),
        (("--length", "9", "--most", "4"), "--most has no effect"),
        (("--length", "9", "--batch", "0"), "--batch has no effect"),
        (("--length", "9", "--branching", "2,0"), "expected positive integers"),
        (("tree.json", "--branching", "2"), "--branching has no effect"),
        (("nowhere.json",), "No such file"),
        (("nowhere.npy",), "there is no such file"),
        (("bad.json",), "more than once among the leaves"),
        (("--length", "9", "--plot", "x.gif"), "ends in '.gif'"),
        (("order.json", "--causal"), "not in the order"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree.json").write_text("[0, 1]")
    (tmp_path / "bad.json").write_text("[[0, 1], [1, 2]]")
    (tmp_path / "order.json").write_text("[1, 0]")
    found = command(*arguments)
    assert found.exit_code == 2
    assert said in found.output
    if "Usage" not in found.output:
        assert found.output.count("\n") == 1


def test_the_degenerate_case_is_said_and_the_whole_thing_runs_as_a_process(tmp_path):
    (tmp_path / "tree.json").write_text("[[0, 1], [2, 3], [4, 5]]")
    command = [sys.executable, "-m", "masksynth", "diagnose", "hierarchy", str(tmp_path / "tree.json")]
    done = subprocess.run(
        [*command, "--causal", "--self", "excluded"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "degenerate: 4 families with a child that has nothing" in done.stdout
    assert "empty: 2 rows with nothing to attend to (0, 1)" in done.stdout
    assert "undefined: 1 row of softmax attends" in done.stdout
    assert "nan" not in done.stdout.lower()


def test_a_mask_with_more_tables_is_refused(tmp_path):
    np.save(tmp_path / "two.npy", np.ones((2, 4, 4), bool))
    found = command(tmp_path / "two.npy")
    assert found.exit_code == 2
    assert "2 masks, one for each layer, have a tree each; give --layer" in found.output
    assert Mask.from_dense(np.ones((2, 4, 4), bool)).tables == 2


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors"])
def test_a_mask_file_on_stdin_is_read_as_from_its_path(form, tmp_path):
    path = tmp_path / f"mask.{form}"
    write_mask(Mask.from_dense(np.tril(np.ones((6, 6), bool))), path)
    named, piped = command(path, "--json"), command("-", "--json", text=path.read_bytes())
    assert piped.exit_code == 0, piped.output
    assert json.loads(piped.stdout) == json.loads(named.stdout) | {"name": "-"}
    refused = command("-", "--length", 4, text=path.read_bytes())
    assert refused.output == "Error: -: a mask file is given, so --length has no effect; leave --length out\n"


@pytest.mark.parametrize("text", [b"", b"\xff[", b"[[0, 1]"])
def test_stdin_that_holds_no_tree_is_named(text):
    done = command("-", text=text)
    assert (done.exit_code, done.output.startswith("Error: <stdin>: not JSON: ")) == (2, True), done.output
