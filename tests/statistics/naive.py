"""The numbers of a mask from their definitions, on dense arrays: no code under test is used."""

from __future__ import annotations

from itertools import combinations, pairwise

import networkx as nx
import numpy as np


def flows(tables, count):
    """What reaches what after 0, 1, ..., ``count`` layers."""
    size = tables.shape[-1]
    found = [np.eye(size, dtype=bool)]
    for layer in range(count):
        step = (tables[layer % len(tables)] | np.eye(size, dtype=bool)).astype(np.int64)
        found.append(step @ found[-1].astype(np.int64) > 0)
    return found


def limit(tables):
    """(depth, flow): the first flow that equals the last of very many."""
    found = flows(tables, (tables.shape[-1] + 1) * len(tables))
    return next(depth for depth, flow in enumerate(found) if (flow == found[-1]).all()), found[-1]


def diagram(flow):
    """The condensation of a flow and its covers, by networkx."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(flow)))
    graph.add_edges_from((int(q), int(k)) for q, k in np.argwhere(flow) if q != k)
    classes = nx.condensation(graph)
    members = {number: tuple(sorted(data["members"])) for number, data in classes.nodes(data=True)}
    covers = {(members[q], members[k]) for q, k in nx.transitive_reduction(classes).edges}
    return set(members.values()), covers, nx.dag_longest_path_length(classes) + 1 if members else 0


def antichain(flow):
    """The most classes without order, by trying all sets."""
    leaders = [q for q in range(len(flow)) if not any(flow[q, k] and flow[k, q] for k in range(q))]
    for size in range(len(leaders), 0, -1):
        if any(
            not any(flow[a, b] or flow[b, a] for a, b in combinations(chosen, 2))
            for chosen in combinations(leaders, size)
        ):
            return size
    return 0


def chains(flow):
    """The same by a largest matching of networkx, for more classes."""
    leaders = [q for q in range(len(flow)) if not any(flow[q, k] and flow[k, q] for k in range(q))]
    graph = nx.Graph()
    graph.add_nodes_from((side, q) for side in "ul" for q in leaders)
    graph.add_edges_from((("u", q), ("l", k)) for q in leaders for k in leaders if q != k and flow[q, k])
    matching = nx.bipartite.hopcroft_karp_matching(graph, [("u", q) for q in leaders])
    return len(leaders) - len(matching) // 2


def reciprocity(tables):
    """Pairs whose reverse is there, one by one."""
    pairs = [(p, q, k) for p, q, k in np.argwhere(tables).tolist() if q != k]
    return sum(tables[p, k, q] for p, q, k in pairs) / len(pairs) if pairs else 0.0


def blocks(tables, size):
    """(total, kept, full) counted block by block."""
    starts = range(0, tables.shape[-1], size)
    found = [table[q : q + size, k : k + size] for table in tables for q in starts for k in starts]
    return (
        len(found),
        sum(block.any() for block in found),
        sum(block.size == size * size and block.all() for block in found),
    )


def carries(tables, reason):
    """Whether each hop is allowed at a layer after its position is reached and no later than the next one is."""
    stops = list(zip(reason.path, reason.at, strict=True))
    return (
        stops[0] == (reason.key, 0)
        and stops[-1] == (reason.query, reason.layers)
        and all(
            before < after and tables[(after - 1) % len(tables), there, here]
            for (here, before), (there, after) in pairwise(stops)
        )
    )
