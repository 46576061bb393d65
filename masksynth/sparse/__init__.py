"""Sparse masks: the fewest edges through which L layers carry a given flow. Reduction, bounds, constructions; engines are elsewhere."""

from masksynth.sparse.bounds import packing, windows
from masksynth.sparse.constructions.construct import Construction, construct
from masksynth.sparse.first_solution import built, built_edges, first_layers, first_solution, layered_part
from masksynth.sparse.greedy import greedy, meets, reverse_delete
from masksynth.sparse.reduce import Hit, Part, Reduction, hops, reduce, relation_of, span
from masksynth.sparse.sparse_problem import Edge, SparseProblem

__all__ = [
    "Construction",
    "Edge",
    "Hit",
    "Part",
    "Reduction",
    "SparseProblem",
    "built",
    "built_edges",
    "construct",
    "first_layers",
    "first_solution",
    "greedy",
    "hops",
    "layered_part",
    "meets",
    "packing",
    "reduce",
    "relation_of",
    "reverse_delete",
    "span",
    "windows",
]
