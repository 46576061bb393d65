"""Sparse relations as adjacency lists: node q attends to ``key[offset[q]], ..., key[offset[q + 1] - 1]``.

Time and memory are linear in nodes and edges; nothing is recursive, so that a chain of a million nodes is no deeper than a star.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance


def components(offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the strongly connected component of each node, numbered bottom-up: each comes after the components it attends to.

    Parameters
    ----------
    offset : (n + 1,) integer
        Where the keys of each node begin, from 0 to m without falling.
    key : (m,) integer
        The keys, row after row; loops and repeated keys do no harm.

    Returns
    -------
    (n,) int64
        Component ids 0, 1, ... without gaps. If q attends to k then ``id[q] >= id[k]``, with equality iff k reaches q. The ids of a
        causal relation (every key at or before its query) are 0, ..., n - 1.

    Raises
    ------
    InvalidInstance
        If the arrays are no adjacency lists.

    Notes
    -----
    Tarjan's algorithm on an explicit path, with one stack of pending nodes as in Pearce's form.

    References
    ----------
    R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Computing 1 (1972).
    D. J. Pearce, "A space-efficient algorithm for finding strongly connected components", Inf. Process. Lett. 116 (2016).

    Examples
    --------
    Nodes 0 and 2 attend to each other, and 2 also to 1.

    >>> components(np.array([0, 1, 1, 3]), np.array([2, 0, 1])).tolist()
    [1, 0, 1]
    """
    starts, keys = _lists(offset, key)
    component = [0] * (len(starts) - 1)
    for number, nodes in enumerate(_bottom_up(starts, keys)):
        for node in nodes:
            component[node] = number
    return np.array(component, np.int64)


def levels(
    offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]], component: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Return the height of each component: 0 if it attends to no other, else one more than the highest that it attends to.

    Parameters
    ----------
    offset, key
        Adjacency lists, as for ``components``.
    component : (n,) integer
        Component of each node, numbered bottom-up, as ``components`` gives them.

    Returns
    -------
    (components,) int64
        All components of one level can be handled at once, when the lower levels have been.

    Raises
    ------
    InvalidInstance
        If the arrays are no adjacency lists, or a node attends to a later component.

    Examples
    --------
    >>> offset, key = np.array([0, 1, 1, 3]), np.array([2, 0, 1])
    >>> levels(offset, key, components(offset, key)).tolist()
    [0, 1]
    """
    starts = np.array(_lists(offset, key)[0], np.int64)
    component = np.asarray(component)
    if (
        component.shape != (len(offset) - 1,)
        or component.dtype.kind not in "iu"
        or (component.size and component.min() < 0)
    ):
        raise InvalidInstance(f"component is not an array of {len(offset) - 1} integers >= 0")
    upper, lower = np.repeat(component, starts[1:] - starts[:-1]), component[key]
    if (upper < lower).any():
        raise InvalidInstance(
            "a node attends to a later component", remedy="number the components with components(offset, key)"
        )
    upper, lower = upper[upper > lower], lower[upper > lower]
    # Edges by their upper component, so that the lower end of each is final when it is read.
    by_upper = np.argsort(upper, kind="stable")
    height = [0] * (int(component.max()) + 1 if component.size else 0)
    for high, low in zip(upper[by_upper].tolist(), lower[by_upper].tolist(), strict=True):
        if height[high] <= height[low]:
            height[high] = height[low] + 1
    return np.array(height, np.int64)


def _bottom_up(starts: list[int], keys: list[int]) -> Iterator[list[int]]:
    """Yield the members of each component, every component after those it attends to.

    ``low[v]`` is 0 until v is met, then the least rank known to be on the path and reachable from v, and n + 1 once the component of
    v is complete, so that it lowers no other. A node whose low point is its own rank is the first of its component.
    """
    n = len(starts) - 1
    cursor, low, complete, rank = starts[:-1], [0] * n, n + 1, 0
    pending: list[int] = []
    for root in range(n):
        path, ranks = ([], []) if low[root] else ([root], [rank + 1])
        while path:
            node = path[-1]
            if not low[node]:
                rank += 1
                low[node] = rank
            at, end, least = cursor[node], starts[node + 1], low[node]
            while at < end and (met := low[keys[at]]):
                if met < least:
                    least = met
                at += 1
            cursor[node], low[node] = at, least
            if at < end:  # an unmet key: descend, and read its low point on return
                path.append(keys[at])
                ranks.append(rank + 1)
                continue
            pending.append(path.pop())
            if least == ranks.pop():
                first = len(pending)
                while first and low[pending[first - 1]] >= least:
                    first -= 1
                for member in pending[first:]:
                    low[member] = complete
                yield pending[first:]
                del pending[first:]


def _lists(offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]]) -> tuple[list[int], list[int]]:
    for name, array in (("offset", offset), ("key", key)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise InvalidInstance(f"{name} is not a one-dimensional array of integers")
    if not len(offset) or offset[0] != 0 or offset[-1] != len(key) or (offset[1:] < offset[:-1]).any():
        raise InvalidInstance(f"offset does not run from 0 to {len(key)}, the number of keys, without falling")
    if len(key) and (key.min() < 0 or key.max() >= len(offset) - 1):
        raise InvalidInstance(f"a key is not in 0..{len(offset) - 2}")
    return offset.tolist(), key.tolist()
