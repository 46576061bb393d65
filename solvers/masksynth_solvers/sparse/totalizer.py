"""A totalizer: clauses that count true variables up to a bound (Bailleux and Boufkhad, 2003)."""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.errors import Unsupported
from masksynth_solvers.sparse.path_encoding import Formula, Name

MAX_TERMS = 20_000
"""Greatest total weight that a totalizer counts."""


def at_most(formula: Formula, bound: int, terms: Sequence[int] | None = None, name: Name = ("count",)) -> list[int]:
    """Add a totalizer that counts the true ``terms`` up to ``bound + 1``; output t is true if at least t of them are.

    Parameters
    ----------
    formula : Formula
        Receives the clauses, and variables named (*name, start, end, t): "at least t of terms[start:end]".
    bound : int
        Greatest number of true terms that is counted exactly.
    terms : sequence of int, optional
        Variables, one of weight w repeated w times; default: all edges.
    name : tuple
        First part of the names of the new variables.

    Returns
    -------
    list of int
        Outputs for t = 1, 2, ...; output m + 1 can be false iff at most m terms are true, for m <= bound.

    Examples
    --------
    >>> formula = Formula()
    >>> for edge in ((1, 0), (2, 0)):
    ...     formula.choose(edge, 1)
    >>> at_most(formula, 0), formula.clauses, formula.names[2]
    ([3], [[-2, 3], [-1, 3], [-1, -2, 3]], ('count', 0, 2, 1))
    """
    terms = formula.terms() if terms is None else terms
    if len(terms) > MAX_TERMS:
        raise Unsupported(
            f"the weights add up to {len(terms)}, more than the {MAX_TERMS} that a totalizer counts; scale them down"
        )

    def outputs(start: int, end: int) -> list[int]:
        if end - start == 1:
            return [terms[start]]
        middle = (start + end) // 2
        left, right = outputs(start, middle), outputs(middle, end)
        count = [formula.new(*name, start, end, t) for t in range(1, min(end - start, bound + 1) + 1)]
        for a in range(len(left) + 1):
            for b in range(len(right) + 1):
                if a + b:
                    formula.add(
                        [
                            *(-left[i - 1] for i in (a,) if i),
                            *(-right[i - 1] for i in (b,) if i),
                            count[min(a + b, bound + 1) - 1],
                        ]
                    )
        return count

    return outputs(0, len(terms)) if terms and bound >= 0 else []
