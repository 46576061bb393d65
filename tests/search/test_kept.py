"""What a continued file keeps, and what a race, a slow source and a starting worker must not cost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth import catalog
from masksynth.cli import main
from masksynth.errors import InvalidInstance
from masksynth.search.book import Book, read_results
from masksynth.search.result import line_of
from masksynth.tasks.instance_files import dumps


def search(*arguments):
    return CliRunner().invoke(main, ["search", *map(str, arguments), "--jobs", "1", "--quiet"])


@pytest.fixture
def mixed(tmp_path):
    """A file with an answer that is not proved, a failure, and a proof, by another backend than the one that is
    requested next.
    """
    found = list(ms.search(ms.sweep("butterfly", n=[3, 4, 5]), backend="cpsat", jobs=1, ordered=True))
    weak = replace(found[0], status="FEASIBLE", limits={**found[0].limits, "seconds": 10.0})
    failed = replace(found[1], status=None, objective={}, winner=None, error="the worker died", hash=None)
    lines = [line_of(weak), line_of(failed), line_of(found[2])]
    (tmp_path / "r.jsonl").write_bytes(b"".join(lines))
    return tmp_path / "r.jsonl", lines


def test_lines_stay_until_a_result_takes_their_place(mixed):
    path, lines = mixed
    with Book(path, "resume"):
        assert path.read_bytes() == b"".join(lines)
    assert path.read_bytes() == b"".join(lines)
    assert (
        search("--family", "butterfly", "--n", "3..5", "--backend", "criterion", "-o", path, "--resume").exit_code == 0
    )
    assert path.read_bytes().startswith(b"".join(lines))
    assert len(list(read_results(path))) == 6


def test_each_unfinished_line_is_replaced_by_its_own_result_alone(mixed):
    path, lines = mixed
    assert search("--family", "butterfly", "--n", "4", "--backend", "cpsat", "-o", path, "--resume").exit_code == 0
    found = list(read_results(path))
    assert [line_of(result) for result in found[:2]] == [lines[0], lines[2]]
    assert (found[2].instance, found[2].status) == ("butterfly(n=4)", "OPTIMAL")
    assert search("--family", "butterfly", "--n", "3..5", "--backend", "cpsat", "-o", path, "--resume").exit_code == 0
    assert sorted((result.instance, result.status) for result in read_results(path)) == [
        (f"butterfly(n={n})", "OPTIMAL") for n in (3, 4, 5)
    ]


def test_lines_that_a_killed_run_left_beside_their_results_go_away(mixed):
    path, lines = mixed
    (done,) = ms.search(ms.sweep("butterfly", n=4), backend="cpsat", jobs=1)
    path.write_bytes(b"".join(lines) + line_of(done))
    with Book(path, "resume"):
        pass
    assert path.read_bytes() == lines[0] + lines[2] + line_of(done)


def test_equal_instances_of_one_name_keep_a_line_each(tmp_path):
    (tmp_path / "a.json").write_text(dumps(catalog.butterfly(n=3)))
    out = tmp_path / "r.jsonl"
    assert search(*[tmp_path / "a.json"] * 3, "-o", out).exit_code == 0
    whole = out.read_bytes().splitlines(keepends=True)
    assert len(whole) == 3
    for kept in (1, 2, 3):
        out.write_bytes(b"".join(whole[:kept]))
        assert search(*[tmp_path / "a.json"] * 3, "-o", out, "--resume").exit_code == 0
        assert len(list(read_results(out))) == 3


def test_answers_are_written_also_for_what_was_solved_without_them(tmp_path):
    out = tmp_path / "r.jsonl"
    assert search("--family", "butterfly", "--n", "3..4", "-o", out).exit_code == 0
    for _ in range(2):
        assert (
            search(
                "--family", "butterfly", "--n", "3..4", "-o", out, "--resume", "--answers", tmp_path / "answers"
            ).exit_code
            == 0
        )
        found = list(read_results(out))
        assert len(found) == len(os.listdir(tmp_path / "answers")) == 2
        assert all(os.path.exists(f"{result.folder}/solution.json") for result in found)


def test_one_file_is_not_named_for_two_things(tmp_path):
    out = tmp_path / "r.svg"
    assert search("--family", "butterfly", "-o", out, "--report").exit_code == 2
    assert (
        search("--family", "butterfly", "-o", tmp_path / "r.csv", "--table", tmp_path / "r.csv", "--force").exit_code
        == 2
    )
    assert search("--family", "butterfly", "-o", tmp_path / "r.jsonl").exit_code == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    assert (
        search(
            "--family", "butterfly", "-o", tmp_path / "r.jsonl", "--force", "--compare", tmp_path / "r.jsonl"
        ).exit_code
        == 2
    )
    (tmp_path / "r.svg").write_text("precious")
    assert search(tmp_path / "r.jsonl", "--report").exit_code == 2
    assert (tmp_path / "r.jsonl").read_bytes() == before
    assert (tmp_path / "r.svg").read_text() == "precious"
    refused = CliRunner().invoke(main, ["search", str(tmp_path / "r.jsonl"), "--report", "--force"])
    assert refused.exit_code == 0
    assert "<svg" in (tmp_path / "r.svg").read_text()


def test_a_race_has_a_worker_for_each_backend():
    begun = time.monotonic()
    (result,) = ms.search(ms.sweep("butterfly", n=48), backend="ilp,maxsat,criterion", jobs=1)
    assert result.winner == "criterion"
    assert time.monotonic() - begun < 60


def test_a_worker_that_starts_is_not_charged_to_its_instance():
    found = list(ms.search(ms.sweep("butterfly", n=range(3, 7)), backend="cpsat", jobs=2, kill_after=0.5))
    assert sum(result.status == "OPTIMAL" for result in found) >= 3


def test_a_source_that_waits_stops_nothing(tmp_path):
    """A generator that gives the next instance only when it has heard of the last one; a budget over one that gives
    nothing.
    """
    heard = []

    def asking():
        for n in range(3, 6):
            yield catalog.butterfly(n=n)
            end = time.monotonic() + 60
            while len(heard) < n - 2 and time.monotonic() < end:
                time.sleep(0.01)

    begun = time.monotonic()
    for result in ms.search(asking(), backend="criterion", jobs=2):
        heard.append(result.instance)
    assert heard == ["butterfly-3", "butterfly-4", "butterfly-5"]
    assert time.monotonic() - begun < 60

    def silent():
        yield catalog.butterfly(n=3)
        time.sleep(3600)

    first, last = ms.search(silent(), backend="criterion", jobs=1, budget=4)
    assert (first.status, last.instance) == ("OPTIMAL", "the rest of the instances")
    assert "budget of 4 s" in last.error


def test_results_are_printed_while_stdin_is_open(tmp_path):
    (tmp_path / "a.json").write_text(dumps(catalog.butterfly(n=3)))
    command = [sys.executable, "-m", "masksynth", "search", "-", "--jobs", "1", "--backend", "criterion"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        process.stdin.write("a.json\n\n")
        process.stdin.flush()
        assert '"OPTIMAL"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_sweep_may_be_without_end():
    found = list(
        itertools.islice(ms.search(ms.sweep("butterfly", n=itertools.count(3)), backend="criterion", jobs=1), 5)
    )
    assert len(found) == 5


def test_threads_are_divided_in_executors_of_this_machine():
    with ThreadPoolExecutor(2) as executor:
        (result,) = ms.search(catalog.butterfly(n=3), executor=executor, limits=ms.Limits(workers=64))
    assert result.limits["workers"] <= max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"executor": 2},
        {"limits": 5},
        {"layers": "two"},
        {"layers": -1},
        {"budget": True},
        {"jobs": True},
        {"memory": 2**63},
        {"memory": 10},
    ],
)
def test_what_makes_no_sense_is_refused_at_once(wrong):
    with pytest.raises(InvalidInstance):
        ms.search(catalog.butterfly(n=3), **wrong)
    with pytest.raises(InvalidInstance):
        ms.search(b"a.json")
