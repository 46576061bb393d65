"""Solve sparse masks to proof, against CPU time: solvers with default settings, single engines, and the portfolio.

The default solvers get the clauses of the engines, forced edges removed and all components in one formula.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count, groupby
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import pysat.examples.rc2
from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

import masksynth as ms
from benchmarks.measure import metered
from benchmarks.plots import cactus
from benchmarks.relations import Case, suite
from benchmarks.results import Result, Table, table
from masksynth.posets import Relation
from masksynth.sparse import Component, SparseProblem, reduce
from masksynth.sparse.engines import PORTFOLIO, engine
from masksynth_solvers.sparse.path_encoding import Formula, encode
from tests.sparse.relations import chain, random_poset

CELLS_AT_ONCE = 2
QUICK = 0.5
"""CPU seconds of ``auto`` up to which a case is not listed."""
ENDLESS = 1e8
"""Effort that no cell reaches: the CPU clock ends a search."""
Solver = Callable[[Formula], int]


def encode_problem(relation: Relation, layers: int) -> tuple[int, Formula]:
    """Return the weight of the forced edges, and one formula for all other edges."""
    problem = SparseProblem(relation, layers)
    reduction = reduce(problem)
    pairs = tuple(pair for component in reduction.components for pair in component.pairs)
    edges = tuple(edge for component in reduction.components for edge in component.edges)
    return problem.cost(reduction.forced | reduction.chosen), encode(problem, reduction.forced, Component(pairs, edges))


def default_cpsat(formula: Formula) -> int:
    """Solve by CP-SAT with one worker and otherwise default settings."""
    model = cp_model.CpModel()
    variables = [model.new_bool_var(str(name)) for name in formula.names]
    for clause in formula.clauses:
        model.add_bool_or([variables[literal - 1] if literal > 0 else ~variables[-literal - 1] for literal in clause])
    model.minimize(sum(weight * variables[variable - 1] for variable, weight in formula.weights.items()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if solver.solve(model) != cp_model.OPTIMAL:
        raise AssertionError(f"CP-SAT ended with {solver.status_name()}")
    return round(solver.objective_value)


def default_rc2(formula: Formula) -> int:
    """Solve by RC2 with default settings."""
    soft = [[-variable] for variable in formula.weights]
    wcnf = pysat.formula.WCNF()
    wcnf.extend(formula.clauses)
    wcnf.extend(soft, weights=list(formula.weights.values()))
    with pysat.examples.rc2.RC2(wcnf) as solver:
        if solver.compute() is None:
            raise AssertionError("RC2 found no model")
        return int(solver.cost)


def integer_program(name: str, formula: Formula) -> int:
    """Solve by SCIP or HiGHS of OR-Tools, one thread: the literals of each clause sum to at least 1."""
    solver = pywraplp.Solver.CreateSolver(name)
    variables = [solver.BoolVar("") for _ in formula.names]
    for clause in formula.clauses:
        row = solver.Constraint(1 - sum(literal < 0 for literal in clause), solver.infinity())
        for literal in clause:
            row.SetCoefficient(variables[abs(literal) - 1], 1 if literal > 0 else -1)
    for variable, weight in formula.weights.items():
        solver.Objective().SetCoefficient(variables[variable - 1], weight)
    solver.Objective().SetMinimization()
    solver.SetNumThreads(1)
    if (status := solver.Solve()) != solver.OPTIMAL:
        raise AssertionError(f"{name} ended with status {status}")
    return round(solver.Objective().Value())


DEFAULTS: dict[str, Solver] = {
    "CP-SAT, default": default_cpsat,
    "RC2, default": default_rc2,
    "SCIP": partial(integer_program, "SCIP"),
    "HiGHS": partial(integer_program, "HIGHS"),
}
ENGINES = ("sat", "maxsat", "cpsat", "auto")
METHODS = (*DEFAULTS, *ENGINES)
LISTED = ("RC2, default", "sat", "maxsat", "auto")
"""Methods whose CPU seconds are listed case by case: those that prove the most."""


def optimum(method: str, relation: Relation, layers: int) -> int | None:
    """Return the fewest edges as proved by a method; None if it ends without a proof."""
    if method in DEFAULTS:
        forced_weight, formula = encode_problem(relation, layers)
        return forced_weight + DEFAULTS[method](formula)
    answer = ms.sparsify(relation, layers, backend=method, limits=ms.Limits(effort=ENDLESS))
    return answer.objective.value if answer.status is ms.Status.OPTIMAL and answer.objective else None


@dataclass(frozen=True)
class Cell:
    """Result of a method on a case: the optimum it proved, or None, and CPU seconds."""

    value: int | None
    seconds: float


def row(limit: float, method: str, cases: Sequence[Case]) -> list[Cell]:
    """Run a method on a family of cases; after a miss, longer chains of the same depth are not tried."""
    cells: list[Cell] = []
    for case in cases:
        if case.family.startswith("chains") and cells and cells[-1].value is None:
            cells.append(Cell(None, 0.0))
            continue
        cells.append(Cell(*metered(limit, optimum, method, case.relation, case.layers)))
        check_agreement(case, [cells[-1].value])
    print(
        f"{method}: {cases[0].family}: {sum(cell.value is not None for cell in cells)} of {len(cells)}",
        file=sys.stderr,
        flush=True,
    )
    return cells


def check_agreement(case: Case, values: Iterable[int | None]) -> int | None:
    """Return the optimum of a case; raise if two methods, or a method and the table, differ."""
    proved = {value for value in (case.optimum, *values) if value is not None}
    if len(proved) > 1:
        raise AssertionError(f"{case.title}: several optima are claimed: {sorted(proved)}")
    return min(proved, default=None)


def import_engines() -> None:
    """Import the engines, so that no cell measures their imports."""
    for name in PORTFOLIO:
        engine(name)
    import_module("masksynth_solvers.sparse.portfolio")


def run_jobs(work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run ``work`` on each job, two at a time, and return the results in order; the first error ends the run."""
    with ProcessPoolExecutor(CELLS_AT_ONCE, mp_context=get_context("spawn"), initializer=import_engines) as pool:
        return list(pool.map(work, *zip(*jobs, strict=True)))


def measure_cases(cases: Sequence[Case], limit: float) -> dict[str, list[Cell]]:
    """Run each method on each case, two cells at a time, and compare the optima."""
    families = [list(members) for _, members in groupby(cases, lambda case: case.family)]
    rows = iter(run_jobs(row, [(limit, method, family) for method in METHODS for family in families]))
    cells = {method: [cell for _ in families for cell in next(rows)] for method in METHODS}
    for place, case in enumerate(cases):
        check_agreement(case, (cells[method][place].value for method in METHODS))
    return cells


def measure_sparse(max_size: int, limit: float, folder: Path | None) -> Result:
    """Measure solved cases and CPU seconds by method and by family; write ``cactus.svg`` into ``folder``."""
    cases = suite(max_size)
    return summarize_cells(cases, measure_cases(cases, limit), limit, folder)


def summarize_cells(cases: Sequence[Case], cells: dict[str, list[Cell]], limit: float, folder: Path | None) -> Result:
    """Return the tables by method, by family and by case, and the remarks; write ``cactus.svg`` into ``folder``."""
    solved = {method: sorted(cell.seconds for cell in cells[method] if cell.value is not None) for method in METHODS}
    if folder is not None:
        cactus(folder / "cactus.svg", solved, len(cases), limit)
    rows = [[method, len(cases), *_summary(times, len(cases), limit)] for method, times in solved.items()]
    head = [
        "method",
        "cases",
        "solved",
        "solved in 1 s",
        "total CPU s",
        "median CPU s",
        "total CPU s, a miss as the limit",
    ]
    notes = (f"Limit {limit:g} CPU seconds a cell.", *_open_and_new(cases, cells))
    return Result((table(head, rows), _by_family(cases, cells), _by_case(cases, cells)), notes)


def _summary(times: Sequence[float], cases: int, limit: float) -> list[str]:
    spent = sum(times)
    middle = f"{median(times):.2f}" if times else "-"
    return [
        str(len(times)),
        str(sum(time <= 1 for time in times)),
        f"{spent:.1f}",
        middle,
        f"{spent + (cases - len(times)) * limit:.0f}",
    ]


def _by_family(cases: Sequence[Case], cells: dict[str, list[Cell]]) -> Table:
    families = list(dict.fromkeys(case.family for case in cases))
    rows = []
    for family in families:
        places = [place for place, case in enumerate(cases) if case.family == family]
        rows.append(
            [
                family,
                len(places),
                *(sum(cells[method][place].value is not None for place in places) for method in METHODS),
            ]
        )
    return table(["family", "cases", *METHODS], rows)


def _by_case(cases: Sequence[Case], cells: dict[str, list[Cell]]) -> Table:
    """Return CPU seconds, "-" for a miss, of the cases that ``auto`` did not prove in ``QUICK`` seconds."""
    rows = []
    for place, case in enumerate(cases):
        listed = [cells[method][place] for method in LISTED]
        if listed[-1].value is None or listed[-1].seconds > QUICK:
            edges = check_agreement(case, (cell.value for cell in listed))
            rows.append([case.title, edges or "-", *("-" if c.value is None else f"{c.seconds:.2f}" for c in listed)])
    return table(["case", "edges", *LISTED], rows)


def _open_and_new(cases: Sequence[Case], cells: dict[str, list[Cell]]) -> tuple[str, str, str]:
    """Name the cases that no method closed, those that others than ``auto`` closed, and optima not in the tables."""
    cells_of_case = list(zip(cases, zip(*cells.values(), strict=True), strict=True))
    values = {case: check_agreement(case, (cell.value for cell in cells)) for case, cells in cells_of_case}
    new = [
        f"{case.title}: {values[case]} ({_provers(cells)})"
        for case, cells in cells_of_case
        if case.optimum is None and values[case]
    ]
    missed = [case.title for case, cells in cells_of_case if all(cell.value is None for cell in cells)]
    lost = [
        f"{case.title} ({_provers(cells)})"
        for case, cells in cells_of_case
        if cells[METHODS.index("auto")].value is None and case.title not in missed
    ]
    return (
        f"Proved by no method: {'; '.join(missed) or 'none'}.",
        f"Proved by another method and not by auto: {'; '.join(lost) or 'none'}.",
        f"Optima that neither the tables nor the manifest have: {'; '.join(new) or 'none'}.",
    )


def _provers(cells: Sequence[Cell]) -> str:
    return ", ".join(method for method, cell in zip(METHODS, cells, strict=True) if cell.value is not None)


REACHED = ("CP-SAT, default", "auto")
MOST_POSITIONS = {"chain": 70, "density 0.2": 200, "density 0.5": 100}
"""Last size of a series: about where ``sparsify`` switches to constructions."""


def member(series: str, size: int) -> Relation:
    """Return the relation of a size in a series."""
    return chain(size) if series == "chain" else random_poset(size, float(series.removeprefix("density ")), 1)


def furthest(method: str, series: str, layers: int, max_size: int, limit: float) -> dict[int, int]:
    """Return size -> proved optimum in a growing series, up to the first miss."""
    step = 1 if series == "chain" else 5
    proved: dict[int, int] = {}
    for size in count(5, step):
        if size > min(max_size, MOST_POSITIONS[series]):
            break
        value, _ = metered(limit, optimum, method, member(series, size), layers)
        if value is None:
            break
        proved[size] = value
    print(f"{method}: {series}, L = {layers}: {max(proved, default=0)}", file=sys.stderr, flush=True)
    return proved


def measure_reach(max_size: int, limit: float) -> Result:
    """Measure the largest chain and random poset that default CP-SAT and the portfolio prove, smaller ones included."""
    cases = [(series, layers) for series in MOST_POSITIONS for layers in (2, 3, 4)]
    proved = iter(run_jobs(furthest, [(method, *case, max_size, limit) for case in cases for method in REACHED]))
    rows = [[*case, *_compared(next(proved), next(proved))] for case in cases]
    head = ["series", "L", *REACHED, "ratio", "edges"]
    return Result((table(head, rows),), (f"Limit {limit:g} CPU seconds a cell.",))


def _compared(first: dict[int, int], second: dict[int, int]) -> list[str]:
    for size in first.keys() & second.keys():
        if first[size] != second[size]:
            raise AssertionError(f"{size} positions: {first[size]} and {second[size]} edges are both claimed optimal")
    low, high = max(first, default=0), max(second, default=0)
    return [str(low), str(high), f"{high / low:.1f}" if low else "-", str(second.get(high, "-"))]
