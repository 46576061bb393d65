"""Structures of which none is better in positions, edges and layers at once."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from math import inf

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts, Weights, with_options
from masksynth.discover.bounds import bounds_of
from masksynth.discover.candidate import confirm
from masksynth.discover.discovery import Candidate, Discovery
from masksynth.discover.impossible import find_impossible
from masksynth.discover.incumbent import Incumbent, Progress, is_less
from masksynth.discover.least_cost import LeastCost
from masksynth.discover.measure import Sizes, measure
from masksynth.discover.search_journal import Journal
from masksynth.discover.structure import Structure

PRICES = (Weights(count="structure"), Weights(1.0, 0.0, 1.0, "structure"), Weights(0.0, 0.0, 1.0, "structure"))
"""Prices at which each number of layers is searched: positions first, positions and edges alike, edges alone."""
FEW_LAYERS = 12
"""Numbers of layers up to which each is searched; beyond, about each half as many again."""


class Pareto:
    """A search for trade-offs: one for the least cost for each number of layers at each of the prices.

    To these searches it is their journal: it gives them the cheapest structure of as many layers, and gets all that is
    better, so that the trade-offs on disk are those that were found so far.

    Parameters
    ----------
    contracts : Contracts
        Up to its layers, or up to about 2 log2 n layers, structures of fewer layers are searched as well.
    limits, executor, journal, progress
        As for `masksynth.discover.discover`.
    """

    def __init__(
        self,
        contracts: Contracts,
        limits: Limits,
        executor: Executor | None = None,
        journal: Journal | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.contracts, self.limits, self.executor, self.progress = contracts, limits, executor, progress
        self.journal, self.steps = journal, 0
        self.front: list[Candidate] = []
        self.incumbent = Incumbent(contracts, lambda sizes: sizes.cost, limits.seconds)

    def run(self) -> Discovery:
        """Return the trade-offs found when the time is over, or after Ctrl-C."""
        try:
            self._restore()
            self._find()
        except KeyboardInterrupt:
            if self.incumbent.best is None:
                raise
        bound = bounds_of(self.contracts).cost
        best = self.incumbent.best
        status = Status.UNKNOWN if best is None else Status.FEASIBLE
        if best is not None and not is_less(bound.value, best.sizes.cost):
            status = Status.OPTIMAL
        seconds, front = self.incumbent.seconds, tuple(sorted(self.front, key=lambda found: _place(found.sizes)))
        return Discovery(status, self.contracts, "pareto", best, bound.value, bound.by, seconds, front=front)

    def _restore(self) -> None:
        """Take the trade-offs of an earlier run."""
        known, self.steps = ([], 0) if self.journal is None else self.journal.read_front(self.contracts)
        for structure, layers in known:
            self._keep(structure, layers)
        if self.incumbent.best is None:
            self.steps = 0  # those of the contracts' own layers are dominated: they are searched again, first

    def _find(self) -> None:
        """Search each number of layers at each of the prices, from many layers to few, after the finished steps."""
        depths: list[int | None] = [*depths_of(self.contracts)]
        if self.contracts.layers is None:
            depths.append(None)
        steps = [(layers, weights) for layers in reversed(depths) for weights in PRICES]
        first = self.steps = self.steps % len(steps)
        for step, (layers, weights) in enumerate(steps[first:], first):
            seconds = max(0.0, self.incumbent.remaining) / (len(steps) - step)
            question = replace(self._ask(layers), weights=weights)
            if not find_impossible(question):  # demands may need more layers than these
                search = LeastCost(question, replace(self.limits, seconds=seconds), "search", self.executor, self)
                search.run()
                if search.is_interrupted:
                    return
            if seconds:  # otherwise the step is left to the next run
                self.steps = step + 1
                self._store()

    def _ask(self, layers: int | None) -> Contracts:
        """Return the contracts for a number of layers."""
        return with_options(self.contracts, layers=layers, masks=self.contracts.masks)

    def read(self, contracts: Contracts, objective: str) -> tuple[Structure | None, int]:
        """Return the cheapest known structure of as many layers, for a search that begins."""
        known = [found.structure for found in self.front if found.sizes.layers == contracts.layers]
        return min(known, key=lambda found: measure(found, contracts).cost, default=None), 0

    def write(self, contracts: Contracts, objective: str, structure: Structure, rounds: int) -> None:
        """Keep what a search has found."""
        if self._keep(structure, contracts.layers):
            self._store()
            if self.progress is not None:
                self.progress(self.incumbent.value, len(self.front))

    def _keep(self, structure: Structure, layers: int | None) -> bool:
        """Insert a structure, once the checkers have confirmed it; return whether it is a trade-off."""
        contracts = self._ask(layers)
        if self.contracts.layers in (None, layers):  # one mask, safe at any depth, is right without a limit too
            self.incumbent.offer(structure)
        if is_dominated(self.front, measure(structure, contracts)):
            return False
        self.front = insert(self.front, confirm(structure, contracts))
        return True

    def _store(self) -> None:
        if self.journal is not None:
            self.journal.write_front(
                self.contracts, [(found.structure, found.sizes.layers) for found in self.front], self.steps
            )


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


def _place(sizes: Sizes) -> tuple[float, int, int]:
    """Return what is traded: layers, positions, edges."""
    return inf if sizes.layers is None else sizes.layers, sizes.positions, sizes.edges


def is_dominated(front: list[Candidate], sizes: Sizes) -> bool:
    """Return whether some candidate is at least as good as these sizes in everything."""
    return any(_is_as_good(known.sizes, sizes) for known in front)


def insert(front: list[Candidate], found: Candidate) -> list[Candidate]:
    """Return the candidates of which none is at least as good as another in everything."""
    if is_dominated(front, found.sizes):
        return front
    return [*(known for known in front if not _is_as_good(found.sizes, known.sizes)), found]


def _is_as_good(left: Sizes, right: Sizes) -> bool:
    return all(a <= b for a, b in zip(_place(left), _place(right), strict=True))
