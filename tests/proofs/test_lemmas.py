"""Lemmas: windows that are proved once and used by a map of positions.

Each premise of that is broken in turn, and refused.
"""

from __future__ import annotations

import json
import random
import re
import shutil

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.sparse import Component, SparseProblem
from masksynth.verify.proof import check_proof
from masksynth_solvers.sparse import prove_claim, write_sparse_proof
from masksynth_solvers.sparse.path_encoding import Window, encode
from masksynth_solvers.sparse.prove_claim import dimacs_lines, limit_weight
from tests.proofs.folders import claims, solved, true_claims, weighted
from tests.proofs.naive import grid, pairs, path

BASES = {
    "chain": SparseProblem(path(10), 2),
    "grid": SparseProblem(grid(3, 4), 2),
    "weighted": SparseProblem(path(10), 2, {(7, 4)}, {(5, 2)}, {(q, k): 1 + (q - k) % 3 for q, k in pairs(path(10))}),
}


def forced(folder, problem):
    """A proof folder in which every part is proved with the help of its windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prove_claim, "_prove", lambda claim, until: "")
        return write_sparse_proof.write_proof(folder, problem, *solved(problem))


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {name: forced(tmp_path_factory.mktemp("lemmas") / name, problem) for name, problem in BASES.items()}


@pytest.fixture
def altered(bases, tmp_path):
    """(name, change of problem.json) -> the refusal of a copy whose formulas were built again from what it says now."""

    def check(name, change, kind=WrongAnswer, rebuild=True):
        folder = tmp_path / "altered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bases[name], folder)
        document = json.loads((folder / "problem.json").read_text())
        change(document)
        (folder / "problem.json").write_text(json.dumps(document))
        if rebuild:
            rebuilt(folder, document)
        return refusal(folder, kind)

    return check


def refusal(folder, kind=WrongAnswer):
    with pytest.raises(kind) as found:
        check_proof(folder)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 600
    return str(found.value)


def edges_of(entry, key, places=None):
    return tuple((places[q], places[k]) if places else (q, k) for q, k in entry[key])


def rebuilt(folder, document):
    """Formulas by the writer's encoder, of whatever a document says."""
    problem, *_ = claims(folder)
    sure = frozenset(map(tuple, document["sure"]))
    for entry in document.get("lemmas", []) + document["parts"]:
        formula = encode(problem, sure, Component(edges_of(entry, "demands"), edges_of(entry, "edges")))
        for window in entry.get("windows", []):
            lemma, places = document["lemmas"][window["lemma"]], dict(window["positions"])
            image = Component(edges_of(lemma, "demands", places), edges_of(lemma, "edges", places))
            formula.windows.append(Window(image, lemma["bound"]))
        if entry["kind"] == "drat":
            formula = limit_weight(formula, entry["bound"] - 1)
        (folder / entry["folder"] / "formula.cnf").write_text("".join(dimacs_lines(formula)))


def users(document):
    """Lemmas and parts that have windows."""
    return [entry for entry in document["lemmas"] + document["parts"] if entry.get("windows")]


@pytest.mark.parametrize("name", BASES)
def test_round_trip(name, bases):
    report = check_proof(bases[name])
    document = json.loads((bases[name] / "problem.json").read_text())
    assert report.optimal
    assert true_claims(bases[name])
    assert [lemma.folder for lemma in report.lemmas] == [entry["folder"] for entry in document["lemmas"]]
    assert document["parts"][0]["windows"]
    assert len(document["lemmas"]) <= sum(len(entry["windows"]) for entry in users(document))
    assert sorted(bases[name].glob("lemma-*")) == [bases[name] / entry["folder"] for entry in document["lemmas"]]
    rebuilt(bases[name], document)
    assert check_proof(bases[name]).optimal


def test_lemmas_have_windows_of_their_own(bases):
    assert any(entry.get("windows") for entry in json.loads((bases["chain"] / "problem.json").read_text())["lemmas"])


@pytest.mark.parametrize("seed", range(12))
def test_random_problems(seed, tmp_path):
    problem = weighted(seed, 9, 2 + seed % 2, density=0.8)
    if solved(problem) is not None:
        folder = forced(tmp_path / "proof", problem)
        assert check_proof(folder).optimal
        assert true_claims(folder)


def test_without_need_there_are_no_lemmas(tmp_path):
    problem = BASES["chain"]
    folder = write_sparse_proof.write_proof(tmp_path / "proof", problem, *solved(problem))
    document = json.loads((folder / "problem.json").read_text())
    assert "lemmas" not in document
    assert "windows" not in document["parts"][0]


def test_a_part_that_its_windows_do_not_help_in_time_leaves_no_lemma(tmp_path, monkeypatch):
    race = prove_claim._race
    monkeypatch.setattr(prove_claim, "_prove", lambda claim, until: "")
    monkeypatch.setattr(
        prove_claim, "_race", lambda claim, until: race(claim, until) if claim.folder.name == "part-000" else ""
    )
    problem = BASES["chain"]
    folder = write_sparse_proof.write_proof(tmp_path / "proof", problem, *solved(problem))
    assert not list(folder.glob("lemma-*"))
    assert check_proof(folder).optimal
    assert check_proof(folder).lemmas == ()


@pytest.mark.parametrize("name", BASES)
def test_a_lemma_of_a_higher_bound(name, bases, altered):
    count = len(json.loads((bases[name] / "problem.json").read_text())["lemmas"])
    for place in range(count):

        def higher(document, place=place):
            document["lemmas"][place]["bound"] += 1

        assert f"lemma-{place:03d}/" in altered(name, higher)
        altered(name, higher, rebuild=False)


@pytest.mark.parametrize("name", BASES)
def test_maps(name, bases, altered):
    size = BASES[name].size
    for at in range(len(users(json.loads((bases[name] / "problem.json").read_text())))):

        def change(turn, at=at):
            def turned(document):
                window = users(document)[at]["windows"][-1]
                window["positions"] = turn(window["positions"])

            return turned

        ends = change(
            lambda places: [[source, other] for (source, _), (_, other) in zip(places, places[::-1], strict=True)]
        )
        altered(name, ends)
        altered(name, change(lambda places: [[source, (target + 1) % size] for source, target in places]))
        altered(name, change(lambda places: places[1:]), rebuild=False)
        altered(name, change(lambda places: []), rebuild=False)
        for odd in (
            lambda places: [*places, places[0]],
            lambda places: [[source, places[0][1]] for source, _ in places],
            lambda places: [*places[1:], [places[0][0], size]],
            lambda places: [*places[1:], [places[0][0], -1]],
            lambda places: [*places[1:], [places[0][0]]],
            lambda places: [*places[1:], ["0", 0]],
            lambda places: [*places[1:], None],
            lambda places: {},
            lambda places: None,
        ):
            altered(name, change(odd), InvalidInstance, rebuild=False)


def test_windows_refer_to_earlier_lemmas(altered):
    for shift in (0, 1, 10**6, -(10**6)):

        def later(document, shift=shift):
            own = next(place for place, entry in enumerate(document["lemmas"]) if entry.get("windows"))
            document["lemmas"][own]["windows"][0]["lemma"] = own + shift

        altered("chain", later, InvalidInstance, rebuild=False)

    def first(document):
        document["lemmas"][0] |= {"kind": "drat", "windows": [{"lemma": 0, "positions": []}]}

    assert "there is no earlier lemma" in altered("chain", first, InvalidInstance, rebuild=False)
    altered(
        "chain",
        lambda document: document["parts"][0]["windows"][0].update(lemma=len(document["lemmas"])),
        InvalidInstance,
        False,
    )
    for odd in (None, True, "0", 0.5, [0]):
        altered(
            "chain",
            lambda document, odd=odd: document["parts"][0]["windows"][0].update(lemma=odd),
            InvalidInstance,
            False,
        )


def test_malformed(altered):
    for odd in (None, {}, "x", [None], [{}], [[]]):
        altered("chain", lambda document, odd=odd: document["parts"][0].update(windows=odd), InvalidInstance, False)
        altered("chain", lambda document, odd=odd: document.update(lemmas=odd), InvalidInstance, False)
    altered("chain", lambda document: document["parts"][0].update(kind="duals"), InvalidInstance, False)
    altered("chain", lambda document: document["parts"][0]["windows"][0].update(bound=3), InvalidInstance, False)
    altered("chain", lambda document: document.pop("lemmas"), InvalidInstance, False)
    altered("chain", lambda document: document["lemmas"].reverse(), InvalidInstance, False)
    altered("chain", lambda document: document["lemmas"].pop(), InvalidInstance, False)
    altered("chain", lambda document: document["parts"][0]["windows"].pop(), WrongAnswer, False)


def test_missing_folders(bases, tmp_path):
    for place, lemma in enumerate(sorted(bases["chain"].glob("lemma-*"))):
        folder = tmp_path / str(place)
        shutil.copytree(bases["chain"], folder)
        shutil.rmtree(folder / lemma.name)
        assert "no such file" in refusal(folder, InvalidInstance)


def test_an_image_lies_inside_its_part(altered):
    """Its edges and its demands are the part's.

    Demands that the part only shares with all solutions would not go along with its images.
    """

    def without(key):
        def change(document):
            entry = next(entry for entry in document["lemmas"] if entry.get("windows"))
            window = entry["windows"][-1]
            lost = edges_of(document["lemmas"][window["lemma"]], key, dict(window["positions"]))[0]
            entry[key] = [edge for edge in entry[key] if tuple(edge) != lost]

        return change

    assert "is not one of the part" in altered("chain", without("demands"), rebuild=False)
    assert "may help" in altered("chain", without("edges"), rebuild=False)


def test_a_window_elsewhere(altered):
    """Outside the lemma that uses it, where solutions pay as much, but not for the demands of that lemma."""

    def change(document):
        entry = next(entry for entry in document["lemmas"] if entry.get("windows"))
        positions = entry["windows"][-1]["positions"]
        targets = [target for _, target in positions]
        shift = -min(targets) if min(map(min, entry["edges"])) > 0 else 9 - max(targets)
        for pair in positions:
            pair[1] += shift

    assert "is not one of the part" in altered("chain", change, rebuild=False)


def test_lemmas_are_parts(altered):
    """A lemma that no window uses is checked like others."""

    def added(**changes):
        def change(document):
            folder = f"lemma-{len(document['lemmas']):03d}"
            document["lemmas"].append({**document["lemmas"][0], "folder": folder, **changes})

        return change

    for changes, text in (
        ({"edges": [[2, 0], [3, 0]]}, "may help"),
        ({"demands": [[0, 9]]}, "not a pair"),
        ({"edges": [[2, 0], [3, 0], [3, 1], [1, 0]]}, "sure or not allowed"),
        ({"edges": [[2, 0], [3, 0], [3, 1], [0, 9]]}, "sure or not allowed"),
    ):
        assert text in altered("chain", added(**changes), rebuild=False)


def test_weights_that_differ(bases, altered):
    mask = np.load(bases["chain"] / "mask.npy")
    found = 0
    for query, key in pairs(~mask & path(10)):
        found += "weights of" in altered(
            "chain", lambda document, edge=(query, key): document.update(weights=[[*edge, 2]])
        )
    assert found > 3


def test_an_image_with_another_formula(tmp_path):
    """One edge is forbidden in the lemma and sure in the image.

    Where the same edges are left but nothing is to be paid for.
    """
    problem = SparseProblem(path(10), 2, {(3, 1)}, {(9, 7)})
    folder = forced(tmp_path / "proof", problem)
    document = json.loads((folder / "problem.json").read_text())
    lemma = {"folder": "lemma-000", "demands": [[9, 6]], "edges": [[8, 6], [9, 6]], "bound": 1, "kind": "drat"}
    window = {"lemma": 0, "positions": [[6, 0], [7, 1], [8, 2], [9, 3]]}
    part = document["parts"][0]
    assert {(2, 0), (3, 0)} <= set(map(tuple, part["edges"]))
    part.update(windows=[window], kind="drat", demands=[*part["demands"], [3, 0]])
    document["lemmas"] = [lemma]
    (folder / "problem.json").write_text(json.dumps(document))
    assert "window 0: its formula is not that of lemma-000" in refusal(folder)


def test_rest_clauses(bases, tmp_path):
    """Clauses on what is left outside a window: dropped, stricter, of another window, or none at all."""
    folder = tmp_path / "altered"
    shutil.copytree(bases["chain"], folder)
    file = folder / "part-000" / "formula.cnf"
    text = file.read_text().splitlines()
    start = next(place for place, line in enumerate(text) if line.startswith("p"))
    rest = {line.split()[2] for line in text[:start] if line.split()[3] == "rest"}
    places = [place for place in range(start + 1, len(text)) if rest & set(text[place].replace("-", "").split())]
    unit = next(place for place in places if len(text[place].split()) == 2)

    def written(lines):
        head = f"p cnf {start} {len(lines) - start - 1}"
        file.write_text("".join(f"{line}\n" for line in [*lines[:start], head, *lines[start + 1 :]]))

    other = next(iter(rest - {text[unit].split()[0].lstrip("-")}))
    for gone in (places[0], places[len(places) // 2], places[-1], unit):
        written([line for line in text if line != text[gone]])
        assert "is missing" in refusal(folder)
    for more in (f"-{other} 0", f"{other} 0", "0"):
        written([*text, more])
        refusal(folder)
    written([text[place] if place != unit else f"-{other} 0" for place in range(len(text))])
    refusal(folder)
    written(text)
    assert check_proof(folder).optimal


def test_layers_have_no_lemmas(tmp_path):
    problem = SparseProblem(path(4), 2, layered=True)
    folder = write_sparse_proof.write_proof(tmp_path / "proof", problem, *solved(problem))
    document = json.loads((folder / "problem.json").read_text())
    document["lemmas"] = [{"folder": "lemma-000", "demands": [], "edges": [], "bound": 0, "kind": "duals"}]
    (folder / "problem.json").write_text(json.dumps(document))
    assert "lemmas" in refusal(folder)


def test_a_folder_with_lemmas_is_replaced(bases, tmp_path):
    target = tmp_path / "proof"
    shutil.copytree(bases["chain"], target)
    problem = SparseProblem(path(7), 2)
    write_sparse_proof.write_proof(target, problem, *solved(problem), force=True)
    assert check_proof(target).value == 10
    assert not list(target.glob("lemma-*"))


def test_weights_that_are_too_many_to_count(tmp_path, monkeypatch):
    """Windows are of no use there; a tree is grown as before."""
    monkeypatch.setattr(prove_claim, "_prove", lambda claim, until: "")
    problem = SparseProblem(path(8), 2, weights={(q, k): 10**4 + q for q, k in pairs(path(8))})
    reduction, bounds, mask = solved(problem, "cpsat")
    report = check_proof(write_sparse_proof.write_proof(tmp_path / "proof", problem, reduction, bounds, mask))
    assert report.optimal
    assert report.parts[0].kind == "duals"
    assert report.lemmas == ()


def test_numbers_changed_anywhere(bases, tmp_path):
    """Never a traceback; what is accepted claims nothing that is false."""
    chance = random.Random(5)
    text = (bases["chain"] / "problem.json").read_text()
    numbers = [found.span() for found in re.finditer(r"\d+", text)]
    accepted = 0
    for at in range(40):
        folder = tmp_path / str(at)
        shutil.copytree(bases["chain"], folder)
        begin, end = chance.choice(numbers)
        (folder / "problem.json").write_text(text[:begin] + str(chance.randrange(10)) + text[end:])
        try:
            check_proof(folder)
        except (InvalidInstance, WrongAnswer):
            continue
        accepted += 1
        assert true_claims(folder)
    assert accepted < 20
