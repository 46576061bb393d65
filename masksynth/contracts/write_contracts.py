"""Write contracts as JSON text, in the shortest form that is read back as equal contracts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from masksynth.contracts.element_sets import complement, count_members
from masksynth.contracts.model import MAX_LISTED, SCHEMA, Contracts, Elements
from masksynth.errors import InvalidInstance, check_type
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.tasks.canonical import canonical_texts


def dump_contracts(contracts: Contracts) -> str:
    """Return contracts as JSON text, a target a line; ``loads_contracts`` returns equal contracts.

    What follows from other fields is left out, leave-one-out is written as ``"targets": "each"``, and what a target
    needs as ``"others"`` if that is everything that it does not hide, and more than half.

    Raises
    ------
    InvalidInstance
        If the argument is not Contracts, or its targets list more than ``MAX_LISTED`` elements.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> print(dump_contracts(leave_one_out(n=3)), end="")
    {"masksynth_contracts": 1,
     "name": "leave_one_out-3",
     "elements": 3,
     "targets": "each",
     "weights": {"position": 24, "kv": 4, "pair": 0.004, "count": "structure"}}
    """
    check_type(contracts, Contracts)
    weights = {key: _number(value) for key, value in asdict(contracts.weights).items()}
    if "count" in contracts.derived:
        del weights["count"]
    demand = {key: value for key, value in asdict(contracts.demand).items() if value}
    if contracts.demand.hops == 0:
        demand["hops"] = 0
    fields: dict[str, str | None] = {
        "masksynth_contracts": json.dumps(SCHEMA),
        "name": json.dumps(contracts.name),
        "elements": json.dumps(_elements_document(contracts.elements)),
        "element_positions": _positions_text(contracts.elements),
        "targets": _targets_text(contracts),
        "layers": None if contracts.layers is None else json.dumps(contracts.layers),
        "masks": None if "masks" in contracts.derived else json.dumps(contracts.masks),
        "weights": json.dumps(weights),
        "demand": json.dumps(demand) if demand else None,
        "blanks": '"same"' if contracts.same_blanks else None,
    }
    lines = [f"{json.dumps(key)}: {text}" for key, text in fields.items() if text is not None]
    return "{" + ",\n ".join(lines) + "}\n"


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _elements_document(elements: Elements) -> Any:
    if elements.space:
        return dict(elements.space)
    is_range = elements.values == tuple(range(elements.count)) and {*map(type, elements.values)} <= {int}
    return elements.count if is_range else list(elements.values)


def _positions_text(elements: Elements) -> str | None:
    """Return the position ids of elements as JSON text, or None if each is its index."""
    positions = elements.positions
    if not elements.coordinates and positions == tuple(range(elements.count)):
        return None
    return json.dumps([_position(elements, position) for position in positions])


def _position(elements: Elements, position: int) -> int | list[int]:
    """Return a position id as it was given: a number, or its coordinates."""
    return list(elements.coordinates[position]) if elements.coordinates else position


def _targets_text(contracts: Contracts) -> str:
    """Return the targets as JSON text."""
    n = contracts.elements.count
    is_partition = (contracts.need == complement(contracts.hide, n)).all(axis=1)
    if _is_leave_one_out(contracts, is_partition):
        return '"each"'
    _check_listed(contracts, is_partition)
    lines = []
    for number, target in enumerate(contracts.targets):
        needed, hidden = contracts.needed(number), contracts.hidden(number)
        document: dict[str, Any] = {"label": target.label}
        is_short = bool(is_partition[number]) and len(needed) > len(hidden)
        document["need"] = "others" if is_short else _listed(contracts.elements, needed)
        if len(hidden):
            document["hide"] = _listed(contracts.elements, hidden)
        if target.place != "query":
            document["place"] = target.place
        document["position"] = _position(contracts.elements, target.position)
        lines.append(json.dumps(document))
    return "[" + ",\n  ".join(lines) + "]"


def _check_listed(contracts: Contracts, is_partition: BoolArray) -> None:
    """Raise InvalidInstance, before anything is written, if the targets list too many elements."""
    needed, hidden = count_members(contracts.need), count_members(contracts.hide)
    total = int((hidden + np.where(is_partition & (needed > hidden), 0, needed)).sum())
    if total > MAX_LISTED:
        fact = f"{len(contracts.targets)} targets that list {total} elements, more than {MAX_LISTED}, are not written"
        raise InvalidInstance(fact, "$.targets", "give fewer elements")


def _listed(elements: Elements, numbers: Int64Array) -> list[Any]:
    values = elements.values
    return [values[number] for number in numbers.tolist()]


def _is_leave_one_out(contracts: Contracts, is_partition: BoolArray) -> bool:
    """Return whether each element is a target that hides itself and needs all others, at its position, in order."""
    elements, targets = contracts.elements, contracts.targets
    n = elements.count
    if len(targets) != n or not is_partition.all():
        return False
    row = np.arange(n)
    diagonal = contracts.hide[row, row // 64] == np.uint64(1) << (row % 64).astype(np.uint64)
    return (
        bool((diagonal & (count_members(contracts.hide) == 1)).all())
        and all(target.place == "query" for target in targets)
        and tuple(target.position for target in targets) == elements.positions
        and canonical_texts([target.label for target in targets]) == canonical_texts(elements.values)
    )
