"""The structure of a claim: positions, reads layer by layer, and the place of each target."""

from __future__ import annotations

from typing import Annotated

import msgspec

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.discovery.contract_sets import ContractSets

MOST_POSITIONS = 10_000
Place = Annotated[int, msgspec.Meta(ge=0, lt=MOST_POSITIONS)]


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The element that each position embeds, -1 if none; pairs (query, key) of each layer; where targets are."""

    element: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=-1)], ...], msgspec.Meta(min_length=1, max_length=MOST_POSITIONS)
    ]
    reads: Annotated[tuple[tuple[tuple[Place, Place], ...], ...], msgspec.Meta(min_length=1)]
    target: tuple[Place, ...]


def check_witness(contracts: ContractSets, witness: Witness) -> tuple[int, int]:
    """Check that a structure keeps the contracts; return its positions and reads.

    Raises
    ------
    WrongAnswer
        ``proof``, with what is wrong.
    """
    size = len(witness.element)
    masks = contracts.layers if contracts.layered else 1
    if len(witness.reads) != masks or len(witness.target) != len(contracts.need):
        raise _wrong(f"expected {masks} masks and {len(contracts.need)} targets")
    if max(map(max, (pair for reads in witness.reads for pair in reads)), default=0) >= size:
        raise _wrong(f"a read of a position beyond {size - 1}")
    for reads in witness.reads:
        if len(set(reads)) < len(reads) or any(query == key for query, key in reads):
            raise _wrong("a read that is repeated, or of the reader itself")
    _check_places(contracts, witness)
    start = [frozenset() if e < 0 else frozenset({e}) for e in witness.element]
    depth = len(witness.reads) if contracts.layered else contracts.layers or size
    arrived = _flow(start, witness, depth)
    ever = arrived if contracts.layered else _flow(arrived, witness, size)
    for t, place in enumerate(witness.target):
        if not contracts.need[t] <= arrived[place]:
            raise _wrong(f"target {t} lacks the element {min(contracts.need[t] - arrived[place])}")
        if seen := contracts.hide[t] & ever[place]:
            raise _wrong(f"target {t} sees the element {min(seen)}")
    return size, sum(map(len, witness.reads))


def _check_places(contracts: ContractSets, witness: Witness) -> None:
    """Check that queries have a blank each, and other targets a blank or an element of their need."""
    blanks = set()
    for t, place in enumerate(witness.target):
        if place >= len(witness.element):
            raise _wrong(f"target {t} is at a position beyond {len(witness.element) - 1}")
        if (element := witness.element[place]) < 0:
            if place in blanks:
                raise _wrong(f"target {t} shares a blank")
            blanks.add(place)
        elif not contracts.anywhere[t] or element not in contracts.need[t]:
            raise _wrong(f"target {t} is at a position that embeds {element}")


def _flow(state: list[frozenset[int]], witness: Witness, layers: int) -> list[frozenset[int]]:
    """Return the contexts after some layers."""
    for layer in range(layers):
        after = list(state)
        for query, key in witness.reads[layer % len(witness.reads)]:
            after[query] |= state[key]
        state = after
    return state


def _wrong(fact: str) -> WrongAnswer:
    return WrongAnswer("proof", f"problem.json: the structure: {fact}")
