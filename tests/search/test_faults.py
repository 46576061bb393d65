"""What can go wrong with a batch on one machine: every finished result is kept, every failure has a line with its
reason.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from masksynth.cli import main
from masksynth.tasks.instance_files import dumps
from masksynth.workers.pool import LocalPool, PoolOptions
from tests.cli.command import refused
from tests.search.harness import (
    alive,
    asked,
    chain,
    due,
    errors,
    folder,
    good,
    home,
    name_of,
    named,
    results,
    said,
    search,
    search_here,
    start,
    undisturbed,
    until,
    whole_lines,
)

pytestmark = pytest.mark.slow
FAULTS = {
    "dies": ("die", "SIGKILL"),
    "crashes": ("crash", "SIGSEGV"),
    "exits": ("exit", "the worker died"),
    "leaves": ("leave", "SystemExit"),
    "raises": ("raise", "RuntimeError: the solver has crashed"),
    "odd": ("odd", "an exception of no module"),
    "eats": ("eat", "memory"),
    "interrupts": ("interrupt", "KeyboardInterrupt"),
    "stuck": ("stuck", "killed after 5 s"),
    "stopped": ("stop", "killed after 5 s"),
    "shuts": ("shut", ""),
    "child": ("child", "killed after 5 s"),
}
OPTIONS = ("instances", "--backend", "faulty", "--jobs", "2")
FAR = ("--jobs", "4", "--kill-after", "5", "--memory", "700")


def test_every_fault_among_good_instances(tmp_path):
    orders = {name: order for name, (order, _) in FAULTS.items()} | good(10)
    folder(tmp_path / "instances", orders)
    out = tmp_path / "r.jsonl"
    done = search(tmp_path, *OPTIONS, *FAR, "-o", out)
    assert done.returncode == 1, done
    lines = results(out)
    assert len(lines) == len(orders)
    told = errors(lines)
    assert set(told) == set(FAULTS)
    for name, (_, reason) in FAULTS.items():
        assert reason in told[name], (name, told[name])
        assert "\n" not in told[name]
    assert {line.status for line in lines if line.error is None} == {"OPTIMAL"}
    assert all(line.hash for line in lines)
    assert not named(tmp_path)
    again = search_here(tmp_path, *OPTIONS, *FAR, "-o", out, "--resume", calm=True)
    assert again.returncode == 0, again
    assert said(results(out)) == undisturbed(tmp_path, *OPTIONS) == due(tmp_path)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_killed_from_outside_costs_one_line(jobs, tmp_path):
    folder(tmp_path / "instances", {"aaa": "once sleep 3600"} | good(6))
    out, options = tmp_path / "r.jsonl", ("instances", "--backend", "faulty", "--jobs", jobs)
    process = start(tmp_path, *options, "-o", out)
    mark = home(tmp_path) / "once-sleep-3600"
    worker = int(until(lambda: mark.exists() and mark.read_text(), process))
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1, complaints
    assert not alive(worker)
    lines = results(out)
    assert len(lines) == 7
    assert set(errors(lines)) == {"aaa"}
    assert "SIGKILL" in errors(lines)["aaa"]
    assert search_here(tmp_path, *options, "-o", out, "--resume").returncode == 0
    assert said(results(out)) == due(tmp_path)


def test_every_worker_is_killed_again_and_again(tmp_path):
    folder(tmp_path / "instances", {f"slow-{number:02}": f"sleep 0.2 #{number}" for number in range(12)})
    out = tmp_path / "r.jsonl"
    process = start(tmp_path, *OPTIONS, "-o", out)
    chance, seen = random.Random(3), set()
    while process.poll() is None:
        for worker in asked(tmp_path) - seen:
            if len(seen) < 6 and chance.random() < 0.7:
                with_luck(worker)
                seen.add(worker)
        time.sleep(0.1)
    process.communicate()
    assert process.returncode == 1
    lines = results(out)
    assert len(said(lines)) == 12
    assert 1 <= len(errors(lines)) <= len(seen)
    assert all("SIGKILL" in reason for reason in errors(lines).values())
    assert search_here(tmp_path, *OPTIONS, "-o", out, "--resume").returncode == 0
    assert said(results(out)) == due(tmp_path)


def with_luck(worker):
    """Kill a process, if it is still there."""
    if alive(worker):
        os.kill(worker, signal.SIGKILL)


def spoil(instances):
    """Files that are not instances, in every way a folder can hold them; name -> what the line must contain."""
    (instances / "text.json").write_text("{")
    (instances / "binary.json").write_bytes(bytes(range(256)) * 40)
    (instances / "empty.json").write_bytes(b"")
    (instances / "folder.json").mkdir()
    (instances / "around").symlink_to(".")
    (instances / "loop.json").symlink_to("loop.json")
    (instances / "nowhere.json").symlink_to("gone")
    (instances / "unreadable.json").symlink_to("/proc/self/mem")
    (instances / "other.json").write_text('{"masksynth": 1, "name": "x", "tasks": 3}')
    os.mkfifo(instances / "pipe.json")
    return {
        "text": "not JSON",
        "binary": "not UTF-8",
        "empty": "the file is empty",
        "loop": "symbolic links",
        "nowhere": "No such file",
        "unreadable": "Input/output error",
        "other": "$.tasks",
        "pipe": "file",
    }


def test_malformed_instances_among_good_ones(tmp_path):
    instances = folder(tmp_path / "instances", good(4))
    reasons = spoil(instances)
    out = tmp_path / "r.jsonl"
    done = search(tmp_path, *OPTIONS, "-o", out)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    told = errors(results(out))
    assert {name: reason for name, reason in told.items() if reasons[name].lower() not in reason.lower()} == {}
    assert set(told) == set(reasons)
    assert len(results(out)) == 4 + len(reasons)
    for name in reasons:
        (instances / f"{name}.json").unlink()
        folder(instances, {name: f"answer {name}"})
    (instances / "folder.json").rmdir()
    (instances / "around").unlink()
    assert search_here(tmp_path, *OPTIONS, "-o", out, "--resume").returncode == 0
    assert said(results(out)) == due(tmp_path)


NAMES = [
    b"plain.json",
    b"two words.json",
    b"line\nend.json",
    b"\xff\xfe.json",
    "\N{SNOWMAN}.json".encode(),
    b"\x1b[31m.json",
    b"-o.json",
]


def test_any_file_name(tmp_path):
    instances = folder(tmp_path / "instances", good(1))
    for number, name in enumerate(NAMES):
        with open(os.fsencode(instances) + b"/" + name, "w") as file:
            file.write(dumps(chain(f"once raise #{number}" if number % 2 else f"answer of {number}")))
    done = search(tmp_path, *OPTIONS, "-o", "r.jsonl")
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert {line.instance for line in results(tmp_path / "r.jsonl")} == {
        name_of(b"instances/" + name) for name in NAMES
    } | {"instances/good-000.json"}
    done = search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume")
    assert done.returncode == 0, done
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)


def test_a_file_that_goes_away_while_others_are_solved(tmp_path):
    instances = folder(tmp_path / "instances", {f"s{number}": f"sleep 0.3 #{number}" for number in range(10)})
    process = start(tmp_path, *OPTIONS, "-o", "r.jsonl")
    until(lambda: asked(tmp_path), process)
    (instances / "s9.json").unlink()
    process.communicate(timeout=60)
    failed = {name: "no such file" in reason.lower() for name, reason in errors(results(tmp_path / "r.jsonl")).items()}
    assert (process.returncode, failed) in ((1, {"s9": True}), (0, {}))  # files are read a little ahead
    assert len(said(results(tmp_path / "r.jsonl"))) == 10


def test_what_is_not_there_at_all(tmp_path):
    done = search(tmp_path, "nothing.json", "-o", "r.jsonl")
    if done.returncode == 2:
        assert "nothing.json" in refused(done)
        assert not (tmp_path / "r.jsonl").exists()
    else:
        assert (done.returncode, list(errors(results(tmp_path / "r.jsonl")))) == (1, ["nothing"])


def test_a_backend_that_does_not_exist_is_refused_before_anything_is_written(tmp_path):
    folder(tmp_path / "instances", good(3))
    assert "unknown backend 'nope'" in refused(
        search(tmp_path, "instances", "--backend", "faulty,nope", "-o", "r.jsonl")
    )
    assert not (tmp_path / "r.jsonl").exists()


def test_a_backend_that_prints_spoils_no_line(tmp_path):
    folder(tmp_path / "instances", {f"c{number}": f"chatter #{number}" for number in range(6)})
    done = search(tmp_path, *OPTIONS, "--quiet")
    assert done.returncode == 0, done
    (tmp_path / "r.jsonl").write_text(done.stdout)
    assert len(said(results(tmp_path / "r.jsonl"))) == 6


@pytest.mark.parametrize("most", [0, 1500, 4000])
def test_a_full_disk(most, tmp_path):
    folder(tmp_path / "instances", good(20))

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    out = tmp_path / "r.jsonl"
    done = search(tmp_path, *OPTIONS, "-o", out, preexec_fn=small_files)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    kept = whole_lines(out)
    assert len(kept) >= most // 1000
    assert set(said(kept)) <= set(due(tmp_path))
    assert not named(tmp_path)
    again = search_here(tmp_path, *OPTIONS, "-o", out, "--resume")
    assert again.returncode == 0, again
    assert said(results(out)) == due(tmp_path)


def test_workers_that_cannot_start(tmp_path):
    folder(tmp_path / "instances", good(6))

    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))

    done = search(tmp_path, *OPTIONS, "-o", "r.jsonl", preexec_fn=few_files)
    lines = whole_lines(tmp_path / "r.jsonl")
    assert done.returncode in (1, 2), done
    assert len(said(lines)) == 6 or (done.returncode, lines) == (2, [])
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume").returncode == 0
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)


def test_a_small_file_system(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("this user may not mount")
    try:
        folder(tmp_path / "instances", good(40))
        done = search(tmp_path, *OPTIONS, "-o", "disk/r.jsonl")
        assert done.returncode == 2, done
        assert "No space left on device" in done.stderr
        kept = whole_lines(disk / "r.jsonl")
        assert kept
        (tmp_path / "r.jsonl").write_bytes((disk / "r.jsonl").read_bytes())
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume").returncode == 0
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)


def test_a_disk_that_is_full_of_answers(tmp_path):
    folder(tmp_path / "instances", good(8))

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    options = (*OPTIONS, "-o", "r.jsonl", "--answers", "answers")
    done = search(tmp_path, *options, preexec_fn=small_files)
    assert done.returncode == 2, done
    assert "File too large" in done.stderr
    assert all((tmp_path / line.folder / "mask.npz").exists() for line in whole_lines(tmp_path / "r.jsonl"))
    assert search_here(tmp_path, *options, "--resume").returncode == 0
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)
    assert {path.parent for path in (tmp_path / "answers").rglob("mask.npz")} == {
        tmp_path / line.folder for line in results(tmp_path / "r.jsonl")
    }


def little_memory():
    """As a guard of the machine: reading a device to its end would take all."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


@pytest.mark.parametrize(
    "arguments", [(), ("-o", "/dev/full"), ("-o", "/dev/full", "--resume"), ("-o", "/dev/zero", "--force")]
)
def test_a_device_that_is_full(arguments, tmp_path):
    folder(tmp_path / "instances", good(3))
    with open("/dev/full", "wb") as full:
        options = {"capture_output": False, "stdout": full, "stderr": subprocess.PIPE, "preexec_fn": little_memory}
        done = search(tmp_path, *OPTIONS, *arguments, **options)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert not named(tmp_path)


def test_a_reader_that_has_gone(tmp_path):
    folder(tmp_path / "instances", {f"s{number:02}": f"sleep 0.1 #{number}" for number in range(30)})
    process = start(tmp_path, *OPTIONS, "--quiet")
    assert process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in complaints
    until(lambda: not named(tmp_path))


MOMENTS = {
    "workers start": lambda path: (path / "r.jsonl").exists(),
    "first asked": lambda path: asked(path),
    "first line": lambda path: whole_lines(path / "r.jsonl"),
    "tenth line": lambda path: len(whole_lines(path / "r.jsonl")) >= 10,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("whom", ["process", "group"])
def test_ctrl_c(whom, moment, tmp_path):
    folder(tmp_path / "instances", {f"s{number:02}": f"sleep 0.1 #{number}" for number in range(24)})
    out = tmp_path / "r.jsonl"
    process = start(tmp_path, *OPTIONS, "-o", out)
    until(lambda: MOMENTS[moment](tmp_path), process)
    (os.kill if whom == "process" else os.killpg)(process.pid, signal.SIGINT)
    begun = time.monotonic()
    text, complaints = process.communicate(timeout=30)
    assert process.returncode == 3, (text, complaints)
    assert time.monotonic() - begun < 10
    assert "Traceback" not in complaints
    assert "--resume" in complaints or not results(out)
    until(lambda: not named(tmp_path), seconds=10)
    kept = results(out)
    assert len(kept) < 24
    assert not errors(kept)
    marks = [line.hash for line in kept]
    again = search_here(tmp_path, *OPTIONS, "-o", out, "--resume")
    assert again.returncode == 0, again
    assert [line.hash for line in results(out)][: len(kept)] == marks
    assert said(results(out)) == due(tmp_path)


def test_ctrl_c_pressed_again_and_again_in_the_middle_of_long_searches(tmp_path):
    folder(tmp_path / "instances", {"a": "stuck #1", "b": "sleep 3600", "c": "sleep 3600 #2"})
    process = start(tmp_path, *OPTIONS, "-o", "r.jsonl")
    until(lambda: len(asked(tmp_path)) == 2, process)
    for _ in range(5):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    text, complaints = process.communicate(timeout=30)
    assert process.returncode in (3, -signal.SIGINT), (text, complaints)  # the last may meet Python on its way out
    until(lambda: not named(tmp_path), seconds=10)
    assert results(tmp_path / "r.jsonl") == []


def test_ctrl_c_at_any_time_leaves_whole_lines_and_no_process(tmp_path):
    folder(tmp_path / "instances", {f"s{number:02}": f"sleep 0.05 #{number}" for number in range(30)})
    chance, out = random.Random(7), tmp_path / "r.jsonl"
    for turn in range(8):
        process = start(tmp_path, *OPTIONS, "-o", out, *(["--resume"] if turn else []))
        time.sleep(chance.uniform(0.6, 2.2))
        os.killpg(process.pid, signal.SIGINT)
        text, complaints = process.communicate(timeout=30)
        assert process.returncode in (0, 3, -signal.SIGINT, 1, 130), (
            text,
            complaints,
        )  # before main() Python itself answers
        until(lambda: not named(tmp_path), seconds=10)
        if out.exists():
            said(results(out))
            assert not errors(results(out))
    assert search_here(tmp_path, *OPTIONS, "-o", out, "--resume").returncode == 0
    assert said(results(out)) == due(tmp_path)


def test_sigterm_ends_it_as_ctrl_c_does(tmp_path):
    folder(tmp_path / "instances", {f"s{number:02}": f"sleep 0.1 #{number}" for number in range(24)})
    process = start(tmp_path, *OPTIONS, "-o", "r.jsonl")
    until(lambda: whole_lines(tmp_path / "r.jsonl"), process)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode != 0
    until(lambda: not named(tmp_path), seconds=10)
    said(whole_lines(tmp_path / "r.jsonl"))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume").returncode == 0
    assert len(said(results(tmp_path / "r.jsonl"))) == 24


def test_killed_itself_it_leaves_no_worker(tmp_path):
    folder(tmp_path / "instances", {"a": "once sleep 3600", "b": "once stuck"} | good(8))
    process = start(tmp_path, *OPTIONS, "-o", "r.jsonl")
    until(lambda: len(list(home(tmp_path).glob("once-*"))) == 2, process)
    process.kill()
    process.communicate()
    until(lambda: not named(tmp_path), seconds=15)
    said(whole_lines(tmp_path / "r.jsonl"))
    assert search_here(tmp_path, *OPTIONS, "-o", "r.jsonl", "--resume").returncode == 0
    assert said(results(tmp_path / "r.jsonl")) == due(tmp_path)


def test_two_runs_do_not_write_into_one_file(tmp_path):
    folder(tmp_path / "instances", {f"s{number}": f"sleep 0.3 #{number}" for number in range(8)})
    process = start(tmp_path, *OPTIONS, "-o", "r.jsonl")
    until(lambda: whole_lines(tmp_path / "r.jsonl"), process)
    process.send_signal(signal.SIGSTOP)
    before = (tmp_path / "r.jsonl").read_bytes()
    for option in ("--resume", "--force"):
        assert "another run" in refused(search(tmp_path, *OPTIONS, "-o", "r.jsonl", option))
        assert (tmp_path / "r.jsonl").read_bytes() == before
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(said(results(tmp_path / "r.jsonl"))) == 8


OTHERS = {
    "notes": b"my notes",
    "lines": b"my notes\nin two lines\n",
    "json": b'{"instance": 3}\n',
    "array": b"[1, 2]\n",
    "binary": bytes(range(256)),
    "samples": b'{"id": 1, "input_ids": [1], "labels": [1]}\n' * 3,
}


def refusal(path, *arguments):
    """What the command says in this process when it refuses, with exit 2 and nothing on stdout."""
    with chdir(path):
        done = CliRunner().invoke(main, ["search", *map(str, arguments)])
    assert (done.exit_code, done.stdout) == (2, ""), done
    return done.stderr


@pytest.mark.parametrize("option", [[], ["--resume"], ["--force"]])
@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_not_touched(name, option, tmp_path):
    folder(tmp_path / "instances", good(1))
    out = tmp_path / "r.jsonl"
    out.write_bytes(OTHERS[name])
    assert "r.jsonl" in refusal(tmp_path, "instances", "-o", out, *option)
    assert out.read_bytes() == OTHERS[name]


def test_results_with_something_else_behind_them_are_not_touched(tmp_path):
    folder(tmp_path / "instances", good(1))
    out = tmp_path / "r.jsonl"
    assert search(tmp_path, *OPTIONS, "-o", out).returncode == 0
    content = out.read_bytes() + b"my notes\n"
    out.write_bytes(content)
    assert "line 2" in refusal(tmp_path, "instances", "-o", out, "--resume")
    assert out.read_bytes() == content


@pytest.mark.parametrize("place", ["folder", "instances/good-000.json/r.jsonl", "instances/good-000.json"])
def test_a_place_that_takes_no_results(place, tmp_path):
    folder(tmp_path / "instances", good(1))
    (tmp_path / "folder").mkdir()
    before = (tmp_path / "instances/good-000.json").read_bytes()
    for option in ([], ["--resume"], ["--force"]):
        refusal(tmp_path, "instances", "-o", place, *option)
    assert (tmp_path / "instances/good-000.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "instances"]


def test_a_worker_that_is_starting_does_not_hear_ctrl_c():
    """A terminal sends Ctrl-C to workers too, which would print a traceback of their imports."""
    pool = LocalPool(PoolOptions(1))
    try:
        future = pool.submit(os.getpid)
        [pid] = pool._busy[future]._processes
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        not_heard = int(status["SigBlk"], 16) | int(status["SigIgn"], 16)
        assert not_heard & (1 << (signal.SIGINT - 1))
        assert future.result() == pid
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        pool.release(future)
    finally:
        pool.close()
