r"""Lower bounds on the number of non-empty blocks of any order.

Three arguments, for each table: sizes of rows and columns, private keys, and connected components. The first two are
proved at `bound`, the third at `bound_by_components`.
"""

from __future__ import annotations

import numpy as np

from masksynth.arrange.forest import find_forest, jump_to_roots
from masksynth.arrange.order_cost import check_block_size, column_sizes, row_sizes, sees_itself
from masksynth.errors import check_type
from masksynth.mask import Mask
from masksynth.mask.algebra import select_table
from masksynth.mask.check_rows import compare
from masksynth.mask.intervals import coalesce, concatenate_intervals, gather_rows, row_intervals
from masksynth.mask.typing import BoolArray, Int64Array


def bound(mask: Mask, block_size: int = 128) -> int:
    r"""Return a lower bound on the number of non-empty B x B blocks of any order, in O(T log T + N log N).

    For each table the largest of five bounds, summed over the tables: `bound_by_sizes` and `bound_by_private` of rows
    and of columns, and `bound_by_components`.

    **Sizes.** Let s(q) be the number of keys of row q. A block row is a set G of at most B rows; it meets at least
    ceil(max_{q in G} s(q) / B) blocks, because a block has at most B keys. Summed over the block rows this is
    :math:`\sum_{k \ge 0} |\{G : \max_G s > kB\}| \ge \sum_{k \ge 0} \lceil |\{q : s(q) > kB\}| / B \rceil`, since that
    many sets of at most B rows are needed to cover the rows longer than kB. The last sum does not depend on the
    partition, and equals the sum of ceil(s / B) over every B-th row of the rows sorted from long to short. It is at
    least ceil(pairs / B^2) and at least ceil(N / B) if no row is empty.

    **Private keys.** Call q private if it attends to itself and no other position attends to it; let r be the number of
    private positions, and s'(q) = s(q) - 1 for them, s(q) for others. A block row G has the max_G s' keys of one row,
    none of them private, and in addition the key of each private member; so it meets at least (max_G s' + private
    members of G) / B blocks. Summed over the block rows, with :math:`\sum_G \max_G s' = \sum_{t \ge 1} |\{G : \max_G s'
    \ge t\}| \ge \sum_t \lceil |\{q : s'(q) \ge t\}| / B \rceil` as above, this is at least (M + r) / B, where M is the
    sum of s' over every B-th row of the rows sorted by s' from long to short.

    Both hold for columns by symmetry.

    Examples
    --------
    >>> bound(Mask.from_dense(np.tril(np.ones((8, 8), bool))), 4), bound(Mask.from_dense(np.eye(8, dtype=bool)), 4)
    (3, 2)
    """
    check_type(mask, Mask)
    check_block_size(block_size)
    return sum(_bound_table(mask, table, block_size) for table in range(mask.tables))


def _bound_table(mask: Mask, table: int, block: int) -> int:
    rows, columns = row_sizes(mask, table), column_sizes(mask, table)
    has_self = sees_itself(mask, table)
    return max(
        bound_by_sizes(rows, block),
        bound_by_sizes(columns, block),
        bound_by_private(rows, has_self & (columns == 1), block),
        bound_by_private(columns, has_self & (rows == 1), block),
        bound_by_components(select_table(mask, table), block),
    )


def bound_by_sizes(sizes: Int64Array, block: int) -> int:
    """Return the sum of ceil(s / B) over every B-th of the sizes in descending order; see `bound`.

    Examples
    --------
    >>> bound_by_sizes(np.array([1, 2, 3, 4, 5]), 2)
    6
    """
    return int((-(-np.sort(sizes)[::-1][::block] // block)).sum())


def bound_by_private(sizes: Int64Array, private: BoolArray, block: int) -> int:
    """Return ceil((M + r) / B); see `bound`.

    Examples
    --------
    Two keys that all queries attend to, and four queries that also attend to themselves:

    >>> bound_by_private(np.array([2, 2, 3, 3, 3, 3]), np.array([False, False, True, True, True, True]), 2)
    5
    """
    most = int(np.sort(sizes - private)[::-1][::block].sum())
    return -(-(most + int(private.sum())) // block)


def bound_by_components(mask: Mask, block: int) -> int:
    r"""Return a lower bound from the connected components of a mask of one table, and from the depth of its trees.

    Let R = ceil(N / B), and let D have the R blocks as vertices and an arc from G to H for each non-empty block (G, H)
    with G not H. Positions that are connected in the mask (arcs taken as edges) are in blocks that are connected in D.
    So each component of D holds complete components of the mask, whose sizes sum to a multiple of B (plus N mod B in
    one of them, which has the ragged block), and their number is at most c, see `most_groups`. A graph of R vertices
    and at most c components has at least R - c edges. The S positions that see themselves are in at least ceil(S / B)
    blocks, whose block (G, G) is not empty. Hence **ceil(S / B) + R - c** non-empty blocks.

    **Forests** (each row is the position and the row of its parent) add :math:`\sum_{k \ge 2} \lceil n_k / B \rceil`,
    where n_k is the number of rows with more than kB keys. For each G choose a position whose row meets the most
    blocks; let C(G) be these blocks, G included, and k(G) their number. Two blocks of C(G) hold two positions of one
    chain, of which one sees the other, so they are joined by an arc. Keep all arcs of D except those from G into C(G),
    and of the latter keep one for each G with k(G) >= 2, to pi(G), where pi is chosen such that the kept arcs leave the
    fewest components. *They leave no more components than D.* Otherwise some dropped arc (G, X) joins two of them.
    pi(G) is connected to G, is in C(G) as X is, and so is joined to X by an arc of D, which is dropped too. From the
    pair (G, X) this gives the pair (pi(G), X), and so on: in each step the tail of a dropped arc moves along pi, within
    its component. The pairs are finitely many, so some tail A comes back to itself, and is on a cycle of pi, while the
    arc from A to some Y in the other component is dropped. Then pi(A) = Y instead leaves fewer components: the rest of
    the cycle still connects A with the former pi(A). This contradicts the choice of pi. So at least R - c arcs are
    kept, and max(k(G) - 2, 0) are dropped for each G. A row of more than kB keys meets more than k blocks, so
    k(G) >= k + 1 in at least ceil(n_k / B) blocks G, and the sum of max(k(G) - 2, 0) is at least the sum above.

    Examples
    --------
    A chain, two chains of one length, a window:

    >>> bound_by_components(Mask.from_dense(np.tril(np.ones((12, 12), bool))), 4)
    6
    >>> bound_by_components(Mask.from_dense(np.kron(np.eye(2), np.tril(np.ones((6, 6)))) > 0), 4)
    5
    >>> bound_by_components(Mask.from_dense(np.tril(np.triu(np.ones((12, 12), bool), -1))), 4)
    5
    """
    selves, blocks = int(np.count_nonzero(sees_itself(mask))), -(-mask.size // block)
    size = np.bincount(connected_components(mask), minlength=mask.size)
    least = -(-selves // block) + blocks - min(blocks, most_groups(size[size > 0], block))
    return least + (_count_deep_blocks(row_sizes(mask), block) if is_forest(mask) else 0)


def _count_deep_blocks(sizes: Int64Array, block: int) -> int:
    """Return the sum over k >= 2 of ceil(n_k / B), where n_k is the number of sizes above kB.

    Every B-th size in descending order is the least size that the rows longer than it leave to a block row: the sum
    counts, for each of them, the k >= 2 with size > kB.

    Examples
    --------
    >>> _count_deep_blocks(np.arange(1, 14), 4), _count_deep_blocks(np.array([9, 9, 9, 9, 9]), 4)
    (3, 2)
    """
    return int(np.maximum(-(-np.sort(sizes)[::-1][::block] // block) - 2, 0).sum())


def most_groups(sizes: Int64Array, block: int) -> int:
    """Return an upper bound on the number of groups of components if the sizes of each group sum to a multiple of B.

    One group may sum to a multiple of B plus the remainder of the sum of all. A group of one component has a size of
    remainder 0: at most z. A group of two without such components has two complementary remainders: at most p, the
    number of disjoint pairs of this kind. All others have three or more. With t components this gives at most
    z + p + (t - z - 2p) / 3 = (t + 2z + p) / 3 groups; t is one less, and a group added, where the remainder of the sum
    is not 0.

    Examples
    --------
    >>> most_groups(np.array([4, 8, 1, 3, 2, 2, 2]), 4), most_groups(np.array([6, 6]), 4), most_groups(np.array([5]), 4)
    (5, 1, 1)
    """
    count = np.bincount(sizes % block, minlength=block)
    zero, half = int(count[0]), int(count[block // 2]) // 2 if block % 2 == 0 else 0
    low = np.arange(1, (block + 1) // 2)
    pairs = half + int(np.minimum(count[low], count[block - low]).sum())
    ragged = int(sizes.sum() % block > 0)
    return min(ragged + (len(sizes) - ragged + 2 * zero + pairs) // 3, len(sizes))


def is_forest(mask: Mask) -> bool:
    """Return whether each row of a mask of one table is its own position and the row of its parent; exact.

    Examples
    --------
    >>> tree = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], bool)
    >>> is_forest(Mask.from_dense(tree)), is_forest(Mask.from_dense(tree.T))
    (True, False)
    """
    parent = find_forest(mask)
    if parent is None:
        return False
    child, own = np.flatnonzero(parent >= 0), np.arange(mask.size)
    index, start, end = gather_rows(mask, parent[child])
    rows = coalesce(concatenate_intervals([(child[index], start, end), (own, own, own + 1)]))
    return compare(rows, mask) is None  # rows are longer than those of their parents, so that no chain is a cycle


def connected_components(mask: Mask) -> Int64Array:
    """Return for each position the lowest position of its component, where queries are connected with their keys.

    Labels of lower roots are handed to higher roots along all edges at once, until no edge joins two roots.

    Examples
    --------
    >>> connected_components(Mask.from_intervals([[((0, 1),), (), ((3, 5),), (), ((1, 2),)]])).tolist()
    [0, 1, 1, 1, 1]
    """
    query, start, end = row_intervals(mask)
    inner = np.bincount(start, minlength=mask.size + 1) - np.bincount(end - 1, minlength=mask.size + 1)
    joined = np.flatnonzero(inner.cumsum()[: mask.size] > 0)  # keys k such that an interval holds k and k + 1
    first, second = np.concatenate([query, joined]), np.concatenate([start, joined + 1])
    label = np.arange(mask.size)
    while len(first):
        first, second = label[first], label[second]
        differs = first != second
        first, second = np.maximum(first, second)[differs], np.minimum(first, second)[differs]
        np.minimum.at(label, first, second)
        label = jump_to_roots(label)
    return label
