"""Contracts as values: elements, targets with what they need and hide, depth, masks, weights and demands.

For elements E = {0, .., n - 1} and targets t = 0, .., T - 1, a *contract* is a pair of disjoint subsets need(t) and
hide(t) of E; the rest of E is free. Subsets are rows of packed bits (`masksynth.posets.bit_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.tasks.canonical import canonical, shown

Place = Literal["query", "any"]
Masks = Literal["one", "layered"]
Count = Literal["structure", "layer"]


@dataclass(frozen=True)
class Elements:
    """What a text, a grid, a tree or a graph consists of.

    Parameters
    ----------
    values : tuple of JSON values
        The n elements; distinct by canonical text.
    positions : tuple of int
        Position id of each element.
    space : mapping
        ``{}``, ``{"grid": [8, 8]}``, ``{"tree": [None, 0, 0]}`` (parents) or ``{"graph": {"n": 5, "edges": [[0, 1]]}}``
        says where the elements lie. Its metric serves searches and pictures alone.
    """

    values: tuple[Any, ...]
    positions: tuple[int, ...]
    space: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """n, the number of elements."""
        return len(self.values)


@dataclass(frozen=True)
class Target:
    """A prediction.

    Parameters
    ----------
    label : JSON value
        What is predicted; distinct among targets.
    place : str
        ``query``: by a blank with the target's position id. ``any``: an element of its need may be embedded there.
    position : int
        Position id of its blank.
    """

    label: Any
    place: Place = "query"
    position: int = 0


@dataclass(frozen=True)
class Weights:
    """Prices of a structure.

    Parameters
    ----------
    position, kv, pair : float
        Price of a position that is updated, of one that is only read (keys and values), and of a pair off the diagonal.
        The defaults are multiples of d^2 floating point operations of a layer of width d = 1,000: 24, 4 and 4 / d.
    count : str
        ``structure``: position x positions + pair x edges. ``layer``: every layer is charged for the positions that it
        updates, for those that it reads without updating them, and for its pairs.
    """

    position: float = 24.0
    kv: float = 4.0
    pair: float = 0.004
    count: Count = "structure"


@dataclass(frozen=True)
class Demand:
    """What a structure must have beyond its contracts, so that much arrives and not through a bottleneck.

    Parameters
    ----------
    direct : int
        At least so many needed elements, or all, are read directly: as the only content of a key's state.
    mixed : int
        Each needed element also arrives through a state that has read at least so many others.
    bandwidth : int
        Number of vertex-disjoint ways from so many needed elements to the target in the time-expanded graph.
    hops : int, optional
        Each needed element arrives over at most so many reads.
    """

    direct: int = 0
    mixed: int = 0
    bandwidth: int = 0
    hops: int | None = None


@dataclass(frozen=True, eq=False)
class Contracts:
    """What each prediction may see, and what a structure costs.

    Parameters
    ----------
    name : str
    elements : Elements
    targets : tuple of Target
    need, hide : (T, ceil(n / 64)) uint64
        Elements that each target needs and hides, as rows of packed bits.
    layers : int, optional
        L; None: any depth.
    masks : str
        ``one``: the same mask in every layer, safe at any depth; ``layers`` bounds only what must have arrived.
        ``layered``: a mask for each of ``layers`` layers.
    weights : Weights
    demand : Demand
    same_blanks : bool
        Whether all blanks have the input ``{"blank": 0}``; otherwise ``{"blank": k}`` for target k.

    Examples
    --------
    >>> from masksynth.posets.bit_rows import pack
    >>> others = pack(~np.eye(3, dtype=bool))
    >>> targets = tuple(Target(i, position=i) for i in range(3))
    >>> contracts = Contracts("toy", Elements((0, 1, 2), (0, 1, 2)), targets, others, pack(np.eye(3, dtype=bool)))
    >>> contracts.needed(0).tolist(), contracts.masks
    ([1, 2], 'one')
    """

    name: str
    elements: Elements
    targets: tuple[Target, ...]
    need: UInt64Array
    hide: UInt64Array
    layers: int | None = None
    masks: Masks = "one"
    weights: Weights = Weights()
    demand: Demand = Demand()
    same_blanks: bool = False

    def __post_init__(self) -> None:
        if self.masks == "layered" and self.layers is None:
            raise InvalidInstance("layered masks need a number of layers", "$.layers", "give layers, or masks one")
        if (overlap := (self.need & self.hide).any(axis=1)).any():
            index = int(overlap.argmax())
            element = int(self._members(self.need[index] & self.hide[index])[0])
            fact = f"target {shown(self.targets[index].label)} needs and hides {shown(self.elements.values[element])}"
            raise InvalidInstance(fact, f"$.targets[{index}]", "leave it out of one of them")
        if len({canonical(target.label) for target in self.targets}) != len(self.targets):
            raise InvalidInstance("two targets have one label", "$.targets", "give each target a label of its own")

    def needed(self, target: int) -> Int64Array:
        """Return the elements that a target needs, ascending."""
        return self._members(self.need[target])

    def hidden(self, target: int) -> Int64Array:
        """Return the elements that a target hides, ascending."""
        return self._members(self.hide[target])

    def _members(self, row: UInt64Array) -> Int64Array:
        return np.flatnonzero(np.unpackbits(row.view(np.uint8), count=self.elements.count, bitorder="little"))
