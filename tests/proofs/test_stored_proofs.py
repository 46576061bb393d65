"""The proof folders in ``instances/proofs`` are accepted, and are those of the instances after which they are named."""

import json
import tarfile

import numpy as np
import pytest

import masksynth as ms
from masksynth.merge import merge_family
from masksynth.posets import closure
from masksynth.verify.proof import check_proof
from tests.docs.pages import ROOT

FOLDER = ROOT / "instances" / "proofs"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_stored_proof_is_that_of_its_instance(path, tmp_path):
    name = path.name.removesuffix(".tar.xz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    question = ms.load(ROOT / "instances" / "sparse" / f"{name}.json")
    mask = merge_family(question.family).mask.dense()
    assert np.array_equal(np.load(tmp_path / name / "relation.npy"), closure(mask) | np.eye(len(mask), dtype=bool))
    manifest = json.loads((ROOT / "instances" / "manifest.json").read_text())
    (line,) = (line for line in manifest if line["file"] == f"sparse/{name}.json")
    problem = json.loads((tmp_path / name / "problem.json").read_text())
    assert problem["layers"] == question.layers
    assert problem["value"] == problem["bound"] == line["edges"]
    report = check_proof(tmp_path / name)
    assert (report.optimal, report.bound, report.size) == (True, line["edges"], len(mask))


def test_there_are_stored_proofs():
    assert len(list(FOLDER.glob("*.tar.xz"))) == 2
