"""Contracts and contexts from their definitions, with Python sets."""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts, Elements, Target
from masksynth.posets.bit_rows import pack


def contracts_of(count, need, hide, layers=None, **fields):
    """Return contracts from Python sets; a mask per layer if layers are given and ``masks`` is not."""
    rows = [np.array([[e in members for e in range(count)] for members in sets], bool) for sets in (need, hide)]
    place = fields.pop("place", "query")
    targets = tuple(Target(index, place, fields.pop(f"position{index}", index)) for index in range(len(need)))
    fields.setdefault("masks", "one" if layers is None else "layered")
    space = fields.pop("space", {})
    elements = Elements(tuple(range(count)), tuple(range(count)), space)
    need_bits, hide_bits = (pack(row.reshape(len(need), count)) for row in rows)
    return Contracts("test", elements, targets, need_bits, hide_bits, layers, **fields)


def complements(count, hidden, layers=None, **fields):
    """Return the contracts in which each target hides a set and needs all else."""
    everything = set(range(count))
    return contracts_of(count, [everything - set(members) for members in hidden], hidden, layers, **fields)


def contexts_of(structure, contracts):
    """Return the context of each target as a set, after the last layer or at any depth, and within L for one mask."""
    state = [{int(e)} if e >= 0 else set() for e in structure.element]
    tables = [list(zip(reads.query.tolist(), reads.key.tolist(), strict=True)) for reads in structure.reads]
    if contracts.masks == "layered":
        assert len(tables) == contracts.layers
        for table in tables:
            before = [set(members) for members in state]
            for query, key in table:
                state[query] |= before[key]
        final = [state[q] for q in structure.target.tolist()]
        return final, final
    assert len(tables) == 1
    history = [[set(members) for members in state]]
    while True:
        following = [set(members) for members in history[-1]]
        for query, key in tables[0]:
            following[query] |= history[-1][key]
        if following == history[-1]:
            break
        history.append(following)
    within = history[-1 if contracts.layers is None else min(contracts.layers, len(history) - 1)]
    return [within[q] for q in structure.target.tolist()], [history[-1][q] for q in structure.target.tolist()]


def assert_keeps(structure, contracts):
    """Assert that a structure keeps its contracts, places its targets and repeats no pair."""
    arrived, final = contexts_of(structure, contracts)
    for index in range(len(contracts.targets)):
        need, hide = (set(row.tolist()) for row in (contracts.needed(index), contracts.hidden(index)))
        assert need <= arrived[index], (index, need - arrived[index])
        assert not hide & final[index], (index, hide & final[index])
        embedded = int(structure.element[structure.target[index]])
        assert embedded < 0 or (contracts.targets[index].place == "any" and embedded in need)


def edges(structure):
    """Return the number of reads."""
    return sum(len(reads.query) for reads in structure.reads)
