"""The result of one instance, and its line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from masksynth.answer import Answer
from masksynth.backends import Limits, Status
from masksynth.errors import InvalidInstance
from masksynth.tasks import Instance
from masksynth.tasks.canonical import printable
from masksynth.versions import versions

KEYS = (
    "instance",
    "hash",
    "backend",
    "layers",
    "sparse",
    "status",
    "objective",
    "winner",
    "seconds",
    "error",
    "versions",
    "limits",
    "folder",
)
"""Keys of a line, in order."""


Question = tuple[str | None, int | None, bool, str]
"""Hash of the tasks, depth, whether the fewest edges are requested, backends; equal for comparable results."""


class Recalled(NamedTuple):
    """An earlier result, and whether it is recorded under the requested name."""

    result: Result
    is_there: bool


Recall = Callable[[str, Question], Recalled | None]
"""Looks up the earlier result of an instance's name and question; returns each result once."""


@dataclass(frozen=True)
class Request:
    """The question about one instance: what to solve, how, within which limits.

    Parameters
    ----------
    instance : str
        Path or name.
    hash : str or None
        SHA-256 of the instance's tasks; None if it could not be read.
    backend : str
        A backend, or the names of a portfolio separated by commas.
    layers : int or None
    sparse : bool
    limits : Limits
    """

    instance: str
    hash: str | None
    backend: str
    layers: int | None
    sparse: bool
    limits: Limits

    @property
    def fields(self) -> tuple[str, str | None, str, int | None, bool]:
        """The first five fields of a `Result`."""
        return (self.instance, self.hash, self.backend, self.layers, self.sparse)

    @property
    def question(self) -> Question:
        """Key that is equal iff two lines answer the same question; the same as `Result.question`."""
        return (self.hash, self.layers, self.sparse, self.backend)


@dataclass(frozen=True)
class Disagreement:
    """An instance for which backends contradict one another, and the answer of each."""

    instance: Instance
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class Result:
    """Result of one instance of a batch.

    Parameters
    ----------
    instance : str
        Path or name.
    hash : str or None
        SHA-256 of the instance's tasks (`masksynth.tasks.instance_files.content_hash`); None if the instance could not
        be read.
    backend : str
        The requested backend, or the names of a portfolio separated by commas.
    layers : int or None
        Number of layers; None: any depth.
    sparse : bool
        Whether the fewest edges were requested.
    status : str or None
        Name of a `Status`; None iff there is an ``error``.
    objective : mapping of str to {"value": int, "bound": int}
        As in ``solution.json``; empty without an answer.
    winner : str or None
        Backend of the portfolio that found the answer.
    seconds : float
        Wall-clock time until the answer or the failure.
    error : str or None
        Why there is no answer.
    versions, limits : mapping
        Versions of the software, and the limits of each backend.
    folder : str or None
        Folder of the answer.
    answer : Answer or None
        The answer; not part of the line, and not compared.
    disagreement : Disagreement or None
        The answers of backends that contradict one another; not part of the line, and not compared.
    """

    instance: str
    hash: str | None
    backend: str
    layers: int | None
    sparse: bool
    status: str | None
    objective: Mapping[str, Mapping[str, int]]
    winner: str | None
    seconds: float
    error: str | None
    versions: Mapping[str, str]
    limits: Mapping[str, Any]
    folder: str | None = None
    answer: Answer | None = field(default=None, compare=False, repr=False)
    disagreement: Disagreement | None = field(default=None, compare=False, repr=False)

    @property
    def proved(self) -> bool:
        """Whether the result is final: OPTIMAL or INFEASIBLE."""
        return self.status in (Status.OPTIMAL.name, Status.INFEASIBLE.name)

    @property
    def question(self) -> Question:
        """Key that is equal for two results iff they answer the same question."""
        return (self.hash, self.layers, self.sparse, self.backend)


def line_of(result: Result) -> bytes:
    r"""Return the result as one line of JSON, with a newline.

    Examples
    --------
    >>> line_of(Result("a.json", None, "auto", None, False, None, {}, None, 0.0, "no such file", {}, {}))[:32]
    b'{"instance": "a.json", "hash": n'
    """
    return json.dumps({key: getattr(result, key) for key in KEYS}, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def result_of(line: bytes | str, source: str = "", number: int = 1) -> Result:
    """Parse a line of JSON; ``source`` and ``number`` locate it in messages.

    Raises
    ------
    InvalidInstance
        If the line is not a result.

    Examples
    --------
    >>> sizes = {"positions": {"value": 3, "bound": 3}}
    >>> result = Result("a.json", "00", "auto", None, False, "OPTIMAL", sizes, "cpsat", 0.5, None, {}, {})
    >>> result_of(line_of(result)) == result
    True
    """
    import msgspec

    try:
        fields = msgspec.json.decode(line, type=_line_schema(), strict=True)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidInstance(
            f"not a line of results: {error}", f"line {number}", "name a file that `masksynth search` wrote", source
        ) from None
    if (fields.status is None) == (fields.error is None):
        raise InvalidInstance(
            "a result has either a status or an error",
            f"line {number}",
            "name a file that `masksynth search` wrote",
            source,
        )
    return Result(**msgspec.to_builtins(fields))


def _line_schema() -> Any:
    """Return the schema of a line (msgspec is imported only when a file is read)."""
    from masksynth.search.result_schema import Line

    return Line


def result_from(request: Request, answer: Answer, seconds: float) -> Result:
    """Return the result of an answer.

    Parameters
    ----------
    request : Request
    answer : Answer
    seconds : float
        Wall-clock time until the answer.
    """
    objective = {kind: asdict(size) for kind, size in answer.objective.items()}
    roads = answer.certificate.get("roads") or [{"backend": request.backend}]
    return Result(
        *request.fields,
        answer.status.name,
        objective,
        winner=request.backend if request.sparse else roads[0]["backend"],
        seconds=round(seconds, 6),
        error=None,
        versions=answer.versions,
        limits=asdict(request.limits),
        answer=answer,
    )


def failure(request: Request, reason: str, seconds: float = 0.0) -> Result:
    """Return a result without an answer; the reason is made one line."""
    return Result(
        *request.fields,
        None,
        {},
        winner=None,
        seconds=round(seconds, 6),
        error=printable(" ".join(reason.split())),
        versions=versions(),
        limits=asdict(request.limits),
    )
