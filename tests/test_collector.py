"""The collector of cyclic garbage is paused while families are read, merged and checked, and always resumed."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

import masksynth as ms
from masksynth.collector import paused_collector


def test_nested_blocks_and_errors_resume_it_once():
    with paused_collector():
        with pytest.raises(ZeroDivisionError), paused_collector():
            1 / 0  # noqa: B018
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_stays_disabled_where_it_was():
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_last_of_several_threads_resumes_it():
    inside, leave = threading.Event(), threading.Event()

    def block():
        with paused_collector():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=block)
    thread.start()
    inside.wait(60)
    with paused_collector():
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_solving_runs_no_collection_and_resumes_the_collector(tmp_path):
    instance = ms.catalog.causal_lm(n=40)
    text, starts = ms.dumps(instance), []

    def callback(phase, info):
        frame = sys._getframe(1)
        names = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        starts.append({"loads", "merge_family", "verify", "write_answer"} & {*names})

    gc.callbacks.append(callback)
    threshold = gc.get_threshold()
    gc.set_threshold(10, 2, 2)
    try:
        answer = ms.solve(ms.loads(text), backend="criterion")
        ms.write(answer, tmp_path / "out")
    finally:
        gc.callbacks.remove(callback)
        gc.set_threshold(*threshold)
    assert starts
    assert not any(starts)
    assert gc.isenabled()
    with pytest.raises(ms.InvalidInstance):
        ms.loads(text[:-9])
    assert gc.isenabled()
