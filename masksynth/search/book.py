"""The file of results: one line for each, whole or not at all, kept through every interruption."""

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

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance
from masksynth.files import open_draft, write_file
from masksynth.search.result import Question, Recalled, Result, line_of, result_of
from masksynth.solve import record, write
from masksynth.tasks.instance_files import dumps

BEGIN = b'{"instance": '
"""How every line begins, by which the rest of one that was cut off is known."""


def read_results(path: str | Path) -> Iterator[Result]:
    """The results in a file, in order; a last line without its end is the trace of a run that was killed, and left out.

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
    """A file of results that is open for one run; others are refused meanwhile.

    Parameters
    ----------
    path : path
        JSON lines; see ``docs/formats.md``.
    mode : "new", "resume" or "force"
        Only a file that is new or empty; one that is continued; one that is overwritten. What is not finished in a file that is continued
        (failures, and answers that are not proved and were sought under other limits) stays until a result takes its place.
    limits : Limits, optional
        Of this run.
    folder : path, optional
        Where answers are written, each as a folder. An answer without one is then not finished either.

    Raises
    ------
    InvalidInstance
        If the file is not empty and ``mode`` is "new", if it holds something else than results, or if another run writes to it.
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
        self._file = _locked(self.path)
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
        with suppress(OSError):  # on a full disk the lines that were replaced stay, to be dropped another time
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
        at = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    self._note(result_of(line, str(self.path), number), at)
                    at += len(line)
        os.ftruncate(self._file, at)  # without the rest of a line that was cut off

    def _note(self, result: Result, at: int) -> None:
        """Take note of a line that is there."""
        self._replace(result)
        key = _key(result.question)
        if self._is_finished(result):
            self._finished.setdefault(key, []).append((result.instance, at))
        else:
            self._unfinished.setdefault((result.instance, result.backend), []).append(
                (None if result.error else key, at)
            )

    def _replace(self, result: Result) -> None:
        """Find the unfinished lines that a result takes the place of: a failure of the same name, or an answer to the same question."""
        before = self._unfinished.pop((result.instance, result.backend), None)
        if before is not None:
            key = _key(result.question)
            self._replaced.update(place for question, place in before if question in (None, key))
            if left := [line for line in before if line[0] not in (None, key)]:
                self._unfinished[result.instance, result.backend] = left

    def _is_finished(self, result: Result) -> bool:
        is_kept = (
            self.folder is None or not result.objective or (result.folder is not None and os.path.isdir(result.folder))
        )
        return result.error is None and is_kept and (result.proved or _comparable(result.limits) == self._limits)

    def _drop_replaced(self) -> None:
        """Put a file without the lines that were replaced in the place of this one, at once."""
        if not self._replaced:
            return
        target = self.path.resolve()
        file, draft = open_draft(target)
        try:
            os.fchmod(file, os.fstat(self._file).st_mode & 0o777)
            at = 0
            with open(self.path, "rb") as lines:
                for line in lines:
                    if at not in self._replaced:
                        _append(file, line)
                    at += len(line)
            os.fsync(file)
            os.replace(draft, target)
        except BaseException:
            os.unlink(draft)
            os.close(file)
            raise
        os.close(self._file)
        self._file = file

    def recall(self, name: str, question: Question) -> Recalled | None:
        """The finished result of a question: of the instance with this name, once for each of its lines, or else of any that asked it."""
        places = self._finished.get(_key(question), [])
        known = next((place for place in places if place[0] == name), places[0] if places else None)
        if known is None:
            return None
        result = self._at(known[1])
        if result.question != question:
            return None
        if known[0] != name:
            return Recalled(result, False)
        places[places.index(known)] = ("", known[1])  # an equal instance of the same name has a line of its own
        return Recalled(result, True)

    def _at(self, place: int) -> Result:
        with open(self.path, "rb") as file:
            file.seek(place)
            return result_of(file.readline(), str(self.path))

    def write(self, result: Result) -> Result:
        """Write a result: its answer's folder first, then its line; the result as it is written.

        Raises
        ------
        OSError
            If the disk is full; the file then ends with the last whole line.
        """
        if result.disagreement is not None:
            result = replace(result, folder=str(self._keep(result)))
        elif self.folder is not None and result.answer is not None and result.answer.merged is not None:
            result = replace(result, folder=str(write(result.answer, self.folder / folder_name(result), force=True)))
        _append(self._file, line_of(result), str(self.path))
        self._replace(result)
        return result

    def _keep(self, result: Result) -> Path:
        """Keep answers that contradict one another, and their instance."""
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
    """A name for the folder of a result's answer: the instance's, and a digest of the question.

    Examples
    --------
    >>> from masksynth.search.result import Result
    >>> folder_name(Result("some/where/butterfly 8.json", "00", "auto", None, False, "OPTIMAL", {}, "auto", 1.0, None, {}, {}))
    'butterfly-8-2ad1daf1e1b4'
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", result.instance.rpartition("/")[2].removesuffix(".json")).strip("-.")[:60]
    return f"{stem or 'instance'}-{_key((result.hash, result.layers, result.sparse, f'{result.backend} {result.instance}')).hex()[:12]}"


def _comparable(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits without the number of threads, which follows the machine."""
    return {name: value for name, value in limits.items() if name != "workers"}


def _key(question: Question) -> bytes:
    return sha256(repr(question).encode()).digest()[:16]


def _locked(path: Path) -> int:
    """The file, open for appending and ours alone."""
    while True:
        if os.path.exists(path) and not os.path.isfile(path):
            raise InvalidInstance("not a regular file", "", "name a file, or leave -o away for stdout", str(path))
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
        os.close(file)  # the file was replaced between the two steps


def _check_kind(path: Path) -> None:
    """Refuse to write to a file of another kind, whatever the mode."""
    with open(path, "rb") as file:
        head = file.readline()
    if head.endswith(b"\n"):
        result_of(head, str(path))
    elif not head.startswith(BEGIN[: len(head)]):
        raise InvalidInstance("not a file of results", "line 1", "name a file that `masksynth search` wrote", str(path))


def _append(file: int, line: bytes, name: str = "") -> None:
    """Append a whole line, or nothing."""
    before = os.fstat(file).st_size
    try:
        at = 0
        while at < len(line):
            at += os.write(file, line[at:])
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file, before)
        raise OSError(error.errno, error.strerror, name) from None
