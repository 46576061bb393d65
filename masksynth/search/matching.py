"""Which results of two runs belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from masksynth.search.result import Question, Result


class Known(NamedTuple):
    """What a comparison keeps of a result; ``seconds`` is None where no time was promised."""

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
        """As that of a result."""
        return (self.hash, self.layers, self.sparse, self.backend)


def known(result: Result) -> Known:
    """What a comparison keeps of a result."""
    sizes = tuple((name, size["value"], size["bound"]) for name, size in sorted(result.objective.items()))
    asked = (result.instance, result.hash, result.backend, result.layers, result.sparse)
    return Known(*asked, result.status, sizes, result.seconds, result.error)


def latest(lines: Iterable[Known]) -> list[Known]:
    """The last line of each question of each instance; a line without a hash yields to any other of its name."""
    found: dict[Any, Known] = {}
    for line in lines:
        found.pop((line.instance, line.question), None)
        found[line.instance, line.question] = line
    readable = {(line.instance, line.backend) for line in found.values() if line.hash is not None}
    return [line for line in found.values() if line.hash is not None or (line.instance, line.backend) not in readable]


def matched(old: Sequence[Known], new: Sequence[Known]) -> Iterator[tuple[Known | None, Known | None]]:
    """Pairs (old, new) that belong together, None where the other side has nothing."""
    questions: dict[Any, dict[str, Known]] = defaultdict(dict)
    names: dict[Any, list[Known]] = defaultdict(list)
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


def _identity(line: Known) -> Any:
    """Equal for lines that a match of one of them settles: the question, or without a hash the name."""
    return (line.instance, line.question) if line.hash is None else line.question


def _partner(line: Known, same: dict[str, Known], namesakes: Sequence[Known]) -> Known | None:
    if same:
        return same.get(line.instance) or next(reversed(same.values()))
    free = [other for other in namesakes if other.hash is None or line.hash is None]
    alike = [other for other in free if (other.layers, other.sparse) == (line.layers, line.sparse)]
    return next(iter([*alike, *reversed(free)]), None)
