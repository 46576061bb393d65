"""Summarize a batch: one row per backend, in one pass over the results."""

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
"""Maximum number of reasons of a backend that are counted separately."""
OTHER = "other reasons"
SHOWN = 3
"""Maximum number of reasons in the text."""
HEAD = ("backend", "instances", "proved", "feasible", "unknown", "failed", "total s", "median s", "max s")


@dataclass(frozen=True)
class Summary:
    """Counts and times of the lines of one backend, or of one portfolio.

    Parameters
    ----------
    backend : str
        The requested backend or portfolio.
    instances, proved, feasible, unknown, failed : int
        Lines, and how they ended: ``proved`` has OPTIMAL and INFEASIBLE, ``failed`` those with an ``error``.
    reasons : tuple of (str, int)
        Reasons of failures and their counts, most frequent first; reasons that differ only in numbers are one.
    winners : mapping of str to int
        Number of answers by the backend that found them.
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
    """Running counts of one backend."""

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
        """Count a reason under its shape (numbers as 0); the alphabetically first reason of a shape is shown."""
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
            _sort_times(self.seconds),
            _sort_times(self.proved_seconds),
        )


def _sort_times(seconds: array[float]) -> NDArray[np.float64]:
    ascending = np.sort(np.array(seconds, dtype=np.float64))
    ascending.flags.writeable = False
    return ascending


def summary(results: Iterable[Result]) -> tuple[Summary, ...]:
    """Count results by backend, in one pass that keeps 16 bytes per result.

    Each line is counted, including several lines for the same question.

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
    >>> sizes = {"positions": {"value": 3, "bound": 3}}
    >>> proved = Result("a", "00", "cpsat", None, False, "OPTIMAL", sizes, "cpsat", 0.5, None, {}, {})
    >>> failed = Result("b.json", None, "cpsat", None, False, None, {}, None, 0.1, "b.json: not JSON", {}, {})
    >>> [row] = summary([proved, failed])
    >>> row.instances, row.proved, row.reasons, row.most
    (2, 1, (('not JSON', 1),), 0.5)
    """
    tallies: dict[str, _Tally] = {}
    for result in results:
        tallies.setdefault(result.backend, _Tally()).add(result)
    return tuple(tallies[backend].summary(backend) for backend in sorted(tallies))


def summary_text(summaries: Sequence[Summary]) -> str:
    """Return the summaries as a table for people, followed by reasons of failures and winners.

    Examples
    --------
    >>> result = Result("a", "0", "cpsat", None, False, "UNKNOWN", {}, "cpsat", 2.0, None, {}, {})
    >>> print(summary_text(summary([result])))
    backend  instances  proved  feasible  unknown  failed  total s  median s  max s
    cpsat            1       0         0        1       0     2.00     2.000   2.00
    """
    if not summaries:
        return "no results"
    lines = _align([HEAD, *map(_row, summaries)])
    for row in summaries:
        name = _shorten(row.backend)
        if len(row.winners) > 1:
            winners = ", ".join(f"{_shorten(winner)} ({count:,})" for winner, count in row.winners.items())
            lines.append(f"{name}: answers by {winners}")
        lines += [f"{name} failed {count:,} x: {printable(reason)}" for reason, count in row.reasons[:SHOWN]]
        if rest := row.reasons[SHOWN:]:
            lines.append(f"{name} failed {sum(count for _, count in rest):,} x for {len(rest):,} more reasons")
    return "\n".join(lines)


def _shorten(backend: str) -> str:
    text = printable(backend)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _row(summary: Summary) -> tuple[str, ...]:
    counts = (summary.instances, summary.proved, summary.feasible, summary.unknown, summary.failed)
    return (
        _shorten(summary.backend),
        *(f"{count:,}" for count in counts),
        f"{summary.total:,.2f}",
        f"{summary.median:.3f}",
        f"{summary.most:,.2f}",
    )


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format the rows of a table, names left-aligned and numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def summary_record(summaries: Iterable[Summary]) -> list[dict[str, Any]]:
    """Return the summaries as plain JSON values.

    Examples
    --------
    >>> result = Result("a", "0", "cpsat", None, False, "UNKNOWN", {}, "cpsat", 2.0, None, {}, {})
    >>> list(summary_record(summary([result]))[0])
    ['backend', 'instances', 'proved', 'feasible', 'unknown', 'failed', 'reasons', 'winners', 'seconds']
    """
    return [
        {
            "backend": row.backend,
            "instances": row.instances,
            "proved": row.proved,
            "feasible": row.feasible,
            "unknown": row.unknown,
            "failed": row.failed,
            "reasons": [{"reason": reason, "count": count} for reason, count in row.reasons],
            "winners": dict(row.winners),
            "seconds": {"total": row.total, "median": row.median, "max": row.most},
        }
        for row in summaries
    ]
