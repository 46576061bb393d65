"""Chains of sets, each held by one position: which position holds each set of a circuit, and when it is read.

A position holds sets one after another, each larger than the one before, for it keeps what it has: a *chain*. A chain
begins with an element (its raw position) or with nothing (a blank), and a target is the end of its chain. A set that
follows one of its own inputs in a chain saves the edge from it. A set may be overwritten in the layer in which its last
other reader reads it, since layers read the state before.

Gates in no chain that begins with an element or ends with a target need a register each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Circuit
from masksynth.discover.structure import Reads, Structure

DELAYS, SLACK = 1_000, 4
"""Number of delays after which a link is given up, and layers beyond the circuit's depth in which sets may be late."""

MOVES, WAYS = 2, 12
"""How many chains may give way one after another, and how many elements are tried."""


@dataclass
class _Times:
    """Layer after which each node is complete, and the first layer in which its position may read for it."""

    complete: list[int]
    start: list[int]

    def copy(self) -> _Times:
        return _Times(self.complete.copy(), self.start.copy())


class Chains:
    """The chains of a placement, with times that are kept consistent as links are added."""

    def __init__(self, circuit: Circuit, contracts: Contracts, rng: Random) -> None:
        self.circuit, self.contracts, self.rng = circuit, contracts, rng
        self.elements, self.first_gate = circuit.wants.elements, circuit.wants.first_gate
        order = circuit.order()
        self.readers, self.level = circuit.readers(), circuit.levels(order)
        spare = max(0, circuit.wants.layers - max(self.level, default=0) - SLACK)
        self.latest = [layer - spare for layer in circuit.latest(order)]
        self.times = _Times(self.level.copy(), [1] * len(circuit.inputs))
        self.before: dict[int, int] = {}
        self.after: dict[int, int] = {}

    def link_all(self) -> None:
        """Choose for each target and gate what its position holds before."""
        circuit = self.circuit
        gates = [node for node in circuit.gates() if circuit.inputs[node]]
        targets = list(circuit.targets())
        self.rng.shuffle(targets)
        by_size = sorted(gates, key=lambda node: (-circuit.value[node].bit_count(), self.rng.random()))
        self._link_targets(targets)
        for node in (*targets, *by_size):
            if node not in self.before:
                self._link_children(node)
        for node in by_size:
            if self._needs_host(node):
                self._find_host(node)

    def excess(self) -> tuple[int, int]:
        """Return the number of registers, and the edges beyond one for each union and a copy for each target."""
        inputs = self.circuit.inputs
        saved = sum(1 for later, earlier in self.before.items() if earlier in inputs[later])
        nodes = sum(1 for node in range(self.elements, len(inputs)) if inputs[node])
        copies = sum(1 for target in self.circuit.targets() if inputs[target])
        return len({self._begin(node) for node in self.registers()}), nodes - copies - saved

    def relink(self) -> None:
        """Take some links away and choose them anew; keep the result unless it is worse."""
        saved, value = (self.before.copy(), self.after.copy(), self.times.copy()), self.excess()
        wanting = self.registers() or list(self.before) or list(self.circuit.targets())
        count = 1 + int(self.rng.random() ** 2 * 12)
        chosen = set(self.rng.sample(sorted(self.before), min(count, len(self.before))))
        if self.rng.random() < 0.7:
            centre = self.circuit.value[self.rng.choice(wanting)]
            near = sorted(
                self.before, key=lambda node: (self.circuit.value[node] ^ centre).bit_count() * self.rng.random()
            )
            chosen = set(near[:count])
        for later in chosen:
            del self.after[self.before.pop(later)]
        if self._restart():
            self.link_all()
        if not self._is_settled() or self.excess() > value:
            self.before, self.after, self.times = saved

    def registers(self) -> list[int]:
        """Return the gates whose chains neither begin with an element nor end with a target."""
        return [node for node in self.circuit.gates() if self.circuit.inputs[node] and self._needs_host(node)]

    def _link_targets(self, targets: list[int]) -> None:
        """Let gates precede targets that read them, the largest first: they find other places least easily."""
        circuit = self.circuit
        pairs = [(gate, target) for target in targets for gate in circuit.inputs[target] if gate >= self.first_gate]
        pairs.sort(key=lambda pair: (-circuit.value[pair[0]].bit_count(), self.rng.random()))
        for gate, target in pairs:
            if gate not in self.after and target not in self.before:
                self.link(gate, target)

    def _link_children(self, node: int) -> None:
        """Let one of the inputs of a node precede it: a gate, or an element where its chain may begin with one."""
        end = self._end(node)
        gates = [child for child in self.circuit.inputs[node] if child >= self.first_gate and child not in self.after]
        gates.sort(key=lambda child: (-self.circuit.value[child].bit_count(), self.rng.random()))
        raw = [child for child in self.circuit.inputs[node] if child < self.elements and child not in self.after]
        if end >= self.first_gate and raw and self.rng.random() < 0.5:
            gates, raw = raw, gates
        for child in (*gates, *raw):
            if self.link(child, node):
                return

    def _may_begin(self, element: int, end: int) -> bool:
        """Return whether a chain with this end may begin with an element: a target needs it, and may be there."""
        if end >= self.first_gate:
            return True
        index = end - self.elements
        is_any = self.contracts.targets[index].place == "any"
        return is_any and bool(self.circuit.wants.need[index] >> element & 1)

    def _needs_host(self, node: int) -> bool:
        return self._end(node) >= self.first_gate and self._begin(node) >= self.elements

    def _find_host(self, node: int, moves: int = MOVES) -> bool:
        """Put a chain of gates into a position that holds less: an element's, a gate's, or a target's blank.

        If there is none free, a chain that begins with an element gives way, and is put elsewhere in the same manner.
        """
        circuit, top, end = self.circuit, self._begin(node), self._end(node)
        bits = circuit.value[top]
        gates = [
            gate
            for gate in circuit.gates()
            if circuit.inputs[gate]
            and gate not in self.after
            and not circuit.value[gate] & ~bits
            and circuit.value[gate] != bits
            and self._begin(gate) < self.elements
        ]
        raw = [element for element in range(self.elements) if bits >> element & 1 and self.readers[element]]
        self.rng.shuffle(raw)
        for earlier in (*raw, *gates):
            if self.link(earlier, top):
                return True
        for target in self.rng.sample(circuit.targets(), len(circuit.targets())):
            later = self._begin(target)
            if later >= self.elements and not circuit.value[end] & ~circuit.value[later] and self.link(end, later):
                return True
        return moves > 0 and any(self._give_way(element, top, moves) for element in raw[:WAYS])

    def _give_way(self, element: int, top: int, moves: int) -> bool:
        """Let the position of an element hold another chain than now, if that chain finds another position."""
        later = self.after.get(element)
        if later is None or self._end(later) < self.first_gate:
            return False
        saved = self.before.copy(), self.after.copy(), self.times.copy()
        del self.before[later], self.after[element]  # delays that this link caused stay, which does no harm
        if self._settle(later) and self.link(element, top) and self._find_host(later, moves - 1):
            return True
        self.before, self.after, self.times = saved
        return False

    def _restart(self) -> bool:
        """Compute the times of the present links anew; return whether they are consistent."""
        self.times = _Times(self.level.copy(), [1] * len(self.level))
        return all(self._settle(node) for node in self.before)

    def _is_settled(self) -> bool:
        """Return whether no node has to be delayed."""
        times = self.times
        nodes = (node for node, read in enumerate(self.circuit.inputs) if read)
        return all(self._start(n) == times.start[n] and self._complete(n) == times.complete[n] for n in nodes)

    def _end(self, node: int) -> int:
        while node in self.after:
            node = self.after[node]
        return node

    def _begin(self, node: int) -> int:
        while node in self.before:
            node = self.before[node]
        return node

    def link(self, earlier: int, later: int) -> bool:
        """Let a position hold ``earlier`` and then ``later``, if there is time; return whether there is."""
        begin, end = self._begin(earlier), self._end(later)
        if end == self._end(earlier) or earlier in self.after or later in self.before:
            return False
        if begin < self.elements and not self._may_begin(begin, end):
            return False
        saved = self.times.copy()
        self.before[later], self.after[earlier] = earlier, later
        if self._settle(later):
            return True
        self.times = saved
        del self.before[later], self.after[earlier]
        return False

    def read_at(self, child: int, node: int) -> int:
        """Return the layer in which a node reads one of its inputs: as soon as both are ready."""
        return max(self.times.complete[child] + 1, self.times.start[node])

    def _settle(self, changed: int) -> bool:
        """Delay what must be delayed after a change; return whether every set is still there in time."""
        waiting = deque([changed])
        for _ in range(DELAYS):
            if not waiting:
                return True
            node = waiting.popleft()
            start, complete = self._start(node), self._complete(node)
            if complete > self.latest[node] or start > self.latest[node]:
                return False
            if start == self.times.start[node] and complete == self.times.complete[node]:
                continue
            self.times.start[node], self.times.complete[node] = start, complete
            waiting += [node, *self.readers[node]]
            if node in self.after:
                waiting.append(self.after[node])
            waiting += [self.after[child] for child in self.circuit.inputs[node] if child in self.after]
        return False

    def _start(self, node: int) -> int:
        """Return the first layer in which the position of a node may read for it: others have read what it held."""
        start = self.times.start[node]
        earlier = self.before.get(node)
        if earlier is not None:
            others = [self.read_at(earlier, reader) for reader in self.readers[earlier] if reader != node]
            start = max([start, self.times.complete[earlier] + 1, *others])
        return start

    def _complete(self, node: int) -> int:
        reads = [self.read_at(child, node) for child in self.circuit.inputs[node] if child != self.before.get(node)]
        return max([self.times.complete[node], *reads])

    def structure(self) -> Structure:
        """Return the structure of the chains."""
        position, element = self._positions()
        query: list[list[int]] = [[] for _ in range(self.circuit.wants.layers)]
        key: list[list[int]] = [[] for _ in range(self.circuit.wants.layers)]
        for node, read in enumerate(self.circuit.inputs):
            for child in read:
                if child != self.before.get(node):
                    layer = self.read_at(child, node) - 1
                    query[layer].append(position[node])
                    key[layer].append(position[child])
        reads = tuple(
            Reads.of_pairs(np.array(queries, np.int64), np.array(keys, np.int64), len(element))
            for queries, keys in zip(query, key, strict=True)
        )
        target = np.array([position[target] for target in self.circuit.targets()], np.int64)
        return Structure(np.array(element, np.int64), reads, target, "search")

    def _positions(self) -> tuple[dict[int, int], list[int]]:
        """Return the position of each node, and the element that each position embeds."""
        position: dict[int, int] = {}
        element: list[int] = []
        for node in range(len(self.circuit.inputs)):
            is_used = node in self.circuit.targets() or self.circuit.inputs[node] or self.readers[node]
            if not is_used or node in self.before:
                continue
            while True:
                position[node] = len(element)
                if node not in self.after:
                    break
                node = self.after[node]
            begin = self._begin(node)
            element.append(begin if begin < self.elements else -1)
        return position, element
