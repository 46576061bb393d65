"""Tables of the sparse benchmark by method, family and case; methods that are not run keep stored figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.relations import Case
from benchmarks.results import Result, Table, table

QUICK = 0.5
"""CPU seconds of ``auto`` up to which a case is not listed."""
LISTED = ("RC2, default", "sat", "maxsat", "auto")
"""Methods whose CPU seconds are listed case by case: those that prove the most."""
UNKNOWN = "not stored"
"""A cell of a method that is not part of this run, for a case that the stored run does not list."""
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
        The result from which the figures of methods outside this run are taken; without it they are left out.

    Raises
    ------
    ValueError
        If the stored run had other cases or another limit.
    """
    parts = [_by_first(part) for part in stored.tables] if stored else [{}, {}, {}]
    _check_comparable(run, parts[0], stored)
    methods = [method for method in order if method in run.cells or method in parts[0]]
    notes = (f"Limit {run.limit:g} CPU seconds a cell.", _kept(run, methods), *_open_and_new(run))
    tables = _by_method(run, methods, parts[0]), _by_family(run, methods, parts[1]), _by_case(run, methods, parts[2])
    return Result(tables, tuple(note for note in notes if note))


def _by_first(part: Table) -> Records:
    return {str(record[part.columns[0]]): record for record in part.records()}


def _check_comparable(run: Run, by_method: Records, stored: Result | None) -> None:
    if stored is None:
        return
    counts = {record["cases"] for record in by_method.values()}
    if counts != {len(run.cases)} or f" --limit {run.limit:g} " not in f"{stored.command} ":
        raise ValueError(
            f"expected a stored run of {len(run.cases)} cases with --limit {run.limit:g}, to keep the figures of "
            f"methods that are not run; got {sorted(counts)} cases by '{stored.command}': run all methods"
        )


def _kept(run: Run, methods: Sequence[str]) -> str:
    kept = "; ".join(method for method in methods if method not in run.cells)
    return f"Not part of this run, figures as stored before: {kept}. The remarks below are about this run." * bool(kept)


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
    """Return CPU seconds, "-" for a miss, of the cases that not all listed methods of this run proved quickly."""
    listed = [method for method in LISTED if method in methods]
    leading = next((method for method in reversed(listed) if method in run.cells), None)
    rows = []
    for place, case in enumerate(run.cases):
        if leading is None or _is_quick(run.cells[leading][place]):
            continue
        edges = check_agreement(case, (cells[place].value for cells in run.cells.values()))
        kept = stored.get(case.title, {})
        rows.append([case.title, edges or kept.get("edges") or "-"])
        for method in listed:
            rows[-1].append(_seconds(run.cells[method][place]) if method in run.cells else _stored(kept, method))
    return table(["case", "edges", *listed], rows)


def _is_quick(cell: Cell) -> bool:
    return cell.value is not None and cell.seconds <= QUICK


def _seconds(cell: Cell) -> str:
    return "-" if cell.value is None else f"{cell.seconds:.2f}"


def _stored(record: Mapping[str, Any], method: str) -> Any:
    if method not in record:
        return UNKNOWN
    return "-" if record[method] is None else record[method]


def _open_and_new(run: Run) -> tuple[str, ...]:
    """Name the cases that no method closed, those that others than ``auto`` closed, and optima not in the tables."""
    provers = [
        ", ".join(method for method, cells in run.cells.items() if cells[place].value is not None)
        for place in range(len(run.cases))
    ]
    missed, lost, new = [], [], []
    for place, case in enumerate(run.cases):
        value = check_agreement(case, (cells[place].value for cells in run.cells.values()))
        if not provers[place]:
            missed.append(case.title)
        elif "auto" in run.cells and run.cells["auto"][place].value is None:
            lost.append(f"{case.title} ({provers[place]})")
        if case.optimum is None and value:
            new.append(f"{case.title}: {value} ({provers[place]})")
    return (
        f"Proved by no method: {'; '.join(missed) or 'none'}.",
        f"Proved by another method and not by auto: {'; '.join(lost) or 'none'}." if "auto" in run.cells else "",
        f"Optima that neither the tables nor the manifest have: {'; '.join(new) or 'none'}.",
    )
