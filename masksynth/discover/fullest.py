"""Masks per layer that are as full as the hidden sets allow, for given positions: how slowly contexts grow decides.

The general rule: in layer l a target may read position k iff the state of k before the layer holds nothing that the
target hides. What is free is how much each position takes in before the last layer. Here that is a *plan*: for each
layer and position a cap W, a set of elements that its context may not leave, and the elements V that it reads raw. A
position then reads all states of two elements or more that lie within its cap and bring something new. In the last
layer the cap is all that is not hidden, and all of it is read raw.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, cycle, islice
from random import Random

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.structure import Reads, Structure
from masksynth.mask.typing import BoolArray, Int64Array


@dataclass(frozen=True, eq=False)
class Plan:
    """How contexts grow.

    Parameters
    ----------
    cap, raw : (L, Q, n) bool
        For each layer and reading position the elements within which its context stays, and those that it reads raw.
    """

    cap: BoolArray
    raw: BoolArray


class Stage:
    """The positions of a search: a raw position for each element, then the reading ones.

    Parameters
    ----------
    contracts : Contracts
        With a mask per layer.
    registers : int
        Number of reading positions that predict nothing.
    """

    def __init__(self, contracts: Contracts, registers: int = 0) -> None:
        count = contracts.elements.count
        self.contracts, self.layers, self.elements = contracts, int(contracts.layers or 1), count
        bits = [
            np.unpackbits(rows.view(np.uint8), axis=1, count=count, bitorder="little").astype(bool)
            for rows in (contracts.need, contracts.hide)
        ]
        self.need = bits[0]
        self.allowed = np.concatenate([~bits[1], np.ones((registers, count), bool)])
        self.readers = len(self.allowed)

    def run(self, plan: Plan) -> tuple[int, list[tuple[BoolArray, BoolArray]]]:
        """Return the number of mixed reads of a plan, and for each layer who reads which element and which reader."""
        state = np.zeros((self.readers, self.elements), bool)
        tables = []
        for layer in range(self.layers):
            is_last = layer == self.layers - 1
            cap = self.allowed if is_last else plan.cap[layer] & self.allowed
            raw = self.allowed if is_last else plan.raw[layer] & cap
            size = state.sum(axis=1)
            held = state.astype(np.float32)
            # counts[q, k]: elements of k's state that q may take in, and that q has
            inside = cap.astype(np.float32) @ held.T == size
            is_new = held @ held.T < size
            mixed = inside & is_new & (size >= 2)
            np.fill_diagonal(mixed, False)
            tables.append((raw & ~state, mixed))
            state = state | raw | (mixed.astype(np.float32) @ held > 0)
        return self._count_live([mixed for _, mixed in tables]), tables

    def _count_live(self, tables: list[BoolArray]) -> int:
        """Return the number of mixed reads by positions on whose state after the layer a target depends."""
        live, total = np.arange(self.readers) < len(self.need), 0
        for mixed in reversed(tables):
            total += int(mixed[live].sum())
            live = live | mixed[live].any(axis=0)
        return total

    def structure(self, plan: Plan, found_by: str) -> Structure:
        """Return the structure of a plan."""
        _, tables = self.run(plan)
        size = self.elements + self.readers
        reads = []
        for raw, mixed in tables:
            query, element = np.nonzero(raw)
            reader, key = np.nonzero(mixed)
            pairs = np.concatenate([query, reader]) + self.elements, np.concatenate([element, key + self.elements])
            reads.append(Reads.of_pairs(*pairs, size))
        element = np.concatenate([np.arange(self.elements), np.full(self.readers, -1)])
        target = self.elements + np.arange(len(self.need))
        return Structure(element, tuple(reads), target, found_by)

    def raw_plan(self) -> Plan:
        """Return the plan of raw reads in the last layer alone."""
        shape = (self.layers, self.readers, self.elements)
        return Plan(np.zeros(shape, bool), np.zeros(shape, bool))

    def reservoirs(self, order: Int64Array, sizes: tuple[int, ...]) -> Plan:
        """Return the plan in which contexts grow by one small set of elements a layer, the same for all positions.

        In layer l each position whose hidden set has not been touched yet reads raw some half of the l-th set, others
        than its neighbours do, and the states of all others of its kind. So in each layer nearly all of them bring
        something new, and the contexts hold few elements until the last layer.

        Parameters
        ----------
        order : (n,) int64
            The elements; the sets are taken from it one after another.
        sizes : tuple of int
            Size of the set of each layer but the last.
        """
        plan = self.raw_plan()
        reached = np.zeros(self.elements, bool)
        first = 0
        for layer, size in enumerate(sizes[: self.layers - 1]):
            reservoir = order[first : first + size]
            first, size = first + size, len(reservoir)
            if not size:
                break
            reached[reservoir] = True
            active = np.flatnonzero((self.allowed | ~reached).all(axis=1))
            halves = list(combinations(reservoir.tolist(), max(min(2, size) if layer == 0 else 1, size // 2)))
            plan.cap[layer:, active] = reached
            for position, half in zip(active.tolist(), islice(cycle(halves), len(active)), strict=True):
                plan.raw[layer, position, list(half)] = True
        return plan

    def holes(self, order: Int64Array, reaches: tuple[int, ...]) -> Plan:
        """Return the plan in which each position sees, after layer l, what lies within reach r_l of what it hides.

        Parameters
        ----------
        order : (n,) int64
            The elements, in the order in which distances are taken.
        reaches : tuple of int
            For each layer but the last.
        """
        plan = self.raw_plan()
        place = np.empty(self.elements, np.int64)
        place[order] = np.arange(self.elements)
        for reader in range(self.readers):
            hidden = place[~self.allowed[reader]]
            if len(hidden):
                distance = np.abs(place[:, None] - hidden[None]).min(axis=1)
                for layer, reach in enumerate(reaches[: self.layers - 1]):
                    plan.cap[layer, reader] = plan.raw[layer, reader] = distance <= reach
        return plan


def change(plan: Plan, stage: Stage, rng: Random) -> Plan:
    """Return a plan with one element more or less in the caps, or among the raw reads, of some positions."""
    cap, raw = plan.cap.copy(), plan.raw.copy()
    layer, element = rng.randrange(stage.layers - 1), rng.randrange(stage.elements)
    count = 1 if rng.random() < 0.6 else rng.randint(1, stage.readers)
    readers = rng.sample(range(stage.readers), count)
    if rng.random() < 0.5:
        value = rng.random() < 0.5
        if value:
            cap[layer:, readers, element] = True
        else:
            cap[: layer + 1, readers, element] = raw[: layer + 1, readers, element] = False
    else:
        value = not raw[layer, readers[0], element]
        raw[layer, readers, element] = value
        if value:
            cap[layer:, readers, element] = True
    return Plan(cap, raw)
