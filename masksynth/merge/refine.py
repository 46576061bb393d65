"""Colour refinement: group nodes that hold equal values at every layer.

colour_0 = identity; colour_{r+1}(u) = (colour_r(u), for each table the multiset of colour_r over u's row); the stable
colours are the classes. Only nodes whose rows changed are coloured again, and when a class splits, its largest part
keeps the colour, so a node changes colour at most log2(n) times (Hopcroft's argument; Paige and Tarjan, SIAM J. Comput.
16(6), 1987).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from masksynth.mask.equal_values import factorize

Adjacency = Sequence[Sequence[int]]
Signature = tuple[int, ...]
"""The colours of the rows that a node reads, one for each table."""


def colour_multiset(row: Sequence[int], colour: Sequence[int]) -> tuple[int, ...]:
    """Return the colours of a row as a sorted tuple."""
    if len(row) == 1:
        return (colour[row[0]],)
    return tuple(sorted([colour[key] for key in row]))


def refine(start: Sequence[Hashable], rows: Adjacency, refs: Sequence[Sequence[int]]) -> list[int]:
    """Return the coarsest stable colouring that refines ``start``.

    Parameters
    ----------
    start : sequence of n hashables
        Initial colours (identities).
    rows : sequence of sequences of int
        Keys of each row object.
    refs : T sequences of n ints
        ``refs[t][u]`` is the index in ``rows`` of the row that node u reads in table t.

    Returns
    -------
    list of n ints
        Classes, numbered by first appearance: u ~ v iff equal start and, table by table, equally many keys of every
        class.

    Examples
    --------
    Two chains a <- x and b <- x: the ends differ because their keys do. A clique of two equal nodes stays one class.

    >>> refine("axbx", [[0], [0, 1], [2], [2, 3]], [[0, 1, 2, 3]])
    [0, 1, 2, 3]
    >>> refine("aa", [[0, 1]], [[0, 0]])
    [0, 0]
    """
    colour = factorize(start)
    members: list[set[int]] = [set() for _ in range(max(colour, default=-1) + 1)]
    for node, number in enumerate(colour):
        members[number].add(node)
    # A class of one node never splits, so only rows with a reader in a larger class are considered.
    dirty: Iterable[int] = [node for node, number in enumerate(colour) if len(members[number]) > 1]
    rows_with, readers = _index_rows(rows, refs, dirty)
    signature_of_class: list[Signature] = [()] * len(members)
    row_codes: dict[tuple[int, ...], int] = {}
    row_colour = [-1] * len(rows)
    dirty_rows: Iterable[int] = [row for row, nodes in enumerate(readers) if nodes]
    while dirty:
        for row in dirty_rows:
            row_colour[row] = row_codes.setdefault(colour_multiset(rows[row], colour), len(row_codes))
        groups: dict[int, dict[Signature, list[int]]] = {}  # recoloured nodes by class and signature
        for node in dirty:
            signature = tuple([row_colour[table[node]] for table in refs])
            groups.setdefault(colour[node], {}).setdefault(signature, []).append(node)
        moved: list[int] = []
        for number, by_signature in groups.items():
            moved += _split_class(number, by_signature, colour, members, signature_of_class)
        dirty_rows = {row for node in moved for row in rows_with.get(node, ())}
        dirty = {node for row in dirty_rows for node in readers[row] if len(members[colour[node]]) > 1}
        dirty_rows &= {table[node] for node in dirty for table in refs}
    return factorize(colour)


def _index_rows(
    rows: Adjacency, refs: Sequence[Sequence[int]], nodes: Iterable[int]
) -> tuple[dict[int, list[int]], list[list[int]]]:
    """Return for each of ``nodes`` the rows that contain it, and for each row its readers among ``nodes``."""
    readers: list[list[int]] = [[] for _ in rows]
    for table in refs:
        for node in nodes:
            readers[table[node]].append(node)
    may_move = set(nodes)
    rows_with: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        if readers[number]:
            for key in row:
                if key in may_move:
                    rows_with.setdefault(key, []).append(number)
    return rows_with, readers


def _split_class(
    number: int,
    groups: dict[Signature, list[int]],
    colour: list[int],
    members: list[set[int]],
    signature_of_class: list[Signature],
) -> list[int]:
    """Split a class by the signatures of its recoloured nodes; return the nodes that change colour.

    Members outside ``groups`` share the signature ``signature_of_class[number]``; the largest part keeps the colour.
    """
    if len(groups) == 1 and groups.keys() == {signature_of_class[number]}:
        return []
    unvisited = len(members[number]) - sum(map(len, groups.values()))
    sizes = {signature: len(group) for signature, group in groups.items()}
    if unvisited:
        sizes[signature_of_class[number]] = sizes.get(signature_of_class[number], 0) + unvisited
    if len(sizes) == 1:
        signature_of_class[number] = next(iter(sizes))
        return []
    largest = max(sizes, key=sizes.__getitem__)
    moved: list[int] = []
    for signature in sizes:
        if signature == largest:
            continue
        group = groups.get(signature, [])
        if unvisited and signature == signature_of_class[number]:
            visited = {node for other in groups.values() for node in other}
            group = group + [node for node in members[number] if node not in visited]
        members[number].difference_update(group)
        members.append(set(group))
        signature_of_class.append(signature)
        for node in group:
            colour[node] = len(members) - 1
        moved += group
    signature_of_class[number] = largest
    return moved
