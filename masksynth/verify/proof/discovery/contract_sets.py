"""What contracts.json says about needs, hides and prices; read here again, from the document alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import gcd, lcm
from pathlib import Path
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.verify.proof.proof_files import read_bytes

MOST_ELEMENTS = 64
"""Largest number of elements, and of targets, for which a proof is checked."""
Set = frozenset[int]


@dataclass(frozen=True)
class ContractSets:
    """Contracts of queries, as sets of element numbers.

    Parameters
    ----------
    need, hide : tuple of frozenset
    anywhere : tuple of bool
        Whether a target may be predicted where an element of its need is embedded.
    elements : tuple of int
        The elements that some target needs, ascending; no other is worth embedding.
    layers : int or None
    layered : bool
        Whether each layer has a mask of its own.
    position, pair : int
        Prices, as coprime integers (with that of keys and values).
    by_structure : bool
        Whether a structure costs position x positions + pair x reads.
    """

    need: tuple[Set, ...]
    hide: tuple[Set, ...]
    anywhere: tuple[bool, ...]
    elements: tuple[int, ...]
    layers: int | None
    layered: bool
    position: int
    pair: int
    by_structure: bool

    def is_exchange(self, e: int, f: int) -> bool:
        """Return whether exchanging two elements, and some targets, changes no contract."""
        image = {e: f, f: e}

        def moved(members: Set) -> Set:
            return frozenset(image.get(member, member) for member in members)

        rows = list(zip(self.need, self.hide, self.anywhere, strict=True))
        return Counter(rows) == Counter((moved(need), moved(hide), place) for need, hide, place in rows)

    def classes(self) -> list[tuple[int, ...]]:
        """Return the classes of needed elements that can be exchanged, each ascending."""
        open_elements, found = list(self.elements), []
        while open_elements:
            first, *rest = open_elements
            alike = (first, *(other for other in rest if self.is_exchange(first, other)))
            if any(not self.is_exchange(e, f) for e, f in combinations(alike, 2)):  # it is transitive
                raise AssertionError("exchanges do not compose")
            found.append(alike)
            open_elements = [element for element in rest if element not in alike]
        return found

    @property
    def asking(self) -> int:
        """Number of blanks that every structure has and that read something: those of queries with a need."""
        return sum(bool(need) and not anywhere for need, anywhere in zip(self.need, self.anywhere, strict=True))


def read_contract_sets(path: Path) -> ContractSets:
    """Read contracts.json.

    Raises
    ------
    InvalidInstance
        If it is no such document, or has what proofs do not cover: demands, interchangeable blanks, many elements.
    """
    try:
        document = json.loads(read_bytes(path).decode("utf-8"), parse_float=Fraction, parse_constant=_refuse)
        return _sets_of(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidInstance(f"not contracts of a proof: {error!s:.100}", "", source=str(path)) from None


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _sets_of(document: dict[str, Any]) -> ContractSets:
    if document["masksynth_contracts"] != 1:
        raise ValueError(f"format {document['masksynth_contracts']!r:.20} is unknown")
    if any(document.get("demand", {}).values()) or document.get("demand", {}).get("hops") == 0:
        raise ValueError("proofs do not cover demands")
    if document.get("blanks", "own") == "same":
        raise ValueError("proofs do not cover interchangeable blanks")
    values = _values(document["elements"])
    number = {_text(value): index for index, value in enumerate(values)}
    if not 0 < len(values) <= MOST_ELEMENTS or len(number) < len(values):
        raise ValueError(f"expected 1 to {MOST_ELEMENTS} different elements, got {len(values)}")
    places = _position_ids(document, values)
    if len(set(places)) < len(places):
        raise ValueError("proofs do not cover targets of one position id, which may share a blank")
    need, hide, anywhere = _targets(document["targets"], number)
    if not 0 < len(need) <= MOST_ELEMENTS or any(ours & theirs for ours, theirs in zip(need, hide, strict=True)):
        raise ValueError("no target, too many, or one that needs what it hides")
    layers = document.get("layers")
    masks = document.get("masks", "one" if layers is None else "layered")
    if masks not in ("one", "layered") or (masks == "layered" and not isinstance(layers, int)):
        raise ValueError("masks that are unknown, or lack layers")
    weights = document.get("weights", {})
    position, pair = _prices(weights)
    by_structure = weights.get("count", "structure" if masks == "one" else "layer") == "structure"
    elements = tuple(sorted(frozenset().union(*need)))
    return ContractSets(need, hide, anywhere, elements, layers, masks == "layered", position, pair, by_structure)


def _values(elements: Any) -> list[Any]:
    """Return the elements of each form of ``elements``."""
    if isinstance(elements, list):
        return elements
    count = elements
    if isinstance(elements, dict):
        ((form, given),) = elements.items()
        count = given["n"] if form == "graph" else len(given) if form == "tree" else given[0] * given[1]
    if type(count) is not int or not 0 < count <= MOST_ELEMENTS:
        raise ValueError(f"expected 1 to {MOST_ELEMENTS} elements")
    return list(range(count))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _position_ids(document: dict[str, Any], values: list[Any]) -> list[str]:
    """Return the position id of each target, by default that of the element that is its label, or else its index."""
    places = document.get("element_positions", list(range(len(values))))
    if document["targets"] == "each":
        return [_text(place) for place in places]
    place_of = {_text(value): place for value, place in zip(values, places, strict=True)}
    return [
        _text(target.get("position", place_of.get(_text(target.get("label")), index)))
        for index, target in enumerate(document["targets"])
    ]


def _targets(targets: Any, number: dict[str, int]) -> tuple[tuple[Set, ...], tuple[Set, ...], tuple[bool, ...]]:
    """Return needs, hides and placements."""
    everything = frozenset(number.values())
    if targets == "each":
        alone = tuple(frozenset({element}) for element in sorted(everything))
        return tuple(everything - own for own in alone), alone, (False,) * len(alone)

    def members(listed: Iterable[Any]) -> Set:
        return frozenset(number[_text(value)] for value in listed)

    need, hide, anywhere = [], [], []
    for target in targets:
        hidden = members(target.get("hide", []))
        hide.append(hidden)
        need.append(everything - hidden if target["need"] == "others" else members(target["need"]))
        if (place := target.get("place", "query")) not in ("query", "any"):
            raise ValueError(f"place {place!r:.20} is unknown")
        anywhere.append(place == "any")
    return tuple(need), tuple(hide), tuple(anywhere)


def _prices(weights: dict[str, Any]) -> tuple[int, int]:
    """Return the prices of a position and a pair, as integers without a common divisor (of all three weights)."""
    exact = [Fraction(weights.get(name, default)) for name, default in _DEFAULTS.items()]
    if min(exact) < 0:
        raise ValueError("a weight is negative")
    shared = lcm(*(part.denominator for part in exact))
    whole = [int(part * shared) for part in exact]
    divisor = gcd(*whole) or 1
    return whole[0] // divisor, whole[2] // divisor


_DEFAULTS = {"position": Fraction(24), "kv": Fraction(4), "pair": Fraction(4, 1000)}
