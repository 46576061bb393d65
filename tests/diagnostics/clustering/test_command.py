"""``masksynth diagnose clustering``: text, JSON, pictures, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth.cli import main
from masksynth.diagnostics.clustering import causal_mask, diagnose
from masksynth.diagnostics.clustering.figure import write_clustering
from masksynth.errors import InvalidInstance
from masksynth.mask import Mask

QUICK = ("--seeds", "2", "--time", "5")


def run(*arguments):
    return CliRunner().invoke(main, ["diagnose", "clustering", *map(str, arguments)])


def test_a_causal_mask_in_words():
    done = run("--causal", 8, "--beta", 1, "--time", 60)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "causal 8: 8 positions, beta 1, dimension 3, 8 starts, time 60"
    assert "a theorem for 8 positions, that is all" in done.output
    assert "7 positions (1..7) of root 0: 100% within 0.0447 rad" in done.output
    assert "theorem (arXiv 2411.04990, 4.1)" in done.output


def test_a_mask_file_with_every_kind_of_row(tmp_path):
    rows = np.eye(7, dtype=bool)
    rows[2, [0, 1]] = rows[3, 2] = rows[4, 5] = rows[5, 4] = True
    rows[3, 3] = rows[6, 6] = False
    np.save(tmp_path / "mask.npy", rows)
    done = run(tmp_path / "mask.npy", *QUICK)
    assert done.exit_code == 0, done.output
    for text in (
        "1 row empty: such a position attends to nothing and does not move",
        "1 row without themselves",
        "a theorem for 6 positions, a conjecture for 1",
        "the mask has 3 connected components",
        "of roots 0, 1",
        "theorem (docs/clustering.md, D): converges",
        "conjecture: converges to one of several clusters",
        "theorem (docs/clustering.md, C): gathers in one point, for almost every start",
        "theorem: attends to nothing but itself and never moves",
    ):
        assert text in done.output, (text, done.output)


def test_json_is_the_record_and_the_same_twice():
    first, second = (run("--causal", 12, "--beta", 9, "--dim", 2, *QUICK, "--json") for _ in range(2))
    assert first.output == second.output
    found = json.loads(first.output)
    own = diagnose(causal_mask(12), dim=2, seeds=2, time=5.0)
    assert found == json.loads(json.dumps({"diagnosis": "clustering", "subject": "causal 12", **own.record()}))
    assert {one["name"]: f"{one['status']} ({one['source']}): {one['claim']}" for one in found["statements"]} == {
        name: text.replace("theorem:", "theorem (docs/clustering.md):") for name, text in found["meaning"].items()
    }
    assert found["times"][0] == 0
    assert found["times"][-1] == 5
    assert json.loads(run("--causal", 12, "--seed", 1, *QUICK, "--json").output)["clusters"] != found["clusters"]


def test_the_curves_are_those_of_the_trajectories():
    found = diagnose(causal_mask(20), beta=16.0, dim=2, seeds=3, time=200.0, paths=True)
    assert found.clusters.mean[0] > found.clusters.mean[-1]
    assert all(low <= high for low, high in zip(found.clusters.low, found.clusters.high, strict=True))
    captured = dict(found.captured)
    assert captured["renyi"].mean[0] == captured["renyi fixed"].mean[0]
    assert all(strong <= renyi for strong, renyi in zip(captured["strong"].mean, captured["renyi"].mean, strict=True))
    assert hash(found) == hash(replace(found))
    (chain,) = (group for group in found.groups if group.status == "chain")
    assert chain.gathered[-1] > chain.gathered[0]
    assert np.array(found.paths).shape == (20, len(found.times), 2)
    assert np.abs(np.linalg.norm(found.paths, axis=-1) - 1).max() < 1e-3
    assert found.expected_strong is not None
    assert diagnose(Mask.from_dense(np.eye(3, dtype=bool)), seeds=1, time=1.0).expected_strong is None


def test_a_small_beta_has_no_centres():
    done = run("--causal", 4, "--beta", 1, *QUICK)
    assert "no centres: their distance 4 / sqrt(beta) = 4 exceeds pi" in done.output


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
@pytest.mark.parametrize("dim", [2, 3])
def test_pictures_are_the_same_twice(tmp_path, ending, dim):
    places = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for place in places:
        done = run("--causal", 6, "--dim", dim, *QUICK, "-o", place)
        assert done.exit_code == 0, done.output
        assert f"written to {place}" in done.output
    assert places[0].read_bytes() == places[1].read_bytes()
    assert len(places[0].read_bytes()) > 5000
    assert "already exists" in run("--causal", 6, *QUICK, "-o", places[0]).output
    assert run("--causal", 6, *QUICK, "-o", places[0], "--force", "--quiet").output == ""


def test_a_picture_is_drawn_from_the_record_alone(tmp_path):
    found = diagnose(causal_mask(5), beta=1.0, dim=2, seeds=2, time=5.0, paths=True)
    text = write_clustering(found, tmp_path / "a.svg", title="<five> & $x$").read_text(encoding="utf-8")
    assert "&lt;five&gt; &amp; $x$" in text
    assert "no centres: beta is too small" in text
    with pytest.raises(InvalidInstance, match="has no paths"):
        write_clustering(replace(found, paths=None), tmp_path / "b.svg")
    with pytest.raises(InvalidInstance, match=r"ends in '\.gif'"):
        write_clustering(found, tmp_path / "b.gif")


def test_refusals(tmp_path):
    np.save(tmp_path / "square.npy", np.ones((2, 3), bool))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.save(tmp_path / "none.npy", np.zeros((0, 0), bool))
    np.save(tmp_path / "pattern.npy", np.stack([np.eye(3, dtype=bool), np.tri(3, dtype=bool)]))
    np.save(tmp_path / "mask.npy", np.tri(3, dtype=bool))
    for arguments in (
        (tmp_path / "square.npy",),
        (tmp_path / "nan.npy",),
        (tmp_path / "none.npy",),
        (tmp_path / "pattern.npy",),
        (tmp_path / "no.npy",),
        (),
        (tmp_path / "mask.npy", "--causal", 3),
        (tmp_path / "mask.npy", "-o", tmp_path / "a.gif"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert len(done.output.strip().splitlines()) == 1, done.output
        assert done.output.startswith("Error: ")
    for arguments in (
        ("--causal", 0),
        ("--causal", 3, "--beta", 0),
        ("--causal", 3, "--dim", 1),
        ("--causal", 3, "--time", "nan"),
        ("--causal", 3, "--time", 1e12),
    ):
        assert run(*arguments).exit_code == 2
    assert "expected a mask of one table, got 2" in run(tmp_path / "pattern.npy").output


def test_a_ring_on_the_circle_is_refuted_and_on_the_sphere_conjectured(tmp_path):
    np.save(tmp_path / "ring.npy", np.roll(np.eye(6, dtype=bool), 1, axis=1))
    circle, sphere = (run(tmp_path / "ring.npy", "--dim", dim, "--seeds", 40, "--time", 1).output for dim in (2, 3))
    assert "a theorem for 0 positions, refuted for 6" in circle
    assert "refuted (docs/clustering.md, C): does not gather from some starts" in circle
    assert "conjecture" not in circle
    assert "a theorem for 0 positions, a conjecture for 6" in sphere
    assert "the mask falls" not in sphere
    for text, name in ((circle, "half"), (sphere, "hemisphere")):
        held = int(text.split(f"in an open {name}, so that the theorem holds: ")[1].split(" of 40 starts")[0])
        assert 0 < held < 40
    assert "a theorem for 6 positions, that is all" in run(tmp_path / "ring.npy", "--dim", 6, *QUICK).output


def test_more_centres_than_positions_are_not_expected():
    assert "expected: 6.0 strong)" in run("--causal", 6, "--dim", 2, "--beta", 1e6, *QUICK).output


def test_help_says_what_it_is():
    done = run("--help")
    assert "2411.04990" in done.output
    assert "masksynth diagnose clustering --causal 200" in done.output


def test_the_figure_of_the_paper_takes_seconds():
    """n = 200, d = 2, beta = 64, T = 150; a minute would be wrong even on a busy machine."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "masksynth",
            "diagnose",
            "clustering",
            "--causal",
            "200",
            "--beta",
            "64",
            "--dim",
            "2",
            "--time",
            "150",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "expected: 6.3 strong, 9.4 Renyi" in done.stdout


@pytest.mark.parametrize(("missing", "text"), [("scipy", "masksynth[diagnose]"), ("matplotlib", "masksynth[draw]")])
def test_a_missing_package_is_named_with_its_remedy(tmp_path, missing, text):
    """In a fresh interpreter where the package cannot be found."""
    program = (
        "import sys, importlib.abc\n"
        "class Nowhere(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {missing!r}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "import importlib.util\n"
        "plain = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, package=None: None if name == {missing!r} else plain(name, package)\n"
        "sys.meta_path.insert(0, Nowhere())\n"
        "from masksynth.cli import main\n"
        f"main(['diagnose', 'clustering', '--causal', '3', '-o', {str(tmp_path / 'a.svg')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert text in done.stderr


def test_importing_the_library_loads_nothing_of_it():
    text = (
        "import masksynth, sys; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'scipy', 'matplotlib', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
