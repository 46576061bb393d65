"""Read documents of contracts (JSON); every error names file, JSON path and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from masksynth.contracts.model import (
    MAX_LISTED,
    SCHEMA,
    Contracts,
    Demand,
    Elements,
    Masks,
    Target,
    Weights,
    resolve_options,
)
from masksynth.contracts.number_coordinates import number_positions
from masksynth.contracts.spaces import count_elements, space_of
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import UInt64Array
from masksynth.tasks.canonical import canonical_texts, frozen, shown
from masksynth.tasks.faults import list_items, other_keys, shape_fault
from masksynth.tasks.parse_json import parse_document, read_document

if TYPE_CHECKING:
    from masksynth.contracts.document_structs import ContractsFile


BEGINS = 'contracts begin {"masksynth_contracts": 1, "name": ..., "elements": ..., "targets": ...}'


def load_contracts(
    source: str | Path | IO[bytes] | IO[str], *, layers: int | None = None, masks: Masks | None = None
) -> Contracts:
    """Read a document of contracts.

    Parameters
    ----------
    source : path or open file
        The path of a JSON file, or a stream (``sys.stdin``).
    layers : int, optional
        In place of the document's own, as by `with_options`; it may lack what these give.
    masks : str, optional
        ``one`` or ``layered``, in place of the document's own.

    Raises
    ------
    InvalidInstance
        Naming file, JSON path and remedy: the only error for a readable file.
    OSError
        If the file cannot be read.
    """
    return loads_contracts(*read_document(source), layers=layers, masks=masks)


@paused_collector()
def loads_contracts(
    data: bytes | str, source: str = "", *, layers: int | None = None, masks: Masks | None = None
) -> Contracts:
    """Read contracts from JSON text.

    Parameters
    ----------
    data : bytes or str
    source : str
        Name of the file, for messages.
    layers, masks : optional
        As for `load_contracts`.

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
    try:
        file = _read_fields(parse_document(data, BEGINS))
        file.layers = file.layers if layers is None else layers
        file.masks = file.masks if masks is None else masks
        return _contracts_of(file)
    except InvalidInstance as error:
        raise error.within(source=source) from None


def _read_fields(document: Any) -> ContractsFile:
    """Return the fields of a parsed JSON document, of the right types."""
    import msgspec

    from masksynth.contracts.document_structs import ContractsFile

    if isinstance(document, dict) and "masksynth" in document and "masksynth_contracts" not in document:
        remedy = "name a document as masksynth contracts prints it"
        raise InvalidInstance("is an instance, not contracts", "$", remedy)
    version = document.get("masksynth_contracts") if isinstance(document, dict) else None
    if type(version) is int and version != SCHEMA:
        remedy = f"this version of masksynth reads schema {SCHEMA}"
        raise InvalidInstance(f"unsupported schema {shown(version)}", "$.masksynth_contracts", remedy)
    try:
        return msgspec.convert(document, ContractsFile, strict=True)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise shape_fault(str(error), document, _unknown_fields(document)) from None


def _contracts_of(file: ContractsFile) -> Contracts:
    """Return the validated contracts of a document."""
    import msgspec

    elements, targets = _read_elements(file)
    need, hide = _read_sets(file, elements)
    given = {"masks": file.masks, "count": file.weights.count}
    derived = frozenset(name for name, value in given.items() if value is msgspec.UNSET)
    prices = {key: value for key, value in msgspec.structs.asdict(file.weights).items() if value is not msgspec.UNSET}
    masks, count = resolve_options(None if file.masks is msgspec.UNSET else file.masks, file.layers)
    weights = Weights(**{"count": count, **prices})
    demand = Demand(**msgspec.structs.asdict(file.demand))
    same = file.blanks == "same"
    return Contracts(file.name, elements, targets, need, hide, file.layers, masks, weights, demand, same, derived)


def _unknown_fields(document: Any) -> Iterator[tuple[str, str]]:
    """Yield (path, key) of every field that is not part of the schema."""
    from masksynth.contracts import document_structs as files

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


def _read_elements(file: ContractsFile) -> tuple[Elements, tuple[Target, ...]]:
    """Return the elements and targets of a document, whose number is checked before anything is allocated."""
    count, space = count_elements(file.elements), space_of(file.elements)
    check_contract_size(count if file.targets == "each" else len(file.targets), count)
    if isinstance(file.elements, list):
        values = tuple(frozen(value, f"$.elements[{index}]") for index, value in enumerate(file.elements))
        _check_values(values)
    else:
        values = tuple(range(count))
    labels, places, given = _read_labels(file)
    ids = number_positions(file.element_positions, given, values, labels)
    triples = zip(labels or values, places or ["query"] * count, ids.targets, strict=True)
    targets = tuple(Target(*triple) for triple in triples)
    return Elements(values, ids.elements, space, ids.coordinates), targets


def _read_labels(file: ContractsFile) -> tuple[list[Any], list[Any], list[Any]]:
    """Return label, placement and position as given of each target; nothing for one target an element."""
    if file.targets == "each":
        return [], [], []
    labels = [frozen(target.label, f"$.targets[{index}].label") for index, target in enumerate(file.targets)]
    return labels, [target.place for target in file.targets], [target.position for target in file.targets]


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
    total = sum(map(len, hidden)) + sum(map(len, needed))
    if total > MAX_LISTED:
        fact = f"{len(file.targets)} targets list {total} elements, more than {MAX_LISTED}"
        raise InvalidInstance(fact, "$.targets", 'give fewer, or "need": "others"')
    hide, need = rows_of_lists(hidden, n), rows_of_lists(needed, n)
    need[others] = complement(hide[others], n)
    return need, hide
