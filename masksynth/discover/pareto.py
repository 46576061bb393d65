"""Structures of which none is better in positions, edges and layers at once."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from math import inf

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts, Weights, with_options
from masksynth.discover.bounds import bounds_of
from masksynth.discover.discovery import Candidate, Discovery
from masksynth.discover.impossible import find_impossible
from masksynth.discover.incumbent import Incumbent, Progress, is_less
from masksynth.discover.least_cost import LeastCost
from masksynth.discover.measure import measure

PRICES = (Weights(count="structure"), Weights(1.0, 0.0, 1.0, "structure"), Weights(0.0, 0.0, 1.0, "structure"))
"""Prices at which each number of layers is searched: positions first, positions and edges alike, edges alone."""
FEW_LAYERS = 12
"""Numbers of layers up to which each is searched; beyond, about each half as many again."""


class Pareto:
    """A search for trade-offs.

    Parameters
    ----------
    contracts : Contracts
        Up to its layers, or up to about 2 log2 n layers, structures of fewer layers are searched as well.
    limits, executor, progress
        As for `masksynth.discover.discover`.
    """

    def __init__(
        self,
        contracts: Contracts,
        limits: Limits,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.contracts, self.limits, self.executor, self.progress = contracts, limits, executor, progress
        self.front: list[Candidate] = []
        self.incumbent = Incumbent(contracts, lambda sizes: sizes.cost, limits.seconds)

    def run(self) -> Discovery:
        """Return the trade-offs found when the time is over, or after Ctrl-C."""
        try:
            self._find()
        except KeyboardInterrupt:
            if self.incumbent.best is None:
                raise
        bound = bounds_of(self.contracts).cost
        best = self.incumbent.best
        status = Status.UNKNOWN if best is None else Status.FEASIBLE
        if best is not None and not is_less(bound.value, best.sizes.cost):
            status = Status.OPTIMAL
        seconds, front = self.incumbent.seconds, tuple(sorted(self.front, key=_place))
        return Discovery(status, self.contracts, "pareto", best, bound.value, bound.by, seconds, front=front)

    def _find(self) -> None:
        """Search each number of layers at each of the prices, from many layers to few."""
        depths: list[int | None] = [*depths_of(self.contracts)]
        if self.contracts.layers is None:
            depths.append(None)
        left = len(depths) * len(PRICES)
        for layers in reversed(depths):
            for weights in PRICES:
                seconds = max(0.0, self.incumbent.remaining) / left
                left -= 1
                question = with_options(self.contracts, layers=layers, masks=self.contracts.masks)
                self._search(replace(question, weights=weights), seconds)

    def _search(self, contracts: Contracts, seconds: float) -> None:
        if find_impossible(contracts):  # demands may need more layers than these
            return
        found = LeastCost(contracts, replace(self.limits, seconds=seconds), "search", self.executor).run().best
        if found is None:
            return
        own = replace(found, sizes=measure(found.structure, replace(contracts, weights=self.contracts.weights)))
        self.front = insert(self.front, own)
        if contracts.layers == self.contracts.layers:
            self.incumbent.offer(found.structure)
        if self.progress is not None:
            self.progress(self.incumbent.value, len(self.front))


def depths_of(contracts: Contracts) -> list[int]:
    """Return the numbers of layers that are searched, ascending; the last is that of the contracts, if they have one.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> depths_of(leave_one_out(n=8, layers=3)), depths_of(leave_one_out(n=256, layers=40))
    ([1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 27, 40])
    """
    most = contracts.layers or 2 * max(1, (contracts.elements.count - 1).bit_length())
    depths = list(range(1, min(most, FEW_LAYERS) + 1))
    while depths[-1] < most:
        depths.append(min(most, depths[-1] * 3 // 2))
    return depths


def _place(candidate: Candidate) -> tuple[float, int, int]:
    """Return what is traded: layers, positions, edges."""
    sizes = candidate.sizes
    return inf if sizes.layers is None else sizes.layers, sizes.positions, sizes.edges


def insert(front: list[Candidate], found: Candidate) -> list[Candidate]:
    """Return the candidates of which none is at least as good as another in everything."""
    place = _place(found)

    def is_as_good(left: tuple[float, int, int], right: tuple[float, int, int]) -> bool:
        return all(a <= b for a, b in zip(left, right, strict=True))

    if any(is_as_good(_place(known), place) for known in front):
        return front
    return [*(known for known in front if not is_as_good(place, _place(known))), found]
