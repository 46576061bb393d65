"""Find where measured dependence contradicts a mask: leaks, missing context, missing gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masksynth.mask.typing import BoolArray
from masksynth.torch.model_check.input_dependence import Dependence
from masksynth.torch.model_check.mask_flow import keys_of_rows, reachable_inputs, reachable_outputs, rows_with_keys

ATTEMPTS = 3
"""Number of other values that an input is given before an output is called independent of it."""
Pairs = list[tuple[int, int]]
"""(query, key) of each pair."""


class Leak(NamedTuple):
    """The largest movement that the mask forbids.

    Parameters
    ----------
    query, key : int
    moved : float
        By how much the output moved; 0 if only its gradient shows it.
    pairs : int
        In how many pairs a forbidden movement was measured.
    """

    query: int
    key: int
    moved: float
    pairs: int


def find_largest_leak(observed: Dependence) -> Leak | None:
    """Return the largest movement that the mask forbids, or None."""
    size, forbidden = observed.mask.size, dict[tuple[int, int], float]()
    for column, key in enumerate(observed.keys):
        for query in np.flatnonzero(_find_forbidden(observed, column)):
            forbidden[int(query), int(key)] = float(observed.moved[column, query])
    for row, query in enumerate(observed.queries[: len(observed.gradients)]):
        reachable = reachable_inputs(observed.mask, np.arange(size) == query, observed.layers)
        for hidden in np.flatnonzero((observed.gradients[row] > 0) & ~reachable):
            forbidden.setdefault((int(query), int(hidden)), 0.0)
    if not forbidden:
        return None
    largest = max(forbidden, key=lambda pair: forbidden[pair])
    output, source = largest
    moved = forbidden[largest] or float(observed.box.movement(observed.base, np.array([source]))[output])
    return Leak(output, source, moved, len(forbidden))


def _find_forbidden(observed: Dependence, column: int) -> BoolArray:
    """Return which outputs moved with input ``keys[column]`` although the mask has no path between them, (N,)."""
    changed = np.arange(observed.mask.size) == observed.keys[column]
    reachable = reachable_outputs(observed.mask, changed, observed.layers)
    forbidden: BoolArray = (observed.moved[column] > observed.least) & ~reachable & observed.judged
    return forbidden


def drop_rounding(observed: Dependence) -> Dependence:
    """Return what was measured without forbidden movements that are rounding.

    Mixtures of experts compute tokens in groups, which other tokens change. Such a movement is within the tolerance,
    and the derivative of the outputs by the changed input is exactly 0.
    """
    if observed.why_not:
        return observed
    forbidden = {column: _find_forbidden(observed, column) for column in range(len(observed.keys))}
    small = [
        column
        for column, outputs in forbidden.items()
        if outputs.any() and observed.moved[column][outputs].max() <= observed.tolerance
    ]
    if not small:
        return observed
    groups = [np.flatnonzero(forbidden[column]) for column in small]
    derivative = observed.box.gradients_of_groups(groups, np.random.default_rng(2))
    if isinstance(derivative, str):
        return observed
    moved = observed.moved.copy()
    for row, column in enumerate(small):
        if derivative[row, observed.keys[column]] == 0:
            moved[column, groups[row]] = 0.0
    return replace(observed, moved=moved)


def find_unaffected_pairs(observed: Dependence) -> Pairs:
    """Return pairs (query, key) that depend on each other by the mask, of which nothing moves and no gradient flows.

    Where gradients and the number of layers are known, paths through all layers count; otherwise only what one layer
    allows, since a movement through several layers may be rounded away.
    """
    if observed.why_not and half_precision(observed.base):
        return []  # a small movement may be rounded away
    unmoved = _confirm_by_gradient(observed, _find_unmoved(observed))
    return unmoved + _confirm_by_movement(observed, _find_without_gradient(observed))


def find_pairs_without_gradient(observed: Dependence) -> Pairs:
    """Return pairs (query, key) that depend on each other by the mask, of which the output moves without a gradient."""
    column_of = {int(key): column for column, key in enumerate(observed.keys)}
    pairs = [pair for pair in _find_without_gradient(observed) if pair[1] in column_of]
    return [(query, key) for query, key in pairs if observed.moved[column_of[key], query] > observed.least]


def half_precision(outputs: Tensor) -> bool:
    """Return whether the outputs are in half precision, or were before they were widened."""
    return any(bool((outputs.to(kind).to(outputs.dtype) == outputs).all()) for kind in (torch.bfloat16, torch.float16))


def _used_tables(observed: Dependence) -> range:
    """Return the tables that some layer uses; only the first where the number of layers is unknown."""
    return range(1 if observed.layers is None else min(observed.mask.tables, observed.layers))


def _expects_paths(observed: Dependence) -> bool:
    """Return whether dependence through several layers is expected, not only through one."""
    return observed.layers is not None and not observed.why_not


def _find_unmoved(observed: Dependence) -> Pairs:
    pairs = []
    for column, key in enumerate(observed.keys):
        changed = np.arange(observed.mask.size) == key
        unmoved = (observed.moved[column] <= observed.least) & observed.judged
        expected = np.zeros(observed.mask.size, bool)
        for table in _used_tables(observed):
            expected[rows_with_keys(observed.mask, table, changed)] = True
        if _expects_paths(observed):
            expected |= reachable_outputs(observed.mask, changed, observed.layers) & ~changed
        for attempt in range(1, ATTEMPTS):
            if unmoved[expected].any():
                unmoved &= _stays(observed, int(key), attempt)
        pairs += [(int(query), int(key)) for query in np.flatnonzero(expected & unmoved)]
    return pairs


def _find_without_gradient(observed: Dependence) -> Pairs:
    pairs = []
    for row, query in enumerate(observed.queries[: len(observed.gradients)]):
        tested = np.arange(observed.mask.size) == query
        expected = np.any([keys_of_rows(observed.mask, table, tested) for table in _used_tables(observed)], axis=0)
        if _expects_paths(observed):
            expected |= reachable_inputs(observed.mask, tested, observed.layers) & ~tested
        pairs += [(int(query), int(key)) for key in np.flatnonzero(expected & (observed.gradients[row] == 0))]
    return pairs


def _confirm_by_gradient(observed: Dependence, pairs: Pairs) -> Pairs:
    if observed.why_not or not pairs:
        return pairs
    queries = np.array(sorted({query for query, _ in pairs})[: max(1, len(observed.queries))])
    with observed.attention():
        gradients = observed.box.gradients(queries, np.random.default_rng(1))
    if isinstance(gradients, str):
        return []
    row_of = {int(query): row for row, query in enumerate(queries)}
    return [(query, key) for query, key in pairs if query in row_of and gradients[row_of[query], key] == 0]


def _confirm_by_movement(observed: Dependence, pairs: Pairs) -> Pairs:
    keys = sorted({key for _, key in pairs} - {int(key) for key in observed.keys})[: max(1, len(observed.keys))]
    stays = {key: np.all([_stays(observed, key, attempt) for attempt in range(ATTEMPTS)], axis=0) for key in keys}
    return [(query, key) for query, key in pairs if key in stays and stays[key][query]]


def _stays(observed: Dependence, key: int, attempt: int) -> BoolArray:
    """Return which outputs do not move when an input is given its value of this attempt, (N,)."""
    with observed.attention():
        base = observed.box.run() if observed.uniform else observed.base
        moved = observed.box.movement(base, np.array([key]), attempt)
    stays: BoolArray = observed.judged & (moved <= observed.least)
    return stays
