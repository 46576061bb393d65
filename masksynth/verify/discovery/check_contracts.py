"""``verify_contracts``: every target sees what it needs and nothing that it hides.

The checker's own definitions. C_0(q) is the element that position q embeds; C_l(q) is the union of C_{l-1}(k) over the
keys k of q's row in layer l, which holds q itself. With a mask per layer a target must have its need in C_L and nothing
hidden there; with one mask nothing hidden may ever arrive, and the need within L layers if L is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from masksynth.contracts.model import Contracts, Demand
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.tasks.canonical import canonical, shown
from masksynth.tasks.merged import MergedTask
from masksynth.verify.bit_sets import unite_bits
from masksynth.verify.discovery.broken_contract import BrokenContract
from masksynth.verify.discovery.check_demands import check_demands
from masksynth.verify.discovery.find_way import Rows, find_way
from masksynth.verify.interval_sets import Lists
from masksynth.verify.ragged import mask_rows, prefix_sums, repeat_ranges


@dataclass(frozen=True)
class ContractsReport:
    """What `verify_contracts` confirmed.

    Parameters
    ----------
    checks : tuple of str
    positions, targets : int
    """

    checks: tuple[str, ...]
    positions: int
    targets: int


def verify_contracts(contracts: Contracts, merged: MergedTask) -> ContractsReport:
    """Check that a merged task keeps contracts.

    Parameters
    ----------
    contracts : Contracts
    merged : MergedTask
        A structure as an answer: its inputs are elements and blanks, its labels those of the targets.

    Raises
    ------
    BrokenContract
        With the requirement and a witness: the target, an element, a layer, a way through the rows.
    """
    element = _check_inputs(contracts, merged)
    target = _check_targets(contracts, merged, element)
    tables = _check_tables(contracts, merged)
    _check_updated(merged, tables)
    states = _check_flow(contracts, tables, element, target)
    layers = tables if len(tables) == len(states) - 1 else tables * (len(states) - 1)
    demands = check_demands(contracts, layers, states, element, target)
    checks = ("inputs", "targets", "layers", "rows", "updated", "need", "hide", *demands)
    return ContractsReport(checks, len(element), len(target))


def _check_inputs(contracts: Contracts, merged: MergedTask) -> Int64Array:
    """Return the element that each position embeds, -1 for a blank; raise for other inputs and wrong position ids."""
    number = {canonical(value): index for index, value in enumerate(contracts.elements.values)}
    element = np.full(len(merged.positions), -1)
    for index, place in enumerate(merged.positions):
        embedded = number.get(canonical(place.input))
        if embedded is None:
            if not _is_blank(place.input):
                raise BrokenContract("inputs", f"position {index} embeds {shown(place.input)}, which is no element")
            continue
        element[index] = embedded
        expected = contracts.elements.positions[embedded]
        if place.position != expected:
            fact = (
                f"position {index} embeds {shown(place.input)}: expected position id {expected}, got {place.position}"
            )
            raise BrokenContract("inputs", fact, element=place.input)
    return element


def _is_blank(value: Any) -> bool:
    return hasattr(value, "keys") and list(value) == ["blank"] and type(value["blank"]) is int and value["blank"] >= 0


def _check_targets(contracts: Contracts, merged: MergedTask, element: Int64Array) -> Int64Array:
    """Return the position at which each target is predicted; raise unless each has one, and of the right kind."""
    places: dict[str, list[int]] = {}
    for edge in merged.loss_edges:
        places.setdefault(canonical(merged.labels[edge.label]), []).append(edge.position)
    if unknown := places.keys() - {canonical(target.label) for target in contracts.targets}:
        raise BrokenContract("targets", f"label {min(unknown)} is that of no target")
    for index, target in enumerate(contracts.targets):
        found = places.get(canonical(target.label), [])
        if len(found) != 1:
            raise BrokenContract("targets", f"expected one position, got {len(found)}", target.label)
        _check_place(contracts, merged, index, found[0], int(element[found[0]]))
    target_of = {place[0]: 0 for place in places.values()}
    _check_registers(contracts, merged, element, set(target_of))
    return np.array([places[canonical(target.label)][0] for target in contracts.targets], np.int64)


def _check_place(contracts: Contracts, merged: MergedTask, index: int, position: int, element: int) -> None:
    """Raise unless a target is predicted at a blank of its position id or, where it may, at an element of its need."""
    target = contracts.targets[index]
    if element >= 0:
        value = contracts.elements.values[element]
        if target.place == "query":
            raise BrokenContract(
                "targets", f"expected a blank, position {position} embeds {shown(value)}", target.label
            )
        if element not in contracts.needed(index):
            raise BrokenContract("targets", f"position {position} embeds an element not needed", target.label, value)
    elif merged.positions[position].position != target.position:
        got = merged.positions[position].position
        raise BrokenContract("targets", f"expected a blank of position id {target.position}, got {got}", target.label)


def _check_registers(contracts: Contracts, merged: MergedTask, element: Int64Array, predicting: set[int]) -> None:
    """Raise unless blanks that predict nothing have position id 0; where all blanks are alike, each is the blank 0."""
    for index in np.flatnonzero(element < 0).tolist():
        place = merged.positions[index]
        if index not in predicting and place.position != 0:
            raise BrokenContract("inputs", f"register {index} has position id {place.position}, expected 0")
        if contracts.same_blanks and place.input["blank"] != 0:
            raise BrokenContract("inputs", f"position {index}: expected the blank 0, got {place.input['blank']}")


def _check_tables(contracts: Contracts, merged: MergedTask) -> list[Rows]:
    """Return the rows of each mask; raise unless there is one mask, or one for each layer, and rows hold themselves."""
    expected = 1 if contracts.masks == "one" else contracts.layers
    if merged.mask.tables != expected:
        raise BrokenContract("layers", f"expected {expected} row tables, got {merged.mask.tables}")
    return [_read_table(merged, table) for table in range(merged.mask.tables)]


def _read_table(merged: MergedTask, table: int) -> Rows:
    """Return the rows of one mask."""
    size = merged.mask.size
    query, start, end = mask_rows(merged.mask, table)
    length = np.bincount(query, weights=end - start, minlength=size).astype(np.int64)
    key = repeat_ranges(start, end - start)
    rows = Rows(prefix_sums(length), key)
    holds = np.zeros(size, bool)
    holds[query[(start <= query) & (query < end)]] = True
    if not holds.all():
        position = int((~holds).argmax())
        raise BrokenContract("rows", f"position {position} does not read itself", layer=table + 1)
    return rows


def _check_updated(merged: MergedTask, tables: list[Rows]) -> None:
    """Raise unless each position that is not updated in a layer has a row of itself there."""
    if merged.updated is None:
        return
    if merged.updated.shape != (len(tables), merged.mask.size):
        expected = (len(tables), merged.mask.size)
        raise BrokenContract("updated", f"expected an array of shape {expected}, got {merged.updated.shape}")
    for layer, (table, row) in enumerate(zip(tables, merged.updated, strict=True), start=1):
        wrong = ~row & (np.diff(table.offset) != 1)
        if wrong.any():
            fact = f"position {int(wrong.argmax())} is not updated, and reads more than itself"
            raise BrokenContract("updated", fact, layer=layer)


def _check_flow(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> list[UInt64Array]:
    """Return C_0, C_1, .. of the layers that demands speak of; raise unless targets see what they need, nothing hidden.

    They are kept only if there are demands; one mask is followed until no context changes, whatever its layers.
    """
    need, is_one = contracts.need, contracts.masks == "one"
    states = [_embedded(element, need.shape[1])]
    state = states[0]
    for layer, following in enumerate(_states(tables, state, is_one), start=1):
        state = following
        if contracts.demand != Demand() and not (is_one and layer > (contracts.layers or layer)):
            states.append(state)
        if is_one and layer == contracts.layers:
            _check_need(contracts, need & ~state[target], layer)
    if not is_one or contracts.layers is None or layer < contracts.layers:
        _check_need(contracts, need & ~state[target], None if is_one else len(tables))
    leaked = contracts.hide & state[target]
    if leaked.any():
        index, value = _first(leaked)
        label, hidden = contracts.targets[index].label, contracts.elements.values[value]
        path = find_way(tables, np.flatnonzero(element == value), int(target[index]), is_one)
        fact = f"target {shown(label)} sees {shown(hidden)}, which it hides"
        raise BrokenContract("hide", fact, label, hidden, len(path) - 1 if is_one else len(tables), path)
    return states


def _embedded(element: Int64Array, words: int) -> UInt64Array:
    """Return C_0 as rows of bits."""
    state = np.zeros((len(element), words), np.uint64)
    for position in np.flatnonzero(element >= 0).tolist():
        word, bit = divmod(int(element[position]), 64)
        state[position, word] = np.uint64(1 << bit)
    return state


def _states(tables: list[Rows], state: UInt64Array, is_one: bool) -> Iterator[UInt64Array]:
    """Yield C_1, C_2, ...: for one mask until nothing changes any more, otherwise one for each table."""
    if not is_one:
        for table in tables:
            state = unite_bits(Lists(table.offset, table.key.astype(np.int32)), state)
            yield state
        return
    while True:
        following = unite_bits(Lists(tables[0].offset, tables[0].key.astype(np.int32)), state)
        yield following
        if np.array_equal(following, state):
            return
        state = following


def _check_need(contracts: Contracts, missing: UInt64Array, layer: int | None) -> None:
    """Raise if something that a target needs is missing."""
    if missing.any():
        index, value = _first(missing)
        label, element = contracts.targets[index].label, contracts.elements.values[value]
        when = "at any depth" if layer is None else f"within {layer} layers"
        raise BrokenContract(
            "need", f"target {shown(label)} does not see {shown(element)} {when}", label, element, layer
        )


def _first(rows: UInt64Array) -> tuple[int, int]:
    """Return the first row that is not empty, and the first element of it."""
    row = int(rows.any(axis=1).argmax())
    bits: BoolArray = np.unpackbits(rows[row].view(np.uint8), bitorder="little").astype(bool)
    return row, int(bits.argmax())
