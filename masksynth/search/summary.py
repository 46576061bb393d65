"""What a batch came to: one row a backend, in one pass over its results."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.backends import Status
from masksynth.search.result import Result
from masksynth.tasks.canonical import printable

REASONS = 1000
"""Most reasons of a backend that are counted one by one."""
OTHER = "other reasons"
SHOWN = 3
"""Reasons that the text shows."""
HEAD = ("backend", "instances", "proved", "feasible", "unknown", "failed", "total s", "median s", "max s")


@dataclass(frozen=True)
class Summary:
    """What became of the lines of one backend, or of one portfolio.

    Parameters
    ----------
    backend : str
        What was asked for.
    instances, proved, feasible, unknown, failed : int
        Lines, and how they ended: ``proved`` has OPTIMAL and INFEASIBLE, ``failed`` those with an ``error``.
    reasons : tuple of (str, int)
        Why lines failed and how many, the commonest first; reasons that differ in numbers alone are one.
    winners : mapping of str to int
        Answers by the backend that they are from.
    seconds, proved_seconds : (n,) float64 arrays
        Time of every line, and of every proved one, ascending; not compared.
    """

    backend: str
    instances: int
    proved: int
    feasible: int
    unknown: int
    failed: int
    reasons: tuple[tuple[str, int], ...]
    winners: Mapping[str, int]
    seconds: NDArray[np.float64] = field(compare=False, repr=False)
    proved_seconds: NDArray[np.float64] = field(compare=False, repr=False)

    @property
    def total(self) -> float:
        """Seconds of all lines."""
        return float(self.seconds.sum())

    @property
    def median(self) -> float:
        """Median of the seconds of a line."""
        return float(np.median(self.seconds)) if len(self.seconds) else 0.0

    @property
    def most(self) -> float:
        """Seconds of the slowest line."""
        return float(self.seconds[-1]) if len(self.seconds) else 0.0


class _Tally:
    """Counts of one backend while its lines go by."""

    def __init__(self) -> None:
        self.statuses: Counter[str | None] = Counter()
        self.winners: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        self.seconds, self.proved_seconds = array("d"), array("d")

    def add(self, result: Result) -> None:
        self.statuses[result.status] += 1
        self.seconds.append(result.seconds)
        if result.proved:
            self.proved_seconds.append(result.seconds)
        if result.winner is not None:
            self.winners[result.winner] += 1
        if result.error is not None:
            self.add_reason(result.error.removeprefix(f"{result.instance}: "))

    def add_reason(self, reason: str) -> None:
        """Count a reason under its shape; of one shape the first in the alphabet is shown, whatever came first."""
        shape = re.sub(r"\d+", "0", reason)
        if shape not in self.reasons and len(self.reasons) >= REASONS:
            shape = reason = OTHER
        self.reasons[shape] += 1
        self.words[shape] = min(reason, self.words.get(shape, reason))

    def summary(self, backend: str) -> Summary:
        count = self.statuses
        reasons = sorted(
            ((self.words[shape], number) for shape, number in self.reasons.items()),
            key=lambda pair: (-pair[1], pair[0]),
        )
        proved = count[Status.OPTIMAL.name] + count[Status.INFEASIBLE.name]
        endings = (proved, count[Status.FEASIBLE.name], count[Status.UNKNOWN.name], count[None])
        winners = dict(sorted(self.winners.items()))
        return Summary(
            backend,
            count.total(),
            *endings,
            tuple(reasons),
            winners,
            _ascending(self.seconds),
            _ascending(self.proved_seconds),
        )


def _ascending(seconds: array[float]) -> NDArray[np.float64]:
    found = np.sort(np.array(seconds, dtype=np.float64))
    found.flags.writeable = False
    return found


def summary(results: Iterable[Result]) -> tuple[Summary, ...]:
    """Count results by backend, in one pass; 16 bytes a result are held.

    Every line counts, also two that answer the same question.

    Parameters
    ----------
    results : iterable of Result
        From ``search``, or read from a file.

    Returns
    -------
    tuple of Summary
        One for each backend, in the order of their names.

    Examples
    --------
    >>> proved = Result("a", "00", "cpsat", None, False, "OPTIMAL", {"positions": {"value": 3, "bound": 3}}, "cpsat", 0.5, None, {}, {})
    >>> failed = Result("b.json", None, "cpsat", None, False, None, {}, None, 0.1, "b.json: not JSON", {}, {})
    >>> [found] = summary([proved, failed])
    >>> found.instances, found.proved, found.reasons, found.most
    (2, 1, (('not JSON', 1),), 0.5)
    """
    tallies: dict[str, _Tally] = {}
    for result in results:
        tallies.setdefault(result.backend, _Tally()).add(result)
    return tuple(tallies[backend].summary(backend) for backend in sorted(tallies))


def summary_text(summaries: Sequence[Summary]) -> str:
    """The summaries as a table for people, and under it why lines failed and who won.

    Examples
    --------
    >>> print(summary_text(summary([Result("a", "0", "cpsat", None, False, "UNKNOWN", {}, "cpsat", 2.0, None, {}, {})])))
    backend  instances  proved  feasible  unknown  failed  total s  median s  max s
    cpsat            1       0         0        1       0     2.00     2.000   2.00
    """
    if not summaries:
        return "no results"
    lines = _aligned([HEAD, *map(_row, summaries)])
    for found in summaries:
        if len(found.winners) > 1:
            lines.append(
                f"{_name(found.backend)}: answers by {', '.join(f'{_name(who)} ({n:,})' for who, n in found.winners.items())}"
            )
        lines += [
            f"{_name(found.backend)} failed {number:,} x: {printable(reason)}"
            for reason, number in found.reasons[:SHOWN]
        ]
        if rest := found.reasons[SHOWN:]:
            lines.append(
                f"{_name(found.backend)} failed {sum(number for _, number in rest):,} x for {len(rest):,} more reasons"
            )
    return "\n".join(lines)


def _name(backend: str) -> str:
    text = printable(backend)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _row(found: Summary) -> tuple[str, ...]:
    counts = (found.instances, found.proved, found.feasible, found.unknown, found.failed)
    return (
        _name(found.backend),
        *(f"{count:,}" for count in counts),
        f"{found.total:,.2f}",
        f"{found.median:.3f}",
        f"{found.most:,.2f}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table, names to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def summary_record(summaries: Iterable[Summary]) -> list[dict[str, Any]]:
    """The summaries as plain JSON values.

    Examples
    --------
    >>> list(summary_record(summary([Result("a", "0", "cpsat", None, False, "UNKNOWN", {}, "cpsat", 2.0, None, {}, {})]))[0])
    ['backend', 'instances', 'proved', 'feasible', 'unknown', 'failed', 'reasons', 'winners', 'seconds']
    """
    return [
        {
            "backend": found.backend,
            "instances": found.instances,
            "proved": found.proved,
            "feasible": found.feasible,
            "unknown": found.unknown,
            "failed": found.failed,
            "reasons": [{"reason": reason, "count": count} for reason, count in found.reasons],
            "winners": dict(found.winners),
            "seconds": {"total": found.total, "median": found.median, "max": found.most},
        }
        for found in summaries
    ]
