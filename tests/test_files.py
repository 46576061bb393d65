"""The writer of files and folders: force, inputs, complete or absent, two at a time, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masksynth.errors import InvalidInstance, MasksynthError
from masksynth.files import check_file, check_inputs, is_same, write_file, write_to_disk, writing_folder
from masksynth.terminal.claim_target import claim_target

HOLD = """
import sys, time
from masksynth.files import writing_file, writing_folder
from masksynth.terminal.claim_target import claim_target
kind, target = sys.argv[1:]
with {"file": writing_file, "folder": writing_folder, "claim": claim_target}[kind](target) as draft:
    if kind == "folder":
        (draft / "a.txt").write_bytes(b"half")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def hold(kind, target):
    """Another process in the middle of writing; a line on its stdin lets it end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, kind, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    _, complaints = process.communicate("\n", timeout=60)
    return process.returncode, complaints


def test_a_file_is_whole_or_not_there(tmp_path):
    target = tmp_path / "new" / "deep" / "a.txt"

    def broken():
        yield b"half"
        raise InvalidInstance("no more", "")

    with pytest.raises(InvalidInstance, match="no more"):
        write_file(target, broken())
    assert list(target.parent.iterdir()) == []
    write_file(target, [b"one ", b"two"])
    with pytest.raises(InvalidInstance, match=r"a.txt: already exists; choose another name or give --force"):
        write_file(target, b"three")
    with pytest.raises(InvalidInstance, match="no more"):
        write_file(target, broken(), force=True)
    assert target.read_bytes() == b"one two"
    write_file(target, b"three", force=True)
    assert target.read_bytes() == b"three"
    os.umask(mask := os.umask(0))
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    assert os.listdir(target.parent) == ["a.txt"]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real.txt").write_bytes(b"old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    (tmp_path / "loose.txt").symlink_to("missing.txt")
    write_file(tmp_path / "link.txt", b"new", force=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_bytes() == b"new"
    with pytest.raises(InvalidInstance, match="already exists"):
        write_file(tmp_path / "loose.txt", b"new")


def test_only_regular_files_give_way(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, fact in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/null", "not a regular file"),
    ):
        with pytest.raises(InvalidInstance, match=fact):
            write_file(place, b"x", force=True)
    assert Path("/dev/null").is_char_device()


def ways(given, place):
    """Names that lead to a file."""
    (place / "soft").symlink_to(given)
    os.link(given, place / "hard")
    (place / "around").symlink_to(given.parent)
    return [
        given,
        os.path.relpath(given),
        place / "soft",
        place / "hard",
        place / "around" / given.name,
        given.parent / "." / given.name,
    ]


def test_an_input_is_never_replaced(tmp_path):
    given, place = tmp_path / "a" / "given.json", tmp_path / "b"
    given.parent.mkdir()
    place.mkdir()
    given.write_bytes(b"mine")
    for name in ways(given, place):
        for force in (False, True):
            with pytest.raises(InvalidInstance, match=r"is the input, which is never replaced; choose another name"):
                write_file(name, b"x", force, inputs=["-", given])
        assert is_same(name, given)
    assert given.read_bytes() == b"mine"
    write_file(place / "other", b"x", inputs=[given])
    check_inputs(place / "soft", [tmp_path / "missing", "-"])
    with pytest.raises(InvalidInstance, match="is the input"):  # neither is there
        check_inputs(tmp_path / "none", [tmp_path / "a" / ".." / "none"])


def test_an_input_in_a_folder_that_is_replaced(tmp_path):
    out = tmp_path / "out"
    with writing_folder(out) as draft:
        (draft / "solution.json").write_bytes(b"old")
    (out / "notes.json").write_bytes(b"mine")
    with (
        pytest.raises(InvalidInstance, match=r"solution.json: is the input"),
        writing_folder(out, True, lambda name: name == "solution.json", [out / "solution.json"]),
    ):
        pass
    with (
        pytest.raises(InvalidInstance, match="is the input"),
        writing_folder(out, True, inputs=[tmp_path / "." / "out"]),
    ):
        pass
    with writing_folder(out, True, lambda name: name == "solution.json", [out / "notes.json"]) as draft:
        (draft / "solution.json").write_bytes(b"new")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"solution.json": b"new", "notes.json": b"mine"}


def test_a_folder_keeps_what_is_not_the_writers(tmp_path):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for name in ("ours.txt", "sub/deep.txt", "both.txt", "other.txt"):
        (out / name).write_bytes(b"old")
    with pytest.raises(InvalidInstance, match="not empty"), writing_folder(out):
        pass
    with writing_folder(out, True, lambda name: name == "ours.txt") as draft:
        (draft / "both.txt").write_bytes(b"new")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
        "both.txt",
        "other.txt",
        "sub",
        "sub/deep.txt",
    ]
    assert (out / "both.txt").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_failed_folder_leaves_nothing(tmp_path):
    def fill():
        with writing_folder(tmp_path / "out") as draft:
            (draft / "a.txt").write_bytes(b"half")
            Path("/dev/full").write_bytes(b"x")

    with pytest.raises(MasksynthError, match="the files cannot be written: No space"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_second_of_two_is_refused_and_takes_nothing(kind, tmp_path):
    target = tmp_path / "out"
    process = hold(kind, target)
    if kind == "file":
        write_file(target, b"first")
    else:
        with writing_folder(target) as draft:
            (draft / "a.txt").write_bytes(b"first")
    code, complaints = finish(process)
    assert code == 1
    assert (
        complaints.strip()
        .splitlines()[-1]
        .endswith(
            f"{target}: already exists; choose another name or give --force (in Python force=True)"
            if kind == "file"
            else f"{target}: the folder is not empty; choose another folder or give --force (in Python force=True)"
        )
    )
    assert (target if kind == "file" else target / "a.txt").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["out"]


def test_many_forced_writers_lose_no_file_of_the_user(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_bytes(b"mine")
    program = "import sys\nfrom masksynth.files import writing_folder\nfor _ in range(30):\n"
    program += " with writing_folder(sys.argv[1], True) as draft:\n"
    program += "  (draft / 'a.txt').write_text(sys.argv[2])\n"
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(out), str(n)], stderr=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for process in running:
        _, complaints = process.communicate(timeout=120)
        assert (process.returncode, complaints) == (0, "")
    assert (out / "notes.txt").read_bytes() == b"mine"
    assert (out / "a.txt").read_text() in ("0", "1", "2")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_draft_of_a_kill_goes_with_the_next_run(kind, tmp_path):
    target = tmp_path / "o[u*t"
    process, used = hold(kind, target), hold(kind, target)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 2
    if kind == "file":
        write_file(target, b"new")
    else:
        with writing_folder(target) as draft:
            (draft / "a.txt").write_bytes(b"new")
    assert len(list(tmp_path.iterdir())) == 2  # the draft that is in use stays
    assert finish(used)[0] == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_claim_ends_with_its_process(tmp_path):
    target = tmp_path / "out"
    process = hold("claim", tmp_path / "." / "out")
    with (
        pytest.raises(InvalidInstance, match="out: another run is writing there; wait for it, or choose another place"),
        claim_target(target),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    end = time.monotonic() + 10
    while True:
        try:
            with claim_target(target), claim_target(None), claim_target(tmp_path / "other"):
                break
        except InvalidInstance:
            assert time.monotonic() < end
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    check_file(tmp_path / "new.txt", False)
    with pytest.raises(MasksynthError, match=r"file/a.txt: the page cannot be written: Not a directory|File exists"):
        write_file(tmp_path / "file" / "a.txt", b"x", what="the page")
    with pytest.raises(MasksynthError, match="cannot be written: File name too long"):
        write_file(tmp_path / ("n" * 300), b"x")
    assert os.listdir(tmp_path) == ["file"]


def test_files_of_the_user_survive_a_kill_between_two_renames(tmp_path):
    """A folder that a killed run had set aside: what is not the writer's comes back with the next run."""
    out, aside = tmp_path / "out", tmp_path / ".out.0123abcd.replaced"
    (aside / "sub").mkdir(parents=True)
    for name in ("notes.txt", "sub/deep.txt", "ours.txt"):
        (aside / name).write_bytes(b"mine")
    with writing_folder(out, ours=lambda name: name == "ours.txt") as draft:
        (draft / "ours.txt").write_bytes(b"new")
    assert os.listdir(tmp_path) == ["out"]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
        "notes.txt",
        "ours.txt",
        "sub",
        "sub/deep.txt",
    ]
    assert (out / "ours.txt").read_bytes() == b"new"


def test_a_file_of_a_draft_is_complete_or_removed(tmp_path):
    write_to_disk(tmp_path / "a.txt", [b"one ", memoryview(b"two")])
    assert (tmp_path / "a.txt").read_bytes() == b"one two"
    with pytest.raises(TypeError):
        write_to_disk(tmp_path / "b.txt", [b"half", 7])
    assert os.listdir(tmp_path) == ["a.txt"]


def test_drafts_of_another_target_are_kept(tmp_path):
    """An unfinished packing run of out.v2 is not a draft of out."""
    (tmp_path / ".out.v2.partial").mkdir()
    (tmp_path / ".out.v2.partial" / "journal.jsonl").write_bytes(b"{}")
    with writing_folder(tmp_path / "out"):
        pass
    write_file(tmp_path / "out.txt", b"x")
    assert sorted(os.listdir(tmp_path)) == [".out.v2.partial", "out", "out.txt"]


def test_a_file_above_the_target_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MasksynthError, match=r"cannot be written: Not a directory; choose another place$"):
        write_file(tmp_path / "file" / "a.txt", b"one")
    for below in ("file/out", "file/deep/out"):
        refused = pytest.raises(MasksynthError, match=r"cannot be written: Not a directory; .*choose another folder$")
        with refused, writing_folder(tmp_path / below):
            pass
    assert (tmp_path / "file").read_text() == "mine"
