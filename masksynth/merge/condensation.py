"""The condensation of closed tasks: strongly connected components, their only lower covers, and their down-sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masksynth.errors import Unsupported
from masksynth.mask.csr import indptr
from masksynth.mask.typing import Int64Array
from masksynth.posets import components

MAX_ENTRIES = 50_000_000
"""Number of row entries that may be listed explicitly."""

NO_COVER, SEVERAL_COVERS = -1, -2
"""Instead of the index of a component's only lower cover."""

Adjacency = list[list[int]]


def check_entries(entries: int) -> None:
    """Raise Unsupported if more than ``MAX_ENTRIES`` row entries would be listed."""
    if entries > MAX_ENTRIES:
        raise Unsupported(
            f"more than {MAX_ENTRIES} row entries would be listed; split the family, or give closed tasks and no layers"
        )


@dataclass(frozen=True, eq=False)
class Condensation:
    """Strongly connected components of closed tasks, each numbered after the components below it.

    Parameters
    ----------
    of : list of int
        Component of each live node.
    members : adjacency lists
        Live nodes of each component.
    below : list of int lists
        Lower components that some row names, in descending order (not reduced to covers).
    """

    of: list[int]
    members: Adjacency
    below: list[list[int]]


def condense(adjacency: Adjacency) -> Condensation:
    """Return the condensation of a graph given by adjacency lists."""
    keys = np.array([key for row in adjacency for key in row], np.int64)
    of = list(map(int, components(indptr([len(row) for row in adjacency]), keys)))
    members: Adjacency = [[] for _ in range(max(of, default=-1) + 1)]
    for live, component in enumerate(of):
        members[component].append(live)
    below = [
        sorted({of[key] for live in nodes for key in adjacency[live]} - {component}, reverse=True)
        for component, nodes in enumerate(members)
    ]
    return Condensation(of, members, below)


def find_covers(graph: Condensation, lowest: list[int]) -> tuple[list[int], dict[int, Int64Array]]:
    """Return the only lower cover of each component, and the strict down-set of each that has several.

    Parameters
    ----------
    graph : Condensation
    lowest : list of int
        For each component the first component of its task; down-sets are integers whose bit i stands for component
        lowest + i.

    Returns
    -------
    cover : list of int
        ``NO_COVER`` for a minimal component, ``SEVERAL_COVERS`` if there are several.
    down_sets : mapping of int to (m,) int64
    """
    cover = [NO_COVER] * len(graph.below)
    bits_of: dict[int, int] = {}  # down-sets as bits, each computed once
    down_sets: dict[int, Int64Array] = {}
    size = np.array([len(members) for members in graph.members], np.int64)
    entries = 0
    for component, below in enumerate(graph.below):
        reached, covers = 0, []
        for lower in below:  # descending: a later component is never above an earlier one
            if not reached >> (lower - lowest[component]) & 1:
                covers.append(lower)
                if len(below) > 1:
                    reached |= _down_set_bits(lower, cover, bits_of, lowest[component])
        if len(covers) == 1:
            cover[component] = covers[0]
        elif covers:
            cover[component] = SEVERAL_COVERS
            down_sets[component] = _set_bits(reached) + lowest[component]
            entries += int(size[down_sets[component]].sum())
            check_entries(entries)
            bits_of[component] = reached | 1 << (component - lowest[component])
    return cover, down_sets


def _down_set_bits(component: int, cover: list[int], bits_of: dict[int, int], lowest: int) -> int:
    """Return the down-set of a component, itself included, as bits: its chain of only covers and what that ends in."""
    chain, current = [], component
    while current != NO_COVER and current not in bits_of:
        chain.append(current - lowest)
        current = cover[current]
    bits = np.zeros(component - lowest + 1, bool)
    bits[chain] = True
    chain_bits = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
    bits_of[component] = chain_bits | bits_of.get(current, 0)
    return bits_of[component]


def _set_bits(number: int) -> Int64Array:
    """Return the indices of the set bits, ascending."""
    data = np.frombuffer(number.to_bytes(number.bit_length() // 8 + 1, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(data, bitorder="little"))


def lowest_components(task: Sequence[int], graph: Condensation) -> list[int]:
    """Return for each component the first component of its task."""
    first: dict[int, int] = {}
    tasks = [task[nodes[0]] for nodes in graph.members]
    for component, owner in enumerate(tasks):
        first.setdefault(owner, component)
    return [first[owner] for owner in tasks]


def list_members(graph: Condensation, parts: Int64Array) -> list[int]:
    """Return the live nodes of some components."""
    if len(graph.members) == len(graph.of):
        return [graph.members[part][0] for part in parts.tolist()]
    return [live for part in parts.tolist() for live in graph.members[part]]
