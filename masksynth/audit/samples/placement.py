"""Map the tokens of samples onto positions of a mask, faults and all.

Tokens and positions are put side by side and coloured by rows (`masksynth.verify.stable`): equal colours hold equal values, and a mask
without faults is placed by that alone. A fault changes the colour of all that sees it; what is left is placed by paths of causal samples
(`paths`), then by colours that a fault does not spread through (`masksynth.audit.match`), then by whole runs of token ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masksynth.audit.match import place_closest, side_by_side, split_colours, words_for
from masksynth.audit.samples.expected import Expected, code_identities, expected_rows, token_ids
from masksynth.audit.samples.paths import Trie, match_paths
from masksynth.audit.samples.tables import FULL, TableRule, infer_rule
from masksynth.audit.subject import Subject
from masksynth.mask import Mask
from masksynth.verify.colours import ranks
from masksynth.verify.sets import prefix
from masksynth.verify.stable import stable

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
PROBES = 384
"""Tokens whose rows are looked at to find a table's rule."""
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
    first : (C,) int64
        The first token of each class.
    token : (N,) int64
        The token that each position is named after, -1 where it has no class: of the tokens of its class one that goes on as the mask does.
    alone : (N,) bool
        Whether other positions stand for the same class, so that the position serves its own token's sample and no other.
    same : (N,) bool
        Whether the position's identity is that of its class.
    complete : bool
        False if a limit left positions without a class.
    """

    rules: tuple[TableRule, ...]
    rows: Mask
    classes: Ints
    home: Ints
    first: Ints
    token: Ints
    alone: Bools
    same: Bools
    complete: bool

    @property
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
    trie, node = match_paths(subject.mask, subject.positions, mine, expected, theirs)
    rules = subject.rules or tuple(_infer(subject.mask, table, expected, trie, node) for table in range(subject.mask.tables))
    rows = expected_rows(expected, rules)
    words = words_for(subject.mask, rows)
    both = side_by_side(subject.mask, rows)
    colour = ranks(stable(ranks(np.concatenate([mine, theirs])), both, words))
    classes, home = colour[subject.size :], colour[: subject.size]
    code, first, classes = np.unique(classes, return_index=True, return_inverse=True)
    # colours become classes 0, 1, ... of tokens; a colour that no token has becomes -1
    lookup = np.full(int(colour.max(initial=-1)) + 1, -1, np.int64)
    lookup[code] = np.arange(len(code))
    home = lookup[home]
    real = np.ones(subject.size, bool) if subject.padding is None else ~subject.padding
    lost = (home < 0) & real
    by_path = lost & (node >= 0)
    home[by_path] = classes[trie.token[node[by_path]]]
    complete = _place_others(subject, expected, rows, (mine, theirs), classes, home)
    _place_runs(subject, expected, classes, home)
    home[~real] = -1
    same = np.zeros(subject.size, bool)
    known = home >= 0
    same[known] = mine[known] == theirs[first[home[known]]]
    token = _name_positions(expected, classes, home)
    alone = known & (np.bincount(home[known], minlength=len(first))[home] > 1)
    return Placement(tuple(rules), rows, classes, home, first, token, alone, same, complete)


def _name_positions(expected: Expected, classes: Ints, home: Ints) -> Ints:
    """Return a token for each position, so that positions which go on as a sample does are named after one sample.

    The last position of such a run takes a token of its class, the n-th position of a class the n-th token; those before it take the
    tokens before that.
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


def _infer(mask: Mask, table: int, expected: Expected, trie: Trie, node: Ints) -> TableRule:
    """Return the rule of a table, from the rows of positions that paths place in causal samples."""
    place = np.full(len(trie.key), -1, np.int64)
    place[node[node >= 0]] = np.flatnonzero(node >= 0)
    token = np.flatnonzero((trie.node >= 0) & (expected.index > 0))
    token = token[place[trie.node[token]] >= 0]
    token = token[np.linspace(0, len(token) - 1, min(PROBES, len(token))).astype(np.int64)] if len(token) else token
    lowest, kept = [], []
    held = np.zeros(len(trie.key) + 1, bool)
    for one in token.tolist():
        keys = node[mask.row(int(place[trie.node[one]]), table)]
        held[keys] = True
        held[-1] = False
        own = held[trie.node[one - int(expected.index[one]) : one + 1]]
        held[keys] = False
        if own.any():
            lowest.append(int(own.argmax()))
            kept.append(one)
    if not kept:
        return FULL
    chosen = np.array(kept, np.int64)
    return infer_rule(expected.index[chosen], np.array(lowest, np.int64), expected.sample[chosen])


def _place_others(subject: Subject, expected: Expected, rows: Mask, identity: tuple[Ints, Ints], classes: Ints, home: Ints) -> bool:
    """Place positions of segmented samples, and whatever else paths left, by identity and the closest row; in place."""
    mine, theirs = identity
    lost = home < 0 if subject.padding is None else (home < 0) & ~subject.padding
    lost &= np.isin(mine, theirs)
    if not lost.any():
        return True
    colour, settled = ranks(np.concatenate([mine, theirs])), True
    if not expected.causal.all():
        colour, settled = split_colours(subject.mask, rows, colour, words_for(subject.mask, rows))
    complete = settled
    for code in (colour, ranks(np.concatenate([mine, theirs]))):
        own, others = code[: subject.size], code[subject.size :]
        wanted = np.flatnonzero(lost & (home < 0))
        token = np.flatnonzero(np.isin(others, own[wanted]))
        taken = np.isin(np.arange(int(classes.max()) + 1), home)
        groups = []
        for here, numbers in _group(own[wanted], wanted, others[token], classes[token]):
            free = [number for number in numbers if not taken[number]]
            if len(free or numbers) == 1:
                home[here] = (free or numbers)[0]
            else:
                groups.append((here, free or numbers, bool(free)))
        complete &= not place_closest(subject.mask, rows, colour, classes, home, groups)
    return complete


def _group(own: Ints, position: Ints, others: Ints, classes: Ints) -> list[tuple[list[int], list[int]]]:
    """Return (positions, classes of the tokens) of each code."""
    here: dict[int, list[int]] = {}
    there: dict[int, dict[int, None]] = {}
    for code, place in zip(own.tolist(), position.tolist(), strict=True):
        here.setdefault(code, []).append(place)
    for code, number in zip(others.tolist(), classes.tolist(), strict=True):
        there.setdefault(code, {})[number] = None
    return [(places, list(there[code])) for code, places in here.items() if code in there]


def _place_runs(subject: Subject, expected: Expected, classes: Ints, home: Ints) -> None:
    """Place samples whose live tokens stand side by side with other position ids; in place."""
    served = np.zeros(int(classes.max(initial=-1)) + 1, bool)
    served[home[home >= 0]] = True
    ids = token_ids(subject)
    free = (home < 0) & (ids >= 0)
    if not free.any():
        return
    begins: dict[int, dict[bytes, list[int]]] = {}
    for sample in range(len(expected.table)):
        own = np.arange(int(expected.table.offset[sample]), int(expected.table.offset[sample + 1]))
        own = own[expected.spans.live[own]]
        if len(own) < 2 or served[classes[own]].all() or (np.diff(own) != 1).any():
            continue
        text = expected.table.tokens[own]
        width = next(width for width in WIDTHS if width <= len(own))
        if width not in begins:
            begins[width] = _index_begins(ids, free, width)
        for number, begin in enumerate(places := begins[width].get(text[:width].tobytes(), [])):
            run = slice(begin, begin + len(own))
            if len(ids[run]) == len(own) and free[run].all() and np.array_equal(ids[run], text):
                home[run], free[run] = classes[own], False
                served[classes[own]] = True
                del places[: number + 1]
                break


def _index_begins(ids: Ints, free: Bools, width: int) -> dict[bytes, list[int]]:
    """Return for each run of ``width`` token ids where it begins among the free positions."""
    found: dict[bytes, list[int]] = {}
    windows = np.lib.stride_tricks.sliding_window_view(ids, width) if len(ids) >= width else np.zeros((0, width), np.int64)
    for begin in np.flatnonzero(free[: len(windows)]).tolist():
        found.setdefault(windows[begin].tobytes(), []).append(begin)
    return found
