"""The file of results: one line each, written atomically, safe against interruptions."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from masksynth.answer import record, write
from masksynth.backends import Limits
from masksynth.errors import InvalidInstance
from masksynth.files import make_folder, open_draft, write_file
from masksynth.search.result import Question, Recalled, Result, line_of, result_of
from masksynth.tasks.instance_files import dumps

BEGIN = b'{"instance": '
"""Start of every line; an incomplete line is recognized by it."""


def read_results(path: str | Path) -> Iterator[Result]:
    """Yield the results in a file, in order, without an incomplete last line, which a killed run may leave.

    Raises
    ------
    InvalidInstance
        If a line is not a result.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield result_of(line, str(path), number)


class Book:
    """A file of results that is opened, and locked, for one run.

    Parameters
    ----------
    path : path
        JSON lines; see ``docs/formats.md``.
    mode : "new", "resume" or "force"
        "new": the file must be new or empty; "resume": it is continued; "force": it is overwritten. Unfinished lines of
        a continued file (failures, and unproved answers under other limits) stay until a result replaces them.
    limits : Limits, optional
        Limits of this run.
    folder : path, optional
        Where each answer is written as a folder. A result without such a folder is then not finished.

    Raises
    ------
    InvalidInstance
        If the file is not empty and ``mode`` is "new", does not contain results, or is locked by another run.
    OSError
        If it cannot be written.
    """

    def __init__(
        self, path: str | Path, mode: str = "new", limits: Limits | None = None, folder: str | Path | None = None
    ) -> None:
        self.path, self.folder = Path(path), None if folder is None else Path(folder)
        self._limits = _comparable(asdict(limits or Limits()))
        self._finished: dict[bytes, list[tuple[str, int]]] = {}
        self._unfinished: dict[tuple[str, str], list[tuple[bytes | None, int]]] = {}
        self._replaced: set[int] = set()
        self._file = _open_locked(self.path)
        try:
            self._begin(mode)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # on a full disk the replaced lines stay until a later run drops them
            self._drop_replaced()
        with suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)

    def _begin(self, mode: str) -> None:
        if mode == "new" and os.fstat(self._file).st_size:
            raise InvalidInstance(
                "the file is not empty", "", "continue it with --resume, or overwrite it with --force", str(self.path)
            )
        _check_kind(self.path)
        if mode == "force":
            os.ftruncate(self._file, 0)
        offset = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    self._note(result_of(line, str(self.path), number), offset)
                    offset += len(line)
        os.ftruncate(self._file, offset)  # drop an incomplete last line

    def _note(self, result: Result, offset: int) -> None:
        """Record a line of the file."""
        self._replace(result)
        key = _key(result.question)
        if self._is_finished(result):
            self._finished.setdefault(key, []).append((result.instance, offset))
        else:
            self._unfinished.setdefault((result.instance, result.backend), []).append(
                (None if result.error else key, offset)
            )

    def _replace(self, result: Result) -> None:
        """Mark the unfinished lines that a result replaces: a failure of its name, or an answer to its question."""
        before = self._unfinished.pop((result.instance, result.backend), None)
        if before is not None:
            key = _key(result.question)
            self._replaced.update(offset for question, offset in before if question in (None, key))
            if left := [line for line in before if line[0] not in (None, key)]:
                self._unfinished[result.instance, result.backend] = left

    def _is_finished(self, result: Result) -> bool:
        is_kept = (
            self.folder is None or not result.objective or (result.folder is not None and os.path.isdir(result.folder))
        )
        return result.error is None and is_kept and (result.proved or _comparable(result.limits) == self._limits)

    def _drop_replaced(self) -> None:
        """Replace the file by one without the replaced lines, atomically."""
        if not self._replaced:
            return
        target = self.path.resolve()
        file, draft = open_draft(target)
        try:
            os.fchmod(file, os.fstat(self._file).st_mode & 0o777)
            offset = 0
            with open(self.path, "rb") as lines:
                for line in lines:
                    if offset not in self._replaced:
                        _append(file, line)
                    offset += len(line)
            os.fsync(file)
            os.replace(draft, target)
        except BaseException:
            os.unlink(draft)
            os.close(file)
            raise
        os.close(self._file)
        self._file = file

    def recall(self, name: str, question: Question) -> Recalled | None:
        """Return the finished result of a question, once per line of this name, else that of any instance."""
        lines = self._finished.get(_key(question), [])  # (name, offset) of each line
        line = next((line for line in lines if line[0] == name), lines[0] if lines else None)
        if line is None:
            return None
        result = self._read(line[1])
        if result.question != question:
            return None
        if line[0] != name:
            return Recalled(result, False)
        lines[lines.index(line)] = ("", line[1])  # an equal instance of the same name has a line of its own
        return Recalled(result, True)

    def _read(self, offset: int) -> Result:
        with open(self.path, "rb") as file:
            file.seek(offset)
            return result_of(file.readline(), str(self.path))

    def write(self, result: Result) -> Result:
        """Write a result, first the folder of its answer, then its line; return the result as written.

        Raises
        ------
        OSError
            If the disk is full; the file then ends with the last complete line.
        """
        if result.disagreement is not None:
            result = replace(result, folder=str(self._write_disagreement(result)))
        elif self.folder is not None and result.answer is not None and result.answer.merged is not None:
            result = replace(result, folder=str(write(result.answer, self.folder / folder_name(result), force=True)))
        _append(self._file, line_of(result), str(self.path))
        self._replace(result)
        return result

    def _write_disagreement(self, result: Result) -> Path:
        """Write answers that contradict one another, and their instance."""
        assert result.disagreement is not None
        folder = (self.folder or self.path.with_suffix(".answers")) / f"{folder_name(result)}-disagreement"
        write_file(folder / "instance.json", dumps(result.disagreement.instance).encode(), force=True)
        for name, answer in result.disagreement.answers.items():
            if answer.merged is None:
                write_file(folder / f"{name}.json", json.dumps(record(answer)).encode(), force=True)
            else:
                write(answer, folder / name, force=True)
        return folder


def folder_name(result: Result) -> str:
    """Return a name for the folder of a result's answer: the instance's name and a digest of the question.

    Examples
    --------
    >>> from masksynth.search.result import Result
    >>> name = "some/where/butterfly 8.json"
    >>> folder_name(Result(name, "00", "auto", None, False, "OPTIMAL", {}, "auto", 1.0, None, {}, {}))
    'butterfly-8-2ad1daf1e1b4'
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", result.instance.rpartition("/")[2].removesuffix(".json")).strip("-.")[:60]
    key = _key((result.hash, result.layers, result.sparse, f"{result.backend} {result.instance}"))
    return f"{stem or 'instance'}-{key.hex()[:12]}"


def _comparable(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits without the number of threads, which depends on the machine."""
    return {name: value for name, value in limits.items() if name != "workers"}


def _key(question: Question) -> bytes:
    return sha256(repr(question).encode()).digest()[:16]


def _open_locked(path: Path) -> int:
    """Open and lock a file for appending; return its descriptor."""
    while True:
        if os.path.exists(path) and not os.path.isfile(path):
            raise InvalidInstance("not a regular file", "", "name a file, or omit -o for stdout", str(path))
        make_folder(path.absolute().parent)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise InvalidInstance(
                "another run writes to this file", "", "wait for it, or name another file", str(path)
            ) from None
        if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
            return file
        os.close(file)  # the file was replaced between opening and locking


def _check_kind(path: Path) -> None:
    """Raise if a file does not contain results, in any mode."""
    with open(path, "rb") as file:
        head = file.readline()
    if head.endswith(b"\n"):
        result_of(head, str(path))
    elif not head.startswith(BEGIN[: len(head)]):
        raise InvalidInstance("not a file of results", "line 1", "name a file that `masksynth search` wrote", str(path))


def _append(file: int, line: bytes, name: str = "") -> None:
    """Append a complete line, or nothing."""
    before = os.fstat(file).st_size
    try:
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file, before)
        raise OSError(error.errno, error.strerror, name) from None
