"""Write a folder that proves a lower bound on the weight of a sparse mask, for ``masksynth check-proof``.

The bound of a component is proved by linear programming duals where they reach it at once; otherwise by CaDiCaL, whose
DRUP proof refutes "weight is at most the bound - 1", or by a branch-and-bound tree with duals, whichever finishes
first. Resolution is better on tall orders, trees on wide ones. If neither finishes soon, CaDiCaL gets the bounds of
windows, which are proved first, as lemmas.
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
from masksynth.sparse.reduce import Component, Reduction, list_edges
from masksynth.sparse.sparse_problem import Edge, SparseProblem
from masksynth_solvers.sparse.branch import branch_tree, lp_bound
from masksynth_solvers.sparse.encoding import Formula, at_most, encode, encode_layers
from masksynth_solvers.sparse.nested import Lemma
from masksynth_solvers.sparse.refute import HAS_MODEL, REFUTED
from masksynth_solvers.sparse.write_lemmas import Lemmas, highest_bounds

FILES = ("problem.json", "relation.npy", "mask.npy")
PART_FILES = ("formula.cnf", "proof.drat", "tree.json")
ALONE = 2.0
"""Seconds for CaDiCaL before a branch-and-bound tree is built at the same time ..."""
BESIDE = 5.0
"""... and seconds for both before windows are tried."""


@dataclass(frozen=True)
class _Claim:
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
        entry = {
            "folder": self.folder.name,
            "demands": _lists(self.component.pairs),
            "edges": _lists(self.component.edges),
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
    """Write a proof folder, atomically.

    Parameters
    ----------
    folder : path
        The target. It must not exist or must be empty; with ``force`` it may contain another proof, which is replaced.
    problem : SparseProblem
    reduction : Reduction
        Its forced edges, cuts and components make up the bound. It is ignored for a layered problem, which is a single
        component.
    bounds : sequence of int
        The bound to prove for each component.
    mask : (n, n) bool, or (L, n, n) if layered
        A mask that carries the flow, with or without its diagonal.
    limits : Limits, optional
        ``seconds`` for all components together. Each gets an equal share, plus what earlier ones did not use.
    extra : mapping, optional
        Further keys of problem.json (``positions``, ``sha256``).
    force : bool
        Whether to replace another proof.
    inspect : function, optional
        Called with the finished folder before it is moved to the target, for instance
        ``masksynth.verify.proof.check_proof``. If it raises, nothing is written.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    InvalidInstance
        If the target exists and may not be replaced.
    Unsupported
        If a component is not proved within the limits.
    Contradiction
        If linear programming proves a bound above the weight of the mask in a component.
    MasksynthError
        If a bound is above the optimum, or the files cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from masksynth.sparse import reduce
    >>> from masksynth.verify.proof import check_proof
    >>> chain = np.tril(np.ones((5, 5), bool))
    >>> mask = chain.copy()
    >>> mask[[3, 4, 4], [0, 0, 1]] = False  # the hub 2 attends to all before it; all after it attend to the hub
    >>> mask[3, 1] = False
    >>> problem = SparseProblem(chain, 2)
    >>> place = write_proof(Path(tempfile.mkdtemp()) / "proof", problem, reduce(problem), [2], mask)
    >>> report = check_proof(place)
    >>> report.value, report.bound, report.optimal
    (6, 6, True)
    """
    started, target = monotonic(), Path(os.path.abspath(folder)).resolve()
    mask = np.reshape(mask, (-1, problem.size, problem.size) if problem.layered else problem.relation.shape)
    edges = [
        tuple(map(int, edge)) for edge in np.argwhere(mask) if edge[-2] != edge[-1]
    ]  # with its layer in front, if layered
    components = _proof_components(problem, reduction)
    if reduction.unreachable is not None or len(components) != len(bounds):
        unreachable = f", unreachable {reduction.unreachable}" if reduction.unreachable else ""
        raise InvalidInstance(
            f"expected {len(components)} bounds, one per component, got {len(bounds)}{unreachable}", ""
        )
    _check_target(target, force)
    end = inf if limits is None or limits.seconds is None else started + limits.seconds
    effort = inf if limits is None or limits.effort is None else limits.effort
    with writing_folder(target, force, _is_proof_file, what="the proof") as draft:
        lemmas = Lemmas(problem, reduction.forced)
        entries = []
        for index, (component, bound) in enumerate(zip(components, bounds, strict=True)):
            formula = encode_layers(problem) if problem.layered else encode(problem, reduction.forced, component)
            until = monotonic() + (end - monotonic()) / (len(components) - index)
            inside = set(component.edges)
            value = problem.cost(edge for edge in edges if edge[-2:] in inside)
            claim = _Claim(draft / f"part-{index:03d}", component, formula, int(bound), until, value)
            entries.append(_certify(claim, lemmas, effort))
        statement = _statement(problem, reduction, entries, lemmas.entries, mask) | dict(extra or {})
        _write(draft / "problem.json", [json.dumps(statement, ensure_ascii=True), "\n"])
        np.save(draft / "relation.npy", np.ascontiguousarray(problem.relation), allow_pickle=False)
        witness = np.ascontiguousarray(mask | np.eye(problem.size, dtype=bool))
        np.save(draft / "mask.npy", witness, allow_pickle=False)
        if inspect is not None:
            inspect(draft)
        _check_target(target, force)
    return target


def _proof_components(problem: SparseProblem, reduction: Reduction) -> tuple[Component, ...]:
    """Return the components as problem.json lists them: edges are pairs (query, key), also of a layered problem."""
    if not problem.layered:
        return reduction.components
    pairs = tuple((query, key) for query, key in list_edges(problem.relation) if query != key)
    return (Component(pairs, list_edges(problem.allowed)),)


def _statement(
    problem: SparseProblem,
    reduction: Reduction,
    components: Sequence[Mapping[str, Any]],
    lemmas: Sequence[Mapping[str, Any]],
    mask: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return the content of problem.json."""
    forced, cuts = ((), ()) if problem.layered else (sorted(reduction.forced), reduction.cuts)
    cut_weight = sum(min(map(problem.weight, cut.edges)) for cut in cuts)
    return {
        "masksynth_proof": 1,
        "size": problem.size,
        "layers": problem.layers,
        "layered": problem.layered,
        "forced": _lists(sorted(problem.forced)),
        "forbidden": _lists(sorted(problem.forbidden)),
        "weights": [[*edge, weight] for edge, weight in sorted(problem.weights.items()) if weight != 1],
        "value": problem.cost((int(q), int(k)) for *_, q, k in np.argwhere(mask) if q != k),
        "bound": problem.cost(forced) + cut_weight + sum(component["bound"] for component in components),
        "sure": _lists(forced),
        "packing": [{"edges": _lists(cut.edges), "demand": list(cut.pair)} for cut in cuts],
        "parts": list(components),
    } | ({"lemmas": list(lemmas)} if lemmas else {})


def _lists(edges: Iterable[Edge]) -> list[list[int]]:
    return [[int(number) for number in edge] for edge in edges]


def _certify(claim: _Claim, lemmas: Lemmas, effort: float) -> dict[str, Any]:
    """Prove the bound of a component in its folder; return its entry in problem.json."""
    layered = lemmas.problem.layered
    kind = _prove(claim, claim.until if layered else min(claim.until, monotonic() + ALONE + BESIDE))
    if kind or layered:
        return claim.entry(kind or _raise_unproved(claim))
    before = len(lemmas.entries)
    helped = _add_windows(claim, lemmas, effort)
    kind = _race(helped, claim.until)
    if kind == "drat":
        return helped.entry(kind, lemmas.window_records(helped.formula.windows))
    _drop_lemmas(claim, lemmas, before)
    return claim.entry(kind or _raise_unproved(claim))


def _prove(claim: _Claim, until: float) -> str:
    """Write a proof by duals alone, or by a race; return its kind, or an empty string if none is found in time."""
    return _by_duals(claim) or _race(claim, until)


def _by_duals(claim: _Claim) -> str:
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


def _race(claim: _Claim, until: float) -> str:
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


def _add_windows(claim: _Claim, lemmas: Lemmas, effort: float) -> _Claim:
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


def _prove_lemma(lemma: Lemma, claim: _Claim, lemmas: Lemmas) -> bool:
    """Prove a lemma (if duals do not suffice, after the lemmas that it uses); return whether it was done in time."""
    formula = encode(lemmas.problem, lemmas.forced, lemma.component)
    windows = highest_bounds(lemma.windows)

    def numbered(formula: Formula) -> _Claim:  # the number is the count of the lemmas proved by then
        folder = claim.folder.parent / f"lemma-{len(lemmas.entries):03d}"
        return _Claim(folder, lemma.component, formula, lemma.bound, claim.until)

    kind = _by_duals(numbered(formula))
    if not kind:
        if not all(_prove_lemma(inner, claim, lemmas) for inner in lemmas.missing(windows)):
            return False
        kind = _race(numbered(replace(formula, windows=windows)), claim.until)
    if kind:
        lemmas.add(lemma, numbered(formula).entry(kind, lemmas.window_records(windows) if kind == "drat" else ()))
    return bool(kind)


def _drop_lemmas(claim: _Claim, lemmas: Lemmas, before: int) -> None:
    """Remove the lemmas that were proved for a component and are not used."""
    for index in range(before, len(lemmas.entries) + 1):
        shutil.rmtree(claim.folder.parent / f"lemma-{index:03d}", ignore_errors=True)
    lemmas.truncate(before)


def _raise_unproved(claim: _Claim) -> NoReturn:
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
def _refuting(claim: _Claim) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run CaDiCaL on "weight <= bound - 1" in a process; None if the weights are too large for a counter."""
    try:
        _write(claim.folder / "formula.cnf", _dimacs(limit_weight(claim.formula, claim.bound - 1)))
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


def _write_tree(claim: _Claim, tree: Mapping[str, Any]) -> None:
    _write(claim.folder / "formula.cnf", _dimacs(claim.formula))
    _write(claim.folder / "tree.json", [json.dumps(tree, separators=(",", ":")), "\n"])


def _dimacs(formula: Formula) -> Iterator[str]:
    """Yield the lines of a formula in DIMACS format, with the names of variables as comments."""
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
    """Raise if a folder contains anything but a proof, even with ``force``."""
    check_folder(target, force)
    for entry in sorted(target.rglob("*")):
        nested = entry.parent != target
        expected = entry.name in PART_FILES if nested else _is_proof_file(entry.name)
        if not expected or entry.is_dir() == (nested or entry.name in FILES):
            fact = f"the folder contains {str(entry.relative_to(target))!r:.60}, which is not part of a proof"
            raise InvalidInstance(fact, "", "choose another folder", str(target))
