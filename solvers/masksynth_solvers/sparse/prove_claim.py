"""Prove the bound of a component or lemma: by duals, by CaDiCaL, by a branch-and-bound tree, with windows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

from masksynth.errors import Contradiction, MasksynthError, Unsupported
from masksynth.files import write_to_disk
from masksynth.sparse.reduce import Component
from masksynth.sparse.sparse_problem import Edge
from masksynth_solvers.sparse.branch import branch_tree, lp_bound
from masksynth_solvers.sparse.path_encoding import Formula, encode
from masksynth_solvers.sparse.refute import HAS_MODEL, REFUTED
from masksynth_solvers.sparse.russian_dolls import Lemma
from masksynth_solvers.sparse.totalizer import at_most
from masksynth_solvers.sparse.write_lemmas import Lemmas, highest_bounds

ALONE = 2.0
"""Seconds for CaDiCaL before a branch-and-bound tree is built at the same time ..."""


TOGETHER = 5.0
"""... and seconds for both before windows are tried."""


@dataclass(frozen=True)
class Claim:
    """A bound that is to be proved.

    Parameters
    ----------
    folder : Path
        Where the proof is written.
    component : Component
        The component, or the window of a lemma.
    formula : Formula
    bound : int
        Lower bound on the weight.
    until : float
        When to stop, by ``time.monotonic``.
    value : int, optional
        Weight of the mask's edges in the component.
    """

    folder: Path
    component: Component
    formula: Formula
    bound: int
    until: float
    value: int | None = None

    def entry(self, kind: str, windows: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return its entry in problem.json."""
        entry: dict[str, Any] = {
            "folder": self.folder.name,
            "demands": edge_lists(self.component.pairs),
            "edges": edge_lists(self.component.edges),
            "bound": self.bound,
            "kind": kind,
        }
        if self.formula.swaps:
            entry["swaps"] = edge_lists(self.formula.swaps)
        return entry | {"windows": list(windows)} if windows else entry


def edge_lists(edges: Iterable[Edge]) -> list[list[int]]:
    """Return edges as lists of ints, for JSON."""
    return [[int(number) for number in edge] for edge in edges]


def certify(claim: Claim, lemmas: Lemmas, effort: float) -> dict[str, Any]:
    """Prove the bound of a component in its folder; return its entry in problem.json."""
    layered = lemmas.problem.layered
    kind = _prove(claim, claim.until if layered else min(claim.until, monotonic() + ALONE + TOGETHER))
    if kind or layered:
        return claim.entry(kind or _raise_unproved(claim))
    before = len(lemmas.entries)
    helped = _add_windows(claim, lemmas, effort)
    kind = _race(helped, claim.until)
    if kind == "drat":
        return helped.entry(kind, lemmas.window_records(helped.formula.windows))
    _drop_lemmas(claim, lemmas, before)
    return claim.entry(kind or _raise_unproved(claim))


def _prove(claim: Claim, until: float) -> str:
    """Write a proof by duals alone, or by a race; return its kind, or an empty string if none is found in time."""
    return _by_duals(claim) or _race(claim, until)


def _by_duals(claim: Claim) -> str:
    """Return ``duals`` if linear programming proves the bound at once, else an empty string.

    Raises
    ------
    Contradiction
        If it proves a bound above the weight of the mask.
    """
    reached, tree = lp_bound(claim.formula)
    if claim.value is not None and reached > claim.value:
        raise Contradiction("linear programming", reached, "the search", claim.value, claim.folder.name)
    if reached < claim.bound:
        return ""
    _write_tree(claim, tree)
    return "duals"


def _race(claim: Claim, until: float) -> str:
    """Run CaDiCaL, later a branch-and-bound tree too; return the kind of the first proof, or an empty string."""
    with _refuting(claim) as child:
        if _proved(claim, child, min(ALONE, (until - monotonic()) / 3)):
            return "drat"
        tree = branch_tree(claim.formula, claim.bound, until, stop=lambda: _proved(claim, child, 0))
        if tree is None:
            return "drat" if _proved(claim, child, until - monotonic()) else ""
    (claim.folder / "proof.drat").unlink(missing_ok=True)
    _write_tree(claim, tree)
    return "duals"


def _add_windows(claim: Claim, lemmas: Lemmas, effort: float) -> Claim:
    """Return the claim with proved windows; the claim itself if one of their lemmas is not proved in time."""
    before = len(lemmas.entries)
    try:
        windows = lemmas.windows(claim.component, claim.bound, monotonic() + (claim.until - monotonic()) / 2, effort)
    except Unsupported:  # the weights are too large for a counter
        return claim
    if all(_prove_lemma(lemma, claim, lemmas) for lemma in lemmas.missing(windows)):
        return replace(claim, formula=replace(claim.formula, windows=windows))
    _drop_lemmas(claim, lemmas, before)
    return claim


def _prove_lemma(lemma: Lemma, claim: Claim, lemmas: Lemmas) -> bool:
    """Prove a lemma (if duals do not suffice, after the lemmas that it uses); return whether it was done in time."""
    formula = encode(lemmas.problem, lemmas.forced, lemma.component)
    windows = highest_bounds(lemma.windows)

    def numbered(formula: Formula) -> Claim:  # the number is the count of the lemmas proved by then
        folder = claim.folder.parent / f"lemma-{len(lemmas.entries):03d}"
        return Claim(folder, lemma.component, formula, lemma.bound, claim.until)

    kind = _by_duals(numbered(formula))
    if not kind:
        if not all(_prove_lemma(inner, claim, lemmas) for inner in lemmas.missing(windows)):
            return False
        kind = _race(numbered(replace(formula, windows=windows)), claim.until)
    if kind:
        lemmas.add(lemma, numbered(formula).entry(kind, lemmas.window_records(windows) if kind == "drat" else ()))
    return bool(kind)


def _drop_lemmas(claim: Claim, lemmas: Lemmas, before: int) -> None:
    """Remove the lemmas that were proved for a component and are not used."""
    for index in range(before, len(lemmas.entries) + 1):
        shutil.rmtree(claim.folder.parent / f"lemma-{index:03d}", ignore_errors=True)
    lemmas.truncate(before)


def _raise_unproved(claim: Claim) -> NoReturn:
    raise Unsupported(
        f"{claim.folder.name} ({len(claim.component.pairs)} pairs, {len(claim.component.edges)} edges): the bound"
        f" {claim.bound} is not proved within the limits; give more time, or leave out the proof"
    )


def limit_weight(formula: Formula, most: int) -> Formula:
    """Return a formula with "the weight is at most ``most``" added, and a limit on the weight outside each window.

    Examples
    --------
    >>> formula = Formula()
    >>> formula.choose((1, 0), 2)
    >>> [limit_weight(formula, most).clauses for most in (1, 2, -1)]
    [[[-1, 2], [-1, 2], [-1, -1, 3], [-3]], [], [[]]]
    """
    counted = replace(formula, names=list(formula.names), clauses=list(formula.clauses))
    if most < 0:
        counted.add([])
    elif most < len(counted.terms()):
        counted.add([-at_most(counted, most)[most]])
    for index, window in enumerate(formula.windows):
        rest, left = counted.terms(set(window.component.edges)), most - window.bound
        if left < 0:
            counted.add([])
        elif left < len(rest):
            counted.add([-at_most(counted, left, rest, ("rest", index))[left]])
    return counted


@contextmanager
def _refuting(claim: Claim) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run CaDiCaL on "weight <= bound - 1" in a process; None if the weights are too large for a counter."""
    try:
        write_lines(claim.folder / "formula.cnf", dimacs_lines(limit_weight(claim.formula, claim.bound - 1)))
    except Unsupported:
        yield None
        return
    command = [
        sys.executable,
        "-m",
        "masksynth_solvers.sparse.refute",
        str(claim.folder / "formula.cnf"),
        str(claim.folder / "proof.drat"),
    ]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _proved(claim: Claim, child: subprocess.Popen[bytes] | None, seconds: float) -> bool:
    """Return whether CaDiCaL has written its proof, after waiting for at most some seconds."""
    if child is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        child.wait(None if seconds == inf else max(0.0, seconds))
    if child.returncode == HAS_MODEL:
        raise MasksynthError(
            f"{claim.folder.name}: the bound {claim.bound} is above the optimum: CaDiCaL found a solution of weight"
            f" {claim.bound - 1} or less; this is a defect of masksynth or of a solver, please report it"
        )
    return child.returncode == REFUTED


def _write_tree(claim: Claim, tree: Mapping[str, Any]) -> None:
    write_lines(claim.folder / "formula.cnf", dimacs_lines(claim.formula))
    write_lines(claim.folder / "tree.json", [json.dumps(tree, separators=(",", ":")), "\n"])


def dimacs_lines(formula: Formula) -> Iterator[str]:
    """Yield the lines of a formula in DIMACS format, with the names of variables as comments."""
    for variable, name in enumerate(formula.names, 1):
        yield f"c var {variable} {' '.join(map(str, name))}\n"
    yield f"p cnf {len(formula.names)} {len(formula.clauses)}\n"
    for clause in formula.clauses:
        yield f"{' '.join(map(str, clause))} 0\n" if clause else "0\n"


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of ASCII text to a file of a proof folder; the folder is made."""
    path.parent.mkdir(exist_ok=True)
    write_to_disk(path, (line.encode("ascii") for line in lines))
