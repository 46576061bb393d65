"""Forged refutations, and two checkers that agree.

On forgeries, on the proofs of solvers, and with dratify's plain engine.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from dratify import CNF
from dratify import check_proof as dratify_check
from pysat.solvers import Solver

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.proof import check_proof, rup
from masksynth.verify.proof.dimacs import parse_steps, read_formula
from masksynth.verify.proof.refutation import find_fault_by_dratify
from masksynth.verify.proof.rup import find_fault
from masksynth_solvers.sparse import prove_claim
from masksynth_solvers.sparse.path_encoding import encode
from masksynth_solvers.sparse.write_sparse_proof import write_proof
from tests.proofs import fuzz
from tests.proofs.folders import KNOWN, solved, written

CHAIN = KNOWN["path-9"][0]


def faults(formula, steps):
    """What each checker says, dratify's plain engine without RAT included, as whether it refuses and where."""
    plain = CNF(max((abs(x) for clause in (*formula, *(step[1] for step in steps)) for x in clause), default=0))
    for clause in formula:
        plain.add_dimacs(clause)
    coded = [("d" if gone else "a", tuple(2 * abs(x) - 2 + (x < 0) for x in literals)) for gone, literals in steps]
    result = dratify_check(plain, coded, check_rat=False, engine="python")
    if result.ok:
        third = ""
    elif result.failed_step > 0:
        third = f"step {result.failed_step}: the clause does not follow by unit propagation"
    else:
        third = "no step is the empty clause"
    return {find_fault_by_dratify(formula, steps), find_fault(formula, steps), third}


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """A folder that is right but for its refutation: the chain of 9 at two layers, whose optimum is 16, "needs 36"."""
    reduction, bounds, _ = solved(CHAIN)
    folder = write_proof(
        tmp_path_factory.mktemp("forged") / "forged", CHAIN, reduction, bounds, np.tril(np.ones((9, 9), bool))
    )
    claim = 36 - len(reduction.forced)
    formula = encode(CHAIN, reduction.forced, reduction.components[0])
    counted = prove_claim.limit_weight(formula, claim - 1)
    (folder / "part-000" / "formula.cnf").write_text("".join(prove_claim.dimacs_lines(counted)))
    document = json.loads((folder / "problem.json").read_text())
    document["parts"][0].update(bound=claim, kind="drat")
    (folder / "problem.json").write_text(json.dumps(document | {"bound": 36}))
    return folder


@pytest.fixture
def refused(forged, tmp_path):
    """Write a refutation into a copy of the forged folder, and return what both checkers say of it."""

    def check(content, kind=WrongAnswer):
        folder = tmp_path / "forged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(forged, folder)
        (folder / "part-000" / "proof.drat").write_bytes(content if isinstance(content, bytes) else content.encode())
        texts = set()
        for checker in (None, "rup"):
            with pytest.raises(kind) as raised:
                check_proof(folder, checker)
            texts.add(str(raised.value))
        (text,) = texts
        return text

    return check


def fresh(folder):
    return read_formula(folder / "part-000" / "formula.cnf").variables


def test_five_lines_prove_nothing(forged, refused):
    z, y = fresh(forged) + 1, fresh(forged) + 2
    five = f"{z} 0\n{y} -{z} 0\nd {y} -{z} 0\n-{y} 0\n0\n"
    assert refused(five) == "proof: part-000/proof.drat: step 1: the clause does not follow by unit propagation"
    assert fuzz.with_rat(read_formula(forged / "part-000" / "formula.cnf").clauses, parse_steps(five, y))
    refused(five.replace("\n", "\r\n"))
    refused(f"c a comment\n\n{five}")
    refused(f"1 -1 0\nd 1 -1 0\n{five}")


def test_refutations_that_follow_from_nothing(forged, refused):
    formula = read_formula(forged / "part-000" / "formula.cnf")
    unit = next(clause for clause in formula.clauses if len(clause) == 1)[0]
    for text in (
        "",
        "c 0\n",
        "0\n",
        f"d {unit} 0\n{-unit} 0\n0\n",
        f"d {unit} {unit} 0\n{-unit} 0\n0\n",
        "d 0\n0\n",
        "".join(f"d {' '.join(map(str, clause))} 0\n" for clause in formula.clauses) + "1 0\n-1 0\n0\n",
        f"{formula.variables + 1} {-formula.variables - 1} 0\n0\n",
    ):
        assert "part-000/proof.drat: " in refused(text)


@pytest.mark.parametrize(
    "content",
    [
        "1 0 2 0\n",
        "0 0\n",
        "1\n0\n",
        "1 2",
        "1 0 0\n",
        "d 1 d 0\n",
        "d\n",
        "d1 0\n",
        "0x1 0\n",
        "1_0 0\n",
        "+1 0\n",
        "01 0\n",
        "-0 0\n",
        "00\n",
        "1 0 c\n",
        "999999999 0\n0\n",
        "9999999999999999999999 0\n0\n",
        "e 1 0\n",
        b"a\x02\x00",
        b"a\x02\x04\x00d\x02\x04\x00a\x00",
        b"\x00",
        b"1 0\n\xff\n",
        "1 0\x00\n",
        "1 0\n0".replace("0", "٠"),
        "\ufeff0\n",
    ],
)
def test_what_is_no_proof_is_unreadable(refused, content):
    text = refused(content, InvalidInstance)
    assert text.isprintable()
    assert "proof.drat: " in text


def test_a_fuzz_of_forgeries():
    """The full run: ``python -m tests.proofs.fuzz --count 100000``."""
    found = fuzz.fuzz(400, seed=7)
    total = {
        what: sum(number for (_, name), number in found.items() if name == what)
        for what in ("accepted", "disagree", "refused")
    }
    assert total == {"accepted": 0, "disagree": 0, "refused": 0}
    assert sum(number for (_, what), number in found.items() if what == "with RAT") >= 0.01 * 400 * len(fuzz.KINDS)
    assert found["five_lines", "with RAT"] > 100


def test_three_checkers_agree_on_random_steps():
    """Small formulas with and without a model, and steps that follow, or are altered.

    The same verdict at the same step.
    """
    verdicts = set()
    for seed in range(600):
        chance = random.Random(seed)
        variables, clauses, _ = fuzz.random_formula(chance)
        more, steps = fuzz.neighbour(chance, variables, clauses)
        for formula in (clauses, more):
            for given in (
                steps,
                steps[:-1],
                fuzz.altered(chance, variables, clauses),
                fuzz.noise(chance, variables, clauses),
            ):
                (verdict,) = faults(formula, given)
                verdicts.add(verdict.partition(":")[0])
    assert {"", "no step is the empty clause", "step 1", "step 3"} <= verdicts


@pytest.mark.parametrize("solver", ["cadical195", "cadical153", "glucose4", "lingeling"])
def test_proofs_of_solvers(solver):
    """Random formulas near the threshold, refuted by four solvers, deletions and all.

    And the same proofs with lines left out.
    """
    accepted = refused = 0
    for seed in range(60):
        chance = random.Random(seed)
        clauses = [tuple(chance.choice((-1, 1)) * x for x in chance.sample(range(1, 26), 3)) for _ in range(130)]
        with Solver(solver, bootstrap_with=clauses, with_proof=True) as native:
            if native.solve():
                continue
            text = "".join(f"{line}\n" for line in native.get_proof())
        steps = parse_steps(text, 25)
        assert faults(clauses, steps) == {""}
        accepted += 1
        thinned = [step for step in steps if chance.random() > 0.3]
        (verdict,) = faults(clauses, thinned)
        refused += verdict != ""
    assert accepted > 20
    assert refused > 5


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_known_proofs_pass_both(name, tmp_path):
    folder = written(KNOWN[name][0], tmp_path / "proof")
    one, two = check_proof(folder), check_proof(folder, "rup")
    assert one.optimal
    assert [(part.folder, part.lines) for part in one.parts] == [(part.folder, part.lines) for part in two.parts]


def test_lemmas_pass_both(tmp_path, monkeypatch):
    monkeypatch.setattr(prove_claim, "_prove", lambda claim, until: "")
    folder = written(KNOWN["path-12"][0], tmp_path / "proof")
    report = check_proof(folder)
    assert len(report.lemmas) > 3
    assert any(lemma.kind == "drat" for lemma in report.lemmas)
    assert check_proof(folder, "rup").bound == report.bound == 25


def test_deletions():
    """A deleted clause is gone, a copy of it stays, and what it implied stays too."""
    square = [(1, 2), (1, -2), (-1, 2), (-1, -2)]
    assert find_fault(square, [(False, (1,)), (False, ())]) == ""
    assert find_fault(square, [(True, (2, 1)), (False, (1,)), (False, ())]).startswith("step 2")
    assert find_fault([*square, (2, 1)], [(True, (2, 1)), (False, (1,)), (False, ())]) == ""
    assert find_fault(square, [(False, (1,)), (True, (1,)), (True, (-1, 2)), (False, ())]) == ""
    assert find_fault(square, []) == "no step is the empty clause"
    assert find_fault([(1,), (-1,)], []) == find_fault([()], []) == ""
    assert faults([(1, 1, -2), (2, 2), (-1, -1)], []) == {""}


def test_the_small_checker_is_small():
    assert len(Path(rup.__file__).read_text(encoding="utf-8").splitlines()) <= 100
