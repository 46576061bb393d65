"""Checks of the values of contracts; errors name the JSON path and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.tasks.canonical import canonical_texts, shown
from masksynth.tasks.task import MAX_POSITION

if TYPE_CHECKING:
    from masksynth.contracts.model import Contracts, Elements

MAX_LAYERED = 10_000
"""Maximal number of layers that have a mask each."""


def check_elements(elements: Elements) -> None:
    """Raise InvalidInstance unless there is a position id for each element, in range."""
    if len(elements.positions) != len(elements.values):
        fact = f"{len(elements.positions)} positions for {len(elements.values)} elements"
        raise InvalidInstance(fact, "$.element_positions", "give one for each element")
    last = len(elements.coordinates) - 1 if elements.coordinates else MAX_POSITION
    for index, position in enumerate(elements.positions):
        if type(position) is not int or not 0 <= position <= last:
            fact = f"expected an integer from 0 to {last}, got {shown(position)}"
            raise InvalidInstance(fact, f"$.element_positions[{index}]", "give the position id")


def check_depth(contracts: Contracts) -> None:
    """Raise InvalidInstance unless number of layers, kind of masks and count of costs fit together."""
    layers, masks = contracts.layers, contracts.masks
    if layers is not None and (type(layers) is not int or not 1 <= layers <= MAX_POSITION):
        fact = f"layers: expected an integer from 1 to {MAX_POSITION}, got {shown(layers)}"
        raise InvalidInstance(fact, "$.layers", "give a number of layers, or none for any depth")
    if masks not in ("one", "layered"):
        raise InvalidInstance(f"masks: expected one or layered, got {shown(masks)}", "$.masks", "give one of them")
    if masks == "layered" and layers is None:
        raise InvalidInstance("layered masks need a number of layers", "$.layers", "give layers, or masks one")
    if contracts.weights.count == "layer" and layers is None:
        remedy = "give layers, or count structure"
        raise InvalidInstance("costs of each layer need a number of layers", "$.weights.count", remedy)
    if masks == "layered" and layers is not None and layers > MAX_LAYERED:
        fact = f"{layers} layers with a mask each, more than {MAX_LAYERED}"
        raise InvalidInstance(fact, "$.layers", "give fewer layers, or masks one")


def check_labels(contracts: Contracts) -> None:
    """Raise InvalidInstance unless there is a target, and each has a label of its own."""
    if not contracts.targets:
        raise InvalidInstance("there is no target", "$.targets", "give one target or more")
    texts = canonical_texts([target.label for target in contracts.targets])
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if first.setdefault(text, index) != index:
            fact = f"label {shown(contracts.targets[index].label)} is that of target {first[text]} too"
            raise InvalidInstance(fact, f"$.targets[{index}].label", "give each target a label of its own")


def check_sets(contracts: Contracts) -> None:
    """Raise InvalidInstance unless need and hide are packed rows of the elements, disjoint for each target."""
    n, shape = contracts.elements.count, (len(contracts.targets), -(-contracts.elements.count // 64))
    for name in ("need", "hide"):
        words = getattr(contracts, name)
        if not isinstance(words, np.ndarray) or words.dtype != np.uint64 or words.shape != shape:
            got = f"{words.dtype} {list(words.shape)}" if isinstance(words, np.ndarray) else type(words).__name__
            fact = f"{name}: expected uint64 {list(shape)}, got {got}"
            raise InvalidInstance(fact, "$.targets", "pack a row of bits for each target")
        if n % 64 and (words[:, -1] >> np.uint64(n % 64)).any():
            raise InvalidInstance(f"{name}: a bit beyond the {n} elements is set", "$.targets", "pack rows of n bits")
    if (overlap := (contracts.need & contracts.hide).any(axis=1)).any():
        index = int(overlap.argmax())
        both = np.intersect1d(contracts.needed(index), contracts.hidden(index))
        element = shown(contracts.elements.values[int(both[0])])
        fact = f"target {shown(contracts.targets[index].label)} needs and hides {element}"
        raise InvalidInstance(fact, f"$.targets[{index}]", "leave it out of one of them")
