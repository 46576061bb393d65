"""Results that an executor loses are computed again."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import masksynth as ms
from masksynth.search import running


class Forgetful(ThreadPoolExecutor):
    """Cancels the first call and never ends the second, as Dask does whose scheduler dies while a result is sent."""

    calls = 0

    def submit(self, function, /, *arguments):
        self.calls += 1
        if self.calls > 2:
            return super().submit(function, *arguments)
        future = Future()
        if self.calls == 1:
            future.cancel()
            future.set_running_or_notify_cancel()
        return future


def test_a_result_that_never_arrives_is_computed_again(monkeypatch):
    monkeypatch.setattr(running, "IN_TRANSIT", 0.2)
    with Forgetful(2) as executor:
        found = list(
            ms.search(
                ms.sweep("butterfly", n=range(3, 9)), backend="criterion", executor=executor, ordered=True, budget=20
            )
        )
    assert [result.objective["positions"]["value"] for result in found] == [7, 10, 13, 16, 19, 22]
    assert executor.calls >= 4
