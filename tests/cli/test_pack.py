"""`pack` and `unpack` as a user runs them: killed, interrupted, out of disk, from a pipe."""

from __future__ import annotations

import gzip
import json
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, ENVIRONMENT, here, masksynth, refused, start

DATA = Path(__file__).parents[1] / "pack" / "data"
GSM8K = DATA / "gsm8k_rollouts.jsonl.gz"


def many(path, count=6000, seed=0):
    """A file of groups of four samples that share prefixes."""
    rng = random.Random(seed)
    with gzip.open(path, "wt", 1) as file:
        for number in range(count):
            if number % 4 == 0:
                prefix = [rng.randrange(1000) for _ in range(30)]
            ids = prefix[: rng.randrange(10, 30)] + [rng.randrange(1000) for _ in range(rng.randrange(5, 40))]
            labels = [-100] * 10 + ids[10:]
            file.write(json.dumps({"id": number, "group": number // 4, "input_ids": ids, "labels": labels}) + "\n")
    return path


def unzipped(path):
    return gzip.decompress(path.read_bytes())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_summary_for_people_and_programs(tmp_path):
    done = masksynth(
        "pack", GSM8K, "-o", tmp_path / "out", "--shape", "layers=2,hidden=8,intermediate=16,vocabulary=100"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3,216 tokens of 40 samples ->" in done.stdout
    assert "FLOPs" in done.stdout
    assert "1,875 positions, proved minimal for batches of 32,768\n" in done.stdout
    done = masksynth("pack", GSM8K, "--json")
    record = json.loads(done.stdout)
    keys = {
        "samples",
        "tokens",
        "live_tokens",
        "positions",
        "loss_edges",
        "batches",
        "groups",
        "max_length",
        "ratio",
        "pairs",
        "padding",
    }
    keys |= {"blocks", "scattered_groups", "cut_groups", "skipped_samples", "ignored_first_labels", "missing_fields"}
    keys |= {"lower_bound", "lower_bound_split", "gap", "proved_minimal", "windows", "layout", "positions_loss_edges"}
    assert set(record) == keys | {"seconds"}
    assert (record["gap"], record["proved_minimal"], record["windows"]) == (0, True, 1)
    assert record["lower_bound"] == record["lower_bound_split"] == record["positions"]
    assert record["batches"] == len(list((tmp_path / "out").glob("batch-*.safetensors"))) == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["masksynth_pack"], manifest["max_length"], len(manifest["batches"][0]["samples"])) == (
        1,
        32768,
        40,
    )


def test_a_pipe_in_and_out(tmp_path):
    with GSM8K.open("rb") as file:
        first = subprocess.run(
            [COMMAND, "pack", "-", "-o", tmp_path / "out", "--quiet"], stdin=file, capture_output=True, check=False
        )
    assert (first.returncode, first.stdout, first.stderr) == (0, b"", b"")
    back = masksynth("unpack", tmp_path / "out")
    given = sorted(map(json.loads, unzipped(GSM8K).splitlines()), key=lambda row: row["id"])
    assert sorted(map(json.loads, back.stdout.splitlines()), key=lambda row: row["id"]) == given
    assert masksynth("unpack", tmp_path / "out", "-o", tmp_path / "back.jsonl.gz").returncode == 0
    assert unzipped(tmp_path / "back.jsonl.gz") == back.stdout.encode()
    assert "already exists" in refused(masksynth("unpack", tmp_path / "out", "-o", tmp_path / "back.jsonl.gz"))


def test_first_labels_are_counted_and_names_given(tmp_path):
    """The usual data set of trainers: labels = input_ids, no ids."""
    path = tmp_path / "samples.jsonl"
    path.write_text(
        "".join(json.dumps({"input_ids": ids, "labels": ids}) + "\n" for ids in ([1, 2, 3], [1, 2, 4], [5]))
    )
    done = here("pack", path, "-o", tmp_path / "out")
    assert "3 samples trained at the first token: that label is ignored, since no token precedes it" in done.stdout
    assert json.loads(here("pack", path, "--json").stdout)["ignored_first_labels"] == 3
    path.with_name("first.jsonl").write_text('{"input_ids": [1, 2], "labels": [1, -100]}\n')
    assert "no label is trained: all others are -100" in here("pack", path.with_name("first.jsonl")).stdout
    back = [json.loads(line) for line in here("unpack", tmp_path / "out").stdout.splitlines()]
    assert sorted((row["id"], row["labels"]) for row in back) == [
        ("#1", [-100, 2, 3]),
        ("#2", [-100, 2, 4]),
        ("#3", [-100]),
    ]


def test_a_long_line_through_a_pipe_takes_seconds(tmp_path):
    """40 MB in one line, through a pipe that holds 64 KiB; the reader of pieces put together anew took minutes."""
    line = b'{"id":1,"input_ids":[1,2],"labels":[-100,2],"text":"' + b"x" * 40_000_000 + b'"}\n'
    begun = time.monotonic()
    done = subprocess.run([COMMAND, "pack", "-", "--json"], input=line, capture_output=True, check=False, timeout=120)
    assert (done.returncode, json.loads(done.stdout)["samples"]) == (0, 1)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"id": 2, "input_ids": [1, 2, 3], "labels": [2, 3, -100]},
            "$.labels: labels are already shifted: in the first 1 sample from here",
        ),
        ({"id": 2, "input_ids": [True, 2], "labels": [-100, 2]}, "$.input_ids: is not a flat list of integers"),
        ({"id": 2, "input_ids": [1, 2**70], "labels": [-100, 2]}, "$.input_ids: is not a flat list of integers"),
        (
            {"id": 2, "input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [1, 2]},
            "$.attention_mask[1]: 2 is neither 0 nor 1",
        ),
    ],
)
def test_refused_samples_leave_nothing(tmp_path, row, said):
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert refused(here("pack", path, "-o", tmp_path / "out")).startswith(f"{path}:1: {said}")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_is_finished_by_resume(tmp_path, jobs):
    path = many(tmp_path / "samples.jsonl.gz", 3000 // jobs**2)
    options = ("--window", "150", "--max-length", "700", "--jobs", jobs)
    begun = time.monotonic()
    assert masksynth("pack", path, "-o", tmp_path / "whole", *options).returncode == 0
    whole = time.monotonic() - begun
    rng, kills, out, done = random.Random(1), 0, tmp_path / "out", False
    while not done:
        process = start("pack", path, "-o", out, *options, *(["--resume"] if kills else []))
        time.sleep(whole * rng.uniform(0.3, 0.9))
        process.send_signal(signal.SIGKILL)
        text, complaints = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), (text, complaints)
        done = out.exists()  # complete, even if the kill came after the folder had its name
        assert done or process.returncode
        kills += process.returncode != 0
        if kills == 4 // jobs**2 and not done:
            finished = masksynth("pack", path, "-o", out, *options, "--resume")
            assert finished.returncode == 0, finished.stderr
            done = True
    assert kills
    assert {name: content for name, content in contents(out).items() if name != "journal.jsonl"} == contents(
        tmp_path / "whole"
    )
    assert {p.name for p in tmp_path.iterdir()} == {"samples.jsonl.gz", "whole", "out"}


def unfinished(tmp_path, rows=1400):
    """A run that stopped at its last line, after some windows."""
    path = many(tmp_path / "samples.jsonl.gz", rows)
    lines = unzipped(path).splitlines(keepends=True)
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b"".join(lines) + b'{"id": 1}\n')
    said = refused(here("pack", broken, "-o", tmp_path / "out", "--window", "100"))
    assert said.startswith(f"{broken}:1401: $: input_ids is missing")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").is_dir()
    broken.write_bytes(b"".join(lines))
    return broken


def test_several_files_and_globs(tmp_path):
    """Files in the order in which they are named, those of a glob sorted; samples without an id are named by file."""
    for name in "cab":
        rows = [{"input_ids": [1, ord(name), i], "labels": [-100, ord(name), i]} for i in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, rest = tmp_path / "c.jsonl", tmp_path / "[ab].jsonl"
    done = here("pack", first, rest, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 files: 27 tokens of 9 samples -> ")
    rows = [json.loads(line) for line in here("unpack", tmp_path / "out").stdout.splitlines()]
    assert {row["id"] for row in rows} == {f"{tmp_path / name}.jsonl#{i}" for name in "abc" for i in (1, 2, 3)}
    sources = [tmp_path / f"{name}.jsonl" for name in "cab"]
    assert here("verify", *sources, tmp_path / "out").returncode == 0
    said = refused(here("pack", tmp_path / "x*.jsonl", "-o", tmp_path / "other"))
    assert f"{tmp_path / 'x*.jsonl'}: " in said
    assert "--resume needs" in refused(here("pack", first, "-", "-o", tmp_path / "other", "--resume"))
    assert "is the id of an earlier sample" in refused(here("pack", first, first, "-o", tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_mended_file_is_finished_by_resume(tmp_path):
    path = unfinished(tmp_path)
    said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "100"))
    assert "an unfinished run exists" in said
    assert "--resume" in said
    done = here("pack", path, "-o", tmp_path / "out", "--window", "100", "--resume", "--json")
    assert json.loads(done.stdout)["samples"] == 1400
    here("pack", path, "-o", tmp_path / "other", "--window", "100")
    assert contents(tmp_path / "out") == contents(tmp_path / "other")


def test_resume_refuses_another_file_and_other_options(tmp_path):
    path = unfinished(tmp_path)
    said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "100", "--resume", "--max-length", "999"))
    assert "the run was begun with" in said
    for option in ("--split-groups", "--separate-groups"):
        said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "100", "--resume", option))
        assert "the run was begun with" in said
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[4:]))
    said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "100", "--resume"))
    assert "window 1 of the unfinished run held other samples" in said
    path.write_bytes(b"".join(lines[:500]))
    said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "100", "--resume"))
    assert "held other samples" in said
    done = here("pack", path, "-o", tmp_path / "out", "--window", "100", "--force", "--json")
    assert json.loads(done.stdout)["samples"] == 500


def test_a_bad_first_window_leaves_nothing(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text('{"id": 1, "input_ids": [1], "labels": [-100, 3]}\n')
    said = refused(here("pack", path, "-o", tmp_path / "out"))
    assert said.startswith(f"{path}:1: $.labels: 2 entries, but input_ids has 1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.jsonl"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c(tmp_path, jobs):
    path = many(tmp_path / "samples.jsonl.gz")
    process = start("pack", path, "-o", tmp_path / "out", "--window", "100", "--max-length", "700", "--jobs", jobs)
    while not list(tmp_path.glob(".out.partial/batch-*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    text, complaints = process.communicate()
    assert (process.returncode, text) == (2, "")
    assert complaints == "Error: interrupted; batches on disk are complete; finish it with --resume\n"
    assert (
        masksynth("pack", path, "-o", tmp_path / "out", "--window", "100", "--max-length", "700", "--resume").returncode
        == 0
    )


def test_a_full_disk(tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    done = subprocess.run(
        [COMMAND, "pack", GSM8K, "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=limited,
        check=False,
    )
    assert "File too large" in refused(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["missing.jsonl", "folder"])
def test_a_file_that_cannot_be_read(tmp_path, name):
    (tmp_path / "folder").mkdir()
    said = refused(here("pack", tmp_path / name, "-o", tmp_path / "out"))
    assert str(tmp_path / name) in said
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder"]


def test_a_folder_that_is_no_packing_is_never_replaced(tmp_path):
    out = tmp_path / "out"
    assert here("pack", GSM8K, "-o", out).returncode == 0
    assert "not empty" in refused(here("pack", GSM8K, "-o", out))
    assert here("pack", GSM8K, "-o", out, "--force", "--max-length", "500").returncode == 0
    (out / "notes.txt").write_text("mine")
    assert "contains 'notes.txt'" in refused(here("pack", GSM8K, "-o", out, "--force"))
    assert (out / "notes.txt").read_text() == "mine"
    assert "cannot be read" in refused(here("unpack", tmp_path))


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    path = many(tmp_path / "samples.jsonl.gz")
    process = start("pack", path, "-o", tmp_path / "out", "--window", "100", "--max-length", "700")
    while not (tmp_path / ".out.partial" / "journal.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    said = refused(
        masksynth("pack", path, "-o", tmp_path / "out", "--window", "100", "--max-length", "700", "--resume")
    )
    process.send_signal(signal.SIGCONT)
    assert "another run is writing there" in said
    process.communicate()
    assert process.returncode == 0


def test_a_shape_that_is_none(tmp_path):
    assert "expected NAME=N in a shape, got" in refused(here("pack", GSM8K, "--shape", "layers=x"))
    assert "the shape does not define hidden" in refused(here("pack", GSM8K, "--shape", "layers=2"))


def test_what_no_packing_wrote_stays(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "batch-notes.txt").write_text("mine")
    (out / "manifest.json").write_text('{"name": "my web app"}')
    assert "which was not written by `masksynth pack`" in refused(here("pack", GSM8K, "-o", out, "--force"))
    assert sorted(path.name for path in out.iterdir()) == ["batch-notes.txt", "manifest.json"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to("place")
    for options in ([], ["--force"]):
        assert here("pack", GSM8K, "-o", tmp_path / "link", *options).returncode == 0
        assert (tmp_path / "place" / "manifest.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "place"]


def test_resume_compares_segments(tmp_path):
    path = tmp_path / "s.jsonl"

    def write(within, last):
        rows = [
            {"id": i, "input_ids": [1, 2, i], "labels": [-100, 2, i], "segments": [{"length": 3, "within": within}]}
            for i in range(2000)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + last)

    write("causal", "{}\n")
    refused(here("pack", path, "-o", tmp_path / "out", "--window", "500"))
    write("full", "")
    said = refused(here("pack", path, "-o", tmp_path / "out", "--window", "500", "--resume"))
    assert "window 1 of the unfinished run held other samples" in said


def test_how_far_the_positions_are_from_the_least_number(tmp_path):
    """Groups of three samples, two of which share with those of other groups; windows are named."""
    rows = [
        {"id": f"{g}{i}", "group": g, "input_ids": [*text, 0], "labels": [-100] * len(text) + [0]}
        for g in range(4)
        for i, text in enumerate(([1] * 9 + [g + 2] * 3, [2] * 9 + [g + 3] * 3))
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = masksynth("pack", path, "--max-length", "30").stdout
    assert "48 positions" not in kept
    assert "60 positions, proved minimal for batches of 30; with groups split, at least 42" in kept
    split = masksynth("pack", path, "--max-length", "30", "--split-groups").stdout
    assert "42 positions, proved minimal for batches of 30\n" in split
    windows = masksynth("pack", path, "--max-length", "30", "--window", "5", "--split-groups").stdout
    assert "60 positions, proved minimal for batches of 30 in windows of up to 5 samples\n" in windows
    separate = json.loads(masksynth("pack", path, "--max-length", "30", "--separate-groups", "--json").stdout)
    assert (separate["positions"], separate["batches"]) == (96, 4)
    both = masksynth("pack", path, "--split-groups", "--separate-groups")
    assert "split_groups and separate_groups contradict each other" in both.stderr
    assert both.returncode == 2


def test_the_next_run_removes_the_tables_of_a_killed_run_that_only_counted(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    path, place = many(tmp_path / "samples.jsonl.gz", 100), {"TMPDIR": str(tables)}
    process = subprocess.Popen(
        [COMMAND, "pack", "-", "--jobs", "2", "--quiet"], stdin=subprocess.PIPE, env=ENVIRONMENT | place
    )
    while not (running := list(tables.iterdir())):
        time.sleep(0.01)
    assert masksynth("pack", path, "--jobs", "2", environment=place).returncode == 0
    assert list(tables.iterdir()) == running  # its run has not ended
    process.kill()
    process.communicate()
    assert list(tables.iterdir()) == running
    assert masksynth("pack", path, "--jobs", "2", environment=place).returncode == 0
    assert not list(tables.iterdir())
