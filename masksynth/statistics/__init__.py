"""Anatomy: what a mask is made of, in numbers, and why one position sees another.

``anatomy`` counts, ``why`` explains one pair, ``compare`` compares two masks, ``hasse`` draws up classes and covers. Everything works on
row intervals: masks of 131,072 positions need no (N, N) array, and what cannot be computed at a size is named, never left out silently.
"""

from masksynth.statistics.difference import Difference, Row, compare
from masksynth.statistics.hasse import Hasse, Width, class_leaders, hasse, width
from masksynth.statistics.measures import Anatomy, Blocks, anatomy, block_counts, reciprocity
from masksynth.statistics.reachability import Convergence, Reason, convergence, flow_after, why

__all__ = [
    "Anatomy",
    "Blocks",
    "Convergence",
    "Difference",
    "Hasse",
    "Reason",
    "Row",
    "Width",
    "anatomy",
    "block_counts",
    "class_leaders",
    "compare",
    "convergence",
    "flow_after",
    "hasse",
    "reciprocity",
    "why",
    "width",
]
