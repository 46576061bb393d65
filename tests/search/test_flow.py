"""Instances are pulled as they are needed, results come in the requested order, within the budget."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import masksynth as ms
from masksynth import Limits
from masksynth.search.running import AHEAD_LIMIT, JOB_SIZE_LIMIT
from tests.search.harness import (
    SITE,
    asked,
    chain,
    environment,
    folder,
    home,
    named,
    results,
    search,
    search_here,
    with_site,
)

JOBS = 2
BOUND = AHEAD_LIMIT + JOB_SIZE_LIMIT * JOBS
"""Most instances that are ever pulled and not yet taken as results."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The faulty backends, for this process and for its workers."""
    monkeypatch.syspath_prepend(SITE)
    monkeypatch.setenv("PYTHONPATH", with_site())
    monkeypatch.setenv("FAULTY_HOME", str(home(tmp_path)))
    return tmp_path


class Counted:
    """A generator of a million instances that knows how many were pulled."""

    def __init__(self, most=1_000_000):
        self.pulled, self.most = 0, most

    def __iter__(self):
        instance = ms.catalog.causal_lm(n=3)
        for _ in range(self.most):
            self.pulled += 1
            yield instance


def resident():
    """MiB that this process holds now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


@pytest.mark.parametrize("ordered", [False, True])
def test_a_slow_reader_of_a_million(ordered):
    source = Counted()
    stream = ms.search(source, backend="criterion", jobs=JOBS, ordered=ordered)
    for taken, _ in enumerate(itertools.islice(stream, 50), 1):
        time.sleep(0.005)
        assert source.pulled <= taken + BOUND
    stream.close()
    assert source.pulled <= 50 + BOUND


def test_nothing_is_pulled_before_the_first_result_is_asked_for():
    source = Counted()
    ms.search(source, backend="criterion", jobs=JOBS)
    assert source.pulled <= BOUND


def test_memory_does_not_grow():
    held = []
    stream = ms.search(Counted(), backend="criterion", jobs=JOBS)
    for place, _ in enumerate(itertools.islice(stream, 2001)):
        if place in (400, 1200, 2000):
            held.append(resident())
    stream.close()
    assert held[-1] - held[0] < 4, held  # answers of 1,600 instances would take more
    assert held[-1] - held[1] < 2.5, held


def test_one_slow_instance_in_order_does_not_let_the_rest_pile_up(site):
    source = Counted()
    stream = ms.search(itertools.chain([chain("sleep 2")], source), backend="faulty", jobs=JOBS, ordered=True)
    first = next(stream)
    assert first.instance == "sleep-2"
    assert source.pulled <= BOUND
    stream.close()


def test_a_generator_that_raises_loses_no_result(site):
    def broken():
        yield from (chain(f"sleep 0.2 #{number}") for number in range(4))
        raise ValueError("no more")

    found = []
    with pytest.raises(ValueError, match="no more"):
        found.extend(ms.search(broken(), backend="faulty", jobs=JOBS))
    assert len(found) == 4


def test_a_reader_that_leaves_ends_the_workers(site):
    for result in ms.search((chain(f"sleep 0.05 #{n}") for n in range(1000)), backend="faulty", jobs=JOBS):
        assert result.status == "OPTIMAL"
        break
    del result
    end = time.monotonic() + 10
    while named(site):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_order_under_uneven_times(site):
    seconds = [0.6, 0, 0.3, 0, 0, 0.2, 0, 0.4, 0, 0]
    instances = [chain(f"sleep {pause} #{place}") for place, pause in enumerate(seconds)]
    names = [instance.name for instance in instances]
    assert [result.instance for result in ms.search(instances, backend="faulty", jobs=JOBS, ordered=True)] == names
    free = [result.instance for result in ms.search(instances, backend="faulty", jobs=JOBS)]
    assert sorted(free) == sorted(names)
    assert free != names


def test_order_with_failures_among_them(site):
    orders = ["sleep 0.3 #1", "die", "answer #1", "raise", "sleep 0.2 #2", "answer #2"]
    found = list(ms.search([chain(order) for order in orders], backend="faulty", jobs=JOBS, ordered=True))
    assert [result.instance for result in found] == [order.replace(" ", "-") for order in orders]
    assert [result.status for result in found] == ["OPTIMAL", None, "OPTIMAL", None, "OPTIMAL", "OPTIMAL"]


def test_a_budget_ends_the_run(site):
    orders = ["answer", "sleep 3600", "sleep 3600 #2", "answer #3"]
    begun = time.monotonic()
    found = list(ms.search([chain(order) for order in orders], backend="faulty", jobs=JOBS, budget=4))
    assert time.monotonic() - begun < 9
    told = {result.instance: result.error for result in found}
    assert told["answer"] is None
    for name in ("sleep-3600", "sleep-3600-#2"):
        assert "budget" in told[name]
    assert not named(site)


def test_a_budget_in_the_command_is_exit_3(tmp_path):
    folder(tmp_path / "instances", {"a": "answer", "b": "sleep 3600", "c": "sleep 3600 #2", "d": "answer #2"})
    begun = time.monotonic()
    options = ("instances", "--backend", "faulty", "--jobs", "2")
    done = search(tmp_path, *options, "--budget", "4", "-o", "r.jsonl", timeout=60)
    assert done.returncode == 3, done
    assert time.monotonic() - begun < 15
    lines = {line.instance.rpartition("/")[2]: line for line in results(tmp_path / "r.jsonl")}
    assert lines["a.json"].status == "OPTIMAL"
    assert "budget" in lines["b.json"].error
    done = search_here(tmp_path, *options, "-o", "r.jsonl", "--resume", calm=True)
    assert done.returncode == 0, done
    assert [line.status for line in results(tmp_path / "r.jsonl")] == ["OPTIMAL"] * 4


@pytest.mark.parametrize("wanted", [1, 8])
def test_threads_are_divided_among_workers(wanted, site):
    found = list(
        ms.search([chain(f"answer #{n}") for n in range(4)], backend="threads", jobs=2, limits=Limits(workers=wanted))
    )
    cores = len(os.sched_getaffinity(0))
    for result in found:
        assert 1 <= result.limits["workers"] <= max(1, cores // 2)
    marks = {int((home(site) / f"threads-{pid}").read_text()) for pid in asked(site, "threads")}
    assert marks == {result.limits["workers"] for result in found}


def test_kill_after_stops_what_hears_no_signal(site):
    begun = time.monotonic()
    found = list(ms.search([chain("stuck"), chain("answer")], backend="faulty", jobs=JOBS, kill_after=3))
    assert time.monotonic() - begun < 12
    told = {result.instance: result.error for result in found}
    assert told["answer"] is None
    assert "killed after 3 s" in told["stuck"]


def test_memory_is_limited(site):
    (result,) = ms.search([chain("eat")], backend="faulty", jobs=1, memory=3 << 30)
    assert "memory" in result.error


def test_an_empty_batch():
    assert list(ms.search([], backend="criterion")) == []
    assert list(ms.search(iter(()), backend="criterion", ordered=True)) == []


def test_one_name_for_many_instances_of_python(site):
    found = list(ms.search([chain("answer"), chain("answer"), chain("answer #2")], backend="faulty", jobs=JOBS))
    assert len(found) == 3
    assert len({result.hash for result in found}) == 2


def test_a_search_that_is_handed_from_thread_to_thread(site):
    stream = ms.search([chain(f"sleep 0.3 #{number}") for number in range(8)], backend="faulty", jobs=JOBS)
    found = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: found.append(next(stream)))
        thread.start()
        thread.join()
        time.sleep(0.2)
    found += stream
    assert [(result.status, result.error) for result in found] == [("OPTIMAL", None)] * 8


def test_a_script_without_a_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import masksynth as ms\nprint(len(list(ms.search(ms.sweep('butterfly', n=[2, 4]), backend='criterion', jobs=2))))\n"  # noqa: E501
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment(tmp_path), timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
