"""Exact searches for leave-one-out: least reads by layers, least cost of one mask, the jobs behind it, and proofs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.results import Result, Table, table
from masksynth.backends import Limits
from masksynth.contracts import Weights
from masksynth.contracts.families import leave_one_out
from masksynth.discover.constructions import constructions_for
from masksynth.discover.exact_backends import discover_backend
from masksynth.discover.measure import measure
from masksynth.discover.structure import Structure, prune
from masksynth.verify.proof import check_proof
from masksynth_solvers.discover.cheapest_model import Effort
from masksynth_solvers.discover.gates import bound_reads
from masksynth_solvers.discover.jobs import Job, check_contexts, list_jobs, run_job
from masksynth_solvers.discover.two_layers import least_reads
from masksynth_solvers.discover.write_structure_proof import write_discovery_proof

READS, UNIT = Weights(0, 0, 1, "structure"), Weights(1, 1, 1, "structure")
LAYERED = ((3, 1), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3), (6, 1), (6, 2), (6, 3))
"""(n, L) of the rows of the first table."""
FAMILIES = {3: 6, 4: 10, 5: 15, 6: 20}
"""n to the reads up to which families of sets are looked at."""
CERTIFIED = 6
"""Up to this n proofs are written and checked."""


def measure_exact(max_size: int, limit: float) -> Result:
    """Return the tables; ``limit`` is in seconds for each search, ``max_size`` the most tokens."""
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        parts = (_by_layers, _by_gates, _by_one_mask, _by_jobs)
        tables = tuple(pool.map(_run, parts, [max_size] * 4, [limit] * 4))
    notes = (
        f"Seconds are CPU seconds. A search at 2n positions ends after {limit:g} s on the clock; gates, one mask and "
        "jobs after 10 or 20 times as much. No row uses a theorem of the page; CP-SAT is given the gate bound.",
        "Reads by layers: weights 0 for positions, 1 for reads. A gate bound holds for any positions and any depth, "
        "families for any positions at two layers; in one layer only raw elements can be read.",
        "One mask: positions + reads. Jobs: is there a structure with these hubs that is cheaper than 7 n - 8?",
    )
    return Result(tables, notes)


def _run(part: Callable[[int, float], Table], max_size: int, limit: float) -> Table:
    return part(max_size, limit)


def _timed(work: Callable[[], Any]) -> tuple[Any, str]:
    begun = process_time()
    return work(), f"{process_time() - begun:.2f}"


def _by_layers(max_size: int, limit: float) -> Table:
    """Return E(n, L) with all that found and proved it; raise if two methods differ."""
    rows = []
    pairs = [(n, layers) for n, layers in LAYERED if n <= max_size]
    gates = {n: bound_reads(leave_one_out(n=n), Effort(limit)) for n in {n for n, _ in pairs}}
    for n, layers in pairs:
        contracts = replace(leave_one_out(n=n, layers=layers), weights=READS, masks="layered")
        found: list[tuple[int, str]] = []
        for structure in constructions_for(contracts):
            pruned = prune(structure, "layered")
            check_contexts(pruned, contracts)
            found.append((_reads(pruned), f"construction ({pruned.found_by})"))
        bounds = [(gates[n].reads, "gates (SAT)")]
        cells = []
        for engine, name in (("cpsat", "CP-SAT"), ("maxsat", "MaxSAT")):
            result, seconds = _timed(partial(run_job, Job(contracts, 0, reads=gates[n].reads), engine, Effort(limit)))
            found += [(result.price, name)] if result.price is not None else []
            closed = result.price is not None and result.price == result.bound
            cells.append(f"{result.price} in {seconds}" if closed else f">= {result.bound} in {seconds}")
        if layers == 1:
            bounds.append((n * (n - 1), "one layer"))
        if layers == 2 and n in FAMILIES:
            families, seconds = _timed(partial(least_reads, n, FAMILIES[n]))
            found.append((families.reads, "families"))
            bounds.append((families.reads, f"{families.families} families in {seconds}"))
        value, finder = min(found)
        bound, prover = max(bounds)
        if bound > value:
            raise AssertionError(f"E({n}, {layers}): {prover} proves {bound}, but {finder} found {value}")
        rows.append([n, layers, value, bound, finder, prover, *cells])
    head = ["n", "L", "reads", "bound", "found by", "bound by", "CP-SAT at 2n positions", "MaxSAT at 2n positions"]
    return table(head, rows)


def _reads(structure: Structure) -> int:
    return sum(len(reads.query) for reads in structure.reads)


def _by_gates(max_size: int, limit: float) -> Table:
    """Return the least number of gates for each n."""
    rows = []
    for n in range(3, min(max_size, 7) + 1):
        bound, seconds = _timed(partial(bound_reads, leave_one_out(n=n), Effort(20 * limit)))
        rows.append([n, bound.gates if bound.exact else f">= {bound.gates}", bound.reads, seconds])
    return table(["n", "gates", "reads at any depth, at least", "SAT s"], rows)


def _by_one_mask(max_size: int, limit: float) -> Table:
    """Return the least positions + reads of one mask, by each search, with a proof where one is written."""
    rows = []
    for n in range(3, min(max_size, 6) + 1):
        contracts = replace(leave_one_out(n=n), weights=UNIT)
        best = min(
            (prune(structure, "one") for structure in constructions_for(contracts)),
            key=lambda structure: measure(structure, contracts).cost,
        )
        check_contexts(best, contracts)
        cells, bounds = [], []
        for name in ("cpsat", "maxsat"):
            outcome, seconds = _timed(partial(discover_backend(name).solve, contracts, Limits(10 * limit), best))
            check_contexts(outcome.structure, contracts)
            bounds.append(int(outcome.bound))
            cells.append(f"{seconds}" if outcome.finished else f">= {outcome.bound:g} in {seconds}")
        sizes_of = measure(best, contracts)
        proof = _certify(n, best) if n <= CERTIFIED else "-"
        shown = f"{sizes_of.positions} + {sizes_of.edges} = {int(sizes_of.cost)}"
        rows.append([n, shown, max(bounds), best.found_by, *cells, proof])
    return table(["n", "cost", "bound", "found by", "CP-SAT s", "MaxSAT s", "proof (DRUP)"], rows)


def _certify(n: int, structure: Structure) -> str:
    """Return the length of a proof that was written and checked."""
    contracts = replace(leave_one_out(n=n), weights=UNIT)
    with tempfile.TemporaryDirectory() as place:
        folder = write_discovery_proof(Path(place) / "proof", contracts, structure)
        report, seconds = _timed(partial(check_proof, folder))
    if not report.optimal:
        raise AssertionError(f"n = {n}: the proof does not show that the structure is the least")
    return f"{sum(part.lines for part in report.parts)} steps, checked in {seconds}"


def _by_jobs(max_size: int, limit: float) -> Table:
    """Return the verdict on each number of hubs and raw hubs below 7 n - 8."""
    rows = []
    for n in range(5, min(max_size, 7) + 1):
        contracts = replace(leave_one_out(n=n), weights=UNIT)
        for floor, job in sorted(list_jobs(contracts, 7 * n - 8), key=lambda pair: (pair[1].size, pair[1].raw)):
            result, seconds = _timed(partial(run_job, job, "sat", Effort(10 * limit)))
            rows.append([n, job.size, job.raw, floor, result.verdict, seconds])
    return table(["n", "hubs", "raw", "cost at least, by counting", "cheaper than 7n - 8", "SAT s"], rows)
