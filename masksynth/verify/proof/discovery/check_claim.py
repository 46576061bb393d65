"""``check_discovery``: check a folder with the proof that no structure for contracts has fewer reads, or costs less.

Claim ``reads``: every structure, with one mask or a mask per layer, at any depth and with any positions, has at least
``bound`` reads. A position that takes in a context forms a union of two, except for the first read of a blank; each of
the blanks that every structure has for a need reads; so reads >= gates + blanks, and the parts refute each smaller
number of gates.

Claim ``cost``: position x positions + pair x reads is at least ``bound`` for every structure with one mask, safe at any
depth. The parts refute, for each number of hubs and raw hubs, the numbers of reads that would make it cheaper, unless
fewer reads than these are impossible anyway. With a mask per layer and queries alone, one part refutes the numbers of
reads that would make a structure of elements and blanks cheaper; a further position must cost too much for any.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import msgspec

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.verify.proof.compare_formula import compare_clauses
from masksynth.verify.proof.dimacs import read_formula
from masksynth.verify.proof.discovery.contract_sets import ContractSets, read_contract_sets
from masksynth.verify.proof.discovery.gate_formula import gate_clauses
from masksynth.verify.proof.discovery.hub_formula import hub_clauses, is_separated, separate_elements
from masksynth.verify.proof.discovery.layer_formula import layer_clauses
from masksynth.verify.proof.discovery.witness import Witness, check_witness
from masksynth.verify.proof.formula import Clause
from masksynth.verify.proof.proof_files import read_json
from masksynth.verify.proof.proof_report import PartReport, ProofReport
from masksynth.verify.proof.refutation import check_refutation

Small = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Price = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class ClaimedSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part: there is no circuit of this many gates, or no structure with these hubs and at most this many reads.

    With a mask per layer ``further`` replaces hubs: the number of positions besides elements and blanks, here 0.
    """

    folder: str
    gates: Small | None = None
    hubs: Small | None = None
    raw: Small | None = None
    reads: Price | None = None
    further: Small | None = None


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of problem.json."""

    masksynth_discovery_proof: Literal[1]
    claim: Literal["reads", "cost"]
    value: Price
    bound: Price
    witness: Witness
    parts: tuple[ClaimedSize, ...]


def check_discovery(folder: Path, checker: str | None = None) -> ProofReport:
    """Check a proof about contracts; `masksynth.verify.proof.check_proof` calls this where there is a contracts.json.

    Raises
    ------
    InvalidInstance
        If a file is missing, unreadable or malformed.
    WrongAnswer
        ``proof``: naming the file and the part that is wrong, and why.
    """
    contracts = read_contract_sets(folder / "contracts.json")
    claim = _read_claim(folder / "problem.json")
    positions, reads = check_witness(contracts, claim.witness)
    value = reads if claim.claim == "reads" else contracts.position * positions + contracts.pair * reads
    if value != claim.value:
        raise _wrong(f"the structure has the {claim.claim} {value}, not {claim.value}")
    for number, part in enumerate(claim.parts):
        if part.folder != f"part-{number:03d}":
            raise _wrong(f"expected the part part-{number:03d}, got {part.folder!r:.40}")
    _check_bound(contracts, claim)
    if claim.bound > value:
        raise _wrong(f"the bound {claim.bound} is above the value {value}")
    parts = tuple(_check_part(folder, contracts, part, checker) for part in claim.parts)
    optimal = claim.bound == value
    layers = contracts.layers
    return ProofReport(positions, layers, contracts.layered, value, claim.bound, optimal, parts, (), claim.claim)


def _read_claim(path: Path) -> Claim:
    """Return the content of problem.json."""
    content = read_json(path)
    try:
        return msgspec.convert(content, Claim, strict=True)
    except msgspec.ValidationError as error:
        fact, _, place = str(error).partition(" - at `")
        raise InvalidInstance(fact[0].lower() + fact[1:], place.rstrip("`") or "$", source=str(path)) from None


def _check_bound(contracts: ContractSets, claim: Claim) -> None:
    """Check that the parts, if each is right, prove the bound."""
    gates = {part.gates for part in claim.parts if part.gates is not None}
    refuted = next(number for number in count() if number not in gates)
    reads = refuted + contracts.asking
    if claim.claim == "reads":
        if claim.bound > reads:
            raise _wrong(f"the bound {claim.bound} is above the {reads} reads that the parts prove")
        return
    if contracts.layered and contracts.by_structure and contracts.pair and not any(contracts.anywhere):
        _check_layered(contracts, claim, reads)
        return
    if contracts.layered or contracts.layers is not None or not contracts.by_structure or not contracts.pair:
        raise _wrong("a bound on the cost needs one mask at any depth, the count 'structure' and a price of pairs")
    if not is_separated(contracts):
        raise _wrong("a bound on the cost needs queries each of which hides something that each other one needs")
    given = {(part.hubs, part.raw): part.reads for part in claim.parts if part.hubs is not None}
    for hubs, raw, most in cheaper_sizes(contracts, claim.bound, reads):
        if (given.get((hubs, raw)) or -1) < most:
            raise _wrong(f"no part refutes {hubs} hubs, {raw} of them raw, and {most} reads")


def _check_layered(contracts: ContractSets, claim: Claim, reads: int) -> None:
    """Check that the parts prove a bound on the cost of a mask per layer.

    A structure with x further positions has asking + x reads or more: each of them reads, as equal raw positions are
    one, and a blank that does not read says nothing.
    """
    given = max((part.reads or 0 for part in claim.parts if part.further == 0), default=-1)
    size = len(contracts.elements) + len(contracts.need)
    for further in (0, 1):  # each one more costs more, and does not lower the least number of reads
        most = (claim.bound - 1 - contracts.position * (size + further)) // contracts.pair
        if most >= max(reads, contracts.asking + further) and (further or given < most):
            raise _wrong(f"no part refutes {further} further positions and {most} reads")


def cheaper_sizes(contracts: ContractSets, bound: int, reads: int) -> Iterator[tuple[int, int, int]]:
    """Yield (hubs, raw hubs, most reads) of the structures that might cost less than a bound.

    Every needed element is embedded, and a separate one without a raw hub twice. Each hub that reads has a read, and so
    has each blank with a need; each raw hub is read, and each other hub twice.
    """
    separate = len(separate_elements(contracts))
    for hubs in count(len(contracts.elements)):
        most = (bound - 1 - contracts.position * (hubs + len(contracts.need))) // contracts.pair
        least = []
        for raw in range(min(hubs, len(contracts.elements)) + 1):
            inner = hubs - raw
            least.append(max(reads, contracts.asking + inner, 2 * inner + raw))
            if inner >= 2 * (separate - raw) and least[-1] <= most:
                yield hubs, raw, most
        if min(least) > most:  # and so it is for more hubs: most falls, and the least number of reads grows
            return


def _check_part(folder: Path, contracts: ContractSets, part: ClaimedSize, checker: str | None) -> PartReport:
    """Compare the formula of a part with that of the contracts, and check its refutation."""
    begun = perf_counter()
    clauses, bound = _expected(contracts, part)
    formula = read_formula(folder / part.folder / "formula.cnf")
    compare_clauses(formula, clauses, f"{part.folder}/formula.cnf")
    lines = check_refutation(formula, folder / part.folder / "proof.drat", checker)
    return PartReport(part.folder, "drat", bound, len(formula.clauses), lines, perf_counter() - begun)


def _expected(contracts: ContractSets, part: ClaimedSize) -> tuple[Iterator[Clause], int]:
    """Return the clauses of a part, and the number of gates or reads that it proves."""
    sizes: tuple[Any, ...] = part.gates, part.hubs, part.raw, part.reads, part.further
    if part.gates is not None and sizes[1:] == (None, None, None, None):
        return gate_clauses(contracts, part.gates), part.gates + 1
    if part.further == 0 and sizes[:3] == (None, None, None) and part.reads is not None:
        if not contracts.layered or any(contracts.anywhere):
            raise _wrong(f"{part.folder}: such a part is about queries and a mask per layer")
        return layer_clauses(contracts, part.reads), part.reads + 1
    if (
        part.gates is not None
        or part.further is not None
        or part.hubs is None
        or part.raw is None
        or part.reads is None
    ):
        raise _wrong(f"{part.folder}: expected gates, or hubs, raw and reads")
    if part.raw > part.hubs or part.hubs * len(contracts.need) > 10**5:
        raise _wrong(f"{part.folder}: more raw hubs than hubs, or too many")
    return hub_clauses(contracts, part.hubs, part.raw, part.reads), part.reads + 1


def _wrong(fact: str) -> WrongAnswer:
    return WrongAnswer("proof", f"problem.json: {fact}")
