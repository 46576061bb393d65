"""Write a folder that proves a bound on the reads, or the cost, of every structure, for ``masksynth check-proof``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from masksynth.backends import Limits
from masksynth.contracts import Contracts, Weights, dump_contracts
from masksynth.discover.structure import Structure
from masksynth.errors import MasksynthError, Unsupported
from masksynth.files import writing_folder
from masksynth_solvers.discover.cheapest_model import Effort
from masksynth_solvers.discover.clauses import Prices
from masksynth_solvers.discover.demands import refuse_demands
from masksynth_solvers.discover.gates import bound_reads, encode_gates
from masksynth_solvers.discover.hub_forms import readable_blanks
from masksynth_solvers.discover.hubs import encode_hubs
from masksynth_solvers.discover.jobs import list_jobs, price_of
from masksynth_solvers.discover.layers import encode_layers
from masksynth_solvers.discover.places import blank_groups, lay_out
from masksynth_solvers.sparse.path_encoding import Formula
from masksynth_solvers.sparse.prove_claim import dimacs_lines, limit_weight, write_lines
from masksynth_solvers.sparse.refute import HAS_MODEL, REFUTED

Part = dict[str, Any]
FIRST = 10.0
"""Seconds for finding out whether gates prove the bound."""


def write_discovery_proof(
    folder: str | Path,
    contracts: Contracts,
    structure: Structure,
    limits: Limits | None = None,
    *,
    force: bool = False,
    inspect: Callable[[Path], object] | None = None,
) -> Path:
    """Write a proof folder, atomically: of the cost of one mask that is safe at any depth, else of the reads.

    Parameters
    ----------
    folder : path
        The target. It must not exist or must be empty; with ``force`` another proof is replaced.
    contracts : Contracts
    structure : Structure
        Pruned; the proof shows that no structure is cheaper, or has fewer reads.
    limits : Limits, optional
        ``seconds`` for all parts together.
    force : bool
    inspect : function, optional
        Called with the finished folder before it is moved, for instance ``masksynth.verify.proof.check_proof``.

    Returns
    -------
    Path
        The absolute path of the folder.

    Raises
    ------
    Unsupported
        If a bound is not proved within the limits, or the checker does not cover such contracts.
    MasksynthError
        If some structure is cheaper.

    Examples
    --------
    >>> import tempfile
    >>> from masksynth.contracts.families import leave_one_out
    >>> from masksynth.verify.proof import check_proof
    >>> from masksynth_solvers.discover.jobs import read_directly
    >>> contracts = leave_one_out(n=3)
    >>> place = write_discovery_proof(Path(tempfile.mkdtemp()) / "proof", contracts, read_directly(contracts))
    >>> report = check_proof(place)
    >>> report.claim, report.value, report.optimal
    ('cost', 36006, True)
    """
    _check_covered(contracts)
    until = inf if limits is None or limits.seconds is None else monotonic() + limits.seconds
    reads = sum(len(table.query) for table in structure.reads)
    by_layers = _needs_layers(contracts, reads, limits)
    by_hubs = contracts.masks == "one" and contracts.layers is None and contracts.weights.count == "structure"
    is_cost = by_hubs or by_layers
    value = price_of(structure, contracts) if is_cost else reads
    target = Path(os.path.abspath(folder)).resolve()
    with writing_folder(target, force, _is_proof_file, what="the proof") as draft:
        parts: list[Part] = []
        write_parts = _layer_parts if by_layers else _cost_parts if is_cost else _gate_parts
        for sizes, formula in write_parts(contracts, value):
            parts.append({"folder": f"part-{len(parts):03d}"} | sizes)
            _refute(draft / parts[-1]["folder"], formula, until)
        witness = {
            "element": structure.element.tolist(),
            "reads": [
                [list(pair) for pair in zip(table.query.tolist(), table.key.tolist(), strict=True)]
                for table in structure.reads
            ],
            "target": structure.target.tolist(),
        }
        claim = {"claim": "cost" if is_cost else "reads", "value": value, "bound": value}
        statement = {"masksynth_discovery_proof": 1} | claim | {"witness": witness, "parts": parts}
        write_lines(draft / "problem.json", [json.dumps(statement), "\n"])
        write_lines(draft / "contracts.json", [dump_contracts(contracts)])
        if inspect is not None:
            inspect(draft)
    return target


def _check_covered(contracts: Contracts) -> None:
    """Raise Unsupported for contracts that the checker of proofs does not cover."""
    refuse_demands(contracts)
    if contracts.same_blanks or len(set(blank_groups(contracts))) < len(contracts.targets):
        raise Unsupported("proofs do not cover blanks that are interchangeable, or may be shared; leave out the proof")


def _needs_layers(contracts: Contracts, reads: int, limits: Limits | None) -> bool:
    """Return whether fewer gates than a structure with a mask per layer has are known, so that they prove less.

    Its cost can be proved instead if all targets are queries.
    """
    if contracts.masks == "one" or contracts.weights.count == "layer" or not contracts.weights.pair:
        return False
    if any(target.place == "any" for target in contracts.targets) or _can_further_pay(contracts, reads):
        return False
    bound = bound_reads(contracts, Effort(min(FIRST, (limits and limits.seconds) or FIRST)))
    return bound.exact and bound.reads < reads


def _can_further_pay(contracts: Contracts, reads: int) -> bool:
    """Return whether a structure with a further position, which reads, may cost less than one of so many reads."""
    prices, asking = Prices.of(contracts.weights), int(contracts.need.any(axis=1).sum())
    return prices.position + prices.pair * (asking + 1) < prices.pair * reads


def _layer_parts(contracts: Contracts, value: int) -> list[tuple[Part, Formula]]:
    """Return what is to be refuted so that no structure with a mask per layer is cheaper: too few reads."""
    prices, places = Prices.of(contracts.weights), lay_out(contracts)
    most = (value - 1 - prices.position * places.size) // prices.pair
    by_reads = replace(contracts, weights=Weights(0, 0, 1, "structure"))
    return [({"further": 0, "reads": most}, limit_weight(encode_layers(by_reads).formula, most))]


def _gate_parts(contracts: Contracts, reads: int) -> list[tuple[Part, Formula]]:
    """Return what is to be refuted so that no structure has fewer reads: each number of gates that is too small."""
    places = lay_out(contracts)
    asking = sum(places.paid[blank] and bool(row.any()) for blank, row in zip(places.blank, places.need, strict=True))
    return [({"gates": gates}, encode_gates(contracts, gates)) for gates in range(reads - asking)]


def _cost_parts(contracts: Contracts, value: int) -> list[tuple[Part, Formula]]:
    """Return what is to be refuted so that no structure is cheaper: reads, for numbers of hubs and raw hubs."""
    if not contracts.weights.pair:
        raise Unsupported("a proof of the cost needs a price of pairs; leave out the proof")
    by_reads = replace(contracts, weights=Weights(0, 0, 1, "structure"))
    parts = []
    for _, job in list_jobs(contracts, value):
        model = encode_hubs(by_reads, job.size, job.raw)
        if readable_blanks(model):
            raise Unsupported(
                "a proof of the cost needs queries each of which hides what each other one needs; leave out the proof"
            )
        most = (value - 1 - encode_hubs(contracts, job.size, job.raw).offset) // Prices.of(contracts.weights).pair
        parts.append(({"hubs": job.size, "raw": job.raw, "reads": most}, limit_weight(model.formula, most)))
    return parts


def _refute(folder: Path, formula: Formula, until: float) -> None:
    """Write a formula and its DRUP refutation by CaDiCaL, in a process that can be stopped."""
    write_lines(folder / "formula.cnf", dimacs_lines(formula))
    command = [sys.executable, "-m", "masksynth_solvers.sparse.refute", str(folder / "formula.cnf")]
    left = None if until == inf else max(0.0, until - monotonic())
    try:
        done = subprocess.run(
            [*command, str(folder / "proof.drat")], stdin=subprocess.DEVNULL, capture_output=True, timeout=left
        )
    except subprocess.TimeoutExpired:
        raise Unsupported(
            f"{folder.name}: the bound is not proved within the limits; give more time, or leave out the proof"
        ) from None
    if done.returncode == HAS_MODEL:
        raise MasksynthError(
            f"{folder.name}: there is a smaller structure, so there is no proof that this is the least"
        )
    if done.returncode != REFUTED:
        raise MasksynthError(f"{folder.name}: CaDiCaL failed: {done.stderr.decode(errors='replace')[-200:]}")


def _is_proof_file(name: str) -> bool:
    """Return whether a file or folder of a proof has this name."""
    return name in ("problem.json", "contracts.json") or name.startswith("part-")
