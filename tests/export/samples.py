"""Merged tasks made by hand or by chance, without the merge."""

from __future__ import annotations

import itertools

import numpy as np

from masksynth.mask import Mask
from masksynth.tasks import LossEdge, MergedTask, Position, Question

HOSTILE = (
    "../../x",
    "/etc/passwd",
    "'''\nimport os; os.remove('x')\n'''",
    '"""\\',
    "$(rm -rf x)",
    "a\nb\r\tc\x00\x1b[31m",
    "ünï\u2028\u202ecodé 🦔",
    "{0} %s {position}",
    "__import__('os')",
    "\ud800",
)


def merged_task(mask, sparse=False, names=None, seed=0):
    """A merged task over a mask, with every field filled."""
    rng = np.random.default_rng(seed)
    size, names = mask.size, names or ["w0", "w1", ("mean", "w0", "w2"), 1, 1.0, True, None, {"k": (0,)}]
    positions = tuple(
        Position(names[i % len(names)], int(rng.integers(0, 2**31)), "token" if i % 3 else "query") for i in range(size)
    )
    tasks = tuple(f"t{i}" if i else str(names[0]) for i in range(2))
    labels = tuple(names[:2])
    edges = tuple(LossEdge(int(rng.integers(size)), i % 2, i % 2, float(rng.normal())) for i in range(2 * size))
    edges += (LossEdge(0, 0, 0, 0.0), LossEdge(0, 1, 1, -1e300)) if size else ()
    embeddings = {name: {f"{names[0]}{i}": i for i in range(size)} for name in tasks}
    return MergedTask(positions, mask, embeddings, labels, tasks, edges, Question(None, sparse, mask.tables, "0" * 64))


def random_mask(size, tables=1, density=0.5, seed=0):
    dense = np.random.default_rng(seed).random((tables, size, size)) < density
    dense |= np.eye(size, dtype=bool)
    return Mask.from_dense(dense if tables > 1 else dense[0]) if size else Mask.from_intervals([[]] * tables)


def chain_mask(size):
    return Mask.from_intervals([[((0, i + 1),) for i in range(size)]])


def star_mask(size, step=7):
    """Every position sees itself and every ``step``-th before it: many intervals per row, few pairs."""
    rows = [[(k, k + 1) for k in range(0, i, step)] for i in range(size)]
    for i, row in enumerate(rows):
        last = row.pop() if row and row[-1][1] == i else (i, i)
        row.append((last[0], i + 1))
    return Mask.from_intervals([rows])


def chains_mask(size, chains, seed=0):
    """Keys shuffled into chains; every row sees a prefix of each, up to its own index, and itself."""
    rng = np.random.default_rng(seed)
    chain, rank = rng.integers(0, chains, size), np.zeros(size, int)
    for number in range(chains):
        rank[chain == number] = np.arange((chain == number).sum())
    limit = rng.integers(0, size // chains, (size, chains))
    dense = (rank[None, :] < limit[:, chain]) | np.eye(size, dtype=bool)
    return Mask.from_dense(dense)


def tree_mask(size, segment=8, seed=0):
    """A random tree in depth-first order.

    Segments of consecutive positions, each seeing its ancestors and itself up to the row.
    """
    rng = np.random.default_rng(seed)
    cuts = np.unique([0, size, *rng.integers(0, size + 1, size // segment)])
    path, rows = [], []
    for start, end in itertools.pairwise(cuts.tolist()):
        path = path[: int(rng.integers(0, len(path) + 1))]
        for row in range(start, end):
            rows.append(joined([*path, (start, row + 1)]))
        path.append((start, end))
    return Mask.from_intervals([rows])


def joined(intervals):
    """Sorted disjoint intervals, touching ones made one."""
    found = []
    for start, end in intervals:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
