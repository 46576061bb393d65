"""``masksynth verify CONTRACTS FOLDER``: right folders are accepted, each changed figure and file is refused."""

import json
import shutil

import pytest
from click.testing import CliRunner

from masksynth.cli import main

RUN = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("discovery")
    contracts = RUN.invoke(main, ["contracts", "leave_one_out", "--n", "6"]).stdout
    asked = ["discover", "-", "--layers", "4", "-o", str(place / "out"), "--time-limit", "3", "--quiet"]
    assert RUN.invoke(main, asked, input=contracts).exit_code == 0
    return place / "out"


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
