"""Find the class of positions whose values no token of the samples has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masksynth.audit.match_positions import draw_words, split_colours
from masksynth.audit.samples.expected_mask import Expected
from masksynth.audit.samples.path_matching import Paths
from masksynth.mask import Mask
from masksynth.mask.typing import BoolArray, Int64Array
from masksynth.verify.colour_refinement import ranks

ROUNDS = 16
"""Maximum number of rounds: positions that others continue are placed by rows, then those others by paths."""
PAIRS = 20_000
"""Maximum number of comparisons of a row with that of a class, one by one."""
KEYS = 1 << 25
"""Maximum number of keys in all of these comparisons."""


@dataclass(eq=False)
class ClassSearch:
    """Place positions, in ``class_of_position``, by ever weaker evidence.

    Parameters
    ----------
    mask, rows : Mask
        Rows of the positions, and those of the tokens in their samples.
    expected : Expected
    paths : Paths
        Paths of causal samples.
    class_of_token : (U,) int64
    class_of_position : (N,) int64
        -1 where it is to be found; extended in place.
    first_token : (C,) int64
        The first token of each class.
    position_code, token_code : (N,), (U,) int64
        Codes of the identities of positions and tokens.
    is_token : (N,) bool
        Whether a position is not padding.
    pairs, keys : int
        Comparisons, and keys in them, that are left.
    """

    mask: Mask
    rows: Mask
    expected: Expected
    paths: Paths
    class_of_token: Int64Array
    class_of_position: Int64Array
    first_token: Int64Array
    position_code: Int64Array
    token_code: Int64Array
    is_token: BoolArray
    pairs: int = PAIRS
    keys: int = KEYS

    def run(self) -> bool:
        """Place what can be placed, by the best evidence first; return whether no limit was reached."""
        candidates = self.is_token & np.isin(self.position_code, self.token_code)
        by_value = self.class_of_position >= 0
        self._place_by_paths()
        if (doubtful := self._find_doubtful(~by_value)).any():
            self.class_of_position[doubtful] = self.paths.node[doubtful] = -1
            self._place_closest(doubtful)
            self._follow_attended()
        complete = True if self.expected.causal.all() else self._place_by_colours(candidates)
        for unserved_only in (False, True):
            for _ in range(ROUNDS):
                if not self._place_closest(candidates & self._is_open() & self.paths.tops(), unserved_only):
                    break
                self._follow_attended()
        self.paths.follow(self.paths.nearby)
        self._place_by_paths()
        self._place_closest(candidates & self._is_open())
        complete &= self.paths.guess(self._is_open() & self.is_token)
        self._place_by_paths()
        return complete and self.pairs >= 0 and self.keys >= 0

    def _is_open(self) -> BoolArray:
        """Return which positions have no class yet."""
        return self.class_of_position < 0

    def _follow_attended(self) -> None:
        """Extend paths through attended keys, and place the positions on them."""
        self.paths.follow(self.paths.attended)
        self._place_by_paths()

    def _place_by_paths(self) -> None:
        reached = self._is_open() & (self.paths.node >= 0)
        self.class_of_position[reached] = self.class_of_token[self.paths.trie.token[self.paths.node[reached]]]

    def _classes(self) -> tuple[Int64Array, BoolArray]:
        """Return for each class how many positions it has, and whether some label depends on it."""
        placed = self.class_of_position[self.class_of_position >= 0]
        live = np.zeros(len(self.first_token), bool)
        live[self.class_of_token[self.expected.spans.live]] = True
        return np.bincount(placed, minlength=len(self.first_token)), live

    def _find_doubtful(self, by_path: BoolArray) -> BoolArray:
        """Return positions placed by paths in a class with others, while a live class of their identity has none.

        One extra key may have misled the path.
        """
        count, live = self._classes()
        unserved = self.token_code[self.first_token[live & (count == 0)]]
        doubtful = by_path & (self.class_of_position >= 0) & np.isin(self.position_code, unserved)
        doubtful[doubtful] = count[self.class_of_position[doubtful]] > 1
        return doubtful

    def _place_by_colours(self, candidates: BoolArray) -> bool:
        """Place by colours that a fault does not spread through, where one class has the colour.

        Returns whether the colours were split to the end.
        """
        colour = ranks(np.concatenate([self.position_code, self.token_code]))
        colour, settled = split_colours(self.mask, self.rows, colour, draw_words(self.mask, self.rows))
        position_colour, token_colour = colour[: self.mask.size], colour[self.mask.size :]
        open_positions = np.flatnonzero(candidates & self._is_open())
        # lowest and highest class of each colour: equal where there is one
        low, high = (np.full(int(colour.max(initial=-1)) + 1, start, np.int64) for start in (len(self.first_token), -1))
        np.minimum.at(low, token_colour, self.class_of_token)
        np.maximum.at(high, token_colour, self.class_of_token)
        colours = position_colour[open_positions]
        single = low[colours] == high[colours]
        self.class_of_position[open_positions[single]] = low[colours[single]]
        return settled

    def _place_closest(self, chosen: BoolArray, unserved_only: bool = False) -> bool:
        """Give each chosen position the class of its identity with the closest row, each class once if possible.

        With ``unserved_only`` only live classes without a position are given, however far the row is. Returns whether
        any position was placed.
        """
        count, _ = self._classes()
        served = count > 0
        placed = False
        for _, not_needed, _, number, query in sorted(self._costs(chosen, unserved_only)):
            if self.class_of_position[query] < 0 and (not_needed or not served[number]):
                self.class_of_position[query] = number
                served[number] = placed = True
                if self.paths.node[query] < 0:
                    self.paths.node[query] = self.paths.trie.node[self.first_token[number]]
        return placed

    def _costs(self, chosen: BoolArray, unserved_only: bool) -> list[tuple[int, bool, bool, int, int]]:
        """Return (differences of rows, class is not needed, does not continue, class, position) of each choice."""
        count, live = self._classes()
        order = np.argsort(self.token_code[self.first_token], kind="stable")  # classes by identity
        code = self.token_code[self.first_token][order]
        costs: list[tuple[int, bool, bool, int, int]] = []
        for query in np.flatnonzero(chosen).tolist():
            low = np.searchsorted(code, self.position_code[query], "left")
            high = np.searchsorted(code, self.position_code[query], "right")
            size = sum(
                end - start for table in range(self.mask.tables) for start, end in self.mask.intervals(query, table)
            )
            self.pairs, self.keys = self.pairs - int(high - low), self.keys - int(high - low) * size
            if self.pairs < 0 or self.keys < 0:
                break
            for number in order[low:high].tolist():
                needed = bool(live[number] and not count[number])
                if unserved_only and not needed:
                    continue
                if (cost := self._count_differences(query, number, needed, unserved_only)) >= 0:
                    continues = query > 0 and self._continues(int(self.class_of_position[query - 1]), number)
                    costs.append((cost, not needed, not continues, number, query))
        return costs

    def _continues(self, before: int, number: int) -> bool:
        """Return whether a class follows another in the sample of its first token."""
        token = int(self.first_token[number])
        return before >= 0 and int(self.expected.index[token]) > 0 and int(self.class_of_token[token - 1]) == before

    def _count_differences(self, query: int, number: int, needed: bool, any_row: bool) -> int:
        """Return in how many keys, by class, a row differs from that of a class; -1 if it does not fit.

        The position itself does not count. The row has to contain half of the expected keys. If no key is expected it
        fits a class that has no position yet (``needed``), or if it differs in one key at most. With ``any_row`` every
        row fits.
        """
        differing = common = total = 0
        token = int(self.first_token[number])
        for table in range(self.mask.tables):
            keys, expected = self.mask.row(query, table), self.rows.row(token, table)
            keys = self.class_of_position[keys[keys != query]]
            expected = self.class_of_token[expected[expected != token]]
            _, code = np.unique(np.concatenate([keys, expected]), return_inverse=True)
            given_count = np.bincount(code[: len(keys)], minlength=int(code.max(initial=-1)) + 1)
            expected_count = np.bincount(code[len(keys) :], minlength=len(given_count))
            differing += int(np.abs(given_count - expected_count).sum())
            common += int(np.minimum(given_count, expected_count).sum())
            total += len(expected)
        fits = 2 * common >= total if total else needed or differing <= 1
        return differing if fits or any_row else -1
