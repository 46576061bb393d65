"""Add reads to a structure until it meets the demands of its contracts.

Reads by a target in the last layer change no other context, since it is not read afterwards. There a read of an
element's raw position meets ``direct``, ``hops`` and ``bandwidth``; for ``mixed`` a target reads states of several
elements: those that are there, blanks of other targets that read some elements in the first layer, or registers. The
demands are met, not necessarily at the least cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from masksynth.contracts import Contracts
from masksynth.discover.circuit import members, wants_of
from masksynth.discover.structure import Reads, Structure, contexts, prune
from masksynth.posets.bit_rows import integers, unpack


def meet_demands(structure: Structure, contracts: Contracts) -> Structure:
    """Return a structure that also meets the demands; the same one if there are none, or it meets them already.

    The demands must be possible (`masksynth.discover.impossible`).
    """
    demand = contracts.demand
    if not (demand.direct or demand.mixed or demand.bandwidth > 1 or demand.hops is not None):
        return structure
    extended = _Extended(prune(structure, contracts.masks), contracts)
    if demand.hops == 0:
        extended.place_at_tokens(shared=not demand.direct and not demand.mixed)
    if demand.mixed:
        extended.add_mixed(demand.mixed)
    for target in range(len(contracts.targets)):
        extended.add_direct(target, max(demand.direct, demand.bandwidth if demand.bandwidth > 1 else 0))
        if demand.hops is not None:
            extended.shorten(target, demand.hops)
    return extended.structure()


class _Extended:
    """A structure to which positions and reads are added.

    ``states[l]`` holds C_l of each position as integers. One mask is seen as two layers: what a position embeds, and
    what it has read in the end.
    """

    def __init__(self, structure: Structure, contracts: Contracts) -> None:
        self.contracts, self.base, self.wants = contracts, structure, wants_of(contracts)
        self.is_one = contracts.masks == "one"
        self.element: list[int] = structure.element.tolist()
        self.target: list[int] = structure.target.tolist()
        count = contracts.elements.count
        states = contexts(structure, contracts)
        chosen = [states[0], states[-1]] if self.is_one else states  # of one mask also where nothing is read
        self.states = [integers(unpack(state, count)) for state in chosen]
        self.reads = [set(zip(r.query.tolist(), r.key.tolist(), strict=True)) for r in structure.reads]
        self.is_read = {key for table in self.reads for _, key in table}
        if self.is_one:
            self._free_targets()

    def _free_targets(self) -> None:
        """Give targets that others read in the one mask a position of their own, which reads what theirs reads."""
        for index, position in enumerate(self.target):
            if position in self.is_read:
                keys = [key for query, key in self.reads[0] if query == position]
                self.target[index] = self._add_position(self.element[position], self.states[-1][position])
                self.reads[0] |= {(self.target[index], key) for key in keys}

    def structure(self) -> Structure:
        """Return what it has become."""
        size = len(self.element)
        pairs = [np.array(sorted(table), np.int64).reshape(-1, 2) for table in self.reads]
        tables = tuple(Reads.of_pairs(table[:, 0], table[:, 1], size) for table in pairs)
        element, target = np.array(self.element, np.int64), np.array(self.target, np.int64)
        return replace(self.base, element=element, reads=tables, target=target)

    def _before_last(self, position: int) -> int:
        """Return what a read of a position in the last layer brings; of one mask, what it brings in the end."""
        bits: int = self.states[-1 if self.is_one else -2][position]
        return bits

    def _read(self, position: int, key: int) -> None:
        """Let a target read a position in the last layer."""
        self.reads[-1].add((position, key))
        self.is_read.add(key)
        self.states[-1][position] |= self._before_last(key)

    def _add_position(self, element: int, bits: int) -> int:
        """Add a position that embeds an element or nothing, and has read a set since the first layer."""
        self.element.append(element)
        raw = 1 << element if element >= 0 else 0
        for layer, states in enumerate(self.states):
            states.append(bits if layer else raw)
        return len(self.element) - 1

    def _raw(self, element: int, reader: int) -> int:
        """Return a position that holds nothing but an element, and is not the reader itself."""
        bits = 1 << element
        for position, embedded in enumerate(self.element):
            if embedded == element and position != reader and self._before_last(position) == bits:
                return position
        return self._add_position(element, bits)

    def _sources(self, element: int) -> int:
        """Return a position that embeds an element: what it holds before the first layer."""
        if element in self.element:
            return self.element.index(element)
        return self._add_position(element, 1 << element)

    def place_at_tokens(self, shared: bool) -> None:
        """Predict each target at the element that it needs: it arrives without a read.

        Where targets read nothing more, they share positions with one another and with those who read them.
        """
        for target, position in enumerate(self.target):
            for element in members(self.wants.need[target]):
                if self.element[position] != element:
                    new = self._raw(element, -1) if shared else self._add_position(element, 1 << element)
                    self.target[target] = new

    def _direct(self, target: int) -> set[int]:
        """Return the needed elements that a target reads directly."""
        position, found = self.target[target], set()
        for layer, table in enumerate(self.reads):
            for query, key in table:
                bits = self.states[0 if self.is_one else layer][key]
                if query == position and bits.bit_count() == 1 and bits & self.wants.need[target]:
                    found.add(bits.bit_length() - 1)
        return found

    def add_direct(self, target: int, count: int) -> None:
        """Let a target read this many needed elements directly, or all; those first whose raw positions are there."""
        found, position = self._direct(target), self.target[target]
        missing = [element for element in members(self.wants.need[target]) if element not in found]
        there = {
            embedded
            for key, embedded in enumerate(self.element)
            if embedded >= 0 and key != position and self._before_last(key) == 1 << embedded
        }
        missing.sort(key=lambda element: element not in there)
        for element in missing[: max(0, count - len(found))]:
            self._read(position, self._raw(element, position))

    def shorten(self, target: int, hops: int) -> None:
        """Let a target read the elements directly that arrive over more reads than that."""
        position = self.target[target]
        near = self._within(position, hops)
        for element in members(self.wants.need[target] & ~near):
            self._read(position, self._raw(element, position))

    def _within(self, position: int, hops: int) -> int:
        """Return the elements that arrive at a position over at most this many reads."""
        # fewest[k]: reads between k after the layer and the position after the last one; keeping a state costs none.
        fewest = {position: 0}
        passes = len(self.reads) if not self.is_one else min(hops, len(self.element))
        for step in range(passes):
            table = self.reads[0 if self.is_one else len(self.reads) - 1 - step]
            reached = dict(fewest)
            for query, key in table:
                if query in fewest and fewest[query] < min(hops, reached.get(key, hops + 1) - 1):
                    reached[key] = fewest[query] + 1
            fewest = reached
        near = 0
        for key in fewest:
            if self.element[key] >= 0:
                near |= 1 << self.element[key]
        return near

    def add_mixed(self, others: int) -> None:
        """Let each target read each needed element also in a state that holds this many others."""
        for target, position in enumerate(self.target):
            missing = self.wants.need[target] & ~self._mixed(position, others)
            while missing:
                key, bits = self._best_state(target, others, missing)
                if not bits & missing:
                    key = self._new_state(target, others, missing)
                    bits = self._before_last(key)
                self._read(position, key)
                missing &= ~bits

    def _mixed(self, position: int, others: int) -> int:
        """Return the elements that a position reads in states of at least ``others`` + 1 elements."""
        joined = 0
        for layer, table in enumerate(self.reads):
            for query, key in table:
                bits = self.states[-1 if self.is_one else layer][key]
                if query == position and bits.bit_count() > others:
                    joined |= bits
        return joined

    def _best_state(self, target: int, others: int, missing: int) -> tuple[int, int]:
        """Return the position whose state a target may read in the last layer and that holds most missing elements."""
        forbidden, own = ~self.wants.allowed[target], self.target[target]
        best, most = (-1, 0), 0
        for key in range(len(self.element)):
            bits = self._before_last(key)
            gain = (bits & missing).bit_count()
            is_free = key not in self.target if self.is_one else key != own  # of one mask, no cycle of targets
            if gain > most and bits.bit_count() > others and not bits & forbidden and is_free:
                best, most = (key, bits), gain
        return best

    def _new_state(self, target: int, others: int, missing: int) -> int:
        """Return a position that holds a missing element and others: the blank of another target, or a register."""
        for bits in self._windows(target, others, missing):
            for host in () if self.is_one else self._idle(target, bits):
                for layer in range(1, len(self.states)):
                    self.states[layer][host] |= bits
                self.reads[0] |= {(host, self._sources(element)) for element in members(bits)}
                self.is_read.add(host)
                return host
        bits = next(self._windows(target, others, missing))
        register = self._add_position(-1, bits)
        self.reads[0] |= {(register, self._raw_at_first(element)) for element in members(bits)}
        return register

    def _raw_at_first(self, element: int) -> int:
        return self._raw(element, -1) if self.is_one else self._sources(element)

    def _windows(self, target: int, others: int, missing: int) -> Iterator[int]:
        """Yield sets of ``others`` + 1 elements that a target may see, with a missing one: its neighbours in order."""
        visible = members(self.wants.allowed[target])
        for element in members(missing)[:4]:
            index = visible.index(element)
            for shift in range(others + 1):
                first = min(max(0, index - shift), len(visible) - others - 1)
                chosen = visible[first : first + others + 1]
                if element in chosen:
                    yield sum(1 << member for member in chosen)

    def _idle(self, target: int, bits: int) -> Iterator[int]:
        """Yield the unread blanks of other targets that may hold a set, one that ``target`` may read."""
        for other, host in enumerate(self.target):
            held = self._before_last(host) | bits
            is_blank = self.element[host] < 0 and self.target.count(host) == 1
            is_idle = host != self.target[target] and host not in self.is_read
            if is_blank and is_idle and not held & ~(self.wants.allowed[other] & self.wants.allowed[target]):
                yield host
