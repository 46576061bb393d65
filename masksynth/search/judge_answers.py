"""Combine the results of several backends for one instance, and detect contradictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from masksynth.backends import Status, names
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.search.result import Disagreement, Result
from masksynth.sparse.engines import engine_names
from masksynth.tasks import Instance


def portfolio(backend: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the names of the requested backends, without duplicates.

    Raises
    ------
    Unsupported
        If there is no such backend.

    Examples
    --------
    >>> portfolio("cpsat,maxsat"), portfolio("auto")
    (('cpsat', 'maxsat'), ('auto',))
    """
    if not isinstance(backend, (str, tuple, list)) or not all(isinstance(name, str) for name in backend):
        raise InvalidInstance(
            f"backend: expected a name or a list of names, got {backend!r}", "", "give backend='cpsat,maxsat'"
        )
    given = backend.split(",") if isinstance(backend, str) else backend
    backends = tuple(dict.fromkeys(name.strip() for name in given))
    registered = {"auto", *names(), *engine_names()}
    for name in backends:
        if name not in registered:
            raise Unsupported(f"unknown backend {name!r}; choose from {', '.join(sorted(registered))}")
    if not backends:
        raise InvalidInstance("no backend is named", "", "give backend='auto'")
    return backends


def find_contradiction(results: Mapping[str, Result]) -> str:
    """Return how two backends contradict one another, in one line; an empty string if they do not.

    They do if the value of one is below the bound of the other, or if one proves INFEASIBLE and the other has an
    answer.

    Examples
    --------
    >>> from masksynth.search.result import Result
    >>> def result(value, bound):
    ...     sizes = {"positions": {"value": value, "bound": bound}}
    ...     return Result("a", "00", "x", None, False, "FEASIBLE", sizes, "x", 1.0, None, {}, {})
    >>> find_contradiction({"one": result(5, 5), "two": result(6, 3)})
    ''
    >>> find_contradiction({"one": result(5, 5), "two": result(6, 6)})
    'two proves positions >= 6, one has 5'
    """
    for left, right in combinations(results.items(), 2):
        for (name, prover), (other, finder) in ((left, right), (right, left)):
            if prover.status == Status.INFEASIBLE.name and finder.objective:
                return f"{name} proves INFEASIBLE, {other} has an answer"
            for kind in prover.objective.keys() & finder.objective.keys():
                bound, value = prover.objective[kind]["bound"], finder.objective[kind]["value"]
                if bound > value:
                    return f"{name} proves {kind} >= {bound}, {other} has {value}"
    return ""


def choose_result(results: Mapping[str, Result], instance: Instance | None) -> Result:
    """Return the result of a portfolio: a proof, else the best answer, else all reasons of failure.

    Parameters
    ----------
    results : mapping of backend to Result
        At least one.
    instance : Instance or None
        Kept with the answers if they contradict one another.
    """
    contradiction = find_contradiction(results)
    best = min(results.values(), key=_rank)
    if contradiction:
        answers = {name: result.answer for name, result in results.items() if result.answer is not None}
        disagreement = None if instance is None else Disagreement(instance, answers)
        error = f"backends contradict one another: {contradiction}"
        return replace(
            best, status=None, objective={}, winner=None, answer=None, error=error, disagreement=disagreement
        )
    if best.error is None or len(results) == 1:
        return best
    return replace(best, error="; ".join(f"{name}: {result.error}" for name, result in results.items()))


def _rank(result: Result) -> tuple[int, int]:
    """Return a sort key: proofs, then answers by size, then UNKNOWN, then failures."""
    if result.proved:
        return (0, 0)
    if result.status == Status.FEASIBLE.name:
        return (1, result.objective["edges" if result.sparse else "positions"]["value"])
    return (3 if result.status is None else 2, 0)
