"""The search for the most reads of mixed contexts at a given number of positions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from itertools import count
from random import Random
from time import perf_counter

import numpy as np

from masksynth.backends import Limits, Status
from masksynth.contracts import Contracts
from masksynth.discover.bounds import bounds_of
from masksynth.discover.constructions import constructions_for
from masksynth.discover.discovery import Discovery
from masksynth.discover.exact_backends import find_most_mixed
from masksynth.discover.fullest import Plan, Stage, change
from masksynth.discover.incumbent import Incumbent, Progress
from masksynth.discover.measure import Sizes
from masksynth.discover.meet_demands import meet_demands
from masksynth.discover.search_journal import Journal
from masksynth.discover.search_rounds import LONGEST, SHORTEST, run_calls
from masksynth.discover.structure import prune
from masksynth.errors import Unsupported
from masksynth.workers.ordered import Call

SIZES = range(2, 9)
"""Sizes of the sets by which contexts grow in a layer, among which `reservoirs` begins."""
EXACT_STATES = 40
"""An exact search is run where (elements + targets) x layers is at most this."""
COUNTING = "counting: every ordered pair of positions in each layer but the first, in the last by targets alone"
LARGEST_PLAN = 40_000_000
"""Largest layers x readers x elements of a plan."""


def enough_positions(contracts: Contracts) -> int:
    """Return one position for each element and each blank target, or more if every construction needs more."""
    default = contracts.elements.count + sum(target.place == "query" for target in contracts.targets)
    sizes = (
        prune(meet_demands(structure, contracts), contracts.masks).size for structure in constructions_for(contracts)
    )
    return max(default, min(sizes, default=default))


def count_pairs(contracts: Contracts, positions: int) -> int:
    """Return a number of pairs that mixed reads do not exceed.

    Before the first layer nothing is mixed, and after the last one only the positions of targets are live. One mask is
    counted once.

    Examples
    --------
    >>> from masksynth.contracts.families import leave_one_out
    >>> [count_pairs(leave_one_out(n=20, layers=layers), 40) for layers in (1, 2, 4)]
    [0, 780, 3900]
    """
    if contracts.masks == "one":
        return positions * (positions - 1)
    layers = contracts.layers or 1
    last = min(positions, len(contracts.targets)) if layers > 1 else 0
    return (max(0, layers - 2) * positions + last) * (positions - 1)


class MostPairs:
    """A search for the most reads of mixed contexts.

    Parameters
    ----------
    contracts : Contracts
    positions : int, optional
        Largest number of positions [default: `enough_positions`].
    limits : Limits
    executor, journal, progress
        As for `masksynth.discover.discover`.
    """

    def __init__(
        self,
        contracts: Contracts,
        positions: int | None,
        limits: Limits,
        executor: Executor | None = None,
        journal: Journal | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.contracts, self.limits, self.executor, self.journal = contracts, limits, executor, journal
        self.positions = enough_positions(contracts) if positions is None else positions
        self.progress, self.rounds = progress, 0
        self.incumbent = Incumbent(contracts, self._key, limits.seconds, self._note)
        self.bound, self.bound_by = count_pairs(contracts, self.positions), COUNTING

    def _key(self, sizes: Sizes) -> float:
        return float("inf") if sizes.positions > self.positions else -sizes.mixed_edges

    def run(self) -> Discovery:
        """Return the structure with the most mixed reads once the time is over, or after Ctrl-C."""
        least = bounds_of(self.contracts).positions
        if self.positions < least.value:
            reason = f"{self.positions} positions are given and {least.value:g} are needed by {least.by}"
            return self._discovery(Status.INFEASIBLE, reason)
        try:
            self._find()
        except KeyboardInterrupt:
            if self.incumbent.best is None:
                raise
        if self.incumbent.best is None:
            return self._discovery(Status.UNKNOWN, f"nothing was found with {self.positions} positions")
        found = self.incumbent.best.sizes.mixed_edges
        return self._discovery(Status.OPTIMAL if found == self.bound else Status.FEASIBLE, "")

    def _discovery(self, status: Status, reason: str) -> Discovery:
        best, seconds = self.incumbent.best, self.incumbent.seconds
        bound = None if best is None else self.bound
        return Discovery(status, self.contracts, "pairs", best, bound, self.bound_by, seconds, reason)

    def _find(self) -> None:
        """Offer constructions and what an earlier run found, then plans."""
        if self.journal is not None:
            structure, self.rounds = self.journal.read(self.contracts, self._question)
            if structure is not None:
                self.incumbent.offer(structure)
        for structure in constructions_for(self.contracts):
            self.incumbent.offer(structure)
        registers = self.positions - self.contracts.elements.count - len(self.contracts.targets)
        if registers < 0 or self.contracts.masks == "one" or (self.contracts.layers or 1) < 2:
            return
        self._try_exact()
        stage = Stage(self.contracts, min(registers, len(self.contracts.targets)))
        if stage.layers * stage.readers * stage.elements <= LARGEST_PLAN:
            self._search(stage)

    def _try_exact(self) -> None:
        """Run the exact search for half of the time, if the contracts are small and it can express them."""
        size = self.contracts.elements.count + len(self.contracts.targets)
        if size * (self.contracts.layers or 1) > EXACT_STATES or self.incumbent.remaining <= 0:
            return
        seconds = None if self.limits.seconds is None else self.incumbent.remaining / 2
        try:
            outcome = find_most_mixed(self.contracts, self.positions, replace(self.limits, seconds=seconds))
        except Unsupported:
            return
        if outcome.structure is not None:
            self.incumbent.offer(outcome.structure)
        if outcome.bound < self.bound:
            self.bound, self.bound_by = int(outcome.bound), outcome.proof

    @property
    def _is_proved(self) -> bool:
        return self.incumbent.value == -self.bound

    @property
    def _question(self) -> str:
        return f"pairs at {self.positions} positions"

    def _search(self, stage: Stage) -> None:
        """Improve plans by rounds until the time is over."""
        kept = sorted(start_plans(stage, self.limits.seed), key=lambda pair: -stage.run(pair[1])[0])[:4]
        self.incumbent.offer(stage.structure(kept[0][1], kept[0][0]))
        registers = stage.readers - len(self.contracts.targets)

        def calls() -> Iterator[Call]:
            for number in count(self.rounds):
                if (left := self.incumbent.remaining) <= 0 or self._is_proved:
                    return
                seconds = min(max(left / 10, SHORTEST), LONGEST, left)
                name, plan = kept[0 if number % 4 else (number // 4) % len(kept)]
                arguments = (self.contracts, registers, name, plan, self.limits.seed + number, seconds)
                yield Call(f"round {number}", improve_plan, arguments)

        for name, plan in run_calls(calls(), self.limits.workers, self.executor):
            self.rounds += 1
            kept = sorted([*kept, (name, plan)], key=lambda pair: -stage.run(pair[1])[0])[:4]
            self.incumbent.offer(stage.structure(plan, name))

    def _note(self, incumbent: Incumbent) -> None:
        if self.progress is not None:
            self.progress(-incumbent.value, self.bound)
        if self.journal is not None and incumbent.best is not None:
            self.journal.write(self.contracts, self._question, incumbent.best.structure, self.rounds)


def start_plans(stage: Stage, seed: int) -> list[tuple[str, Plan]]:
    """Return the plans from which the search starts, with their names."""
    rng = np.random.default_rng(seed)
    orders = [np.arange(stage.elements), rng.permutation(stage.elements)]
    plans = [("raw reads", stage.raw_plan())]
    for order in orders:
        plans += [(f"reservoirs of {size}", stage.reservoirs(order, (size,) * (stage.layers - 1))) for size in SIZES]
        for first in (1, 2):
            reaches = [first]
            while len(reaches) < stage.layers - 1:
                reaches.append(2 * reaches[-1] + 2)
            plans.append((f"hole of reach {', '.join(map(str, reaches))}", stage.holes(order, tuple(reaches))))
    return plans


def improve_plan(
    contracts: Contracts, registers: int, name: str, plan: Plan, seed: int, seconds: float
) -> tuple[str, Plan]:
    """Return a plan with at least as many mixed reads, found by changes at random for some seconds."""
    until = perf_counter() + seconds
    stage, rng = Stage(contracts, registers), Random(seed)
    first = best = stage.run(plan)[0]
    while perf_counter() < until:
        changed = change(plan, stage, rng)
        value = stage.run(changed)[0]
        if value >= best:
            plan, best = changed, value
    is_new = best > first and not name.endswith("local search")
    return (f"{name}, then local search" if is_new else name), plan
