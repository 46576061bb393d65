"""Sparse masks through the real command: answers, files, refusals in one line, limits, Ctrl-C, proofs."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.command import interrupt, masksynth, refused, start


def causal(n):
    return np.tril(np.ones((n, n), bool))


@pytest.fixture
def chain(tmp_path):
    np.save(tmp_path / "chain.npy", causal(7))
    return tmp_path / "chain.npy"


def test_solve_sparse_verify_and_check_proof(tmp_path):
    (tmp_path / "text.json").write_text(masksynth("new", "causal_lm", "--n", "10").stdout)
    done = masksynth("solve", "text.json", "--sparse", "--layers", "2", "-o", "thin", "--proof", "proof", "--json", cwd=tmp_path)
    record = json.loads(done.stdout)
    assert (done.returncode, record["status"], record["objective"]["edges"]) == (0, "OPTIMAL", {"value": 16, "bound": 16})
    assert record["problem"]["sparse"] is True
    edges = load_file(tmp_path / "thin/mask.safetensors")["mask"].sum() - 9
    assert edges == 16
    right = masksynth("verify", "text.json", "thin", "--json", cwd=tmp_path)
    assert (right.returncode, json.loads(right.stdout)["edges"]) == (0, 16)
    proof = masksynth("check-proof", "proof", "--json", cwd=tmp_path)
    assert (proof.returncode, json.loads(proof.stdout)["optimal"]) == (0, True)
    mask = np.load(tmp_path / "proof/mask.npy")
    mask[8, 0] ^= True
    np.save(tmp_path / "proof/mask.npy", mask)
    wrong = masksynth("check-proof", "proof", "--json", cwd=tmp_path)
    assert (wrong.returncode, json.loads(wrong.stdout)["ok"]) == (1, False)


def test_sparse_in_the_file_is_sparse_on_the_command_line(tmp_path):
    document = json.loads(masksynth("new", "causal_lm", "--n", "6").stdout) | {"sparse": True, "layers": 3}
    done = masksynth("solve", "-", text=json.dumps(document))
    assert done.returncode == 0
    assert "OPTIMAL, 5 edges instead of 10 through 3 layers (5 positions, minimal)" in done.stdout


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors"])
def test_sparsify_writes_what_it_reads(chain, ending):
    out = chain.with_name(f"thin.{ending}")
    done = masksynth("sparsify", chain, "--layers", "2", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "OPTIMAL, 10 edges instead of 21 through 2 layers" in done.stdout
    again = masksynth("sparsify", out, "--layers", "2", "--json")
    record = json.loads(again.stdout)
    assert (record["closed"], record["size"], record["objective"]["edges"]["value"]) == (False, 7, 10)


def test_rules_layers_of_their_own_and_emit(chain):
    rules = chain.with_name("rules.json")
    rules.write_text('{"forced": [[6, 0]], "forbidden": [[5, 1]], "weights": [[4, 2, 3]]}')
    done = masksynth("sparsify", chain, "--layers", "2", "--rules", rules, "--emit", chain.with_name("s.wcnf"), "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, [6, 0] in record["edges"], [5, 1] in record["edges"]) == (0, True, False)
    assert chain.with_name("s.wcnf").read_text().startswith("c offset ")
    layered = json.loads(masksynth("sparsify", chain, "--layers", "2", "--layered", "--json").stdout)
    assert {len(edge) for edge in layered["edges"]} == {3}
    rules.write_text('{"forbidden": [[1, 0]]}')
    none = masksynth("sparsify", chain, "--layers", "2", "--rules", rules, "--json")
    assert (none.returncode, json.loads(none.stdout)) == (1, {"status": "INFEASIBLE", "layers": 2, "unreachable": [1, 0]})


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("[]", "is not an object with forced, forbidden and weights only"),
        ('{"forced": [[1]]}', "$.forced[0]: [1] is not a list of 2 integers"),
        ('{"weights": [[1, 0, 1.5]]}', "$.weights[0]: [1, 0, 1.5] is not a list of 3 integers"),
        ('{"forced": [[0, 6]]}', "the forced edge (0, 6) would carry flow beyond the relation"),
        ('{"forced": [[9, 0]]}', "forced has (9, 0), not two different positions from 0 to 6"),
        ('{"forced": [[6, 0]], "forbidden": [[6, 0]]}', "the edge (6, 0) is forced and forbidden"),
        ("{", "not JSON: line 1, column 2"),
    ],
)
def test_bad_rules_are_one_line(chain, rules, told):
    path = chain.with_name("rules.json")
    path.write_text(rules)
    assert told in refused(masksynth("sparsify", chain, "--layers", "2", "--rules", path))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.ones((2, 3), bool), "a mask is a bool array of shape (n, n) or (P, n, n), not bool (2, 3)"),
        (np.ones((3, 3)), "not float64 (3, 3)"),
        (np.ones((2, 3, 3), bool), "a pattern of 2 tables is not one flow"),
        (np.array([None, {}], object), "is not a whole .npy file of plain numbers"),
    ],
)
def test_bad_masks_are_one_line(tmp_path, array, told):
    np.save(tmp_path / "bad.npy", array)
    assert told in refused(masksynth("sparsify", tmp_path / "bad.npy"))


def test_refusals(chain):
    assert "there is no such file" in refused(masksynth("sparsify", "nowhere.npy"))
    assert "ends in '.png'" in refused(masksynth("sparsify", chain, "-o", chain.with_name("x.png")))
    assert "is there already" in refused(masksynth("sparsify", chain, "-o", chain))
    assert "unknown sparse backend 'glpk'" in refused(masksynth("sparsify", chain, "--backend", "glpk"))
    assert "needs a number of layers" in refused(masksynth("sparsify", chain, "--layered"))
    assert masksynth("sparsify", chain, "--layers", "0").returncode == 2
    text = masksynth("new", "causal_lm", "--n", "5").stdout
    assert "--proof writes the proof of a sparse optimum; give --sparse" in refused(masksynth("solve", "-", "--proof", "p", text=text))


def test_a_proof_has_nowhere_to_go_is_said_before_the_work(chain):
    (chain.parent / "full").mkdir()
    (chain.parent / "full/kept").write_text("")
    assert "the folder is not empty" in refused(masksynth("sparsify", chain, "--layers", "2", "--proof", chain.parent / "full"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_gives_the_best_checked_mask(tmp_path, workers):
    np.save(tmp_path / "c.npy", causal(36))
    process = start("sparsify", tmp_path / "c.npy", "--layers", "2", "--workers", workers, "--json")
    time.sleep(8)
    code, text, complaints, seconds = interrupt(process)
    assert (code, complaints) == (0, "")
    assert seconds < 20
    record = json.loads(text)
    assert record["status"] == "FEASIBLE"
    assert record["objective"]["edges"]["bound"] <= record["objective"]["edges"]["value"] == len(record["edges"])


def test_limits(tmp_path):
    np.save(tmp_path / "c.npy", causal(36))
    for limit in (("--time-limit", "1"), ("--effort", "1")):
        done = masksynth("sparsify", tmp_path / "c.npy", "--layers", "2", *limit, "--json")
        assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "FEASIBLE")
    shown = masksynth("sparsify", tmp_path / "c.npy", "--layers", "2", "--effort", "0").stdout
    assert "FEASIBLE" in shown
    assert "are needed: gap" in shown
