"""formula.cnf: a name for every variable, then the clauses as DIMACS. proof.drat: clauses added and deleted, one a line."""

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
    """Clauses over variables 1 .. ``variables``, and the number of every literal by its text, ``edge 1 0`` or ``-edge 1 0``."""

    variables: int
    number: dict[str, int]
    clauses: tuple[Literals, ...]

    def name(self, literal: int) -> str:
        """The text of a literal."""
        return next(name for name, number in self.number.items() if number == literal)


def read_formula(path: Path) -> NamedFormula:
    """Read a formula in which names and variables 1 .. V are one to one.

    Raises
    ------
    InvalidInstance
        Naming the file, and the line if it is one.
    """
    try:
        return parse_formula(read_text(path))
    except InvalidInstance as error:
        raise (error if error.source else error.within(source=str(path))) from None


def parse_formula(text: str) -> NamedFormula:
    r"""Return the formula in a text.

    Examples
    --------
    >>> found = parse_formula("c var 1 edge 1 0\np cnf 1 1\n-1 0\n")
    >>> found.number, found.clauses
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
        raise _fault("something else than numbers stands after the line 'p cnf'")
    lines = body.split("\n")
    if lines.pop() != "" or len(lines) != count:
        raise _fault(f"{len(lines)} clauses, each on a line of its own, where the line 'p cnf' says {count}")
    first = len(comments) + 2
    return NamedFormula(variables, number, tuple(_clause(line, at, variables) for at, line in enumerate(lines, first)))


def _numbers(comments: list[str], variables: int) -> dict[str, int]:
    number: dict[str, int] = {}
    for at, line in enumerate(comments, 1):
        found = _NAME.fullmatch(line)
        if found is None:
            raise _fault(f"line {at}: {line!r:.40} is not 'c var NUMBER NAME'")
        if found[2] in number:
            raise _fault(f"line {at}: the name {found[2]!r:.60} is repeated")
        number[found[2]] = int(found[1])
    if len(number) != variables or sorted(number.values()) != list(range(1, variables + 1)):
        raise _fault(f"{len(number)} names that are not one to one with the variables 1 .. {variables}")
    return number | {f"-{name}": -variable for name, variable in number.items()}


def _clause(line: str, at: int, variables: int) -> Literals:
    try:
        *literals, end = map(int, line.split())
    except ValueError:
        raise _fault(f"line {at}: {line!r:.40} is not a clause") from None
    if end != 0 or any(literal == 0 or abs(literal) > variables for literal in literals):
        raise _fault(f"line {at}: {line!r:.40} is not a clause over {variables} variables with its 0 at the end")
    return tuple(literals)


def parse_steps(text: str, variables: int) -> list[Step]:
    r"""Return the steps in the text of a proof: one clause a line, with its 0 at the end, after ``d`` if it is deleted.

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
    """Write the clauses as they were read, without names, for a checker of another house."""
    with path.open("w", encoding="ascii") as file:
        file.write(f"p cnf {formula.variables} {len(formula.clauses)}\n")
        file.writelines(f"{' '.join(map(str, (*clause, 0)))}\n" for clause in formula.clauses)
