"""Two runs of the same questions side by side: what got worse, what got better, and what cannot both be true."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from masksynth.backends import Status
from masksynth.errors import InvalidInstance
from masksynth.search.matching import Known, known, latest, matched
from masksynth.search.result import Result
from masksynth.tasks.canonical import printable

KINDS = ("contradiction", "regression", "missing", "new", "improvement")
SLOWER = 2.0
NOTICED = 0.1
"""Seconds below which a difference in time is noise."""
RANK = {Status.OPTIMAL.name: 3, Status.INFEASIBLE.name: 3, Status.FEASIBLE.name: 2, Status.UNKNOWN.name: 1, None: 0}
SHOWN = 20
"""Changes of one kind that the text shows."""


@dataclass(frozen=True)
class Change:
    """One difference between two runs.

    Parameters
    ----------
    instance, backend : str
    kind : str
        ``contradiction``: both cannot be true. ``regression``: less is proved or found, or it takes longer.
        ``improvement``: the reverse. ``missing``, ``new``: only the old, only the new run has it.
    what : str
        The difference in one line.
    """

    instance: str
    backend: str
    kind: str
    what: str


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two runs.

    Parameters
    ----------
    changes : tuple of Change
        By kind, the worst first, then by instance and backend.
    compared : int
        Results that both sides have.
    missing, new : int
        Results that only the old, only the new side has; they are counted also where no change names them.
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

    Results belong together if they answer the same question (hash, layers, sparse, backend), whatever the files are
    called; where one of them could not be read and so has no hash, if instance and backend have the same names. Of
    several lines for one question the last counts. What another backend said about the same tasks before is not
    compared, but must not contradict it. Both sides are held in memory, under a kilobyte a result.

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
        raise InvalidInstance(f"slower={slower!r} is not a factor above 1", "", "give for example 2")
    left, right = latest(map(known, old)), latest(map(known, new))
    pairs = list(matched(left, right))
    gone = [before for before, after in pairs if after is None]
    come = [after for before, after in pairs if before is None and after is not None]
    both = [(before, after) for before, after in pairs if before is not None and after is not None]
    names = Counter((line.instance, line.backend) for line in gone if line is not None)
    changes = [change for before, after in both for change in changes_between(before, after, slower)]
    changes += _other_backends(left, come)
    changes += [
        Change(line.instance, line.backend, "missing", f"was {_found(line)}") for line in gone if line is not None
    ]
    for line in come:
        other = "; under this name there was another question before" if names[line.instance, line.backend] else ""
        changes.append(Change(line.instance, line.backend, "new", f"{_found(line)}{other}"))
    return Comparison(in_order(changes), len(both), len(gone), len(come))


def _other_backends(old: Iterable[Known], new: Iterable[Known]) -> Iterator[Change]:
    """Contradictions between what one backend said before and another one says now."""
    said: dict[Any, list[Known]] = defaultdict(list)
    for line in old:
        said[line.question[:-1]].append(line)
    for line in new:
        for other in said[line.question[:-1]] if line.hash is not None else ():
            if wrong := list(_contradictions(other, line)):
                yield Change(
                    line.instance, line.backend, "contradiction", f"{'; '.join(wrong)} (before by {other.backend})"
                )


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Changes by kind, the worst first, then by name."""
    return tuple(
        sorted(changes, key=lambda change: (KINDS.index(change.kind), change.instance, change.backend, change.what))
    )


def changes_between(old: Known, new: Known, slower: float = SLOWER) -> list[Change]:
    """The changes of one result: at most one regression and one improvement, or a contradiction alone."""
    name = (new.instance, new.backend)
    if wrong := list(_contradictions(old, new)):
        return [Change(*name, "contradiction", "; ".join(wrong))]
    facts = [*_endings(old, new), *_sizes(old, new), *_times(old, new, slower)]
    kinds = {
        "regression": [what for sign, what in facts if sign < 0],
        "improvement": [what for sign, what in facts if sign > 0],
    }
    return [Change(*name, kind, "; ".join(texts)) for kind, texts in kinds.items() if texts]


def _contradictions(old: Known, new: Known) -> Iterator[str]:
    """What cannot both be true: an answer where there is none, or a value below a proved bound."""
    found = (Status.OPTIMAL.name, Status.FEASIBLE.name)
    if Status.INFEASIBLE.name in (old.status, new.status) and (old.status in found or new.status in found):
        yield f"{old.status}, now {new.status}"
    for name, (value, bound), (now, proved) in _common(old, new):
        if value == bound and now == proved and value != now:
            yield f"{name}: {value} was proved optimal, now {now} is"
        elif now < bound:
            yield f"{name}: now {now}, though at least {bound} were proved to be needed"
        elif proved > value:
            yield f"{name}: now at least {proved} are said to be needed, though {value} were found"


def _common(old: Known, new: Known) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    before = {name: (value, bound) for name, value, bound in old.sizes}
    return ((name, before[name], (value, bound)) for name, value, bound in new.sizes if name in before)


def _endings(old: Known, new: Known) -> Iterator[tuple[int, str]]:
    sign = RANK[new.status] - RANK[old.status]
    if sign:
        yield sign, f"{_ending(old)}, now {_ending(new)}"


def _ending(line: Known) -> str:
    """How a line ended, in words."""
    return f"failed ({line.error.removeprefix(f'{line.instance}: ')})" if line.error is not None else str(line.status)


def _found(line: Known) -> str:
    """How a line ended, with what was found."""
    return f"{_ending(line)}{''.join(f', {value} {name}' for name, value, _ in line.sizes)}"


def _sizes(old: Known, new: Known) -> Iterator[tuple[int, str]]:
    for name, (value, bound), (now, proved) in _common(old, new):
        if now != value:
            yield value - now, f"{name} {value}, now {now}"
        if proved != bound:
            yield proved - bound, f"bound on {name} {bound}, now {proved}"


def _times(old: Known, new: Known, slower: float) -> Iterator[tuple[int, str]]:
    if (
        old.seconds is None
        or new.seconds is None
        or min(RANK[old.status], RANK[new.status]) < RANK[Status.OPTIMAL.name]
    ):
        return
    low, high = sorted((old.seconds, new.seconds))
    if high - low > NOTICED and high >= slower * low:
        yield (-1 if new.seconds == high else 1), f"{old.seconds:.2f} s, now {new.seconds:.2f} s"


def comparison_text(found: Comparison, most: int = SHOWN) -> str:
    """A comparison in words, at most so many changes of each kind.

    Examples
    --------
    >>> print(comparison_text(Comparison((Change("a", "cpsat", "regression", "0.50 s, now 1.50 s"),), 3, 0, 0)))
    3 results compared: 0 contradictions, 1 regression, 0 improvements; 0 missing, 0 new
    regression: a (cpsat): 0.50 s, now 1.50 s
    """
    number = Counter(change.kind for change in found.changes)
    counts = [
        f"{number[kind]:,} {kind}{'' if number[kind] == 1 else 's'}"
        for kind in ("contradiction", "regression", "improvement")
    ]
    results = f"{found.compared:,} result{'' if found.compared == 1 else 's'} compared"
    lines = [f"{results}: {', '.join(counts)}; {found.missing:,} missing, {found.new:,} new"]
    if not found.compared and found.missing and found.new:
        lines.append("nothing to compare: the two sides have no instance, depth and backend in common")
    for kind in KINDS:
        changes = [change for change in found.changes if change.kind == kind]
        lines += [
            printable(f"{kind}: {change.instance} ({change.backend}): {change.what}") for change in changes[:most]
        ]
        lines += [f"{kind}: {len(changes) - most:,} more"] if len(changes) > most else []
    return "\n".join(lines)


def comparison_record(found: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON values.

    Examples
    --------
    >>> comparison_record(Comparison((), 3, 0, 1))
    {'compared': 3, 'missing': 0, 'new': 1, 'changes': []}
    """
    counts = {"compared": found.compared, "missing": found.missing, "new": found.new}
    return {**counts, "changes": [asdict(change) for change in found.changes]}
