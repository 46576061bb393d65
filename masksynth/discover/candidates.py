"""Structures by construction from which a search starts."""

from __future__ import annotations

from collections.abc import Iterator

from masksynth.contracts import Contracts
from masksynth.discover.direct import direct
from masksynth.discover.structure import Structure


def candidates(contracts: Contracts) -> Iterator[Structure]:
    """Yield the structures that constructions give for contracts."""
    yield direct(contracts)
