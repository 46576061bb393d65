"""Contracts and demands that no structure meets, with the reason.

Whatever is not refused here is met by adding reads of elements and of registers (`masksynth.discover.meet_demands`), so
a search that finds nothing is never the reason for INFEASIBLE.
"""

from __future__ import annotations

import numpy as np

from masksynth.contracts import Contracts
from masksynth.mask.typing import Int64Array, UInt64Array
from masksynth.tasks.canonical import shown


def find_impossible(contracts: Contracts) -> str:
    """Return why no structure meets the contracts and their demands; an empty string if one does.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from masksynth.contracts import Demand
    >>> from masksynth.contracts.families import leave_one_out
    >>> find_impossible(leave_one_out(n=3, layers=1))
    ''
    >>> find_impossible(replace(leave_one_out(n=3, layers=1), demand=Demand(bandwidth=3)))
    'target 0 needs 2 elements, so there are no 3 vertex-disjoint ways to it (demand bandwidth 3)'
    """
    demand, layers = contracts.demand, contracts.layers
    needed, hidden = _count(contracts.need), _count(contracts.hide)
    for index, target in enumerate(contracts.targets):
        label, need = shown(target.label), int(needed[index])
        visible = contracts.elements.count - int(hidden[index])
        if demand.bandwidth > need:
            ways = f"there are no {demand.bandwidth} vertex-disjoint ways to it"
            return f"target {label} needs {_elements(need)}, so {ways} (demand bandwidth {demand.bandwidth})"
        if not need:  # it meets the other demands as it is
            continue
        if demand.hops == 0 and (need > 1 or target.place == "query"):
            return f"target {label} needs {_elements(need)}, which do not arrive without a read (demand hops 0)"
        if demand.mixed and layers == 1:
            return f"in one layer target {label} reads no state that has read another element (demand mixed)"
        if demand.mixed >= visible:
            others = f"no state that it may read holds {demand.mixed} more beside one of them"
            return f"target {label} may see {_elements(visible)}: {others} (demand mixed {demand.mixed})"
    return ""


def _count(rows: UInt64Array) -> Int64Array:
    """Return the number of elements of each row of bits."""
    counts: Int64Array = np.unpackbits(rows.view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
    return counts


def _elements(number: int) -> str:
    return f"{number} element{'' if number == 1 else 's'}"
