"""Prefixes, suffixes, windows and products against contexts by definition."""

import numpy as np
import pytest

from masksynth.contracts.families import all_but_row_and_column
from masksynth.discover.constructions.prefix_suffix import prefix_suffix, scanned
from masksynth.discover.constructions.product import grid_product
from masksynth.discover.constructions.windows import block_windows, sparse_table
from tests.discover.naive import assert_keeps, complements, contracts_of, edges


def exactly(count, need, layers=None, **fields):
    """Contracts whose targets hide all that they do not need."""
    return contracts_of(count, need, [set(range(count)) - members for members in need], layers, **fields)


def random_intervals(rng, count, targets):
    ends = np.sort(rng.integers(0, count + 1, (targets, 2)), axis=1)
    return ends[:, 0], ends[:, 1]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 16])
def test_prefixes_and_suffixes(count):
    rng = np.random.default_rng(count)
    starts, stops = random_intervals(rng, count, 6)
    hidden = [set(range(a, b)) for a, b in zip(starts, stops, strict=True)]
    assert_keeps(prefix_suffix(count, starts, stops, np.ones(6, bool)), complements(count, hidden))
    assert_keeps(prefix_suffix(count, starts, stops, np.zeros(6, bool)), complements(count, hidden, place="any"))
    height = max(count - 1, 1).bit_length()
    assert scanned(count, starts, stops, height) is None
    for layers in (height + 1, 2 * height, 2 * height + 1):
        assert_keeps(scanned(count, starts, stops, layers), complements(count, hidden, layers))


def test_all_but_three_has_as_few_edges_as_any_structure():
    from masksynth.discover.bounds import bounds_of

    hidden = [{j for j in (i - 1, i, i + 1) if 0 <= j < 64} for i in range(64)]
    starts, stops = np.array([min(h) for h in hidden]), np.array([max(h) + 1 for h in hidden])
    structure = prefix_suffix(64, starts, stops, np.ones(64, bool))
    contracts = complements(64, hidden)
    assert_keeps(structure, contracts)
    assert edges(structure) == 182 + 64 == bounds_of(contracts).edges.value


@pytest.mark.parametrize(("width", "gates"), [(4, 121), (8, 141), (16, 133)])
def test_windows_by_blocks(width, gates):
    starts = np.arange(64 - width + 1)
    structure = block_windows(64, starts, starts + width, width)
    assert_keeps(structure, exactly(64, [set(range(a, a + width)) for a in starts]))
    assert edges(structure) - len(starts) == gates


def test_windows_that_end_at_the_border():
    for count, width in ((7, 3), (9, 3), (10, 4)):
        middle = np.arange(count)
        starts, stops = np.maximum(middle - 1, 0), np.minimum(middle + width - 1, count)
        structure = block_windows(count, starts, stops, width)
        need = [set(range(a, b)) for a, b in zip(starts, stops, strict=True)]
        if structure is not None:
            assert_keeps(structure, exactly(count, need))
        assert (structure is None) == any(
            a // width == (b - 1) // width and a % width and b % width and b < count
            for a, b in zip(starts, stops, strict=True)
        )


@pytest.mark.parametrize("count", [1, 2, 5, 16, 21])
def test_intervals_by_doubling(count):
    rng = np.random.default_rng(count)
    starts, stops = random_intervals(rng, count, 8)
    need = [set(range(a, b)) for a, b in zip(starts, stops, strict=True)]
    depth = max(int((stops - starts).max()), 1).bit_length()
    if depth > 1:
        assert sparse_table(count, starts, stops, depth - 1) is None
    for layers in (depth, depth + 2):
        assert_keeps(sparse_table(count, starts, stops, layers), exactly(count, need, layers))


@pytest.mark.parametrize(("rows", "columns", "layers"), [(3, 3, 2), (3, 5, 3), (4, 3, 9), (5, 6, 4)])
def test_all_but_row_and_column(rows, columns, layers):
    assert_keeps(grid_product(rows, columns, layers), all_but_row_and_column((rows, columns), layers=layers))


def test_the_product_needs_two_layers_and_three_rows():
    assert grid_product(2, 5, 8) is None
    assert grid_product(5, 5, 1) is None
