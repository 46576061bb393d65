"""Sparse masks: the fewest edges through which L layers carry a given flow. Reduction, bounds, constructions; engines are elsewhere."""

from masksynth.sparsify.bounds import packing, windows
from masksynth.sparsify.construct import Construction, construct
from masksynth.sparsify.first import built, built_edges, first_layers, first_solution, layered_part
from masksynth.sparsify.greedy import greedy, meets, reverse_delete
from masksynth.sparsify.problem import Edge, SparseProblem
from masksynth.sparsify.reduce import Hit, Part, Reduction, hops, reduce, relation_of, span

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
