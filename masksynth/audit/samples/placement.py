"""Map the tokens of samples onto positions of a mask, faults and all.

Tokens and positions are put side by side and coloured by rows (`masksynth.verify.mask_refinement`): equal colours hold equal
values, and a mask without faults is placed by that alone. A fault changes the colour of all that sees it; what is left
is placed by paths of causal samples (`paths`), then by colours that a fault does not spread through
(`masksynth.audit.match_positions`), then by whole runs of token ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.layer_reach import depended_on
from masksynth.audit.match_positions import side_by_side, split_colours, words_for
from masksynth.audit.samples.expected_mask import Expected, code_identities, expected_rows, token_ids
from masksynth.audit.samples.path_matching import Paths, Trie
from masksynth.audit.samples.window_rules import FULL, TableRule, infer_rule
from masksynth.mask import Mask
from masksynth.subject.subject import Subject
from masksynth.verify.colour_refinement import ranks
from masksynth.verify.interval_sets import prefix
from masksynth.verify.mask_refinement import stable

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
PROBES = 384
"""Tokens whose rows are looked at to find a table's rule."""
ROUNDS = 16
"""Most rounds in which the position that others continue is placed by its row, and then these."""
PAIRS = 20_000
"""Most comparisons of a row with that of a class, one by one."""
WORK = 1 << 25
"""Most keys in all of them."""
WIDTHS = (16, 4, 2)
"""Lengths of the beginnings by which runs of token ids are looked up."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Which positions stand for which tokens.

    Parameters
    ----------
    rules : tuple of P TableRule
    rows : Mask
        What the tokens see, one table for each rule.
    classes : (U,) int64
        Class of each token: tokens of one class hold equal values in their samples.
    home : (N,) int64
        Class that each position stands for; -1: none.
    live : (U,) bool
        Tokens on which some label of the samples depends, through these rows and the model's layers.
    first : (C,) int64
        The first token of each class.
    token : (N,) int64
        The token that each position is named after, -1 where it has no class: of the tokens of its class one that goes
        on as the mask does.
    alone : (N,) bool
        Whether other positions stand for the same class, so that the position serves its own token's sample and no
        other.
    same : (N,) bool
        Whether the position's identity is that of its class.
    complete : bool
        False if a limit left positions without a class.
    """

    rules: tuple[TableRule, ...]
    rows: Mask
    classes: Ints
    home: Ints
    live: Bools
    first: Ints
    token: Ints
    alone: Bools
    same: Bools
    complete: bool

    @cached_property
    def served(self) -> Bools:
        """``(C,)``: whether some position stands for the class."""
        found = np.zeros(len(self.first), bool)
        found[self.home[self.home >= 0]] = True
        return found

    def position_of(self, token: int) -> int:
        """Return the first position that stands for a token, -1 if none does."""
        here = np.flatnonzero(self.home == self.classes[token])
        return int(here[0]) if len(here) else -1


def place_samples(subject: Subject, expected: Expected) -> Placement:
    """Map the samples' tokens onto the subject's positions."""
    mine, theirs = code_identities(subject, expected)
    paths = Paths(subject.mask, subject.positions, mine, theirs, expected)
    paths.follow(paths.held)
    rules = subject.rules or _infer_rules(subject, expected, paths)
    rows = expected_rows(expected, rules)
    classes, home, first = _same_values(subject.mask, rows, mine, theirs)
    real = np.ones(subject.size, bool) if subject.padding is None else ~subject.padding
    search = _Search(subject.mask, rows, expected, paths, classes, home, first, mine, theirs, real)
    complete = search.run()
    _place_runs(subject, expected, classes, home)
    home[~real] = -1
    same, known = np.zeros(subject.size, bool), home >= 0
    same[known] = mine[known] == theirs[first[home[known]]]
    token = _name_positions(expected, classes, home)
    alone = known & (np.append(np.bincount(home[known], minlength=len(first)), 0)[home] > 1)  # -1: the last, 0
    live = depended_on(rows, expected.spans.predictor, subject.layers)
    return Placement(tuple(rules), rows, classes, home, live, first, token, alone, same, complete)


def _same_values(mask: Mask, rows: Mask, mine: Ints, theirs: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the class of each token, the class of each position, and the first token of each class.

    A position has the class of the tokens with its value at every depth, -1 for none.
    """
    colour = stable(ranks(np.concatenate([mine, theirs])), side_by_side(mask, rows), words_for(mask, rows))
    code, first, classes = np.unique(colour[mask.size :], return_index=True, return_inverse=True)
    lookup = np.full(int(colour.max(initial=-1)) + 1, -1, np.int64)
    lookup[code] = np.arange(len(code))
    return classes, lookup[colour[: mask.size]], first


@dataclass(eq=False)
class _Search:
    """Find the class of the positions whose values are nobody's, in place of ``home``."""

    mask: Mask
    rows: Mask
    expected: Expected
    paths: Paths
    classes: Ints
    home: Ints
    first: Ints
    mine: Ints
    theirs: Ints
    real: Bools
    pairs: int = PAIRS
    work: int = WORK

    def run(self) -> bool:
        """Place what can be placed, the best evidence first; return whether no limit ended it."""
        known = self.real & np.isin(self.mine, self.theirs)
        valued = self.home >= 0
        self._by_paths()
        if (doubtful := self._doubtful(~valued)).any():
            self.home[doubtful] = self.paths.node[doubtful] = -1
            self._closest(doubtful)
            self.paths.follow(self.paths.held)
            self._by_paths()
        complete = self._by_colours(known) if not self.expected.causal.all() else True
        for _ in range(ROUNDS):
            if not self._closest(known & (self.home < 0) & self.paths.tops()):
                break
            self.paths.follow(self.paths.held)
            self._by_paths()
        for _ in range(ROUNDS):
            if not self._closest(known & (self.home < 0) & self.paths.tops(), wanted_only=True):
                break
            self.paths.follow(self.paths.held)
            self._by_paths()
        self.paths.follow(self.paths.near)
        self._by_paths()
        self._closest(known & (self.home < 0))
        complete &= self.paths.guess((self.home < 0) & self.real)
        self._by_paths()
        return complete and self.pairs >= 0 and self.work >= 0

    def _by_paths(self) -> None:
        found = (self.home < 0) & (self.paths.node >= 0)
        self.home[found] = self.classes[self.paths.trie.token[self.paths.node[found]]]

    def _doubtful(self, by_path: Bools) -> Bools:
        """Return positions placed by paths in a class that others have too, while a live class of their identity has none.

        A key too many may have led the path astray.
        """
        count = np.bincount(self.home[self.home >= 0], minlength=len(self.first))
        live = np.zeros(len(self.first), bool)
        live[self.classes[self.expected.spans.live]] = True
        lacking = self.theirs[self.first[live & (count == 0)]]
        found = by_path & (self.home >= 0) & np.isin(self.mine, lacking)
        found[found] = count[self.home[found]] > 1
        return found

    def _by_colours(self, known: Bools) -> bool:
        """Place by colours that a fault does not spread through, where these leave one class."""
        colour = ranks(np.concatenate([self.mine, self.theirs]))
        colour, settled = split_colours(self.mask, self.rows, colour, words_for(self.mask, self.rows))
        own, others = colour[: self.mask.size], colour[self.mask.size :]
        wanted = np.flatnonzero(known & (self.home < 0))
        low, high = (np.full(int(colour.max(initial=-1)) + 1, start, np.int64) for start in (len(self.first), -1))
        np.minimum.at(low, others, self.classes)
        np.maximum.at(high, others, self.classes)
        single = wanted[low[own[wanted]] == high[own[wanted]]]
        self.home[single] = low[own[single]]
        return settled

    def _closest(self, chosen: Bools, wanted_only: bool = False) -> bool:
        """Give each chosen position the class of its identity whose row is closest, each class once if it can be.

        With ``wanted_only`` whatever the row, and live classes without a position alone. Returns whether any was placed.
        """
        order = np.argsort(self.theirs[self.first], kind="stable")
        code = self.theirs[self.first][order]
        served, live = np.zeros(len(self.first), bool), np.zeros(len(self.first), bool)
        served[self.home[self.home >= 0]] = True
        live[self.classes[self.expected.spans.live]] = True
        costs: list[tuple[int, bool, bool, int, int]] = []
        for query in np.flatnonzero(chosen).tolist():
            low, high = (
                np.searchsorted(code, self.mine[query], "left"),
                np.searchsorted(code, self.mine[query], "right"),
            )
            size = sum(
                end - start for table in range(self.mask.tables) for start, end in self.mask.intervals(query, table)
            )
            self.pairs, self.work = self.pairs - int(high - low), self.work - int(high - low) * size
            if self.pairs < 0 or self.work < 0:
                break
            for number in order[low:high].tolist():
                wanted = bool(live[number] and not served[number])
                if wanted_only and not wanted:
                    continue
                if (cost := self._difference(query, number, wanted, wanted_only)) >= 0:
                    goes_on = query > 0 and self._goes_on(int(self.home[query - 1]), number)
                    costs.append((cost, not wanted, not goes_on, number, query))
        placed = False
        for _, unwanted, _, number, query in sorted(costs):
            if self.home[query] < 0 and (unwanted or not served[number]):
                self.home[query] = number
                served[number] = placed = True
                if self.paths.node[query] < 0:
                    self.paths.node[query] = self.paths.trie.node[self.first[number]]
        return placed

    def _goes_on(self, before: int, number: int) -> bool:
        """Return whether a class follows another in the sample of its first token."""
        token = int(self.first[number])
        return before >= 0 and int(self.expected.index[token]) > 0 and int(self.classes[token - 1]) == before

    def _difference(self, query: int, number: int, wanted: bool, whatever: bool) -> int:
        """Return in how many keys a row differs from that of a class, themselves aside; -1 if it is none of it.

        It is one if it holds half of what it should, or if nothing should be held and the class has no position yet
        (``wanted``).
        """
        differs = held = asked = 0
        token = int(self.first[number])
        for table in range(self.mask.tables):
            given, due = self.mask.row(query, table), self.rows.row(token, table)
            given, due = self.home[given[given != query]], self.classes[due[due != token]]
            _, place = np.unique(np.concatenate([given, due]), return_inverse=True)
            mine = np.bincount(place[: len(given)], minlength=int(place.max(initial=-1)) + 1)
            theirs = np.bincount(place[len(given) :], minlength=len(mine))
            differs += int(np.abs(mine - theirs).sum())
            held += int(np.minimum(mine, theirs).sum())
            asked += len(due)
        fits = 2 * held >= asked if asked else wanted or differs <= 1
        return differs if fits or whatever else -1


def _name_positions(expected: Expected, classes: Ints, home: Ints) -> Ints:
    """Return a token for each position, so that positions which go on as a sample does are named after one sample.

    The last position of such a run takes a token of its class, the n-th position of a class the n-th token; those
    before it take the tokens before that.
    """
    count = int(classes.max(initial=-1)) + 1
    order = np.argsort(classes, kind="stable")
    cut = prefix(np.bincount(classes, minlength=count))
    known = np.flatnonzero(home >= 0)
    by_class = known[np.argsort(home[known], kind="stable")]
    rank = np.zeros(len(home), np.int64)
    rank[by_class] = np.arange(len(known)) - prefix(np.bincount(home[known], minlength=count))[home[by_class]]
    token = np.full(len(home), -1, np.int64)
    size = np.diff(cut)
    token[known] = order[cut[home[known]] + np.minimum(rank[known], size[home[known]] - 1)]
    # a position goes on at the next one if some sample has their classes one after the other
    inner = np.flatnonzero(expected.index[1:] > 0)
    steps = classes[inner] * count + classes[inner + 1]
    goes_on = (home[:-1] >= 0) & (home[1:] >= 0) & np.isin(home[:-1] * count + home[1:], steps)
    ends = np.flatnonzero(~np.append(goes_on, False))
    last = ends[np.searchsorted(ends, np.arange(len(home)))]
    named = token[last] - (last - np.arange(len(home)))
    fits = (home >= 0) & (named >= 0)
    fits[fits] = classes[named[fits]] == home[fits]
    return np.where(fits, named, token)


def _infer_rules(subject: Subject, expected: Expected, paths: Paths) -> tuple[TableRule, ...]:
    """Return the rule of each table, from the rows of positions that paths place in causal samples.

    Paths may here go through positions that a row does not hold, as at the first token of a chunk. Positions that they
    do not reach are taken to stand at the index that their position id says.
    """
    held = paths.node.copy()
    paths.follow(paths.near)
    node, paths.node = paths.node, held
    longest = int(np.diff(expected.table.offset).max(initial=0))
    seen = [_observe(subject, table, expected, paths.trie, node) for table in range(subject.mask.tables)]
    rules = []
    for table, (index, lowest, sample) in enumerate(seen):
        others = [each[1] for number, each in enumerate(seen) if number != table and len(each[1]) == len(lowest)]
        rule = infer_rule(index, lowest, sample, np.minimum.reduce(others) if others else None)
        rules.append(rule if rule.width < longest else FULL)  # what cuts no sample is no rule
    return tuple(rules)


def _observe(subject: Subject, table: int, expected: Expected, trie: Trie, node: Ints) -> Ints:
    """Return of some rows: index of the token, the lowest index that the row holds, and the sample; ``(3, R)`` int64."""
    place = np.full(len(trie.key), -1, np.int64)
    place[node[node >= 0]] = np.flatnonzero(node >= 0)
    token = np.flatnonzero((trie.node >= 0) & (expected.index > 0))
    token = _some(token[place[trie.node[token]] >= 0])
    seen: list[tuple[int, int, int]] = []  # index, lowest index in the row, sample
    held = np.zeros(len(trie.key) + 1, bool)
    for one in token.tolist():
        keys = node[subject.mask.row(int(place[trie.node[one]]), table)]
        held[keys] = True
        held[-1] = False
        own = held[trie.node[one - int(expected.index[one]) : one + 1]]
        held[keys] = False
        if own.any():
            seen.append((int(expected.index[one]), int(own.argmax()), int(expected.sample[one])))
    if subject.positions is not None and expected.causal.all() and "position_ids" not in expected.table.keys:
        empty = np.diff(subject.mask.row_offset[table]) == 0
        for query in _some(np.flatnonzero((node < 0) & ~empty & (subject.positions > 0))).tolist():
            ids = subject.positions[subject.mask.row(query, table)]
            seen.append((int(subject.positions[query]), int(ids.min()), -1 - query))
    return np.array(seen, np.int64).reshape(-1, 3).T


def _some(numbers: Ints) -> Ints:
    """Return at most ``PROBES`` of some numbers, evenly."""
    if len(numbers) <= PROBES:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, PROBES).astype(np.int64)]


def _place_runs(subject: Subject, expected: Expected, classes: Ints, home: Ints) -> None:
    """Place samples whose live tokens stand side by side with other position ids; in place."""
    served = np.zeros(int(classes.max(initial=-1)) + 1, bool)
    served[home[home >= 0]] = True
    ids = token_ids(subject)
    free = (home < 0) & (ids >= 0)
    if not free.any():
        return
    begins: dict[int, dict[bytes, list[int]]] = {}
    lacking = np.zeros(len(expected.table), bool)
    lacking[expected.sample[expected.spans.live & ~served[classes]]] = True
    for sample in np.argsort(~lacking, kind="stable").tolist():  # those that stand nowhere come first
        own = np.arange(int(expected.table.offset[sample]), int(expected.table.offset[sample + 1]))
        own = own[expected.spans.live[own]]
        if len(own) < 2 or (np.diff(own) != 1).any():
            continue
        text = expected.table.tokens[own]
        width = next(width for width in WIDTHS if width <= len(own))
        if width not in begins:
            begins[width] = _index_begins(ids, free, width)
        for number, begin in enumerate(places := begins[width].get(text[:width].tobytes(), [])):
            run = slice(begin, begin + len(own))
            if len(ids[run]) == len(own) and free[run].all() and np.array_equal(ids[run], text):
                home[run], free[run] = classes[own], False
                del places[number]
                break


def _index_begins(ids: Ints, free: Bools, width: int) -> dict[bytes, list[int]]:
    """Return for each run of ``width`` token ids where it begins among the free positions."""
    found: dict[bytes, list[int]] = {}
    windows = (
        np.lib.stride_tricks.sliding_window_view(ids, width) if len(ids) >= width else np.zeros((0, width), np.int64)
    )
    for begin in np.flatnonzero(free[: len(windows)]).tolist():
        found.setdefault(windows[begin].tobytes(), []).append(begin)
    return found
