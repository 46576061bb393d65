"""The nodes that segmented samples need: the classes of their tokens, found from the definition.

The class of a token is its identity (token id, position id, keys) and the multiset of the classes that its row holds
(``docs/theory.md``, section 3). A causal token sees itself and, before that, a row whose classes are known: its class
is a hash of its identity and of the sum of the words of that row. All segments of one level (those that see only
segments of lower levels) advance together, token by token. Members of a full segment see one another; they have the
classes of their identity and of the multiset of what all of them see.

Equal classes have equal hashes, so there are never too many nodes; two classes with one hash would only lower a bound.
A class of which a row holds m tokens is m nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from masksynth.mask.typing import BoolArray, Int64Array, UInt64Array
from masksynth.verify.packs import find_predictors
from masksynth.verify.ragged import prefix_sums, repeat_ranges

IGNORED = -100
"""Label of a token that is not trained."""


class Nodes(NamedTuple):
    """Nodes, and pairs of a node and a sample that needs it.

    Parameters
    ----------
    node, sample : (p,) int64
    weight : (n,) int64
        Number of nodes that each node stands for.
    """

    node: Int64Array
    sample: Int64Array
    weight: Int64Array


class _Part(NamedTuple):
    """A segment: its sample, first token, number of tokens, kind, and the parts that it sees."""

    sample: int
    start: int
    length: int
    within: str
    sees: tuple[int, ...]


def nodes_of_segments(table: Any, samples: Int64Array, head: Int64Array) -> Nodes:
    """Return the nodes that some samples need.

    Parameters
    ----------
    table : SampleTable
    samples : (s,) int64
        Those without segments are causal.
    head : (S,) int64
        Samples of the table share nothing if their numbers differ here.
    """
    parts = _parts_of(table, samples)
    live = _find_live(table, parts)
    colour = _colour_tokens(_identities(table, head), parts)
    token = np.flatnonzero(live)
    owner = np.searchsorted(table.offset, token, "right") - 1
    code = np.unique(colour[token], return_inverse=True)[1]
    node, first = np.unique(owner * (len(token) + 1) + code, return_index=True)
    held, kinds = owner[first], int(code.max(initial=-1)) + 1
    node = node % (len(token) + 1)
    extra_sample, extra_node = _find_copies(parts, live, token, code, owner)
    pairs = np.append(node, kinds + extra_node), np.append(held, extra_sample)
    numbers, renumbered = np.unique(pairs[0], return_inverse=True)
    return Nodes(renumbered, pairs[1], np.ones(len(numbers), np.int64))


def _parts_of(table: Any, samples: Int64Array) -> list[_Part]:
    """Return the segments of the samples, those of one sample in order."""
    parts: list[_Part] = []
    for sample in samples.tolist():
        begin, base = int(table.offset[sample]), len(parts)
        if table.segments[sample] is None:
            parts.append(_Part(sample, begin, int(table.offset[sample + 1]) - begin, "causal", ()))
            continue
        for segment in table.segments[sample]:
            within = "causal" if segment.within == "full" and segment.length < 2 else segment.within
            sees = tuple(base + number for number in segment.sees)
            parts.append(_Part(sample, begin + segment.start, segment.length, within, sees))
    return parts


def _identities(table: Any, head: Int64Array) -> UInt64Array:
    """Return a word for the identity of each token."""
    length = np.diff(table.offset)
    given = table.keys.get("position_ids")
    index = repeat_ranges(np.zeros(len(length), np.int64), length) if given is None else given
    word = _mix(np.repeat(head, length).astype(np.uint64))
    columns = [table.tokens, index, *(table.keys[name] for name in sorted(table.keys) if name != "position_ids")]
    for column in columns:
        word = _mix(word + np.asarray(column).astype(np.uint64))
    return word


def _mix(word: UInt64Array) -> UInt64Array:
    """Return the finalizer of MurmurHash3 (Appleby 2011) of words plus a constant: a permutation of 64-bit words."""
    word = word + np.uint64(0xA0761D6478BD642F)
    word = (word ^ (word >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    word = (word ^ (word >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return word ^ (word >> np.uint64(33))


def _find_live(table: Any, parts: list[_Part]) -> BoolArray:
    """Return which tokens of the table some trained label depends on."""
    samples = np.unique(np.array([part.sample for part in parts], np.int64))
    live = np.zeros(len(table.tokens), bool)
    entry = repeat_ranges(table.offset[samples], table.offset[samples + 1] - table.offset[samples])
    trained = np.flatnonzero(table.labels[entry] != IGNORED)
    live[entry[find_predictors(table, samples, trained)]] = True
    for part in reversed(parts):  # segments see earlier ones only, so each is complete when its turn comes
        own = live[part.start : part.start + part.length]
        if not own.any():
            continue
        if part.within == "causal":
            own[: int(np.flatnonzero(own)[-1])] = True
        elif part.within == "full":
            own[:] = True
        for number in part.sees:
            live[parts[number].start : parts[number].start + parts[number].length] = True
    return live


def _colour_tokens(identity: UInt64Array, parts: list[_Part]) -> UInt64Array:
    """Return the class of each token as a hash."""
    colour = np.zeros(len(identity), np.uint64)
    total = np.zeros(len(parts), np.uint64)  # sum of the words of the tokens of each segment
    level: list[int] = []
    for part in parts:
        level.append(1 + max((level[number] for number in part.sees), default=-1))
    levels = np.array(level, np.int64)
    for depth in range(int(levels.max(initial=-1)) + 1):
        chosen = np.flatnonzero(levels == depth)
        context = np.array([total[list(parts[k].sees)].sum(dtype=np.uint64) for k in chosen.tolist()], np.uint64)
        for within, colouring in (("causal", _colour_causal), ("self", _colour_alone), ("full", _colour_full)):
            now = np.array([i for i, k in enumerate(chosen.tolist()) if parts[k].within == within], np.int64)
            if len(now):
                start = np.array([parts[k].start for k in chosen[now].tolist()], np.int64)
                length = np.array([parts[k].length for k in chosen[now].tolist()], np.int64)
                colouring(identity, colour, start, length, context[now])
        for k in chosen.tolist():
            own = colour[parts[k].start : parts[k].start + parts[k].length]
            total[k] = _mix(own).sum(dtype=np.uint64)
    return colour


def _colour_causal(
    identity: UInt64Array, colour: UInt64Array, start: Int64Array, length: Int64Array, row: UInt64Array
) -> None:
    """Colour causal segments; ``row`` is the sum of the words of what each sees of other segments."""
    longest = np.argsort(-length, kind="stable")
    start, length, row = start[longest], length[longest], row[longest]
    active = np.searchsorted(-length, -np.arange(int(length.max(initial=0))), "left")  # segments longer than each index
    for index, count in enumerate(active.tolist()):
        token = start[:count] + index
        colour[token] = _mix(identity[token] ^ _mix(row[:count]))
        row[:count] += _mix(colour[token])


def _colour_alone(
    identity: UInt64Array, colour: UInt64Array, start: Int64Array, length: Int64Array, row: UInt64Array
) -> None:
    """Colour segments each token of which sees itself alone, and ``row``."""
    token = repeat_ranges(start, length)
    colour[token] = _mix(identity[token] ^ _mix(np.repeat(row, length)))


def _colour_full(
    identity: UInt64Array, colour: UInt64Array, start: Int64Array, length: Int64Array, row: UInt64Array
) -> None:
    """Colour segments all tokens of which see all of them, and ``row``."""
    token = repeat_ranges(start, length)
    running = prefix_sums(_mix(identity[token] + np.uint64(1)))
    cut = prefix_sums(length)
    members = running[cut[1:]] - running[cut[:-1]]
    colour[token] = _mix(identity[token] + np.repeat(_mix(_mix(row) + _mix(members)), length))


def _find_copies(
    parts: list[_Part], live: BoolArray, token: Int64Array, code: Int64Array, owner: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return (sample, number) of the nodes beyond the first of each class of which a row holds several tokens.

    The fullest row of a segment is that of its last live token. Copy m of class c has the number ``(m - 1) C + c``.

    Parameters
    ----------
    parts : list of _Part
    live : (U,) bool
    token, code, owner : (u,) int64
        Live tokens, their class and sample.
    """
    kinds = int(code.max(initial=-1)) + 1
    pair = owner * kinds + code
    _, inverse, count = np.unique(pair, return_inverse=True, return_counts=True)
    twin = np.full(len(live), -1, np.int64)  # class of the tokens that have an equal one in their sample
    repeated = count[inverse] > 1
    twin[token[repeated]] = code[repeated]
    samples, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in parts:
        own = twin[part.start : part.start + part.length]
        if not live[part.start : part.start + part.length].any():
            continue
        if part.within == "self":
            own = np.unique(own)
        seen = [twin[parts[k].start : parts[k].start + parts[k].length] for k in part.sees]
        row = np.concatenate([*seen, own])
        kind, times = np.unique(row[row >= 0], return_counts=True)
        copy = repeat_ranges(np.ones(len(kind), np.int64), times - 1)
        numbers.append((copy - 1) * kinds + np.repeat(kind, times - 1))
        samples.append(np.full(len(copy), part.sample))
    return np.concatenate(samples), np.concatenate(numbers)
