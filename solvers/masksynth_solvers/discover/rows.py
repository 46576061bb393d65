"""Order of the rows of an acyclic structure: one of all orders and namings of its nodes is kept.

Nodes are sources, which read nothing, and inner nodes, each after all that it reads. Write W for the rows of the inner
nodes one after another, each over the nodes before it. Of all orders of the inner nodes that respect reads, and all
namings of sources that a symmetry can exchange, keep one whose W is greatest. Then

- of two neighbours g, g + 1 where g + 1 does not read g, the row of g is at least that of g + 1 over the nodes before
  g: else exchanging them gives a greater W, in whose first changed row, that of g, the row of g + 1 stands;
- W is at least W with the columns of two exchangeable sources exchanged.

Names of further elements occur in no row, so they can be chosen afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from masksynth_solvers.discover.clauses import Term, add, demand_greatest, negate
from masksynth_solvers.sparse.path_encoding import Formula

Rows = Sequence[Sequence[Term]]
"""Row i: whether inner node i reads each of the ``sources + i`` nodes before it."""


def order_neighbours(formula: Formula, rows: Rows, sources: int) -> None:
    """Add the first property to the rows of inner nodes.

    Examples
    --------
    >>> formula = Formula(names=[("gate", number) for number in range(5)])
    >>> order_neighbours(formula, [[1, 2], [3, 4, 5]], 2)
    >>> formula.clauses[:3]
    [[5, 1, -3], [5, 1, 6], [5, -3, 6]]
    """
    for index in range(len(rows) - 1):
        width = sources + index
        reads_it = rows[index + 1][width]
        before: Term = False
        for column in range(width):
            mine, other = rows[index][column], rows[index + 1][column]
            add(formula, reads_it, before, mine, negate(other))
            if column + 1 < width:
                equal = formula.new("order", index, column)
                add(formula, reads_it, before, mine, equal)
                add(formula, reads_it, before, negate(other), equal)
                before = -equal


def order_sources(formula: Formula, rows: Rows, first: int, second: int) -> None:
    """Add the second property for two sources, by column."""
    letters: list[tuple[Term, Term]] = []
    for row in rows:
        letters += [(row[first], row[second])]  # the exchange of the second letter repeats this comparison
    demand_greatest(formula, letters, "columns", first, second)
