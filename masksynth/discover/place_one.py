"""Place a circuit in a structure with one mask: a position for each gate, which may embed an element that it reads."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Circuit
from masksynth.discover.structure import Reads, Structure


def embedded_inputs(circuit: Circuit, contracts: Contracts) -> dict[int, int]:
    """Return for each node that may embed an element it reads the element: one that fewest others read.

    An element that no other node reads then needs no position of its own; any other saves an edge.
    """
    readers = [len(nodes) for nodes in circuit.readers()]
    elements, first = circuit.wants.elements, circuit.wants.first_gate
    chosen: dict[int, int] = {}
    for node, read in enumerate(circuit.inputs):
        if not read or (node < first and contracts.targets[node - elements].place == "query"):
            continue
        raw = [child for child in read if child < elements]
        if node < first:
            raw = [child for child in raw if circuit.wants.need[node - elements] >> child & 1]
        if raw:
            chosen[node] = min(raw, key=readers.__getitem__)
            readers[chosen[node]] -= 1
    return chosen


def place_one(circuit: Circuit, contracts: Contracts) -> Structure:
    """Return a structure with one mask that computes a circuit, safe at any depth."""
    embeds = embedded_inputs(circuit, contracts)
    edges = [(node, child) for node, read in enumerate(circuit.inputs) for child in read if embeds.get(node) != child]
    is_read = {child for _, child in edges}
    elements, first = circuit.wants.elements, circuit.wants.first_gate
    kept = [
        node
        for node, read in enumerate(circuit.inputs)
        if (node in is_read if node < elements else node < first or read)
    ]
    position = {node: index for index, node in enumerate(kept)}
    element = [node if node < elements else embeds.get(node, -1) for node in kept]
    pairs = np.array([(position[node], position[child]) for node, child in edges], np.int64).reshape(-1, 2)
    target = np.array([position[node] for node in circuit.targets()], np.int64)
    reads = Reads.of_pairs(pairs[:, 0], pairs[:, 1], len(kept))
    return Structure(np.array(element, np.int64), (reads,), target, "search")
