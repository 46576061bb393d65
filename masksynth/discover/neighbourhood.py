"""Large-neighbourhood search over circuits: dissolve some gates, cover their readers again, share pairs.

Every circuit that is kept is right by construction: gates keep their sets, targets keep need and hide, and the depth of
each node stays within what its readers leave. `masksynth.discover.candidate.confirm` checks the structures anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import exp
from random import Random
from time import perf_counter
from typing import Any

from masksynth.backends import load_plugin
from masksynth.discover.circuit import Circuit
from masksynth.discover.cover import greedy_cover, smaller_cover
from masksynth.discover.edit_circuit import Editor

REPAIR = {"cpsat": "masksynth_solvers.discover.cover_repair:repair_covers"}
"""The exact repair, by name: this package imports no solver."""
EXACT, WINDOW, SECONDS = 0.04, 14, 0.4
"""Share of changes that are repaired by it, number of nodes that it covers at once, and its time."""
WIDE, MANY = 20, 60
"""Inputs of a node, and nodes, among which pairs are looked for; of more, this many are drawn."""
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
        editor = Editor(circuit)
        affected = self._dissolve(editor)
        if self.pool and self.rng.random() < 0.3:
            affected |= self._try_sets(editor)
        affected |= set(self.rng.sample(circuit.targets(), min(2, len(circuit.targets()))))
        if self.rng.random() < EXACT:
            cover_exactly(editor, affected, self.rng)
        cover_again(editor, affected, self.rng)
        if self.price is count_unions or self.rng.random() < 0.5:  # a gate may cost more than the edges that it saves
            share_pairs(editor, affected, self.rng)
        return circuit

    def _dissolve(self, editor: Editor) -> set[int]:
        """Put what it reads in place of some gates in all of their readers; return the readers."""
        circuit = editor.circuit
        gates = list(circuit.gates())
        if not gates:
            return set()
        victims = self._related(circuit, gates, 1 + int(self.rng.random() ** 3 * min(20, len(gates))))
        affected: set[int] = set()
        for gate in victims:
            readers, read = list(editor.readers[gate]), circuit.inputs[gate]
            for reader in readers:
                editor.read(reader, (*(child for child in circuit.inputs[reader] if child != gate), *read))
            editor.read(gate, ())
            affected.update(readers)
        return affected - set(victims)

    def _related(self, circuit: Circuit, gates: list[int], count: int) -> list[int]:
        """Return some gates: at random, or those whose sets are most like that of one of them."""
        if count == 1 or self.rng.random() < 0.4:
            return self.rng.sample(gates, min(count, len(gates)))
        centre = circuit.value[self.rng.choice(gates)]
        noise = {gate: (circuit.value[gate] ^ centre).bit_count() * (0.5 + self.rng.random()) for gate in gates}
        return sorted(gates, key=noise.__getitem__)[:count]

    def _try_sets(self, editor: Editor) -> set[int]:
        """Add gates for sets of the pool and return the nodes that may want to read them."""
        known = set(editor.circuit.value)
        wanted: set[int] = set()
        for bits in self.rng.sample(self.pool, min(1 + int(6 * self.rng.random() ** 2), len(self.pool))):
            if bits not in known:
                wanted |= add_set(editor, bits, self.rng)
        return wanted


def bounds(circuit: Circuit, node: int, is_read: bool) -> tuple[int, int]:
    """Return what a node must hold, and what it may hold: exactly its set if others read it."""
    index = node - circuit.wants.elements
    if node >= circuit.wants.first_gate or is_read:
        return circuit.value[node], circuit.value[node]
    return circuit.wants.need[index], circuit.wants.allowed[index]


def choices(editor: Editor, node: int) -> tuple[int, list[tuple[int, int]]]:
    """Return what a node must hold, and the nodes that it may read with their sets.

    A node that others read reads smaller sets alone, so no cycle can arise.
    """
    circuit, level, inputs = editor.circuit, editor.level, editor.circuit.inputs
    is_read = bool(editor.readers[node]) or node >= circuit.wants.first_gate
    need, allowed = bounds(circuit, node, is_read)
    forbidden, before, elements = ~allowed, editor.latest[node] - 1, circuit.wants.elements
    own = circuit.value[node] if is_read else -1
    sets = [
        (other, held)
        for other, held in enumerate(circuit.value)
        if not held & forbidden
        and held != own
        and level[other] <= before
        and (other < elements or inputs[other])
        and other != node
    ]
    return need, sets


def cover_again(editor: Editor, nodes: Iterable[int], rng: Random) -> None:
    """Cover each of the nodes anew where that takes fewer inputs, or as many."""
    circuit = editor.circuit
    for node in sorted(nodes, key=lambda node: (circuit.value[node].bit_count(), rng.random())):
        now = circuit.inputs[node]
        if len(now) < 2:
            continue
        need, sets = choices(editor, node)
        found = greedy_cover(need, sets, rng)
        size = len(now) if found is None else min(len(found), len(now))
        if 2 < size <= 4 and rng.random() < 0.3:
            found = smaller_cover(need, sets, size - 1) or found
        if found is not None and len(found) <= len(now):
            editor.read(node, found)


def cover_exactly(editor: Editor, nodes: Iterable[int], rng: Random) -> None:
    """Cover some of the nodes anew by CP-SAT, all at once; gates that no other node reads are part of their cost."""
    circuit = editor.circuit
    listed = sorted(node for node in nodes if len(circuit.inputs[node]) > 1)
    window = set(rng.sample(listed, min(WINDOW, len(listed))))
    opening = {
        gate: len(circuit.inputs[gate]) - 1.0
        for gate in circuit.gates()
        if circuit.inputs[gate] and gate not in window and editor.readers[gate] <= window
    }
    repair: Callable[..., Any] = load_plugin("cpsat", REPAIR, "", "repair")
    wanted = {node: choices(editor, node) for node in window}
    found = repair(wanted, opening, 1.0, SECONDS, rng.randrange(2**31))
    for node, read in (found or {}).items():
        if read and _may_read(editor, node, read):
            editor.read(node, read)


def _may_read(editor: Editor, node: int, read: list[int]) -> bool:
    """Return whether a node may read others still, after depths, sets and readers of others have changed."""
    circuit = editor.circuit
    is_read = bool(editor.readers[node]) or node >= circuit.wants.first_gate
    need, allowed = bounds(circuit, node, is_read)
    value = circuit.union(read)
    is_right = not need & ~value and not value & ~allowed
    is_smaller = not is_read or all(circuit.value[child] != circuit.value[node] for child in read)
    return is_right and is_smaller and all(editor.level[child] < editor.latest[node] for child in read)


def add_set(editor: Editor, bits: int, rng: Random) -> set[int]:
    """Add a gate for a set if it can be covered within the depth; return the nodes that could read it."""
    circuit = editor.circuit
    top = circuit.wants.layers - 1
    sets = [
        (node, held)
        for node, held in enumerate(circuit.value)
        if held & ~bits == 0 and held != bits and editor.level[node] < top and editor.is_there(node)
    ]
    found = greedy_cover(bits, sets, rng)
    if found is None or len(found) < 2:
        return set()
    gate = editor.add_gate(found)
    others = [node for node in (*circuit.targets(), *circuit.gates()) if node != gate and len(circuit.inputs[node]) > 1]
    return {node for node in others if bits & ~bounds(circuit, node, bool(editor.readers[node]))[1] == 0}


def share_pairs(editor: Editor, nodes: Iterable[int], rng: Random) -> None:
    """Make gates of pairs that several nodes read, at least one of them in ``nodes``, as long as the depth allows."""
    inputs = editor.circuit.inputs
    waiting = {node for node in nodes if len(inputs[node]) > 1}
    if len(waiting) > MANY:
        waiting = set(rng.sample(sorted(waiting), MANY))
    while True:
        most = 1
        best: list[tuple[int, int, set[int]]] = []
        for node in waiting:
            for first, second, users in _shared(editor, node, most, rng):
                if len(users) > most:
                    most, best = len(users), []
                best.append((first, second, users))
        if not best:
            return
        first, second, users = rng.choice(best)
        _make_gate(editor, first, second, users)
        waiting = {node for node in waiting if len(inputs[node]) > 1}


def _shared(editor: Editor, node: int, least: int, rng: Random) -> Iterator[tuple[int, int, set[int]]]:
    """Yield pairs of inputs of a node with the nodes that read both and can read a gate of them."""
    readers, level, latest, inputs = editor.readers, editor.level, editor.latest, editor.circuit.inputs
    read = inputs[node] if len(inputs[node]) <= WIDE else rng.sample(inputs[node], WIDE)
    for index, first in enumerate(read):
        if len(readers[first]) < 2:
            continue
        for second in read[:index]:
            both = readers[first] & readers[second]
            if len(both) < 2 or len(both) < least:
                continue
            depth = 1 + max(level[first], level[second])
            users = {user for user in both if latest[user] > depth}
            if len(users) > 1 and len(users) >= least:
                least = len(users)
                yield first, second, users


def _make_gate(editor: Editor, first: int, second: int, users: set[int]) -> None:
    """Let the users of a pair, and the readers of those that read nothing else, read one gate of it."""
    inputs = editor.circuit.inputs
    equal = [user for user in users if len(inputs[user]) == 2]
    gate = max(equal) if equal else editor.add_gate((first, second))
    for user in users - {gate}:
        if user in equal:
            for reader in list(editor.readers[user]):
                editor.read(reader, (gate if child == user else child for child in inputs[reader]))
        editor.read(user, (*(child for child in inputs[user] if child not in (first, second)), gate))
