"""Boolean relations, preorders and partial orders: the flow of information under a mask, at any depth.

``relation[q, k]`` is True iff q attends to k: rows are queries, columns are keys, and k <= q in the information order
(information flows from k to q).
"""

from masksynth.posets.adjacency import components, levels
from masksynth.posets.chains import certify_width
from masksynth.posets.poset import Poset, quotient
from masksynth.posets.preorder import classes, closure, depth, is_dense, is_preorder, least_mutual, reduction
from masksynth.posets.relation import (
    Relation,
    as_relation,
    compose,
    covers,
    identity,
    layer_flows,
    layer_product,
    power,
    reflexive,
)

__all__ = [
    "Poset",
    "Relation",
    "as_relation",
    "certify_width",
    "classes",
    "closure",
    "components",
    "compose",
    "covers",
    "depth",
    "identity",
    "is_dense",
    "is_preorder",
    "layer_flows",
    "layer_product",
    "least_mutual",
    "levels",
    "power",
    "quotient",
    "reduction",
    "reflexive",
]
