"""Circuits of unions: what a structure computes, before it is decided where and when.

Nodes are numbered: the n elements, then the T targets, then gates. A gate is the union of the nodes that it reads, all
of them smaller; a target is the union of what it reads, with all of its need and nothing that it hides. Sets are
integers, bit e for element e. A gate of k inputs takes k - 1 unions; a target that reads k nodes takes k, one of which
is a copy. So the edges of a structure that computes a circuit in place are its unions and a copy for each target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from masksynth.contracts import Contracts
from masksynth.posets.bit_rows import integers, unpack


@dataclass(frozen=True)
class Wants:
    """Contracts as integers.

    Parameters
    ----------
    elements : int
        n.
    need, allowed : list of int
        For each target what it needs, and everything that it does not hide.
    layers : int
        Largest depth; n + T if there is no limit.
    """

    elements: int
    need: list[int]
    allowed: list[int]
    layers: int

    @property
    def first_gate(self) -> int:
        """Number of the first gate: n + T."""
        return self.elements + len(self.need)


def wants_of(contracts: Contracts) -> Wants:
    """Return contracts as integers."""
    count = contracts.elements.count
    need, hide = (integers(unpack(rows, count)) for rows in (contracts.need, contracts.hide))
    everything = (1 << count) - 1
    layers = contracts.layers or count + len(need)
    return Wants(count, need, [everything & ~row for row in hide], layers)


class Circuit:
    """A circuit for wants, whose nodes can be changed.

    Parameters
    ----------
    wants : Wants
    inputs : list of tuple of int
        What each node reads: nothing for elements.
    value : list of int
        The set of each node.
    """

    def __init__(self, wants: Wants, inputs: list[tuple[int, ...]], value: list[int]) -> None:
        self.wants, self.inputs, self.value = wants, inputs, value

    @classmethod
    def direct(cls, wants: Wants) -> Circuit:
        """Return the circuit in which every target reads each element of its need."""
        inputs: list[tuple[int, ...]] = [()] * wants.elements
        inputs += [tuple(members(need)) for need in wants.need]
        return cls(wants, inputs, [1 << e for e in range(wants.elements)] + list(wants.need))

    def copy(self) -> Circuit:
        """Return a circuit that can be changed without changing this one."""
        return Circuit(self.wants, self.inputs.copy(), self.value.copy())

    @property
    def unions(self) -> int:
        """Number of binary unions: k - 1 for each node of k >= 1 inputs."""
        return sum(len(read) - 1 for read in self.inputs if read)

    def gates(self) -> range:
        """Return the numbers of the gates."""
        return range(self.wants.first_gate, len(self.inputs))

    def targets(self) -> range:
        """Return the numbers of the targets."""
        return range(self.wants.elements, self.wants.first_gate)

    def add_gate(self, read: Iterable[int]) -> int:
        """Add a gate and return its number."""
        read = tuple(read)
        self.inputs.append(read)
        self.value.append(self.union(read))
        return len(self.inputs) - 1

    def union(self, nodes: Iterable[int]) -> int:
        """Return the union of the sets of nodes."""
        joined = 0
        for node in nodes:
            joined |= self.value[node]
        return joined

    def order(self) -> list[int]:
        """Return targets and gates, each after what it reads: by size, but for sets of equal size that read another."""
        elements, count = self.wants.elements, [bits.bit_count() for bits in self.value]
        done = [node < elements for node in range(len(count))]
        order: list[int] = []
        for root in sorted(range(elements, len(count)), key=count.__getitem__):
            stack = [root]
            while stack:
                node = stack[-1]
                if done[node]:
                    stack.pop()
                elif waiting := [child for child in self.inputs[node] if not done[child]]:
                    stack += waiting
                else:
                    done[node] = True
                    order.append(stack.pop())
        return order

    def levels(self, order: list[int] | None = None) -> list[int]:
        """Return the depth of each node: the number of layers until its set is there."""
        level = [0] * len(self.inputs)
        for node in order or self.order():
            if read := self.inputs[node]:
                level[node] = 1 + max([level[child] for child in read])
        return level

    def latest(self, order: list[int] | None = None) -> list[int]:
        """Return the last layer after which the set of each node may be there."""
        latest = [self.wants.layers] * len(self.inputs)
        for node in reversed(order or self.order()):
            before = latest[node] - 1
            for child in self.inputs[node]:
                if latest[child] > before:
                    latest[child] = before
        return latest

    def readers(self) -> list[set[int]]:
        """Return for each node those that read it."""
        readers: list[set[int]] = [set() for _ in self.inputs]
        for node, read in enumerate(self.inputs):
            for child in read:
                readers[child].add(node)
        return readers

    def tidy(self) -> Circuit:
        """Return the circuit without unread gates, with one gate for each set, and none that one node reads.

        The inputs of a gate that one node reads become that node's own. Numbers of gates change.
        """
        inputs, readers, order = self.inputs.copy(), self.readers(), self.order()
        self._join_equal(inputs, readers, self.levels(order))
        for node in reversed(order):
            if node < self.wants.first_gate or (len(readers[node]) > 1 and len(inputs[node]) > 1):
                continue
            for child in inputs[node]:
                readers[child].discard(node)
            for reader in readers[node]:
                kept = [child for child in inputs[reader] if child != node]
                inputs[reader] = tuple(dict.fromkeys((*kept, *inputs[node])))
                for child in inputs[node]:
                    readers[child].add(reader)
            inputs[node] = ()
        first = self.wants.first_gate
        kept = [*range(first), *(node for node in range(first, len(inputs)) if inputs[node])]
        number = {node: index for index, node in enumerate(kept)}
        renamed = [tuple([number[child] for child in inputs[node]]) for node in kept]
        return Circuit(self.wants, renamed, [self.value[node] for node in kept])

    def _join_equal(self, inputs: list[tuple[int, ...]], readers: list[set[int]], level: list[int]) -> None:
        """Let the readers of equal sets read the one that is there first."""
        first_of: dict[int, int] = {}
        for node in sorted(range(len(inputs)), key=level.__getitem__):
            if node >= self.wants.elements and not inputs[node]:
                continue
            first = first_of.setdefault(self.value[node], node)
            if first == node:
                continue
            for reader in readers[node] - {first}:
                inputs[reader] = tuple(dict.fromkeys(first if child == node else child for child in inputs[reader]))
                readers[first].add(reader)
            readers[node].clear()

    def fault(self) -> str:
        """Return what is wrong with the circuit, or an empty string; it is acyclic if `order` ends."""
        wants = self.wants
        for node in self.order():
            if self.union(self.inputs[node]) != self.value[node]:
                return f"node {node} is not the union of what it reads"
        for index, (need, allowed) in enumerate(zip(wants.need, wants.allowed, strict=True)):
            value = self.value[wants.elements + index]
            if need & ~value or value & ~allowed:
                return f"target {index} misses {need & ~value:b}, or sees {value & ~allowed:b}"
        deepest = max(self.levels(), default=0)
        return f"depth {deepest} of {wants.layers}" if deepest > wants.layers else ""


def members(bits: int) -> list[int]:
    """Return the numbers of the bits of an integer, ascending.

    Examples
    --------
    >>> members(0b1101)
    [0, 2, 3]
    """
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found
