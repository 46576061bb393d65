"""Which outputs of a black box depend on which inputs, where they may and where they must."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masksynth.errors import InvalidInstance
from masksynth.mask import Mask
from masksynth.torch.model_check.black_box import BlackBox
from masksynth.torch.model_check.comparison import RELATIVE, distance
from masksynth.torch.model_check.known_failures import Evidence
from masksynth.torch.model_check.layer_flow import inputs_of, keys_of, outputs_of, rows_with
from masksynth.torch.model_check.uniform_attention import Flat

ATTEMPTS, SETTLING = 3, 3
"""How many other values an input is given before an output is said not to depend on it; and how often one begins anew when equal runs
differ more at the end than at the beginning, as compiled models do that were compiled again meanwhile."""


@dataclass
class Look:
    """What was seen of a model under a mask.

    Parameters
    ----------
    box : BlackBox
    mask : Mask
    layers : int or None
        How many times the mask is applied, None for any number.
    base : (N, V)
        The outputs.
    noise : float
        How much they differ between two equal runs.
    keys, queries : (K,), (Q,) int64
        The inputs that were changed and the outputs that were looked through.
    moved : (K, N) float64
        By how much each output moved.
    gradients : (Q, N) float64
        The largest gradient at each embedding; (0, N) where there are none.
    why_not : str
        Why there are none.
    flat : bool
        Whether inputs and gradients were looked at under flat attention too.
    """

    box: BlackBox
    mask: Mask
    layers: int | None
    base: Tensor
    noise: float
    keys: NDArray[np.int64]
    queries: NDArray[np.int64]
    moved: NDArray[np.float64]
    gradients: NDArray[np.float64]
    why_not: str
    flat: bool = False

    @property
    def least(self) -> float:
        """Movements up to this one are noise."""
        return 4 * self.noise

    @property
    def judged(self) -> NDArray[np.bool_]:
        """The outputs that are numbers."""
        finite: NDArray[np.bool_] = torch.isfinite(self.base).all(-1).cpu().numpy()
        return finite

    @property
    def tolerance(self) -> float:
        """By how much outputs that should be equal may differ."""
        scale = (
            float(self.base[torch.from_numpy(self.judged).to(self.base.device)].abs().max())
            if self.judged.any()
            else 0.0
        )
        return RELATIVE.get(self.base.dtype, 1e-4) * scale + self.least

    @property
    def evidence(self) -> Evidence:
        """What depends on what."""
        columns = self.moved > self.least
        for row, query in enumerate(self.queries[: len(self.gradients)]):
            columns[:, query] |= self.gradients[row, self.keys] > 0
        rows = self.gradients > 0
        for column, key in enumerate(self.keys):
            rows[:, key] |= self.moved[column, self.queries[: len(rows)]] > self.least
        return Evidence(self.keys, self.queries[: len(rows)], columns, rows, self.judged)

    def attention(self) -> AbstractContextManager[object]:
        """Within it the model's attention is flat, if it is to be."""
        return Flat() if self.flat else nullcontext()

    def differs(self, other: Tensor | None) -> NDArray[np.bool_]:
        """Which outputs are not those of the model, up to rounding."""
        if other is None:
            return np.zeros(self.mask.size, bool)
        return (distance(other, self.base) > self.tolerance) & self.judged


def look(
    box: BlackBox,
    mask: Mask,
    layers: int | None,
    keys: NDArray[np.int64],
    queries: NDArray[np.int64],
    seed: int,
    grad: bool,
) -> Look:
    """Run the model: once for each key, and a backward pass (or, without gradients, a run) for each query.

    Raises
    ------
    InvalidInstance
        If two equal runs differ by more than rounding.
    """
    gradients = (
        box.gradients(queries, np.random.default_rng(seed)) if grad else "not asked for"
    )  # first: it may make compilers start anew
    nothing = np.zeros((0, mask.size))
    for _ in range(SETTLING):
        base = box.run()
        found = Look(box, mask, layers, base, _apart(box.run(), base), keys, queries, nothing, nothing, "")
        if isinstance(gradients, str):
            found.why_not = gradients
            found.keys = np.unique(np.concatenate([keys, _leaking(found)]))
        else:
            found.gradients = gradients
        found.moved = np.array([box.moved(base, np.array([key])) for key in found.keys]).reshape(-1, mask.size)
        again = _apart(box.run(), base)
        if again <= found.noise:
            break
    found.noise = max(found.noise, again)
    if found.noise > found.tolerance - found.least:
        raise InvalidInstance(f"two equal runs differ by {found.noise:.3g}", "", "switch dropout off: model.eval()")
    found.queries = queries[found.judged[queries]]
    found.gradients = found.gradients[found.judged[queries]] if len(found.gradients) else found.gradients
    return found


def flattened(seen: Look, seed: int) -> Look:
    """What was seen, and what is seen besides when the model's attention is made flat, so that no allowed key has a weight of 0."""
    try:
        with Flat():
            flat = look(seen.box, seen.mask, seen.layers, seen.keys, seen.queries, seed, not seen.why_not)
    except InvalidInstance:
        return seen
    if not np.array_equal(flat.keys, seen.keys) or flat.gradients.shape != seen.gradients.shape:
        return seen
    moved, gradients = np.maximum(seen.moved, flat.moved), np.maximum(seen.gradients, flat.gradients)
    return replace(seen, noise=max(seen.noise, flat.noise), moved=moved, gradients=gradients, flat=True)


def _apart(run: Tensor, base: Tensor) -> float:
    """The largest difference between two equal runs, where they are numbers."""
    finite = torch.isfinite(base).all(-1).cpu().numpy()
    return float(np.where(finite, distance(run, base), 0).max(initial=0))


def _leaking(seen: Look) -> NDArray[np.int64]:
    """For each query one key that it must not see and that moves it, found by halving the set of all such keys."""
    found = []
    for query in seen.queries:
        hidden = np.flatnonzero(~inputs_of(seen.mask, np.arange(seen.mask.size) == query, seen.layers))
        if not len(hidden) or not seen.box.moved(seen.base, hidden)[query] > seen.least:
            continue
        while len(hidden) > 1:
            halves = np.array_split(hidden, 2)
            hidden = max(halves, key=lambda half: seen.box.moved(seen.base, half)[query])
        found.append(int(hidden[0]))
    return np.array(found, np.int64)


def leaks(seen: Look) -> tuple[int, int, float, int] | None:
    """(query, key, movement, number of such pairs) of the largest movement that the mask forbids; the movement is 0 by gradient only."""
    size, found = seen.mask.size, dict[tuple[int, int], float]()
    for column, key in enumerate(seen.keys):
        for query in np.flatnonzero(_forbidden(seen, column)):
            found[int(query), int(key)] = float(seen.moved[column, query])
    for row, query in enumerate(seen.queries[: len(seen.gradients)]):
        may = inputs_of(seen.mask, np.arange(size) == query, seen.layers)
        for key in np.flatnonzero((seen.gradients[row] > 0) & ~may):
            found.setdefault((int(query), int(key)), 0.0)
    if not found:
        return None
    worst = max(found, key=lambda pair: found[pair])
    return *worst, found[worst] or float(seen.box.moved(seen.base, np.array([worst[1]]))[worst[0]]), len(found)


def _forbidden(seen: Look, column: int) -> NDArray[np.bool_]:
    """Return which outputs moved with one of the keys although the mask has no way between them."""
    may = outputs_of(seen.mask, np.arange(seen.mask.size) == seen.keys[column], seen.layers)
    forbidden: NDArray[np.bool_] = (seen.moved[column] > seen.least) & ~may & seen.judged
    return forbidden


def without_rounding(seen: Look) -> Look:
    """Return what was seen without forbidden movements that are rounding.

    Layers of experts compute tokens in groups, which other tokens change. Such a movement is within the tolerance, and
    the derivative of the outputs by the changed input is exactly 0.
    """
    if seen.why_not:
        return seen
    columns = [column for column in range(len(seen.keys)) if _forbidden(seen, column).any()]
    small = [column for column in columns if seen.moved[column][_forbidden(seen, column)].max() <= seen.tolerance]
    if not small:
        return seen
    groups = [np.flatnonzero(_forbidden(seen, column)) for column in small]
    derivative = seen.box.gradients_of_groups(groups, np.random.default_rng(2))
    if isinstance(derivative, str):
        return seen
    moved = seen.moved.copy()
    for row, column in enumerate(small):
        if derivative[row, seen.keys[column]] == 0:
            moved[column, groups[row]] = 0.0
    return replace(seen, moved=moved)


def silent(seen: Look) -> list[tuple[int, int]]:
    """Pairs (query, key) that depend on each other by the mask, of which nothing moves and no gradient flows.

    Where gradients and the number of layers are known, all that flows through the layers; else only what one layer allows, since a movement
    through several layers may be rounded away.
    """
    if seen.why_not and half_precision(seen.base):
        return []  # a small movement may be rounded away
    return _confirmed_by_gradient(seen, _unmoved(seen)) + _confirmed_by_movement(seen, _without_gradient(seen))


def blocked(seen: Look) -> list[tuple[int, int]]:
    """Pairs (query, key) that depend on each other by the mask and of which the output moves, but no gradient flows."""
    place = {int(key): column for column, key in enumerate(seen.keys)}
    pairs = [pair for pair in _without_gradient(seen) if pair[1] in place]
    return [(query, key) for query, key in pairs if seen.moved[place[key], query] > seen.least]


def half_precision(outputs: Tensor) -> bool:
    """Whether the outputs are in half precision, or were before they were widened."""
    return any(bool((outputs.to(kind).to(outputs.dtype) == outputs).all()) for kind in (torch.bfloat16, torch.float16))


def tables_used(seen: Look) -> range:
    """The tables that some layer uses; only the first where the number of layers is not known."""
    return range(1 if seen.layers is None else min(seen.mask.tables, seen.layers))


def _through(seen: Look) -> bool:
    """Whether dependence through several layers can be demanded."""
    return seen.layers is not None and not seen.why_not


def _unmoved(seen: Look) -> list[tuple[int, int]]:
    found = []
    for column, key in enumerate(seen.keys):
        marked = np.arange(seen.mask.size) == key
        still = (seen.moved[column] <= seen.least) & seen.judged
        due = np.zeros(seen.mask.size, bool)
        for table in tables_used(seen):
            due[rows_with(seen.mask, table, marked)] = True
        if _through(seen):
            due |= outputs_of(seen.mask, marked, seen.layers) & ~marked
        for attempt in range(1, ATTEMPTS):
            if still[due].any():
                still &= _still(seen, int(key), attempt)
        found += [(int(query), int(key)) for query in np.flatnonzero(due & still)]
    return found


def _without_gradient(seen: Look) -> list[tuple[int, int]]:
    found = []
    for row, query in enumerate(seen.queries[: len(seen.gradients)]):
        marked = np.arange(seen.mask.size) == query
        due = np.any([keys_of(seen.mask, table, marked) for table in tables_used(seen)], axis=0)
        if _through(seen):
            due |= inputs_of(seen.mask, marked, seen.layers) & ~marked
        found += [(int(query), int(key)) for key in np.flatnonzero(due & (seen.gradients[row] == 0))]
    return found


def _confirmed_by_gradient(seen: Look, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if seen.why_not or not pairs:
        return pairs
    queries = np.array(sorted({query for query, _ in pairs})[: max(1, len(seen.queries))])
    with seen.attention():
        found = seen.box.gradients(queries, np.random.default_rng(1))
    row = {int(query): at for at, query in enumerate(queries)}
    return [
        pair for pair in pairs if pair[0] in row and not isinstance(found, str) and found[row[pair[0]], pair[1]] == 0
    ]


def _confirmed_by_movement(seen: Look, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    keys = sorted({key for _, key in pairs} - {int(key) for key in seen.keys})[: max(1, len(seen.keys))]
    still = {key: np.all([_still(seen, key, attempt) for attempt in range(ATTEMPTS)], axis=0) for key in keys}
    return [(query, key) for query, key in pairs if key in still and still[key][query]]


def _still(seen: Look, key: int, attempt: int) -> NDArray[np.bool_]:
    """The outputs that do not move with an input."""
    with seen.attention():
        base = seen.box.run() if seen.flat else seen.base
        still: NDArray[np.bool_] = seen.judged & (seen.box.moved(base, np.array([key]), attempt) <= seen.least)
    return still
