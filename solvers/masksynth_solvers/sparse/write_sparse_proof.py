"""Write a folder that proves a lower bound on the weight of a sparse mask, for ``masksynth check-proof``.

The bound of a component is proved by linear programming duals where they reach it at once; otherwise by CaDiCaL, whose
DRUP proof refutes "weight is at most the bound - 1", or by a branch-and-bound tree with duals, whichever finishes
first. Resolution is better on tall orders, trees on wide ones. If neither finishes soon, CaDiCaL gets the bounds of
windows, which are proved first, as lemmas.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.backends import Limits
from masksynth.errors import InvalidInstance
from masksynth.files import check_folder, writing_folder
from masksynth.sparse.reduce import Component, Reduction, list_edges
from masksynth.sparse.sparse_problem import SparseProblem
from masksynth_solvers.sparse.path_encoding import encode, encode_layers
from masksynth_solvers.sparse.prove_claim import Claim, certify, edge_lists, write_lines
from masksynth_solvers.sparse.symmetry_breaking import add_swaps, find_swaps
from masksynth_solvers.sparse.write_lemmas import Lemmas

FILES = ("problem.json", "relation.npy", "mask.npy")
PART_FILES = ("formula.cnf", "proof.drat", "tree.json")


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
    ]  # (layer, query, key) if layered
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
            add_swaps(formula, find_swaps(problem, formula.forced, component))
            until = monotonic() + (end - monotonic()) / (len(components) - index)
            inside = set(component.edges)
            value = problem.cost(edge for edge in edges if edge[-2:] in inside)
            claim = Claim(draft / f"part-{index:03d}", component, formula, int(bound), until, value)
            entries.append(certify(claim, lemmas, effort))
        statement = _statement(problem, reduction, entries, lemmas.entries, mask) | dict(extra or {})
        write_lines(draft / "problem.json", [json.dumps(statement, ensure_ascii=True), "\n"])
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
        "forced": edge_lists(sorted(problem.forced)),
        "forbidden": edge_lists(sorted(problem.forbidden)),
        "weights": [[*edge, weight] for edge, weight in sorted(problem.weights.items()) if weight != 1],
        "value": problem.cost((int(q), int(k)) for *_, q, k in np.argwhere(mask) if q != k),
        "bound": problem.cost(forced) + cut_weight + sum(component["bound"] for component in components),
        "sure": edge_lists(forced),
        "packing": [{"edges": edge_lists(cut.edges), "demand": list(cut.pair)} for cut in cuts],
        "parts": list(components),
    } | ({"lemmas": list(lemmas)} if lemmas else {})


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
