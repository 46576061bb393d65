"""Altered folders: refused in one line, or, where the alteration leaves a right proof, what they claim is true.

What is altered in a way that cannot leave a proof must be refused. The rest (bytes, duals that grow, proof lines that
were not needed, ...) may be accepted, and then another engine finds the claims of the altered folder to be true.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter

import numpy as np
import pytest
from dratify import CNF
from dratify import check_proof as dratify_check

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.sparse import SparseProblem
from masksynth.verify.proof import check_proof
from tests.proofs.folders import KNOWN, true_claims, weighted, written
from tests.proofs.naive import pairs, path

BASES = {
    "drat": KNOWN["path-9"][0],
    "duals": KNOWN["path-7"][0],
    "class": KNOWN["class-5"][0],
    "weighted": SparseProblem(
        path(9), 2, {(5, 1), (8, 2)}, {(7, 2), (6, 0)}, dict.fromkeys(pairs(path(9)), 2) | {(8, 0): 0, (3, 1): -1}
    ),
    "classes": weighted(1, 7, 2, classes=True),
    "packing": SparseProblem(np.kron(path(2), np.ones((3, 3), bool))),
    "layered": SparseProblem(path(4), 2, layered=True),
    "parts": SparseProblem(np.kron(np.eye(2, dtype=bool), path(5)), 2),
    "tree": SparseProblem(path(8), 2, weights={(q, k): 10**4 + q for q in range(8) for k in range(q)}),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {name: written(problem, tmp_path_factory.mktemp("bases") / name, "cpsat") for name, problem in BASES.items()}


@pytest.fixture
def altered(bases, tmp_path):
    """(name, change) -> what the checker says of a copy that was changed: a report, or the error."""

    def check(name, change):
        folder = tmp_path / "altered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bases[name], folder)
        change(folder)
        found = checked(folder)
        if isinstance(found, Exception):
            assert str(found).isprintable()
            assert len(str(found)) < 600
        else:
            assert true_claims(folder), name
        return found

    return check


def checked(folder):
    """The report, or the refusal, by dratify and by the small checker.

    Any other exception is a fault of the checker.
    """
    found = []
    for checker in (None, "rup"):
        try:
            found.append(check_proof(folder, checker))
        except (InvalidInstance, WrongAnswer) as error:
            found.append(error)
    assert _verdict(found[0]) == _verdict(found[1])
    return found[0]


def _verdict(found):
    return str(found) if isinstance(found, Exception) else (found.value, found.bound)


def refused(found):
    assert isinstance(found, (InvalidInstance, WrongAnswer)), found
    return str(found)


def said(change):
    """An alteration of problem.json."""

    def rewrite(folder):
        document = json.loads((folder / "problem.json").read_text())
        change(document)
        (folder / "problem.json").write_text(json.dumps(document))

    return rewrite


def array(name, change):
    """An alteration of an array file."""

    def rewrite(folder):
        np.save(folder / name, change(np.load(folder / name)))

    return rewrite


def lines(name, change):
    """An alteration of a text file's list of lines, in part 0."""

    def rewrite(folder):
        path = folder / "part-000" / name
        path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))

    return rewrite


def header(text):
    """Lines of a formula with the number of clauses put right."""
    at = next(place for place, line in enumerate(text) if line.startswith("p"))
    return [*text[:at], f"p cnf {text[at].split()[2]} {len(text) - at - 1}", *text[at + 1 :]]


def test_bases_are_right_and_differ(bases):
    reports = {name: check_proof(folder) for name, folder in bases.items()}
    assert all(report.optimal for report in reports.values())
    assert {part.kind for report in reports.values() for part in report.parts} == {"drat", "duals"}
    assert len(reports["parts"].parts) == 2
    assert reports["packing"].parts == ()
    assert reports["tree"].parts[0].kind == "duals"
    assert json.loads((bases["weighted"] / "problem.json").read_text())["forced"]


@pytest.mark.parametrize("name", BASES)
def test_masks(name, bases, altered):
    mask = np.load(bases[name] / "mask.npy")
    for place in map(tuple, np.argwhere(np.ones_like(mask))):
        if place[-1] == place[-2] or np.random.default_rng(place).random() < 0.4:
            flip = array(
                "mask.npy", lambda mask, place=place: mask ^ (place == np.indices(mask.shape).T).all(axis=-1).T
            )
            refused(altered(name, flip))
    query, key = np.argwhere(mask.reshape(-1, *mask.shape[-2:])[0] & ~np.eye(mask.shape[-1], dtype=bool))[0]

    def limit_weight(folder):
        array("mask.npy", lambda mask: mask & ~_at(mask, query, key))(folder)
        weights = {(q, k): w for q, k, w in json.loads((folder / "problem.json").read_text())["weights"]}
        lost = weights.get((query, key), 1) * int(np.load(bases[name] / "mask.npy")[..., query, key].sum())
        said(lambda document: document.update(value=document["value"] - lost))(folder)

    refused(altered(name, limit_weight))


def _at(mask, query, key):
    found = np.zeros_like(mask)
    found[..., query, key] = True
    return found


def test_edges_exchanged(bases, altered):
    """One edge for another: refused, or another optimum."""
    chance = random.Random(1)
    for name in BASES:
        for _ in range(12):

            def exchange(mask):
                off = ~np.eye(mask.shape[-1], dtype=bool)
                lost, won = (chance.choice(list(map(tuple, np.argwhere(table & off)))) for table in (mask, ~mask))
                mask[lost], mask[won] = False, True
                return mask

            altered(name, array("mask.npy", exchange))


@pytest.mark.parametrize("name", ["drat", "duals", "class", "weighted", "layered", "tree"])
def test_formulas(name, altered):
    chance = random.Random(2)

    def clause(text):
        return chance.randrange(next(place for place, line in enumerate(text) if line.startswith("p")) + 1, len(text))

    def drop(text):
        gone = text.pop(clause(text))
        return header([line for line in text if line != gone])

    def literal(text):
        at = clause(text)
        numbers = text[at].split()
        numbers[0] = str(-int(numbers[0]))
        return [*text[:at], " ".join(numbers), *text[at + 1 :]]

    def shorten(text):
        at = clause(text)
        return [*text[:at], " ".join(text[at].split()[1:]), *text[at + 1 :]]

    def unit(text):
        return header([*text, f"{chance.choice([-1, 1]) * chance.randint(1, 5)} 0"])

    def rename(text):
        one, other = chance.sample([place for place, line in enumerate(text) if line.startswith("c")], 2)
        left, right = text[one].split(maxsplit=3), text[other].split(maxsplit=3)
        text[one], text[other] = " ".join([*left[:3], right[3]]), " ".join([*right[:3], left[3]])
        return text

    for change in (drop, literal, shorten, unit):
        for _ in range(4):
            refused(altered(name, lines("formula.cnf", change)))
    for _ in range(6):
        altered(name, lines("formula.cnf", rename))
    for extra in ("0", "1 -1 0", "", "1", "0 1 0", "99999999 0", "1 x 0", "1 0 c", "--1 0", "٣ 0"):
        refused(altered(name, lines("formula.cnf", lambda text, extra=extra: header([*text, extra]))))
    for first in ("c hello", "c var 1 edge 0 0", "c var 0 edge 7 7", "c var 999 edge 7 7", "c var x", "p cnf 1 1"):
        refused(altered(name, lines("formula.cnf", lambda text, first=first: [first, *text])))


@pytest.mark.parametrize("name", ["drat", "class", "weighted"])
def test_refutations(name, bases, altered):
    """A proof with lines missing is right exactly where dratify's plain engine without RAT, called by the test.

    Says so.
    """
    chance = random.Random(3)
    for text in (
        "",
        "0\n",
        "1 0\n0\n",
        "-1 0\n0\n",
        "d 1 0\n0\n",
        "0 0\n",
        "x\n",
        "1\n",
        "999999999999 0\n0\n",
        "d d 0\n",
        "\x00\n",
        "é",
    ):
        refused(
            altered(name, lambda folder, text=text: (folder / "part-000/proof.drat").write_text(text, encoding="utf-8"))
        )
    verdicts = Counter()
    for share in (0.002, 0.02, 0.1, 0.3, 0.5, 0.9):
        for _ in range(3):
            thinned = lines("proof.drat", lambda text, share=share: [line for line in text if chance.random() >= share])
            kept = {}

            def change(folder, thinned=thinned, kept=kept):
                thinned(folder)
                kept["right"] = _refuted(folder / "part-000")

            assert isinstance(altered(name, change), WrongAnswer) != kept["right"]
            verdicts[kept["right"]] += 1
    for cut in (1, 2, 10):
        refused(
            altered(name, lines("proof.drat", lambda text, cut=cut: text[: -max(cut, len(text) // 10 * cut // 10)]))
        )
    assert verdicts[False] > 3


def _refuted(part):
    formula = CNF()
    for line in (part / "formula.cnf").read_text().splitlines():
        if line[0] not in "cp":
            formula.add_dimacs(list(map(int, line.split()))[:-1])
    return dratify_check(formula, (part / "proof.drat").read_text(), check_rat=False, engine="python").ok


def test_duals(bases, altered):
    chance = random.Random(4)

    def tree(change):
        def rewrite(folder):
            path = folder / "part-000" / "tree.json"
            document = json.loads(path.read_text())
            change(document)
            path.write_text(json.dumps(document))

        return rewrite

    def leaves(node):
        return [node] if "duals" in node else leaves(node["zero"]) + leaves(node["one"])

    def empty(document):
        chance.choice(leaves(document["tree"]))["duals"] = []

    def halved(document):
        for leaf in leaves(document["tree"]):
            leaf["duals"] = [[place, numerator // 2] for place, numerator in leaf["duals"]]

    def one(document):
        dual = chance.choice(chance.choice(leaves(document["tree"]))["duals"])
        dual[1] = max(0, dual[1] + chance.choice([-1, 1]) * chance.randrange(1 << 25))

    def elsewhere(document):
        chance.choice(chance.choice(leaves(document["tree"]))["duals"])[0] = chance.randrange(10)

    def other_leaf(document):
        document["tree"] = chance.choice(leaves(document["tree"]))

    for name in ("duals", "tree", "layered"):
        for change in (empty, halved, lambda document: document.update(denominator=document["denominator"] * 2)):
            refused(altered(name, tree(change)))
        for change in (one, elsewhere):
            for _ in range(12):
                altered(name, tree(change))
        for odd in (-1, 1.5, "1", None, True, 10**50, [], {}, [[0]], [[0, -1]], [[10**9, 1]], [[0, 1, 2]], [["0", 1]]):
            refused(
                altered(name, tree(lambda document, odd=odd: chance.choice(leaves(document["tree"])).update(duals=odd)))
            )
            refused(
                altered(
                    name, tree(lambda document, odd=odd: document.update(denominator=odd if odd is not True else 0))
                )
            )
            refused(
                altered(
                    name, tree(lambda document, odd=odd: document.update(tree={"edge": odd, "zero": odd, "one": odd}))
                )
            )
    if "edge" in json.loads((bases["tree"] / "part-000/tree.json").read_text())["tree"]:
        refused(altered("tree", tree(other_leaf)))
    for text in (
        "[" * 10**5,
        '{"tree":' * 10**5,
        "{}",
        "",
        "nul",
        '{"denominator": 1, "denominator": 1, "tree": {"duals": []}}',
        "9" * 5000,
    ):
        refused(altered("duals", lambda folder, text=text: (folder / "part-000/tree.json").write_text(text)))


@pytest.mark.parametrize("name", BASES)
def test_statements(name, bases, altered):
    document = json.loads((bases[name] / "problem.json").read_text())
    for change in (
        lambda document: document.update(bound=document["bound"] + 1),
        lambda document: document.update(bound=document["bound"] - 1),
        lambda document: document.update(value=document["value"] + 1),
        lambda document: document.update(value=document["value"] - 1),
        lambda document: document.update(value=document["value"] - 1, bound=document["bound"] - 1),
        lambda document: document.update(size=document["size"] + 1),
        lambda document: document.update(size=document["size"] - 1),
        lambda document: document.update(masksynth_proof=2),
        lambda document: document.update(sha256=None),
        lambda document: document.update(positions=[]),
        lambda document: document.update(layered=not document["layered"]),
        lambda document: document.update(parts=document["parts"] * 2),
        lambda document: document.update(sure=[*document["sure"], [0, 1]]),
        lambda document: document.update(sure=[*document["sure"], *document["sure"], [0, 0]]),
        lambda document: document.update(forced=[[0, 1]], forbidden=[[0, 1]]),
        lambda document: document["parts"].append(
            {"folder": "../part-000", "demands": [], "edges": [], "bound": 0, "kind": "drat"}
        ),
        lambda document: document["parts"].append(
            {"folder": "/etc/passwd", "demands": [], "edges": [], "bound": 0, "kind": "drat"}
        ),
        lambda document: document["packing"].append({"edges": [], "demand": [1, 0]}),
    ):
        new = json.loads(json.dumps(document))
        change(new)
        if new != document:
            refused(altered(name, said(change)))
    for key in document:
        refused(altered(name, said(lambda document, key=key: document.pop(key))))
        for odd in (
            None,
            -1,
            1.5,
            "x",
            True,
            10**30,
            [None],
            [[0]],
            [[0, "1"]],
            [[0, 1, 2, 3]],
            {},
            [{}],
            [{"folder": 1}],
        ):
            found = altered(name, said(lambda document, key=key, odd=odd: document.update({key: odd})))
            assert isinstance(found, (InvalidInstance, WrongAnswer)) or key == "layers" or document[key] == odd
    for layers in (1, 2, 3, 4, 9, None):
        altered(name, said(lambda document, layers=layers: document.update(layers=layers)))


def test_sure_packing_and_parts(bases, altered):
    for name, folder in bases.items():
        document = json.loads((folder / "problem.json").read_text())
        weights = {(q, k): weight for q, k, weight in document["weights"]}
        for at, (query, key) in enumerate(document["sure"][:6]):
            weight = weights.get((query, key), 1)

            def unsure(document, at=at, weight=weight):
                document["sure"].pop(at)
                document["bound"] -= weight

            if weight:
                refused(altered(name, said(lambda document, at=at: document["sure"].pop(at))))
            altered(name, said(unsure))
        for place, part in enumerate(document["parts"]):
            for at in range(min(4, len(part["edges"]))):

                def surely(document, place=place, at=at, weights=weights):
                    edge = document["parts"][place]["edges"].pop(at)
                    document["sure"].append(edge)
                    document["bound"] += weights.get(tuple(edge), 1)

                refused(altered(name, said(surely)))
                refused(
                    altered(name, said(lambda document, place=place, at=at: document["parts"][place]["edges"].pop(at)))
                )
            for at in range(min(4, len(part["demands"]))):
                refused(
                    altered(
                        name, said(lambda document, place=place, at=at: document["parts"][place]["demands"].pop(at))
                    )
                )
            refused(
                altered(
                    name,
                    said(
                        lambda document, place=place, part=part: document["parts"][place].update(
                            bound=part["bound"] + 1
                        )
                    ),
                )
            )

            def higher(document, place=place):
                document["parts"][place]["bound"] += 1
                document["bound"] += 1

            refused(altered(name, said(higher)))
            refused(altered(name, said(lambda document, place=place: document["parts"][place].update(kind="x"))))
        for at, hit in enumerate(document["packing"]):
            refused(altered(name, said(lambda document, at=at: document["packing"].pop(at))))
            refused(altered(name, said(lambda document, at=at: document["packing"].append(document["packing"][at]))))
            refused(altered(name, said(lambda document, at=at: document["packing"][at]["edges"].pop())))
            refused(
                altered(
                    name,
                    said(lambda document, at=at, hit=hit: document["packing"][at].update(demand=hit["demand"][::-1])),
                )
            )


def test_a_packing_does_not_count_twice(altered):
    """The same edges in a packing and in a part, or an edge that is not needed."""

    def twice(document):
        document["packing"].append(
            {"edges": [document["parts"][0]["edges"][0]], "demand": document["parts"][0]["edges"][0]}
        )
        document["bound"] += 1

    assert "is also in" in refused(altered("parts", said(twice)))

    def needless(document):
        edge = document["parts"][0]["edges"].pop()
        document["packing"].append({"edges": [edge], "demand": edge})
        document["bound"] += 1

    assert "connected without" in refused(altered("parts", said(needless)))


def test_relations(bases, altered):
    for name in BASES:
        relation = np.load(bases[name] / "relation.npy")
        size = len(relation)
        for place in [(0, 0), (0, size - 1), (size - 1, 0), (1, 0), (2, 1)]:
            altered(name, array("relation.npy", lambda relation, place=place: relation ^ _at(relation, *place)))
        for odd in (
            relation[:-1],
            relation[:-1, :-1],
            relation.astype(np.uint8),
            relation.T.copy()[None],
            np.asfortranarray(relation),
            relation[0],
        ):
            altered(name, lambda folder, odd=odd: np.save(folder / "relation.npy", odd))
        refused(altered(name, lambda folder: np.save(folder / "relation.npy", np.array([[None]]), allow_pickle=True)))
        refused(
            altered(name, lambda folder: np.save(folder / "mask.npy", np.array([print, 1], object), allow_pickle=True))
        )


def test_files_missing_odd_or_huge(altered):
    for name in ("drat", "tree"):
        for file in (
            "problem.json",
            "relation.npy",
            "mask.npy",
            "part-000/formula.cnf",
            "part-000/" + ("proof.drat" if name == "drat" else "tree.json"),
        ):

            def remove(folder, file=file):
                (folder / file).unlink()

            def directory(folder, file=file):
                (folder / file).unlink()
                (folder / file).mkdir()

            def pipe(folder, file=file):
                (folder / file).unlink()
                os.mkfifo(folder / file)

            def huge(folder, file=file):
                os.truncate(folder / file, 1 << 40)

            for change, word in (
                (remove, "no such file"),
                (directory, "no such file"),
                (pipe, "no such file"),
                (huge, "bytes"),
            ):
                found = altered(name, change)
                assert isinstance(found, InvalidInstance)
                assert word in str(found)
                assert file in str(found)


@pytest.mark.parametrize("name", BASES)
def test_bytes(name, bases, altered):
    """Bytes changed, cut, and added anywhere: never a traceback, never a false claim."""
    chance = random.Random(f"bytes {name}")
    files = sorted(path.relative_to(bases[name]) for path in bases[name].rglob("*") if path.is_file())
    for file in files:
        content = (bases[name] / file).read_bytes()
        for _ in range(8):
            at = chance.randrange(len(content))
            new = chance.choice(
                [
                    content[:at],
                    content[:at] + bytes([chance.choice(b"0123456789-, []\n\x00\xff")]) + content[at + 1 :],
                    content[:at] + content[at + chance.randint(1, 9) :],
                    content[:at] + chance.choice([b"0", b" ", b"\n", b"1"]) + content[at:],
                ]
            )
            altered(name, lambda folder, file=file, new=new: (folder / file).write_bytes(new))
