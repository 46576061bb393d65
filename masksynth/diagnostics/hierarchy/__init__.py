"""Compute hierarchical self-attention on trees of positions, and its distance to softmax (arXiv 2509.15448)."""

from masksynth.diagnostics.hierarchy.cost import Cost, cost, published_flops, published_pairs
from masksynth.diagnostics.hierarchy.dependence import leaking_rows
from masksynth.diagnostics.hierarchy.diagnose import Hierarchy, diagnose_hierarchy
from masksynth.diagnostics.hierarchy.energies import Energies, energies
from masksynth.diagnostics.hierarchy.family_trees import FamilyTree, family_tree
from masksynth.diagnostics.hierarchy.inputs import inputs_of
from masksynth.diagnostics.hierarchy.modules import module_tree
from masksynth.diagnostics.hierarchy.neighbour_runs import tree_of_mask
from masksynth.diagnostics.hierarchy.nested_lists import lists_of_tree, tree_of_lists
from masksynth.diagnostics.hierarchy.optimum import Distance, distance
from masksynth.diagnostics.hierarchy.read_tree import packed_tree, read_tree, tree_of_json
from masksynth.diagnostics.hierarchy.statements import STATEMENTS
from masksynth.diagnostics.hierarchy.tied_attention import (
    attend,
    degenerate_families,
    direct_attention,
    hierarchical_attention,
    massless_rows,
)
from masksynth.diagnostics.hierarchy.tree import Tree, tree_of_parents
from masksynth.diagnostics.hierarchy.visible_siblings import Sight, sight_of
from masksynth.diagnostics.hierarchy.window_trees import BRANCHING, grid_windows, histories, windows
from masksynth.diagnostics.statements import Statement

__all__ = [
    "BRANCHING",
    "STATEMENTS",
    "Cost",
    "Distance",
    "Energies",
    "FamilyTree",
    "Hierarchy",
    "Sight",
    "Statement",
    "Tree",
    "attend",
    "cost",
    "degenerate_families",
    "diagnose_hierarchy",
    "direct_attention",
    "distance",
    "energies",
    "family_tree",
    "grid_windows",
    "hierarchical_attention",
    "histories",
    "inputs_of",
    "leaking_rows",
    "lists_of_tree",
    "massless_rows",
    "module_tree",
    "packed_tree",
    "published_flops",
    "published_pairs",
    "read_tree",
    "sight_of",
    "tree_of_json",
    "tree_of_lists",
    "tree_of_mask",
    "tree_of_parents",
    "windows",
]
