"""Solve sparse masks to proof, against CPU time: solvers with default settings, single engines, and the portfolio.

The default solvers get the clauses of the engines, forced edges removed and all components in one formula.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from itertools import count, groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pysat.examples.rc2
from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

import masksynth as ms
from benchmarks.measure import machine, metered
from benchmarks.plots import cactus
from benchmarks.relations import Case, suite
from benchmarks.results import Result, read_result, table
from benchmarks.sparse_tables import Cell, Run, check_agreement, check_comparable, summarize
from masksynth.posets import Relation
from masksynth.sparse import Component, SparseProblem, reduce
from masksynth.sparse.engines import PORTFOLIO, engine
from masksynth_solvers.sparse.path_encoding import Formula, encode
from tests.sparse.relations import chain, random_poset

CELLS_AT_ONCE = 2
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
SHORT_NAMES = {name.partition(",")[0].lower(): name for name in METHODS}
"""Names for the command line to methods: "cp-sat" and "rc2" are the solvers, "cpsat" and "maxsat" our engines."""


def optimum(method: str, relation: Relation, layers: int) -> int | None:
    """Return the fewest edges as proved by a method; None if it ends without a proof."""
    if method in DEFAULTS:
        forced_weight, formula = encode_problem(relation, layers)
        return forced_weight + DEFAULTS[method](formula)
    answer = ms.sparsify(relation, layers, backend=method, limits=ms.Limits(effort=ENDLESS))
    return answer.objective.value if answer.status is ms.Status.OPTIMAL and answer.objective else None


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


def import_engines() -> None:
    """Import the engines, so that no cell measures their imports."""
    for name in PORTFOLIO:
        engine(name)
    import_module("masksynth_solvers.sparse.portfolio")


def run_jobs(work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run ``work`` on each job, two at a time, and return the results in order; the first error ends the run."""
    with ProcessPoolExecutor(CELLS_AT_ONCE, mp_context=get_context("spawn"), initializer=import_engines) as pool:
        return list(pool.map(work, *zip(*jobs, strict=True)))


def measure_cases(cases: Sequence[Case], limit: float, methods: Sequence[str]) -> dict[str, list[Cell]]:
    """Run each method on each case, two cells at a time, and compare the optima.

    The methods take turns, the largest family first, so that what else the machine does is spread over all of them.
    """
    families = [list(members) for _, members in groupby(cases, lambda case: case.family)]
    largest_first = sorted(range(len(families)), key=lambda place: -len(families[place]))
    jobs = [(place, method) for place in largest_first for method in methods]
    rows = run_jobs(row, [(limit, method, families[place]) for place, method in jobs])
    row_of = dict(zip(jobs, rows, strict=True))
    cells = {method: [cell for place in range(len(families)) for cell in row_of[place, method]] for method in methods}
    for place, case in enumerate(cases):
        check_agreement(case, (cells[method][place].value for method in methods))
    return cells


def measure_sparse(
    max_size: int, limit: float, folder: Path | None, methods: Sequence[str] = tuple(SHORT_NAMES)
) -> Result:
    """Measure solved cases and CPU seconds by method and by family.

    A run of all methods writes ``cactus.svg`` into ``folder``. Figures of methods that are not run are those of
    ``sparse.json`` in the folder, if it is there; it must have the same cases and limit.
    """
    cases = suite(max_size)
    run = [name for short, name in SHORT_NAMES.items() if short in methods]
    path = folder / "sparse.json" if folder is not None and len(run) < len(METHODS) else None
    if path is not None and path.exists():
        check_comparable(len(cases), limit, read_result(path))
    cells = measure_cases(cases, limit, run)
    stored = read_result(path) if path is not None and path.exists() else None  # other methods may have ended meanwhile
    if folder is not None and len(run) == len(METHODS):
        solved = {method: sorted(cell.seconds for cell in cells[method] if cell.value is not None) for method in run}
        cactus(folder / "cactus.svg", solved, len(cases), limit)
    return summarize(Run(cases, cells, limit, machine()), METHODS, stored)


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
