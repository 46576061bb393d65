"""Check that a DRUP proof refutes a formula: by dratify, by the small checker in ``rup.py``, or by a program."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.proof.dimacs import Literals, NamedFormula, Step, parse_steps, write_plain
from masksynth.verify.proof.proof_files import read_bytes, read_text
from masksynth.verify.proof.rup import find_fault

MAX_PROOF = 1 << 28
"""Largest proof that is checked inside this process (256 MiB)."""
VERIFIED = "s VERIFIED"
RUP = "rup"
"""The name by which ``--checker`` asks for the small checker."""


def check_refutation(formula: NamedFormula, path: Path, checker: str | None) -> int:
    """Check that the proof in a file refutes a formula; return its number of steps.

    Only steps that are sound without RAT are accepted (by a program: what it accepts). dratify keeps a literal that
    is implied when the clause that implied it is deleted. That is sound for RUP, whose clauses follow from the formula,
    but a RAT clause may be refuted by the literals so kept: then five steps would prove anything.

    Parameters
    ----------
    formula : NamedFormula
    path : path
        The proof as text, DRUP.
    checker : str or None
        None: dratify, without RAT. ``rup``: `masksynth.verify.proof.rup`. Any other is a program, called as ``PROGRAM
        formula.cnf proof.drat``, that prints the line ``s VERIFIED``, no other line that begins with ``s`` and a space,
        and is not ended by a signal.

    Raises
    ------
    InvalidInstance
        If the proof cannot be read, or the program cannot be run.
    WrongAnswer
        ``proof``: if the formula is not refuted.
    """
    if checker not in (None, RUP):
        return _by_program(formula, path, checker)
    try:
        steps = parse_steps(read_text(path, MAX_PROOF), formula.variables)
    except InvalidInstance as error:
        raise (
            error if error.source else InvalidInstance(f"not a DRUP proof: {error.fact}", "", source=str(path))
        ) from None
    if fault := (find_fault if checker == RUP else find_fault_by_dratify)(formula.clauses, steps):
        raise WrongAnswer("proof", f"{_place(path)}: {fault}")
    return len(steps)


def find_fault_by_dratify(formula: Sequence[Literals], steps: Sequence[Step]) -> str:
    """Return why the steps do not refute a formula, as `masksynth.verify.proof.rup.find_fault` does; empty if they do.

    Examples
    --------
    With RAT, these five steps would "refute" a formula that x = 1 satisfies:

    >>> steps = [(False, (2,)), (False, (3, -2)), (True, (3, -2)), (False, (-3,)), (False, ())]
    >>> find_fault_by_dratify([(1,)], steps)
    'step 1: the clause does not follow by unit propagation'
    """
    from dratify import CNF, check_proof

    if find_spec("cdclkit") is not None:  # its compiled checker, if it has one, registers itself with dratify
        import cdclkit  # noqa: F401
    clauses = [*formula, *(literals for _, literals in steps)]
    plain = CNF(max((abs(literal) for clause in clauses for literal in clause), default=0))
    for clause in formula:
        plain.add_dimacs(clause)
    coded = [
        ("d" if deleted else "a", tuple(2 * abs(x) - 2 + (x < 0) for x in literals)) for deleted, literals in steps
    ]
    # Without RAT every accepted clause follows from the formula, with and without deletions.
    result = check_proof(plain, coded, check_rat=False)
    if result.ok and result.reached_empty and result.rat_steps == 0:
        return ""
    if result.failed_step > 0:
        return f"step {result.failed_step}: the clause does not follow by unit propagation"
    return "no step is the empty clause"


def _by_program(formula: NamedFormula, path: Path, program: str) -> int:
    """Run a program on the formula and the proof; return the number of lines of the proof."""
    lines = read_bytes(path).count(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "formula.cnf"
        write_plain(formula, plain)
        try:
            done = subprocess.run(
                [program, str(plain), str(path.absolute())], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InvalidInstance(
                f"cannot be run: {reason}", "", "name a program like drat-trim", source=program
            ) from None
    output = done.stdout.decode("utf-8", "replace").splitlines()
    verdicts = {line.strip() for line in output if line.lstrip().startswith("s ")}
    # A positive exit code is ignored: older versions of drat-trim end with 1 if the formula has the empty clause.
    if verdicts != {VERIFIED} or done.returncode < 0:  # negative: ended by a signal
        last = next((line for line in reversed(output) if line.strip()), "nothing")
        got = f"exit code {done.returncode} and the last line {last!r:.80}"
        raise WrongAnswer("proof", f"{_place(path)}: {program}: expected '{VERIFIED}' as its one verdict, got {got}")
    return lines


def _place(path: Path) -> str:
    """Return folder and name of a file, for messages."""
    return f"{path.parent.name}/{path.name}"
