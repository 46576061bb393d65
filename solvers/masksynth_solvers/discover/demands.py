"""Demands beyond contracts, as clauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from masksynth.errors import Unsupported

if TYPE_CHECKING:
    from masksynth_solvers.discover.layers import Layered


def add_demands(layered: Layered) -> None:
    """Add the demands of contracts.

    Raises
    ------
    Unsupported
        Naming the first demand that is not expressed.
    """
    demand = layered.contracts.demand
    for name in ("direct", "mixed", "bandwidth", "hops"):
        if getattr(demand, name):
            raise Unsupported(f"exact searches do not express the demand {name!r}; use another backend")
    if demand.hops == 0:
        raise Unsupported("exact searches do not express the demand 'hops'; use another backend")
