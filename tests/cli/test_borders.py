"""The borders of the command: inputs that are never replaced, closed streams, early Ctrl-C, two runs at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import masksynth as ms
from masksynth.cli import main
from masksynth.tasks.instance_files import dumps
from tests.cli.command import COMMAND, ENVIRONMENT, masksynth, refused, regular, start

DATA = Path(__file__).parents[1] / "pack" / "data"
GSM8K = DATA / "gsm8k_rollouts.jsonl.gz"
SMALL = dumps(ms.catalog.butterfly(n=4))
INPUT = "is the input, which is never replaced; choose another name"


def run(*arguments, text=None):
    """The command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)


def line(done, code=2):
    """The one line of a refusal."""
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An instance, its answer, a mask, a packed folder, a proof, results."""
    place = tmp_path_factory.mktemp("made")
    (place / "mine.json").write_text(SMALL)
    np.save(place / "mask.npy", np.tril(np.ones((6, 6), bool)))
    shutil.copy(GSM8K, place / "samples.jsonl.gz")
    for arguments in (
        ("solve", place / "mine.json", "-o", place / "out", "--quiet"),
        ("pack", place / "samples.jsonl.gz", "-o", place / "packed", "--quiet"),
        ("sparsify", place / "mask.npy", "--layers", "2", "--proof", place / "proof", "--quiet"),
        ("search", place / "mine.json", "-o", place / "results.jsonl", "--jobs", "1", "--quiet"),
    ):
        assert run(*arguments).exit_code == 0, arguments
    return place


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


OVER_INPUTS = [
    ("solve", "mine.json", "--emit", "{mine.json}", "--force"),
    ("solve", "mine.json", "--emit", "{mine.json}"),
    ("solve", "mine.json", "--sparse", "--layers", "2", "--emit", "{mine.json}", "--force"),
    ("solve", "out/solution.json", "-o", "out", "--force"),
    ("sparsify", "mask.npy", "--layers", "2", "-o", "{mask.npy}", "--force"),
    ("sparsify", "mask.npy", "--layers", "2", "--emit", "{mask.npy}", "--force"),
    ("sparsify", "proof/relation.npy", "--layers", "2", "--proof", "proof", "--force"),
    ("sparsify", "out", "--layers", "2", "--emit", "{out/mask.safetensors}", "--force"),
    ("sparsify", "mask.npy", "--rules", "rules.json", "--emit", "{rules.json}", "--force"),
    ("export", "out", "--to", "magi", "-o", "{out/mask.safetensors}", "--force"),
    ("export", "packed", "--to", "magi", "-o", "{packed/batch-00000.safetensors}", "--force"),
    ("arrange", "out", "-o", "out"),
    ("arrange", "packed", "-o", "packed"),
    ("unpack", "packed", "-o", "{packed/manifest.json}", "--force"),
    ("search", "mine.csv", "-o", "r.jsonl", "--table", "{mine.csv}", "--force", "--jobs", "1"),
    ("search", "mine.json", "-o", "{mine.json}", "--force", "--jobs", "1"),
    ("pack", "packed/batch-00000.safetensors", "-o", "packed", "--force"),
    ("draw", "mask.npy", "-o", "mask-link.svg", "--force"),
    ("diagnose", "clustering", "mask.npy", "-o", "mask-link.svg", "--force"),
    ("diagnose", "hierarchy", "mask.npy", "-o", "mask-link.svg", "--force"),
    ("diagnose", "symmetry", "mask.npy", "-o", "mask-link.svg", "--force"),
    ("audit", "mask.npy", "--report", "mask-link.html", "--force"),
    ("solve", "mine.json", "--report", "mine-link.html", "--force"),
]


@pytest.mark.parametrize("arguments", OVER_INPUTS, ids=lambda arguments: " ".join(arguments))
def test_no_writer_replaces_an_input(arguments, place):
    (place / "rules.json").write_text("{}")
    shutil.copy("mine.json", "mine.csv")
    for name, given in (("mask-link.svg", "mask.npy"), ("mask-link.html", "mask.npy"), ("mine-link.html", "mine.json")):
        os.symlink(given, name)
    before = contents(place)
    named = [argument.strip("{}") for argument in arguments]
    ways = [named]
    if any(argument.startswith("{") for argument in arguments):
        (spot,) = [number for number, argument in enumerate(arguments) if argument.startswith("{")]
        suffix = Path(named[spot]).suffix
        os.symlink(named[spot], f"soft{suffix}")
        os.link(named[spot], f"hard{suffix}")
        before |= {name: (place / name).read_bytes() for name in (f"soft{suffix}", f"hard{suffix}")}
        ways += [
            [*named[:spot], other, *named[spot + 1 :]] for other in (f"./out/../{named[spot]}", place / named[spot])
        ]
        ways += [[*named[:spot], other, *named[spot + 1 :]] for other in (f"soft{suffix}", f"hard{suffix}")]
    for way in ways:
        done = run(*way)
        assert done.exit_code == 2, (way, done.output)
        assert done.stdout == ""
        assert not done.stderr.startswith("Traceback")
        assert contents(place) == before, way


def test_the_words_for_the_input(place):
    assert line(run("solve", "mine.json", "--emit", "mine.json")) == f"Error: mine.json: {INPUT}\n"
    assert line(run("sparsify", "mask.npy", "-o", "mask.npy", "--force")) == f"Error: mask.npy: {INPUT}\n"


def test_an_input_that_is_redirected_to_stdin(place):
    os.link("mine.json", "hard.wcnf")
    for target in ("mine.json", "hard.wcnf", "./out/../mine.json"):
        with open("mine.json", "rb") as given:
            arguments = [COMMAND, "solve", "-", "--emit", target, "--force"]
            done = subprocess.run(arguments, stdin=given, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert INPUT in refused(done)
    assert Path("mine.json").read_text() == SMALL


def test_an_existing_file_gives_way_to_force_alone(place):
    (place / "model.wcnf").write_text("old\n")
    for arguments in (
        ("solve", "mine.json"),
        ("solve", "mine.json", "--sparse", "--layers", "2"),
        ("sparsify", "mask.npy", "--layers", "2"),
    ):
        assert line(run(*arguments, "--quiet", "--emit", "model.wcnf")).endswith(
            "model.wcnf: already exists; choose another name or give --force (in Python force=True)\n"
        )
        assert Path("model.wcnf").read_text() == "old\n"
    assert run("solve", "mine.json", "--quiet", "--emit", "model.wcnf", "--force").exit_code == 0
    assert Path("model.wcnf").read_text().startswith("c offset ")


def test_two_things_are_not_written_to_one_place(place):
    for arguments in (
        ("solve", "mine.json", "--emit", "a.html", "--report", "./a.html"),
        ("solve", "mine.json", "--sparse", "--layers", "2", "-o", "new", "--proof", "new"),
        ("sparsify", "mask.npy", "-o", "a.npy", "--emit", "a.npy"),
    ):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "is named twice as an output; name two places" in done.stderr
    assert not (place / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [("solve", "-"), ("verify", "-", "out"), ("verify", "-", "packed"), ("pack", "-"), ("diagnose", "hierarchy", "-"), ("search", "-"),  # noqa: E501
     ("explain", "-", "a", "b", "c", "d")],
    ids=" ".join,
)  # fmt: skip
def test_a_closed_stdin_is_one_line(arguments, made):
    script = f'exec "{COMMAND}" {" ".join(arguments)} <&-'
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, cwd=made, check=False
    )
    assert refused(done) == "-: stdin is closed; name a file, or pipe something in"


def test_no_stream_at_all(made, tmp_path):
    """No file of ours gets the number of a closed stream, so that nothing is printed into it."""
    script = f'exec "{COMMAND}" solve mine.json -o {tmp_path}/out --emit {tmp_path}/m.wcnf <&- >&- 2>&-'
    done = subprocess.run(["bash", "-c", script], env=ENVIRONMENT, cwd=made, check=False)
    assert done.returncode == 0
    assert contents(tmp_path / "out")["solution.json"].startswith(b"{")
    assert (tmp_path / "m.wcnf").read_text().startswith("c offset ")


LONG = regular(40, 8)
EARLY = (0, 0.02, 0.06, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0)


def wait_for_imports(process):
    """Wait until numpy is being imported: before our first line, just ahead of that, Python itself answers signals."""
    end = time.monotonic() + 30
    while process.poll() is None and "numpy" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_ctrl_c_in_the_first_second(tmp_path, made):
    """Whatever is being imported: no traceback, one line, the exit code of an interrupted command."""
    (tmp_path / "long.json").write_text(LONG)
    before = contents(made)
    for number, delay in enumerate(EARLY):
        arguments, code = [
            (("solve", tmp_path / "long.json", "--backend", "maxsat", "-o", tmp_path / "out"), 3),
            (("verify", "samples.jsonl.gz", "-"), 3),
            (("pack", "-", "-o", tmp_path / "out"), 2),
        ][number % 3 if number % 3 != 1 else 0]
        process = start(*arguments, cwd=made, stdin=subprocess.PIPE)
        wait_for_imports(process)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        shown = (delay, arguments[0], process.returncode, out, err)
        if process.returncode == 0:  # a checked answer had been found already
            assert err == "", shown
            shutil.rmtree(tmp_path / "out")
            continue
        assert (process.returncode, out) == (code, ""), shown
        assert err.count("\n") == 1, shown
        assert err.startswith("Error: interrupted"), shown
        assert sorted(path.name for path in tmp_path.iterdir()) == ["long.json"], shown
    assert contents(made) == before


def test_the_very_first_moment_is_held():
    """SIGINT at the first import of masksynth, sent by the process to itself."""
    program = (
        "import os, signal, sys\n"
        "sys.orig_argv[:] = [sys.executable, '/usr/bin/masksynth', *{arguments}]; sys.argv[:] = sys.orig_argv[1:]\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from masksynth.cli import main; main()\n"
    )
    modules = ["masksynth.cli", "click", "masksynth.cli.commands", "numpy", "masksynth.mask"]
    commands = ["masksynth.cli.solve_command", "masksynth.solve"], ["masksynth.cli.pack", "masksynth.pack"]
    for (arguments, code), own in zip(((["solve", "-"], 3), (["pack", "x"], 2)), commands, strict=True):
        for module in (*modules, *own):
            text = program.format(arguments=arguments, module=module)
            done = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, env=ENVIRONMENT, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (
                code,
                "",
                "Error: interrupted; nothing was written\n",
            ), module


def test_a_library_keeps_its_own_ctrl_c():
    program = "import signal, masksynth\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    assert subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=False).returncode == 0


def test_sigterm_leaves_nothing_behind(tmp_path):
    (tmp_path / "long.json").write_text(LONG)
    process = start(
        "solve", tmp_path / "long.json", "--backend", "maxsat", "-o", tmp_path / "out", "--emit", tmp_path / "m.wcnf"
    )
    time.sleep(1.5)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (-signal.SIGTERM, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["long.json"]


def wait_for_claim(process, target):
    """Wait until a run holds the name by which it keeps others away from its target."""
    name = hashlib.sha256(f"{os.getuid()}:{os.path.realpath(target)}".encode()).hexdigest()
    end = time.monotonic() + 60
    while f"@masksynth-{name}" not in Path("/proc/net/unix").read_text():
        assert process.poll() is None, "the run ended before it claimed its target"
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_second_solve_into_one_folder_is_refused_before_its_work(tmp_path):
    (tmp_path / "long.json").write_text(LONG)
    (tmp_path / "mine.json").write_text(SMALL)
    first = start("solve", tmp_path / "long.json", "--backend", "maxsat", "-o", tmp_path / "out", "--quiet")
    wait_for_claim(first, tmp_path / "out")
    second = masksynth("solve", tmp_path / "mine.json", "-o", tmp_path / "sub" / ".." / "out", "--quiet")
    assert "out: another run is writing there; wait for it, or choose another place" in refused(second)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out, err) in ((0, "", ""), (3, "", "Error: interrupted; nothing was written\n"))
    assert (tmp_path / "out").exists() == (first.returncode == 0)
    left = {"long.json", "mine.json", "sub"} | ({"out"} if first.returncode == 0 else set())
    assert {path.name for path in tmp_path.iterdir()} - {"sub"} == left - {"sub"}


@pytest.mark.parametrize("kind", ["solve", "pack", "search"])
def test_runs_that_start_together(kind, tmp_path):
    """One process writes, the others print one line and exit with 2; the output is complete."""
    (tmp_path / "mine.json").write_text(SMALL)
    arguments = {
        "solve": ("solve", "mine.json", "-o", "out", "--quiet"),
        "pack": ("pack", GSM8K, "-o", "out", "--quiet"),
        "search": ("search", "mine.json", "-o", "out", "--jobs", "1", "--quiet"),
    }[kind]
    running = [start(*arguments, cwd=tmp_path) for _ in range(3)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert sorted(code for _, code in ended) == [0, 2, 2], ended
    for (out, err), code in ended:
        assert out == ""
        assert err.count("\n") == (1 if code else 0), err
        if code:
            assert "another run" in err or "not empty" in err or "unfinished run" in err, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "out"]
    if kind == "solve":
        assert run("verify", tmp_path / "mine.json", tmp_path / "out", "--quiet").exit_code == 0
    elif kind == "pack":
        assert run("verify", GSM8K, tmp_path / "out", "--quiet").exit_code == 0
    else:
        assert json.loads((tmp_path / "out").read_text())["status"] == "OPTIMAL"


def test_the_readme_example_of_a_hierarchy_is_finite(made):
    found = json.loads(run("diagnose", "hierarchy", made / "out", "--json").stdout)
    assert found["included"] is True
    assert 0 <= found["kl_total"] < 100
    assert run("diagnose", "hierarchy", made / "out", "--self", "excluded").exit_code == 0
    for option in ("--most", "--max-children"):
        assert run("diagnose", "hierarchy", made / "mask.npy", option, "2").exit_code == 0
