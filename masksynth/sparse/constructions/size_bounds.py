"""Proved lower bounds on the number of edges of sparse masks of any size.

Below, f(n) is the least number of edges through which L layers carry a chain of n, and a *window* is an interval of the
chain.

- *Convex parts.* Let A carry R, and let S be convex: u < w < v with u, v in S puts w in S. A path between members of S
  runs inside S, so the edges of A inside S carry R on S. Windows that share at most an end have no edge in common, so
  f(n) >= f(m) + f(n - m + 1).
- *Covers.* Nothing lies between a cover pair, so it is an edge. Outside the windows, covers still count.
- *Classes.* Contracting classes maps the edges between them onto a set that carries the quotient. Paths inside a class
  of m stay there: it needs m edges, as each member has one going out. For L = 2 and m >= 4 it needs 2m - 2: unless
  every member has two going out, some v has one only, to w; then w needs m - 2 going out, and all have 2m - 3 together
  at least. With equality the others have one each, each of which goes to a member with m - 2 > 1, so to w; then no
  element attends to v.
- *Splits* (L = 2). A lower window of a and an upper one of b share no edge with the edges that cross from one to the
  other. Let (v, u) be a pair across: its path crosses at u or at v. So every v, or every u, has a crossing edge; min(a,
  b) of them at least.
- *Sharp splits* (L = 2). Say every v of the upper window has a crossing edge (the other case is its mirror image). Let
  b1 of them have exactly one. If b1 = 0, there are 2b crossing edges. Else take, of those b1, the v that attends to the
  fewest others, k, of the upper window: k <= U / b1, where U is the number of edges in the upper window. Let z be its
  one key below and D the d keys of z. Any u below, but z and D, is reached from v over one of its k keys above, so
  these have a - 1 - d crossing edges at least; the other b - k members of the upper window have one each, and those of
  the b - b1 with two or more that are not among the k one more: b - k + max(0, b - b1 - k). And there are 2b - b1
  crossing edges in any case. The lower window has f(a) edges, and also f(z - 1) + d + f(a - z) + min(z, a - z) of them:
  below z, from z to D, above z, and from above z to z or below. The least sum over all b1, z and d is a bound. At b1 >=
  2 it does not fall if U is larger than f(b), as k is U / b1 at most. (This gives about 0.8 n log2 n; that f(n) = n
  log2 n - O(n), as for n <= 21, is a conjecture.)
"""

from __future__ import annotations

from functools import cache

import numpy as np

from masksynth.mask.typing import Int64Array
from masksynth.sparse.constructions.chain_decomposition import Chains

LONGEST = {2: 21, 3: 23, 4: 25, 5: 25, 6: 25}
PROVEN: dict[int, tuple[int, ...]] = {
    2: (2, 6, 10, 16, 22, 28, 34, 42, 50, 58),
    3: (2, 5, 8, 12, 16, 20, 24, 29, 33, 38, 43),
    4: (2, 4, 7, 10, 14, 17, 21, 24, 28, 32, 36, 40),
    5: (2, 4, 7, 9, 12, 15, 18, 21, 25, 28, 31, 35),
    6: (2, 4, 6, 9, 12, 14, 17, 20, 23, 26, 29, 32),
}
"""f(3), f(5), f(7), ... for L = 2 .. 6, covers included.

Each is the value of a solution that was checked by boolean powers, and one edge less was proved impossible (CaDiCaL on
layered reachability with a totalizer, or CP-SAT's core-guided search), for most values by two encodings.
A chain of n + 1 needs at least one edge more than a chain of n: its last element has one that no other pair needs."""


def lower_bound(chains: Chains, covers: tuple[Int64Array, Int64Array], layers: int | None) -> tuple[int, str]:
    """Return a lower bound on the number of edges of any sparse mask for ``layers`` layers, and its proof in words.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.quotient_covers import quotient_covers
    >>> from masksynth.sparse.constructions.chain_decomposition import decompose_chains
    >>> chains = decompose_chains(Mask.from_dense(np.tril(np.ones((9, 9), bool))))
    >>> lower_bound(chains, quotient_covers(chains), 2)
    (16, '8 covers, 8 more for 1 convex chain')
    """
    members = np.diff(chains.offset)
    if layers == 1:
        return int((members * _row_sizes(chains)).sum()) - int(members.sum()), "every pair needs its edge at one layer"
    parts = [f"{len(covers[0])} covers"]
    total = len(covers[0])
    if inside := int(class_bounds(members[members > 1], layers).sum()):
        total += inside
        parts.append(f"{inside} inside classes")
    if layers is not None:
        lengths, counts = np.unique(convex_chains(chains, covers), return_counts=True)
        extra = [chain_bound(length, layers) - length + 1 for length in lengths.tolist()]
        more = sum(edges * count for edges, count in zip(extra, counts.tolist(), strict=True))
        used = sum(count for edges, count in zip(extra, counts.tolist(), strict=True) if edges)
        if more:
            total += more
            parts.append(f"{more} more for {used} convex chain{'s' if used > 1 else ''}")
    return total, ", ".join(parts)


def _row_sizes(chains: Chains) -> Int64Array:
    """Return the number of positions that each slot reaches."""
    head = chains.offset[chains.start[chains.chain]]
    own = chains.offset[1:] - head  # positions of the slot's own chain up to the slot
    foreign = chains.offset[chains.top + 1] - chains.offset[chains.start[chains.chain[chains.top]]]
    return own + np.bincount(chains.query, foreign, len(own)).astype(np.int64)


def class_bounds(members: Int64Array, layers: int | None) -> Int64Array:
    """Return lower bounds on the edges inside classes of two or more members, for two or more layers.

    Examples
    --------
    >>> class_bounds(np.array([2, 3, 5]), 2).tolist(), class_bounds(np.array([5]), None).tolist()
    ([2, 3, 8], [5])
    """
    return np.where(members >= 4, 2 * members - 2, members) if layers == 2 else members


def convex_chains(chains: Chains, covers: tuple[Int64Array, Int64Array]) -> Int64Array:
    """Return the lengths of convex chains that cover each chain and share only their ends.

    A window from slot i to slot j is convex if no cover of a slot t in i < t <= j, other than t - 1, sees i: a chain of
    covers that leaves the window downwards leaves it through such a cover, and cannot come back to i or above.

    Examples
    --------
    >>> from masksynth.mask import Mask
    >>> from masksynth.sparse.constructions.quotient_covers import quotient_covers
    >>> from masksynth.sparse.constructions.chain_decomposition import decompose_chains
    >>> diamond = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    >>> chains = decompose_chains(Mask.from_dense(diamond))
    >>> convex_chains(chains, quotient_covers(chains)).tolist()
    [2, 2, 1]
    """
    upper, lower = covers
    side = chains.chain[lower] != chains.chain[upper]
    reach = chains.start[chains.chain].copy()
    np.maximum.at(reach, upper[side], chains.highest(lower[side], chains.chain[upper[side]]) + 1)
    cut = np.flatnonzero(reach > chains.start[chains.chain])
    begins = chains.start[:-1].tolist()
    lengths: list[int] = []
    inside = iter([*zip(cut.tolist(), reach[cut].tolist(), strict=True), (len(reach), 0)])
    slot, least = next(inside)
    for start, end in zip(begins, chains.start[1:].tolist(), strict=True):
        low = start
        while slot < end:
            if least > low:
                lengths.append(slot - low)
                low = slot - 1
            slot, least = next(inside)
        lengths.append(end - low)
    return np.array(lengths, np.int64)


def chain_bound(size: int, layers: int) -> int:
    """Return a lower bound on the number of edges through which ``layers`` >= 2 layers carry a chain of ``size``.

    Examples
    --------
    >>> [chain_bound(size, 2) for size in (7, 21, 42)], chain_bound(25, 4), chain_bound(9, 9)
    ([10, 58, 140], 40, 8)
    """
    if size <= layers + 1:
        return size - 1
    if layers == 2:
        return int(_split_bounds(1 << (size - 1).bit_length())[size])
    return _window_bound(size, layers)


@cache
def _windows(layers: int) -> list[int]:
    """Return proved values by length; beyond six layers, of the path of covers and of the first longer chain."""
    values = list(range(-1, layers + 1))
    values[0] = 0
    for number, value in enumerate(PROVEN.get(layers, ())):
        values[2 * number + 3 :] = [value, value + 1]
    return [*values, layers + 2] if layers not in PROVEN else values


@cache
def _window_bound(size: int, layers: int) -> int:
    """Return the best sum over windows that share ends: the best ratio as often as possible, then all combinations."""
    values = _windows(layers)
    best = max(range(2, len(values)), key=lambda length: (values[length] / (length - 1), length))
    times = max(0, (size - 200) // (best - 1))
    rest = size - times * (best - 1)
    sums = [0, 0]
    for length in range(2, rest + 1):
        sums.append(
            max(sums[length - window + 1] + values[window] for window in range(2, min(length, len(values) - 1) + 1))
        )
    return times * values[best] + sums[rest]


@cache
def _split_bounds(size: int) -> Int64Array:
    """Return bounds for L = 2 and chains of up to ``size``, by sharp splits in halves.

    Beyond 512 sharp splits are evaluated at some lengths only, and plain splits between them.
    """
    bounds = np.zeros(size + 1, np.int64)
    small = np.arange(1, min(LONGEST[2], size) + 1)
    bounds[small] = np.cumsum(np.frexp(small.astype(float))[1] - 1)
    last = len(small)
    while last < size:
        following = min(size, last + max(1, last // 32 if last >= 512 else 1))
        between = np.arange(last + 1, following + 1)
        bounds[between] = bounds[last] + bounds[between - last] + np.minimum(last, between - last)
        low, high = following // 2, following - following // 2
        sharp = max(min(_sharp(bounds, a, b), _sharp(bounds, b, a)) for a, b in {(low, high), (high, low)})
        bounds[following] = max(int(bounds[following]), sharp)
        last = following
    return bounds


def _sharp(bounds: Int64Array, lower: int, upper: int) -> int:
    """Return the fewest edges if every member of the upper window has an edge into the lower one."""
    z = np.arange(1, lower + 1)
    around = bounds[z - 1] + bounds[lower - z] + np.minimum(z, lower - z)
    # More keys of z than this cost an edge each, and save one at most.
    d = np.clip(bounds[lower] - around, 0, z - 1)
    crossing = _crossing(lower - 1 - d, upper, int(bounds[upper]))
    single = int((np.maximum(bounds[lower], around) + crossing).min())
    return int(bounds[upper]) + min(single, int(bounds[lower]) + 2 * upper)


def _crossing(rest: Int64Array, upper: int, inside: int) -> Int64Array:
    """Return the fewest crossing edges over b1 = 1 .. b, for each number ``rest`` = a - 1 - d of other elements below.

    The values of b1 are taken in ranges, with the fewest keys k for the smallest and the fewest others for the largest
    of each range.
    """
    limits = [upper + 1]
    while limits[-1] > 1:
        limits.append(max(1, min(limits[-1] - 1, upper + 1 - int(1.4 * (upper + 1 - limits[-1])))))
    most, least = np.array(limits[:-1]) - 1, np.array(limits[1:])
    k = np.minimum(-(-inside // least), upper - 1)
    others = upper - most
    lower = np.where(least > 1, upper - k + np.maximum(0, others - k), -(2**60))
    least_sum: Int64Array = np.maximum(upper + others, rest[:, None] + lower).min(axis=1)
    return least_sum
