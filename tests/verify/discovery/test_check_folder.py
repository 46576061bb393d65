"""``masksynth verify CONTRACTS FOLDER``: right folders are accepted, each changed figure and file is refused."""

import json
import shutil

import pytest
from click.testing import CliRunner

from masksynth.cli import main

RUN = CliRunner()


def discovered(place, size, layers):
    """Return the folder of the best construction for leave-one-out."""
    contracts = RUN.invoke(main, ["contracts", "leave_one_out", "--n", str(size)]).stdout
    asked = ["discover", "-", "--layers", str(layers), "-o", str(place / "out"), "--time-limit", "0", "--quiet"]
    assert RUN.invoke(main, asked, input=contracts).exit_code == 0
    return place / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A discovery that is optimal by a theorem."""
    return discovered(tmp_path_factory.mktemp("discovery"), 6, 4)


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory):
    """A discovery whose cost is above what the theorems prove."""
    return discovered(tmp_path_factory.mktemp("discovery"), 8, 3)


def verify(folder, *more):
    return RUN.invoke(main, ["verify", str(folder / "contracts.json"), str(folder), *more])


def test_a_discovered_folder_is_right(folder):
    done = verify(folder)
    assert done.exit_code == 0, done.output
    assert "need, hide, instance, figures" in done.output
    assert json.loads(verify(folder, "--json").stdout)["ok"] is True


@pytest.mark.parametrize(
    "name", ["positions", "updated", "updates", "read_only", "edges", "mixed_edges", "layers", "cost"]
)
def test_each_figure_is_counted_again(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    record = json.loads((copy / "discovery.json").read_text())
    record[name] += 1
    (copy / "discovery.json").write_text(json.dumps(record))
    done = verify(copy)
    assert done.exit_code == 1
    assert name in done.stderr


def test_other_contracts_are_refused_with_a_witness(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    other = json.loads(RUN.invoke(main, ["contracts", "leave_ball_out", "--n", "6", "--layers", "4"]).stdout)
    (copy / "contracts.json").write_text(json.dumps(other))
    report = verify(copy, "--json")
    assert report.exit_code == 1
    found = json.loads(report.stdout)
    assert (found["ok"], found["requirement"]) == (False, "hide")
    assert found["target"] is not None
    assert len(found["path"]) > 1


def with_record(folder, tmp_path, **fields):
    """Return a copy of a folder with other entries of discovery.json."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    record = json.loads((copy / "discovery.json").read_text())
    (copy / "discovery.json").write_text(json.dumps(record | fields))
    return copy


def test_a_bound_above_its_theorem_is_refused(open_folder, tmp_path):
    record = json.loads((open_folder / "discovery.json").read_text())
    assert record["status"] == "FEASIBLE"
    done = verify(with_record(open_folder, tmp_path, bound=record["cost"], status="OPTIMAL"))
    assert done.exit_code == 1
    assert "by theorem" in done.stderr


@pytest.mark.parametrize("bound_by", ["CP-SAT: a finished search", "theorem 99, unheard of (docs/none.md)"])
def test_a_bound_that_only_a_search_finds_is_not_compared(open_folder, tmp_path, bound_by):
    cost = json.loads((open_folder / "discovery.json").read_text())["cost"]
    claim = {"bound": cost, "status": "OPTIMAL", "bound_by": bound_by}
    report = json.loads(verify(with_record(open_folder, tmp_path, **claim), "--json").stdout)
    assert report["ok"]
    assert bound_by in report["not_compared"][0]
    assert "bound" not in report["checks"]


@pytest.mark.parametrize("bound", [1e9, "x", None, True, float("nan")])
def test_an_impossible_bound_is_refused(folder, tmp_path, bound):
    assert verify(with_record(folder, tmp_path, bound=bound, status="OPTIMAL")).exit_code in (1, 2)


def test_an_instance_that_hides_less_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    instance = json.loads((copy / "instance.json").read_text())
    instance["tasks"][0]["predict"][0]["hides"] = []
    (copy / "instance.json").write_text(json.dumps(instance))
    done = verify(copy)
    assert done.exit_code == 1
    assert "hides other elements" in done.stderr


@pytest.mark.parametrize("prices", [(1e-10, 0, 1e-10), (1e9, 0, 1)])
def test_one_pair_too_many_is_not_optimal(tmp_path, prices):
    weights = dict(zip(("position", "kv", "pair"), prices, strict=True)) | {"count": "structure"}
    contracts = {"masksynth_contracts": 1, "name": "x", "elements": 8, "targets": "each", "layers": 3}
    asked = ["discover", "-", "-o", str(tmp_path / "out"), "--time-limit", "0", "--json"]
    found = RUN.invoke(main, asked, input=json.dumps(contracts | {"weights": weights}))
    assert json.loads(found.stdout)["status"] == "FEASIBLE"  # 28 pairs, where 26 are proved
    assert verify(tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("name", ["objective", "status", "bound_by"])
def test_what_the_figures_are_of_must_be_stated(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    record = json.loads((copy / "discovery.json").read_text())
    del record[name]
    (copy / "discovery.json").write_text(json.dumps(record))
    done = verify(copy)
    assert done.exit_code == 1
    assert name in done.stderr


def test_a_label_that_is_not_there_is_refused_in_one_line(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    record = json.loads((copy / "solution.json").read_text())
    record["labels"].pop()
    (copy / "solution.json").write_text(json.dumps(record))
    done = verify(copy)
    assert done.exit_code == 1
    assert "names the label 5" in done.stderr
