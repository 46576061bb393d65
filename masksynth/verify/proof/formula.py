"""The formula of a part, built level by level from matrices of known, open and needed pairs.

A literal is a string: ``edge 2 0``, ``reach 4 2 0`` or ``-reach 4 2 0``. At level l the state of a pair is 2 if its
literal is true, 1 if it is a variable, 0 if it is false. Levels are processed from the deepest down: all pairs that are
needed at a level are known once the levels above it are done. For each query, one row of states is combined with one
table of states, over all middle positions w and all keys at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masksynth.verify.proof.graphs import distances, table
from masksynth.verify.proof.proof_files import Bools
from masksynth.verify.proof.statement import Edge

Clause = tuple[str, ...]
States = NDArray[np.int8]
FALSE, OPEN, TRUE = 0, 1, 2


class Terms(NamedTuple):
    """For one query, (middle, key) tables: both literals are open, only the first is, only the second is."""

    both: Bools
    first: Bools
    second: Bools


def part_clauses(
    size: int, depth: int, sure: Iterable[Edge], edges: Iterable[Edge], demands: Sequence[Edge]
) -> Iterator[Clause]:
    """Yield clauses of "for every demand there is a path of at most L edges".

    Parameters
    ----------
    size, depth : int
        n and L.
    sure : edges
        Edges that are present.
    edges : edges
        Edges that are open; all others are absent.
    demands : edges

    Examples
    --------
    >>> for clause in part_clauses(3, 2, [(1, 0)], [(2, 0), (2, 1)], [(2, 0)]):
    ...     print(clause)
    ('reach 2 2 0',)
    ('-reach 2 2 0', 'edge 2 0', 'edge 2 1')
    """
    present = table(size, sure)
    given, reachable = distances(present, depth), distances(present | table(size, edges), depth)

    def states(level: int) -> States:
        return np.where(given <= level, TRUE, reachable <= level).astype(np.int8)

    def name(level: int, query: int, key: int) -> str:
        return f"edge {query} {key}" if level == 1 else f"reach {level} {query} {key}"

    yield from _units(states(depth), depth, demands, name)
    needed = {depth: table(size, demands) & (states(depth) == OPEN)}
    while (level := max(needed)) > 1:
        low = level // 2
        high = level - low
        for other in (low, high):
            needed.setdefault(other, np.zeros((size, size), bool))
        firsts, seconds = states(low), states(high)
        for query in np.flatnonzero(needed[level].any(axis=1)).tolist():
            keys = np.flatnonzero(needed[level][query])
            first = firsts[query].copy()
            first[query] = FALSE  # a first half from the query to itself adds nothing
            terms = _terms(first, seconds[:, keys])
            needed[low][query] |= (terms.both | terms.first).any(axis=1)
            needed[high][:, keys] |= terms.both | terms.second

            yield from _implications(level, query, keys.tolist(), terms, _named(name, low), _named(name, high))
        del needed[level]


def layered_clauses(
    size: int, depth: int, edges: Sequence[Edge], demands: Sequence[Edge], forced: Iterable[Edge]
) -> Iterator[Clause]:
    """Yield clauses, with a mask per layer, of "for every demand a walk stays or takes an edge in each layer".

    Examples
    --------
    >>> list(layered_clauses(2, 2, [(1, 0)], [(1, 0)], []))
    [('reach 2 1 0',), ('-reach 2 1 0', 'edge 2 1 0', 'edge 1 1 0')]
    """
    open_edges = table(size, edges)
    hops = distances(open_edges, depth)

    def states(level: int) -> States:
        return np.where(hops == 0, TRUE, hops <= level).astype(np.int8)

    def name(level: int, query: int, key: int) -> str:
        return f"edge 1 {query} {key}" if level == 1 else f"reach {level} {query} {key}"

    yield from _units(states(depth), depth, demands, name)
    yield from ((f"edge {level} {query} {key}",) for query, key in forced for level in range(1, depth + 1))
    steps = np.where(np.eye(size, dtype=bool), TRUE, open_edges).astype(np.int8)
    needed = table(size, demands) & (states(depth) == OPEN)
    for level in range(depth, 1, -1):
        below, seconds = np.zeros((size, size), bool), states(level - 1)
        for query in np.flatnonzero(needed.any(axis=1)).tolist():
            keys = np.flatnonzero(needed[query])
            terms = _terms(steps[query], seconds[:, keys])
            below[:, keys] |= terms.both | terms.second

            def step(query: int, middle: int, level: int = level) -> str:
                return f"edge {level} {query} {middle}"

            yield from _implications(level, query, keys.tolist(), terms, step, _named(name, level - 1))
        needed = below


def _named(name: Callable[[int, int, int], str], level: int) -> Callable[[int, int], str]:
    """Return the names of literals of one level."""
    return lambda query, key: name(level, query, key)


def _units(
    state: States, level: int, demands: Sequence[Edge], name: Callable[[int, int, int], str]
) -> Iterator[Clause]:
    """Yield a unit clause for each open demand, and the empty clause for an impossible one."""
    for demand in demands:
        if state[demand] == OPEN:
            yield (name(level, *demand),)
        elif state[demand] == FALSE:
            yield ()


def _terms(first: States, second: States) -> Terms:
    """Return the terms of one query from the states of its first halves (n,) and of the second halves (n, keys)."""
    ahead = first[:, None]
    return Terms(
        (ahead == OPEN) & (second == OPEN), (ahead == OPEN) & (second == TRUE), (ahead == TRUE) & (second == OPEN)
    )


def _implications(
    level: int,
    query: int,
    keys: list[int],
    terms: Terms,
    first: Callable[[int, int], str],
    second: Callable[[int, int], str],
) -> Iterator[Clause]:
    """Yield for each key "reach implies one of its terms", and "a term of two open literals implies both"."""
    for column, key in enumerate(keys):
        literals = [first(query, middle) for middle in np.flatnonzero(terms.first[:, column]).tolist()]
        literals += [second(middle, key) for middle in np.flatnonzero(terms.second[:, column]).tolist()]
        for middle in np.flatnonzero(terms.both[:, column]).tolist():
            via = f"via {level} {query} {middle} {key}"
            literals.append(via)
            yield f"-{via}", first(query, middle)
            yield f"-{via}", second(middle, key)
        yield f"-reach {level} {query} {key}", *dict.fromkeys(literals)


def at_most(terms: Sequence[str], most: int, counter: str = "count") -> Iterator[Clause]:
    """Yield a totalizer (Bailleux and Boufkhad 2003): at most ``most`` of the terms are true.

    Segments [i, j) of the terms are halved; ``count i j t`` is implied if t terms of the segment are true, for t up to
    ``most + 1``; ``counter`` may be another name than ``count``.

    Examples
    --------
    >>> for clause in at_most(["edge 1 0", "edge 2 0"], 1):
    ...     print(clause)
    ('-edge 2 0', 'count 0 2 1')
    ('-edge 1 0', 'count 0 2 1')
    ('-edge 1 0', '-edge 2 0', 'count 0 2 2')
    ('-count 0 2 2',)
    """
    if most < 0:
        yield ()
        return
    if len(terms) <= most:
        return
    cap = most + 1

    def outputs(begin: int, end: int) -> list[str]:
        if end - begin == 1:
            return [terms[begin]]
        return [f"{counter} {begin} {end} {true}" for true in range(1, min(end - begin, cap) + 1)]

    segments = [(0, len(terms))]
    for begin, end in segments:  # the list grows while it is read
        if end - begin == 1:
            continue
        middle = (begin + end) // 2
        segments += [(begin, middle), (middle, end)]
        sums, left, right = outputs(begin, end), outputs(begin, middle), outputs(middle, end)
        for total in range(1, len(left) + len(right) + 1):
            for from_left in range(max(0, total - len(right)), min(total, len(left)) + 1):
                from_right = total - from_left
                premises = [f"-{left[from_left - 1]}"] * (from_left > 0)
                premises += [f"-{right[from_right - 1]}"] * (from_right > 0)
                yield *premises, sums[min(total, cap) - 1]
    yield (f"-{outputs(0, len(terms))[cap - 1]}",)
