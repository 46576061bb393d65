"""Circuits from which the search starts: pair greedy, and covers by the sets of one kind."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import numpy as np

from masksynth.discover.circuit import Circuit, Wants
from masksynth.discover.cover import greedy_cover
from masksynth.discover.pair_greedy import pair_greedy


def greedy_circuit(wants: Wants, seed: int) -> Circuit:
    """Return a circuit by pair greedy; seed 0 takes the best pair each time, others nearly the best."""
    return pair_greedy(wants, np.random.default_rng(seed), noise=0.0 if seed == 0 else 0.3)


def circuit_of_sets(wants: Wants, sets: Iterable[int], rng: Random) -> Circuit:
    """Return a circuit whose gates are some of the given sets: each set is covered by smaller ones, each target by all.

    Parameters
    ----------
    wants : Wants
    sets : iterable of int
        Sets as bits; those that cannot be covered within the depth are left out.
    rng : Random
        Breaks ties.
    """
    circuit = Circuit.direct(wants)
    level = [0] * len(circuit.inputs)
    there = [(element, 1 << element) for element in range(wants.elements)]
    known = {bits for _, bits in there}
    for bits in sorted(set(sets) - known, key=int.bit_count):
        smaller = [(node, held) for node, held in there if not held & ~bits and level[node] < wants.layers - 1]
        found = greedy_cover(bits, smaller, rng)
        if found is not None and len(found) > 1:
            gate = circuit.add_gate(found)
            level.append(1 + max(level[child] for child in found))
            there.append((gate, bits))
    for index, (need, allowed) in enumerate(zip(wants.need, wants.allowed, strict=True)):
        found = greedy_cover(need, [(node, held) for node, held in there if not held & ~allowed], rng)
        assert found is not None
        target = wants.elements + index
        circuit.inputs[target], circuit.value[target] = tuple(found), circuit.union(found)
    return circuit.tidy()


def product_circuit(wants: Wants, columns: int, seed: int) -> Circuit | None:
    """Return a circuit in two stages for needs that are products of rows and columns of a grid; None for others.

    In each row the sets of columns are computed by pair greedy, and from these, for each set of columns, the sets of
    rows. For all but row and column of an m x m grid these are two stages of m leave-one-outs each.

    Parameters
    ----------
    wants : Wants
    columns : int
        Number of columns; cell (r, c) is element r x columns + c.
    seed : int
    """
    factors = [_factors(need, wants.elements, columns) for need in wants.need]
    if not factors or any(pair is None for pair in factors):
        return None
    pairs = [pair for pair in factors if pair is not None]
    in_row = list(dict.fromkeys(column for _, column in pairs))
    circuit = Circuit.direct(wants)
    parts: dict[tuple[int, int], int] = {}
    for row in range(wants.elements // columns):
        cells = [row * columns + column for column in range(columns)]
        for column, node in zip(in_row, _copy_in(circuit, cells, in_row, wants.layers - 1, seed), strict=True):
            parts[row, column] = node
    level = circuit.levels()
    for column in in_row:
        sources = [parts[row, column] for row in range(wants.elements // columns)]
        members_of = [index for index, pair in enumerate(pairs) if pair[1] == column]
        rows = [pairs[index][0] for index in members_of]
        depth = wants.layers - max(level[node] for node in sources)
        if depth < 1:
            return None
        for index, node in zip(members_of, _copy_in(circuit, sources, rows, depth, seed), strict=True):
            circuit.inputs[wants.elements + index] = (node,)
    return circuit.tidy()


def _factors(need: int, elements: int, columns: int) -> tuple[int, int] | None:
    """Return the rows and the columns of which a set is the product; None if it is none, or empty."""
    row_sets = [need >> row * columns & (1 << columns) - 1 for row in range(elements // columns)]
    column = next((bits for bits in row_sets if bits), 0)
    if not column or any(bits not in (0, column) for bits in row_sets):
        return None
    return sum(1 << row for row, bits in enumerate(row_sets) if bits), column


def _copy_in(circuit: Circuit, sources: list[int], needs: list[int], layers: int, seed: int) -> list[int]:
    """Add a pair-greedy circuit over some nodes as elements; return the nodes that hold each of the needs."""
    inner = greedy_circuit(Wants(len(sources), needs, needs, max(1, layers)), seed)
    node = dict(enumerate(sources))
    for index in inner.order():
        read = [node[child] for child in inner.inputs[index]]
        node[index] = read[0] if len(read) == 1 else circuit.add_gate(read)
    return [node[len(sources) + index] for index in range(len(needs))]
