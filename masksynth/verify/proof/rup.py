"""A small checker of DRUP proofs: reverse unit propagation (Goldberg and Novikov, DATE 2003) by two watched literals.

A clause is accepted iff unit propagation from its negation reaches a conflict. It follows from the clauses given or
accepted before, regardless of deletions: an implied literal stays true when the clause that implied it is deleted. RAT
steps are refused: a RAT clause need not follow, and together with literals kept in this way it could prove anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from masksynth.verify.proof.dimacs import Literals, Step


class Clauses:
    """Clauses over the variables 1 .. ``variables``, and the literals that unit propagation makes true."""

    def __init__(self, variables: int) -> None:
        self.value = [0] * (2 * variables + 1)  # 1 true, -1 false, 0 open; index -x, from the end, is literal -x
        self.watching: list[list[list[int]]] = [[] for _ in self.value]  # clauses to visit once the literal is false
        self.copies: dict[frozenset[int], list[list[int]]] = {}
        self.trail: list[int] = []
        self.conflict = False

    def add(self, literals: Literals) -> None:
        """Add a clause that was given or accepted, and propagate if it is a unit."""
        clause = sorted(set(literals), key=lambda literal: self.value[literal] < 0)  # false literals last
        self.copies.setdefault(frozenset(clause), []).append(clause)
        for literal in clause[:2]:
            self.watching[literal].append(clause)
        if all(self.value[literal] < 0 for literal in clause[1:2]):
            self.conflict = self.conflict or not clause or self.propagate(clause[0])

    def delete(self, literals: Literals) -> None:
        """Delete one copy of a clause of two literals or more, if there is one; what it implied stays."""
        if len(set(literals)) > 1 and (copies := self.copies.get(frozenset(literals))):
            copies.pop().clear()  # an empty list is dropped where it is visited

    def implies(self, literals: Literals) -> bool:
        """Return whether unit propagation from the negation of a clause reaches a conflict."""
        before = len(self.trail)
        conflict = self.conflict or any(self.propagate(-literal) for literal in literals)
        for literal in self.trail[before:]:
            self.value[literal] = self.value[-literal] = 0
        del self.trail[before:]
        return conflict

    def propagate(self, literal: int) -> bool:
        """Make a literal true, and all that units imply; return whether a clause becomes false."""
        value, watching, trail = self.value, self.watching, self.trail
        if value[literal]:
            return value[literal] < 0
        value[literal], value[-literal] = 1, -1
        visited = len(trail)
        trail.append(literal)
        while visited < len(trail):
            false, visited = -trail[visited], visited + 1
            clauses, watching[false] = watching[false], (kept := [])
            for number, clause in enumerate(clauses, 1):
                if not clause:  # deleted
                    continue
                if clause[0] == false:
                    clause[0], clause[1] = clause[1], false
                other = clause[0]
                for place in range(2, len(clause)) if value[other] <= 0 else ():
                    if value[clause[place]] >= 0:  # watch this literal instead of the false one
                        clause[1], clause[place] = clause[place], false
                        watching[clause[1]].append(clause)
                        break
                else:
                    kept.append(clause)
                    if value[other] < 0:
                        kept += clauses[number:]
                        return True
                    if not value[other]:
                        value[other], value[-other] = 1, -1
                        trail.append(other)
        return False


def find_fault(formula: Sequence[Literals], steps: Sequence[Step]) -> str:
    """Return why the steps do not refute a formula; empty if they do.

    Examples
    --------
    >>> square = [(1, 2), (1, -2), (-1, 2), (-1, -2)]
    >>> find_fault(square, [(False, (1,)), (False, ())]), find_fault(square[1:], [(False, (1,)), (False, ())])
    ('', 'step 1: the clause does not follow by unit propagation')
    """
    largest = max((abs(x) for clause in [*formula, *(literals for _, literals in steps)] for x in clause), default=0)
    clauses = Clauses(largest)
    for clause in formula:
        clauses.add(clause)
    for number, (deleted, literals) in enumerate(steps if not clauses.conflict else [(False, ())], 1):
        if not deleted and not clauses.implies(literals):
            return f"step {number}: the clause does not follow by unit propagation"
        if not deleted and not literals:
            return ""
        (clauses.delete if deleted else clauses.add)(literals)
    return "no step is the empty clause"
