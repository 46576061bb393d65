"""Statistics of a mask: counts, reachability, its Hasse diagram, and the difference of two masks.

`mask_statistics` counts, `why` explains one pair, `compare` compares two masks, `hasse` returns classes and covers.
Everything works on row intervals: masks of 131,072 positions need no (N, N) array, and what cannot be computed at a
size is named, never left out silently.
"""

import warnings

from masksynth.statistics.difference import Difference, Row, compare
from masksynth.statistics.hasse import Hasse, Width, class_leaders, hasse, width
from masksynth.statistics.measures import Blocks, MaskStatistics, block_counts, mask_statistics, reciprocity
from masksynth.statistics.reachability import Convergence, Reason, convergence, flow_after, why
from masksynth.statistics.updates import Updates, count_updates

__all__ = [
    "Blocks",
    "Convergence",
    "Difference",
    "Hasse",
    "MaskStatistics",
    "Reason",
    "Row",
    "Updates",
    "Width",
    "block_counts",
    "class_leaders",
    "compare",
    "convergence",
    "count_updates",
    "flow_after",
    "hasse",
    "mask_statistics",
    "reciprocity",
    "why",
    "width",
]

_NEW_NAMES = {"Anatomy": "MaskStatistics", "anatomy": "mask_statistics"}


def __getattr__(name: str) -> object:
    if name not in _NEW_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _NEW_NAMES[name]
    warnings.warn(f"{name} is now {new}; the old name goes in the next release", DeprecationWarning, stacklevel=2)
    return globals()[new]
