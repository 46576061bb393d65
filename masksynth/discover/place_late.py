"""Place a circuit for a cost that counts each update: each set as late as possible, in a position of its own.

Positions cost nothing there, only their updates. So a gate is computed in the layer before the first of its readers,
and everything that a node reads it reads in one layer. A node follows a gate that it reads in the gate's own position
where it is computed in the very next layer and no node reads the gate later: that saves an edge.
"""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts, Weights
from masksynth.discover.circuit import Circuit
from masksynth.discover.structure import Reads, Structure


def place_late(circuit: Circuit, contracts: Contracts) -> Structure:
    """Return a structure with a mask per layer that computes a circuit with few updates.

    Parameters
    ----------
    circuit : Circuit
        At most ``contracts.layers`` deep.
    contracts : Contracts
    """
    first = circuit.wants.elements
    layer, readers = circuit.latest(), circuit.readers()
    before: dict[int, int] = {}
    followed: set[int] = set()
    for node in sorted(range(first, len(circuit.inputs)), key=layer.__getitem__, reverse=True):
        for child in circuit.inputs[node]:
            is_gate = child >= circuit.wants.first_gate and child not in followed
            is_next = layer[child] == layer[node] - 1
            if is_gate and is_next and all(layer[reader] <= layer[node] for reader in readers[child]):
                before[node] = child
                followed.add(child)
                break
    position, element = _positions(circuit, before, readers)
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(circuit.wants.layers)]
    for node, read in enumerate(circuit.inputs):
        pairs[layer[node] - 1] += [(position[node], position[child]) for child in read if child != before.get(node)]
    arrays = [np.array(table, np.int64).reshape(-1, 2) for table in pairs]
    reads = tuple(Reads.of_pairs(table[:, 0], table[:, 1], len(element)) for table in arrays)
    target = np.array([position[node] for node in circuit.targets()], np.int64)
    return Structure(np.array(element, np.int64), reads, target, "search")


def price_late(circuit: Circuit, weights: Weights) -> float:
    """Return what `place_late` costs, but for the edges that following saves."""
    layer, elements = circuit.latest(), circuit.wants.elements
    last, updates, edges = layer.copy(), 0, 0
    raw: set[tuple[int, int]] = set()
    for node, read in enumerate(circuit.inputs):
        edges += len(read)
        for child in read:
            if child < elements:
                raw.add((child, layer[node]))
            elif layer[node] - 1 > last[child]:
                last[child] = layer[node] - 1
    for node in range(elements, len(circuit.inputs)):
        if circuit.inputs[node]:
            updates += last[node] - layer[node] + 1
    return weights.position * updates + weights.kv * len(raw) + weights.pair * edges


def _positions(circuit: Circuit, before: dict[int, int], readers: list[set[int]]) -> tuple[dict[int, int], list[int]]:
    """Return the position of each node, and the element that each position embeds."""
    position: dict[int, int] = {}
    element: list[int] = []
    targets = circuit.targets()
    # Smaller sets first, so that what a node follows has its position already.
    for node in [*range(circuit.wants.elements), *circuit.order()]:
        if node in before:
            position[node] = position[before[node]]
        elif node in targets or readers[node] or circuit.inputs[node]:
            position[node] = len(element)
            element.append(node if node < circuit.wants.elements else -1)
    return position, element
