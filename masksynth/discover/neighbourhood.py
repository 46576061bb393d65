"""Large-neighbourhood search over circuits: dissolve some gates, cover their readers again, share pairs.

Every circuit that is kept is right by construction: gates keep their sets, targets keep need and hide, and the depth of
each node stays within what its readers leave. `masksynth.discover.candidate.confirm` checks the structures anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp
from random import Random
from time import perf_counter

from masksynth.discover.circuit import Circuit
from masksynth.discover.cover import greedy_cover, smaller_cover

Price = Callable[[Circuit], float]
"""Price of a circuit, which the search minimises."""


def count_unions(circuit: Circuit) -> float:
    """Return the number of unions: the price in which every edge counts alike."""
    return circuit.unions


class Neighbourhood:
    """A search from one circuit.

    Parameters
    ----------
    circuit : Circuit
    rng : Random
    price : function
    pool : sequence of int
        Sets, as bits, that are tried as gates: halves, lines, windows and other sets that the elements suggest.
    """

    def __init__(self, circuit: Circuit, rng: Random, price: Price = count_unions, pool: Iterable[int] = ()) -> None:
        self.rng, self.price, self.pool = rng, price, list(pool)
        self.current = circuit.tidy()
        self.value = price(self.current)
        self.best, self.least = self.current, self.value
        self.heat = 0.35 * max(1.0, self.value) / max(1, self.current.unions)
        self.moves = 0

    def run(self, until: float) -> Circuit:
        """Return the best circuit found until a time (``time.perf_counter``)."""
        started = perf_counter()
        while (now := perf_counter()) < until:
            self.step(1.0 - (now - started) / max(1e-9, until - started))
        return self.best

    def step(self, warmth: float) -> None:
        """Try one change, and keep it if it is not worse, or little worse while the search is warm."""
        self.moves += 1
        changed = self._change().tidy()
        value = self.price(changed)
        loss = value - self.value
        if loss <= 0 or self.rng.random() < exp(-loss / max(1e-9, self.heat * warmth)):
            self.current, self.value = changed, value
            if value < self.least - 1e-12:
                self.best, self.least = changed, value

    def _change(self) -> Circuit:
        """Return a circuit in which some gates are dissolved and their readers cover their sets anew."""
        circuit = self.current.copy()
        affected = self._dissolve(circuit)
        if self.pool and self.rng.random() < 0.3:
            affected |= self._try_sets(circuit)
        affected |= set(self.rng.sample(circuit.targets(), min(2, len(circuit.targets()))))
        Recover(circuit, self.rng).cover_all(affected)
        share_pairs(circuit, affected, self.rng)
        return circuit

    def _dissolve(self, circuit: Circuit) -> set[int]:
        """Put what it reads in place of some gates in all of their readers; return the readers."""
        gates = list(circuit.gates())
        if not gates:
            return set()
        readers = circuit.readers()
        count = 1 + int(self.rng.random() ** 3 * min(20, len(gates)))
        victims = self._related(circuit, gates, count)
        affected: set[int] = set()
        for gate in victims:
            for reader in readers[gate]:
                kept = [child for child in circuit.inputs[reader] if child != gate]
                circuit.inputs[reader] = tuple(dict.fromkeys((*kept, *circuit.inputs[gate])))
                for child in circuit.inputs[gate]:
                    readers[child].add(reader)
            for child in circuit.inputs[gate]:
                readers[child].discard(gate)
            affected |= readers[gate]
            affected.discard(gate)
            circuit.inputs[gate] = ()
        return affected - set(victims)

    def _related(self, circuit: Circuit, gates: list[int], count: int) -> list[int]:
        """Return some gates: at random, or those whose sets are most like that of one of them."""
        if count == 1 or self.rng.random() < 0.4:
            return self.rng.sample(gates, min(count, len(gates)))
        centre = circuit.value[self.rng.choice(gates)]
        noise = {gate: (circuit.value[gate] ^ centre).bit_count() * (0.5 + self.rng.random()) for gate in gates}
        return sorted(gates, key=noise.__getitem__)[:count]

    def _try_sets(self, circuit: Circuit) -> set[int]:
        """Add gates for sets of the pool and return the nodes that may want to read them."""
        known = set(circuit.value)
        wanted: set[int] = set()
        for bits in self.rng.sample(self.pool, min(1 + int(6 * self.rng.random() ** 2), len(self.pool))):
            if bits not in known:
                wanted |= Recover(circuit, self.rng).add_set(bits)
        return wanted


class Recover:
    """Cover the sets of nodes again, within the depth that is left."""

    def __init__(self, circuit: Circuit, rng: Random) -> None:
        self.circuit, self.rng = circuit, rng
        order = circuit.order()
        self.level, self.latest = circuit.levels(order), circuit.latest(order)
        self.changed = False

    def cover_all(self, nodes: Iterable[int]) -> None:
        """Cover each of the nodes anew where that takes fewer inputs, or as many."""
        circuit = self.circuit
        order = sorted(nodes, key=lambda node: (circuit.value[node].bit_count(), self.rng.random()))
        for node in order:
            if len(circuit.inputs[node]) > 1:
                self.cover(node)

    def cover(self, node: int) -> None:
        """Cover the set of a node anew."""
        circuit = self.circuit
        need, sets = self._choices(node)
        found = greedy_cover(need, sets, self.rng)
        now = circuit.inputs[node]
        size = len(now) if found is None else min(len(found), len(now))
        if 2 < size <= 4 and self.rng.random() < 0.3:
            found = smaller_cover(need, sets, size - 1) or found
        if found is not None and (len(found) <= len(now)):
            self._read(node, tuple(found))

    def add_set(self, bits: int) -> set[int]:
        """Add a gate for a set if it can be covered; return the nodes that could read it."""
        circuit = self.circuit
        top = circuit.wants.layers - 1
        sets = [
            (node, held)
            for node, held in enumerate(circuit.value)
            if held and held & ~bits == 0 and held != bits and self.level[node] < top and self._is_there(node)
        ]
        found = greedy_cover(bits, sets, self.rng)
        if found is None or len(found) < 2:
            return set()
        gate = circuit.add_gate(found)
        self.level.append(1 + max(self.level[child] for child in found))
        self.latest.append(circuit.wants.layers)
        return {
            node
            for node in (*circuit.targets(), *circuit.gates())
            if node != gate and len(circuit.inputs[node]) > 1 and bits & ~self._bounds(node)[1] == 0
        }

    def _is_there(self, node: int) -> bool:
        return node < self.circuit.wants.elements or bool(self.circuit.inputs[node])

    def _bounds(self, node: int) -> tuple[int, int]:
        """Return what a node must hold, and what it may hold."""
        circuit, first = self.circuit, self.circuit.wants.elements
        if node >= circuit.wants.first_gate:
            return circuit.value[node], circuit.value[node]
        return circuit.wants.need[node - first], circuit.wants.allowed[node - first]

    def _choices(self, node: int) -> tuple[int, list[tuple[int, int]]]:
        """Return what a node must hold, and the nodes that it may read with their sets.

        A node reads sets that are smaller than its own only, so no cycle can arise.
        """
        circuit = self.circuit
        need, allowed = self._bounds(node)
        forbidden, before, own = ~allowed, self.latest[node] - 1, circuit.value[node]
        is_free = node < circuit.wants.first_gate and not self._is_read(node)
        if not is_free:  # others rely on the set
            need, forbidden = own, ~own
        level, inputs, elements = self.level, circuit.inputs, circuit.wants.elements
        sets = [
            (other, held)
            for other, held in enumerate(circuit.value)
            if not held & forbidden
            and level[other] <= before
            and (other < elements or inputs[other])
            and other != node
            and (is_free or held != own)
        ]
        return need, sets

    def _is_read(self, node: int) -> bool:
        return any(node in read for read in self.circuit.inputs)

    def _read(self, node: int, found: tuple[int, ...]) -> None:
        """Let a node read others, and update the depths below and above it."""
        circuit = self.circuit
        circuit.inputs[node] = found
        if node < circuit.wants.first_gate:
            circuit.value[node] = circuit.union(found)
        order = circuit.order()
        self.level, self.latest = circuit.levels(order), circuit.latest(order)


def share_pairs(circuit: Circuit, nodes: Iterable[int], rng: Random) -> None:
    """Make gates of pairs that two or more nodes read, one of them in ``nodes``, until there is none within the depth."""
    readers = circuit.readers()
    order = circuit.order()
    level, latest = circuit.levels(order), circuit.latest(order)
    waiting = {node for node in nodes if len(circuit.inputs[node]) > 1}
    while waiting:
        most, best = 1, []
        for node in waiting:
            read = circuit.inputs[node]
            for index, first in enumerate(read):
                if len(readers[first]) < 2:
                    continue
                for second in read[:index]:
                    both = readers[first] & readers[second]
                    if len(both) > most or (len(both) == most > 1):
                        depth = 1 + max(level[first], level[second])
                        users = {user for user in both if latest[user] > depth and len(circuit.inputs[user]) > 1}
                        if len(users) > most:
                            most, best = len(users), []
                        if len(users) == most > 1:
                            best.append((first, second, users))
        if not best:
            return
        first, second, users = rng.choice(best)
        gate = _gate_of(circuit, first, second, users, readers)
        if gate is None:
            return
        waiting |= {user for user in users if user in waiting or len(circuit.inputs[user]) > 1}
        waiting = {node for node in waiting if len(circuit.inputs[node]) > 1}
        order = circuit.order()
        level, latest = circuit.levels(order), circuit.latest(order)


def _gate_of(circuit: Circuit, first: int, second: int, users: set[int], readers: list[set[int]]) -> int | None:
    """Let the users of a pair read one gate of it: an old one if one of them reads nothing else."""
    whole = [user for user in users if len(circuit.inputs[user]) == 2]
    gate = whole[0] if whole else circuit.add_gate((first, second))
    if not whole:
        readers.append(set())
        readers[first].add(gate)
        readers[second].add(gate)
    for user in users - {gate}:
        kept = tuple(child for child in circuit.inputs[user] if child not in (first, second))
        circuit.inputs[user] = (*kept, gate)
        readers[first].discard(user)
        readers[second].discard(user)
        readers[gate].add(user)
    return gate
