"""Structures checked once more, by sets and loops: what the definitions say and nothing else. And random contracts."""

import numpy as np

from masksynth.contracts import Contracts, Demand, Elements, Target, Weights
from masksynth.posets.bit_rows import pack


def random_contracts(rng, masks, layers, demand=None, weights=None):
    """Return contracts with free elements, empty needs and both placements."""
    demand, weights = demand or Demand(), weights or Weights(1.0, 0.25, 1.0, "structure")
    count, targets = int(rng.integers(3, 8)), int(rng.integers(1, 7))
    kind = rng.choice(3, size=(targets, count), p=[0.55, 0.25, 0.2])
    places = rng.choice(["query", "any"], size=targets, p=[0.7, 0.3])
    listed = tuple(Target(f"t{index}", str(place), 10 + index) for index, place in enumerate(places))
    elements = Elements(tuple(f"e{index}" for index in range(count)), tuple(range(count)))
    return Contracts("random", elements, listed, pack(kind == 0), pack(kind == 1), layers, masks, weights, demand)


def reads_of(structure, layer):
    table = structure.reads[layer if len(structure.reads) > 1 else 0]
    return list(zip(table.query.tolist(), table.key.tolist(), strict=True))


def states(structure, masks, layers):
    """Return the contexts after 0, 1, .. layers; of one mask until nothing changes."""
    found = [[{element} if element >= 0 else set() for element in structure.element.tolist()]]
    for layer in range(10_000 if masks == "one" else layers):
        following = [set(state) for state in found[-1]]
        for query, key in reads_of(structure, layer if masks == "layered" else 0):
            following[query] |= found[-1][key]
        if masks == "one" and following == found[-1]:
            break
        found.append(following)
    return found


def fault(structure, contracts):
    """Return what is wrong with a structure, or an empty string."""
    found = states(structure, contracts.masks, contracts.layers)
    for index, target in enumerate(contracts.targets):
        position = int(structure.target[index])
        need, hide = set(contracts.needed(index).tolist()), set(contracts.hidden(index).tolist())
        element = int(structure.element[position])
        if element >= 0 and (target.place == "query" or element not in need):
            return f"{target.label} at element {element}"
        arrived = found[-1][position]
        if contracts.masks == "one" and contracts.layers is not None:
            arrived = found[min(contracts.layers, len(found) - 1)][position]
        if not need <= arrived:
            return f"{target.label} misses {need - arrived}"
        if found[-1][position] & hide:
            return f"{target.label} sees {found[-1][position] & hide}"
    return ""


def ways(structure, contracts):
    """Yield (target, layer, key's state before the layer) of each read by a target's position."""
    found = states(structure, contracts.masks, contracts.layers)
    layers = len(found) if contracts.masks == "one" else contracts.layers
    for index in range(len(contracts.targets)):
        for layer in range(layers):
            for query, key in reads_of(structure, layer if contracts.masks == "layered" else 0):
                if query == structure.target[index]:
                    yield index, layer, found[min(layer, len(found) - 1)][key]


def unmet_demands(structure, contracts):
    """Return the demands ``direct``, ``mixed`` and ``hops`` that some target does not have."""
    demand, missing = contracts.demand, set()
    for index in range(len(contracts.targets)):
        need = set(contracts.needed(index).tolist())
        read = [state for target, _, state in ways(structure, contracts) if target == index]
        if len({next(iter(s)) for s in read if len(s) == 1} & need) < min(demand.direct, len(need)):
            missing.add("direct")
        if demand.mixed and not need <= set().union(*(state for state in read if len(state) > demand.mixed)):
            missing.add("mixed")
        if demand.hops is not None and not need <= within(structure, contracts, index, demand.hops):
            missing.add("hops")
    return missing


def within(structure, contracts, index, hops):
    """Return the elements with a way of at most so many reads to a target, by trying all ways backwards."""
    layers = contracts.layers if contracts.masks == "layered" else hops
    reached = {(int(structure.target[index]), 0)}
    for layer in reversed(range(layers)):
        for query, key in reads_of(structure, layer if contracts.masks == "layered" else 0):
            reached |= {(key, used + 1) for at, used in list(reached) if at == query and used < hops}
    return {int(structure.element[at]) for at, _ in reached} - {-1}


def drop_reads(structure, rng):
    """Return the structure without one of its reads, or None if it has none."""
    layer = int(rng.integers(len(structure.reads)))
    reads = structure.reads[layer]
    if not len(reads.query):
        return None
    kept = np.arange(len(reads.query)) != int(rng.integers(len(reads.query)))
    tables = list(structure.reads)
    tables[layer] = reads.select(kept)
    return type(structure)(structure.element, tuple(tables), structure.target, structure.found_by)
