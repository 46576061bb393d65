"""Constructions of structures, one file each, and the list of those that fit given contracts."""

from masksynth.discover.constructions.arities import edges_of_arities as edges_of_arities
from masksynth.discover.constructions.arities import least_depth as least_depth
from masksynth.discover.constructions.arities import rerooted_tree as rerooted_tree
from masksynth.discover.constructions.butterfly import butterfly as butterfly
from masksynth.discover.constructions.butterfly import heap_parents as heap_parents
from masksynth.discover.constructions.butterfly import tree_butterfly as tree_butterfly
from masksynth.discover.constructions.cyclic import cyclic_hole as cyclic_hole
from masksynth.discover.constructions.cyclic import cyclic_reaches as cyclic_reaches
from masksynth.discover.constructions.direct import direct as direct
from masksynth.discover.constructions.fitting import constructions_for as constructions_for
from masksynth.discover.constructions.hole import expanding_hole as expanding_hole
from masksynth.discover.constructions.hub_root import reroot_with_hubs as reroot_with_hubs
from masksynth.discover.constructions.layered import layer_by_layer as layer_by_layer
from masksynth.discover.constructions.nested import nested_queries as nested_queries
from masksynth.discover.constructions.prefix_suffix import prefix_suffix as prefix_suffix
from masksynth.discover.constructions.product import grid_product as grid_product
from masksynth.discover.constructions.reroot import reroot as reroot
from masksynth.discover.constructions.sperner import sperner as sperner
from masksynth.discover.constructions.sperner import sperner_in_place as sperner_in_place
from masksynth.discover.constructions.target_trees import Tree as Tree
from masksynth.discover.constructions.windows import block_windows as block_windows
from masksynth.discover.constructions.windows import sparse_table as sparse_table
