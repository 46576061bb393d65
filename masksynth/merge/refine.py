"""Colour refinement: which nodes hold equal values at every layer.

colour_0 = identity; colour_{r+1}(u) = (colour_r(u), for each table the multiset of colour_r over u's row); the stable colours are the
classes. Only nodes whose rows changed are coloured again, and of a class that splits the largest part keeps its colour, so a node changes
colour at most log2(n) times (Hopcroft's argument; Paige and Tarjan, SIAM J. Comput. 16(6), 1987).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

Adjacency = Sequence[Sequence[int]]


def numbered(values: Iterable[Hashable]) -> list[int]:
    """Equal values get equal numbers, by first appearance.

    Examples
    --------
    >>> numbered("abca")
    [0, 1, 2, 0]
    """
    seen: dict[Hashable, int] = {}
    return [seen.setdefault(value, len(seen)) for value in values]


def multiset(row: Sequence[int], colour: Sequence[int]) -> tuple[int, ...]:
    """The colours of a row as a sorted tuple."""
    if len(row) == 1:
        return (colour[row[0]],)
    return tuple(sorted([colour[key] for key in row]))


def refine(start: Sequence[Hashable], rows: Adjacency, refs: Sequence[Sequence[int]]) -> list[int]:
    """The coarsest stable colouring finer than ``start``.

    Parameters
    ----------
    start : sequence of n hashables
        Initial colours (identities).
    rows : sequence of row objects
        Keys of each row.
    refs : T sequences of n ints
        ``refs[t][u]`` is the row that node u reads in table t.

    Returns
    -------
    list of n ints
        Classes, numbered by first appearance: u ~ v iff equal start and, table by table, equally many keys of every class.

    Examples
    --------
    Two chains a <- x and b <- x: the ends differ because their keys do. A clique of two equal nodes stays one class.

    >>> refine("axbx", [[0], [0, 1], [2], [2, 3]], [[0, 1, 2, 3]])
    [0, 1, 2, 3]
    >>> refine("aa", [[0, 1]], [[0, 0]])
    [0, 0]
    """
    colour = numbered(start)
    members: list[set[int]] = [set() for _ in range(max(colour, default=-1) + 1)]
    for node, own in enumerate(colour):
        members[own].add(node)
    # A class of one node never splits, so only rows with a reader in a larger class are ever looked at.
    dirty: Iterable[int] = [node for node, own in enumerate(colour) if len(members[own]) > 1]
    users, readers = _users(rows, refs, dirty)
    known: list[tuple[int, ...]] = [()] * len(members)
    names: dict[tuple[int, ...], int] = {}
    row_colour = [-1] * len(rows)
    dirty_rows: Iterable[int] = [row for row, reading in enumerate(readers) if reading]
    while dirty:
        for row in dirty_rows:
            row_colour[row] = names.setdefault(multiset(rows[row], colour), len(names))
        touched: dict[int, dict[tuple[int, ...], list[int]]] = {}
        for node in dirty:
            signature = tuple([row_colour[table[node]] for table in refs])
            touched.setdefault(colour[node], {}).setdefault(signature, []).append(node)
        moved: list[int] = []
        for own, groups in touched.items():
            moved += _split(own, groups, colour, members, known)
        dirty_rows = {row for node in moved for row in users.get(node, ())}
        dirty = {node for row in dirty_rows for node in readers[row] if len(members[colour[node]]) > 1}
        dirty_rows &= {table[node] for node in dirty for table in refs}
    return numbered(colour)


def _users(
    rows: Adjacency, refs: Sequence[Sequence[int]], reading: Iterable[int]
) -> tuple[dict[int, list[int]], list[list[int]]]:
    """For each node the rows that hold it, and for each row the nodes that read it, among the nodes ``reading`` and their rows."""
    readers: list[list[int]] = [[] for _ in rows]
    for table in refs:
        for node in reading:
            readers[table[node]].append(node)
    may_move = set(reading)
    users: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        if readers[number]:
            for key in row:
                if key in may_move:
                    users.setdefault(key, []).append(number)
    return users, readers


def _split(
    own: int,
    groups: dict[tuple[int, ...], list[int]],
    colour: list[int],
    members: list[set[int]],
    known: list[tuple[int, ...]],
) -> list[int]:
    """Split class ``own``: nodes not looked at share the signature ``known[own]``; the largest part keeps the colour."""
    if len(groups) == 1 and groups.keys() == {known[own]}:
        return []
    untouched = len(members[own]) - sum(map(len, groups.values()))
    sizes = {signature: len(group) for signature, group in groups.items()}
    if untouched:
        sizes[known[own]] = sizes.get(known[own], 0) + untouched
    if len(sizes) == 1:
        known[own] = next(iter(sizes))
        return []
    stays = max(sizes, key=sizes.__getitem__)
    moved: list[int] = []
    for signature in sizes:
        if signature == stays:
            continue
        group = groups.get(signature, [])
        if untouched and signature == known[own]:
            looked_at = {node for other in groups.values() for node in other}
            group = group + [node for node in members[own] if node not in looked_at]
        members[own].difference_update(group)
        members.append(set(group))
        known.append(signature)
        for node in group:
            colour[node] = len(members) - 1
        moved += group
    known[own] = stays
    return moved
