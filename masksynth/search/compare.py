"""Compare two runs: regressions, improvements and contradictions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from masksynth.backends import Status
from masksynth.errors import InvalidInstance
from masksynth.search.matching import Line, latest_lines, line_from, match_lines
from masksynth.search.result import Result
from masksynth.tasks.canonical import printable

KINDS = ("contradiction", "regression", "missing", "new", "improvement")
SLOWER = 2.0
"""Default factor from which a difference in time is a change."""
NOISE = 0.1
"""Differences in time up to this many seconds are ignored."""
RANK = {Status.OPTIMAL.name: 3, Status.INFEASIBLE.name: 3, Status.FEASIBLE.name: 2, Status.UNKNOWN.name: 1, None: 0}
SHOWN = 20
"""Maximum number of changes of one kind in the text."""


@dataclass(frozen=True)
class Change:
    """One difference between two runs.

    Parameters
    ----------
    instance, backend : str
    kind : str
        ``contradiction``: the two results cannot both be true. ``regression``: less is proved or found, or it takes
        longer. ``improvement``: the reverse. ``missing``, ``new``: only the old, only the new run has it.
    what : str
        The difference in one line.
    """

    instance: str
    backend: str
    kind: str
    what: str


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two runs.

    Parameters
    ----------
    changes : tuple of Change
        By kind, worst first, then by instance and backend.
    compared : int
        Number of results in both runs.
    missing, new : int
        Number of results only in the old, only in the new run.
    """

    changes: tuple[Change, ...]
    compared: int
    missing: int
    new: int

    @property
    def worse(self) -> bool:
        """Whether there is a contradiction or a regression."""
        return any(change.kind in ("contradiction", "regression") for change in self.changes)


def compare(old: Iterable[Result], new: Iterable[Result], slower: float = SLOWER) -> Comparison:
    """Compare two runs.

    Results are matched if they answer the same question (hash, layers, sparse, backend), regardless of file names; if
    one of them has no hash, because it could not be read, they are matched by instance and backend. Of several lines
    for one question the last one counts. Earlier results of other backends for the same tasks are only checked for
    contradictions. Both runs are held in memory, less than a kilobyte per result.

    Parameters
    ----------
    old, new : iterable of Result
    slower : float
        A proved result is slower, or faster, if its time differs by at least this factor, and by more than 0.1 s.

    Raises
    ------
    InvalidInstance
        If ``slower`` is not above 1.

    Examples
    --------
    >>> size = {"positions": {"value": 3, "bound": 3}}
    >>> before = Result("a", "00", "cpsat", None, False, "OPTIMAL", size, "cpsat", 0.5, None, {}, {})
    >>> after = Result("a", "00", "cpsat", None, False, "OPTIMAL", size, "cpsat", 1.5, None, {}, {})
    >>> compare([before], [after]).changes
    (Change(instance='a', backend='cpsat', kind='regression', what='0.50 s, now 1.50 s'),)
    """
    if not slower > 1:
        raise InvalidInstance(f"slower: expected a factor above 1, got {slower!r}", "", "give 2, for example")
    left, right = latest_lines(map(line_from, old)), latest_lines(map(line_from, new))
    pairs = list(match_lines(left, right))
    missing = [before for before, after in pairs if after is None]
    added = [after for before, after in pairs if before is None and after is not None]
    both = [(before, after) for before, after in pairs if before is not None and after is not None]
    names = Counter((line.instance, line.backend) for line in missing if line is not None)
    changes = [change for before, after in both for change in changes_between(before, after, slower)]
    changes += _contradictions_by_others(left, added)
    changes += [
        Change(line.instance, line.backend, "missing", f"was {_describe_line(line)}")
        for line in missing
        if line is not None
    ]
    for line in added:
        other = "; the same name had a different question before" if names[line.instance, line.backend] else ""
        changes.append(Change(line.instance, line.backend, "new", f"{_describe_line(line)}{other}"))
    return Comparison(sort_changes(changes), len(both), len(missing), len(added))


def _contradictions_by_others(old: Iterable[Line], new: Iterable[Line]) -> Iterator[Change]:
    """Yield contradictions between results of different backends for the same tasks."""
    earlier: dict[Any, list[Line]] = defaultdict(list)
    for line in old:
        earlier[line.question[:-1]].append(line)
    for line in new:
        for other in earlier[line.question[:-1]] if line.hash is not None else ():
            if wrong := list(_contradictions(other, line)):
                yield Change(
                    line.instance, line.backend, "contradiction", f"{'; '.join(wrong)} (before by {other.backend})"
                )


def sort_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Sort changes by kind, worst first, then by name."""
    return tuple(
        sorted(changes, key=lambda change: (KINDS.index(change.kind), change.instance, change.backend, change.what))
    )


def changes_between(old: Line, new: Line, slower: float = SLOWER) -> list[Change]:
    """Return the changes of one result: at most one regression and one improvement, or only a contradiction."""
    name = (new.instance, new.backend)
    if wrong := list(_contradictions(old, new)):
        return [Change(*name, "contradiction", "; ".join(wrong))]
    facts = [*_compare_endings(old, new), *_compare_sizes(old, new), *_compare_times(old, new, slower)]
    kinds = {
        "regression": [what for sign, what in facts if sign < 0],
        "improvement": [what for sign, what in facts if sign > 0],
    }
    return [Change(*name, kind, "; ".join(texts)) for kind, texts in kinds.items() if texts]


def _contradictions(old: Line, new: Line) -> Iterator[str]:
    """Yield contradictions: an answer to an INFEASIBLE instance, or a value below a proved bound."""
    answered = (Status.OPTIMAL.name, Status.FEASIBLE.name)
    if Status.INFEASIBLE.name in (old.status, new.status) and (old.status in answered or new.status in answered):
        yield f"{old.status}, now {new.status}"
    for name, (value, bound), (now, proved) in _common(old, new):
        if value == bound and now == proved and value != now:
            yield f"{name}: {value} was proved optimal, now {now} is"
        elif now < bound:
            yield f"{name}: now {now}, though at least {bound} were proved to be needed"
        elif proved > value:
            yield f"{name}: now at least {proved} are claimed to be needed, although {value} were found"


def _common(old: Line, new: Line) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    before = {name: (value, bound) for name, value, bound in old.sizes}
    return ((name, before[name], (value, bound)) for name, value, bound in new.sizes if name in before)


def _compare_endings(old: Line, new: Line) -> Iterator[tuple[int, str]]:
    sign = RANK[new.status] - RANK[old.status]
    if sign:
        yield sign, f"{_describe_ending(old)}, now {_describe_ending(new)}"


def _describe_ending(line: Line) -> str:
    """Return how a line ended, in words."""
    return f"failed ({line.error.removeprefix(f'{line.instance}: ')})" if line.error is not None else str(line.status)


def _describe_line(line: Line) -> str:
    """Return how a line ended and the sizes that were found, in words."""
    return f"{_describe_ending(line)}{''.join(f', {value} {name}' for name, value, _ in line.sizes)}"


def _compare_sizes(old: Line, new: Line) -> Iterator[tuple[int, str]]:
    for name, (value, bound), (now, proved) in _common(old, new):
        if now != value:
            yield value - now, f"{name} {value}, now {now}"
        if proved != bound:
            yield proved - bound, f"bound on {name} {bound}, now {proved}"


def _compare_times(old: Line, new: Line, slower: float) -> Iterator[tuple[int, str]]:
    if (
        old.seconds is None
        or new.seconds is None
        or min(RANK[old.status], RANK[new.status]) < RANK[Status.OPTIMAL.name]
    ):
        return
    low, high = sorted((old.seconds, new.seconds))
    if high - low > NOISE and high >= slower * low:
        yield (-1 if new.seconds == high else 1), f"{old.seconds:.2f} s, now {new.seconds:.2f} s"


def comparison_text(comparison: Comparison, most: int = SHOWN) -> str:
    """Return a comparison as text, with at most ``most`` changes of each kind.

    Examples
    --------
    >>> print(comparison_text(Comparison((Change("a", "cpsat", "regression", "0.50 s, now 1.50 s"),), 3, 0, 0)))
    3 results compared: 0 contradictions, 1 regression, 0 improvements; 0 missing, 0 new
    regression: a (cpsat): 0.50 s, now 1.50 s
    """
    number = Counter(change.kind for change in comparison.changes)
    counts = [
        f"{number[kind]:,} {kind}{'' if number[kind] == 1 else 's'}"
        for kind in ("contradiction", "regression", "improvement")
    ]
    results = f"{comparison.compared:,} result{'' if comparison.compared == 1 else 's'} compared"
    lines = [f"{results}: {', '.join(counts)}; {comparison.missing:,} missing, {comparison.new:,} new"]
    if not comparison.compared and comparison.missing and comparison.new:
        lines.append("nothing to compare: the two sides have no instance, depth and backend in common")
    for kind in KINDS:
        changes = [change for change in comparison.changes if change.kind == kind]
        lines += [
            printable(f"{kind}: {change.instance} ({change.backend}): {change.what}") for change in changes[:most]
        ]
        lines += [f"{kind}: {len(changes) - most:,} more"] if len(changes) > most else []
    return "\n".join(lines)


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values.

    Examples
    --------
    >>> comparison_record(Comparison((), 3, 0, 1))
    {'compared': 3, 'missing': 0, 'new': 1, 'changes': []}
    """
    counts = {"compared": comparison.compared, "missing": comparison.missing, "new": comparison.new}
    return {**counts, "changes": [asdict(change) for change in comparison.changes]}
