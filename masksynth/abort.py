"""Handle Ctrl-C while the command ``masksynth`` is importing: print one line and exit, without a traceback.

This is the first module that ``masksynth`` imports; importing it installs the handler. Programs that use masksynth as a
library keep their own handling.
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
    """Return whether this process was started as the command, not as one of its workers or another program."""
    arguments = sys.orig_argv[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        del arguments[0]
    return bool(arguments) and (os.path.basename(arguments[0]) == "masksynth" or arguments[:2] == ["-m", "masksynth"])


def exit_code() -> int:
    """Return the exit code of a command interrupted before it has an answer: 2 for ``pack``, 3 for all others."""
    return 2 if "pack" in sys.argv[1:2] else 3


def stop(_: int, __: object) -> None:
    """Print one line and end the process."""
    os.write(2, f"Error: {TEXT}\n".encode())
    os._exit(exit_code())


def hold() -> None:
    """Handle Ctrl-C with `stop` until `release`, if this process is the command."""
    if is_command() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _handle(stop)


def release() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on."""
    if _signal.getsignal(_signal.SIGINT) is stop:
        _handle(_signal.default_int_handler)


def ignore() -> None:
    """Ignore Ctrl-C from now on: the outcome of the command is final."""
    if is_command():
        _handle(_signal.SIG_IGN)


def _handle(handler: Any) -> None:
    try:  # noqa: SIM105 - contextlib takes time to import
        _signal.signal(_signal.SIGINT, handler)
    except ValueError:  # only the main thread can set signal handlers
        pass


hold()
