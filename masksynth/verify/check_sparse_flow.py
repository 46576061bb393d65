"""Check that L layers of a mask carry exactly a required flow: ``check_flow``, and its witnesses.

Two facts bound the flow from above. Every edge is a required pair, and the requirement is transitive, which is checked
along every edge: what a key requires, its query requires. So nothing beyond it can flow through any number of layers,
and an edge outside it is itself a leak. `masksynth.verify.layer_flow` searches for what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.mask.typing import Int64Array
from masksynth.verify.interval_sets import CHUNK, Lists, contains_numbers, list_keys, row_sets
from masksynth.verify.layer_flow import Required, differs_from, incomplete_after, incomplete_at_any_depth
from masksynth.verify.ragged import distinct, repeat_ranges, row_of_entry, split_rows


class Fault(NamedTuple):
    """A difference between the flow through the layers and the required flow.

    Parameters
    ----------
    leak : bool
        True: ``query`` sees along an edge what ``key`` holds, and must not. False: it must, and does not.
    query, key : int
        Positions.
    hops : int or None
        The number of layers that it takes; None: no number suffices, or each layer has its own mask.
    """

    leak: bool
    query: int
    key: int
    hops: int | None


def check_flow(mask: Mask, due: Mask, layers: int | None) -> None:
    """Check that L layers of a mask carry exactly a flow: (A or I)^L = R, or A_L ... A_1 = R for L tables.

    Near-linear in the number of edges where the rows of ``due``, in its own numbering, are few intervals. Rows that are
    not proved complete in this way are followed exactly, in edges / 64 word operations per row and layer.

    Parameters
    ----------
    mask : Mask
        A, with its diagonal; one table for all layers, or one for each of L layers, first applied first.
    due : Mask
        R, the required flow: one table, reflexive and transitive.
    layers : int or None
        L; None: any number of layers.

    Raises
    ------
    WrongAnswer
        ``flow``: an edge that is not in R, or a pair of R that is not connected within the layers.
    InvalidInstance
        If sizes or numbers of tables do not fit, or ``due`` is not reflexive or not transitive.

    Examples
    --------
    >>> due = Mask.from_dense(np.tril(np.ones((3, 3), bool)))
    >>> cover = Mask.from_intervals([[((0, 1),), ((0, 2),), ((1, 3),)]])
    >>> check_flow(cover, due, 2)
    >>> check_flow(cover, due, 1)
    Traceback (most recent call last):
    masksynth.errors.WrongAnswer: flow: position 2 does not see position 0 within 1 layer; it takes 2
    """
    if due.tables != 1 or due.size != mask.size:
        raise InvalidInstance(
            f"expected a flow of 1 table over {mask.size} positions, got {due.tables} over {due.size}", ""
        )
    if layers is not None and (type(layers) is not int or layers < 1):
        raise InvalidInstance(
            f"expected layers to be None or an integer from 1, got {layers!r}", "", "give the model's number of layers"
        )
    if mask.tables not in (1, layers):
        raise InvalidInstance(
            f"{mask.tables} tables for {layers or 'any number of'} layers", "", "give one table, or one for each layer"
        )
    own = np.arange(mask.size)
    sets = row_sets(due)
    if mask.size and not contains_numbers(sets, own, own, mask.size).all():
        raise InvalidInstance("the required flow is not reflexive", "", "close it first")
    fault = find_fault(mask, Required(own, sets, mask.size), layers)
    if fault is not None:
        path = (str(fault.key), str(fault.query)) if fault.leak else ()
        fact = describe_fault(fault, layers, f"position {fault.query}", f"position {fault.key}")
        raise WrongAnswer("flow", fact, path=path)


def describe_fault(fault: Fault, layers: int | None, query: str, key: str) -> str:
    """Return a fault in words, given names for query and key."""
    if fault.leak:
        return f"{query} sees {key}, which it must not see"
    within = "" if layers is None else f" within {layers} layer{'s' if layers > 1 else ''}"
    return f"{query} does not see {key}{within}{f'; it takes {fault.hops}' if fault.hops else ''}"


def find_fault(mask: Mask, required: Required, layers: int | None) -> Fault | None:
    """Return the first difference between the flow through the layers and the required flow; None if they are equal.

    Raises
    ------
    WrongAnswer
        ``flow``: if a position does not see itself.
    InvalidInstance
        If the required flow is not transitive.
    """
    if mask.size == 0:
        return None
    tables = [list_keys(mask, table) for table in range(mask.tables)]
    for rows in tables:
        if (fault := _find_leak(rows, required)) is not None:
            return fault
        # In a transitive flow, the union of what the keys of a row require is what the row requires.
        if len(wrong := np.flatnonzero(differs_from(rows, required.sets, required.sets, required.width))):
            raise InvalidInstance(f"the required flow of position {wrong[0]} is not transitive", "", "close it first")
    if mask.tables == 1 and (layers is None or layers >= mask.size - 1):
        incomplete = incomplete_at_any_depth(tables[0], required)
    else:
        incomplete = incomplete_after(tables, required, layers or 1)
    return _find_missing(tables, required, layers, int(incomplete.min())) if len(incomplete) else None


def _find_leak(rows: Lists, required: Required) -> Fault | None:
    """Return the first edge that is not required; raise WrongAnswer if a row lacks its own position."""
    for first, last in split_rows(rows.offset, CHUNK, len(rows.offset)):
        key = rows.item[int(rows.offset[first]) : int(rows.offset[last])].astype(np.int64)
        query = row_of_entry(rows.offset[first : last + 1]) + first
        loops = np.bincount(query[query == key] - first, minlength=last - first)
        if not loops.all():
            raise WrongAnswer("flow", f"the row of position {first + int(loops.argmin())} lacks the position itself")
        outside = np.flatnonzero(~contains_numbers(required.sets, query, required.own[key], required.width))
        if len(outside):
            return Fault(True, int(query[outside[0]]), int(key[outside[0]]), 1)
    return None


def _find_missing(tables: Sequence[Lists], required: Required, layers: int | None, query: int) -> Fault:
    """Return the lowest position that ``query`` must see and does not, and the layers that it would take."""
    own = required.own
    hops = _count_hops(tables, query)
    reached = hops >= 0 if layers is None else (hops >= 0) & (hops <= layers)
    wanted = contains_numbers(required.sets, np.full(len(own), query), own, required.width)
    key = int(np.flatnonzero(wanted & ~np.isin(own, own[reached]))[0])
    late = hops[(own == own[key]) & (hops >= 0)]
    return Fault(False, query, key, int(late.min()) if len(late) and len(tables) == 1 else None)


def _count_hops(tables: Sequence[Lists], query: int) -> Int64Array:
    """Return how many layers, counted from the last, it takes from each position to ``query``; -1 if none suffice."""
    hops = np.full(len(tables[0].offset) - 1, -1)
    hops[query] = layer = 0
    new = np.array([query])
    while len(new) if len(tables) == 1 else layer < len(tables):
        rows = tables[-1 - layer] if len(tables) > 1 else tables[0]
        reading = new if len(tables) == 1 else np.flatnonzero(hops >= 0)
        keys = rows.item[repeat_ranges(rows.offset[:-1][reading], np.diff(rows.offset)[reading])]
        new = distinct(keys[hops[keys] < 0].astype(np.int64))
        layer += 1
        hops[new] = layer
    return hops
