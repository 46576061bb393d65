"""Find the cheapest model of a formula of structures: by CP-SAT, by RC2 on the same WCNF, or by CaDiCaL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from time import monotonic
from typing import Any

from masksynth.errors import MasksynthError, Unsupported
from masksynth.sparse.engines import Standing
from masksynth_solvers.discover.clauses import Key
from masksynth_solvers.interruptible import run, run_in_thread
from masksynth_solvers.sparse.path_encoding import Formula

HUGE = 10**15
"""A price above that of every structure."""
ENDLESS = 1e6
"""Effort of RC2 between two looks at the clock: it ends at its time limit, or when it is done."""


@dataclass(frozen=True)
class Found:
    """What an engine found out about a formula.

    Parameters
    ----------
    chosen : frozenset of keys or None
        The chosen variables of the cheapest model found; None if none was found.
    price : int or None
        Its price.
    bound : int
        No model is cheaper; of a formula without models this is ``HUGE``, or what was asked for.
    finished : bool
        Whether the search came to its end: the model is the cheapest, or there is none within ``most``.
    """

    chosen: frozenset[Key] | None
    price: int | None
    bound: int
    finished: bool


@dataclass(frozen=True)
class Effort:
    """How long, with how many threads, and with which seed an engine may run."""

    seconds: float | None = None
    workers: int = 1
    seed: int = 0


AtLeast = tuple[tuple[int, ...], int]
"""Variables of which at least this many are true in every model: a proved bound, which an engine may use."""
Engine = Callable[[Formula, int | None, Effort, AtLeast], Found]


def by_cpsat(formula: Formula, most: int | None, effort: Effort, least: AtLeast = ((), 0)) -> Found:
    """Return the cheapest model, of price at most ``most``, by CP-SAT.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth_solvers.discover.layers import encode_layers
    >>> layered = encode_layers(leave_one_out(n=3, layers=1))
    >>> by_cpsat(layered.formula, None, Effort()).price, by_cpsat(layered.formula, 5, Effort()).finished
    (6, True)
    """
    from ortools.sat.python import cp_model

    until = None if effort.seconds is None else monotonic() + effort.seconds
    model = cp_model.CpModel()
    variables = [model.new_bool_var("") for _ in formula.names]
    for clause in formula.clauses:
        model.add_bool_or([variables[x - 1] if x > 0 else ~variables[-x - 1] for x in clause])
    price = sum(weight * variables[variable - 1] for variable, weight in formula.weights.items() if weight)
    if most is not None:
        model.add(price <= most)
    model.minimize(price)
    if least[1]:
        model.add(sum(variables[variable - 1] for variable in least[0]) >= least[1])
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = effort.workers
    solver.parameters.optimize_with_core = True  # its default search keeps the bound of the linear relaxation
    solver.parameters.linearization_level = 0
    solver.parameters.random_seed = effort.seed
    solver.parameters.catch_sigint_signal = False
    native, stopped = run(lambda: solver.solve(model), solver.stop_search, until)
    if stopped and (until is None or monotonic() < until):
        raise KeyboardInterrupt
    if native == cp_model.INFEASIBLE:
        return Found(None, None, HUGE if most is None else most + 1, True)
    if native not in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.UNKNOWN):
        raise MasksynthError(f"CP-SAT returned {solver.status_name(native)}")
    bound = solver.best_objective_bound
    proved = max(0, ceil(bound - 1e-6)) if -inf < bound < inf else 0
    if native == cp_model.UNKNOWN:
        return Found(None, None, proved, False)
    true = [number for number, variable in enumerate(variables, 1) if solver.boolean_value(variable)]
    chosen = frozenset(formula.chosen(true))
    return Found(chosen, formula.cost(chosen), proved, native == cp_model.OPTIMAL)


def by_maxsat(formula: Formula, most: int | None, effort: Effort, least: AtLeast = ((), 0)) -> Found:
    """Return the cheapest model by RC2: its cores prove a bound before it has any model; ``most`` ends it early."""
    from masksynth_solvers.sparse.rc2 import Rc2

    until = None if effort.seconds is None else monotonic() + effort.seconds
    if not run_in_thread(lambda: has_model(formula)):
        return Found(None, None, HUGE, True)
    searching, known = Rc2(formula, effort.seed), Standing(HUGE, 0, ())
    while not known.closed and (until is None or monotonic() < until):
        known = searching.advance(known, ENDLESS, until)
        if most is not None and known.lower > most:
            return Found(None, None, known.lower, True)
    if known.upper < HUGE:
        return Found(frozenset(known.chosen), known.upper, known.lower, known.closed)
    return Found(None, None, known.lower, False)


def by_sat(formula: Formula, most: int | None, effort: Effort, least: AtLeast = ((), 0)) -> Found:
    """Return a model of price at most ``most`` by CaDiCaL, or that there is none; it looks for no cheaper one."""
    from pysat.solvers import Solver

    from masksynth_solvers.sparse.conflict_budget import MOST
    from masksynth_solvers.sparse.prove_claim import limit_weight

    if most is None:
        raise Unsupported("this engine answers whether there is a structure within a price; give one")
    until = inf if effort.seconds is None else monotonic() + effort.seconds
    clauses = limit_weight(formula, most).clauses
    if [] in clauses:
        return Found(None, None, most + 1, True)
    with Solver("cadical195", bootstrap_with=clauses) as solver:

        def step() -> Any:
            solver.conf_budget(MOST)
            return solver.solve_limited()

        answer = None
        while answer is None and monotonic() < until:
            answer = run_in_thread(step)
        if answer:
            chosen = frozenset(formula.chosen(solver.get_model()))
            return Found(chosen, formula.cost(chosen), 0, True)
    return Found(None, None, most + 1 if answer is False else 0, answer is False)


def has_model(formula: Formula) -> bool:
    """Return whether some assignment satisfies all clauses."""
    from pysat.solvers import Solver

    if [] in formula.clauses:
        return False
    with Solver("cadical195", bootstrap_with=formula.clauses) as solver:
        return bool(solver.solve())


ENGINES: dict[str, Engine] = {"cpsat": by_cpsat, "maxsat": by_maxsat, "sat": by_sat}
"""Engines by name."""
