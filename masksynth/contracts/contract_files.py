"""Read and write documents of contracts (JSON); every error names file, JSON path and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from masksynth.collector import paused_collector
from masksynth.contracts.element_sets import (
    ElementIndex,
    check_contract_size,
    complement,
    packed_rows,
    rows_of_lists,
)
from masksynth.contracts.model import Contracts, Demand, Elements, Target, Weights, with_options
from masksynth.contracts.spaces import count_elements, space_of
from masksynth.errors import InvalidInstance, check_type
from masksynth.mask.typing import UInt64Array
from masksynth.tasks.canonical import canonical_texts, frozen, shown
from masksynth.tasks.faults import list_items, other_keys, shape_fault
from masksynth.tasks.parse_json import MAX_BYTES, parse

if TYPE_CHECKING:
    from masksynth.contracts.json_schema import ContractsFile

SCHEMA = 1


def load_contracts(source: str | Path | IO[bytes] | IO[str]) -> Contracts:
    """Read a document of contracts.

    Parameters
    ----------
    source : path or open file
        The path of a JSON file, or a stream (``sys.stdin``).

    Raises
    ------
    InvalidInstance
        Naming file, JSON path and remedy: the only error for a readable file.
    OSError
        If the file cannot be read.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return loads_contracts(file.read(MAX_BYTES + 1), str(source))
    if not hasattr(source, "read"):
        raise InvalidInstance(f"expected a path or an open file, got {type(source).__name__}", "")
    name = getattr(source, "name", "<stream>")
    return loads_contracts(source.read(MAX_BYTES + 1), name if isinstance(name, str) else "<stream>")


@paused_collector()
def loads_contracts(data: bytes | str, source: str = "") -> Contracts:
    """Read contracts from JSON text.

    Parameters
    ----------
    data : bytes or str
    source : str
        Name of the file, for messages.

    Raises
    ------
    InvalidInstance
        Naming file, JSON path and remedy.

    Examples
    --------
    >>> contracts = loads_contracts('{"masksynth_contracts": 1, "name": "all", "elements": 3, "targets": "each"}')
    >>> [contracts.needed(target).tolist() for target in range(3)]
    [[1, 2], [0, 2], [0, 1]]
    """
    if not isinstance(data, bytes | str):
        raise InvalidInstance(f"expected JSON text as bytes or str, got {type(data).__name__}", "")
    try:
        return _contracts_of(parse(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data))
    except InvalidInstance as error:
        raise error.within(source=source) from None


def _contracts_of(document: Any) -> Contracts:
    """Return the validated contracts of a parsed JSON document."""
    import msgspec

    from masksynth.contracts.json_schema import ContractsFile

    version = document.get("masksynth_contracts") if isinstance(document, dict) else None
    if type(version) is int and version != SCHEMA:
        remedy = f"this version of masksynth reads schema {SCHEMA}"
        raise InvalidInstance(f"unsupported schema {shown(version)}", "$.masksynth_contracts", remedy)
    try:
        file = msgspec.convert(document, ContractsFile, strict=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise shape_fault(str(error), document, _unknown_fields(document)) from None
    elements = _read_elements(file)
    need, hide = _read_sets(file, elements)
    given = {"masks": file.masks, "count": file.weights.count}
    derived = frozenset(name for name, value in given.items() if value is msgspec.UNSET)
    prices = {key: value for key, value in msgspec.structs.asdict(file.weights).items() if value is not msgspec.UNSET}
    contracts = Contracts(
        file.name,
        elements,
        _read_targets(file, elements),
        need,
        hide,
        file.layers,
        "one" if file.masks is msgspec.UNSET else file.masks,
        Weights(**prices),
        Demand(**msgspec.structs.asdict(file.demand)),
        file.blanks == "same",
        derived,
    )
    return with_options(contracts)


def _unknown_fields(document: Any) -> Iterator[tuple[str, str]]:
    """Yield (path, key) of every field that is not part of the schema."""
    from masksynth.contracts import json_schema as files

    yield from other_keys("$", document, files.ContractsFile)
    if not isinstance(document, dict):
        return
    space = document.get("elements")
    yield from other_keys("$.elements", space, files.SpaceFile)
    if isinstance(space, dict):
        yield from other_keys("$.elements.graph", space.get("graph"), files.GraphFile)
    yield from other_keys("$.weights", document.get("weights"), files.WeightsFile)
    yield from other_keys("$.demand", document.get("demand"), files.DemandFile)
    for path, target in list_items("$.targets", document, "targets"):
        yield from other_keys(path, target, files.TargetFile)


def _read_elements(file: ContractsFile) -> Elements:
    """Return the elements of a document, whose number is checked before anything is allocated."""
    import msgspec

    count, space = count_elements(file.elements), space_of(file.elements)
    check_contract_size(count if file.targets == "each" else len(file.targets), count)
    if isinstance(file.elements, list):
        values = tuple(frozen(value, f"$.elements[{index}]") for index, value in enumerate(file.elements))
        _check_values(values)
    else:
        values = tuple(range(count))
    positions = file.element_positions
    if positions is msgspec.UNSET:
        positions = list(range(count))
    elif isinstance(positions, int):
        positions = [positions] * count
    if len(positions) != count:
        fact = f"{len(positions)} positions for {count} elements"
        raise InvalidInstance(fact, "$.element_positions", "give one for each element, or leave them out")
    return Elements(values, tuple(positions), space)


def _check_values(values: tuple[Any, ...]) -> None:
    """Raise InvalidInstance for an element that a blank's input may equal, or one that is listed twice."""
    for index, value in enumerate(values):
        if isinstance(value, Mapping) and {*value} == {"blank"}:
            fact = 'an element {"blank": ...} cannot be told from the input of a blank position'
            raise InvalidInstance(fact, f"$.elements[{index}]", "give it another form")
    seen: dict[str, int] = {}
    for index, text in enumerate(canonical_texts(values)):
        if (first := seen.setdefault(text, index)) != index:
            fact = f"element {shown(values[index])} is that of $.elements[{first}] too"
            raise InvalidInstance(fact, f"$.elements[{index}]", "give each occurrence a value of its own")


def _read_targets(file: ContractsFile, elements: Elements) -> tuple[Target, ...]:
    """Return the targets; a position that is not given is that of the element with the same label, or the index."""
    import msgspec

    if file.targets == "each":
        pairs = zip(elements.values, elements.positions, strict=True)
        return tuple(Target(value, position=position) for value, position in pairs)
    labels = [frozen(target.label, f"$.targets[{index}].label") for index, target in enumerate(file.targets)]
    texts = canonical_texts(labels)
    position_of = dict(zip(canonical_texts(elements.values), elements.positions, strict=True))
    return tuple(
        Target(
            label,
            target.place,
            position_of.get(text, index) if target.position is msgspec.UNSET else target.position,
        )
        for index, (target, label, text) in enumerate(zip(file.targets, labels, texts, strict=True))
    )


def _read_sets(file: ContractsFile, elements: Elements) -> tuple[UInt64Array, UInt64Array]:
    """Return need and hide of each target as packed rows."""
    n = elements.count
    if file.targets == "each":
        hide = packed_rows(n, n, lambda row: np.arange(n) == row)
        return complement(hide, n), hide
    index = ElementIndex(elements.values)
    none = np.empty(0, np.int64)
    hidden, needed, others = [], [], []
    for number, target in enumerate(file.targets):
        hidden.append(index.find(target.hide, f"$.targets[{number}].hide") if target.hide else none)
        is_others = target.need == "others"
        others.append(is_others)
        needed.append(none if is_others else index.find(target.need, f"$.targets[{number}].need"))
    hide, need = rows_of_lists(hidden, n), rows_of_lists(needed, n)
    need[others] = complement(hide[others], n)
    return need, hide


def dump_contracts(contracts: Contracts) -> str:
    """Return contracts as JSON text, a target a line; ``loads_contracts`` returns equal contracts.

    What follows from other fields is left out, leave-one-out is written as ``"targets": "each"``, and what a target
    needs as ``"others"`` if that is everything that it does not hide, and more than half.

    Raises
    ------
    InvalidInstance
        If the argument is not Contracts.

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
    return None if positions == tuple(range(elements.count)) else json.dumps(list(positions))


def _targets_text(contracts: Contracts) -> str:
    """Return the targets as JSON text."""
    n = contracts.elements.count
    is_partition = (contracts.need == complement(contracts.hide, n)).all(axis=1)
    if _is_leave_one_out(contracts, is_partition):
        return '"each"'
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
        document["position"] = target.position
        lines.append(json.dumps(document))
    return "[" + ",\n  ".join(lines) + "]"


def _listed(elements: Elements, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Any]:
    values = elements.values
    return [values[number] for number in numbers.tolist()]


def _is_leave_one_out(contracts: Contracts, is_partition: np.ndarray[Any, np.dtype[np.bool_]]) -> bool:
    """Return whether each element is a target that hides itself and needs all others, at its position, in order."""
    elements, targets = contracts.elements, contracts.targets
    n = elements.count
    if len(targets) != n or not is_partition.all():
        return False
    row = np.arange(n)
    diagonal = contracts.hide[row, row // 64] == np.uint64(1) << (row % 64).astype(np.uint64)
    counts = np.bitwise_count(contracts.hide).sum(axis=1) if hasattr(np, "bitwise_count") else None
    if counts is None:
        counts = np.array([len(contracts.hidden(number)) for number in range(n)])
    return (
        bool((diagonal & (counts == 1)).all())
        and all(target.place == "query" for target in targets)
        and tuple(target.position for target in targets) == elements.positions
        and canonical_texts([target.label for target in targets]) == canonical_texts(elements.values)
    )
