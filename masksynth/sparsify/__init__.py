"""Sparse masks: the fewest edges through which L layers carry a given flow. Reduction, bounds, constructions; exact engines are backends."""

from masksynth.sparsify.first import first_layers, first_solution, layered_part
from masksynth.sparsify.greedy import greedy, meets, reverse_delete
from masksynth.sparsify.problem import Edge, SparseProblem
from masksynth.sparsify.reduce import Hit, Part, Reduction, hops, reduce, relation_of

__all__ = [
    "Edge",
    "Hit",
    "Part",
    "Reduction",
    "SparseProblem",
    "first_layers",
    "first_solution",
    "greedy",
    "hops",
    "layered_part",
    "meets",
    "reduce",
    "relation_of",
    "reverse_delete",
]
