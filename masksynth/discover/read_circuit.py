"""Read the circuit that a structure computes: the way back from a placement."""

from __future__ import annotations

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Circuit, wants_of
from masksynth.discover.structure import Structure


def read_circuit(structure: Structure, contracts: Contracts) -> Circuit | None:
    """Return the circuit of a structure; None for one mask whose reads form a cycle.

    A gate is the state of a position after a layer in which it reads; it takes its own state before and what it reads.
    """
    wants = wants_of(contracts)
    values = [1 << element for element in range(wants.elements)] + [0] * len(wants.need)
    circuit = Circuit(wants, [()] * len(values), values)
    state = [element if element >= 0 else None for element in structure.element.tolist()]
    if contracts.masks == "layered":
        for reads in structure.reads:
            before = state.copy()
            for query, keys in _rows(reads.query.tolist(), reads.key.tolist()).items():
                state[query] = _state(circuit, [before[query], *(before[key] for key in keys)])
    else:
        rows = _rows(structure.reads[0].query.tolist(), structure.reads[0].key.tolist())
        order = _order(rows, structure.size)
        if order is None:
            return None
        for query in order:
            if query in rows:
                state[query] = _state(circuit, [state[query], *(state[key] for key in rows[query])])
    for index, position in enumerate(structure.target.tolist()):
        node = state[position]
        if node is not None:
            target = wants.elements + index
            circuit.inputs[target], circuit.value[target] = (node,), circuit.value[node]
    if max(circuit.levels(), default=0) > wants.layers:  # targets at one position: here each reads what that one does
        for target in circuit.targets():
            read = circuit.inputs[target]
            if read and circuit.inputs[read[0]]:
                circuit.inputs[target] = circuit.inputs[read[0]]
    return circuit.tidy()


def _rows(query: list[int], key: list[int]) -> dict[int, list[int]]:
    """Return what each position reads."""
    rows: dict[int, list[int]] = {}
    for q, k in zip(query, key, strict=True):
        rows.setdefault(q, []).append(k)
    return rows


def _state(circuit: Circuit, parts: list[int | None]) -> int | None:
    """Return the node of a state that joins others."""
    read = dict.fromkeys(part for part in parts if part is not None)
    if len(read) <= 1:
        return next(iter(read), None)
    return circuit.add_gate(read)


def _order(rows: dict[int, list[int]], size: int) -> list[int] | None:
    """Return the positions, each after those that it reads; None if there is a cycle."""
    waiting = [len(rows.get(position, ())) for position in range(size)]
    readers: dict[int, list[int]] = {}
    for query, keys in rows.items():
        for key in keys:
            readers.setdefault(key, []).append(query)
    order = [position for position in range(size) if not waiting[position]]
    for position in order:
        for reader in readers.get(position, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                order.append(reader)
    return order if len(order) == size else None
