"""Horizontal coordinates of a layered tree: no crossings, each parent centred on its children.

Subtrees are laid out first and moved together until their outlines touch (E. M. Reingold, J. S. Tilford, "Tidier
drawings of trees", IEEE Trans. Softw. Eng. 7 (1981)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from masksynth.draw.layer_order import LayeredGraph

SPINE = 2
"""A child whose subtree has this many times the vertices of all its siblings' is placed straight above its parent."""
Outline = Mapping[int, tuple[float, float]]


def find_root(graph: LayeredGraph) -> tuple[int, list[list[int]]] | None:
    """Return the root of a connected tree and the children of each vertex; None if the graph is not a rooted tree.

    The root is the lowest vertex where each vertex has at most one neighbour below, the highest where each has at most
    one above.

    Examples
    --------
    >>> from masksynth.draw.layer_order import layered_graph
    >>> find_root(layered_graph([0, 1, 1], [(0, 1), (0, 2)]))
    (0, [[1, 2], [], []])
    """
    for parents, children in ((graph.below, graph.above), (graph.above, graph.below)):
        roots = [v for v, near in enumerate(parents) if not near]
        if len(roots) == 1 and all(len(near) <= 1 for near in parents):
            return roots[0], children
    return None


def place_tree(
    graph: LayeredGraph,
    root: int,
    children: list[list[int]],
    widths: Sequence[float],
    hint: Sequence[float],
    side_column: Sequence[bool],
    gap: float,
) -> list[float]:
    """Return the horizontal coordinate of each vertex of a tree.

    Parameters
    ----------
    graph : LayeredGraph
    root : int
    children : list of lists of int
        Children of each vertex, as ``find_root`` returns them.
    widths : sequence of float
        Width of each vertex.
    hint : sequence of float
        Preferred order of siblings.
    side_column : sequence of bool
        Whether a vertex goes to a column left or right of its parent, never straight above it.
    gap : float
        Least distance between neighbours of a layer.

    Examples
    --------
    >>> from masksynth.draw.layer_order import layered_graph
    >>> fork = layered_graph([0, 1, 1], [(0, 1), (0, 2)])
    >>> place_tree(fork, 0, [[1, 2], [], []], [10, 10, 10], [0, 1, 2], [False] * 3, 4)
    [0.0, -7.0, 7.0]
    """
    order = _postorder(root, children)
    shapes, sizes = _shapes(order, children), _sizes(order, children)
    shift = [0.0] * len(widths)  # offset of each vertex from its parent
    outlines: dict[int, Outline] = {}
    for v in order:
        extent = (-widths[v] / 2, widths[v] / 2)
        siblings = sort_symmetrically(sorted(children[v], key=lambda u: (hint[u], u)), shapes)
        attached = [outlines.pop(child) for child in siblings]
        straight = [index for index, child in enumerate(siblings) if not side_column[child]]
        spine = straight[0] if len(straight) == 1 else _spine(siblings, sizes)
        if siblings and not straight:
            # an empty place straight above the parent: on its right one child, or half of the children
            spine = len(siblings) // 2
            attached.insert(spine, {graph.layer[siblings[0]]: extent})
        offsets = attach_outlines(attached, gap, spine)
        middle = offsets[spine] if spine is not None else (offsets[0] + offsets[-1]) / 2 if siblings else 0.0
        outline = merge_outlines(attached, [offset - middle for offset in offsets])
        outline[graph.layer[v]] = extent
        outlines[v] = outline
        if len(attached) > len(siblings):
            offsets.pop(spine or 0)
        for child, offset in zip(siblings, offsets, strict=True):
            shift[child] = offset - middle
    place = [0.0] * len(widths)
    for v in reversed(order):  # parents before their children
        for child in children[v]:
            place[child] = place[v] + shift[child]
    return place


def _postorder(root: int, children: list[list[int]]) -> list[int]:
    """List the vertices of a tree, children before their parents."""
    order, stack = [], [root]
    while stack:
        v = stack.pop()
        order.append(v)
        stack += children[v]
    return order[::-1]


def _shapes(order: list[int], children: list[list[int]]) -> dict[int, int]:
    """Number the subtrees so that isomorphic ones have equal numbers (Aho, Hopcroft and Ullman's codes)."""
    codes: dict[tuple[int, ...], int] = {}
    shapes: dict[int, int] = {}
    for v in order:
        key = tuple(sorted(shapes[child] for child in children[v]))
        shapes[v] = codes.setdefault(key, len(codes))
    return shapes


def _sizes(order: list[int], children: list[list[int]]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for v in order:
        sizes[v] = 1 + sum(sizes[child] for child in children[v])
    return sizes


def sort_symmetrically(siblings: Sequence[int], shapes: Mapping[int, int]) -> list[int]:
    """Sort siblings, given in their preferred order, so that equal shapes lie symmetrically, where that is possible.

    Examples
    --------
    >>> sort_symmetrically([0, 1, 2], {0: 7, 1: 8, 2: 7}), sort_symmetrically([0, 1, 2], {0: 7, 1: 7, 2: 8})
    ([0, 1, 2], [0, 2, 1])
    """
    groups: dict[int, list[int]] = {}
    for v in siblings:
        groups.setdefault(shapes[v], []).append(v)
    odd_groups = [group for group in groups.values() if len(group) % 2]
    if len(groups) < 2 or len(odd_groups) > 1:
        return list(siblings)
    outer = [group for group in groups.values() if group not in odd_groups] + odd_groups
    left = [v for group in outer for v in group[: len(group) // 2]]
    middle = [group[len(group) // 2] for group in odd_groups]
    right = [v for group in outer[::-1] for v in group[(len(group) + 1) // 2 :]]
    return [*left, *middle, *right]


def _spine(siblings: list[int], sizes: Mapping[int, int]) -> int | None:
    """Return the index of the child that continues its parent straight on, None if there is no such child."""
    total = sum(sizes[v] for v in siblings)
    return next((i for i, v in enumerate(siblings) if sizes[v] >= SPINE * (total - sizes[v])), None)


def attach_outlines(outlines: Sequence[Outline], gap: float, spine: int | None = None) -> list[float]:
    """Move subtrees together until their outlines are ``gap`` apart; return the offset of each.

    With a spine, subtrees left and right of it are packed against it. Without, the offsets are the mean of packing from
    the left and packing from the right: both keep all subtrees apart, so their mean does, and it is symmetric.
    """
    if spine is None:
        return [(a + b) / 2 for a, b in zip(_pack(outlines, gap), _pack_from_right(outlines, gap), strict=True)]
    left = _pack_from_right(outlines[: spine + 1], gap)[:-1]
    right = _pack(outlines[spine:], gap)[1:]
    # a subtree higher than the spine may meet one on the other side of it
    apart = _distance(merge_outlines(outlines[:spine], left), merge_outlines(outlines[spine + 1 :], right), gap)
    return [*left, 0.0, *(offset + max(apart, 0.0) for offset in right)]


def _pack(outlines: Sequence[Outline], gap: float) -> list[float]:
    """Return the offsets of subtrees packed from the left, the first at 0."""
    offsets: list[float] = []
    for index, outline in enumerate(outlines):
        offsets.append(_distance(merge_outlines(outlines[:index], offsets), outline, gap) if index else 0.0)
    return offsets


def _pack_from_right(outlines: Sequence[Outline], gap: float) -> list[float]:
    """Return the offsets of subtrees packed from the right, the last at 0."""
    flipped = [{layer: (-high, -low) for layer, (low, high) in outline.items()} for outline in outlines[::-1]]
    return [-offset for offset in _pack(flipped, gap)[::-1]]


def _distance(left: Outline, right: Outline, gap: float) -> float:
    """Return how far right the second of two outlines must be moved to lie ``gap`` to the right of the first."""
    return max((left[layer][1] + gap - low for layer, (low, _) in right.items() if layer in left), default=0.0)


def merge_outlines(outlines: Sequence[Outline], offsets: Sequence[float]) -> dict[int, tuple[float, float]]:
    """Return the outline of several subtrees: (least, greatest) horizontal coordinate in each layer."""
    merged: dict[int, tuple[float, float]] = {}
    for outline, offset in zip(outlines, offsets, strict=True):
        for layer, (low, high) in outline.items():
            before = merged.get(layer, (low + offset, high + offset))
            merged[layer] = (min(before[0], low + offset), max(before[1], high + offset))
    return merged
