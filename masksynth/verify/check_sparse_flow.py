"""What flows through L layers of a mask against what is due: ``check_flow``, and its witnesses.

Two facts bound the flow from above. Every edge lies inside what is due, and what is due is transitive, which is checked along every
edge: what is due to a key is due to its query. So nothing beyond can flow through any number of layers, and an edge outside is itself a
leak. `masksynth.verify.layer_flow` looks for what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from masksynth.errors import InvalidInstance, WrongAnswer
from masksynth.mask import Mask
from masksynth.verify.colour_refinement import Integers
from masksynth.verify.interval_sets import CHUNK, Lists, chunks, holds, lists_of, ranges, runs_of
from masksynth.verify.layer_flow import Due, differ, lacking_after, lacking_at_any_depth


class Fault(NamedTuple):
    """Position ``query`` sees what ``key`` holds and must not, along an edge; or must and does not.

    ``hops`` is the number of layers that it takes; None: no number would do, or each layer has its own mask.
    """

    leak: bool
    query: int
    key: int
    hops: int | None


def check_flow(mask: Mask, due: Mask, layers: int | None) -> None:
    """Check that L layers of a mask carry exactly a given flow: (A or I)^L = R, or A_L ... A_1 = R for a mask of L tables.

    Near-linear in the edges where the rows of ``due``, in its own numbering, are few intervals that grow from long ones. What is not
    seen to be right so is followed exactly, in edges / 64 word operations for a row and layer, up to the first rows that are wrong.

    Parameters
    ----------
    mask : Mask
        A, with its diagonal; one table for all layers, or one for each of L layers, first applied first.
    due : Mask
        R, one table, reflexive and transitive.
    layers : int or None
        L; None: any number of layers.

    Raises
    ------
    WrongAnswer
        ``flow``: an edge along which more flows than is due, or a pair of R that is not connected within the layers.
    InvalidInstance
        If sizes or tables do not fit, or ``due`` is not reflexive or not transitive.

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
            f"the flow due has {due.tables} tables over {due.size} positions, the mask has {mask.size} positions", ""
        )
    if layers is not None and (type(layers) is not int or layers < 1):
        raise InvalidInstance(
            f"layers={layers!r} is neither None nor an integer from 1", "", "give the number of layers of the model"
        )
    if mask.tables not in (1, layers):
        raise InvalidInstance(
            f"{mask.tables} tables for {layers or 'any number of'} layers", "", "give one table, or one for each layer"
        )
    own = np.arange(mask.size)
    sets = runs_of(due)
    if mask.size and not holds(sets, own, own, mask.size).all():
        raise InvalidInstance("the flow due is not reflexive", "", "close it first")
    fault = find_fault(mask, Due(own, sets, mask.size), layers)
    if fault is not None:
        path = (str(fault.key), str(fault.query)) if fault.leak else ()
        raise WrongAnswer("flow", told(fault, layers, f"position {fault.query}", f"position {fault.key}"), path=path)


def told(fault: Fault, layers: int | None, query: str, key: str) -> str:
    """Put a fault in words, with names for query and key."""
    if fault.leak:
        return f"{query} sees {key}, which is not due to it"
    within = "" if layers is None else f" within {layers} layer{'s' if layers > 1 else ''}"
    return f"{query} does not see {key}{within}{f'; it takes {fault.hops}' if fault.hops else ''}"


def find_fault(mask: Mask, due: Due, layers: int | None) -> Fault | None:
    """The first difference between the flow through the layers and what is due; None if there is none.

    Raises
    ------
    WrongAnswer
        ``flow``: if a row lacks its diagonal.
    InvalidInstance
        If ``due`` is not transitive.
    """
    if mask.size == 0:
        return None
    tables = [lists_of(mask, table) for table in range(mask.tables)]
    for rows in tables:
        if (fault := _beyond(rows, due)) is not None:
            return fault
        if len(odd := np.flatnonzero(differ(rows, due.sets, due.sets, due.width))):
            raise InvalidInstance(f"the flow due to position {odd[0]} is not transitive", "", "close it first")
    if mask.tables == 1 and (layers is None or layers >= mask.size - 1):
        odd = lacking_at_any_depth(tables[0], due)
    else:
        odd = lacking_after(tables, due, layers or 1)
    return _missing(tables, due, layers, int(odd.min())) if len(odd) else None


def _beyond(rows: Lists, due: Due) -> Fault | None:
    """The first edge outside what is due; every row has its diagonal."""
    for first, last in chunks(rows.offset, CHUNK, len(rows.offset)):
        key = rows.item[int(rows.offset[first]) : int(rows.offset[last])].astype(np.int64)
        query = np.repeat(np.arange(first, last), np.diff(rows.offset[first : last + 1]))
        loops = np.bincount(query[query == key] - first, minlength=last - first)
        if not loops.all():
            raise WrongAnswer("flow", f"the row of position {first + int(loops.argmin())} lacks the position itself")
        outside = np.flatnonzero(~holds(due.sets, query, due.own[key], due.width))
        if len(outside):
            return Fault(True, int(query[outside[0]]), int(key[outside[0]]), 1)
    return None


def _missing(tables: Sequence[Lists], due: Due, layers: int | None, query: int) -> Fault:
    """The lowest position due to ``query`` whose number does not reach it, and the layers that it would take."""
    hops = _hops_down(tables, query)
    seen = hops >= 0 if layers is None else (hops >= 0) & (hops <= layers)
    wanted = holds(due.sets, np.full(len(due.own), query), due.own, due.width)
    key = int(np.flatnonzero(wanted & ~np.isin(due.own, due.own[seen]))[0])
    late = hops[(due.own == due.own[key]) & (hops >= 0)]
    return Fault(False, query, key, int(late.min()) if len(late) and len(tables) == 1 else None)


def _hops_down(tables: Sequence[Lists], query: int) -> Integers:
    """How many layers, counted from the last, it takes from each position to ``query``; -1: none would do."""
    hops = np.full(len(tables[0].offset) - 1, -1)
    hops[query] = layer = 0
    fresh = np.array([query])
    while len(fresh) if len(tables) == 1 else layer < len(tables):
        rows = tables[-1 - layer] if len(tables) > 1 else tables[0]
        reading = fresh if len(tables) == 1 else np.flatnonzero(hops >= 0)
        found = rows.item[ranges(rows.offset[:-1][reading], np.diff(rows.offset)[reading])]
        fresh = np.unique(found[hops[found] < 0])
        layer += 1
        hops[fresh] = layer
    return hops
