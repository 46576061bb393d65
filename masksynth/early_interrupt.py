"""Ctrl-C while the command ``masksynth`` is still importing: one line and an exit code, no traceback of a half-done import.

The first thing that ``masksynth`` imports; importing it is enough. Programs that use masksynth as a library keep their own handling.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

TEXT = "interrupted; nothing was written"


def is_command() -> bool:
    """Return whether this process was started as the command; its workers and other programs were not."""
    arguments = sys.orig_argv[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        del arguments[0]
    return bool(arguments) and (os.path.basename(arguments[0]) == "masksynth" or arguments[:2] == ["-m", "masksynth"])


def exit_code() -> int:
    """Return the exit code of a command that is interrupted before it has an answer: 2 of ``pack``, 3 of all others."""
    return 2 if "pack" in sys.argv[1:2] else 3


def stop(_: int, __: Any) -> None:
    """Say one line and end the process."""
    os.write(2, f"Error: {TEXT}\n".encode())
    os._exit(exit_code())


def hold() -> None:
    """Handle Ctrl-C by `stop` until the command is ready for it, if this process is the command."""
    if (
        is_command()
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, stop)


def release() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """The outcome of the command is known: Ctrl-C comes too late."""
    if is_command() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


hold()
