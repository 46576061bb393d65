"""Flow: what reaches what through the layers, after how many it stands still, and along which path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import cycle

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.mask.algebra import identity, layer_relations, power, product, select_table, transpose


@dataclass(frozen=True)
class Convergence:
    """``depth``: the least number of layers that reach all that any number reaches; ``flow``: what they reach, reflexive and transitive."""

    depth: int
    flow: Mask


def convergence(mask: Mask) -> Convergence:
    """The least L with A_L ... A_1 = A_(L + 1) ... A_1 for this and all later layers, and that limit.

    A_i = M_i or I; layer i uses table i mod P. For one table it is the least L with A^L = A^(L + 1), the longest of all shortest paths.
    The powers of the period B = A_P ... A_1 grow until they stand still, so L is found by doubling, by bisecting, and step by step in the
    last period.

    Raises
    ------
    Unsupported
        If the flow falls into too many intervals and is too large for an array.

    Examples
    --------
    >>> import numpy as np
    >>> convergence(Mask.from_dense(np.eye(6, k=-1, dtype=bool))).depth
    5
    >>> convergence(Mask.from_dense(np.tril(np.ones((6, 6), bool)))).flow.pairs
    21
    """
    layers = layer_relations(mask)
    powers = [reduce(lambda flow, layer: product(layer, flow), layers)]
    while (square := product(powers[-1], powers[-1])) != powers[-1]:
        powers.append(square)
    goal, reached, depth = powers.pop(), identity(mask.size), 0
    # Invariant: ``reached`` is what the first ``depth`` layers, whole periods, carry.
    for number in reversed(range(len(powers))):
        if (trial := product(powers[number], reached)) != goal:
            reached, depth = trial, depth + mask.tables * 2**number
    for layer in cycle(layers):
        if reached == goal:
            return Convergence(depth, goal)
        reached, depth = product(layer, reached), depth + 1
    raise AssertionError("a cycle ends only by return")


def flow_after(mask: Mask, layers: int) -> Mask:
    """A_L ... A_1 for L layers: entry [q, k] is true iff position q has seen the input of position k.

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
    if isinstance(layers, bool) or layers < 1:
        raise InvalidInstance(f"{layers} layers", "", "give a positive number of layers")
    tables = layer_relations(mask)
    whole, rest = divmod(layers, mask.tables)
    flow = power(reduce(lambda found, layer: product(layer, found), tables), whole) if whole else identity(mask.size)
    return reduce(lambda found, layer: product(layer, found), tables[:rest], flow)


@dataclass(frozen=True)
class Reason:
    """Why query q sees key k, or does not.

    Parameters
    ----------
    query, key : int
    tables : tuple of int
        Tables that allow the pair directly.
    layers : int or None
        The fewest layers after which q has seen the input of k; None if no number is enough.
    path : tuple of int
        A shortest path from k to q; every hop takes one layer or waits for the one that allows it.
    at : tuple of int
        The layer after which each position of the path knows k; 0 for k itself.
    """

    query: int
    key: int
    tables: tuple[int, ...]
    layers: int | None
    path: tuple[int, ...]
    at: tuple[int, ...]


def why(mask: Mask, query: int, key: int) -> Reason:
    """Explain one entry: allowed directly, reached through layers by a shortest path, or not at all.

    Breadth-first search in which every position is met once and every interval read once, so that depth does not matter.

    Raises
    ------
    InvalidInstance
        If a position is none of the mask's.
    Unsupported
        If a pattern of several tables falls into too many column intervals.

    Examples
    --------
    >>> import numpy as np
    >>> why(Mask.from_dense(np.eye(6, k=-1, dtype=bool)), 4, 2)
    Reason(query=4, key=2, tables=(), layers=2, path=(2, 3, 4), at=(0, 1, 2))
    >>> why(Mask.from_dense(np.eye(6, dtype=bool)), 4, 2).layers is None
    True
    """
    for name, place in (("query", query), ("key", key)):
        if not 0 <= place < mask.size:
            raise InvalidInstance(
                f"{name} {place} is not one of 0, ..., {mask.size - 1}", "", "name two positions of the mask"
            )
    tables = tuple(table for table in range(mask.tables) if any(a <= key < b for a, b in mask.intervals(query, table)))
    if mask.tables == 1:  # backwards along the rows, which need no transposing
        path = _arrivals([mask], query, key)[::-1]
        last = path[0][1] if path else 0
        found = [(place, last - at) for place, at in path]
    else:
        found = _arrivals([transpose(select_table(mask, table)) for table in range(mask.tables)], key, query)
    layers = found[-1][1] if found else None
    return Reason(query, key, tables, layers, tuple(place for place, _ in found), tuple(at for _, at in found))


def _arrivals(tables: list[Mask], source: int, target: int) -> list[tuple[int, int]]:
    """(position, earliest layer) along a path of earliest arrival from source to target; empty where there is none.

    ``tables[i]`` lists for each position where layer i + 1, i + 1 + P, ... carries it. A position met at layer t is carried by the next
    P layers and then has nothing more to give.
    """
    size, period = tables[0].size, len(tables)
    parent, arrival = {source: source}, {source: 0}
    unmet = list(range(size + 1))
    _take(unmet, source)
    fronts: list[list[int]] = [[source]]
    layer = 0
    while target not in arrival and any(fronts[-period:]):
        layer += 1
        table, new = tables[(layer - 1) % period], list[int]()
        for place in (place for front in fronts[-period:] for place in front):
            for start, end in table.intervals(place):
                for met in _taken(unmet, start, end):
                    parent[met], arrival[met] = place, layer
                    new.append(met)
        fronts.append(new)
    if target not in arrival:
        return []
    path = [target]
    while path[-1] != source:
        path.append(parent[path[-1]])
    return [(place, arrival[place]) for place in reversed(path)]


def _taken(unmet: list[int], start: int, end: int) -> Iterator[int]:
    """Yield the positions of ``start <= p < end`` that were not met before, and count them as met: links to the next unmet position."""
    place = _next(unmet, start)
    while place < end:
        _take(unmet, place)
        yield place
        place = _next(unmet, place)


def _take(unmet: list[int], place: int) -> None:
    unmet[place] = place + 1


def _next(unmet: list[int], place: int) -> int:
    trail = []
    while unmet[place] != place:
        trail.append(place)
        place = unmet[place]
    for passed in trail:
        unmet[passed] = place
    return place
