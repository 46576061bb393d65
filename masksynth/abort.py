"""Ctrl-C while the command ``masksynth`` is still importing: one line and an exit code, no traceback of an import.

The first thing that ``masksynth`` imports; importing it is enough. Programs that use masksynth as a library keep their
own handling.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, without the time that `signal` takes to import
import os
import sys

TYPE_CHECKING = False  # `typing` takes time to import
if TYPE_CHECKING:
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


def stop(_: int, __: object) -> None:
    """Say one line and end the process."""
    os.write(2, f"Error: {TEXT}\n".encode())
    os._exit(exit_code())


def hold() -> None:
    """Handle Ctrl-C by `stop` until the command is ready for it, if this process is the command."""
    if is_command() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _handle(stop)


def release() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt."""
    if _signal.getsignal(_signal.SIGINT) is stop:
        _handle(_signal.default_int_handler)


def ignore() -> None:
    """The outcome of the command is known: Ctrl-C comes too late."""
    if is_command():
        _handle(_signal.SIG_IGN)


def _handle(handler: Any) -> None:
    try:  # noqa: SIM105 - contextlib takes time to import
        _signal.signal(_signal.SIGINT, handler)
    except ValueError:  # not the main thread, which alone hears of Ctrl-C
        pass


hold()
