"""``write_proof``: a folder that proves a lower bound on the weight of a sparse mask, part by part, for ``masksynth check-proof``.

The bound of a part is proved by linear programming duals where they reach it at once; else by CaDiCaL, whose DRAT proof refutes "weight is
at most the bound - 1", or by a branch tree with duals, whichever ends first. Tall orders are better for the one, wide ones for the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance, MasksynthError, Unsupported
from masksynth.export.folder import check_target
from masksynth.sparsify.problem import Edge, SparseProblem
from masksynth.sparsify.reduce import Part, Reduction
from masksynth_solvers.sparse.branch import branch_tree, lp_bound
from masksynth_solvers.sparse.encoding import Formula, at_most, encode, encode_layers
from masksynth_solvers.sparse.refute import HAS_MODEL, REFUTED

FILES = ("problem.json", "relation.npy", "mask.npy")
PART_FILES = ("formula.cnf", "proof.drat", "tree.json")
ALONE = 2.0
"""Seconds that CaDiCaL is given before a branch tree is grown beside it."""


@dataclass(frozen=True)
class _Claim:
    """A part whose bound is to be proved in a folder until a time."""

    folder: Path
    formula: Formula
    bound: int
    until: float


def write_proof(
    folder: str | Path,
    problem: SparseProblem,
    reduction: Reduction,
    bounds: Sequence[int],
    mask: NDArray[np.bool_],
    limits: Limits | None = None,
    extra: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    inspect: Callable[[Path], object] | None = None,
) -> Path:
    """Write a proof folder, atomically: all of it or nothing.

    Parameters
    ----------
    folder : path
        The target; it must not exist, or be empty, or with ``force`` hold another proof.
    problem : SparseProblem
    reduction : Reduction
        Its sure edges, packing and parts carry the bound. Of a layered problem it is ignored: all is one part.
    bounds : sequence of int
        What is to be proved of each part.
    mask : (n, n) bool, or (L, n, n) if layered
        The witness, with or without its diagonal.
    limits : Limits, optional
        ``seconds`` for all parts together; a part may use what earlier ones have left of their even shares.
    extra : mapping, optional
        ``positions`` and ``sha256`` for problem.json.
    inspect : function, optional
        Called with the finished folder before it gets its name, such as ``masksynth.verify.proof.check_proof``; what it raises is raised,
        and nothing is written.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    InvalidInstance
        If the target is taken.
    Unsupported
        If a part is not proved within the limits: it says which, and what to do.
    MasksynthError
        If a bound is above the optimum, or the files cannot be written.

    Examples
    --------
    >>> from masksynth.sparsify import reduce
    >>> from masksynth.verify.proof import check_proof
    >>> chain = np.tril(np.ones((5, 5), bool))
    >>> mask = chain.copy()
    >>> mask[[3, 4, 4], [0, 0, 1]] = False  # the hub 2 sees all before it, and is seen by all after it
    >>> mask[3, 1] = False
    >>> problem = SparseProblem(chain, 2)
    >>> place = write_proof(Path(tempfile.mkdtemp()) / "proof", problem, reduce(problem), [2], mask)
    >>> report = check_proof(place)
    >>> report.value, report.bound, report.optimal
    (6, 6, True)
    """
    begun, target = monotonic(), Path(os.path.abspath(folder)).resolve()
    mask = np.reshape(mask, (-1, problem.size, problem.size) if problem.layered else problem.relation.shape)
    parts = _parts(problem, reduction)
    if reduction.unreachable is not None or len(parts) != len(bounds):
        raise InvalidInstance(f"{len(bounds)} bounds for a reduction of {len(parts)} parts, unreachable {reduction.unreachable}", "")
    _check_target(target, force)
    end = float("inf") if limits is None or limits.seconds is None else begun + limits.seconds
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _draft(target) as draft:
            kinds = []
            for place, (part, bound) in enumerate(zip(parts, bounds, strict=True)):
                formula = encode_layers(problem) if problem.layered else encode(problem, reduction.sure, part)
                until = monotonic() + (end - monotonic()) / (len(parts) - place)
                kinds.append(_certify(_Claim(draft / f"part-{place:03d}", formula, int(bound), until), part))
            statement = _statement(problem, reduction, parts, bounds, kinds, mask) | dict(extra or {})
            _write(draft / "problem.json", [json.dumps(statement, ensure_ascii=True), "\n"])
            np.save(draft / "relation.npy", np.ascontiguousarray(problem.relation), allow_pickle=False)
            np.save(draft / "mask.npy", np.ascontiguousarray(mask | np.eye(problem.size, dtype=bool)), allow_pickle=False)
            if inspect is not None:
                inspect(draft)
            _check_target(target, force)
            if target.is_dir():
                _remove(target)
            draft.rename(target)
    except OSError as error:
        raise MasksynthError(f"{target}: the proof cannot be written: {error.strerror or error}; choose another folder") from error
    return target


def _parts(problem: SparseProblem, reduction: Reduction) -> tuple[Part, ...]:
    """The parts as problem.json has them: with pairs as edges, also where each layer has a mask."""
    if not problem.layered:
        return reduction.parts
    demands = tuple((int(q), int(k)) for q, k in np.argwhere(problem.relation) if q != k)
    return (Part(demands, tuple((int(q), int(k)) for q, k in np.argwhere(problem.allowed))),)


def _statement(
    problem: SparseProblem,
    reduction: Reduction,
    parts: Sequence[Part],
    bounds: Sequence[int],
    kinds: Sequence[str],
    mask: NDArray[np.bool_],
) -> dict[str, Any]:
    """The content of problem.json."""
    sure, packing = ((), ()) if problem.layered else (sorted(reduction.sure), reduction.packing)
    hits = [min(map(problem.weight, hit.edges)) for hit in packing]
    return {
        "masksynth_proof": 1,
        "size": problem.size,
        "layers": problem.layers,
        "layered": problem.layered,
        "forced": _lists(sorted(problem.forced)),
        "forbidden": _lists(sorted(problem.forbidden)),
        "weights": [[*edge, weight] for edge, weight in sorted(problem.weights.items()) if weight != 1],
        "value": problem.cost((int(q), int(k)) for *_, q, k in np.argwhere(mask) if q != k),
        "bound": problem.cost(sure) + sum(hits) + sum(map(int, bounds)),
        "sure": _lists(sure),
        "packing": [{"edges": _lists(hit.edges), "demand": list(hit.demand)} for hit in packing],
        "parts": [
            {
                "folder": f"part-{place:03d}",
                "demands": _lists(part.demands),
                "edges": _lists(part.edges),
                "bound": int(bound),
                "kind": kind,
            }
            for place, (part, bound, kind) in enumerate(zip(parts, bounds, kinds, strict=True))
        ],
    }


def _lists(edges: Iterable[Edge]) -> list[list[int]]:
    return [[int(number) for number in edge] for edge in edges]


def _certify(claim: _Claim, part: Part) -> str:
    """Prove the bound of a part in its folder; return the kind of proof."""
    claim.folder.mkdir()
    reached, tree = lp_bound(claim.formula)
    if reached >= claim.bound:
        _write_tree(claim, tree)
        return "duals"
    with _refuting(claim) as child:
        if _proved(child, min(ALONE, (claim.until - monotonic()) / 3)):
            return "drat"
        grown = branch_tree(claim.formula, claim.bound, claim.until, stop=lambda: _proved(child, 0))
        if grown is None and _proved(child, claim.until - monotonic()):
            return "drat"
    if grown is None:
        raise Unsupported(
            f"{claim.folder.name} ({len(part.demands)} demands, {len(part.edges)} edges): the bound {claim.bound} is not proved within the"
            " limits; give more time, or leave out the proof"
        )
    (claim.folder / "proof.drat").unlink(missing_ok=True)
    _write_tree(claim, grown)
    return "duals"


def cheaper(formula: Formula, most: int) -> Formula:
    """The formula of a part with "the weight is at most ``most``" added.

    Examples
    --------
    >>> formula = Formula()
    >>> formula.choose((1, 0), 2)
    >>> cheaper(formula, 1).clauses, cheaper(formula, 2).clauses, cheaper(formula, -1).clauses
    ([[-1, 2], [-1, 2], [-1, -1, 3], [-3]], [], [[]])
    """
    counted = replace(formula, names=list(formula.names), clauses=list(formula.clauses))
    if most < 0:
        counted.add([])
    elif most < len(counted.terms()):
        counted.add([-at_most(counted, most)[most]])
    return counted


@contextmanager
def _refuting(claim: _Claim) -> Iterator[subprocess.Popen[bytes] | None]:
    """CaDiCaL at work on "weight is at most the bound - 1"; None where the weights are too many to count."""
    try:
        _write(claim.folder / "formula.cnf", _dimacs(cheaper(claim.formula, claim.bound - 1)))
    except Unsupported:
        yield None
        return
    command = [sys.executable, "-m", "masksynth_solvers.sparse.refute", str(claim.folder / "formula.cnf"), str(claim.folder / "proof.drat")]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _proved(child: subprocess.Popen[bytes] | None, seconds: float) -> bool:
    """Whether CaDiCaL has written its proof, or does so within some seconds."""
    if child is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        child.wait(None if seconds == float("inf") else max(0.0, seconds))
    if child.returncode == HAS_MODEL:
        raise MasksynthError("a bound to be proved is above the optimum: a solution below it exists; please report this")
    return child.returncode == REFUTED


def _write_tree(claim: _Claim, tree: Mapping[str, Any]) -> None:
    _write(claim.folder / "formula.cnf", _dimacs(claim.formula))
    _write(claim.folder / "tree.json", [json.dumps(tree, separators=(",", ":")), "\n"])


def _dimacs(formula: Formula) -> Iterator[str]:
    """Lines of a named formula."""
    for variable, name in enumerate(formula.names, 1):
        yield f"c var {variable} {' '.join(map(str, name))}\n"
    yield f"p cnf {len(formula.names)} {len(formula.clauses)}\n"
    for clause in formula.clauses:
        yield f"{' '.join(map(str, clause))} 0\n" if clause else "0\n"


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(lines)


def _check_target(target: Path, force: bool) -> None:
    """Refuse a target that is taken; ``force`` replaces a proof, and nothing else."""
    check_target(target, force)
    if target.is_dir():
        for entry in target.iterdir():
            if not (entry.name in FILES or (entry.name.startswith("part-") and entry.is_dir())):
                raise InvalidInstance(
                    f"the folder holds {entry.name!r:.60}, which is not of a proof", "", "choose another folder", str(target)
                )


def _remove(target: Path) -> None:
    """Remove a proof's files and folders; whatever else lies in them is kept, and stops the removal."""
    for part in target.glob("part-*"):
        for name in PART_FILES:
            (part / name).unlink(missing_ok=True)
        part.rmdir()
    for name in FILES:
        (target / name).unlink(missing_ok=True)
    target.rmdir()


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A hidden sibling of the target, removed unless it was given the target's name."""
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        draft.chmod(0o755)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
