"""The command: text, JSON and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

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
    assert record["minimal"] == {"positions": 12, "dead": 0, "duplicates": 0, "minimal": 12}
    assert record["kernels"]["0"]["flex"]["bytes"] > 0


def test_clean_masks_exit_with_zero(tmp_path):
    np.save(tmp_path / "mask.npy", CAUSAL)
    done = run(tmp_path / "mask.npy")
    assert done.exit_code == 0
    assert "0 errors, 0 warnings, 0 notes" in done.output
    assert "not checked without" in done.output
    assert run("attn_gym.masks:causal_mask", "--length", 9).exit_code == 0


def test_what_cannot_be_read_exits_with_two(tmp_path):
    for arguments in (("none.npy",), ("nowhere:mask",), ("attn_gym.masks:causal_mask",), (tmp_path,), (), ("x.npy", "--layers", 0)):
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
