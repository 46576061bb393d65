"""A run that was stopped is completed to the set of an undisturbed one, and nothing is done twice."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time

import pytest

import masksynth as ms
from masksynth.search.result import Recalled
from masksynth.tasks.instance_files import dumps
from tests.search.harness import (
    asked,
    chain,
    due,
    errors,
    folder,
    good,
    home,
    results,
    said,
    search_here,
    start,
    whole_lines,
)

OPTIONS = ("instances", "--backend", "faulty", "--jobs", "2")


def resume(path, *arguments, code=0):
    """Complete ``r.jsonl``; how many new lines it has."""
    before = len(whole_lines(path / "r.jsonl"))
    done = search_here(path, *(arguments or OPTIONS), "-o", "r.jsonl", "--resume")
    assert done.returncode == code, done
    return len(results(path / "r.jsonl")) - before


def test_a_finished_file_stays_as_it_is(tmp_path):
    folder(tmp_path / "instances", good(5))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    shutil.rmtree(home(tmp_path))
    assert resume(tmp_path) == 0
    assert (tmp_path / "r.jsonl").read_bytes() == before
    assert not asked(tmp_path)


def test_without_an_option_results_are_never_replaced(tmp_path):
    folder(tmp_path / "instances", good(2))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    done = search_here(tmp_path, *OPTIONS, "-o", "r.jsonl")
    assert done.returncode == 2
    assert "--resume" in done.stderr
    assert (tmp_path / "r.jsonl").read_bytes() == before
    folder(tmp_path / "instances", good(3))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--force").returncode == 0
    assert len(said(results(tmp_path / "r.jsonl"))) == 3


def test_resume_begins_where_there_is_nothing(tmp_path):
    folder(tmp_path / "instances", good(2))
    assert resume(tmp_path) == 2
    (tmp_path / "r.jsonl").write_bytes(b"")
    assert resume(tmp_path) == 2


def test_a_run_that_is_killed_again_and_again(tmp_path):
    folder(tmp_path / "instances", {f"s{number:02}": f"sleep 0.1 #{number}" for number in range(40)})
    chance, kills = random.Random(5), 0
    while True:
        process = start(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume")
        time.sleep(chance.uniform(1.0, 2.5) * (1 + kills / 3))  # a slow machine gets on too
        process.send_signal(signal.SIGKILL)
        _, complaints = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), complaints
        said(whole_lines(tmp_path / "r.jsonl"))
        if process.returncode == 0:
            break
        kills += 1
        assert kills < 12
    assert kills
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)


def test_a_torn_last_line_is_done_again(tmp_path):
    folder(tmp_path / "instances", good(3))
    assert search_here(tmp_path, *OPTIONS, "-o", "whole.jsonl").returncode == 0
    text = (tmp_path / "whole.jsonl").read_bytes()
    last = text.splitlines(keepends=True)[-1]
    for kept in (1, len(last) // 2, len(last) - 1):
        (tmp_path / "r.jsonl").write_bytes(text[: len(text) - len(last) + kept])
        resume(tmp_path)
        assert said(results(tmp_path / "r.jsonl")) == said(results(tmp_path / "whole.jsonl")), kept
        assert (tmp_path / "r.jsonl").read_bytes().startswith(text[: -len(last)])


def test_a_torn_line_in_the_middle_is_named(tmp_path):
    folder(tmp_path / "instances", good(3))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    broken = lines[0] + lines[1][:50] + b"\n" + lines[2]
    (tmp_path / "r.jsonl").write_bytes(broken)
    done = search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume")
    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert (tmp_path / "r.jsonl").read_bytes() == broken


def test_failures_are_tried_again_and_answers_are_not(tmp_path):
    folder(tmp_path / "instances", {"bad": "once raise", "worse": "raise"} | good(3))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 1
    assert set(errors(results(tmp_path / "r.jsonl"))) == {"bad", "worse"}
    seconds = {line.instance: line.seconds for line in results(tmp_path / "r.jsonl") if line.error is None}
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume").returncode == 1
    lines = results(tmp_path / "r.jsonl")
    assert set(errors(lines)) == {"worse"}
    assert len(said(lines)) == 5
    assert {line.instance: line.seconds for line in lines if line.instance in seconds} == seconds


def test_equal_instances_have_a_line_each(tmp_path):
    folder(tmp_path / "instances", {"one": "answer", "two": "answer", "three": "once sleep 0.5"})
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    whole = said(results(tmp_path / "r.jsonl"))
    assert len(whole) == 3
    text = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    for place in range(3):
        (tmp_path / "r.jsonl").write_bytes(b"".join(text[:place] + text[place + 1 :]))
        resume(tmp_path)
        assert said(results(tmp_path / "r.jsonl")) == whole
    assert resume(tmp_path) == 0


def test_what_has_changed_is_done_again(tmp_path):
    folder(tmp_path / "instances", good(3))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    (tmp_path / "instances/good-001.json").write_text(dumps(chain("answer #other", nodes=5)))
    assert resume(tmp_path) in (0, 1)  # the old line may go or stay
    new = [line for line in results(tmp_path / "r.jsonl") if "good-001" in line.instance][-1]
    assert new.objective["positions"]["value"] == 5


def test_another_question_is_not_answered_by_an_old_line(tmp_path):
    folder(tmp_path / "instances", good(2))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    for more in (("--layers", "2"), ("--sparse", "--layers", "2", "--backend", "auto"), ("--backend", "criterion")):
        assert resume(tmp_path, *OPTIONS, *more) == 2, more
        assert resume(tmp_path, *OPTIONS, *more) == 0, more
    assert len(results(tmp_path / "r.jsonl")) == 8


def test_what_was_not_proved_is_done_again_under_other_limits(tmp_path):
    (tmp_path / "instances").mkdir()
    shutil.copy("instances/sparse/random-30-80-1-layers-2.json", tmp_path / "instances/hard.json")
    options = ("instances", "--time-limit", "0.1")
    assert search_here(tmp_path, *options, "-o", "r.jsonl").returncode == 0
    (line,) = results(tmp_path / "r.jsonl")
    assert line.status in ("FEASIBLE", "UNKNOWN")
    assert resume(tmp_path, *options) == 0
    resume(tmp_path, "instances", "--time-limit", "0.2")
    newest = results(tmp_path / "r.jsonl")[-1]
    assert newest.limits["seconds"] == 0.2


def test_answers_are_written_and_complete_after_a_kill(tmp_path):
    folder(tmp_path / "instances", {f"s{number}": f"sleep 0.2 #{number}" for number in range(8)})
    options = (*OPTIONS, "--answers", "answers")
    process = start(tmp_path, *options, "-o", "r.jsonl")
    while len(whole_lines(tmp_path / "r.jsonl")) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert resume(tmp_path, *options) >= 4
    lines = results(tmp_path / "r.jsonl")
    assert len(said(lines)) == 8
    for line in lines:
        assert line.folder
        record = json.loads((tmp_path / line.folder / "solution.json").read_text())
        assert record["objective"] == line.objective
    assert len({line.folder for line in lines}) == 8
    left = [path.name for path in (tmp_path / "answers").rglob("*") if "partial" in path.name]
    assert left == []


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_blank_ends_do_no_harm(last, tmp_path):
    folder(tmp_path / "instances", good(2))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    whole = said(results(tmp_path / "r.jsonl"))
    (tmp_path / "r.jsonl").write_bytes((tmp_path / "r.jsonl").read_bytes() + last)
    done = search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume")
    assert done.returncode == 2 if last else done.returncode == 0, done
    if not last:
        assert said(results(tmp_path / "r.jsonl")) == whole


@pytest.mark.parametrize("ordered", [False, True])
def test_many_known_under_another_name(ordered):
    instances = [chain(f"answer #{number}") for number in range(2500)]
    (known,) = ms.search(chain("answer"), backend="criterion", jobs=1)
    found = list(
        ms.search(
            instances,
            backend="criterion",
            jobs=1,
            recall=lambda name, question: Recalled(known, False),
            ordered=ordered,
        )
    )
    assert [result.instance for result in found] == [instance.name for instance in instances]


def test_a_folder_that_was_moved_needs_no_solving(tmp_path):
    folder(tmp_path / "instances", good(6))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl").returncode == 0
    shutil.rmtree(home(tmp_path))
    (tmp_path / "instances").rename(tmp_path / "moved")
    assert resume(tmp_path, "moved", *OPTIONS[1:]) == 6
    assert not asked(tmp_path)
    assert len(said(results(tmp_path / "r.jsonl"))) == 12
