"""``masksynth solve``: answers, folders, options and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.cli import main
from masksynth.tasks.instance_files import dumps
from tests.cli.command import FILES, here, masksynth, refused

INSTANCES = Path(__file__).parent.parent.parent / "instances"
KEYS = [
    "status", "positions", "labels", "tasks", "embeddings", "loss_edges", "problem", "objective", "certificate", "backend", "versions",  # noqa: E501
    "limits", "seconds",
]  # fmt: skip


@pytest.fixture
def butterfly(tmp_path):
    path = tmp_path / "butterfly.json"
    path.write_text(dumps(ms.catalog.butterfly(n=4)))
    return path


def contents(folder):
    """Everything below a folder, hidden files included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_text_for_people(butterfly):
    done = masksynth("solve", butterfly)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "butterfly-4: OPTIMAL, 10 positions instead of 16 (4 tasks, 4 predictions)"
    assert lines[1] == "  minimal; found by cpsat (10) and criterion (10)"
    picture = str(ms.solve(ms.catalog.butterfly(n=4)).merged.mask).splitlines()
    assert all(line.endswith(row) for line, row in zip(lines[-10:], picture, strict=True))


def test_json_is_the_content_of_solution_json_wherever_it_comes_from(butterfly, tmp_path):
    made = [
        masksynth("solve", butterfly, "-o", tmp_path / "one", "--json"),
        masksynth("solve", "-", "--output", tmp_path / "two", "--json", text=butterfly.read_text()),
    ]
    told = [json.loads(done.stdout) for done in made]
    written = [json.loads((tmp_path / name / "solution.json").read_text()) for name in ("one", "two")]
    assert all((done.returncode, done.stderr) == (0, "") for done in made)
    assert told == written
    assert list(told[0]) == KEYS
    assert told[0]["objective"] == {"positions": {"value": 10, "bound": 10}}
    assert [road["backend"] for road in told[0]["certificate"]["roads"]] == ["cpsat", "criterion"]
    for record in told:
        record.pop("seconds")
    assert told[0] == told[1]
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert set(one) == set(two) == FILES
    assert all(one[name] == two[name] for name in FILES - {"solution.json"})


def test_quiet_says_nothing_and_writes(butterfly, tmp_path):
    done = masksynth("solve", butterfly, "--backend", "criterion", "--quiet", "-o", tmp_path / "deep" / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set(contents(tmp_path / "deep" / "out")) == FILES


def test_an_existing_folder_needs_force(butterfly, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert here("solve", butterfly, "-o", out, "--quiet", "--backend", "criterion").returncode == 0
    (out / "notes.txt").write_text("mine")
    (out / "solution.json").write_text("stale")
    before = contents(out)
    assert (
        refused(here("solve", butterfly, "-o", out))
        == f"{out}: the folder is not empty; choose another folder or give --force (in Python force=True)"
    )
    assert contents(out) == before
    assert here("solve", butterfly, "-o", out, "--force", "--quiet", "--backend", "criterion").returncode == 0
    after = contents(out)
    assert set(after) == FILES | {"notes.txt"}
    assert after["notes.txt"] == b"mine"
    assert after["solution.json"] != b"stale"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("backend", ["auto", "cpsat", "maxsat", "ilp", "criterion", "brute"])
def test_backends(butterfly, backend):
    record = json.loads(
        here("solve", butterfly, "--backend", backend, "--json", "--seed", "3", "--workers", "1").stdout
    )
    assert (record["status"], len(record["positions"]), record["backend"]) == ("OPTIMAL", 10, backend)
    roads = {"auto": ["cpsat", "criterion"], "criterion": ["criterion"]}.get(backend, [backend, "criterion"])
    assert [road["backend"] for road in record["certificate"]["roads"]] == roads
    assert record["limits"] == {"seconds": None, "workers": 1, "seed": 3, "effort": None}
    assert all(name in record["versions"] for name in ("masksynth", "python", "numpy"))


@pytest.mark.parametrize("backend", ["cpsat", "maxsat", "ilp"])
def test_no_time_gives_a_checked_answer_with_a_bound(backend, tmp_path):
    text = (INSTANCES / "butterfly-8.json").read_text()
    instance = tmp_path / "large.json"
    instance.write_text(dumps(ms.catalog.butterfly(n=14)))
    done = here("solve", instance, "--backend", backend, "--time-limit", "0", "-o", tmp_path / "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    objective = record["objective"]["positions"]
    assert record["status"] in ("FEASIBLE", "OPTIMAL")
    assert 1 <= objective["bound"] <= 3 * 14 - 2 <= objective["value"] == len(record["positions"])
    assert record["limits"]["seconds"] == 0
    assert "minimality" not in record["certificate"]["checks"] or record["status"] == "OPTIMAL"
    assert here("verify", instance, tmp_path / "out", "--quiet").returncode == 0
    other = here("verify", "-", tmp_path / "out", "--quiet", text=text)
    assert other.returncode == 1


def test_layers(tmp_path):
    """The chains p a b x and p a b y of the theory: 3, 4, 5 positions at 1, 2, 3 layers."""
    path = INSTANCES / "cover-rows-any-depth.json"
    found = {}
    for layers in ("1", "2", "any"):
        record = json.loads(here("solve", path, "--backend", "criterion", "--layers", layers, "--json").stdout)
        found[layers] = (len(record["positions"]), record["problem"]["layers"])
    assert found == {"1": (3, 1), "2": (4, 2), "any": (found["any"][0], None)}
    assert json.loads(here("solve", INSTANCES / "cover-rows-layers-2.json", "--json").stdout)["problem"]["layers"] == 2
    lifted = json.loads(
        here(
            "solve", INSTANCES / "cover-rows-layers-2.json", "--backend", "criterion", "--layers", "any", "--json"
        ).stdout
    )
    assert lifted["problem"]["layers"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "nope"], "unknown backend 'nope'; choose from auto, criterion, brute, cpsat, maxsat, ilp"),
        (["--layers", "2", "--backend", "cpsat"], "search backends do not support --layers; use --backend criterion or auto"),  # noqa: E501
        (["--sparse"], "$.tasks[0].closure: sparse needs closure, and task 'u' has literal rows; set closure to true"),
        (["--layers", "2147483648"], "$.layers: expected null or an integer from 1 to 2147483647, got 2147483648; give the number of layers, or null for any depth"),  # noqa: E501
        (["--time-limit", "nan"], "limits: seconds: expected a number from 0 to 1e9, got nan"),
        (["-o", "."], None),
        (["-o", "file"], None),
        (["-o", "/proc/nowhere"], None),
        (["--emit", "/proc/nowhere/x.wcnf"], None),
    ],
)  # fmt: skip
def test_refused_requests(options, message, tmp_path):
    (tmp_path / "file").write_text("kept")
    text = (INSTANCES / "cover-rows-any-depth.json").read_text().replace('"name": "t"', '"name": "u"')
    name = json.loads(text)["tasks"][0]["name"]
    said = refused(here("solve", "-", *options, text=text, cwd=tmp_path))
    if message:
        assert said == message.replace("'u'", repr(name))
    assert contents(tmp_path) == {"file": b"kept"}


@pytest.mark.parametrize(
    "options",
    [
        ["--layers", "0"], ["--layers", "1.5"], ["--layers", "9" * 5000], ["--time-limit", "-1"], ["--workers", "0"], ["--seed", "x"],  # noqa: E501
        ["--emit", "."],
    ],
    ids=lambda options: " ".join(options)[:20],
)  # fmt: skip
def test_invalid_values(options, butterfly, tmp_path):
    said = refused(here("solve", butterfly, *options, cwd=tmp_path))
    assert said.startswith(f"Invalid value for '{options[0]}': ")
    assert len(said) < 150
    assert set(contents(tmp_path)) == {"butterfly.json"}


def test_usage(butterfly, tmp_path):
    done = here("solve", butterfly, "--nope", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: masksynth solve")
    assert set(contents(tmp_path)) == {"butterfly.json"}


def test_infeasible_writes_nothing_and_names_the_path(tmp_path):
    path = INSTANCES / "leak-two-hops-any-depth.json"
    done = here("solve", path, "-o", tmp_path / "out", "--emit", tmp_path / "m.wcnf", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    record = json.loads(done.stdout)
    assert list(record) == ["status", "task", "node", "hides", "path"]
    assert record["status"] == "INFEASIBLE"
    assert len(record["path"]) == 3
    assert record["path"][-1] == record["node"]
    text = here("solve", path, "-o", tmp_path / "out")
    assert text.returncode == 1
    assert text.stdout == (
        f"leak-two-hops-any-depth: INFEASIBLE. Node {record['node']!r} of task {record['task']!r} hides {json.dumps(record['hides'])} "  # noqa: E501
        f"and sees it: {' -> '.join(record['path'])} (2 hops).\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert here("solve", path, "--layers", "1", "--quiet").returncode == 0


@pytest.mark.parametrize("name", ms.catalog.FAMILIES)
def test_every_family_of_the_catalogue_pipes_into_solve(name):
    """In this process: a process of its own for each command is what the tests above pay for."""
    new = CliRunner().invoke(main, ["new", name])
    solved = CliRunner().invoke(main, ["solve", "-", "--backend", "criterion", "--json"], input=new.stdout)
    assert (new.exit_code, new.stderr, solved.exit_code, solved.stderr) == (0, "", 0, "")
    expected = ms.catalog.FAMILIES[name]().expect["positions"]
    assert json.loads(solved.stdout)["objective"]["positions"]["value"] == expected


def test_an_empty_family(tmp_path):
    done = here("solve", "-", "-o", tmp_path / "out", text='{"masksynth": 1, "name": "none", "tasks": []}')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("none: OPTIMAL, 0 positions instead of 0 (0 tasks, 0 predictions)\n")
    assert set(contents(tmp_path / "out")) == FILES
