"""Match the results of two runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from masksynth.search.result import Question, Result


class Line(NamedTuple):
    """The part of a result that is compared; ``seconds`` is None for an entry of a manifest."""

    instance: str
    hash: str | None
    backend: str
    layers: int | None
    sparse: bool
    status: str | None
    sizes: tuple[tuple[str, int, int], ...]
    seconds: float | None
    error: str | None

    @property
    def question(self) -> Question:
        """Key that is equal iff two lines answer the same question; the same as `Result.question`."""
        return (self.hash, self.layers, self.sparse, self.backend)


def line_from(result: Result) -> Line:
    """Return the part of a result that is compared."""
    sizes = tuple((name, size["value"], size["bound"]) for name, size in sorted(result.objective.items()))
    request = (result.instance, result.hash, result.backend, result.layers, result.sparse)
    return Line(*request, result.status, sizes, result.seconds, result.error)


def latest_lines(lines: Iterable[Line]) -> list[Line]:
    """Return the last line of each question and instance; lines without hash yield to others of their name."""
    latest: dict[Any, Line] = {}
    for line in lines:
        latest.pop((line.instance, line.question), None)  # the order is that of the last lines
        latest[line.instance, line.question] = line
    readable = {(line.instance, line.backend) for line in latest.values() if line.hash is not None}
    return [line for line in latest.values() if line.hash is not None or (line.instance, line.backend) not in readable]


def match_lines(old: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Yield pairs (old, new) that belong together, with None for a missing partner."""
    questions: dict[Any, dict[str, Line]] = defaultdict(dict)
    names: dict[Any, list[Line]] = defaultdict(list)
    for line in old:
        names[line.instance, line.backend].append(line)
        if line.hash is not None:
            questions[line.question][line.instance] = line
    used: set[Any] = set()
    for line in new:
        before = _partner(line, questions.get(line.question, {}), names.get((line.instance, line.backend), []))
        if before is not None:
            used.add(_identity(before))
        yield before, line
    yield from ((line, None) for line in old if _identity(line) not in used)


def _identity(line: Line) -> Any:
    """Return a key of the lines that are matched together: the question, or the name of a line without hash."""
    return (line.instance, line.question) if line.hash is None else line.question


def _partner(line: Line, same: dict[str, Line], namesakes: Sequence[Line]) -> Line | None:
    if same:
        return same.get(line.instance) or next(reversed(same.values()))
    free = [other for other in namesakes if other.hash is None or line.hash is None]
    equal = [other for other in free if (other.layers, other.sparse) == (line.layers, line.sparse)]
    return next(iter([*equal, *reversed(free)]), None)
