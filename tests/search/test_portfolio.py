"""Several backends per instance: the first proof wins, contradictions are errors, failures are joined."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

import masksynth as ms
from tests.search.harness import (
    SITE,
    alive,
    asked,
    chain,
    errors,
    folder,
    good,
    home,
    named,
    results,
    search,
    start,
    until,
    with_site,
)

pytestmark = pytest.mark.slow
SPARSE = Path(__file__).parents[2] / "instances/sparse/chain-13-layers-3.json"
FEWEST, GREEDY = 20, 21


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The faulty backends, for this process and for its workers."""
    monkeypatch.syspath_prepend(SITE)
    monkeypatch.setenv("PYTHONPATH", with_site())
    monkeypatch.setenv("FAULTY_HOME", str(home(tmp_path)))
    return tmp_path


def test_the_first_proof_ends_the_others(tmp_path):
    folder(tmp_path / "instances", good(3))
    begun = time.monotonic()
    done = search(tmp_path, "instances", "--backend", "sleepy,criterion", "--jobs", "2", "-o", "r.jsonl", timeout=60)
    assert done.returncode == 0, done
    assert time.monotonic() - begun < 30
    lines = results(tmp_path / "r.jsonl")
    assert [(line.status, line.winner, line.backend) for line in lines] == [
        ("OPTIMAL", "criterion", "sleepy,criterion")
    ] * 3
    assert all(line.seconds < 20 for line in lines)
    assert not named(tmp_path)


def test_with_one_job_they_take_turns(tmp_path):
    folder(tmp_path / "instances", good(2))
    done = search(tmp_path, "instances", "--backend", "slow,criterion", "--jobs", "1", "-o", "r.jsonl")
    assert done.returncode == 0, done
    assert [line.status for line in results(tmp_path / "r.jsonl")] == ["OPTIMAL"] * 2


def test_the_loser_is_gone_while_the_run_goes_on(site):
    stream = iter(ms.search([chain(f"answer #{n}") for n in range(2)], backend=("sleepy", "criterion"), jobs=2))
    first = next(stream)
    assert (first.status, first.winner) == ("OPTIMAL", "criterion")
    sleeping = asked(site, "sleepy")
    assert next(stream).winner == "criterion"
    assert list(stream) == []
    assert not any(map(alive, sleeping | asked(site, "sleepy")))


def test_one_fails_and_the_other_proves(tmp_path):
    folder(tmp_path / "instances", good(3))
    for backends in ("raising,criterion", "criterion,raising", "killer,slow", "wrong,slow", "slow,killer,raising"):
        done = search(tmp_path, "instances", "--backend", backends, "--jobs", "2", "-o", "r.jsonl", "--force")
        assert done.returncode == 0, (backends, done)
        lines = results(tmp_path / "r.jsonl")
        assert [(line.status, line.error) for line in lines] == [("OPTIMAL", None)] * 3, backends
        assert {line.winner for line in lines} == {"slow" if "slow" in backends else "criterion"}


def test_all_fail_in_one_line(tmp_path):
    folder(tmp_path / "instances", good(2))
    done = search(tmp_path, "instances", "--backend", "raising,killer,wrong", "--jobs", "2", "-o", "r.jsonl")
    assert done.returncode == 1, done
    lines = results(tmp_path / "r.jsonl")
    assert len(lines) == 2
    for reason in errors(lines).values():
        for part in ("raising", "RuntimeError: out of luck", "killer", "SIGKILL", "wrong", "please report it"):
            assert part in reason
        assert "\n" not in reason


def test_a_claim_that_the_checker_refuses_is_no_answer(tmp_path):
    folder(tmp_path / "instances", good(1))
    done = search(tmp_path, "instances", "--backend", "wrong", "-o", "r.jsonl")
    assert done.returncode == 1, done
    (reason,) = errors(results(tmp_path / "r.jsonl")).values()
    assert "contradiction: wrong proved that at least 4 are needed, but criterion found 3 (" in reason


def test_what_no_backend_can_do_is_a_line(tmp_path):
    folder(tmp_path / "instances", good(1))
    done = search(tmp_path, "instances", "--backend", "cpsat,maxsat", "--layers", "2", "-o", "r.jsonl")
    assert done.returncode == 1, done
    (reason,) = errors(results(tmp_path / "r.jsonl")).values()
    assert "cpsat" in reason
    assert "maxsat" in reason


def both_finished(site, **options):
    """Results of a quick instance and of one whose two engines have both ended before the second is requested."""
    instances = [ms.catalog.causal_lm(n=3), ms.load(SPARSE)]
    stream = ms.search(instances, backend=("liar", "sat"), sparse=True, layers=3, jobs=4, ordered=True, **options)
    first = next(stream)
    time.sleep(4)
    return [first, *stream]


def test_two_proven_optima_that_differ_are_an_error_with_both_answers(site):
    first, second = both_finished(site)
    assert first.status == "OPTIMAL"
    assert second.status is None
    assert second.instance in ("chain-13-layers-3", str(SPARSE))
    assert second.hash
    for part in ("liar", "sat", str(FEWEST), str(GREEDY)):
        assert part in second.error
    assert "\n" not in second.error


def test_a_disagreement_in_the_command_is_exit_1_and_stays_in_the_file(tmp_path):
    (tmp_path / "instances").mkdir()
    shutil.copy(SPARSE, tmp_path / "instances/chain.json")
    codes = set()
    for turn in range(2):
        done = search(
            tmp_path,
            "instances",
            "--backend",
            "liar,sat",
            "--jobs",
            "2",
            "-o",
            f"r{turn}.jsonl",
            "--answers",
            f"a{turn}",
        )
        (line,) = results(tmp_path / f"r{turn}.jsonl")
        codes.add(done.returncode)
        assert (done.returncode == 1) == (line.error is not None)
        if line.error is not None:
            kept = [json.loads(path.read_text()) for path in (tmp_path / f"a{turn}").rglob("solution.json")]
            assert sorted(record["objective"]["edges"]["value"] for record in kept) == [FEWEST, GREEDY]
            assert (tmp_path / line.instance).exists()
    assert codes <= {0, 1}


def test_several_feasible_answers_give_the_best(tmp_path):
    (tmp_path / "instances").mkdir()
    shutil.copy(SPARSE.parent / "random-30-80-1-layers-2.json", tmp_path / "instances/hard.json")
    done = search(tmp_path, "instances", "--backend", "sat,cpsat", "--jobs", "2", "--time-limit", "1", "-o", "r.jsonl")
    assert done.returncode == 0, done
    (line,) = results(tmp_path / "r.jsonl")
    assert line.status == "FEASIBLE"
    assert line.winner in ("sat", "cpsat")
    assert line.objective["edges"]["bound"] < line.objective["edges"]["value"]


def test_ctrl_c_ends_a_portfolio(tmp_path):
    folder(tmp_path / "instances", good(2))
    process = start(tmp_path, "instances", "--backend", "sleepy,sleepy", "--jobs", "2", "-o", "r.jsonl")
    if process.poll() is None:
        until(lambda: asked(tmp_path, "sleepy") or process.poll() is not None)
    process.send_signal(2)
    process.communicate(timeout=30)
    assert process.returncode in (2, 3)  # a name given twice may be refused
    until(lambda: not named(tmp_path), seconds=10)
