"""Families of contracts by their definitions, with sets and loops: the specification of the families."""

from __future__ import annotations

import random
from itertools import product


def line(n):
    return {frozenset(pair): abs(pair[0] - pair[1]) for pair in product(range(n), repeat=2)}


def shortest_paths(n, edges):
    """Return the distances of a graph by Floyd and Warshall."""
    far = n + 1
    table = {(i, j): 0 if i == j else far for i in range(n) for j in range(n)}
    for a, b in edges:
        table[a, b] = table[b, a] = 1
    for k in range(n):
        for i in range(n):
            for j in range(n):
                table[i, j] = min(table[i, j], table[i, k] + table[k, j])
    return table


def tree_edges(parents):
    return [(node, parent) for node, parent in enumerate(parents) if parent is not None and parent >= 0]


def cells(shape):
    return list(product(*map(range, shape)))


def grid_distance(shape, metric):
    table = {}
    for i, a in enumerate(cells(shape)):
        for j, b in enumerate(cells(shape)):
            steps = [abs(x - y) for x, y in zip(a, b, strict=True)]
            table[i, j] = sum(steps) if metric == "manhattan" else max(steps)
    return table


def ancestors(parents, node):
    """Return a node with everything above it."""
    above = {node}
    while parents[node] not in (None, -1):
        node = parents[node]
        above.add(node)
    return above


def leave_out(n, is_hidden):
    """Return (label, need, hide) of each element that hides some and needs all others."""
    rows = []
    for target in range(n):
        hidden = {element for element in range(n) if is_hidden(target, element)}
        rows.append((target, set(range(n)) - hidden, hidden))
    return rows


def only(n, labels, needed):
    """Return (label, need, hide) of targets that need some elements and hide all others."""
    return [(label, set(need), set(range(n)) - set(need)) for label, need in zip(labels, needed, strict=True)]


def leave_one_out(n):
    return leave_out(n, lambda t, e: t == e)


def leave_block_out(n, l):  # noqa: E741 - as in the family
    rows = []
    for block in range(n // l):
        inside = set(range(block * l, block * l + l))
        rows.append((("block", block), set(range(n)) - inside, inside))
    return rows


def leave_fold_out(n, k):
    folds = [{element for element in range(n) if element % k == fold} for fold in range(k)]
    return leave_out(n, lambda t, e: any({t, e} <= fold for fold in folds))


def leave_ball_out(n, radius):
    return leave_out(n, lambda t, e: t - radius <= e <= t + radius)


def leave_ball_out_grid(shape, radius, metric="chebyshev"):
    table = grid_distance(shape, metric)
    return leave_out(len(cells(shape)), lambda t, e: table[t, e] <= radius)


def leave_ball_out_tree(parents, radius):
    table = shortest_paths(len(parents), tree_edges(parents))
    return leave_out(len(parents), lambda t, e: table[t, e] <= radius)


def leave_ball_out_graph(n, edges, radius):
    table = shortest_paths(n, edges)
    return leave_out(n, lambda t, e: table[t, e] <= radius)


def neighbourhood(shape, radius, metric="chebyshev"):
    n, table = len(cells(shape)), grid_distance(shape, metric)
    return only(n, range(n), [{e for e in range(n) if 0 < table[t, e] <= radius} for t in range(n)])


def all_but_row_and_column(shape):
    place = cells(shape)
    return leave_out(len(place), lambda t, e: any(x == y for x, y in zip(place[t], place[e], strict=True)))


def tree_complement(parents):
    rows = []
    for node in range(len(parents)):
        if parents[node] not in (None, -1):
            inside = {other for other in range(len(parents)) if node in ancestors(parents, other)}
            rows.append((node, set(range(len(parents))) - inside, inside))
    return rows


def causal(n):
    return only(n, range(1, n), [range(t) for t in range(1, n)])


def windows(n, w):
    starts = [start for start in range(n) if start + w <= n]
    return only(n, [("window", start) for start in starts], [range(start, start + w) for start in starts])


def any_order(n, order):
    return only(n, order[1:], [order[:rank] for rank in range(1, n)])


def visible_sets(n, masked):
    rows = []
    for text, hidden in enumerate(masked):
        for token in range(n):
            visible = [other for other in range(n) if other not in hidden and other != token]
            rows += only(n, [token if len(masked) == 1 else (text, token)], [visible])
    return rows


def block_two_stream(n, l):  # noqa: E741 - the paper's name
    return only(n, range(n), [[e for e in range(n) if e // l < t // l] for t in range(n)])


def random_tree(seed, n):
    """Return the parents of a random rooted tree, numbered in any order; -1 for the root."""
    draw = random.Random(seed)
    order = draw.sample(range(n), n)
    parents = [-1] * n
    for rank in range(1, n):
        parents[order[rank]] = order[draw.randrange(rank)]
    return tuple(parents)
