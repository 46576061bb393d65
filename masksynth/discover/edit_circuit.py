"""Change a circuit step by step while its readers and depths are kept up to date."""

from __future__ import annotations

from collections.abc import Iterable

from masksynth.discover.circuit import Circuit


class Editor:
    """A circuit that is being changed.

    Parameters
    ----------
    circuit : Circuit
        It is changed.

    Attributes
    ----------
    readers : list of set of int
        For each node those that read it.
    level, latest : list of int
        Depth of each node, and the last layer after which its set may be there.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        order = circuit.order()
        self.level, self.latest, self.readers = circuit.levels(order), circuit.latest(order), circuit.readers()

    def read(self, node: int, children: Iterable[int]) -> None:
        """Let a node read others instead of what it reads; the set of a target becomes their union."""
        circuit, children = self.circuit, tuple(dict.fromkeys(children))
        before = circuit.inputs[node]
        circuit.inputs[node] = children
        for child in before:
            self.readers[child].discard(node)
        for child in children:
            self.readers[child].add(node)
        if node < circuit.wants.first_gate:
            circuit.value[node] = circuit.union(children)
        self._update_level(node)
        self._update_latest({*before, *children})

    def add_gate(self, children: Iterable[int]) -> int:
        """Add a gate that no node reads yet, and return its number."""
        gate = self.circuit.add_gate(())
        self.circuit.value[gate] = self.circuit.union(children := tuple(children))
        self.readers.append(set())
        self.level.append(0)
        self.latest.append(self.circuit.wants.layers)
        self.read(gate, children)
        return gate

    def is_there(self, node: int) -> bool:
        """Return whether a node is an element, or reads something."""
        return node < self.circuit.wants.elements or bool(self.circuit.inputs[node])

    def _update_level(self, node: int) -> None:
        level, inputs = self.level, self.circuit.inputs
        waiting = [node]
        while waiting:
            node = waiting.pop()
            depth = 1 + max([level[child] for child in inputs[node]]) if inputs[node] else 0
            if depth != level[node]:
                level[node] = depth
                waiting += self.readers[node]

    def _update_latest(self, nodes: set[int]) -> None:
        latest, inputs, layers = self.latest, self.circuit.inputs, self.circuit.wants.layers
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            last = min([latest[reader] for reader in self.readers[node]], default=layers + 1) - 1
            if last != latest[node]:
                latest[node] = last
                waiting += inputs[node]
