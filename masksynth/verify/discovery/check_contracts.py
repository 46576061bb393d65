"""``verify_contracts``: every target sees what it needs and nothing that it hides.

The checker's own definitions. C_0(q) is the element that position q embeds; C_l(q) is the union of C_{l-1}(k) over the
keys k of q's row in layer l, which holds q itself. With a mask per layer a target must have its need in C_L and nothing
hidden there; with one mask nothing hidden may ever arrive, and the need within L layers if L is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.contracts.model import Contracts
from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.tasks.canonical import shown
from masksynth.tasks.merged import MergedTask
from masksynth.verify.discovery.broken_contract import BrokenContract
from masksynth.verify.discovery.check_demands import check_demands
from masksynth.verify.discovery.check_places import check_inputs, check_targets
from masksynth.verify.discovery.find_way import find_way
from masksynth.verify.discovery.layer_rows import Rows, depends, embed, find_updated, follow, read_tables


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
    element = check_inputs(contracts, merged)
    target = check_targets(contracts, merged, element)
    _check_layers(contracts, merged)
    tables = read_tables(merged)
    live = depends(tables, target, contracts.masks == "one")
    _check_rows(tables, live)
    _check_updated(merged, find_updated(tables, live))
    _check_flow(contracts, tables, element, target)
    demands = check_demands(contracts, tables, element, target)
    checks = ("inputs", "targets", "layers", "rows", "updated", "need", "hide", *demands)
    return ContractsReport(checks, len(element), len(target))


def _check_layers(contracts: Contracts, merged: MergedTask) -> None:
    """Raise unless there is one mask for any depth, or one for each layer."""
    depth = None if contracts.masks == "one" else contracts.layers
    if merged.mask.tables != (depth or 1):
        raise BrokenContract("layers", f"expected {depth or 1} row tables, got {merged.mask.tables}")
    if merged.problem.layers != depth:
        asked, got = (f"layers {number or 'any'}" for number in (depth, merged.problem.layers))
        raise BrokenContract("layers", f"expected an answer for {asked}, got one for {got}")


def _check_rows(tables: list[Rows], live: list[BoolArray]) -> None:
    """Raise if a position reads others in a layer after which no target depends on it."""
    for layer, rows in enumerate(tables, start=1):
        idle = rows.is_read & ~live[layer][rows.query]
        if idle.any():
            position = int(rows.query[idle.argmax()])
            fact = f"position {position} reads position {int(rows.key[idle.argmax()])}, and no target depends on it"
            raise BrokenContract("rows", fact, layer=layer, path=(int(rows.key[idle.argmax()]), position))


def _check_updated(merged: MergedTask, expected: BoolArray) -> None:
    """Raise unless the answer updates what its rows say; an answer that does not say updates everything."""
    if merged.updated is None:
        return
    if merged.updated.shape != expected.shape:
        raise BrokenContract("updated", f"expected an array of shape {expected.shape}, got {merged.updated.shape}")
    wrong = np.argwhere(merged.updated != expected)
    if len(wrong):
        layer, position = wrong[0].tolist()
        reason = (
            "has read another, and a target depends on it"
            if expected[layer, position]
            else "has read no other position, or no target depends on it"
        )
        fact = (
            f"position {position} {reason}: expected {expected[layer, position]}, got {not expected[layer, position]}"
        )
        raise BrokenContract("updated", fact, layer=layer + 1)


def _check_flow(contracts: Contracts, tables: list[Rows], element: Int64Array, target: Int64Array) -> None:
    """Raise unless the targets see what they need, in time, and nothing that they hide."""
    need, is_one = contracts.need, contracts.masks == "one"
    layers = follow(tables, embed(element, need.shape[1]), is_one)
    for layer, (_, _, state) in enumerate(layers, start=1):
        if is_one and layer == contracts.layers:
            _check_need(contracts, need & ~state[target], layer)
    if not is_one or contracts.layers is None or layer < contracts.layers:
        _check_need(contracts, need & ~state[target], contracts.layers)
    leaked = contracts.hide & state[target]
    if leaked.any():
        index, value = _first(leaked)
        label, hidden = contracts.targets[index].label, contracts.elements.values[value]
        path = find_way(tables, np.flatnonzero(element == value), int(target[index]), is_one)
        fact = f"target {shown(label)} sees {shown(hidden)}, which it hides"
        raise BrokenContract("hide", fact, label, hidden, len(path) - 1 if is_one else len(tables), path)


def _check_need(contracts: Contracts, missing: UInt64Array, layer: int | None) -> None:
    """Raise if something that a target needs is missing."""
    if missing.any():
        index, value = _first(missing)
        label, element = contracts.targets[index].label, contracts.elements.values[value]
        when = "at any depth" if layer is None else f"within {layer} layer{'s' if layer > 1 else ''}"
        fact = f"target {shown(label)} does not see {shown(element)} {when}"
        raise BrokenContract("need", fact, label, element, layer)


def _first(rows: UInt64Array) -> tuple[int, int]:
    """Return the first row that is not empty, and the first element of it."""
    row = int(rows.any(axis=1).argmax())
    bits: BoolArray = np.unpackbits(rows[row].view(np.uint8), bitorder="little").astype(bool)
    return row, int(bits.argmax())
