"""One line of a batch: what became of one instance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from masksynth.backends import Limits, Status
from masksynth.errors import InvalidInstance
from masksynth.solve import Answer
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
"""The keys of a line, in their order."""


Question = tuple[str | None, int | None, bool, str]
"""What was asked of whom: hash of the tasks, depth, whether for the fewest edges, backends."""


class Recalled(NamedTuple):
    """A result that is known already, and whether it stands under the name that was asked for."""

    result: Result
    is_there: bool


Recall = Callable[[str, Question], Recalled | None]
"""What is known of an instance's name and question, each result once."""


@dataclass(frozen=True)
class Disagreement:
    """An instance about which two backends prove different things, and what each of them answered."""

    instance: Instance
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class Result:
    """What became of one instance of a batch.

    Parameters
    ----------
    instance : str
        Path or name.
    hash : str or None
        SHA-256 of the instance's tasks (`masksynth.tasks.instance_files.content_hash`); None if the instance could not
        be read.
    backend : str
        What was asked for: one backend, or a portfolio as names separated by commas.
    layers : int or None
        Depth of the question; None: any depth.
    sparse : bool
        Whether the fewest edges were asked for.
    status : str or None
        Name of a `Status`; None iff there is an ``error``.
    objective : mapping of str to {"value": int, "bound": int}
        As in ``solution.json``; empty without an answer.
    winner : str or None
        Which backend of the portfolio the answer is from.
    seconds : float
        Wall-clock time the answer took; of a failure, until it was known.
    error : str or None
        Why there is no answer.
    versions, limits : mapping
        Of the software, and the limits of each backend.
    folder : str or None
        Where the answer was written.
    answer : Answer or None
        The answer itself; not part of the line, and not compared.
    disagreement : Disagreement or None
        What backends that contradict one another said; not part of the line, and not compared.
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
        """Whether nothing is left to find: OPTIMAL or INFEASIBLE."""
        return self.status in (Status.OPTIMAL.name, Status.INFEASIBLE.name)

    @property
    def question(self) -> Question:
        """What was asked of whom: equal for two results iff they answer the same question."""
        return (self.hash, self.layers, self.sparse, self.backend)


def line_of(result: Result) -> bytes:
    r"""The result as one line of JSON, with its line end.

    Examples
    --------
    >>> line_of(Result("a.json", None, "auto", None, False, None, {}, None, 0.0, "no such file", {}, {}))[:32]
    b'{"instance": "a.json", "hash": n'
    """
    return json.dumps({key: getattr(result, key) for key in KEYS}, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def result_of(line: bytes | str, source: str = "", number: int = 1) -> Result:
    """The result in one line of JSON; ``source`` and ``number`` name its place in messages.

    Raises
    ------
    InvalidInstance
        If the line is not a result.

    Examples
    --------
    >>> result = Result("a.json", "00", "auto", None, False, "OPTIMAL", {"positions": {"value": 3, "bound": 3}}, "cpsat", 0.5, None, {}, {})
    >>> result_of(line_of(result)) == result
    True
    """
    import msgspec

    try:
        fields = msgspec.json.decode(line, type=_shape(), strict=True)
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


def _shape() -> Any:
    """The shape of a line, for msgspec (which is imported when a file is read)."""
    from masksynth.search.result_schema import Line

    return Line


def result_from(
    name: str,
    answer: Answer,
    backend: str,
    layers: int | None,
    sparse: bool,
    digest: str,
    seconds: float,
    limits: Limits,
) -> Result:
    """An answer as a result, under the limits that were asked for."""
    objective = {kind: asdict(size) for kind, size in answer.objective.items()}
    roads = answer.certificate.get("roads") or [{"backend": backend}]
    return Result(
        name,
        digest,
        backend,
        layers,
        sparse,
        answer.status.name,
        objective,
        winner=backend if sparse else roads[0]["backend"],
        seconds=round(seconds, 6),
        error=None,
        versions=answer.versions,
        limits=asdict(limits),
        answer=answer,
    )


def failure(
    name: str,
    reason: str,
    backend: str,
    limits: Limits,
    digest: str | None = None,
    layers: int | None = None,
    sparse: bool = False,
    seconds: float = 0.0,
) -> Result:
    """A result without an answer; the reason is made one line."""
    reason = printable(" ".join(reason.split()))
    return Result(
        name, digest, backend, layers, sparse, None, {}, None, round(seconds, 6), reason, versions(), asdict(limits)
    )
