"""Proofs about structures: written and checked, from contracts.json alone; every change of a claim is refused."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from masksynth.backends import Limits
from masksynth.cli import main
from masksynth.contracts import Contracts, Elements, Target, Weights, dump_contracts
from masksynth.contracts.element_sets import pack
from masksynth.contracts.families import leave_one_out
from masksynth.discover.exact_backends import discover_backend
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported, WrongAnswer
from masksynth.verify.proof import check_proof
from masksynth.verify.proof.compare_formula import compare_clauses
from masksynth.verify.proof.dimacs import parse_formula
from masksynth.verify.proof.discovery.contract_sets import read_contract_sets
from masksynth.verify.proof.discovery.gate_formula import gate_clauses
from masksynth.verify.proof.discovery.layer_formula import layer_clauses
from masksynth_solvers.discover.cheapest_model import Effort
from masksynth_solvers.discover.gates import bound_reads, encode_gates
from masksynth_solvers.discover.jobs import read_directly
from masksynth_solvers.discover.layers import encode_layers
from masksynth_solvers.discover.write_structure_proof import write_discovery_proof
from masksynth_solvers.sparse.prove_claim import dimacs_lines, limit_weight

UNIT = Weights(1, 1, 1, "structure")
READS = Weights(0, 0, 1, "structure")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A proof of each claim."""
    place = tmp_path_factory.mktemp("proofs")
    one, layers = (replace(leave_one_out(n=4), weights=UNIT), replace(leave_one_out(n=4, layers=2), weights=READS))
    layered = leave_one_out(n=4, layers=1)  # 12 reads, where gates prove 10
    for name, contracts in (("cost", one), ("reads", layers), ("layered", layered)):
        structure = discover_backend("maxsat").solve(contracts, Limits(60)).structure
        write_discovery_proof(place / name, contracts, structure, inspect=check_proof)
    return place


@pytest.fixture
def folder(folders, tmp_path, request):
    shutil.copytree(folders / request.param, tmp_path / "proof")
    return tmp_path / "proof"


both = pytest.mark.parametrize("folder", ["cost", "reads"], indirect=True)
cost = pytest.mark.parametrize("folder", ["cost"], indirect=True)


@pytest.mark.parametrize(("name", "value", "depth"), [("cost", 20, None), ("reads", 10, 2)])
@pytest.mark.parametrize("checker", [None, "rup"])
def test_right(folders, name, value, depth, checker):
    report = check_proof(folders / name, checker)
    assert (report.claim, report.value, report.bound, report.optimal) == (name, value, value, True)
    assert (report.layers, report.layered) == (depth, name == "reads")
    assert {part.kind for part in report.parts} == {"drat"}


def test_command(folders):
    done = CliRunner().invoke(main, ["check-proof", str(folders / "cost")])
    assert done.exit_code == 0, done.output
    assert "cost 20, optimal" in done.output
    lines = json.loads(CliRunner().invoke(main, ["check-proof", str(folders / "reads"), "--json"]).output)
    assert (lines["ok"], lines["claim"], lines["value"]) == (True, "reads", 10)


def test_discover_writes_a_proof(tmp_path):
    contracts = tmp_path / "contracts.json"
    contracts.write_text(dump_contracts(leave_one_out(n=4, layers=2)))
    run = ["discover", str(contracts), "--proof", str(tmp_path / "proof"), "--json"]
    done = CliRunner().invoke(main, run)
    assert done.exit_code == 0, done.output
    assert check_proof(tmp_path / "proof").value == json.loads(done.stdout)["edges"] == 10
    again = CliRunner().invoke(main, run)
    assert again.exit_code == 2
    assert "not empty" in again.output or "exists" in again.output or "--force" in again.output


def changed(folder, change):
    """Change the claim of a folder."""
    claim = json.loads((folder / "problem.json").read_text())
    change(claim)
    (folder / "problem.json").write_text(json.dumps(claim))


def refused(folder, match):
    with pytest.raises((WrongAnswer, InvalidInstance), match=match):
        check_proof(folder)


@both
def test_a_part_that_is_left_out(folder):
    changed(folder, lambda claim: claim["parts"].pop())
    refused(folder, "is above the 9 reads|no part refutes")


@both
def test_a_greater_bound(folder):
    changed(folder, lambda claim: claim.update(bound=claim["bound"] + 1))
    refused(folder, "is above the|no part refutes")


@both
def test_another_value(folder):
    changed(folder, lambda claim: claim.update(value=claim["value"] + 1))
    refused(folder, "not ")


@both
def test_a_structure_that_sees_what_it_hides(folder):
    def see(claim):
        witness = claim["witness"]
        place, token = witness["target"][0], witness["element"].index(0)
        witness["reads"][-1] = sorted([*witness["reads"][-1], [place, token]])
        claim["value"] += 1

    changed(folder, see)
    refused(folder, "target 0 sees the element 0|read that is repeated")


@both
def test_a_structure_that_lacks_a_read(folder):
    changed(folder, lambda claim: claim["witness"]["reads"][-1].pop())
    refused(folder, "lacks the element")


@both
def test_formula_without_a_clause(folder):
    path = folder / "part-004" / "formula.cnf"
    *lines, last = path.read_text().splitlines()
    head = next(line for line in lines if line.startswith("p cnf"))
    fewer = f"p cnf {head.split()[2]} {int(head.split()[3]) - 1}"
    path.write_text("\n".join(fewer if line == head else line for line in lines) + "\n")
    refused(folder, "is missing")
    assert last


@both
def test_formula_with_a_clause_of_its_own(folder):
    path = folder / "part-001" / "formula.cnf"
    lines = path.read_text().splitlines()
    head = next(line for line in lines if line.startswith("p cnf"))
    more = f"p cnf {head.split()[2]} {int(head.split()[3]) + 1}"
    path.write_text("\n".join([*(more if line == head else line for line in lines), "1 0"]) + "\n")
    refused(folder, "does not follow from the statement")


@both
def test_steps_that_do_not_follow(folder):
    (folder / "part-004" / "proof.drat").write_text("0\n")
    refused(folder, "step 1: the clause does not follow")


@both
def test_other_contracts(folder):
    path = folder / "contracts.json"
    path.write_text(path.read_text().replace('"elements": 4', '"elements": 5'))
    refused(folder, "expected .* targets")


@cost
def test_other_weights(folder):
    path = folder / "contracts.json"
    path.write_text(path.read_text().replace('"position": 1', '"position": 2'))
    refused(folder, "the structure has the cost 28")


@cost
def test_fewer_reads_than_needed(folder):
    changed(folder, lambda claim: claim["parts"][0].update(reads=claim["parts"][0]["reads"] - 1))
    refused(folder, "no part refutes")


def test_targets_that_may_see_one_another_have_no_proof_of_cost(tmp_path):
    need, hide = np.tril(np.ones((3, 3), bool), -1), np.zeros((3, 3), bool)
    targets = tuple(Target(t, position=t) for t in range(3))
    contracts = Contracts("prefix", Elements((0, 1, 2), (0, 1, 2)), targets, pack(need), pack(hide), weights=UNIT)
    with pytest.raises(Unsupported, match="each other one needs"):
        write_discovery_proof(tmp_path / "proof", contracts, read_directly(contracts))
    assert not list(tmp_path.iterdir())


def test_what_is_not_the_least_is_not_proved(tmp_path):
    contracts = replace(leave_one_out(n=4, layers=2), weights=READS)
    with pytest.raises(MasksynthError, match="there is a smaller structure"):
        write_discovery_proof(tmp_path / "proof", contracts, read_directly(contracts))


@pytest.mark.parametrize("seed", range(6))
def test_both_encoders_say_the_same_of_any_contracts(seed, tmp_path):
    chance = random.Random(seed)
    n, targets = 5, chance.randint(2, 5)
    kinds = np.array([[chance.choice("nnhf") for _ in range(n)] for _ in range(targets)])
    places = tuple(Target(t, chance.choice(["query", "any"]), t) for t in range(targets))
    names = tuple(f"word {e}" for e in range(n))
    contracts = Contracts(
        "random", Elements(names, tuple(range(n))), places, pack(kinds == "n"), pack(kinds == "h"), weights=UNIT
    )
    (tmp_path / "contracts.json").write_text(dump_contracts(contracts))
    sets = read_contract_sets(tmp_path / "contracts.json")
    for gates in range(4):
        formula = parse_formula("".join(dimacs_lines(encode_gates(contracts, gates))))
        compare_clauses(formula, gate_clauses(sets, gates), "formula.cnf")
    layered = replace(contracts, layers=3, masks="layered")
    bound = bound_reads(layered, Effort())
    assert bound.exact


def random_queries(seed):
    """Return contracts of queries with a mask per layer, some of them with alike targets and free elements."""
    chance = random.Random(seed)
    n, count = chance.choice([(3, 3), (4, 2), (4, 3)])
    kinds = [[chance.choice("nnhf") for _ in range(n)] for _ in range(count - 1)]
    kinds += [chance.choice(kinds) if chance.random() < 0.5 else [chance.choice("nnh") for _ in range(n)]]
    need, hide = (pack(np.array([[kind == letter for kind in row] for row in kinds])) for letter in "nh")
    targets = tuple(Target(index, position=index) for index in range(count))
    numbers = tuple(range(n))
    layers = chance.choice([1, 2, 3])
    weights = Weights(24, 4, 0.004, "structure")
    return Contracts("random", Elements(numbers, numbers), targets, need, hide, layers, "layered", weights)


@pytest.mark.parametrize("seed", range(25))
def test_both_encoders_of_layers_agree(tmp_path, seed):
    contracts = random_queries(seed)
    (tmp_path / "contracts.json").write_text(dump_contracts(contracts))
    model = encode_layers(replace(contracts, weights=READS))
    most = random.Random(seed).randint(0, 5)
    formula = parse_formula("".join(dimacs_lines(limit_weight(model.formula, most))))
    compare_clauses(formula, layer_clauses(read_contract_sets(tmp_path / "contracts.json"), most), "formula.cnf")


def test_a_bound_of_layers_above_that_of_gates_is_certified(folders):
    report = check_proof(folders / "layered")
    assert (report.claim, report.value, report.optimal) == ("cost", 8 * 6000 + 12, True)


@pytest.mark.parametrize("folder", ["layered"], indirect=True)
@pytest.mark.parametrize("change", [{"further": 1}, {"reads": 10}, {"reads": 12}, {"hubs": 4}, {"further": None}])
def test_changed_parts_of_layers_are_refused(folder, change):
    document = json.loads((folder / "problem.json").read_text())
    document["parts"][0].update(change)
    (folder / "problem.json").write_text(json.dumps(document))
    with pytest.raises((WrongAnswer, InvalidInstance)):
        check_proof(folder)


@pytest.mark.parametrize("folder", ["reads", "layered"], indirect=True)
def test_targets_that_may_share_a_blank_are_refused(folder):
    document = json.loads((folder / "contracts.json").read_text())
    if document["targets"] == "each":
        document["element_positions"] = [0, 0, 1, 2]
    else:
        document["targets"][1]["position"] = 0
    (folder / "contracts.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInstance, match="one position id"):
        check_proof(folder)
