"""Reachability through layers: which pairs, after how many layers it converges, and along which path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import cycle

from masksynth.errors import InvalidInstance, check_type
from masksynth.mask import Mask
from masksynth.mask.algebra import identity, layer_relations, power, product, select_table, transpose


@dataclass(frozen=True)
class Convergence:
    """The limit of reachability.

    Parameters
    ----------
    depth : int
        The least number of layers through which all reachable pairs are reached.
    flow : Mask
        The reachable pairs: a reflexive and transitive mask.
    """

    depth: int
    flow: Mask


def convergence(mask: Mask) -> Convergence:
    """Return the least L with A_L ... A_1 = A_(L + 1) ... A_1 for this and all later layers, and that limit.

    A_i = M_i or I; layer i uses table i mod P. For one table it is the least L with A^L = A^(L + 1), the length of the
    longest shortest path. The powers of the period B = A_P ... A_1 grow until they are constant, so L is found by
    doubling, by bisection, and layer by layer in the last period.

    Raises
    ------
    Unsupported
        If the flow has too many intervals and is too large for a dense array.

    Examples
    --------
    >>> import numpy as np
    >>> convergence(Mask.from_dense(np.eye(6, k=-1, dtype=bool))).depth
    5
    >>> convergence(Mask.from_dense(np.tril(np.ones((6, 6), bool)))).flow.pairs
    21
    """
    check_type(mask, Mask)
    layers = layer_relations(mask)
    powers = [reduce(lambda flow, layer: product(layer, flow), layers)]
    while (square := product(powers[-1], powers[-1])) != powers[-1]:
        powers.append(square)
    goal, reached, depth = powers.pop(), identity(mask.size), 0
    # Invariant: ``reached`` is the flow through the first ``depth`` layers, a multiple of the period.
    for number in reversed(range(len(powers))):
        if (trial := product(powers[number], reached)) != goal:
            reached, depth = trial, depth + mask.tables * 2**number
    for layer in cycle(layers):
        if reached == goal:
            return Convergence(depth, goal)
        reached, depth = product(layer, reached), depth + 1
    raise AssertionError("a cycle ends only by return")


def flow_after(mask: Mask, layers: int) -> Mask:
    """Return A_L ... A_1 for L layers: entry [q, k] is true iff the input of position k has reached position q.

    Parameters
    ----------
    mask : Mask
        A layer pattern of P tables.
    layers : int
        L >= 1.

    Raises
    ------
    InvalidInstance
        If L is not positive.
    Unsupported
        As ``convergence``.

    Examples
    --------
    >>> import numpy as np
    >>> flow_after(Mask.from_dense(np.eye(6, k=-1, dtype=bool)), 2).intervals(5)
    ((3, 6),)
    """
    check_type(mask, Mask)
    if isinstance(layers, bool) or layers < 1:
        raise InvalidInstance(f"layers: expected an integer >= 1, got {layers!r}", "")
    tables = layer_relations(mask)
    periods, rest = divmod(layers, mask.tables)
    flow = identity(mask.size)
    if periods:
        flow = power(reduce(lambda earlier, layer: product(layer, earlier), tables), periods)
    return reduce(lambda earlier, layer: product(layer, earlier), tables[:rest], flow)


@dataclass(frozen=True)
class Reason:
    """Why query q depends on key k, or does not.

    Parameters
    ----------
    query, key : int
    tables : tuple of int
        Tables that allow the pair directly.
    layers : int or None
        The fewest layers after which the input of k has reached q; None if it never does.
    path : tuple of int
        A shortest path from k to q; a hop happens in a layer that allows it.
    at : tuple of int
        The layer after which k has reached each position of the path; 0 for k itself.
    """

    query: int
    key: int
    tables: tuple[int, ...]
    layers: int | None
    path: tuple[int, ...]
    at: tuple[int, ...]


def why(mask: Mask, query: int, key: int) -> Reason:
    """Explain one entry: allowed directly, reached through layers by a shortest path, or not at all.

    Breadth-first search that visits each position once and reads each interval once, so the time does not depend on the
    depth.

    Raises
    ------
    InvalidInstance
        If a position is out of range.
    Unsupported
        If a pattern of several tables has too many column intervals.

    Examples
    --------
    >>> import numpy as np
    >>> why(Mask.from_dense(np.eye(6, k=-1, dtype=bool)), 4, 2)
    Reason(query=4, key=2, tables=(), layers=2, path=(2, 3, 4), at=(0, 1, 2))
    >>> why(Mask.from_dense(np.eye(6, dtype=bool)), 4, 2).layers is None
    True
    """
    check_type(mask, Mask)
    for name, position in (("query", query), ("key", key)):
        if not 0 <= position < mask.size:
            raise InvalidInstance(f"{name}: expected a position of 0..{mask.size - 1}, got {position}", "")
    tables = tuple(table for table in range(mask.tables) if any(a <= key < b for a, b in mask.intervals(query, table)))
    if mask.tables == 1:  # backwards along the rows: no transposed mask is needed
        backwards = _earliest_arrivals([mask], query, key)[::-1]
        last = backwards[0][1] if backwards else 0
        path = [(position, last - layer) for position, layer in backwards]
    else:
        columns = [transpose(select_table(mask, table)) for table in range(mask.tables)]
        path = _earliest_arrivals(columns, key, query)
    layers = path[-1][1] if path else None
    return Reason(query, key, tables, layers, tuple(q for q, _ in path), tuple(layer for _, layer in path))


def _earliest_arrivals(tables: list[Mask], source: int, target: int) -> list[tuple[int, int]]:
    """Return (position, earliest layer) along a path of earliest arrival from source to target; empty if there is none.

    Row k of ``tables[i]`` lists the positions that attend to k in layers i + 1, i + 1 + P, ... A position reached in
    layer t is expanded in each of the next P layers; later layers add nothing new.
    """
    size, period = tables[0].size, len(tables)
    parent, arrival = {source: source}, {source: 0}
    next_unvisited = list(range(size + 1))  # links to the next unvisited position, with path compression
    next_unvisited[source] = source + 1
    fronts: list[list[int]] = [[source]]
    layer = 0
    while target not in arrival and any(fronts[-period:]):
        layer += 1
        table, new = tables[(layer - 1) % period], list[int]()
        for position in (position for front in fronts[-period:] for position in front):
            for start, end in table.intervals(position):
                for reader in _visit(next_unvisited, start, end):
                    parent[reader], arrival[reader] = position, layer
                    new.append(reader)
        fronts.append(new)
    if target not in arrival:
        return []
    path = [target]
    while path[-1] != source:
        path.append(parent[path[-1]])
    return [(position, arrival[position]) for position in reversed(path)]


def _visit(next_unvisited: list[int], start: int, end: int) -> Iterator[int]:
    """Yield the unvisited positions of ``start <= p < end`` and mark them as visited."""
    position = _find_unvisited(next_unvisited, start)
    while position < end:
        next_unvisited[position] = position + 1
        yield position
        position = _find_unvisited(next_unvisited, position)


def _find_unvisited(next_unvisited: list[int], position: int) -> int:
    """Return the first unvisited position at or after ``position``, and shorten the links on the way to it."""
    visited = []
    while next_unvisited[position] != position:
        visited.append(position)
        position = next_unvisited[position]
    for earlier in visited:
        next_unvisited[earlier] = position
    return position
