"""Pause the collector of cyclic garbage while large structures are built that contain no cycles.

Each collection visits every object that is alive, and building a million objects triggers hundreds of collections, none
of which finds anything. Reference counts free memory during a pause as well.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock


@dataclass
class _Pauses:
    """Blocks that are running now, in all threads, and whether the collector was enabled before the first."""

    running: int = 0
    was_enabled: bool = False


_LOCK = Lock()
_PAUSES = _Pauses()


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector during the block, or the call of a decorated function; however it ends.

    Blocks may be nested and run in several threads: the last one to end resumes the collector, if it was enabled before
    the first.

    Examples
    --------
    >>> with paused_collector():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    with _LOCK:
        if _PAUSES.running == 0:
            _PAUSES.was_enabled = gc.isenabled()
            gc.disable()
        _PAUSES.running += 1
    try:
        yield
    finally:
        with _LOCK:
            _PAUSES.running -= 1
            if _PAUSES.running == 0 and _PAUSES.was_enabled:
                gc.enable()
