"""``masksynth discover``: what it prints and writes, and what happens when it is stopped."""

import json
import time

import pytest

from masksynth.contracts import dump_contracts, load_contracts
from masksynth.contracts.families import FAMILIES, leave_one_out
from tests.cli.command import FILES, here, interrupt, masksynth, refused, start

WRITTEN = FILES | {"contracts.json", "instance.json", "discovery.json", "journal.json"}
SIZES = ["positions", "updated", "updates", "read_only", "edges", "mixed_edges", "layers", "cost"]
FAST = ("--time-limit", "0")


@pytest.fixture
def question(tmp_path):
    def write(contracts):
        path = tmp_path / "contracts.json"
        path.write_text(dump_contracts(contracts))
        return path

    return write


def test_leave_one_out_is_certified_from_the_pipe(tmp_path):
    text = masksynth("contracts", "leave_one_out", "--n", "64").stdout
    done = masksynth("discover", "-", "--layers", "10", "-o", tmp_path / "out", "--json", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert list(record) == ["status", "objective", *SIZES, "bound", "bound_by", "found_by", "seconds"]
    assert (record["status"], record["positions"], record["edges"]) == ("OPTIMAL", 128, 250)
    assert record["cost"] == record["bound"]
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == WRITTEN
    assert json.loads((tmp_path / "out" / "discovery.json").read_text()) == record
    written = load_contracts(tmp_path / "out" / "contracts.json")
    assert (written.layers, written.masks) == (10, "layered")
    for document in ("instance.json", "contracts.json"):
        checked = here("verify", tmp_path / "out" / document, tmp_path / "out")
        assert checked.returncode == 0, checked
    solved = here("solve", tmp_path / "out" / "instance.json", "--json")
    assert len(json.loads(solved.stdout)["positions"]) == 128


def test_text_says_size_bound_and_origin(question):
    done = here("discover", question(leave_one_out(n=8, layers=4)), *FAST)
    assert done.returncode == 0
    assert "16 positions" in done.stdout
    assert "26 edges in 4 layers" in done.stdout
    assert "the least possible by theorem" in done.stdout
    assert "found by rerooting" in done.stdout
    assert here("discover", question(leave_one_out(n=8)), "--quiet", *FAST).stdout == ""


def test_infeasible_is_said_with_exit_code_1(question, tmp_path):
    path = question(leave_one_out(n=3))
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "demand": {"bandwidth": 3}}))
    done = here("discover", path, "-o", tmp_path / "out", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "INFEASIBLE"
    assert "3 vertex-disjoint ways" in json.loads(done.stdout)["reason"]
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_kept_without_force(question, tmp_path):
    path, out = question(leave_one_out(n=4, layers=2)), tmp_path / "out"
    assert here("discover", path, "-o", out, *FAST).returncode == 0
    before = (out / "discovery.json").read_bytes()
    assert "not empty" in refused(here("discover", path, "-o", out, *FAST))
    assert (out / "discovery.json").read_bytes() == before
    assert here("discover", path, "-o", out, "--layers", "3", "--force", *FAST).returncode == 0
    assert (out / "discovery.json").read_bytes() != before
    assert "another question" in refused(here("discover", path, "-o", out, "--resume", *FAST))
    for options in (["--resume"], ["--force"], ["--resume", "--force", "-o", out]):
        assert here("discover", path, *options).returncode == 2


def test_ctrl_c_keeps_the_best_and_resume_continues(question, tmp_path):
    path, out = question(FAMILIES["leave_ball_out"](n=24, radius=1, layers=5)), tmp_path / "out"
    process = start("discover", path, "-o", out, "--json", "--time-limit", 100)
    until = time.monotonic() + 60
    while not (out / "journal.json").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2)
    code, text, complaints, seconds = interrupt(process)
    assert (code, complaints) == (0, "")
    assert seconds < 20
    first = json.loads(text)
    assert first["status"] == "FEASIBLE"
    done = here("discover", path, "-o", out, "--resume", "--json", *FAST)
    second = json.loads(done.stdout)
    assert second["cost"] <= first["cost"]
    assert here("verify", out / "instance.json", out).returncode == 0


def test_jobs_run_in_workers_and_the_answer_is_checked(question, tmp_path):
    path, out = question(FAMILIES["neighbourhood"](shape=(4, 4), layers=3)), tmp_path / "out"
    done = masksynth("discover", path, "--jobs", 2, "--time-limit", 4, "-o", out, "--backend", "search", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["bound"] <= json.loads(done.stdout)["cost"]
    assert here("verify", out / "instance.json", out).returncode == 0


def test_pareto_writes_rows_and_a_plot(question, tmp_path):
    path, out = question(leave_one_out(n=6, layers=3)), tmp_path / "out"
    done = here("discover", path, "--objective", "pareto", "--time-limit", 2, "-o", out, "--json")
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) > 1
    assert all(set(SIZES) < set(row) for row in rows)
    picture = (out / "pareto.svg").read_text()
    assert picture.count("<circle") == len(rows)


def test_a_journal_that_is_cut_off_is_refused_in_one_line(question, tmp_path):
    path, out = question(leave_one_out(n=4, layers=2)), tmp_path / "out"
    here("discover", path, "-o", out, *FAST)
    (out / "journal.json").write_text('{"question": "')
    assert "journal.json" in refused(here("discover", path, "-o", out, "--resume", *FAST))


def test_trade_offs_survive_a_kill(question, tmp_path):
    path, out = question(leave_one_out(n=12, layers=5)), tmp_path / "out"
    process = start("discover", path, "--objective", "pareto", "-o", out, "--json", "--time-limit", 30)
    until = time.monotonic() + 60
    while time.monotonic() < until and len(_journal(out)["front"]) < 2:
        time.sleep(0.1)
    process.kill()
    process.communicate()  # closes its pipes
    kept = _journal(out)
    assert kept["rounds"] >= 1
    places = [
        (row["layers"], len(row["element"]), sum(len(query) for query, _ in row["reads"])) for row in kept["front"]
    ]
    assert len(places) > 1
    done = here("discover", path, "--objective", "pareto", "-o", out, "--resume", "--json", *FAST)
    assert done.returncode == 0, done.stderr
    rows = [(row["layers"], row["positions"], row["edges"]) for row in json.loads(done.stdout)["rows"]]
    for place in places:  # each trade-off is there, or one that is as good in everything
        assert any(all(a <= b for a, b in zip(row, place, strict=True)) for row in rows), place
    assert min(row[0] for row in rows) == 1  # steps that were not reached are there too
    assert here("verify", out / "contracts.json", out).returncode == 0
    assert "another question" in refused(here("discover", path, "-o", out, "--resume", *FAST))


def _journal(out):
    path = out / "journal.json"
    return json.loads(path.read_text()) if path.exists() else {"front": []}
