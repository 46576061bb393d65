"""Mirror symmetries of a layered graph: automorphisms of order two that keep the layers.

The search individualizes one vertex in two copies of the graph and refines both by the colours of their neighbours,
which settles nearly all other vertices (B. D. McKay, A. Piperno, "Practical graph isomorphism, II", J. Symbolic Comput.
60 (2014)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from masksynth.draw.layer_order import LayeredGraph

MOST_VERTICES = 2_000
"""Largest graph whose symmetries are searched for."""
MOST_STEPS = 60
"""Maximum number of vertices that are individualized before the search gives up."""


def find_mirror(graph: LayeredGraph, colours: Sequence[int] | None = None) -> list[int] | None:
    """Return an involution that maps the graph to its mirror image, or None where none was found.

    The involution ``m`` keeps layers and edges, ``m[m[v]] == v``, and fixes at most one vertex of each layer, since
    only one can lie on the axis of a drawing.

    Parameters
    ----------
    graph : LayeredGraph
        Edges join neighbouring layers only.
    colours : sequence of int, optional
        Vertices of different colours are not mapped to each other.

    Examples
    --------
    Two branches of a fork are swapped; the stem lies on the axis.

    >>> from masksynth.draw.layer_order import layered_graph
    >>> find_mirror(layered_graph([0, 1, 1], [(0, 1), (0, 2)]))
    [0, 2, 1]
    """
    if len(graph.layer) > MOST_VERTICES:
        return None
    colours = refine(graph, graph.layer if colours is None else colours)
    return _search(graph, colours, colours, [MOST_STEPS])


def refine(graph: LayeredGraph, colours: Sequence[int]) -> list[int]:
    """Refine colours until vertices of one colour have neighbours of the same colours, above and below.

    The numbers of the colours depend on the graph and the given colours alone, so that isomorphic graphs get equal
    colours.

    Examples
    --------
    >>> from masksynth.draw.layer_order import layered_graph
    >>> refine(layered_graph([0, 1, 1, 2], [(0, 1), (0, 2), (2, 3)]), [0, 1, 1, 2])
    [0, 1, 2, 3]
    """
    colours, count = list(colours), len(set(colours))
    while True:
        keys = [
            (colours[v], sorted(colours[u] for u in graph.below[v]), sorted(colours[u] for u in graph.above[v]))
            for v in range(len(colours))
        ]
        ranks = {key: rank for rank, key in enumerate(sorted({_hashable(key) for key in keys}))}
        colours = [ranks[_hashable(key)] for key in keys]
        if len(ranks) == count:
            return colours
        count = len(ranks)


def _hashable(key: tuple[int, list[int], list[int]]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return key[0], tuple(key[1]), tuple(key[2])


def _search(graph: LayeredGraph, first: list[int], second: list[int], steps: list[int]) -> list[int] | None:
    """Find an involution that maps each vertex to one whose colour in ``second`` equals the vertex's in ``first``."""
    sizes = Counter(first)
    if sizes != Counter(second):
        return None
    open_vertices = [v for v, colour in enumerate(first) if sizes[colour] > 1]
    if not open_vertices:
        return _involution(graph, first, second)
    # the smallest class first: it leaves the fewest choices
    v = min(open_vertices, key=lambda u: (sizes[first[u]], u))
    images = [u for u, colour in enumerate(second) if colour == first[v]]
    for image in sorted(images, key=lambda u: (u == v, -u)):  # a vertex that moves is tried before one that is fixed
        steps[0] -= 1
        if steps[0] < 0:
            return None
        first_split, second_split = _individualize(first, v, image), _individualize(second, image, v)
        mirror = _search(graph, refine(graph, first_split), refine(graph, second_split), steps)
        if mirror is not None:
            return mirror
    return None


def _individualize(colours: list[int], v: int, partner: int) -> list[int]:
    """Give ``v`` a unique colour, and a second one to its image if that is another vertex."""
    new = [3 * colour for colour in colours]
    new[v] += 1
    if partner != v:
        new[partner] += 2
    return new


def _involution(graph: LayeredGraph, first: list[int], second: list[int]) -> list[int] | None:
    image_of = {colour: v for v, colour in enumerate(second)}
    mirror = [image_of[colour] for colour in first]
    fixed = Counter(graph.layer[v] for v, image in enumerate(mirror) if v == image)
    if any(mirror[image] != v for v, image in enumerate(mirror)) or max(fixed.values(), default=0) > 1:
        return None
    edges = {(u, v) for v, lower in enumerate(graph.below) for u in lower}
    return mirror if {(mirror[u], mirror[v]) for u, v in edges} == edges else None
