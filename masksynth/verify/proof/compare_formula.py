"""Compare the formula in a file with the clauses that a statement implies."""

from __future__ import annotations

from collections.abc import Iterable

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.dimacs import NamedFormula
from masksynth.verify.proof.formula import Clause


def compare_clauses(formula: NamedFormula, expected: Iterable[Clause], file: str) -> None:
    """Check that the clauses of a formula are the expected ones, as sets of literals, in any order."""
    given = {frozenset(clause) for clause in formula.clauses}
    seen = set()
    for clause in expected:
        literals = frozenset(formula.number.get(literal, 0) for literal in clause)
        if literals not in given:
            raise WrongAnswer("proof", f"{file}: the clause {' or '.join(clause) or 'that is empty'} is missing"[:300])
        seen.add(literals)
    for given_clause in formula.clauses:
        if frozenset(given_clause) not in seen:
            text = " or ".join(map(formula.name, given_clause[:8])) + (" or ..." if len(given_clause) > 8 else "")
            fact = f"the clause {text or 'that is empty'} does not follow from the statement"
            raise WrongAnswer("proof", f"{file}: {fact}")
