"""Several backends about one instance: which answer stands, and whether they contradict one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

from masksynth.backends import Status, names
from masksynth.sparse.engines import engine_names
from masksynth.errors import InvalidInstance, Unsupported
from masksynth.search.result import Disagreement, Result
from masksynth.tasks import Instance


def portfolio(backend: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The names of the backends asked for, each once.

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
            f"backend={backend!r} is neither a name nor a list of names", "", "give backend='cpsat,maxsat'"
        )
    asked = tuple(dict.fromkeys(name.strip() for name in (backend.split(",") if isinstance(backend, str) else backend)))
    known = {"auto", *names(), *engine_names()}
    for name in asked:
        if name not in known:
            raise Unsupported(f"unknown backend {name!r}; choose from {', '.join(sorted(known))}")
    if not asked:
        raise InvalidInstance("no backend is named", "", "give backend='auto'")
    return asked


def contradiction(results: Mapping[str, Result]) -> str:
    """How two backends contradict one another in one line, or an empty text.

    A value that one of them reached lies below a bound that another proved, or one proves that there is no answer and
    another has one.

    Examples
    --------
    >>> from masksynth.search.result import Result
    >>> def said(value, bound):
    ...     return Result("a", "00", "x", None, False, "FEASIBLE", {"positions": {"value": value, "bound": bound}}, "x", 1.0, None, {}, {})
    >>> contradiction({"one": said(5, 5), "two": said(6, 3)}), contradiction({"one": said(5, 5), "two": said(6, 6)})
    ('', 'two proves positions >= 6, one has 5')
    """
    for (one, first), (two, second) in combinations(results.items(), 2):
        for name, said, other, heard in ((one, first, two, second), (two, second, one, first)):
            if said.status == Status.INFEASIBLE.name and heard.objective:
                return f"{name} proves INFEASIBLE, {other} has an answer"
            for kind in said.objective.keys() & heard.objective.keys():
                bound, value = said.objective[kind]["bound"], heard.objective[kind]["value"]
                if bound > value:
                    return f"{name} proves {kind} >= {bound}, {other} has {value}"
    return ""


def verdict(results: Mapping[str, Result], instance: Instance | None) -> Result:
    """What a portfolio says: a proof, or else the best answer, or else every reason why there is none.

    Parameters
    ----------
    results : mapping of backend to Result
        At least one.
    instance : Instance or None
        What is kept beside answers that contradict one another.
    """
    against = contradiction(results)
    best = min(results.values(), key=_rank)
    if against:
        answers = {name: result.answer for name, result in results.items() if result.answer is not None}
        kept = None if instance is None else Disagreement(instance, answers)
        reason = f"backends contradict one another: {against}"
        return replace(best, status=None, objective={}, winner=None, answer=None, error=reason, disagreement=kept)
    if best.error is None or len(results) == 1:
        return best
    return replace(best, error="; ".join(f"{name}: {result.error}" for name, result in results.items()))


def _rank(result: Result) -> tuple[int, int]:
    """Proofs first, then answers by their size, then nothing found, then failures."""
    if result.proved:
        return (0, 0)
    if result.status == Status.FEASIBLE.name:
        return (1, result.objective["edges" if result.sparse else "positions"]["value"])
    return (3 if result.status is None else 2, 0)
