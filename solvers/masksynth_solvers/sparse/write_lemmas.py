"""Lemmas of a proof folder: windows that are proved once and used wherever a window is alike, by a map of positions.

A lemma's own windows are lemmas that stand before it. What is proved of a lemma holds for each of its images, since their formulas are the
same but for the names of positions; the checker builds both and compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any

from masksynth.sparse import Edge, Part, SparseProblem, span
from masksynth_solvers.sparse.budget import Budget
from masksynth_solvers.sparse.encoding import Window
from masksynth_solvers.sparse.nested import Lemma, Solved, form_of, helpful, windows_of

MOST_WINDOWS = 12
"""Most windows of one proof. Those that cost most help most; with more of them a search is shorter, but its proof is longer."""


class Lemmas:
    """The lemmas of one folder, in the order in which they are proved.

    Examples
    --------
    >>> import numpy as np
    >>> from masksynth.sparse import reduce
    >>> problem = SparseProblem(np.tril(np.ones((6, 6), bool)), 2)
    >>> found = reduce(problem)
    >>> lemmas = Lemmas(problem, found.sure)
    >>> windows = lemmas.windows(found.parts[0], 3)
    >>> for lemma in lemmas.needed(windows):
    ...     lemmas.keep(lemma, {"bound": lemma.bound})
    >>> lemmas.entries, lemmas.used(windows)[1]
    ([{'bound': 1}, {'bound': 2}], {'lemma': 0, 'positions': [[2, 0], [3, 1], [4, 2], [5, 3]]})
    """

    def __init__(self, problem: SparseProblem, sure: frozenset[Edge]) -> None:
        self.problem = problem
        self.sure = sure
        self.entries: list[dict[str, Any]] = []
        self._solved: Solved = {}
        self._numbers: dict[bytes, int] = {}

    def windows(self, part: Part, bound: int, until: float = inf, effort: float = inf) -> list[Window]:
        """The windows of a part that help to refute all below ``bound``, as many as are solved in time."""
        found = windows_of(self.problem, self.sure, part, Budget(until, effort), self._solved)
        return foremost(helpful(found, self.problem, part, bound))

    def needed(self, windows: Iterable[Window]) -> Iterator[Lemma]:
        """The lemmas of some windows, smallest first; those that are kept by the time of asking are left out."""
        for window in windows:
            form = form_of(self.problem, self.sure, window.part)
            if form not in self._numbers:
                yield self._solved[form]

    def keep(self, lemma: Lemma, entry: dict[str, Any]) -> None:
        """Give a lemma its number, and its entry in problem.json."""
        self._numbers[form_of(self.problem, self.sure, lemma.part)] = len(self.entries)
        self.entries.append(entry)

    def forget(self, count: int) -> None:
        """Keep the first ``count`` lemmas only."""
        del self.entries[count:]
        self._numbers = {form: number for form, number in self._numbers.items() if number < count}

    def used(self, windows: Iterable[Window]) -> list[dict[str, Any]]:
        """Windows as problem.json has them: which lemma, and which position stands for which of the lemma's."""
        entries = []
        for window in windows:
            form = form_of(self.problem, self.sure, window.part)
            pairs = zip(
                span(self.problem, self._solved[form].part.demands),
                span(self.problem, window.part.demands),
                strict=True,
            )
            entries.append({"lemma": self._numbers[form], "positions": [list(pair) for pair in pairs]})
        return entries


def foremost(windows: Iterable[Window]) -> list[Window]:
    """The windows that cost most, as many as a proof is given."""
    return sorted(windows, key=lambda window: window.bound)[-MOST_WINDOWS:]
