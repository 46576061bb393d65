"""The page on clusters, run from top to bottom: its scheduler at a free port, its workers as two processes."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from masksynth.search.job import SLICE
from masksynth.workers import dask
from tests.docs.pages import DOCS, blocks
from tests.docs.test_tutorial import run
from tests.search.clusters import free_port
from tests.search.harness import home, named, until

TEXT = (DOCS / "cluster.md").read_text(encoding="utf-8")
PAGE = blocks(DOCS / "cluster.md")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in; what was started there is ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAULTY_HOME", str(home(tmp_path)))  # by which its processes are known
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path / "scratch"))
    yield tmp_path
    until(lambda: not any(map(end, named(tmp_path))))


def end(process):
    """Kill a process."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return True


def programs(page, folder):
    """The blocks that are not files; those that are, are written."""
    for block in page:
        if block.language == "python" and block.title:
            (folder / block.title).write_text(block.text)
    return [block for block in page if not block.title]


def test_page_runs_as_shown(folder):
    port = str(free_port())
    run(programs([block._replace(text=block.text.replace("8786", port)) for block in PAGE], folder), folder)


def test_a_wrong_output_would_be_seen(folder):
    page = [
        block._replace(text=block.text.replace("criterion          6", "criterion          5")) for block in PAGE[:1]
    ]
    with pytest.raises(AssertionError, match="line"):
        run(page, folder)


def test_numbers_are_those_of_the_code():
    assert (dask.WAIT, dask.AWAY, dask.LEAST, SLICE) == (10, 600, 32, 0.1)
    for words in ("within ten seconds", "ten minutes", "at least 32", "take 0.1 s"):
        assert words in " ".join(TEXT.split())
