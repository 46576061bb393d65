"""Sparse relations as adjacency lists in CSR form: node q attends to ``key[offset[q]], ..., key[offset[q + 1] - 1]``.

Time and memory are linear in nodes and edges. Nothing is recursive, so a chain of a million nodes does not exhaust the
stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masksynth.errors import InvalidInstance


def components(offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the strongly connected component of each node, numbered bottom-up.

    Each component has a higher number than those it attends to.

    Parameters
    ----------
    offset : (n + 1,) integer
        Row pointers, non-decreasing from 0 to m.
    key : (m,) integer
        Keys, row after row; loops and repeated keys are allowed.

    Returns
    -------
    (n,) int64
        Component ids 0, 1, ... without gaps. If q attends to k then ``id[q] >= id[k]``, with equality iff k reaches q.
        The ids of a causal relation (every key at or before its query) are 0, ..., n - 1.

    Raises
    ------
    InvalidInstance
        If the arrays are not adjacency lists.

    Notes
    -----
    Tarjan's algorithm with an explicit path, and one stack of pending nodes as in Pearce's variant.

    References
    ----------
    R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Computing 1 (1972). D. J. Pearce, "A
    space-efficient algorithm for finding strongly connected components", Inf. Process. Lett. 116 (2016).

    Examples
    --------
    Nodes 0 and 2 attend to each other, and 2 also to 1.

    >>> components(np.array([0, 1, 1, 3]), np.array([2, 0, 1])).tolist()
    [1, 0, 1]
    """
    starts, keys = _check_lists(offset, key)
    bounds = np.array(starts, np.int64)
    query = np.repeat(np.arange(len(starts) - 1), bounds[1:] - bounds[:-1])
    if bool((key.astype(np.int64) <= query).all()):
        return np.arange(len(starts) - 1)  # causal: no cycles but loops
    component = [0] * (len(starts) - 1)
    for number, nodes in enumerate(_bottom_up(starts, keys)):
        for node in nodes:
            component[node] = number
    return np.array(component, np.int64)


def levels(
    offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]], component: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Return the height of each component: 0 if it attends to no other, else 1 + the largest height that it attends to.

    Parameters
    ----------
    offset, key
        Adjacency lists, as for ``components``.
    component : (n,) integer
        Component of each node, numbered bottom-up, as ``components`` returns them.

    Returns
    -------
    (components,) int64
        Components of equal height can be processed together, after all lower ones.

    Raises
    ------
    InvalidInstance
        If the arrays are not adjacency lists, or a node attends to a later component.

    Examples
    --------
    >>> offset, key = np.array([0, 1, 1, 3]), np.array([2, 0, 1])
    >>> levels(offset, key, components(offset, key)).tolist()
    [0, 1]
    """
    starts = np.array(_check_lists(offset, key)[0], np.int64)
    component = np.asarray(component)
    if (
        component.shape != (len(offset) - 1,)
        or component.dtype.kind not in "iu"
        or (component.size and component.min() < 0)
    ):
        raise InvalidInstance(
            f"component: expected {len(offset) - 1} integers >= 0, got {component.dtype} {component.shape}"
        )
    upper, lower = np.repeat(component, starts[1:] - starts[:-1]), component[key]
    if (upper < lower).any():
        raise InvalidInstance(
            "a node attends to a later component", remedy="number the components with components(offset, key)"
        )
    upper, lower = upper[upper > lower], lower[upper > lower]
    # Edges sorted by upper component: the height of the lower end is final when it is read.
    by_upper = np.argsort(upper, kind="stable")
    height = [0] * (int(component.max()) + 1 if component.size else 0)
    for high, low in zip(upper[by_upper].tolist(), lower[by_upper].tolist(), strict=True):
        if height[high] <= height[low]:
            height[high] = height[low] + 1
    return np.array(height, np.int64)


def _bottom_up(starts: list[int], keys: list[int]) -> Iterator[list[int]]:
    """Yield the members of each component, every component after those it attends to.

    ``low[v]`` is 0 until v is visited, then the least rank known to be on the path and reachable from v, and n + 1 once
    the component of v is complete, so that it lowers no other low point. A node whose low point is its own rank is the
    root of its component.
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
            edge, end, least = cursor[node], starts[node + 1], low[node]
            while edge < end and (low_of_key := low[keys[edge]]):
                if low_of_key < least:
                    least = low_of_key
                edge += 1
            cursor[node], low[node] = edge, least
            if edge < end:  # an unvisited key: descend, and read its low point on return
                path.append(keys[edge])
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


def _check_lists(offset: NDArray[np.integer[Any]], key: NDArray[np.integer[Any]]) -> tuple[list[int], list[int]]:
    """Return adjacency lists as Python lists; raise InvalidInstance if they are not valid."""
    for name, array in (("offset", offset), ("key", key)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            raise InvalidInstance(f"{name}: expected a one-dimensional array of integers")
    if not len(offset) or offset[0] != 0 or offset[-1] != len(key) or (offset[1:] < offset[:-1]).any():
        raise InvalidInstance(f"offset is not non-decreasing from 0 to {len(key)}, the number of keys")
    if len(key) and (key.min() < 0 or key.max() >= len(offset) - 1):
        raise InvalidInstance(f"a key is out of range: expected 0..{len(offset) - 2}")
    return offset.tolist(), key.tolist()
