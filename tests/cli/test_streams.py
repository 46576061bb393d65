"""Who hears what: answers on stdout, all else on stderr, progress on terminals only, closed and full streams."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import time
from pathlib import Path

import pytest

import masksynth as ms
from masksynth.tasks.instance_files import dumps
from tests.cli.command import COMMAND, ENVIRONMENT, masksynth, refused

SLOW = dumps(ms.catalog.butterfly(n=12))


def on_a_terminal(*arguments, text):
    """(exit code, stdout, what the terminal behind stderr got)."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=follower,
        env=ENVIRONMENT | {"TERM": "xterm"},
    )
    os.close(follower)
    process.stdin.write(text.encode())
    process.stdin.close()
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the end of a terminal on Linux
            break
        if not part:
            break
        shown += part
    os.close(leader)
    out = process.stdout.read().decode()
    process.stdout.close()
    return process.wait(timeout=60), out, shown.decode()


def test_progress_on_a_terminal_only():
    code, out, shown = on_a_terminal("solve", "-", "--json", text=SLOW)
    assert code == 0
    assert json.loads(out)["status"] == "OPTIMAL"
    assert "merging butterfly-12 ..." in shown
    code, out, shown = on_a_terminal("solve", "-", "--quiet", text=SLOW)
    assert (code, out, shown) == (0, "", "")
    assert masksynth("solve", "-", "--json", text=SLOW).stderr == ""


@pytest.mark.parametrize("name", ["[/red] [bold", "\x1b]0;title\x07\r\n", "\ud800"], ids=ascii)
def test_progress_shows_names_as_they_are(name):
    code, out, shown = on_a_terminal(
        "solve", "-", "--backend", "criterion", text=json.dumps(json.loads(SLOW) | {"name": name})
    )
    assert code == 0
    assert out.splitlines()[0].endswith(": OPTIMAL, 34 positions instead of 144 (12 tasks, 12 predictions)")
    assert "\x07" not in shown + out
    if name.isprintable():
        assert f"merging {name} ..." in shown


def test_a_reader_that_goes_away():
    for arguments in (["new", "butterfly", "--n", "100"], ["backends", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (2, b"")


def test_head():
    done = subprocess.run(
        ["bash", "-c", f"'{COMMAND}' new butterfly --n 60 | head -1"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == '{"masksynth": 1, "name": "butterfly-60", "source": "arXiv 2606.09951",\n'


@pytest.mark.parametrize(
    "arguments",
    [["new", "butterfly"], ["solve", "-", "--json"], ["--help"], ["--version"], ["pack", "--help"]],
    ids=" ".join,
)
def test_a_full_stdout(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [COMMAND, *arguments],
            input=SLOW.encode(),
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, b"Error: No space left on device\n")


def test_no_stdout_at_all(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"'{COMMAND}' solve - -o out --backend criterion >&-"],
        input=SLOW, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/solution.json").exists()


def test_a_full_disk_leaves_nothing(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run(
        [COMMAND, "solve", "-", "--backend", "criterion", "-o", "out"],
        input=SLOW, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, preexec_fn=small_files, check=False,
    )  # fmt: skip
    assert (
        refused(done)
        == f"{tmp_path / 'out'}: the answer cannot be written: File too large; nothing was left there, choose another folder"  # noqa: E501
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_of_the_terminal(encoding):
    text = json.dumps(json.loads(SLOW) | {"name": "Schmetterling \u03b2 \ud800"})
    done = subprocess.run(
        [COMMAND, "solve", "-", "--backend", "criterion"],
        input=text.encode(), capture_output=True, env=ENVIRONMENT | {"PYTHONIOENCODING": encoding}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Schmetterling ")


def test_all_else_is_on_stderr(tmp_path):
    for arguments in (["solve", "missing.json"], ["nope"]):
        done = masksynth(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr


def test_an_unfinished_stdin_is_waited_for():
    process = subprocess.Popen(
        [COMMAND, "solve", "-", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    process.stdin.write(SLOW[:100].encode())
    process.stdin.flush()
    time.sleep(1)
    assert process.poll() is None
    out, _ = process.communicate(SLOW[100:].encode(), timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert Path(COMMAND).exists()
