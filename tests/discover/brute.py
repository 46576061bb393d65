"""The cheapest structure by trying all: every list of positions, every set of reads, from the definitions alone."""

from fractions import Fraction
from itertools import combinations, combinations_with_replacement, count, product
from math import inf

import networkx as nx


def cheapest(contracts):
    """Return the least cost of a structure for tiny contracts, as a Fraction."""
    weights = [Fraction(str(w)) for w in (contracts.weights.position, contracts.weights.kv, contracts.weights.pair)]
    best = inf
    for size in count(1):
        lists = list(position_lists(contracts, size))
        floor = floor_of(contracts, weights, size, 0)
        if floor >= best:
            return best
        for element, target in lists:
            best = min(best, cheapest_reads(contracts, weights, element, target, best))


def floor_of(contracts, weights, size, reads):
    """Return a bound on the cost of a structure all of whose positions are live, each of which costs something."""
    if contracts.weights.count == "structure":
        return weights[0] * size + weights[2] * reads
    times = (contracts.layers or 1) if contracts.masks == "one" else 1
    idle = sum(not contracts.needed(t).size for t in range(len(contracts.targets)))
    alone = idle + sum(target.place == "any" for target in contracts.targets)  # predicted at without being read
    return times * (min(weights[:2]) * max(0, size - alone) + weights[2] * reads)


def position_lists(contracts, size):
    """Yield (what each position embeds, -1: nothing; the position of each target), up to order."""
    targets = contracts.targets
    choices = [(True,) if target.place == "query" else (True, False) for target in targets]
    for own in product(*choices):  # whether the target has a blank of its own
        blanks = sum(own)
        for rest in combinations_with_replacement(range(-1, contracts.elements.count), max(0, size - blanks)):
            if size < blanks:
                continue
            element = (*rest, *[-1] * blanks)
            places = iter(range(len(rest), size))
            options = [
                [next(places)] if has else [q for q, e in enumerate(rest) if e in contracts.needed(t).tolist()]
                for t, has in enumerate(own)
            ]
            for target in product(*options):
                yield element, target


def cheapest_reads(contracts, weights, element, target, best):
    """Return the least cost below ``best`` with these positions, else ``best``."""
    size, one = len(element), contracts.masks == "one"
    tables = 1 if one else contracts.layers
    pairs = [(layer, q, k) for layer in range(tables) for q in range(size) for k in range(size) if q != k]
    need = [sum(1 << e for e in contracts.needed(t).tolist()) for t in range(len(target))]
    hide = [sum(1 << e for e in contracts.hidden(t).tolist()) for t in range(len(target))]
    for number in range(len(pairs) + 1):
        if floor_of(contracts, weights, size, number) >= best:
            return best
        for reads in combinations(pairs, number):
            if not is_kept(contracts, element, target, reads, need, hide):
                continue
            if meets_demands(contracts, element, target, reads):
                best = min(best, cost_of(contracts, weights, element, target, reads))
    return best


def is_kept(contracts, element, target, reads, need, hide):
    """Return whether every target has its need and nothing hidden."""
    one = contracts.masks == "one"
    state = [0 if e < 0 else 1 << e for e in element]
    depth = contracts.layers if contracts.layers is not None else len(element)
    arrived = state
    for layer in range(max(depth, len(element)) if one else depth):
        after = list(state)
        for at, q, k in reads:
            if one or at == layer:
                after[q] |= state[k]
        state = after
        if layer == depth - 1:
            arrived = state
    return all(
        not need[t] & ~arrived[q] and not hide[t] & (state[q] if one else arrived[q]) for t, q in enumerate(target)
    )


def cost_of(contracts, weights, element, target, reads):
    """Return the cost of a structure; infinite if some position or read is of no use to any target."""
    size, one = len(element), contracts.masks == "one"
    tables = 1 if one else contracts.layers
    live = [set() for _ in range(tables)] + [set(target)]
    changed = True
    while changed:
        before = [set(row) for row in live]
        for layer in reversed(range(tables)):
            live[layer] |= live[layer + 1]
            live[layer] |= {k for at, q, k in reads if at == layer and q in live[layer + 1]}
        if one:
            live[1] |= live[0]
        changed = before != live
    if live[0] != set(range(size)) or any(q not in live[at + 1] for at, q, _ in reads):
        return inf
    position, kv, pair = weights
    if contracts.weights.count == "structure":
        return position * size + pair * len(reads)
    total, mixed = Fraction(0), set()
    for layer in range(tables):
        here = [(q, k) for at, q, k in reads if at == layer]
        mixed |= {q for q, _ in here}
        updated = mixed & live[layer + 1]
        total += position * len(updated) + kv * len({k for _, k in here} - updated) + pair * len(here)
    return total * ((contracts.layers or 1) if one else 1)


def meets_demands(contracts, element, target, reads):
    """Return whether every target has what is demanded, by the definitions."""
    demand, one, size = contracts.demand, contracts.masks == "one", len(element)
    depth = contracts.layers or size + demand.bandwidth + 1
    tables = [[(q, k) for at, q, k in reads if one or at == layer] for layer in range(depth)]
    states = [[frozenset() if e < 0 else frozenset([e]) for e in element]]
    for table in tables:
        states.append([held.union(*(states[-1][k] for q, k in table if q == at)) for at, held in enumerate(states[-1])])
    for t, p in enumerate(target):
        need = set(contracts.needed(t).tolist())
        seen = [states[layer][k] for layer, table in enumerate(tables) for q, k in table if q == p]
        direct = {e for held in seen if len(held) == 1 for e in held & need}
        mixed = {e for held in seen if len(held) > demand.mixed for e in held & need}
        if len(direct) < min(demand.direct, len(need)) or (demand.mixed and mixed != need):
            return False
        if demand.hops is not None and not need <= arriving(element, tables, p, demand.hops):
            return False
        if demand.bandwidth > 1 and count_ways(element, tables, p, need) < demand.bandwidth:
            return False
    return True


def arriving(element, tables, p, hops):
    """Return the elements that come to p over at most so many reads."""
    fewest = [{e: 0} if e >= 0 else {} for e in element]
    for table in tables:
        before = [dict(held) for held in fewest]
        for q, k in table:
            for e, used in before[k].items():
                fewest[q][e] = min(fewest[q].get(e, inf), used + 1)
    return {e for e, used in fewest[p].items() if used <= hops}


def count_ways(element, tables, p, need):
    """Return the number of ways from different needed elements to p that share no state but those of p."""
    graph = nx.DiGraph()
    graph.add_nodes_from(["source", "sink"])
    for layer in range(len(tables) + 1):
        for q in range(len(element)):
            graph.add_edge(("in", q, layer), "sink" if q == p else ("out", q, layer), capacity=1)
    graph.remove_nodes_from([("in", p, layer) for layer in range(len(tables) + 1)])
    for q, e in enumerate(element):
        if e in need:
            graph.add_edge("source", ("element", e), capacity=1)
            graph.add_edge(("element", e), "sink" if q == p else ("in", q, 0), capacity=1)
    for layer, table in enumerate(tables):
        for q, k in [*table, *((q, q) for q in range(len(element)))]:
            if k != p:
                graph.add_edge(("out", k, layer), "sink" if q == p else ("in", q, layer + 1), capacity=1)
    return nx.maximum_flow_value(graph, "source", "sink")
