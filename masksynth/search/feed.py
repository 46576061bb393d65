"""Read entries from a slow source in a thread of its own, a few ahead, so that nothing else waits for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from masksynth.search.entries import Entry

BYTES_AHEAD_LIMIT = 2**24
"""Maximum number of bytes of files read and not yet taken; a single file may be larger."""


class Feed:
    """The entries of a source, as they arrive; reading starts with the first call of `take`.

    Parameters
    ----------
    source : iterator of Entry
    ahead : int
        Most entries read and not yet taken.

    Examples
    --------
    >>> from masksynth.search.entries import sweep
    >>> feed = Feed(sweep("butterfly", n=[2, 3]), 10)
    >>> feed.take(9.0).name, feed.take(9.0).name, feed.take(9.0), feed.is_over
    ('butterfly(n=2)', 'butterfly(n=3)', None, True)
    """

    def __init__(self, source: Iterator[Entry], ahead: int) -> None:
        self._source = source
        self._entries: queue.Queue[Entry | BaseException | None] = queue.Queue(ahead)
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._bytes_read = self._bytes_taken = 0  # each is written by one thread only
        self.is_over = False
        self.error: BaseException | None = None

    def take(self, seconds: float = 0.0) -> Entry | None:
        """Return the next entry, waiting at most ``seconds``.

        None means that there is none yet, or that the source is exhausted (``is_over``).
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        if self.is_over:
            return None
        try:
            entry = self._entries.get(timeout=seconds) if seconds > 0 else self._entries.get_nowait()
        except queue.Empty:
            return None
        if isinstance(entry, Entry):
            self._bytes_taken += _bytes(entry)
            return entry
        self.is_over, self.error = True, entry
        return None

    def close(self) -> None:
        """Stop reading."""
        self._is_closed = self.is_over = True

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for entry in self._source:
                self._put(entry)
                if self._is_closed:
                    return
        except Exception as error:  # stored in ``error`` for the caller
            end = error
        self._put(end)

    def _put(self, entry: Entry | BaseException | None) -> None:
        while not self._is_closed:
            if self._bytes_read - self._bytes_taken < BYTES_AHEAD_LIMIT or self._entries.empty():
                try:
                    self._entries.put(entry, timeout=0.2)
                except queue.Full:
                    continue
                self._bytes_read += _bytes(entry)
                return
            time.sleep(0.05)


def _bytes(entry: object) -> int:
    return len(entry.content) if isinstance(entry, Entry) and isinstance(entry.content, bytes) else 0
