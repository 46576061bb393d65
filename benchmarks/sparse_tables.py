"""Tables of the sparse benchmark by method, family and case; methods that are not run keep stored figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.relations import Case
from benchmarks.results import Result, Table, table

LISTED = ("RC2, default", "sat", "maxsat", "auto")
"""Methods whose CPU seconds are listed case by case: those that prove the most."""
UNKNOWN = "not stored"
"""A cell of a method that is not part of this run, for a case that the stored result does not have."""
HEAD = (
    "method",
    "cases",
    "solved",
    "solved in 1 s",
    "total CPU s",
    "median CPU s",
    "total CPU s, a miss as the limit",
    "measured on",
)
Records = Mapping[str, Mapping[str, Any]]
"""The first cell of a row to the row."""


@dataclass(frozen=True)
class Cell:
    """Result of a method on a case: the optimum it proved, or None, and CPU seconds."""

    value: int | None
    seconds: float


@dataclass(frozen=True)
class Run:
    """What was measured.

    Parameters
    ----------
    cases : sequence of Case
    cells : mapping
        Method to its cells, one for each case.
    limit : float
        CPU seconds of a cell.
    machine : str
        The machine of this run.
    """

    cases: Sequence[Case]
    cells: Mapping[str, Sequence[Cell]]
    limit: float
    machine: str


def check_agreement(case: Case, values: Iterable[int | None]) -> int | None:
    """Return the optimum of a case; raise if two methods, or a method and the table, differ."""
    proved = {value for value in (case.optimum, *values) if value is not None}
    if len(proved) > 1:
        raise AssertionError(f"{case.title}: several optima are claimed: {sorted(proved)}")
    return min(proved, default=None)


def summarize(run: Run, order: Sequence[str], stored: Result | None) -> Result:
    """Return the tables by method, by family and by case, and remarks on the methods of this run.

    Parameters
    ----------
    run : Run
    order : sequence of str
        All methods, in the order of the tables.
    stored : Result or None
        The result from which the figures of methods outside this run are taken (of the same cases and limit); without
        it they are left out.
    """
    parts = [_by_first(part) for part in stored.tables] if stored else [{}, {}, {}]
    methods = [method for method in order if method in run.cells or method in parts[0]]
    by_case = _by_case(run, methods, parts[2])
    notes = (f"Limit {run.limit:g} CPU seconds a cell.", _kept(run, methods), *_open_and_new(run.cases, by_case))
    tables = _by_method(run, methods, parts[0]), _by_family(run, methods, parts[1]), by_case
    return Result(tables, tuple(note for note in notes if note))


def _by_first(part: Table) -> Records:
    return {str(record[part.columns[0]]): record for record in part.records()}


def check_comparable(cases: int, limit: float, stored: Result) -> None:
    """Raise ValueError if a stored run had other cases or another limit."""
    counts = {record["cases"] for record in stored.tables[0].records()}
    if counts != {cases} or f" --limit {limit:g} " not in f"{stored.command} ":
        raise ValueError(
            f"expected a stored run of {cases} cases with --limit {limit:g}, to keep the figures of methods that are "
            f"not run; got {sorted(counts)} cases by '{stored.command}': run all methods"
        )


def _kept(run: Run, methods: Sequence[str]) -> str:
    kept = "; ".join(method for method in methods if method not in run.cells)
    return f"Not part of this run, figures as stored before: {kept}." * bool(kept)


def _by_method(run: Run, methods: Sequence[str], stored: Records) -> Table:
    count = len(run.cases)
    rows = []
    for method in methods:
        if method not in run.cells:
            rows.append(["-" if stored[method][column] is None else stored[method][column] for column in HEAD])
            continue
        times = [cell.seconds for cell in run.cells[method] if cell.value is not None]
        spent = sum(times)
        figures = len(times), sum(time <= 1 for time in times), f"{spent:.1f}", f"{median(times):.2f}" if times else "-"
        rows.append([method, count, *figures, f"{spent + (count - len(times)) * run.limit:.0f}", run.machine])
    return table(HEAD, rows)


def _by_family(run: Run, methods: Sequence[str], stored: Records) -> Table:
    rows = []
    for family in dict.fromkeys(case.family for case in run.cases):
        places = [place for place, case in enumerate(run.cases) if case.family == family]
        solved = [
            sum(run.cells[method][place].value is not None for place in places)
            if method in run.cells
            else stored[family][method]
            for method in methods
        ]
        rows.append([family, len(places), *solved])
    return table(["family", "cases", *methods], rows)


def _by_case(run: Run, methods: Sequence[str], stored: Records) -> Table:
    """Return the optimum and CPU seconds, "-" for a miss, of each case."""
    listed = [method for method in LISTED if method in methods]
    rows = []
    for place, case in enumerate(run.cases):
        kept = stored.get(case.title, {})
        values = [kept.get("edges"), *(cells[place].value for cells in run.cells.values())]
        seconds = [
            _seconds(run.cells[method][place]) if method in run.cells else _stored(kept, method) for method in listed
        ]
        rows.append([case.title, check_agreement(case, values) or "-", *seconds])
    return table(["case", "edges", *listed], rows)


def _seconds(cell: Cell) -> str:
    return "-" if cell.value is None else f"{cell.seconds:.2f}"


def _stored(record: Mapping[str, Any], method: str) -> Any:
    if method not in record:
        return UNKNOWN
    return "-" if record[method] is None else record[method]


def _open_and_new(cases: Sequence[Case], by_case: Table) -> tuple[str, str, str]:
    """Name the cases that no method closed, those that others than ``auto`` closed, and optima not in the tables."""
    missed, lost, new = [], [], []
    for case, record in zip(cases, by_case.records(), strict=True):
        provers = [method for method in by_case.columns[2:] if record[method] not in ("-", UNKNOWN)]
        if not provers and UNKNOWN not in record.values():
            missed.append(case.title)
        elif record.get("auto") == "-":
            lost.append(f"{case.title} ({' and '.join(provers)})")
        if case.optimum is None and provers:
            new.append(f"{case.title}: {record['edges']} ({' and '.join(provers)})")
    listed = "; ".join(by_case.columns[2:])
    return (
        f"Proved by no method of the last table ({listed}): {'; '.join(missed) or 'none'}.",
        f"Proved by another of them and not by auto: {'; '.join(lost) or 'none'}.",
        f"Optima that neither the tables nor the manifest have: {'; '.join(new) or 'none'}.",
    )
