"""Sparse masks: the fewest edges through which L layers carry a given flow (least L-transitive-closure spanners).

`sparsify` is the entry point. `SparseProblem` states the question, `reduce` splits it into independent components,
`bounds` proves lower bounds without a search, `greedy` and `first_solution` find solutions to start from, `engines`
runs the exact search of ``masksynth_solvers.sparse``, and `constructions` builds masks of any size with a proved lower
bound.
"""

from masksynth.sparse.constructions.construct import Construction, construct
from masksynth.sparse.cut_bounds import disjoint_cuts, disjoint_intervals
from masksynth.sparse.first_solution import (
    construct_plain,
    construction_edges,
    first_layered_solution,
    first_solution,
    layered_component,
)
from masksynth.sparse.greedy import connects_all, greedy, reverse_delete
from masksynth.sparse.reduce import Component, Cut, Reduction, edge_matrix, hop_counts, positions_between, reduce
from masksynth.sparse.sparse_problem import Edge, SparseProblem

__all__ = [
    "Component",
    "Construction",
    "Cut",
    "Edge",
    "Reduction",
    "SparseProblem",
    "connects_all",
    "construct",
    "construct_plain",
    "construction_edges",
    "disjoint_cuts",
    "disjoint_intervals",
    "edge_matrix",
    "first_layered_solution",
    "first_solution",
    "greedy",
    "hop_counts",
    "layered_component",
    "positions_between",
    "reduce",
    "reverse_delete",
]
