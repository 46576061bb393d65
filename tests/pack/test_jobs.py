"""Packing on worker processes: the same bytes for any number of jobs, whatever happens to the workers."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

import loky
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loky import ProcessPoolExecutor

from masksynth.errors import InvalidInstance
from masksynth.pack import open_crew, pack_samples, text_lines
from masksynth.workers.ordered import Call, Crew, WorkerDied, read_ahead
from masksynth.workers.pool import ExecutorBroke, LocalPool, PoolOptions

OPTIONS = {"window": 60, "max_length": 300}


def samples(number, seed=0):
    """Groups of one to five samples that share prefixes; some have no id, some are long, some have fields."""
    rng = random.Random(seed)
    group, left, prefix = -1, 0, []
    for i in range(number):
        if not left:
            group, left, prefix = group + 1, rng.randrange(1, 6), [rng.randrange(50) for _ in range(20)]
        left -= 1
        ids = prefix[: rng.randrange(5, 20)] + [rng.randrange(50) for _ in range(rng.randrange(1, 30))]
        row = {"group": group, "input_ids": ids, "labels": [-100, -100, *ids[2:]]}
        row |= {"id": f"s{seed}-{i}"} if rng.random() < 0.8 else {}
        row |= {"advantages": [0.5] * len(ids)} if rng.random() < 0.1 else {}
        yield row | ({"extra": 10**30} if rng.random() < 0.02 else {})  # left to the careful reader


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Several kinds of files, cut into blocks of a few lines."""
    monkeypatch.setattr(text_lines, "CHUNK", 4000)
    (tmp_path / "a.jsonl").write_bytes(lines(samples(300, 1)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(samples(300, 2))))
    rows = [{**row, "group": str(row["group"]), "id": row.get("id"), "extra": None} for row in samples(100, 3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.jsonl.parquet")
    return tmp_path


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def counted(summary):
    return {name: value for name, value in summary.record().items() if name != "seconds"}


def workers():
    """Numbers of the worker processes of this process."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"loky.backend.popen_loky_posix" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_any_number_of_jobs_gives_the_same_bytes(files):
    pattern = str(files / "*.jsonl*")
    said = {}
    for jobs in (1, 3):
        summary = pack_samples(pattern, files / f"out{jobs}", jobs=jobs, **OPTIONS)
        said[jobs] = (counted(summary), content(files / f"out{jobs}"))
    assert said[1] == said[3]
    assert said[1][0]["samples"] == 700
    with ThreadPoolExecutor(2) as executor:
        pack_samples(sorted(files.glob("*.jsonl*")), files / "threads", executor=executor, **OPTIONS)
    assert content(files / "threads") == said[1][1]
    names = [name for batch in json.loads(said[1][1]["manifest.json"])["batches"] for name in batch["samples"]]
    assert len(set(names)) == 700
    assert any(name.startswith(f"{files / 'b.jsonl.gz'}#") for name in names)
    assert not workers()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (b'{"id": "x", "input_ids": [1], "labels": [1, 2]}', "$.labels: 2 entries, but input_ids has 1"),
        (b'{"id": "first", "input_ids": [1], "labels": [-100]}', "$.id: 'first' is the id of an earlier sample"),
    ],
)
def test_an_invalid_line_is_named_and_the_windows_before_it_are_kept(files, bad, text):
    path = files / "a.jsonl"
    first = b'{"id": "first", "input_ids": [1], "labels": [-100]}'
    path.write_bytes(b"\n".join([first, *lines(samples(249)).splitlines(), bad, *lines(samples(50, 4)).splitlines()]))
    kept = []
    for jobs in (1, 2):
        with pytest.raises(InvalidInstance) as caught:
            pack_samples(path, files / f"out{jobs}", jobs=jobs, **OPTIONS)
        assert str(caught.value).startswith(f"{path}:251: {text}")
        kept.append((files / f".out{jobs}.partial" / "journal.jsonl").read_bytes())
    assert kept[0] == kept[1]
    assert len(kept[0].splitlines()) >= 4  # settings and windows


def test_a_killed_worker_loses_nothing(files):
    rng = random.Random(0)
    killed = []

    def progress(_):
        for pid in rng.sample(workers(), min(len(workers()), rng.randrange(2))):
            kill(pid)
            killed.append(pid)

    pack_samples(files / "a.jsonl", files / "whole", jobs=1, **OPTIONS)
    pack_samples(files / "a.jsonl", files / "out", jobs=2, progress=progress, **OPTIONS)
    assert killed
    assert content(files / "out") == content(files / "whole")


def test_workers_that_always_die_end_the_run_and_resume_finishes_it(files):
    is_over = threading.Event()
    windows = []

    def kill_all():
        while not is_over.wait(0.01):
            for pid in workers() if len(windows) >= 2 else ():
                kill(pid)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(WorkerDied, match=r"tried 3 times: the worker died .*SIGKILL.*--resume.*--jobs") as caught:
            pack_samples(files / "a.jsonl", files / "out", jobs=2, progress=windows.append, **OPTIONS)
    finally:
        is_over.set()
        killer.join()
    assert "\n" not in str(caught.value)
    pack_samples(files / "a.jsonl", files / "out", jobs=2, resume=True, **OPTIONS)
    pack_samples(files / "a.jsonl", files / "whole", jobs=1, **OPTIONS)
    assert content(files / "out") == content(files / "whole")


def test_an_executor_that_breaks_ends_the_run_and_resume_finishes_it(files):
    windows = []

    def progress(_):
        windows.append(True)
        if len(windows) == 3:
            for pid in workers():
                kill(pid)

    # with the executor of the standard library, whose workers were killed, this test sometimes did not end
    with (
        ProcessPoolExecutor(2) as executor,
        pytest.raises(ExecutorBroke, match="takes no more jobs"),
    ):
        pack_samples(files / "a.jsonl", files / "out", executor=executor, progress=progress, **OPTIONS)
    pack_samples(files / "a.jsonl", files / "out", resume=True, **OPTIONS)
    pack_samples(files / "a.jsonl", files / "whole", **OPTIONS)
    assert content(files / "out") == content(files / "whole")


def test_few_samples_are_read_ahead_of_what_is_packed():
    """So memory stays flat however long the input is."""
    read = [0]
    behind = []

    def endless():
        for number in count():
            read[0] = number + 1
            yield {"id": number, "input_ids": [number % 7, 1, number % 50], "labels": [-100, 1, number % 50]}

    class Enough(Exception):
        pass

    def progress(text):
        packed = int(text.partition(" ")[0].replace(",", ""))
        behind.append(read[0] - packed)
        if packed > 30_000:
            raise Enough

    with pytest.raises(Enough):
        pack_samples(endless(), None, jobs=2, window=1000, progress=progress)
    # three windows on their way, the next one, and a table of 1,024 samples
    assert max(behind) <= 4 * 1000 + 1024


def square(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_a_crew_yields_in_order_and_names_the_call_of_which_workers_die():
    pool = LocalPool(PoolOptions(2))
    try:
        results = Crew(pool).map((Call(f"square of {n}", square, (n,)) for n in count()), 4)
        assert list(islice(results, 5)) == [0, 1, 4, 9, 16]
        with pytest.raises(WorkerDied, match=r"^square of 5: tried 3 times: the worker died .*SIGKILL"):
            next(results)
    finally:
        pool.close()


def test_an_error_of_the_source_comes_after_what_was_begun():
    def source():
        yield Call("one", int, ("1",))
        yield "given"
        raise ValueError("no more")

    pool = LocalPool(PoolOptions(1))
    try:
        results = Crew(pool).map(source(), 8)
        assert [next(results), next(results)] == [1, "given"]
        with pytest.raises(ValueError, match="no more"):
            next(results)
    finally:
        pool.close()


def test_a_thread_reads_ahead_only_so_far_and_ends_with_its_reader():
    read = []

    def source():
        for number in count():
            read.append(number)
            yield number

    stream = read_ahead(source(), 2)
    assert [next(stream), next(stream)] == [0, 1]
    time.sleep(0.3)
    assert len(read) <= 5
    stream.close()
    assert len(read) <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
    with pytest.raises(ZeroDivisionError):
        list(read_ahead((1 // n for n in (1, 0)), 1))


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "2", 10**6])
def test_jobs_are_a_positive_integer(jobs, tmp_path):
    with pytest.raises(InvalidInstance, match="jobs: expected an integer from 1 to 4096, got"):
        pack_samples(samples(3), tmp_path / "out", jobs=jobs)
    with pytest.raises(InvalidInstance, match=r"expected an executor of concurrent\.futures, got int"):
        pack_samples(samples(3), tmp_path / "out", executor=3)
    assert not list(tmp_path.iterdir())


def test_large_samples_keep_their_numbers(tmp_path):
    """Tokens travel as 32 bits."""
    top = 2**31 - 1
    rows = [{"id": str(i), "input_ids": [top, i, top], "labels": [-100, i, top]} for i in range(5)]
    pack_samples(rows, tmp_path / "one", jobs=1)
    pack_samples(rows, tmp_path / "two", jobs=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert np.iinfo(np.int32).max == top


def test_large_files_suggest_several_jobs(files, monkeypatch):
    plain, packed = str(files / "a.jsonl"), str(files / "b.jsonl.gz")
    text = len((files / "a.jsonl").read_bytes())
    monkeypatch.setattr(loky, "cpu_count", lambda: 16)
    monkeypatch.setattr(open_crew, "TEXT", text // 3)
    monkeypatch.setattr(open_crew, "RATIO", 1)
    assert open_crew.suggest_jobs(plain) == 3
    assert open_crew.suggest_jobs([plain, plain, packed]) == 6
    monkeypatch.setattr(open_crew, "RATIO", 100)
    assert open_crew.suggest_jobs([plain, packed]) == open_crew.FED
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)
    assert open_crew.suggest_jobs(str(files / "*.jsonl*")) == 2
    monkeypatch.setattr(open_crew, "TEXT", text)
    assert open_crew.suggest_jobs(plain) == open_crew.suggest_jobs(str(files / "missing")) == 1
    assert open_crew.suggest_jobs([plain, packed, "-"]) == 1


held = []


def grow(size):
    if size:
        time.sleep(1.1)  # loky looks at the memory once a second
        held.append(np.ones(size, np.uint8))
    return os.getpid()


def test_a_worker_is_kept_however_much_a_window_takes():
    pool = LocalPool(PoolOptions(1, growth=open_crew.GROWTH))
    try:
        pids = list(Crew(pool).map([Call("a window", grow, (size,)) for size in (0, 320_000_000, 0)], 1))
    finally:
        pool.close()
    assert len(set(pids)) == 1
