"""The demands of contracts, from their definitions: direct reads, mixed states, disjoint ways, few hops.

For target t at position p = phi(t) with need N:

- ``direct`` r: at least min(r, |N|) elements e of N for which p reads, in some layer l, a k != p with C_{l-1}(k) = {e};
- ``mixed`` r: every e of N is in some C_{l-1}(k), k != p read by p in layer l, that has r other elements or more;
- ``bandwidth`` w: w ways from w different elements of N to p in the graph of the states (q, l), which share no state
  but those of p; a way begins at a position that embeds its element;
- ``hops`` h: every e of N arrives over at most h reads.

Layers are those of the schedule; one mask counts as L layers if L is given, and otherwise as many as change a context.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.tasks.canonical import shown
from masksynth.verify.discovery.broken_contract import BrokenContract
from masksynth.verify.discovery.find_way import Rows


def check_demands(
    contracts: Contracts, layers: list[Rows], states: list[UInt64Array], element: Int64Array, target: Int64Array
) -> tuple[str, ...]:
    """Raise unless every demand is met; return the names of those that were checked.

    Parameters
    ----------
    contracts : Contracts
    layers : list of Rows
        The rows of each layer 1, .., L.
    states : list of (N, words) uint64
        C_0, .., C_L.
    element : (N,) int64
        The element that each position embeds, -1 for a blank.
    target : (T,) int64
    """
    demand, checked = contracts.demand, []
    if demand.direct:
        _check_direct(contracts, layers, states, target)
        checked.append("direct")
    if demand.mixed:
        _check_mixed(contracts, layers, states, target)
        checked.append("mixed")
    if demand.bandwidth:
        _check_bandwidth(contracts, layers, element, target)
        checked.append("bandwidth")
    if demand.hops is not None:
        _check_hops(contracts, layers, states[0], target)
        checked.append("hops")
    return tuple(checked)


def _keys(rows: Rows, position: int) -> Int64Array:
    """Return the other positions that a position reads."""
    keys = rows.key[rows.offset[position] : rows.offset[position + 1]]
    others: Int64Array = keys[keys != position]
    return others


def _counts(state: UInt64Array) -> Int64Array:
    """Return the number of elements of each context."""
    counts: Int64Array = np.unpackbits(state.view(np.uint8), axis=1).sum(axis=1).astype(np.int64)
    return counts


def _members(row: UInt64Array) -> list[int]:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def _joined(layers: list[Rows], states: list[UInt64Array], target: Int64Array, low: int, high: int) -> UInt64Array:
    """Return for each target the union of the contexts of low to high elements that it reads, in any layer."""
    joined = np.zeros((len(target), states[0].shape[1]), np.uint64)
    for rows, before in zip(layers, states[:-1], strict=True):
        count = _counts(before)
        fits = (count >= low) & (count <= high)
        for index, position in enumerate(target.tolist()):
            keys = _keys(rows, position)
            keys = keys[fits[keys]]
            if len(keys):
                joined[index] |= np.bitwise_or.reduce(before[keys], axis=0)
    return joined


def _check_direct(contracts: Contracts, layers: list[Rows], states: list[UInt64Array], target: Int64Array) -> None:
    joined = _joined(layers, states, target, 1, 1) & contracts.need
    wanted = np.minimum(_counts(contracts.need), contracts.demand.direct)
    found = _counts(joined)
    if (found < wanted).any():
        index = int((found < wanted).argmax())
        label = contracts.targets[index].label
        fact = f"target {shown(label)} reads {found[index]} needed elements directly, expected {wanted[index]}"
        raise BrokenContract("direct", fact, label)


def _check_mixed(contracts: Contracts, layers: list[Rows], states: list[UInt64Array], target: Int64Array) -> None:
    others = contracts.demand.mixed
    missing = contracts.need & ~_joined(layers, states, target, others + 1, contracts.elements.count)
    if missing.any():
        index = int(missing.any(axis=1).argmax())
        label, element = contracts.targets[index].label, contracts.elements.values[_members(missing[index])[0]]
        fact = f"{shown(element)} does not reach target {shown(label)} in a state that holds {others} others"
        raise BrokenContract("mixed", fact, label, element)


def _check_hops(contracts: Contracts, layers: list[Rows], embedded: UInt64Array, target: Int64Array) -> None:
    hops = contracts.demand.hops
    assert hops is not None
    # within[j] are the elements that have arrived over at most j reads; more reads than layers are impossible.
    within = [embedded.copy() for _ in range(min(hops, len(layers)) + 1)]
    for rows in layers:
        for used in range(len(within) - 1, 0, -1):  # from the most reads, so that each read is of the layer before
            for position in np.flatnonzero(np.diff(rows.offset) > 1).tolist():
                keys = _keys(rows, position)
                within[used][position] |= np.bitwise_or.reduce(within[used - 1][keys], axis=0)
    missing = contracts.need & ~within[-1][target]
    if missing.any():
        index = int(missing.any(axis=1).argmax())
        label, element = contracts.targets[index].label, contracts.elements.values[_members(missing[index])[0]]
        fact = f"{shown(element)} reaches target {shown(label)} over more than {hops} reads"
        raise BrokenContract("hops", fact, label, element)


def _check_bandwidth(contracts: Contracts, layers: list[Rows], element: Int64Array, target: Int64Array) -> None:
    for index, position in enumerate(target.tolist()):
        needed = _members(contracts.need[index])
        wanted = contracts.demand.bandwidth if needed else 0
        found = _read_raw(layers, element, position, set(needed))
        if found < wanted:
            found = count_ways(layers, element, position, needed, wanted)
        if found < wanted:
            label = contracts.targets[index].label
            fact = f"{found} ways lead to target {shown(label)} that share no state, expected {wanted}"
            raise BrokenContract("bandwidth", fact, label)


def _read_raw(layers: list[Rows], element: Int64Array, position: int, needed: set[int]) -> int:
    """Return the number of needed elements of which some embedding position is read: their ways share nothing."""
    keys = np.concatenate([_keys(rows, position) for rows in layers])
    return len(needed & set(element[keys].tolist()))


def count_ways(layers: list[Rows], element: Int64Array, target: int, needed: list[int], most: int) -> int:
    """Return the greatest number of disjoint ways from needed elements to a target, at most ``most``.

    By augmenting paths in the graph whose vertices (q, l) are split in two with one unit of capacity between them.

    Examples
    --------
    Two tokens that reach a blank through one hub, in two layers:

    >>> hub = Rows(np.array([0, 1, 2, 5, 6]), np.array([0, 1, 0, 1, 2, 3]))
    >>> top = Rows(np.array([0, 1, 2, 3, 5]), np.array([0, 1, 2, 2, 3]))
    >>> count_ways([hub, top], np.array([0, 1, -1, -1]), 3, [0, 1], 2)
    1
    """
    size, depth = len(element), len(layers)
    sink, source = "sink", "source"
    capacity: dict[object, dict[object, int]] = {}

    def add(tail: object, head: object) -> None:
        capacity.setdefault(tail, {})[head] = 1
        capacity.setdefault(head, {}).setdefault(tail, 0)

    for number in needed:
        add(source, ("element", number))
        for position in np.flatnonzero(element == number).tolist():
            add(("element", number), sink if position == target else (position, 0, "in"))
    for layer in range(depth):
        for position in range(size):
            if position == target:
                continue
            add((position, layer, "in"), (position, layer, "out"))
            add((position, layer, "out"), (position, layer + 1, "in"))
        rows = layers[layer]
        for query in np.flatnonzero(np.diff(rows.offset) > 1).tolist():
            for key in _keys(rows, query).tolist():
                if key != target:
                    add((key, layer, "out"), sink if query == target else (query, layer + 1, "in"))
    return _augment(capacity, source, sink, most)


def _augment(capacity: dict[object, dict[object, int]], source: object, sink: object, most: int) -> int:
    """Return the value of a greatest flow, at most ``most``, each path carrying one unit."""
    for found in range(most):
        before: dict[object, object] = {source: source}
        pending = deque([source])
        while pending and sink not in before:
            vertex = pending.popleft()
            for head, free in capacity.get(vertex, {}).items():
                if free and head not in before:
                    before[head] = vertex
                    pending.append(head)
        if sink not in before:
            return found
        vertex = sink
        while vertex != source:
            tail = before[vertex]
            capacity[tail][vertex] -= 1
            capacity[vertex][tail] += 1
            vertex = tail
    return most
