"""Read formula.cnf (a name for each variable, then DIMACS clauses) and proof.drat (clauses added and deleted)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from masksynth.errors import InvalidInstance
from masksynth.verify.proof.proof_files import read_text

_NAME = re.compile(r"c var ([1-9][0-9]{0,8}) ([a-z]+(?: [0-9]+)+)")
_HEADER = re.compile(r"p cnf ([0-9]{1,9}) ([0-9]{1,9})")
_BODY = re.compile(r"[-0-9 \n]*")

_STEP = re.compile(r"(d\s+)?((?:-?[1-9][0-9]{0,8}\s+)*)0")

Literals = tuple[int, ...]
Step = tuple[bool, Literals]
"""Whether a clause is deleted, rather than added, and its literals."""


@dataclass(frozen=True)
class NamedFormula:
    """A formula with named variables.

    Parameters
    ----------
    variables : int
        V; variables are 1 .. V.
    number : dict
        Literal as text, ``edge 1 0`` or ``-edge 1 0`` -> literal.
    clauses : tuple of tuple of int
    """

    variables: int
    number: dict[str, int]
    clauses: tuple[Literals, ...]

    def name(self, literal: int) -> str:
        """Return the text of a literal."""
        return next(name for name, number in self.number.items() if number == literal)


def read_formula(path: Path) -> NamedFormula:
    """Read a formula whose names and variables 1 .. V correspond one to one.

    Raises
    ------
    InvalidInstance
        Naming the file, and the line if one is at fault.
    """
    try:
        return parse_formula(read_text(path))
    except InvalidInstance as error:
        raise (error if error.source else error.within(source=str(path))) from None


def parse_formula(text: str) -> NamedFormula:
    r"""Return the formula in a string.

    Examples
    --------
    >>> formula = parse_formula("c var 1 edge 1 0\np cnf 1 1\n-1 0\n")
    >>> formula.number, formula.clauses
    ({'edge 1 0': 1, '-edge 1 0': -1}, ((-1,),))
    """
    end = 0 if text.startswith("p") else text.find("\np") + 1
    comments, (head, _, body) = text[:end].splitlines(), text[end:].partition("\n")
    header = _HEADER.fullmatch(head)
    if header is None:
        raise _fault("there is no line 'p cnf VARIABLES CLAUSES' after the comments")
    variables, count = int(header[1]), int(header[2])
    number = _numbers(comments, variables)
    if not _BODY.fullmatch(body):
        raise _fault("expected only numbers after the line 'p cnf'")
    lines = body.split("\n")
    if lines.pop() != "" or len(lines) != count:
        raise _fault(f"expected {count} clauses, one per line, as in the line 'p cnf', got {len(lines)}")
    first = len(comments) + 2
    return NamedFormula(variables, number, tuple(_clause(line, at, variables) for at, line in enumerate(lines, first)))


def _numbers(comments: list[str], variables: int) -> dict[str, int]:
    """Return the literals by name, from the lines "c var NUMBER NAME"."""
    number: dict[str, int] = {}
    for line_number, line in enumerate(comments, 1):
        match = _NAME.fullmatch(line)
        if match is None:
            raise _fault(f"line {line_number}: expected 'c var NUMBER NAME', got {line!r:.40}")
        if match[2] in number:
            raise _fault(f"line {line_number}: the name {match[2]!r:.60} is repeated")
        number[match[2]] = int(match[1])
    if len(number) != variables or sorted(number.values()) != list(range(1, variables + 1)):
        raise _fault(f"{len(number)} names that are not one to one with the variables 1 .. {variables}")
    return number | {f"-{name}": -variable for name, variable in number.items()}


def _clause(line: str, number: int, variables: int) -> Literals:
    """Return the clause on a line, which ends with 0."""
    try:
        *literals, end = map(int, line.split())
    except ValueError:
        raise _fault(f"line {number}: {line!r:.40} is not a clause") from None
    if end != 0 or any(literal == 0 or abs(literal) > variables for literal in literals):
        raise _fault(
            f"line {number}: expected a clause over {variables} variables with its 0 at the end, got {line!r:.40}"
        )
    return tuple(literals)


def parse_steps(text: str, variables: int) -> list[Step]:
    r"""Return the steps in the text of a proof: one clause per line, ending in 0, after ``d`` if it is deleted.

    Empty lines and lines that begin with ``c`` are comments. Variables beyond those of the formula may occur, at most
    as many as the proof has literals.

    Raises
    ------
    InvalidInstance
        Naming the line, without the file.

    Examples
    --------
    >>> parse_steps("1 -2 0\nd 1 -2 0\n0\n", 2)
    [(False, (1, -2)), (True, (1, -2)), (False, ())]
    """
    steps = []
    for at, line in enumerate(text.splitlines(), 1):
        if (stripped := line.strip()) and stripped[0] != "c":
            step = _STEP.fullmatch(stripped)
            if step is None:
                raise _fault(f"line {at}: expected a clause with its 0 at the end, got {line!r:.40}")
            steps.append((step[1] is not None, tuple(map(int, step[2].split()))))
    largest = max((abs(literal) for _, literals in steps for literal in literals), default=0)
    if largest > (most := variables + sum(len(literals) for _, literals in steps)):
        raise _fault(f"variable {largest}: expected at most {most} variables of the formula and the proof")
    return steps


def _fault(fact: str) -> InvalidInstance:
    return InvalidInstance(fact, "")


def write_plain(formula: NamedFormula, path: Path) -> None:
    """Write the clauses as they were read, without names, for an external checker."""
    with path.open("w", encoding="ascii") as file:
        file.write(f"p cnf {formula.variables} {len(formula.clauses)}\n")
        file.writelines(f"{' '.join(map(str, (*clause, 0)))}\n" for clause in formula.clauses)
