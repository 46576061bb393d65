"""SAT encoding of a component for all engines: `encode`, `encode_layers` apply it, `Formula.chosen` inverts it.

Variables, by name

1. ``edge q k``       the edge is chosen (``edge l q k``: in layer l),
2. ``reach l q k``    implies that q reaches k in at most l hops,
3. ``via l q w k``    the same through w, where two halves have to be true together.

Clauses

a. ``reach l q k`` implies that for some w both halves of the path, q to w and w to k, are true. A half that forced
   edges make certain, or that no edges can make, is a constant and is left out. The first half has ``l // 2`` hops, so
   depth L needs log L levels.
b. ``via`` implies both halves.
c. Every pair is reached in L hops.

Implications in one direction suffice, since reachability is only required, never forbidden. The cost is the weight of
the chosen edges.

References
----------
The problem is the least k-transitive-closure spanner:
A. Bhattacharyya et al., "Transitive-closure spanners", SIAM J. Computing 41 (2012).
Totalizers (`at_most`):
O. Bailleux, Y. Boufkhad, "Efficient CNF encoding of boolean cardinality constraints", CP 2003.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from masksynth.errors import Unsupported
from masksynth.sparse.reduce import Component, edge_matrix, hop_counts, list_edges
from masksynth.sparse.sparse_problem import Edge, SparseProblem
from masksynth_solvers.encoding import OutOfTime

Name = tuple[str | int, ...]
Step = tuple[str, int, int, int]
"""("reach" or "edge", level or layer, query, key)."""
Literal = int | bool
"""Number of a variable, or a constant."""
MAX_SPARSE_CLAUSES = 5_000_000
"""Maximum number of clauses of a formula."""


@dataclass(frozen=True)
class Window:
    """A subproblem of a component: the edges of every solution inside it weigh at least ``bound``."""

    component: Component
    bound: int


@dataclass
class Formula:
    """CNF formula over named variables 1, 2, ..., with a weight for each edge variable.

    Parameters
    ----------
    names : list of tuple
        ``names[v - 1]`` is the name of variable v.
    clauses : list of list of int
        Literals v or -v.
    edges : dict
        (query, key), or (layer, query, key), to its variable, in the order of the component.
    weights : dict of int to int
        Cost of each edge variable.
    depth, forced, pairs : int, frozenset of edges, tuple of Edge
        Meaning of the clauses: the chosen edges and the forced ones connect every pair within ``depth`` layers.
    windows : list of Window
        Redundant bounds on the weight inside some sets of edges.
    swaps : tuple of Edge
        Pairs of positions that may be swapped: no swap makes the chosen edges greater (`symmetry`).
    until : float, optional
        Time (``time.monotonic``) after which adding a clause raises OutOfTime.
    """

    names: list[Name] = field(default_factory=list)
    clauses: list[list[int]] = field(default_factory=list)
    edges: dict[tuple[int, ...], int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)
    depth: int = 0
    forced: frozenset[tuple[int, ...]] = frozenset()
    pairs: tuple[Edge, ...] = ()
    windows: list[Window] = field(default_factory=list)
    swaps: tuple[Edge, ...] = ()
    until: float | None = None

    def new(self, *name: str | int) -> int:
        """Return a new variable with a name."""
        self.names.append(name)
        return len(self.names)

    def choose(self, edge: tuple[int, ...], weight: int) -> None:
        """Add a variable for an edge that may be chosen."""
        self.edges[edge] = self.new("edge", *edge)
        self.weights[self.edges[edge]] = weight

    def add(self, clause: list[int]) -> None:
        """Add a clause."""
        if self.until is not None and len(self.clauses) % 4096 == 0 and monotonic() >= self.until:
            raise OutOfTime
        if len(self.clauses) >= MAX_SPARSE_CLAUSES:
            raise Unsupported(
                f"the search needs more than {MAX_SPARSE_CLAUSES} clauses; use --backend construct at this size"
            )
        self.clauses.append(clause)

    def chosen(self, true: Iterable[int]) -> tuple[tuple[int, ...], ...]:
        """Return the chosen edges of a model, given its true literals."""
        held = set(true)
        return tuple(edge for edge, variable in self.edges.items() if variable in held)

    def cost(self, chosen: Iterable[tuple[int, ...]]) -> int:
        """Return the total weight of chosen edges."""
        return sum(self.weights[self.edges[edge]] for edge in chosen)

    def terms(self, without: Container[tuple[int, ...]] = ()) -> list[int]:
        """Return the edge variables, each repeated ``weight`` times, except those of some edges."""
        return [
            variable
            for edge, variable in self.edges.items()
            if edge not in without
            for _ in range(self.weights[variable])
        ]


def encode(
    problem: SparseProblem, forced: frozenset[Edge], component: Component, until: float | None = None
) -> Formula:
    """Encode one component of a problem.

    Examples
    --------
    The chain 2 -> 1 -> 0 at L = 1 has one pair, the edge (2, 0) itself; at L = 2 its forced covers are enough.

    >>> import numpy as np
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 1)
    >>> formula = encode(problem, frozenset({(1, 0), (2, 1)}), Component(((2, 0),), ((2, 0),)))
    >>> formula.names, formula.clauses
    ([('edge', 2, 0)], [[1]])
    """
    formula = Formula(depth=problem.depth, forced=frozenset(forced), pairs=component.pairs, until=until)
    for edge in component.edges:
        formula.choose(edge, problem.weight(edge))
    certain = hop_counts(edge_matrix(problem.size, forced), problem.depth).tolist()
    possible = hop_counts(edge_matrix(problem.size, forced | set(component.edges)), problem.depth).tolist()

    def known(_: str, level: int, query: int, key: int) -> Literal | None:
        if certain[query][key] <= level:
            return True
        if possible[query][key] > level:
            return False
        return formula.edges[query, key] if level == 1 else None

    def halves(level: int, query: int, key: int) -> Iterator[tuple[int, Step, Step]]:
        half = level // 2
        for w in range(problem.size):
            if w != query and possible[query][w] <= half and possible[w][key] <= level - half:
                yield w, ("reach", half, query, w), ("reach", level - half, w, key)

    _require_paths(formula, problem.depth, component.pairs, known, halves)
    return formula


def encode_layers(problem: SparseProblem, until: float | None = None) -> Formula:
    """Encode a layered problem: the product of the layers connects all pairs, and forced edges are in every layer.

    A path through layers l, l - 1, ..., 1 first waits or takes an edge of layer l.
    """
    pairs = tuple((query, key) for query, key in list_edges(problem.relation) if query != key)
    layers = range(1, problem.depth + 1)
    forced = frozenset((layer, *edge) for layer in layers for edge in problem.forced)
    formula = Formula(depth=problem.depth, forced=forced, pairs=pairs, until=until)
    for layer in layers:
        for edge in list_edges(problem.allowed):
            formula.choose((layer, *edge), problem.weight(edge))
    possible = hop_counts(problem.allowed, problem.depth).tolist()

    def known(kind: str, level: int, query: int, key: int) -> Literal | None:
        if query == key:
            return True
        if kind == "edge" or level == 1:
            return formula.edges.get((level, query, key), False)
        return None if possible[query][key] <= level else False

    def halves(level: int, query: int, key: int) -> Iterator[tuple[int, Step, Step]]:
        for w in range(problem.size):
            yield w, ("edge", level, query, w), ("reach", level - 1, w, key)

    _require_paths(formula, problem.depth, pairs, known, halves)
    for layer in layers:
        for edge in sorted(problem.forced):
            formula.add([formula.edges[layer, *edge]])
    return formula


def _require_paths(
    formula: Formula,
    depth: int,
    pairs: Iterable[Edge],
    known: Callable[[str, int, int, int], Literal | None],
    halves: Callable[[int, int, int], Iterator[tuple[int, Step, Step]]],
) -> None:
    """Add clauses a, b and c, from the pairs down to the edges; each ``reach`` variable is expanded once.

    Parameters
    ----------
    formula : Formula
    depth : int
    pairs : iterable of Edge
    known : function
        Maps a step (kind, level, query, key) to a constant or an edge variable; None if the step needs a variable of
        its own.
    halves : function
        Yields (w, first step, second step) for each way to split ``reach level query key``.
    """
    reach: dict[Step, int] = {}
    todo: list[tuple[Step, int]] = []

    def literal(step: Step) -> Literal:
        constant = known(*step)
        if constant is not None:
            return constant
        if step not in reach:
            reach[step] = formula.new(*step)
            todo.append((step, reach[step]))
        return reach[step]

    for query, key in pairs:
        goal = literal(("reach", depth, query, key))
        if goal is not True:
            formula.add([goal] if goal else [])
    while todo:
        (_, level, query, key), reached = todo.pop()
        clause = [-reached]
        for w, first, second in halves(level, query, key):
            if known(*first) is False or known(*second) is False:
                continue
            path = [half for half in (literal(first), literal(second)) if half is not True]
            if len(path) == 2:
                via = formula.new("via", level, query, w, key)
                formula.add([-via, path[0]])
                formula.add([-via, path[1]])
                path = [via]
            clause += [half for half in path if half not in clause]
        formula.add(clause)
