"""Lemmas of a proof folder: windows that are proved once and used for every isomorphic window, by a map of positions.

The windows of a lemma are earlier lemmas. The bound of a lemma holds for each of its images, since their formulas
differ in the numbering of positions only; the checker builds both and compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from masksynth.sparse import Component, Edge, SparseProblem, positions_between
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.path_encoding import Window
from masksynth_solvers.sparse.russian_dolls import Lemma, Solved, canonical_form, select_windows, solve_windows

WINDOW_LIMIT = 12
"""Maximum number of windows of a proof (highest bounds first): more shorten the search but lengthen the proof."""


class Lemmas:
    """The lemmas of one proof folder, in the order in which they were proved.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.sparse import reduce
    >>> problem = SparseProblem(np.tril(np.ones((6, 6), bool)), 2)
    >>> found = reduce(problem)
    >>> lemmas = Lemmas(problem, found.forced)
    >>> windows = lemmas.windows(found.components[0], 3)
    >>> for lemma in lemmas.missing(windows):
    ...     lemmas.add(lemma, {"bound": lemma.bound})
    >>> lemmas.entries, lemmas.window_records(windows)[1]
    ([{'bound': 1}, {'bound': 2}], {'lemma': 0, 'positions': [[2, 0], [3, 1], [4, 2], [5, 3]]})
    """

    def __init__(self, problem: SparseProblem, forced: frozenset[Edge]) -> None:
        self.problem = problem
        self.forced = forced
        self.entries: list[dict[str, Any]] = []
        self._solved: Solved = {}
        self._numbers: dict[bytes, int] = {}

    def windows(self, component: Component, bound: int, until: float = inf, effort: float = inf) -> list[Window]:
        """Return windows that help to refute solutions lighter than ``bound``, as many as are solved in time."""
        windows = solve_windows(self.problem, self.forced, component, Budget(until, effort), self._solved)
        return highest_bounds(select_windows(windows, self.problem, component, bound))

    def missing(self, windows: Iterable[Window]) -> Iterator[Lemma]:
        """Yield the lemmas of some windows, smallest first, that have not been added when their turn comes."""
        for window in windows:
            form = canonical_form(self.problem, self.forced, window.component)
            if form not in self._numbers:
                yield self._solved[form]

    def add(self, lemma: Lemma, entry: dict[str, Any]) -> None:
        """Number a proved lemma and store its entry of problem.json."""
        self._numbers[canonical_form(self.problem, self.forced, lemma.component)] = len(self.entries)
        self.entries.append(entry)

    def truncate(self, count: int) -> None:
        """Remove all lemmas but the first ``count``."""
        del self.entries[count:]
        self._numbers = {form: number for form, number in self._numbers.items() if number < count}

    def window_records(self, windows: Iterable[Window]) -> list[dict[str, Any]]:
        """Return windows in the format of problem.json: number of the lemma, pairs (its position, the window's)."""
        entries = []
        for window in windows:
            form = canonical_form(self.problem, self.forced, window.component)
            pairs = zip(
                positions_between(self.problem, self._solved[form].component.pairs),
                positions_between(self.problem, window.component.pairs),
                strict=True,
            )
            entries.append({"lemma": self._numbers[form], "positions": [list(pair) for pair in pairs]})
        return entries


def highest_bounds(windows: Iterable[Window]) -> list[Window]:
    """Return the windows with the highest bounds, as many as one proof uses."""
    return sorted(windows, key=lambda window: window.bound)[-WINDOW_LIMIT:]
