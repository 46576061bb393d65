"""Hypothesis strategies for masks: trees, shuffled orders, intervals, windows, columns, chains and packing."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from masksynth.mask import Mask

SIZES = st.integers(1, 24)


@st.composite
def forests(draw):
    """A random forest in depth-first order: every position sees its ancestors and itself."""
    size = draw(SIZES)
    dense, path = np.eye(size, dtype=bool), []
    for position in range(size):
        path = path[: draw(st.integers(0, len(path)))] if draw(st.booleans()) else path
        dense[position, path] = True
        path = [*path, position]
    return dense


@st.composite
def orders(draw):
    """A random preorder in any order of its elements."""
    size = draw(SIZES)
    dense = np.eye(size, dtype=bool)
    for _ in range(draw(st.integers(0, 2 * size))):
        dense[draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))] = True
    for middle in range(size):
        dense |= dense[:, middle : middle + 1] & dense[middle : middle + 1]
    return dense


@st.composite
def intervals(draw):
    """A few intervals in every row, or in every column."""
    size = draw(SIZES)
    dense = np.zeros((size, size), bool)
    for line in range(size):
        for _ in range(draw(st.integers(0, 3))):
            low, high = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
            dense[line, low:high] = True
    return dense if draw(st.booleans()) else dense.T


@st.composite
def windows(draw):
    """A band, causal or not, with a few keys that everyone sees."""
    size = draw(SIZES)
    back, ahead, sinks = draw(st.integers(0, 8)), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    distance = np.arange(size)[:, None] - np.arange(size)
    return (distance <= back) & (distance >= -ahead) | ((np.arange(size) < sinks) & (distance >= 0))


@st.composite
def shuffled_chains(draw):
    """Keys in up to three chains, and every row sees a prefix of each."""
    size = draw(SIZES)
    chain = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    rank = np.array([(chain[:key] == chain[key]).sum() for key in range(size)])
    limit = np.array([draw(st.tuples(*[st.integers(0, size // 2)] * 3)) for _ in range(size)])
    return (rank < limit[:, chain]) | (np.eye(size, dtype=bool) & draw(st.booleans()))


@st.composite
def packing(draw):
    """Documents one after the other, causal or full."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    document = np.repeat(np.arange(len(lengths)), lengths)
    dense = document[:, None] == document
    return np.tril(dense) if draw(st.booleans()) else dense


@st.composite
def anything(draw):
    """Any square of bits."""
    size = draw(SIZES)
    return np.array(draw(st.lists(st.booleans(), min_size=size * size, max_size=size * size))).reshape(size, size)


DENSE = forests() | orders() | intervals() | windows() | shuffled_chains() | packing() | anything()
MASKS = DENSE.map(Mask.from_dense)
