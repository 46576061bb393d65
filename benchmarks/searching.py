"""Measure the time of three search backends to a proved optimum against family size, and the choice of `auto`."""

from __future__ import annotations

from benchmarks.families import SEARCHED
from benchmarks.measure import alone, timed
from benchmarks.results import Result, table
from masksynth import catalog
from masksynth.backends import Limits, Status, backend
from masksynth.merge import merge
from masksynth.problem import Problem
from masksynth.solve import AUTO_CLAUSES, AUTO_NODES, AUTO_PAIRS, count_nodes, is_small

NAMES = ("cpsat", "maxsat", "ilp")


def cell(family: str, place: int, name: str, seconds: float) -> tuple[float, str, int]:
    """Return (seconds, status, bound) of a backend on a family; encoding is measured, importing the solver is not."""
    backend(name).solve(Problem(catalog.causal_lm(n=3).family), Limits())
    problem = Problem(SEARCHED[family][place].family)
    outcome, taken = timed(lambda: backend(name).solve(problem, Limits(seconds=seconds)))
    return taken, outcome.status.name, outcome.bound


def measure_searching(max_size: int, limit: float) -> Result:
    """Measure each family in growing sizes up to ``max_size`` nodes, for each backend until it misses the limit."""
    rows = []
    proved = [0, 0, 0]
    for family, instances in SEARCHED.items():
        missed: set[str] = set()
        for place, instance in enumerate(instances):
            nodes, problem = count_nodes(instance.family), Problem(instance.family)
            if nodes > max_size:
                break
            sizes = (nodes, problem.pair_count, problem.most_clauses)
            texts = []
            for name in NAMES:
                texts.append(_format_cell(family, place, name, limit, len(merge(instance).positions), missed))
            if texts[0].replace(".", "").isdigit() and float(texts[0]) <= 1:
                proved = [max(old, new) for old, new in zip(proved, sizes, strict=True)]
            rows.append([family, *(f"{size:,}" for size in sizes), *texts, "yes" if is_small(problem) else "no"])
    head = ["family", "task nodes", "pairs", "clauses", *(f"{name} s" for name in NAMES), "auto searches"]
    sizes_proved = ", ".join(f"{size:,}" for size in proved)
    largest = f"Most nodes, pairs and clauses (an upper bound) that `cpsat` proved within a second: {sizes_proved}."
    auto = f"`auto` searches up to {AUTO_NODES:,}, {AUTO_PAIRS:,}, {AUTO_CLAUSES:,}."
    return Result((table(head, rows),), (f"Limit {limit:g} s a cell. {largest} {auto}",))


def _format_cell(family: str, place: int, name: str, limit: float, best: int, missed: set[str]) -> str:
    if name in missed:
        return "-"
    seconds, status, bound = alone(cell, family, place, name, limit)
    if status != Status.OPTIMAL.name:
        missed.add(name)
        return f"> {limit:g} ({bound} of {best})"
    if bound != best:
        raise AssertionError(f"{name} proved {bound} positions, the criterion has {best}")
    return f"{seconds:.2f}"
