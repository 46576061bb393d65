"""Contracts as values: elements, targets with what they need and hide, depth, masks, weights and demands.

For elements E = {0, .., n - 1} and targets t = 0, .., T - 1, a *contract* is a pair of disjoint subsets need(t) and
hide(t) of E; the rest of E is free. Subsets are rows of packed bits (bit k % 64 of word k / 64 is element k).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Literal

import numpy as np

from masksynth.contracts.check_contract_values import check_depth, check_elements, check_labels, check_sets
from masksynth.errors import InvalidInstance
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.tasks.canonical import shown
from masksynth.tasks.task import MAX_POSITION

SCHEMA = 1
"""Version of documents of contracts."""
MAX_ELEMENTS = 1 << 20
"""Maximal number of elements."""
MAX_LISTED = 20_000_000
"""Maximal number of elements that the targets of a document list."""
MAX_CONTRACT_BITS = 1 << 30
"""Maximal number of targets times elements: need and hide then take 128 MiB each."""
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
    coordinates : tuple of tuple of int
        Position ids of several dimensions, in lexicographic order: id p stands for ``coordinates[p]``. Empty: ids have
        one dimension.
    """

    values: tuple[Any, ...]
    positions: tuple[int, ...]
    space: Mapping[str, Any] = field(default_factory=dict)
    coordinates: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        check_elements(self)

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

    def __post_init__(self) -> None:
        if self.place not in ("query", "any"):
            fact = f"place: expected query or any, got {shown(self.place)}"
            raise InvalidInstance(fact, "$.place", "say where the target may be predicted")


@dataclass(frozen=True)
class Weights:
    """Prices of a structure.

    Parameters
    ----------
    position, kv, pair : float
        Price of a position that is updated, of one that is only read (keys and values), and of a pair off the diagonal.
        The defaults are multiples of d^2 floating point operations of a layer of width d = 1,000: 24, 4 and 4 / d.
    count : str
        ``structure``: position x positions + pair x edges. ``layer``: the sum over layers of the prices of the
        positions that it updates, of those that it reads without updating them, and of its pairs.
    """

    position: float = 24.0
    kv: float = 4.0
    pair: float = 0.004
    count: Count = "structure"

    def __post_init__(self) -> None:
        for name in ("position", "kv", "pair"):
            price = getattr(self, name)
            if type(price) is bool or not isinstance(price, (int, float)) or not isfinite(price) or price < 0:
                fact = f"weight {name}: expected a finite number, zero or more, got {shown(price)}"
                raise InvalidInstance(fact, f"$.weights.{name}", "give a price that is not negative")
        if self.count not in ("structure", "layer"):
            fact = f"count: expected structure or layer, got {shown(self.count)}"
            raise InvalidInstance(fact, "$.weights.count", "give one of them")


@dataclass(frozen=True)
class Demand:
    """What a structure must have beyond its contracts, so that much arrives and not through a bottleneck.

    Parameters
    ----------
    direct : int
        At least this many needed elements, or all, are read directly: as the only content of a key's state.
    mixed : int
        Each needed element also arrives through a state that has read at least this many others.
    bandwidth : int
        Number of vertex-disjoint ways from this many needed elements to the target in the time-expanded graph.
    hops : int, optional
        Each needed element arrives over at most this many reads.
    """

    direct: int = 0
    mixed: int = 0
    bandwidth: int = 0
    hops: int | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            number = getattr(self, item.name)
            if number is None and item.name == "hops":
                continue
            if type(number) is not int or not 0 <= number <= MAX_POSITION:
                fact = f"demand {item.name}: expected an integer, zero or more, got {shown(number)}"
                raise InvalidInstance(fact, f"$.demand.{item.name}", "give a count, or leave it out")


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
    derived : frozenset of str
        Which of ``masks`` and ``count`` (of the weights) follow from the other fields, since they were not given:
        `with_options` decides them again.

    Examples
    --------
    >>> from masksynth.contracts.element_sets import pack
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
    derived: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_depth(self)
        check_labels(self)
        check_sets(self)

    def needed(self, target: int) -> Int64Array:
        """Return the elements that a target needs, ascending."""
        return self._members(self.need[target])

    def hidden(self, target: int) -> Int64Array:
        """Return the elements that a target hides, ascending."""
        return self._members(self.hide[target])

    def _members(self, row: UInt64Array) -> Int64Array:
        return np.flatnonzero(np.unpackbits(row.view(np.uint8), count=self.elements.count, bitorder="little"))


def with_options(contracts: Contracts, *, layers: int | None = None, masks: Masks | None = None) -> Contracts:
    """Return the contracts with another depth or kind of masks, and what follows from them decided again.

    Parameters
    ----------
    contracts : Contracts
    layers : int, optional
        None keeps the contracts' own.
    masks : str, optional
        ``one`` or ``layered``. None keeps the contracts' own if they were given; otherwise masks are layered iff a
        number of layers is given.

    Returns
    -------
    Contracts
        ``weights.count``, unless it was given, is ``layer`` for layered masks and ``structure`` for one.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> with_options(leave_one_out(n=4), layers=3).masks
    'layered'
    """
    depth = contracts.layers if layers is None else layers
    derived = contracts.derived if masks is None else contracts.derived - {"masks"}
    if masks is None and "masks" not in derived:
        masks = contracts.masks
    kind, count = resolve_options(masks, depth)
    weights = replace(contracts.weights, count=count) if "count" in derived else contracts.weights
    return replace(contracts, layers=depth, masks=kind, weights=weights, derived=derived)


def resolve_options(masks: Masks | None, layers: int | None) -> tuple[Masks, Count]:
    """Return the kind of masks, by default layered iff a number of layers is given, and the default count of costs.

    Examples
    --------
    >>> resolve_options(None, 6), resolve_options("one", 6)
    (('layered', 'layer'), ('one', 'structure'))
    """
    kind: Masks = masks or ("one" if layers is None else "layered")
    return kind, "structure" if kind == "one" else "layer"
