"""That a DRAT proof refutes a formula: asked of dratify, or of a program of the user's choice."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.proof.dimacs import NamedFormula, write_plain
from masksynth.verify.proof.reading import read_bytes, read_text

MAX_PROOF = 1 << 28
"""Largest proof that is checked inside this process (256 MiB)."""
VERIFIED = "s VERIFIED"


def check_refutation(formula: NamedFormula, path: Path, program: str | None) -> int:
    """Check that the proof in a file refutes a formula; return its number of lines.

    Parameters
    ----------
    formula : NamedFormula
    path : path
        The proof as text, DRUP or DRAT.
    program : str or None
        Called as ``PROGRAM formula.cnf proof.drat``, it says ``s VERIFIED`` on a line; None: dratify.

    Raises
    ------
    InvalidInstance
        If the proof cannot be read, or the program cannot be run.
    WrongAnswer
        ``proof``: if the formula is not refuted.
    """
    return _by_dratify(formula, path) if program is None else _by_program(formula, path, program)


def _by_dratify(formula: NamedFormula, path: Path) -> int:
    from dratify import CNF, check_proof, parse_proof

    if find_spec("cdclkit") is not None:  # its compiled checker, if it has one, enters itself with dratify
        import cdclkit  # noqa: F401
    try:
        steps = parse_proof(read_text(path, MAX_PROOF))
    except (ValueError, OverflowError) as error:
        raise InvalidInstance(f"not a DRAT proof: {error}", "", source=str(path)) from None
    plain = CNF(formula.variables)
    for clause in formula.clauses:
        plain.add_dimacs(clause)
    if () in plain.clauses:
        return len(steps)
    try:
        result = check_proof(plain, steps)
    except (ValueError, OverflowError) as error:
        raise InvalidInstance(f"not a DRAT proof: {error}", "", source=str(path)) from None
    if not (result.ok and result.reached_empty):
        at = f"step {result.failed_step}: " if result.failed_step > 0 else ""
        raise WrongAnswer("proof", f"{_place(path)}: {at}{result.reason}")
    return len(steps)


def _by_program(formula: NamedFormula, path: Path, program: str) -> int:
    lines = read_bytes(path).count(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "formula.cnf"
        write_plain(formula, plain)
        try:
            done = subprocess.run([program, str(plain), str(path.absolute())], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InvalidInstance(f"cannot be run: {reason}", "", "name a program like drat-trim", source=program) from None
    said = done.stdout.decode("utf-8", "replace").splitlines()
    if VERIFIED not in (line.strip() for line in said):
        last = next((line for line in reversed(said) if line.strip()), "nothing")
        raise WrongAnswer(
            "proof", f"{_place(path)}: {program} does not say '{VERIFIED}' (exit code {done.returncode}, last line {last!r:.80})"
        )
    return lines


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
