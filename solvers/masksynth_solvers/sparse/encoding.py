"""The formula of a part, once for all engines: *apply* (`encode`, `encode_layers`), *invert* (`Formula.chosen`).

Variables, by name
1. ``edge q k``       the edge is chosen (``edge l q k``: in layer l),
2. ``reach l q k``    promised only if true: q reaches k in at most l hops,
3. ``via l q w k``    the same through w, as far as one clause needs it.

Clauses
a. A true ``reach l q k`` has a hop: either half of the way, over some w, is true. A half that sure edges make certain, or that no edges
   can make, is a constant and stands in no clause. The way is halved (``l // 2`` hops, then the rest), so that depth L needs log L levels.
b. A true ``via`` has both its halves.
c. Every demand is reached in L hops.

Reachability is implied one way only, which is enough where it is only asked for. The cost is the weight of the chosen edges.

References
----------
The problem is the least k-transitive-closure spanner: A. Bhattacharyya et al., "Transitive-closure spanners", SIAM J. Computing 41 (2012).
O. Bailleux, Y. Boufkhad, "Efficient CNF encoding of boolean cardinality constraints", CP 2003 (`at_most`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

from masksynth.errors import Unsupported
from masksynth.sparse.reduce import Part, hops, relation_of
from masksynth.sparse.sparse_problem import Edge, SparseProblem
from masksynth_solvers.encoding import OutOfTime

Name = tuple[str | int, ...]
Step = tuple[str, int, int, int]
"""("reach" or "edge", level or layer, query, key)."""
Literal = int | bool
"""A variable's number, or a constant."""
MAX_SPARSE_CLAUSES = 5_000_000
"""Most clauses that are built."""
MAX_TERMS = 20_000
"""Most weight that a totalizer counts."""


@dataclass(frozen=True)
class Window:
    """A smaller part inside a part: every solution spends at least ``bound`` on its edges, so at most the rest elsewhere."""

    part: Part
    bound: int


@dataclass
class Formula:
    """Clauses over named variables 1, 2, ..., and the weights of those that cost something.

    Parameters
    ----------
    names : list of tuple
        ``names[v - 1]`` is the name of variable v.
    clauses : list of list of int
        Literals v or -v.
    edges : dict
        (query, key), or (layer, query, key), to its variable, in the order of the part.
    weights : dict of int to int
        Cost of each edge variable.
    depth, sure, demands
        What the clauses say: the chosen edges and the sure ones connect every demand within ``depth`` layers.
    windows : list of Window
        What is known besides: the weight inside some sets of edges is never below a bound.
    until : float, optional
        Time (``time.monotonic``) after which adding a clause raises OutOfTime.
    """

    names: list[Name] = field(default_factory=list)
    clauses: list[list[int]] = field(default_factory=list)
    edges: dict[tuple[int, ...], int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)
    depth: int = 0
    sure: frozenset[tuple[int, ...]] = frozenset()
    demands: tuple[Edge, ...] = ()
    windows: list[Window] = field(default_factory=list)
    until: float | None = None

    def new(self, *name: str | int) -> int:
        """A fresh variable."""
        self.names.append(name)
        return len(self.names)

    def choose(self, edge: tuple[int, ...], weight: int) -> None:
        """A variable for an edge that may be chosen."""
        self.edges[edge] = self.new("edge", *edge)
        self.weights[self.edges[edge]] = weight

    def add(self, clause: list[int]) -> None:
        """One clause."""
        if self.until is not None and len(self.clauses) % 4096 == 0 and monotonic() >= self.until:
            raise OutOfTime
        if len(self.clauses) >= MAX_SPARSE_CLAUSES:
            raise Unsupported(
                f"the search needs more than {MAX_SPARSE_CLAUSES} clauses; a construction is what remains at this size"
            )
        self.clauses.append(clause)

    def chosen(self, true: Iterable[int]) -> tuple[tuple[int, ...], ...]:
        """Decode the true literals of a model: the edges chosen."""
        held = set(true)
        return tuple(edge for edge, variable in self.edges.items() if variable in held)

    def cost(self, chosen: Iterable[tuple[int, ...]]) -> int:
        """Weight of chosen edges."""
        return sum(self.weights[self.edges[edge]] for edge in chosen)

    def terms(self, without: Container[tuple[int, ...]] = ()) -> list[int]:
        """The edge variables, each repeated as often as its weight says, except those of some edges."""
        return [
            variable
            for edge, variable in self.edges.items()
            if edge not in without
            for _ in range(self.weights[variable])
        ]


def encode(problem: SparseProblem, sure: frozenset[Edge], part: Part, until: float | None = None) -> Formula:
    """The formula of one part of a problem.

    Examples
    --------
    The chain 2 -> 1 -> 0 at L = 1 has one demand, the edge (2, 0) itself; at L = 2 its sure covers are enough.

    >>> import numpy as np
    >>> problem = SparseProblem(np.tril(np.ones((3, 3), bool)), 1)
    >>> formula = encode(problem, frozenset({(1, 0), (2, 1)}), Part(((2, 0),), ((2, 0),)))
    >>> formula.names, formula.clauses
    ([('edge', 2, 0)], [[1]])
    """
    formula = Formula(depth=problem.depth, sure=frozenset(sure), demands=part.demands, until=until)
    for edge in part.edges:
        formula.choose(edge, problem.weight(edge))
    certain = hops(relation_of(problem.size, sure), problem.depth).tolist()
    possible = hops(relation_of(problem.size, sure | set(part.edges)), problem.depth).tolist()

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

    _demand(formula, problem.depth, part.demands, known, halves)
    return formula


def encode_layers(problem: SparseProblem, until: float | None = None) -> Formula:
    """The formula of a layered problem: all pairs are demands on the product of the layers, and forced edges are in every layer.

    A way through layers l, l - 1, ..., 1 first stays where it is or takes an edge of layer l.
    """
    demands = tuple(
        (q, k) for q in range(problem.size) for k in range(problem.size) if q != k and problem.relation[q, k]
    )
    layers = range(1, problem.depth + 1)
    forced = frozenset((layer, *edge) for layer in layers for edge in problem.forced)
    formula = Formula(depth=problem.depth, sure=forced, demands=demands, until=until)
    allowed = [(q, k) for q in range(problem.size) for k in range(problem.size) if problem.allowed[q, k]]
    for layer in layers:
        for edge in allowed:
            formula.choose((layer, *edge), problem.weight(edge))
    possible = hops(problem.allowed, problem.depth).tolist()

    def known(kind: str, level: int, query: int, key: int) -> Literal | None:
        if query == key:
            return True
        if kind == "edge" or level == 1:
            return formula.edges.get((level, query, key), False)
        return None if possible[query][key] <= level else False

    def halves(level: int, query: int, key: int) -> Iterator[tuple[int, Step, Step]]:
        for w in range(problem.size):
            yield w, ("edge", level, query, w), ("reach", level - 1, w, key)

    _demand(formula, problem.depth, demands, known, halves)
    for layer in layers:
        for edge in sorted(problem.forced):
            formula.add([formula.edges[layer, *edge]])
    return formula


def _demand(
    formula: Formula,
    depth: int,
    demands: Iterable[Edge],
    known: Callable[[str, int, int, int], Literal | None],
    halves: Callable[[int, int, int], Iterator[tuple[int, Step, Step]]],
) -> None:
    """Clauses a, b and c: from the demands down to the edges, each ``reach`` that is met once."""
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

    for query, key in demands:
        goal = literal(("reach", depth, query, key))
        if goal is not True:
            formula.add([goal] if goal else [])
    while todo:
        (_, level, query, key), promise = todo.pop()
        clause = [-promise]
        for w, first, second in halves(level, query, key):
            if known(*first) is False or known(*second) is False:
                continue
            way = [half for half in (literal(first), literal(second)) if half is not True]
            if len(way) == 2:
                via = formula.new("via", level, query, w, key)
                formula.add([-via, way[0]])
                formula.add([-via, way[1]])
                way = [via]
            clause += [half for half in way if half not in clause]
        formula.add(clause)


def at_most(formula: Formula, bound: int, terms: Sequence[int] | None = None, name: Name = ("count",)) -> list[int]:
    """Count the true ``terms`` up to ``bound + 1``: add a totalizer, whose t-th output is true if there are at least t.

    Parameters
    ----------
    formula : Formula
        Gets the clauses, and variables called (*name, start, end, t): "at least t of terms[start:end]".
    bound : int
    terms : sequence of int, optional
        Variables, one of weight w standing w times; all edges if none are given.
    name : tuple

    Returns
    -------
    list of int
        Outputs for t = 1, 2, ...; at most m <= bound are true iff output m + 1 may be false.

    Examples
    --------
    >>> formula = Formula()
    >>> for edge in ((1, 0), (2, 0)):
    ...     formula.choose(edge, 1)
    >>> at_most(formula, 0), formula.clauses, formula.names[2]
    ([3], [[-2, 3], [-1, 3], [-1, -2, 3]], ('count', 0, 2, 1))
    """
    terms = formula.terms() if terms is None else terms
    if len(terms) > MAX_TERMS:
        raise Unsupported(
            f"the weights add up to {len(terms)}, more than the {MAX_TERMS} that a totalizer counts; scale them down"
        )

    def outputs(start: int, end: int) -> list[int]:
        if end - start == 1:
            return [terms[start]]
        middle = (start + end) // 2
        left, right = outputs(start, middle), outputs(middle, end)
        count = [formula.new(*name, start, end, t) for t in range(1, min(end - start, bound + 1) + 1)]
        for a in range(len(left) + 1):
            for b in range(len(right) + 1):
                if a + b:
                    formula.add(
                        [
                            *(-left[i - 1] for i in (a,) if i),
                            *(-right[i - 1] for i in (b,) if i),
                            count[min(a + b, bound + 1) - 1],
                        ]
                    )
        return count

    return outputs(0, len(terms)) if terms and bound >= 0 else []
