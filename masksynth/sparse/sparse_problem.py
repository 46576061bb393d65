"""The problem of a sparse search: which flow, through how many layers, over which edges, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from masksynth.errors import InvalidInstance
from masksynth.posets import Relation, as_relation, is_preorder

Edge = tuple[int, int]
"""(query, key): information flows key -> query through one layer."""
MAX_WEIGHT = 10**6


@dataclass(frozen=True, eq=False)
class SparseProblem:
    """Find the mask of least weight through which L layers carry exactly the flow of a preorder.

    With A the set of chosen off-diagonal edges, ``(A or I)^L = R``. As A lies inside R and R is transitive, nothing
    beyond R can flow; what is required is a path of at most L edges for every pair of R. With ``layered``, each layer
    has a set of edges of its own, ``(A_L or I) ... (A_1 or I) = R``, and the cost is summed over the layers.

    Parameters
    ----------
    relation : (n, n) bool
        R, reflexive and transitive; ``relation[q, k]`` is true iff information flows from k to q.
    layers : int or None
        L >= 1; None: any number of layers.
    forced, forbidden : iterable of (query, key)
        Off-diagonal edges that must, or must not, be in every layer. Forced edges are pairs of R.
    weights : mapping of (query, key) to int
        Cost of an edge, default 1. An edge of weight 0 or less is always taken.
    layered : bool
        Whether each layer has a set of edges of its own.

    Raises
    ------
    InvalidInstance
        If the relation is not a preorder, or an edge, weight or depth is invalid.

    Examples
    --------
    >>> problem = SparseProblem(np.tril(np.ones((4, 4), bool)), 2)
    >>> problem.size, problem.pairs, problem.weight((3, 0))
    (4, 6, 1)
    """

    relation: Relation
    layers: int | None = None
    forced: frozenset[Edge] = frozenset()
    forbidden: frozenset[Edge] = frozenset()
    weights: Mapping[Edge, int] = field(default_factory=dict)
    layered: bool = False

    def __post_init__(self) -> None:
        relation = as_relation(self.relation)
        if not is_preorder(relation):
            raise InvalidInstance(
                "the relation is not reflexive and transitive", "", "close it first: masksynth.posets.closure(relation)"
            )
        _check_layers(self.layers, self.layered)
        object.__setattr__(self, "relation", relation)
        for name in ("forced", "forbidden"):
            object.__setattr__(self, name, _check_edges(getattr(self, name), name, len(relation)))
        object.__setattr__(self, "weights", _check_weights(self.weights, len(relation)))
        if self.layered and min(self.weights.values(), default=0) < 0:
            raise InvalidInstance("layered: expected weights >= 0, got a negative one", "", "give weights from 0")
        if both := sorted(self.forced & self.forbidden):
            raise InvalidInstance(f"the edge {both[0]} is forced and forbidden", "", "choose one")
        for edge in sorted(self.forced):
            if not relation[edge]:
                fact = f"the forced edge {edge} would carry flow beyond the relation"
                raise InvalidInstance(fact, "", "force only pairs of the relation")

    @property
    def size(self) -> int:
        """n, the number of positions."""
        return len(self.relation)

    @cached_property
    def depth(self) -> int:
        """Effective number of layers: L, but at most n - 1, since no path is longer.

        It is L for a layered problem, which may gain from more than n - 1 masks.
        """
        longest = max(1, self.size - 1)
        if self.layers is None:
            return longest
        return self.layers if self.layered else min(self.layers, longest)

    @cached_property
    def allowed(self) -> Relation:
        """The edges that may be chosen, (n, n) bool."""
        allowed = self.relation & ~np.eye(self.size, dtype=bool)
        for edge in self.forbidden:
            allowed[edge] = False
        allowed.flags.writeable = False
        return allowed

    @property
    def pairs(self) -> int:
        """Number of pairs (q, k) of R with q != k."""
        return int(self.relation.sum()) - self.size

    def weight(self, edge: Edge) -> int:
        """Return the cost of one edge in one layer."""
        return self.weights.get(edge, 1)

    def cost(self, edges: Iterable[tuple[int, ...]]) -> int:
        """Return the total weight of edges (query, key), or (layer, query, key) of a layered answer."""
        return sum(self.weight((edge[-2], edge[-1])) for edge in edges)


def _check_layers(layers: Any, layered: bool) -> None:
    if layers is not None and (type(layers) is not int or layers < 1):
        raise InvalidInstance(
            f"layers: expected None or an integer from 1, got {layers!r}", "", "give the number of layers of the model"
        )
    if layered and layers is None:
        raise InvalidInstance("layered needs a number of layers, got None", "", "give layers=2 or more")


def _check_edges(given: Any, name: str, size: int) -> frozenset[Edge]:
    try:
        edges = frozenset((_position(q), _position(k)) for q, k in given)
    except (TypeError, ValueError):
        raise InvalidInstance(f"{name}: expected a list of pairs (query, key)") from None
    for edge in sorted(edges):
        _check_edge(edge, name, size)
    return edges


def _check_weights(given: Any, size: int) -> dict[Edge, int]:
    if not isinstance(given, Mapping):
        raise InvalidInstance(
            f"weights: expected a mapping from (query, key) to an integer, got {type(given).__name__}"
        )
    weights: dict[Edge, int] = {}
    for edge, weight in given.items():
        if not (isinstance(edge, tuple) and len(edge) == 2):
            raise InvalidInstance(f"weights: expected keys (query, key), got {edge!r}")
        if not isinstance(weight, (int, np.integer)) or isinstance(weight, bool) or abs(int(weight)) > MAX_WEIGHT:
            expected = f"an integer from -{MAX_WEIGHT} to {MAX_WEIGHT}"
            raise InvalidInstance(f"weights: expected {expected} for the edge {edge}, got {weight!r}")
        try:
            checked = (_position(edge[0]), _position(edge[1]))
        except TypeError:
            raise InvalidInstance(f"weights: expected keys of two integers (query, key), got {edge!r}") from None
        _check_edge(checked, "weights", size)
        weights[checked] = int(weight)
    return weights


def _position(value: Any) -> int:
    """Return a position as an int; fractions and booleans are not positions."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"expected int, got {type(value).__name__}")
    return int(value)


def _check_edge(edge: Edge, name: str, size: int) -> None:
    query, key = edge
    if not (0 <= query < size and 0 <= key < size and query != key):
        raise InvalidInstance(f"{name}: expected two different positions from 0 to {size - 1}, got {edge}")
