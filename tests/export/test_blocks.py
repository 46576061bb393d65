"""Block lists against the dense definition, and the check against wrong lists."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from masksynth.errors import InvalidInstance, MasksynthWarning, WrongAnswer
from masksynth.export import block_lists, check_blocks, check_transposed, transposed_lists
from masksynth.export.block_sizes import list_bytes
from masksynth.export.blocks import block_counts
from masksynth.export.format_sizes import summary
from masksynth.mask import Mask
from tests.export.samples import chain_mask, random_mask, star_mask
from tests.verify.hubs import hub_mask


def naive_lists(dense, rows, keys):
    """Full and partial block numbers of every block row, by counting pairs."""
    full, partial = [], []
    for top in range(0, len(dense), rows):
        counts = [int(dense[top : top + rows, left : left + keys].sum()) for left in range(0, len(dense), keys)]
        full.append([j for j, count in enumerate(counts) if count == rows * keys])
        partial.append([j for j, count in enumerate(counts) if 0 < count < rows * keys])
    return full, partial


@pytest.mark.parametrize("size", [0, 1, 7, 16, 50, 130])
@pytest.mark.parametrize("block", [1, 3, 16, 128, (8, 4), (4, 8)])
def test_lists_by_definition(size, block):
    rows, keys = (block, block) if isinstance(block, int) else block
    for seed, density in enumerate((0.0, 0.1, 0.5, 0.9, 1.0)):
        mask = random_mask(size, 2, density, seed)
        for table in range(2):
            lists = block_lists(mask, table, block)
            full, partial = naive_lists(mask.dense()[table], rows, keys)
            width = -(-size // keys)
            for count, index, expected in (
                (lists.full_count, lists.full_index, full),
                (lists.partial_count, lists.partial_index, partial),
            ):
                assert (count.dtype, index.dtype, index.shape) == (np.int32, np.int32, (-(-size // rows), width))
                assert [row[:n].tolist() for row, n in zip(index, count, strict=True)] == expected
                assert all(sorted(row) == list(range(width)) for row in index.tolist())
            check_blocks(mask, lists, table, block)


def test_large_masks_need_no_dense_array():
    for mask in (chain_mask(100_000), star_mask(3_000)):
        check_blocks(mask, block_lists(mask))
    lists = block_lists(chain_mask(100_000))
    assert lists.full_count.tolist() == [*range(781), 0]  # the last block row is ragged: 100,000 = 781 * 128 + 32
    assert lists.partial_count.tolist() == [1] * 781 + [782]


@pytest.mark.parametrize("size", [1, 5, 130, 700])
@pytest.mark.parametrize("block", [16, 128, (64, 32)])
def test_lists_of_single_keys(size, block):
    """The rows of a sparse answer are single keys here and there, and a few long runs."""
    rows, keys = (block, block) if isinstance(block, int) else block
    mask = hub_mask(size)
    lists = block_lists(mask, 0, block)
    full, partial = naive_lists(mask.dense(), rows, keys)
    assert [row[:n].tolist() for row, n in zip(lists.full_index, lists.full_count, strict=True)] == full
    assert [row[:n].tolist() for row, n in zip(lists.partial_index, lists.partial_count, strict=True)] == partial
    check_blocks(mask, lists, 0, block)


def test_large_sparse_masks_touch_few_blocks():
    """Hubs of a chain of 131,072: about a hundredth of the blocks, all of them listed."""
    mask = hub_mask(131_072)
    lists = block_lists(mask)
    check_blocks(mask, lists)
    assert 0 < int(lists.partial_count.sum() + lists.full_count.sum()) < 1024 * 1024 // 64


def tampered(lists, change):
    parts = [part.copy() for part in lists]
    change(*parts)
    return type(lists)(*parts)


def forget_partial(pc, pi, fc, fi):
    pc[1] -= 1


def forget_full(pc, pi, fc, fi):
    fc[2] -= 1


def call_partial_full(pc, pi, fc, fi):
    fi[1, fc[1]] = pi[1, 0]
    fc[1] += 1
    pc[1] = 0


def list_twice(pc, pi, fc, fi):
    pi[2, pc[2]] = fi[2, 0]
    pc[2] += 1


def repeat_in_one_list(pc, pi, fc, fi):
    fi[2, fc[2]] = fi[2, 0]
    fc[2] += 1


def leave_the_grid(pc, pi, fc, fi):
    pi[0, 0] = 4


def negative_index(pc, pi, fc, fi):
    pi[0, 0] = -1


def overlong(pc, pi, fc, fi):
    pc[0] = 5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (forget_partial, r"block \(1, 1\) .* not listed"),
        (forget_full, r"block \(2, 1\) .* not listed"),
        (call_partial_full, r"block \(1, 1\) .* forbidden pair"),
        (list_twice, r"block \(2, 0\) .* counts twice"),
        (repeat_in_one_list, r"block \(2, 0\) is listed twice"),
        (leave_the_grid, "expected blocks 0 to 3"),
        (negative_index, "expected blocks 0 to 3"),
        (overlong, "do not fit"),
    ],
)
def test_wrong_lists_are_refused(change, text):
    mask = chain_mask(32)
    lists = block_lists(mask, 0, 8)
    check_blocks(mask, lists, 0, 8)
    with pytest.raises(WrongAnswer, match=text):
        check_blocks(mask, tampered(lists, change), 0, 8)


def test_a_listed_empty_block_is_allowed():
    """It costs time and gives the same attention."""
    mask = chain_mask(32)
    lists = block_lists(mask, 0, 8)
    lists.partial_count[0] += 1
    check_blocks(mask, lists, 0, 8)


def test_the_edge_of_the_mask_is_never_full():
    mask = Mask.from_intervals([[((0, 10),)] * 10])
    assert block_lists(mask, 0, 8).full_count.tolist() == [1, 0]


def test_bad_arguments():
    with pytest.raises(InvalidInstance, match="block size: expected positive integers, got 0"):
        block_lists(chain_mask(4), 0, 0)
    with pytest.raises(InvalidInstance, match="table 1"):
        block_lists(chain_mask(4), 1)


@pytest.mark.parametrize("most", [1, 40, 10_000])
@pytest.mark.parametrize("block", [(2, 1), (3, 2), (8, 16)])
def test_lists_in_chunks_are_the_lists(monkeypatch, block, most):
    """Built, read, transposed and checked a few rows at a time."""
    mask = random_mask(61, 2, 0.4, 5)
    whole, back = block_lists(mask, 1, block), transposed_lists(block_lists(mask, 1, block))
    monkeypatch.setattr(sys.modules["masksynth.export.blocks"], "MOST_CELLS", most)
    lists = block_lists(mask, 1, block)
    for chunked, expected in ((lists, whole), (transposed_lists(lists), back)):
        assert all(np.array_equal(part, other) for part, other in zip(chunked, expected, strict=True))
    check_blocks(mask, lists, 1, block)
    check_transposed(lists, back)
    row = len(lists.full_count) - 1  # the last chunk
    lists.partial_count[row] -= 1
    with pytest.raises(WrongAnswer, match=rf"block \({row}, \d+\) .* not listed"):
        check_blocks(mask, lists, 1, block)
    with pytest.raises(WrongAnswer, match=rf"block \({row}, \d+\) is in one of the partial lists"):
        check_transposed(lists, back)


def test_large_lists_are_announced(monkeypatch):
    monkeypatch.setattr(sys.modules["masksynth.export.block_sizes"], "LARGE_LISTS", 100)
    text = "lists of 5 x 5 blocks need 480 bytes; those of 16 x 16 pairs need 96"
    with pytest.warns(MasksynthWarning, match=text):
        block_lists(chain_mask(20), 0, 4)
    assert text in {entry.format: entry for entry in summary(chain_mask(20), 0, 4)}["blocks"].note


@pytest.mark.parametrize("block", [1, 4, (3, 5), 64])
def test_the_size_is_known_before_the_lists(block):
    lists = block_lists(random_mask(70, 1, 0.3, 2), 0, block)
    size = sum(part.nbytes for part in (*lists, *transposed_lists(lists)))
    assert list_bytes(70, block) == size


@pytest.mark.parametrize("block", [1, 3, (3, 5), (8, 2)])
def test_counts_are_those_of_the_lists(block):
    for density in (0.0, 0.1, 0.7, 1.0):
        mask = random_mask(33, 2, density, 7)
        lists = [block_lists(mask, table, block) for table in range(2)]
        full, partial = (
            sum(int(getattr(part, name).sum()) for part in lists) for name in ("full_count", "partial_count")
        )
        assert block_counts(mask, block) == (full, partial, sum(part.full_index.size for part in lists))
