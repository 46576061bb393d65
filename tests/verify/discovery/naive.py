"""A checker of structures by Python sets, written from the definitions alone; slow, for small structures."""

from itertools import combinations

import numpy as np


def as_sets(contracts, merged):
    """Return what each position embeds (an element, or None), its rows in each table as sets, and the targets'."""
    names = [repr(value) for value in contracts.elements.values]
    embeds = [names.index(text) if (text := repr(place.input)) in names else None for place in merged.positions]
    tables = merged.mask.dense().reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    rows = [[set(np.flatnonzero(row).tolist()) for row in table] for table in tables]
    places = {repr(merged.labels[edge.label]): edge.position for edge in merged.loss_edges}
    return embeds, rows, [places.get(repr(target.label)) for target in contracts.targets]


def is_right(contracts, merged):
    """Return whether a merged task keeps contracts and their demands."""
    return well_formed(contracts, merged) and keeps(contracts, merged) and meets_demands(contracts, merged)


def well_formed(contracts, merged):
    """Return whether positions, blanks, labels, row tables and ``updated`` are those of a structure."""
    embeds, rows, places = as_sets(contracts, merged)
    one, count = contracts.masks == "one", len(contracts.targets)
    labels = [repr(merged.labels[edge.label]) for edge in merged.loss_edges]
    if sorted(labels) != sorted(repr(target.label) for target in contracts.targets):
        return False
    if sorted(map(repr, merged.labels)) != sorted(labels) or any(edge.weight != 1 for edge in merged.loss_edges):
        return False
    if len(rows) != (1 if one else contracts.layers) or merged.problem.layers != (None if one else contracts.layers):
        return False
    if any(q not in row for table in rows for q, row in enumerate(table)):
        return False
    registers = []
    for q, place in enumerate(merged.positions):
        here = [t for t in range(count) if places[t] == q]
        if embeds[q] is not None:
            needed = all(contracts.targets[t].place == "any" and embeds[q] in contracts.needed(t) for t in here)
            if place.position != contracts.elements.positions[embeds[q]] or not needed:
                return False
            continue
        if not hasattr(place.input, "keys") or set(place.input) != {"blank"} or type(place.input["blank"]) is not int:
            return False
        if {place.position} != ({contracts.targets[t].position for t in here} or {0}):
            return False
        number = place.input["blank"]
        if contracts.same_blanks:
            if number != 0:
                return False
        elif here:
            if number not in here:
                return False
        else:
            registers.append(number)
    if sorted(registers) != list(range(count, count + len(registers))):
        return False
    live, updated = live_and_updated(contracts, rows, places)
    if any(row != {q} and q not in live[at + 1] for at, table in enumerate(rows) for q, row in enumerate(table)):
        return False
    if merged.updated is None:
        return True
    size = len(embeds)
    return merged.updated.tolist() == [[q in changed for q in range(size)] for changed in updated]


def live_and_updated(contracts, rows, places):
    """Return the positions on which targets depend after layers 0, .., L, and those updated in each layer."""
    live = [set(places)]
    for table in reversed(rows):
        live.insert(0, live[0].union(*(table[q] for q in live[0])))
    if contracts.masks == "one":
        while (more := live[0].union(*(rows[0][q] for q in live[0]))) != live[0]:
            live[0] = more
        live[1] = live[0]
    updated = []
    for at in range(len(rows)):
        read = {q for table in rows[: at + 1] for q, row in enumerate(table) if row - {q}}
        updated.append(read & live[at + 1])
    return live, updated


def history(contracts, embeds, rows, depth):
    """Return the contexts before and after each of so many layers."""
    state = [set() if e is None else {e} for e in embeds]
    states = [state]
    for layer in range(depth):
        state = [set().union(*(state[k] for k in row)) for row in rows[layer % len(rows)]]
        states.append(state)
    return states


def keeps(contracts, merged):
    """Return whether all that is needed arrives in time, and nothing hidden ever."""
    embeds, rows, places = as_sets(contracts, merged)
    one = contracts.masks == "one"
    size = len(embeds)
    states = history(contracts, embeds, rows, max(size, contracts.layers or 0) if one else contracts.layers)
    arrived = states[size if contracts.layers is None else contracts.layers]
    return all(
        set(contracts.needed(t).tolist()) <= arrived[p] and not set(contracts.hidden(t).tolist()) & states[-1][p]
        for t, p in enumerate(places)
    )


def layers_of(contracts, embeds, rows):
    """Return how many layers demands speak of."""
    if contracts.layers is not None:
        return contracts.layers
    states = history(contracts, embeds, rows, len(embeds))
    return 1 + next(i for i in range(len(states)) if states[i] == states[-1])


def meets_demands(contracts, merged):
    """Return whether every target with a need meets the demands."""
    embeds, rows, places = as_sets(contracts, merged)
    depth, demand = layers_of(contracts, embeds, rows), contracts.demand
    states = history(contracts, embeds, rows, depth)
    for t, p in enumerate(places):
        need = set(contracts.needed(t).tolist())
        reads = [states[at][k] for at in range(depth) for k in rows[at % len(rows)][p] - {p}]
        if sum({e} in reads for e in need) < min(demand.direct, len(need)):
            return False
        if demand.mixed and any(all(e not in c or len(c - {e}) < demand.mixed for c in reads) for e in need):
            return False
        if demand.hops is not None and not need <= near(embeds, rows, p, depth, demand.hops):
            return False
        if demand.bandwidth and ways(embeds, rows, p, depth, need) < demand.bandwidth:
            return False
    return True


def near(embeds, rows, p, depth, hops):
    """Return the elements with a way to p of at most so many reads."""
    best = {p: 0}  # fewest reads from a position after layer ``at`` to p at the end
    for at in reversed(range(depth)):
        earlier = dict(best)
        for q, used in best.items():
            for k in rows[at % len(rows)][q] - {q}:
                earlier[k] = min(earlier.get(k, used + 1), used + 1)
        best = earlier
    return {embeds[k] for k, used in best.items() if used <= hops and embeds[k] is not None}


def ways(embeds, rows, p, depth, need):
    """Return the most disjoint ways: by Menger, the fewest states, of others than p, and elements that cut them."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(["from", "to"])

    def vertex(q, at):
        return "to" if q == p else (q, at)

    for e in need:
        for q in range(len(embeds)):
            if embeds[q] == e:
                graph.add_edge("from", ("element", e))
                graph.add_edge(("element", e), vertex(q, 0))
    for at in range(depth):
        for q, row in enumerate(rows[at % len(rows)]):
            for k in row:
                if k != p and vertex(k, at) != vertex(q, at + 1):
                    graph.add_edge(vertex(k, at), vertex(q, at + 1))
    graph.remove_edges_from([edge for edge in graph.edges if edge[0] == "to"])
    return len(list(networkx.node_disjoint_paths(graph, "from", "to"))) if networkx.has_path(graph, "from", "to") else 0


def sizes(contracts, merged):
    """Return the figures of a structure."""
    embeds, rows, places = as_sets(contracts, merged)
    one, w = contracts.masks == "one", contracts.weights
    live, updated = live_and_updated(contracts, rows, places)
    pairs = [[(q, k) for q, row in enumerate(table) for k in row - {q}] for table in rows]
    edges = sum(map(len, pairs))
    states = history(contracts, embeds, rows, len(embeds) if one else contracts.layers)
    mixed = set()
    for at, state in enumerate(states[:-1]):
        for q, k in pairs[at % len(rows)]:
            if q in live[at % len(rows) + 1] and len(state[k]) >= 2 and state[k] - state[q]:
                mixed.add((at % len(rows), q, k))
    cost = w.position * len(embeds) + w.pair * edges
    if w.count == "layer":
        read_only = sum(len({k for _, k in table} - changed) for table, changed in zip(pairs, updated, strict=True))
        cost = w.position * sum(map(len, updated)) + w.kv * read_only + w.pair * edges
        cost *= contracts.layers if one else 1
    ever = set().union(*updated)
    return {
        "positions": len(embeds),
        "updated": len(ever),
        "updates": sum(map(len, updated)),
        "read_only": len(embeds) - len(ever),
        "edges": edges,
        "mixed_edges": len(mixed),
        "layers": contracts.layers,
        "cost": cost,
    }


def pairs_of(size):
    """Return all ordered pairs of positions."""
    return [pair for both in combinations(range(size), 2) for pair in (both, both[::-1])]
