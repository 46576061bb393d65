"""Place a circuit in a structure with a mask per layer, with few positions and then few edges."""

from __future__ import annotations

from random import Random
from time import perf_counter

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Circuit
from masksynth.discover.edit_circuit import Editor
from masksynth.discover.measure import measure
from masksynth.discover.set_chains import Chains
from masksynth.discover.structure import Structure, prune

PATIENCE = 6
"""Factor on the time of a placement as long as it needs registers."""


def place_layered(circuit: Circuit, contracts: Contracts, rng: Random, seconds: float = 0.5) -> Structure:
    """Return a structure with a mask per layer that computes a circuit.

    Gates that would need registers are also dissolved, one chain after another; the cheapest structure is returned.

    Parameters
    ----------
    circuit : Circuit
        At most ``contracts.layers`` deep.
    contracts : Contracts
    rng : Random
    seconds : float
        Time for a local search that takes some links away and links again; fewest registers, then fewest edges. As
        long as there are registers it may take ``PATIENCE`` times as long.
    """
    best: Structure | None = None
    least = float("inf")
    while True:
        chains = link_chains(circuit, contracts, rng, seconds)
        structure = prune(chains.structure(), "layered")
        cost = measure(structure, contracts).cost
        if best is None or cost < least:
            best, least = structure, cost
        registers = chains.registers()
        if not registers:
            return best
        circuit, seconds = dissolve(circuit, registers), seconds / 2


def link_chains(circuit: Circuit, contracts: Contracts, rng: Random, seconds: float) -> Chains:
    """Return chains for a circuit, the best found within some seconds."""
    now = perf_counter()
    chains = Chains(circuit, contracts, rng)
    chains.link_all()
    while (excess := chains.excess()) > (0, 0):
        if perf_counter() > now + seconds * (PATIENCE if excess[0] else 1):
            break
        chains.relink()
    return chains


def dissolve(circuit: Circuit, gates: list[int]) -> Circuit:
    """Return the circuit in which the readers of some gates read what these read."""
    editor = Editor(circuit.copy())
    for gate in gates:
        inputs = editor.circuit.inputs
        for reader in list(editor.readers[gate]):
            editor.read(reader, (*(child for child in inputs[reader] if child != gate), *inputs[gate]))
        editor.read(gate, ())
    return editor.circuit.tidy()
