"""Backends that go wrong on purpose, as an installed package would bring them.

``faulty`` does what the name of an instance's first task says ("sleep 2", "die", "eat", ...) and then answers as the
criterion does; the others always do the same. Every process that was called leaves a file with its number in the folder
FAULTY_HOME. With FAULTY_CALM set, nothing goes wrong.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from masksynth.backends import Limits, Outcome, backend
from masksynth.problem import Problem
from masksynth.sparse.engines import Standing

MOST = 6 << 30
"""Bytes that ``eat`` takes at most where nothing stops it."""


def home() -> Path:
    """Where processes leave their marks."""
    return Path(os.environ["FAULTY_HOME"])


def sleep(seconds: str) -> None:
    """Answer late."""
    time.sleep(float(seconds))


def spin(seconds: str) -> None:
    """Work, with the interpreter busy all the time."""
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        pass


def stuck() -> None:
    """Hold the interpreter for an hour in C, deaf to polite signals."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(3600)


def fail(*words: str) -> None:
    """Raise."""
    raise RuntimeError(" ".join(words) or "the solver has crashed\n\x1b[31min colour")


def leave() -> None:
    """Ask the interpreter to end."""
    sys.exit(5)


def interrupt() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def stop() -> None:
    """Be stopped, as by a debugger."""
    os.kill(os.getpid(), signal.SIGSTOP)


def shut() -> None:
    """Close every file, those of the worker too."""
    os.closerange(3, 256)


def child() -> None:
    """Start a program and wait for it."""
    subprocess.run(["sleep", "3600"], check=False)


def odd() -> None:
    """Raise what cannot be pickled."""

    class Odd(Exception):
        def __init__(self) -> None:
            super().__init__("an exception of no module")
            self.lock = threading.Lock()

    raise Odd


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    """Break in native code."""
    ctypes.string_at(0)


def leave_at_once() -> None:
    """End without a word, as a native ``exit`` does."""
    os._exit(7)


def eat() -> None:
    """Take memory until there is none."""
    held = []
    while len(held) << 26 < MOST:
        held.append(bytearray(1 << 26))
    raise AssertionError("nothing stopped it")


def chatter() -> None:
    """Write to standard output and error below Python, without a line end."""
    os.write(1, b"c solver 1.0 says hello")
    os.write(2, b"c warning")
    print("more", end="", flush=True)


def once(word: str, *rest: str) -> None:
    """Do it on the first call."""
    mark = home() / "-".join(("once", word, *rest))
    try:
        with mark.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    obey(word, *rest)


ORDERS: dict[str, Callable[..., None]] = {
    "answer": lambda *_: None,
    "sleep": sleep,
    "spin": spin,
    "stuck": stuck,
    "raise": fail,
    "leave": leave,
    "interrupt": interrupt,
    "stop": stop,
    "shut": shut,
    "child": child,
    "odd": odd,
    "die": die,
    "crash": crash,
    "exit": leave_at_once,
    "eat": eat,
    "chatter": chatter,
    "once": once,
}


def obey(word: str, *rest: str) -> None:
    """Do what the message says."""
    ORDERS[word](*rest)


@dataclass(frozen=True)
class Faulty:
    """A backend that obeys its order, or where it has none the name of the first task, and then answers, ``off`` by
    some positions.
    """

    name: str
    order: str | None = None
    off: int = 0

    def available(self) -> str:
        """Always there."""
        return ""

    def versions(self) -> dict[str, str]:
        """One version."""
        return {"faulty": "1.0"}

    def solve(self, problem: Problem, limits: Limits) -> Outcome:
        """What was ordered, then the minimal merged task."""
        told = self.order or problem.family.tasks[0].name
        (home() / f"{self.name}-{os.getpid()}").write_text(f"{limits.workers}")
        if "FAULTY_CALM" not in os.environ:
            obey(*told.split(" #")[0].split())
        outcome = backend("criterion").solve(problem, limits)
        return outcome if not self.off else replace(outcome, bound=outcome.bound + self.off)


faulty = partial(Faulty, "faulty")
sleepy = partial(Faulty, "sleepy", "sleep 3600")
raising = partial(Faulty, "raising", "raise out of luck")
killer = partial(Faulty, "killer", "die")
wrong = partial(Faulty, "wrong", "answer", 1)
threads = partial(Faulty, "threads", "answer")
slow = partial(Faulty, "slow", "sleep 0.5")


class Liar:
    """An engine that calls the first solution the best."""

    def __init__(self, formula: Any, seed: int) -> None:
        pass

    def advance(self, known: Standing, effort: float, until: float | None) -> Standing:
        """A proof of nothing."""
        return known.proved(known.upper, "liar")
