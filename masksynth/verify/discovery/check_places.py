"""What the positions of a structure embed, and where its targets are predicted."""

from __future__ import annotations

from typing import Any

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import Int64Array
from masksynth.tasks.canonical import canonical, shown
from masksynth.tasks.merged import MergedTask, Position
from masksynth.verify.discovery.broken_contract import BrokenContract


def check_inputs(contracts: Contracts, merged: MergedTask) -> Int64Array:
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
            fact = f"position {index} embeds {shown(place.input)}: expected position id {expected}"
            raise BrokenContract("inputs", f"{fact}, got {place.position}", element=place.input)
    return element


def _is_blank(value: Any) -> bool:
    return hasattr(value, "keys") and list(value) == ["blank"] and type(value["blank"]) is int and value["blank"] >= 0


def check_targets(contracts: Contracts, merged: MergedTask, element: Int64Array) -> Int64Array:
    """Return the position at which each target is predicted; raise unless each has one, and of the right kind."""
    places: dict[str, list[int]] = {}
    for number, edge in enumerate(merged.loss_edges):
        for name, count in (("position", len(merged.positions)), ("label", len(merged.labels)), ("task", 1)):
            if not 0 <= getattr(edge, name) < count:
                fact = f"loss edge {number} names the {name} {getattr(edge, name)}, expected one of 0, .., {count - 1}"
                raise BrokenContract("targets", fact)
        label = merged.labels[edge.label]
        places.setdefault(canonical(label), []).append(edge.position)
        if edge.weight != 1:
            raise BrokenContract("targets", f"expected a loss of weight 1, got {edge.weight:g}", label)
    labels = {canonical(target.label) for target in contracts.targets}
    if unknown := (places.keys() | {canonical(label) for label in merged.labels}) - labels:
        raise BrokenContract("targets", f"label {min(unknown):.80} is that of no target")
    for index, target in enumerate(contracts.targets):
        found = places.get(canonical(target.label), [])
        if len(found) != 1:
            raise BrokenContract("targets", f"expected one loss edge, got {len(found)}", target.label)
        if element[found[0]] >= 0:
            _check_token(contracts, index, found[0], int(element[found[0]]))
        elif merged.positions[found[0]].position != target.position:
            got = merged.positions[found[0]].position
            fact = f"expected a blank of position id {target.position}, got {got} at position {found[0]}"
            raise BrokenContract("targets", fact, target.label)
    places_in_order = [places[canonical(target.label)][0] for target in contracts.targets]
    _check_blanks(contracts, merged, element, places_in_order)
    return np.array(places_in_order, np.int64)


def _check_token(contracts: Contracts, index: int, position: int, element: int) -> None:
    """Raise unless a target may be predicted at an element: it is not restricted to blanks, and needs the element."""
    target, value = contracts.targets[index], contracts.elements.values[element]
    if target.place == "query":
        raise BrokenContract("targets", f"expected a blank, position {position} embeds {shown(value)}", target.label)
    if not contracts.need[index, element // 64] >> np.uint64(element % 64) & np.uint64(1):
        raise BrokenContract("targets", f"position {position} embeds {shown(value)}, not needed", target.label, value)


def _check_blanks(contracts: Contracts, merged: MergedTask, element: Int64Array, places: list[int]) -> None:
    """Raise unless the blank of a target has its number, and registers count on from there at position id 0.

    A blank that several targets share has the number of one of them.
    """
    targets_at: dict[int, set[int]] = {}
    for index, position in enumerate(places):
        targets_at.setdefault(position, set()).add(index)
    registers: dict[int, Position] = {}
    for index in np.flatnonzero(element < 0).tolist():
        place = merged.positions[index]
        if index not in targets_at and place.position != 0:
            raise BrokenContract("inputs", f"register {index} has position id {place.position}, expected 0")
        expected = {0} if contracts.same_blanks else targets_at.get(index)
        if expected is None:
            registers[index] = place
        elif place.input["blank"] not in expected:
            fact = f"position {index}: expected the blank {min(expected)}, got {place.input['blank']}"
            raise BrokenContract("inputs", fact)
    numbers = sorted(place.input["blank"] for place in registers.values())
    first = len(contracts.targets)
    if numbers != list(range(first, first + len(numbers))):
        wanted = f"expected registers to be the blanks from {first} on, each once"
        raise BrokenContract("inputs", f"{wanted}, got {', '.join(map(str, numbers[:5]))}")
