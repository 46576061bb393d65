"""Swaps: two positions of a part that can be exchanged, so that a proof may assume the greater of two solutions.

A swap that maps demands, edges with their weights, and sure edges onto themselves maps solutions of a part to solutions
of the same weight. Compare solutions as words of 0 and 1 in the order of the part's edges. The greatest of all
solutions of least weight is at least as great as its image under every swap. So a lower bound for the solutions that
are at least as great as all their images is a lower bound for all solutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from masksynth.errors import WrongAnswer
from masksynth.verify.proof.formula import Clause
from masksynth.verify.proof.statement import ClaimedPart, Edge, Statement


def check_swaps(statement: Statement, part: ClaimedPart) -> None:
    """Check that every swap of a part maps its demands, edges, weights, and the given edges onto themselves.

    Raises
    ------
    WrongAnswer
        ``proof``.
    """
    given = statement.forced if statement.layered else statement.sure
    for a, b in part.swaps:
        for kind, edges in (("demand", part.demands), ("edge", part.edges), ("given edge", given)):
            members = set(edges)
            for edge in edges:
                if (image := exchange(edge, a, b)) not in members:
                    fact = f"the swap of {a} and {b} maps the {kind} {edge} to {image}, which is not one"
                    raise WrongAnswer("proof", f"{part.folder}: {fact}")
        for edge in part.edges:
            if statement.weight(edge) != statement.weight(exchange(edge, a, b)):
                raise WrongAnswer("proof", f"{part.folder}: the swap of {a} and {b} changes the weight of {edge}")


def exchange(edge: Edge, a: int, b: int) -> Edge:
    """Return an edge with two positions exchanged.

    Examples
    --------
    >>> exchange((2, 0), 0, 1), exchange((0, 1), 0, 1)
    ((2, 1), (1, 0))
    """
    query, key = ((b if end == a else a if end == b else end) for end in edge)
    return query, key


def swap_clauses(statement: Statement, part: ClaimedPart) -> Iterator[Clause]:
    """Yield clauses of "no swap makes the chosen edges greater"."""
    layers = [f"{layer} " for layer in range(1, statement.depth + 1)] if statement.layered else [""]
    order = {edge: place for place, edge in enumerate(part.edges)}
    for a, b in part.swaps:
        moved = [(edge, exchange(edge, a, b)) for edge in part.edges]
        exchanged = [
            (f"edge {layer}{edge[0]} {edge[1]}", f"edge {layer}{image[0]} {image[1]}")
            for layer in layers
            for edge, image in moved
            if order[edge] < order[image]
        ]
        yield from greatest(exchanged, f"equal {a} {b}")


def greatest(exchanged: Sequence[tuple[str, str]], equal: str) -> Iterator[Clause]:
    """Yield clauses of "at the first of these pairs whose literals differ, the first literal is the true one".

    Examples
    --------
    >>> list(greatest([("edge 1 0", "edge 2 0"), ("edge 0 1", "edge 0 2")], "equal 1 2"))[:3]
    [('edge 1 0', '-edge 2 0'), ('edge 1 0', 'equal 1 2 1'), ('-edge 2 0', 'equal 1 2 1')]
    """
    so_far: Clause = ()
    for count, (first, second) in enumerate(exchanged, 1):
        yield *so_far, first, f"-{second}"
        if count < len(exchanged):
            yield *so_far, first, f"{equal} {count}"
            yield *so_far, f"-{second}", f"{equal} {count}"
            so_far = (f"-{equal} {count}",)
