"""``masksynth check-proof``: exit codes, one line for a refusal, JSON, and a checker of another house."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from click.testing import CliRunner

from masksynth.cli import main
from masksynth.terminal import plain
from tests.proofs.folders import KNOWN, written

OUTSIDE = f"""#!{sys.executable}
import sys
from pathlib import Path
from dratify import check_proof, parse_dimacs
formula = parse_dimacs(Path(sys.argv[1]).read_text(), strict=True)
print("c another checker")
print("s VERIFIED" if check_proof(formula, Path(sys.argv[2]).read_text(), engine="python").ok else "s NOT VERIFIED")
"""


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    return written(KNOWN["path-9"][0], tmp_path_factory.mktemp("proof") / "proof")


@pytest.fixture
def wrong(proof, tmp_path):
    shutil.copytree(proof, tmp_path / "wrong")
    (tmp_path / "wrong" / "part-000" / "proof.drat").write_text("0\n")
    return tmp_path / "wrong"


@pytest.fixture
def outside(tmp_path):
    program = tmp_path / "outside"
    program.write_text(OUTSIDE)
    program.chmod(0o755)
    return program


def run(*arguments):
    return CliRunner().invoke(main, ["check-proof", *map(str, arguments)])


def test_right(proof):
    done = run(proof)
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    assert first == f"{proof}: right. 9 positions, 2 layers: weight 16, optimal"
    assert second.startswith("  part-000: at least 8, DRUP, 483 clauses, ")
    assert run(proof, "--quiet").stdout == ""
    assert (
        run(proof, "--checker", "rup").stdout.splitlines()[1].startswith("  part-000: at least 8, DRUP, 483 clauses, ")
    )


def test_json(proof, wrong):
    found = json.loads(run(proof, "--json").stdout)
    assert (found["ok"], found["value"], found["bound"], found["optimal"], found["parts"][0]["kind"]) == (
        True,
        16,
        16,
        True,
        "drat",
    )
    done = run(wrong, "--json")
    assert (done.exit_code, json.loads(done.stdout)["ok"], json.loads(done.stdout)["reason"][:5]) == (1, False, "proof")


def test_refusals(wrong, tmp_path):
    done = run(wrong)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: proof: part-000/proof.drat: step 1: ")
    done = run(tmp_path / "nowhere")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("problem.json: there is no such file; name a folder written by --proof\n")


def test_a_checker_of_another_house(proof, wrong, outside):
    done = run(proof, "--checker", outside)
    assert done.exit_code == 0
    assert f", accepted by {plain(str(outside))}, " in done.stdout
    assert "DRUP" not in done.stdout  # the program may accept RAT steps
    done = run(wrong, "--checker", outside)
    assert (done.exit_code, "got exit code 0 and the last line 's NOT VERIFIED'" in done.stderr) == (1, True)
    done = run(proof, "--checker", outside.parent / "none")
    assert (
        done.exit_code,
        done.stderr.endswith("none: cannot be run: No such file or directory; name a program like drat-trim\n"),
    ) == (
        2,
        True,
    )
    done = run(proof, "--checker", "true")
    assert (done.exit_code, "got exit code 0 and the last line 'nothing'" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "script", ["echo 's VERIFIED'; kill -9 $$", "echo 's NOT VERIFIED'; echo 's VERIFIED'", "echo 'c s VERIFIED'"]
)
def test_a_program_that_takes_back_what_it_says(proof, tmp_path, script):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    done = run(proof, "--checker", program)
    assert (done.exit_code, "expected 's VERIFIED' as its one verdict, got exit code" in done.stderr) == (1, True)
