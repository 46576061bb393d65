"""Time to a proven optimum of the three search backends against family size, and what `auto` makes of it."""

from __future__ import annotations

from benchmarks.families import SEARCHED
from benchmarks.measure import alone, table, timed
from masksynth import catalog
from masksynth.backends import Limits, Status, backend
from masksynth.merge import merge
from masksynth.problem import Problem
from masksynth.solve import AUTO_CLAUSES, AUTO_NODES, AUTO_PAIRS, is_small, count_nodes

NAMES = ("cpsat", "maxsat", "ilp")


def cell(family: str, place: int, name: str, seconds: float) -> tuple[float, str, int]:
    """(seconds, status, bound) of one backend on one family; encoding the problem is counted, importing the solver is not."""
    backend(name).solve(Problem(catalog.causal_lm(n=3).family), Limits())
    problem = Problem(SEARCHED[family][place].family)
    outcome, taken = timed(lambda: backend(name).solve(problem, Limits(seconds=seconds)))
    return taken, outcome.status.name, outcome.bound


def search_table(limit: float, most: int) -> str:
    """Every family in growing sizes up to ``most`` nodes; a backend that missed the limit is not tried on larger ones."""
    rows = []
    proved = [0, 0, 0]
    for family, instances in SEARCHED.items():
        tired: set[str] = set()
        for place, instance in enumerate(instances):
            nodes, problem = count_nodes(instance.family), Problem(instance.family)
            if nodes > most:
                break
            sizes = (nodes, problem.pair_count, problem.most_clauses)
            texts = []
            for name in NAMES:
                texts.append(_shown(family, place, name, limit, len(merge(instance).positions), tired))
            if texts[0].replace(".", "").isdigit() and float(texts[0]) <= 1:
                proved = [max(old, new) for old, new in zip(proved, sizes, strict=True)]
            rows.append([family, *(f"{size:,}" for size in sizes), *texts, "yes" if is_small(problem) else "no"])
    head = ["family", "task nodes", "pairs", "clauses", *(f"{name} s" for name in NAMES), "auto searches"]
    largest = f"Most nodes, pairs and clauses (an upper bound) that `cpsat` proved within a second: {proved[0]:,}, {proved[1]:,}, {proved[2]:,}."
    auto = f"`auto` searches up to {AUTO_NODES:,}, {AUTO_PAIRS:,}, {AUTO_CLAUSES:,}."
    return f"{table(head, rows)}\n\nLimit {limit:g} s a cell. {largest} {auto}"


def _shown(family: str, place: int, name: str, limit: float, best: int, tired: set[str]) -> str:
    if name in tired:
        return "-"
    seconds, status, bound = alone(cell, family, place, name, limit)
    if status != Status.OPTIMAL.name:
        tired.add(name)
        return f"> {limit:g} ({bound} of {best})"
    if bound != best:
        raise AssertionError(f"{name} proved {bound} positions, the criterion has {best}")
    return f"{seconds:.2f}"
