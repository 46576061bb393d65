"""``write_proof``: a folder that proves a lower bound on the weight of a sparse mask, part by part, for ``masksynth check-proof``.

The bound of a part is proved by linear programming duals where they reach it at once; else by CaDiCaL, whose DRUP proof refutes "weight is
at most the bound - 1", or by a branch tree with duals, whichever ends first. Tall orders are better for the one, wide ones for the other.
Where neither comes soon, CaDiCaL gets the help of windows, whose bounds are proved first, as lemmas.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from masksynth.backends import Limits
from masksynth.errors import Contradiction, InvalidInstance, MasksynthError, Unsupported
from masksynth.files import check_folder, write_to_disk, writing_folder
from masksynth.sparse.reduce import Part, Reduction
from masksynth.sparse.sparse_problem import Edge, SparseProblem
from masksynth_solvers.sparse.branch import branch_tree, lp_bound
from masksynth_solvers.sparse.encoding import Formula, at_most, encode, encode_layers
from masksynth_solvers.sparse.nested import Lemma
from masksynth_solvers.sparse.refute import HAS_MODEL, REFUTED
from masksynth_solvers.sparse.write_lemmas import Lemmas, foremost

FILES = ("problem.json", "relation.npy", "mask.npy")
PART_FILES = ("formula.cnf", "proof.drat", "tree.json")
ALONE = 2.0
"""Seconds that CaDiCaL is given before a branch tree is grown beside it ..."""
BESIDE = 5.0
"""... and both before windows are tried."""


@dataclass(frozen=True)
class _Claim:
    """A part, or a lemma, whose bound is to be proved in a folder until a time; of a part, what the mask weighs in it."""

    folder: Path
    part: Part
    formula: Formula
    bound: int
    until: float
    value: int | None = None

    def entry(self, kind: str, windows: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """What problem.json says of it."""
        entry = {
            "folder": self.folder.name,
            "demands": _lists(self.part.demands),
            "edges": _lists(self.part.edges),
            "bound": self.bound,
            "kind": kind,
        }
        return entry | {"windows": list(windows)} if windows else entry


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
    Contradiction
        If linear programming proves of a part more than the mask weighs in it.
    MasksynthError
        If a bound is above the optimum, or the files cannot be written.

    Examples
    --------
    >>> from masksynth.sparse import reduce
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
    edges = [
        tuple(map(int, edge)) for edge in np.argwhere(mask) if edge[-2] != edge[-1]
    ]  # with its layer in front, if layered
    parts = _parts(problem, reduction)
    if reduction.unreachable is not None or len(parts) != len(bounds):
        raise InvalidInstance(
            f"{len(bounds)} bounds for a reduction of {len(parts)} parts, unreachable {reduction.unreachable}", ""
        )
    _check_target(target, force)
    end = inf if limits is None or limits.seconds is None else begun + limits.seconds
    effort = inf if limits is None or limits.effort is None else limits.effort
    with writing_folder(target, force, _is_proof_file, what="the proof") as draft:
        lemmas = Lemmas(problem, reduction.sure)
        entries = []
        for place, (part, bound) in enumerate(zip(parts, bounds, strict=True)):
            formula = encode_layers(problem) if problem.layered else encode(problem, reduction.sure, part)
            until = monotonic() + (end - monotonic()) / (len(parts) - place)
            held = set(part.edges)
            value = problem.cost(edge for edge in edges if edge[-2:] in held)
            claim = _Claim(draft / f"part-{place:03d}", part, formula, int(bound), until, value)
            entries.append(_certify(claim, lemmas, effort))
        statement = _statement(problem, reduction, entries, lemmas.entries, mask) | dict(extra or {})
        _write(draft / "problem.json", [json.dumps(statement, ensure_ascii=True), "\n"])
        np.save(draft / "relation.npy", np.ascontiguousarray(problem.relation), allow_pickle=False)
        np.save(
            draft / "mask.npy", np.ascontiguousarray(mask | np.eye(problem.size, dtype=bool)), allow_pickle=False
        )
        if inspect is not None:
            inspect(draft)
        _check_target(target, force)
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
    parts: Sequence[Mapping[str, Any]],
    lemmas: Sequence[Mapping[str, Any]],
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
        "bound": problem.cost(sure) + sum(hits) + sum(part["bound"] for part in parts),
        "sure": _lists(sure),
        "packing": [{"edges": _lists(hit.edges), "demand": list(hit.demand)} for hit in packing],
        "parts": list(parts),
    } | ({"lemmas": list(lemmas)} if lemmas else {})


def _lists(edges: Iterable[Edge]) -> list[list[int]]:
    return [[int(number) for number in edge] for edge in edges]


def _certify(claim: _Claim, lemmas: Lemmas, effort: float) -> dict[str, Any]:
    """Prove the bound of a part in its folder; return its entry in problem.json."""
    layered = lemmas.problem.layered
    kind = _prove(claim, claim.until if layered else min(claim.until, monotonic() + ALONE + BESIDE))
    if kind or layered:
        return claim.entry(kind or _unproved(claim))
    before = len(lemmas.entries)
    helped = _helped(claim, lemmas, effort)
    kind = _race(helped, claim.until)
    if kind == "drat":
        return helped.entry(kind, lemmas.used(helped.formula.windows))
    _forget(claim, lemmas, before)
    return claim.entry(kind or _unproved(claim))


def _prove(claim: _Claim, until: float) -> str:
    """The kind of proof that is in the folder, by duals alone or a race; nothing if none is found in time."""
    return _by_duals(claim) or _race(claim, until)


def _by_duals(claim: _Claim) -> str:
    """``duals`` if linear programming proves the bound at once; raise if it proves more than the mask weighs."""
    reached, tree = lp_bound(claim.formula)
    if claim.value is not None and reached > claim.value:
        raise Contradiction("linear programming", reached, "the search", claim.value, claim.folder.name)
    if reached < claim.bound:
        return ""
    _write_tree(claim, tree)
    return "duals"


def _race(claim: _Claim, until: float) -> str:
    """CaDiCaL, and after a while a branch tree beside it: the kind of the first proof; nothing if none is found in time."""
    with _refuting(claim) as child:
        if _proved(claim, child, min(ALONE, (until - monotonic()) / 3)):
            return "drat"
        grown = branch_tree(claim.formula, claim.bound, until, stop=lambda: _proved(claim, child, 0))
        if grown is None:
            return "drat" if _proved(claim, child, until - monotonic()) else ""
    (claim.folder / "proof.drat").unlink(missing_ok=True)
    _write_tree(claim, grown)
    return "duals"


def _helped(claim: _Claim, lemmas: Lemmas, effort: float) -> _Claim:
    """The claim with the help of windows, whose lemmas are proved beside its folder; as it was where one is not proved in time."""
    before = len(lemmas.entries)
    try:
        windows = lemmas.windows(claim.part, claim.bound, monotonic() + (claim.until - monotonic()) / 2, effort)
    except Unsupported:  # the weights are too many to count
        return claim
    if all(_lemma(lemma, claim, lemmas) for lemma in lemmas.needed(windows)):
        return replace(claim, formula=replace(claim.formula, windows=windows))
    _forget(claim, lemmas, before)
    return claim


def _lemma(lemma: Lemma, claim: _Claim, lemmas: Lemmas) -> bool:
    """Prove a lemma for a claim, after those that it uses itself if duals alone are not enough; whether it was in time."""
    formula, windows = encode(lemmas.problem, lemmas.sure, lemma.part), foremost(lemma.windows)

    def numbered(formula: Formula) -> _Claim:
        return _Claim(
            claim.folder.parent / f"lemma-{len(lemmas.entries):03d}", lemma.part, formula, lemma.bound, claim.until
        )

    kind = _by_duals(numbered(formula))
    if not kind:
        if not all(_lemma(inner, claim, lemmas) for inner in lemmas.needed(windows)):
            return False
        kind = _race(numbered(replace(formula, windows=windows)), claim.until)
    if kind:
        lemmas.keep(lemma, numbered(formula).entry(kind, lemmas.used(windows) if kind == "drat" else ()))
    return bool(kind)


def _forget(claim: _Claim, lemmas: Lemmas, before: int) -> None:
    """Remove the lemmas that were proved for a part in vain."""
    for place in range(before, len(lemmas.entries) + 1):
        shutil.rmtree(claim.folder.parent / f"lemma-{place:03d}", ignore_errors=True)
    lemmas.forget(before)


def _unproved(claim: _Claim) -> NoReturn:
    raise Unsupported(
        f"{claim.folder.name} ({len(claim.part.demands)} demands, {len(claim.part.edges)} edges): the bound {claim.bound} is not proved"
        " within the limits; give more time, or leave out the proof"
    )


def cheaper(formula: Formula, most: int) -> Formula:
    """The formula of a part with "the weight is at most ``most``" added, and what windows leave of that to the edges outside them.

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
    for place, window in enumerate(formula.windows):
        rest, left = counted.terms(set(window.part.edges)), most - window.bound
        if left < 0:
            counted.add([])
        elif left < len(rest):
            counted.add([-at_most(counted, left, rest, ("rest", place))[left]])
    return counted


@contextmanager
def _refuting(claim: _Claim) -> Iterator[subprocess.Popen[bytes] | None]:
    """CaDiCaL at work on "weight is at most the bound - 1"; None where the weights are too many to count."""
    try:
        _write(claim.folder / "formula.cnf", _dimacs(cheaper(claim.formula, claim.bound - 1)))
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


def _proved(claim: _Claim, child: subprocess.Popen[bytes] | None, seconds: float) -> bool:
    """Whether CaDiCaL has written its proof, or does so within some seconds."""
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
    path.parent.mkdir(exist_ok=True)
    write_to_disk(path, (line.encode("ascii") for line in lines))


def _is_proof_file(name: str) -> bool:
    """Return whether a file or folder of a proof has this name."""
    return name in FILES or name.startswith(("part-", "lemma-"))


def _check_target(target: Path, force: bool) -> None:
    """Refuse a folder that contains anything but a proof, whatever ``force`` says."""
    check_folder(target, force)
    for entry in sorted(target.rglob("*")):
        nested = entry.parent != target
        expected = entry.name in PART_FILES if nested else _is_proof_file(entry.name)
        if not expected or entry.is_dir() == (nested or entry.name in FILES):
            fact = f"the folder holds {str(entry.relative_to(target))!r:.60}, which is not of a proof"
            raise InvalidInstance(fact, "", "choose another folder", str(target))
