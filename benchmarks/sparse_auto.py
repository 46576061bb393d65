"""The sparse portfolio `auto` against the best single engine, on instances that take a second or more, and new ones.

Cells run one at a time, since two workers need two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import numpy as np
import pysat.examples.rc2

import masksynth as ms
from benchmarks.measure import metered
from benchmarks.relations import Case, suite
from benchmarks.results import Result, table
from benchmarks.sparse import ENDLESS, encode_problem, import_engines
from benchmarks.sparse_tables import check_agreement
from masksynth.posets import Relation
from tests.sparse.relations import random_poset

SINGLE = ("maxsat", "sat", "cpsat", "RC2, plain")
"""Single engines, and RC2 with CaDiCaL 1.9.5 and core exhaustion on the same clauses, without symmetry breaking."""
SHORT = 1.0
"""CPU seconds below which a case of the best single engine is not compared."""
ALLOWED = 4.0
"""CPU seconds of ``auto``, relative to the best single engine."""
TOLD = 1.3
"""Ratio above which a case with two workers is named in the notes."""


@dataclass(frozen=True)
class Run:
    """Result of a method on a case.

    Parameters
    ----------
    value : int or None
        The proved optimum.
    wall, own : float
        Wall-clock seconds, and CPU seconds of the main process alone, which computes until the end: its wall-clock
        seconds on a machine that does nothing else.
    cpu : float
        CPU seconds of all processes.
    """

    value: int | None
    wall: float
    own: float
    cpu: float


def plain_rc2(relation: Relation, layers: int) -> int:
    """Return the fewest edges, by RC2 of PySAT with its best options here."""
    forced_weight, formula = encode_problem(relation, layers)
    wcnf = pysat.formula.WCNF()
    wcnf.extend(formula.clauses)
    wcnf.extend([[-variable] for variable in formula.weights], weights=list(formula.weights.values()))
    with pysat.examples.rc2.RC2(wcnf, solver="cd19", exhaust=True) as solver:
        if solver.compute() is None:
            raise AssertionError("RC2 found no model")
        return forced_weight + int(solver.cost)


def prove(method: str, workers: int, relation: Relation, layers: int) -> tuple[int | None, float, float]:
    """Return the fewest edges as proved by a method, or None, wall-clock seconds and CPU seconds of this process."""
    start, start_cpu = perf_counter(), process_time()
    if method == "RC2, plain":
        value: int | None = plain_rc2(relation, layers)
    else:
        limits = ms.Limits(effort=ENDLESS, workers=workers)
        answer = ms.sparsify(relation, layers, backend=method, limits=limits)
        value = answer.objective.value if answer.status is ms.Status.OPTIMAL and answer.objective else None
    return value, perf_counter() - start, process_time() - start_cpu


def measure(method: str, workers: int, case: Case, limit: float) -> Run:
    """Run a method on a case for at most ``limit`` CPU seconds of its main process."""
    result, cpu = metered(limit, prove, method, workers, case.relation, case.layers)
    value, wall, own = result or (None, float("inf"), float("inf"))
    check_agreement(case, [value])
    return Run(value, wall, own, cpu)


def unseen(max_size: int) -> Iterator[Case]:
    """Yield instances that neither the tables nor the manifest have: other seeds, other kinds of orders."""
    for size, density in ((25, 0.9), (30, 0.6), (30, 0.7), (35, 0.5), (45, 0.4)):
        for seed in (7, 8):
            for layers in (2, 3, 4):
                yield Case("unseen", f"random {size}:{density}:{seed}", random_poset(size, density, seed), layers, None)
    for size in (20, 30):
        for seed in (1, 2):
            for layers in (2, 3):
                yield Case("unseen", f"plane {size}:{seed}", plane_order(size, seed), layers, None)
    for blocks, members in ((5, 3), (6, 3), (8, 2)):
        rank = np.repeat(np.arange(blocks), members)
        for layers in (2, 3):
            yield Case("unseen", f"{blocks} blocks of {members}", rank[:, None] >= rank, layers, None)


def plane_order(size: int, seed: int) -> Relation:
    """Return the product order of random points in the plane: two random permutations."""
    chance = np.random.default_rng(seed)
    x, y = chance.permutation(size), chance.permutation(size)
    order: Relation = (x[:, None] >= x) & (y[:, None] >= y)
    return order


def compare(case: Case, limit: float) -> dict[str, Run] | None:
    """Run single engines and ``auto`` on a case; None if a single engine needs less than ``SHORT`` CPU seconds.

    An engine gets as much time as the best one before it needed, as it matters only if it is faster; ``auto`` runs if
    one of them has proved the case.
    """
    runs: dict[str, Run] = {}
    best = limit
    for method in SINGLE:
        runs[method] = measure(method, 1, case, best)
        if runs[method].value is not None:
            best = runs[method].cpu
        if best < SHORT:
            return None
    if all(run.value is None for run in runs.values()):
        return runs
    for workers in (1, 2):
        runs[f"auto, {workers}"] = measure("auto", workers, case, ALLOWED * best)
    print(f"{case.title}: " + ", ".join(f"{name} {run.cpu:.1f}" for name, run in runs.items()), file=sys.stderr)
    return runs


def measure_auto(max_size: int, limit: float) -> Result:
    """Measure ``auto`` against the best single engine on all cases of the tables, the manifest, and unseen ones."""
    import_engines()
    cases = [case for case in (*suite(max_size), *unseen(max_size)) if len(case.relation) <= max_size]
    compared = [(case, runs) for case in cases if (runs := compare(case, limit)) is not None]
    proved = [(case, runs) for case, runs in compared if any(runs[method].value is not None for method in SINGLE)]
    rows = [_row(case, runs) for case, runs in proved]
    head = [
        "instance",
        "edges",
        "best engine",
        "CPU s",
        "wall s",
        "auto 1, CPU s",
        "ratio",
        "auto 2, wall s",
        "ratio 2",
        "auto 2, main CPU s",
        "main ratio 2",
    ]
    return Result((table(head, rows),), _notes(cases, compared, proved))


def _best(runs: dict[str, Run]) -> str:
    """Return the single engine with the least CPU seconds."""
    return min((name for name in SINGLE if runs[name].value is not None), key=lambda name: runs[name].cpu)


def _row(case: Case, runs: dict[str, Run]) -> list[str]:
    best = _best(runs)
    single, one, two = runs[best], runs["auto, 1"], runs["auto, 2"]
    ratios = (one.cpu, one.cpu / single.cpu, two.wall, two.wall / single.wall, two.own, two.own / single.cpu)
    figures = (single.cpu, single.wall, *ratios)
    return [case.title, str(single.value), best, *(f"{figure:.2f}" for figure in figures)]


def _notes(
    cases: Sequence[Case],
    compared: Sequence[tuple[Case, dict[str, Run]]],
    proved: Sequence[tuple[Case, dict[str, Run]]],
) -> tuple[str, ...]:
    single = sum(runs[_best(runs)].cpu for _, runs in proved)
    auto = sum(runs["auto, 1"].cpu for _, runs in proved)
    slower = [case.title for case, runs in proved if runs["auto, 2"].wall > TOLD * runs[_best(runs)].wall]
    more = [case.title for case, runs in proved if runs["auto, 2"].own > TOLD * runs[_best(runs)].cpu]
    lost = [case.title for case, runs in proved if None in (runs["auto, 1"].value, runs["auto, 2"].value)]
    no_one = [case.title for case, _ in compared if all(case is not other for other, _ in proved)]
    ratio = f"{auto / single:.2f}" if single else "-"
    return (
        f"{len(cases)} instances; in the table: the best single engine needs {SHORT:g} CPU second or more.",
        f"CPU seconds in total: best single engines {single:.1f}, auto with one worker {auto:.1f}, ratio {ratio}.",
        f"Above {TOLD:g} times the best engine's wall time with two workers: {'; '.join(slower) or 'none'}.",
        f"The same by CPU seconds of the main process, which computes until the end: {'; '.join(more) or 'none'}.",
        f"Proved by a single engine and not by auto: {'; '.join(lost) or 'none'}.",
        f"Proved by no single engine in the limit: {'; '.join(no_one) or 'none'}.",
    )
