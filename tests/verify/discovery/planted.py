"""Random contracts, structures for them, and faults planted in structures."""

from dataclasses import replace

import numpy as np

from masksynth.contracts import Contracts, Demand, Elements, Target, Weights
from masksynth.discover.as_answer import to_merged
from masksynth.discover.impossible import find_impossible
from masksynth.discover.meet_demands import meet_demands
from masksynth.discover.structure import Reads, Structure
from masksynth.mask import Mask
from masksynth.posets.bit_rows import pack
from masksynth.verify.discovery import BrokenContract, verify_contracts


def random_contracts(draw, most=6, demands=True):
    """Return contracts of any kind; ``draw`` is a random.Random."""
    count, targets = draw.randint(1, most), draw.randint(1, most)
    chance, free = draw.random(), draw.choice([0, 0, 0.3])
    kind = np.array([[(draw.random() < chance) + 0 for _ in range(count)] for _ in range(targets)])
    if draw.random() < 0.3:
        targets, kind = count, 1 - np.eye(count, dtype=int)
    kind[np.array([[draw.random() < free for _ in range(count)] for _ in range(targets)])] = 2
    if draw.random() < 0.2:
        kind[draw.randrange(targets)] = draw.choice([0, 2])
    ids, own = draw.choice([lambda i: i, lambda i: i // 2, lambda i: 0]), draw.choice(["query", "any", None])
    places = [own or draw.choice(["query", "any"]) for _ in range(targets)]
    masks, layers = draw.choice(["one", "layered"]), draw.randint(1, 6)
    layers = None if masks == "one" and draw.random() < 0.5 else layers
    price = Weights(*draw.choice([(24, 4, 0.004), (1, 1, 1), (2, 1, 0.5)]), draw.choice(["structure", "layer"]))
    demand = Demand()
    if demands and draw.random() < 0.6:
        demand = Demand(*(draw.choice([0, 0, 0, 1, 2, 3]) for _ in range(3)), draw.choice([None, None, 1, 2, 3]))
    return Contracts(
        "random",
        Elements(tuple(range(count)), tuple(ids(i) for i in range(count))),
        tuple(Target(i, place, ids(i)) for i, place in enumerate(places)),
        pack(kind == 1),
        pack(kind == 0),
        layers,
        masks,
        price if layers else replace(price, count="structure"),
        demand,
        draw.random() < 0.2,
    )


def random_structure(draw, contracts):
    """Return a structure for contracts with more reads than it needs, or None if no structure meets them.

    Targets read raw tokens in the last layer; before, positions read whatever is not hidden from any target, or what
    their own target may see.
    """
    if find_impossible(contracts):
        return None
    count, layers = contracts.elements.count, contracts.layers or 2
    tables = 1 if contracts.masks == "one" else layers
    element = [*range(count), *draw.choices(range(-1, count), k=draw.randint(0, 3)), *[-1] * len(contracts.targets)]
    size = len(element)
    target = list(range(size - len(contracts.targets), size))
    for t, aim in enumerate(contracts.targets):
        places = contracts.needed(t).tolist() if aim.place == "any" else []
        if places and draw.random() < 0.6:
            target[t] = len(element)
            element.append(draw.choice(places))
    reads = [set() for _ in range(tables)]
    for _ in range(draw.randint(0, 3 * tables)):
        reads[draw.randrange(tables)].add((draw.randrange(len(element)), draw.randrange(len(element))))
    for t, p in enumerate(target):
        reader = p
        if layers > 1 and draw.random() < 0.4:  # through a hub, which some elements go around
            reader = len(element)
            element.append(draw.choice([-1, *contracts.needed(t).tolist()]))
            reads[-1].add((p, reader))
        for e in contracts.needed(t).tolist():
            way = draw.random()
            if reader == p or way < 0.8:
                reads[0 if reader != p else -1].add((reader, e))
            if reader != p and way > 0.6:
                reads[-1].add((p, e))
    pairs = [np.array(sorted(table) or np.zeros((0, 2), int), np.int64).reshape(-1, 2).T for table in reads]
    size = len(element)
    found = Structure(np.array(element), tuple(Reads.of_pairs(*pair, size) for pair in pairs), np.array(target))
    if draw.random() < 0.3 or not _keeps(found, contracts):
        return found
    return meet_demands(found, contracts)


def _keeps(structure, contracts):
    """Return whether a structure keeps its contracts, whatever they demand."""
    plain = replace(contracts, demand=Demand())
    try:
        verify_contracts(plain, to_merged(structure, plain)[1])
    except BrokenContract:
        return False
    return True


def answer_of(draw, contracts):
    """Return some merged task for contracts, right or wrong; None if no structure meets them."""
    structure = random_structure(draw, contracts)
    return None if structure is None else to_merged(structure, contracts)[1]


def plant(draw, merged):
    """Return a merged task with one random change, and what was changed; half of them do not say what is updated."""
    change = draw.choice([*CHANGES])
    merged = replace(merged, updated=None) if draw.random() < 0.5 else merged
    return CHANGES[change](draw, merged), change


def flip_pair(draw, merged):
    dense = merged.mask.dense().copy()
    dense = dense.reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    dense[draw.randrange(len(dense)), draw.randrange(dense.shape[1]), draw.randrange(dense.shape[1])] ^= True
    return replace(merged, mask=Mask.from_dense(dense))


def move_pair(draw, merged):
    dense = merged.mask.dense().copy().reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    off = np.argwhere(dense & ~np.eye(dense.shape[1], dtype=bool))
    if len(off):
        layer, q, k = off[draw.randrange(len(off))]
        dense[layer, q, k] = False
        dense[draw.randrange(len(dense)), q, draw.choice([k, draw.randrange(dense.shape[1])])] = True
    return replace(merged, mask=Mask.from_dense(dense))


def swap_layers(draw, merged):
    dense = merged.mask.dense().copy().reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    a, b = draw.randrange(len(dense)), draw.randrange(len(dense))
    dense[[a, b]] = dense[[b, a]]
    return replace(merged, mask=Mask.from_dense(dense))


def drop_layer(draw, merged):
    dense = merged.mask.dense().copy().reshape(merged.mask.tables, merged.mask.size, merged.mask.size)
    dense = dense[1:] if len(dense) > 1 and draw.random() < 0.5 else np.concatenate([dense, dense[:1]])
    return replace(merged, mask=Mask.from_dense(dense), updated=None)


def change_position(draw, merged):
    index, places = draw.randrange(len(merged.positions)), list(merged.positions)
    other = draw.choice(places)
    value = draw.choice([other.input, {"blank": draw.randrange(8)}, draw.randrange(8), "x", {"blank": "0"}])
    places[index] = draw.choice(
        [places[index]._replace(input=value), places[index]._replace(position=draw.randrange(8)), other]
    )
    return replace(merged, positions=tuple(places))


def change_loss(draw, merged):
    edges, index = list(merged.loss_edges), draw.randrange(len(merged.loss_edges))
    edge = edges[index]
    edges[index : index + 1] = draw.choice(
        [
            [],
            [edge, edge],
            [edge._replace(position=draw.randrange(len(merged.positions)))],
            [edge._replace(label=draw.randrange(len(merged.labels)))],
            [edge._replace(weight=draw.choice([0.0, 0.5, -1.0]))],
        ]
    )
    return replace(merged, loss_edges=tuple(edges))


def change_label(draw, merged):
    labels = list(merged.labels)
    labels[draw.randrange(len(labels))] = draw.choice([*labels, "x", 99])
    return replace(merged, labels=tuple(labels))


def change_updated(draw, merged):
    if merged.updated is None or draw.random() < 0.1:
        return replace(merged, updated=None)
    updated = merged.updated.copy()
    updated[draw.randrange(len(updated)), draw.randrange(updated.shape[1])] ^= True
    return replace(merged, updated=updated)


def change_depth(draw, merged):
    return replace(merged, problem=replace(merged.problem, layers=draw.choice([None, 1, 2, 3])))


def swap_targets(draw, merged):
    edges = list(merged.loss_edges)
    a, b = draw.randrange(len(edges)), draw.randrange(len(edges))
    edges[a], edges[b] = edges[a]._replace(label=edges[b].label), edges[b]._replace(label=edges[a].label)
    return replace(merged, loss_edges=tuple(edges))


def swap_inputs(draw, merged):
    places = list(merged.positions)
    a, b = draw.randrange(len(places)), draw.randrange(len(places))
    places[a], places[b] = places[b], places[a]
    return replace(merged, positions=tuple(places))


CHANGES = {
    function.__name__: function
    for function in (
        flip_pair,
        move_pair,
        swap_layers,
        drop_layer,
        change_position,
        change_loss,
        change_label,
        change_updated,
        change_depth,
        swap_targets,
        swap_inputs,
    )
}
